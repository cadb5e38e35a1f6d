"""The table that a benchmark makes: its rows as they come, on the screen and in files, and the machine they are of."""

import json
import os
import platform
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
        lines = [self.HEADINGS, ["---"] * len(self.HEADINGS), *(row.cells() for row in self.rows)]
        table = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |" for cells in lines)
        return f"{self.machine}.\n\n{table}\n"

    def write(self, folder: Path, name: str) -> None:
        """NAME.md and NAME.json, with what there is so far."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(self.markdown(), encoding="utf-8")
        content = {"machine": self.machine, "rows": [asdict(row) for row in self.rows]}
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def machine() -> str:
    """The kind of this machine, its load and the date, in one line."""
    processor = f"{cores()} cores ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()})"
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{processor}, {accelerator}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}, {date.today()}"
