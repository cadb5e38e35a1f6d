"""The table that a benchmark makes: its rows as they come, on the screen and in files, and the machine they are of."""

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import torch

from gelens.processes import cores


@dataclass(frozen=True)
class Row:
    """What was measured.

    Args:
        part: of the benchmark.
        what: in words.
        value: a number, or a word.
        unit: of the number.
        bound: the greatest value that there can be, where it is known.
        note: what else there is to say.
        seconds: since the benchmark began.
    """

    part: str
    what: str
    value: float | str
    unit: str = ""
    bound: float | None = None
    note: str = ""
    seconds: int = 0

    def cells(self) -> list[str]:
        """As `Table.HEADINGS` has them."""
        value = f"{self.value:.4g}" if isinstance(self.value, float) else str(self.value)
        share = f"{self.value / self.bound:.2f}" if self.bound and not isinstance(self.value, str) else ""
        return [self.part, self.what, value, self.unit, share, self.note]


class Table:
    """Rows in the order in which they were measured."""

    HEADINGS = ("part", "what", "value", "unit", "of the bound", "note")

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.machine = machine()
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the benchmark began."""
        return time.monotonic() - self._begun

    def add(self, part: str, what: str, value, unit: str = "", bound: float | None = None, note: str = "") -> None:
        """Add a row, as of `Row`, and print it."""
        row = Row(part, what, value, unit, bound, note, round(self.seconds))
        self.rows.append(row)
        print(f"{row.seconds:4} s | {' | '.join(row.cells())}", flush=True)

    def markdown(self) -> str:
        """Machine and rows; a column without a cell is left out."""
        cells = [row.cells() for row in self.rows]
        shown = [number for number in range(len(self.HEADINGS)) if any(each[number] for each in cells)]
        lines = [self.HEADINGS, ["---"] * len(self.HEADINGS), *cells]
        table = "\n".join(f"| {' | '.join(each[number].replace('|', '/') for number in shown)} |" for each in lines)
        return f"{self.machine}.\n\n{table}\n"

    def write(self, folder: Path, name: str) -> None:
        """NAME.md and NAME.json, with what there is so far."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(self.markdown(), encoding="utf-8")
        content = {"command": command_of(name, sys.argv[1:]), "machine": self.machine}
        content["rows"] = [asdict(row) for row in self.rows]
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def stored(path: Path) -> tuple[str, Table]:
    """The command and the table of a file NAME.json."""
    content = json.loads(path.read_text(encoding="utf-8"))
    table = Table()
    table.machine = content["machine"]
    table.rows = [Row(**row) for row in content["rows"]]
    return content["command"], table


def parser_of(doc: str) -> argparse.ArgumentParser:
    """A parser with the two options of every benchmark."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"), help="folder of the table's files")
    parser.add_argument("--tiny", action="store_true", help="in little, to see that it runs; its numbers say nothing")
    return parser


def options_of(parser: argparse.ArgumentParser, **little) -> argparse.Namespace:
    """The options; with --tiny those of `little` are other defaults."""
    if parser.parse_args().tiny:
        parser.set_defaults(**little)
    return parser.parse_args()


def command_of(name: str, arguments: list[str]) -> str:
    """How a benchmark was called, but for the folder of its files."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--out")
    return " ".join(["python", "-m", f"benchmarks.{name}", *parser.parse_known_args(arguments)[1]])


def machine() -> str:
    """The kind of this machine, its load and the date, in one line."""
    processor = f"{cores()} cores ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()})"
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{processor}, {accelerator}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}, {date.today()}"
