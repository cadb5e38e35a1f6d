"""Statistics of a recording on disk, without a network.

ImageNet's validation set: 50,000 images, 1000 classes, six blocks of 1024 units, read from a file as a recording's are.
"10 and 10" are 10 permutations and 10 replicates. Each case runs in a process of its own, whose peak memory is what the
system counts.

    python -m benchmarks.selectivity_statistics [--images 50000] [--units 1024] [--blocks 6] [--full] [--largest]

How time grows with permutations and replicates; the other indices; ten times as many classes; 1,280,000 images of fewer
units. With --full all blocks under the defaults, and with --largest 1,280,000 images of all units, too.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from benchmarks.table import Table, options_of, parser_of
from gelens.recording.matrix import Matrix
from gelens.statistics import PERMUTATIONS, REPLICATES, Resampling, unit_statistics
from gelens.untrusted import StoredRows

CLASSES = 1000
ROWS = 8192


def write_activity(path: Path, images: int, units: int) -> None:
    """Half-normal activities, silent on half of the images."""
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(images, units))
    rng = np.random.default_rng(0)
    for start in range(0, images, ROWS):
        part = file[start : start + ROWS]
        np.maximum(rng.standard_normal(part.shape, dtype=np.float32), 0, out=part)
    file.flush()


def case(path: Path, classes: int, blocks: int, permutations: int, replicates: int, indices: list[str]) -> dict:
    """Seconds of drawing and of the statistics of a file, as often as there are blocks."""
    activity = Matrix(StoredRows(path), nullcontext)
    start = time.perf_counter()
    images = np.arange(len(activity))
    drawn = Resampling(images % classes, images, classes, 0, permutations, replicates)
    drawing = time.perf_counter() - start
    for _ in range(blocks):
        unit_statistics(activity, drawn, indices)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "drawing": drawing,
        "seconds": time.perf_counter() - start,
        "processor": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss / 2**20 * (1 if sys.platform != "darwin" else 1 / 1024),
    }


def measured(
    path: Path, blocks: int, permutations: int, replicates: int, indices: str = "", classes: int = CLASSES
) -> dict:
    """`case` in a process of its own."""
    case = ["--case", str(path), str(classes), str(blocks), str(permutations), str(replicates), indices]
    command = [sys.executable, "-m", "benchmarks.selectivity_statistics", *case]
    done = subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[1], text=True)
    return json.loads(done.stdout)


def say(table: Table, what: str, result: dict) -> None:
    spent = f"{result['processor']:.1f} s of processors, {result['drawing']:.1f} s drawing"
    table.add("statistics", what, result["seconds"], "s", note=f"{spent}, peak {result['peak']:.2f} GiB")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--units", type=int, default=1024)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--index", nargs="+", default=["precision", "ccmas", "auc", "mi"])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--largest", action="store_true", help="all units of 1.28 million images: minutes, and 5 GB")
    parser.add_argument("--case", nargs=6, help=argparse.SUPPRESS)
    options = options_of(parser, images=2000, units=32, blocks=2, index=["auc"])
    if options.case:
        path, classes, blocks, permutations, replicates, indices = options.case
        names = indices.split(",") if indices else []
        print(json.dumps(case(Path(path), int(classes), int(blocks), int(permutations), int(replicates), names)))
        return
    table = Table()
    with tempfile.TemporaryDirectory() as folder:
        measure(table, Path(folder), options)
    table.write(options.out, "selectivity_statistics")


def measure(table: Table, folder: Path, options) -> None:
    block, narrow, many = (folder / f"{name}.npy" for name in ("block", "narrow", "many"))
    write_activity(block, options.images, options.units)
    whole = f"{options.images} × {options.blocks} × {options.units}"
    say(table, f"{whole}, 10 and 10", measured(block, options.blocks, 10, 10))
    for number in (0, 10, 30, 100):
        say(table, f"one block, {number} permutations, {number} replicates", measured(block, 1, number, number))
    if options.full:
        found = measured(block, options.blocks, PERMUTATIONS, REPLICATES)
        say(table, f"{whole}, {PERMUTATIONS} and {REPLICATES}", found)
    units = options.units // 16
    write_activity(narrow, options.images, units)
    for number in (10, 100):
        few = f"{units} units, {number} and {number}"
        say(table, few, measured(narrow, 1, number, number))
        for index in options.index:
            say(table, f"{few}, with {index}", measured(narrow, 1, number, number, index))
        many_classes = measured(narrow, 1, number, number, classes=10 * CLASSES)
        say(table, f"{few}, {10 * CLASSES} classes", many_classes)
    images = 1_280_000 * options.images // 50_000
    write_activity(many, images, units)
    for number in (10, 100):
        say(table, f"{images} images, {units} units, {number} and {number}", measured(many, 1, number, number))
    if options.largest:
        write_activity(many, images, options.units)
        say(table, f"{images} images, {options.units} units, 100 and 100", measured(many, 1, 100, 100))


if __name__ == "__main__":
    main()
