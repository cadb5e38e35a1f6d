"""The demo.

`gelens demo` in a new folder, its eight trainings included: seconds that pass, and those of processors.

    python -m benchmarks.demo [--epochs 1]
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.table import Table, options_of, parser_of

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--epochs", type=int, help="of each training; the command's by default")
    options = options_of(parser, epochs=1)
    table = Table()
    with tempfile.TemporaryDirectory() as folder:
        measure(table, Path(folder) / "demo", options.epochs)
    table.write(options.out, "demo")


def measure(table: Table, run: Path, epochs: int | None) -> None:
    command = [sys.executable, "cli.py", "demo", "--out", str(run)]
    command += [] if epochs is None else ["--epochs", str(epochs)]
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    passed, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    table.add("demo", "from the command to the report", passed, "s", note=f"{used:.0f} s of processors")
    for path in sorted((run / "training").glob("*/run.json")):
        table.add("training", path.parent.name, timings(path)["train"], "s")
    for name, each in timings(run / "run.json").items():
        table.add("then", name, each, "s")


def timings(path: Path) -> dict[str, float]:
    """Seconds by what a run did."""
    return json.loads(path.read_text(encoding="utf-8"))["timings"]


if __name__ == "__main__":
    main()
