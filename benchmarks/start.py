"""The start.

Processor seconds of processes of their own, on one thread, in turn, the least of some rounds: imports, which are the
bound, and what comes until the first batch of 64 images is through a network that comes with gelens.

    python -m benchmarks.start [--rounds 5]
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.table import Table, options_of, parser_of

ROOT = Path(__file__).parents[1]
IN_PYTHON = """
import analysis, gelens, torch
network = gelens.load_network("thin_resnet50_se@cifar10")
with torch.inference_mode():
    network(torch.zeros(64, 3, 32, 32))
"""
BY_COMMAND = """
import os, torch
from torch.nn.modules.module import register_module_forward_hook
from cli import main
def leave(module, given, output):
    if isinstance(output, torch.Tensor) and output.shape == (64, 10):
        os._exit(0)
register_module_forward_hook(leave)
command = "selectivity thin_resnet50_se@cifar10 --classes-by-position --device cpu --out run --data folder:images"
main(command.split())
"""
WAYS = {
    "import torch": "import torch",
    "import torch, timm": "import torch, timm",
    "import gelens": "import analysis, gelens",
    "first batch, in Python": IN_PYTHON,
    "first batch, gelens selectivity": BY_COMMAND,
}
"""`analysis` makes gelens that of this clone."""


def seconds(program: str) -> float:
    """Of the processor, of a Python program in a folder with 64 images."""
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder) / "images")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", program]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write_images(folder: Path) -> None:
    """Noise of 32 px, in folders of ten classes."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
    for number, each in enumerate(pixels):
        path = folder / str(number % 10) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(each).save(path)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = options_of(parser, rounds=1)
    table = Table()
    found = [{name: seconds(program) for name, program in WAYS.items()} for _ in range(options.rounds)]
    for name in WAYS:
        table.add("start", name, min(each[name] for each in found), "s of a processor")
    table.write(options.out, "start")


if __name__ == "__main__":
    main()
