"""The intact pass, and the copies of a network that are faster.

A batch of 64 images through a network, through its copy with batch norm folded, as passes in bfloat16 run it, and
through one whose blocks are compiled, as long passes do, in turn. Then passes over few images of 32 px, in which the
set-up weighs most, against a bare loop over the same images. Weights and images are random.

    python -m benchmarks.forward
"""

import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext

import numpy as np
import torch
from PIL import Image

import gelens
from benchmarks.table import Table, options_of, parser_of
from gelens.anatomy.classifier import float32_logits
from gelens.anatomy.folding import Folding
from gelens.data import ImageData, batches
from gelens.devices import PRECISIONS, keep_freed_memory
from gelens.networks import load_network
from gelens.sweep.passing import SweepOptions

BATCH = 64
"""Images, as of a pass on the CPU."""


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    work()
    return clock() - start


def copies(table: Table, name: str, precision: str, batch: int, rounds: int, compiled: bool) -> None:
    """Images per second of the copies, relative to the network's."""
    network = load_network(name).eval().to(memory_format=torch.channels_last)
    side, dtype = network.preprocessing.size, PRECISIONS[precision]
    images = torch.randn(batch, 3, side, side).contiguous(memory_format=torch.channels_last)
    part = f"{name}, {side} px, {precision}"
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(float32_logits(network, images[:2]) if dtype else nullcontext())
        stack.enter_context(torch.autocast("cpu", dtype) if dtype else nullcontext())
        ways = {"folded": Folding(network, images[:2]).copy()}
        if compiled:
            ways["compiled"] = Folding(network, images[:2], compiled=True).copy()
        expected = network(images).float()
        first = {way: seconds(lambda copy=copy: copy(images)) for way, copy in ways.items()}
        spent: dict[str, list[float]] = {way: [] for way in ("network", *ways)}
        for _ in range(rounds):
            for way, run in {"network": network, **ways}.items():
                spent[way].append(seconds(lambda run=run: run(images)))
        best = {way: min(each) for way, each in spent.items()}
        table.add(part, "the network", batch / best["network"], "images/s")
        for way, copy in ways.items():
            off = float((copy(images).float() - expected).abs().max() / expected.std())
            note = f"logits move by {off:.1g} of their spread at most; set-up {max(first[way] - best[way], 0):.0f} s"
            table.add(part, way, best["network"] / best[way], "times as many", note=note)


def few_images(table: Table, name: str, count: int, rounds: int) -> None:
    """Recording six blocks, set-up included, against a bare loop that keeps nothing."""
    network = load_network(name).eval()
    side, geometry = network.preprocessing.size, network.preprocessing.geometry
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    labels, names = np.arange(count) % 10, [f"random-{number}" for number in range(count)]
    data = ImageData("random", "", [*"0123456789"], labels, names, lambda place: Image.fromarray(pixels[place]))
    how = SweepOptions("cpu", batch_size=BATCH, progress=False)

    def bare() -> None:
        with torch.inference_mode():
            for batch in batches(data, [geometry], BATCH):
                images = network.preprocessing.normalize(batch.images[geometry])
                network(images.contiguous(memory_format=torch.channels_last))

    def recorded() -> None:
        gelens.record(network, data, options=how)

    part, what = f"{name}, {side} px, fp32, a pass", f"{count} images, set-up included"
    loop, whole = np.min([(seconds(bare), seconds(recorded)) for _ in range(rounds)], 0)
    table.add(part, what, loop / whole, "of the bare loop")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more of them spin while they wait
    try:
        spent = [(seconds(bare, time.process_time), seconds(recorded, time.process_time)) for _ in range(rounds)]
    finally:
        torch.set_num_threads(threads)
    loop, whole = np.min(spent, 0)  # the least of each, so this ratio may lie outside those of the rounds
    note = "single rounds " + ", ".join(f"{one / other:.2f}" for one, other in spent)
    table.add(part, f"{what}, processor time of one thread", loop / whole, "of the bare loop", note=note)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--network", action="append", help="repeatable")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--rounds", type=int, default=5)
    options = options_of(parser, network=["mini_resnet_se"], batch=4, rounds=1)
    keep_freed_memory()  # as the command line does
    table = Table()
    for name in options.network or ("resnet50_se", "thin_resnet50_se"):
        for precision in ("bf16",) if options.tiny else ("fp32", "bf16"):
            copies(table, name, precision, options.batch, options.rounds, compiled=not options.tiny)
    for count in (64,) if options.tiny else (256, 1024):
        few_images(table, "thin_resnet50_se", count, options.rounds)
    table.write(options.out, "forward")


if __name__ == "__main__":
    main()
