"""Feature-importance curves against the plain way, in one run: SE-ResNet-50 at 224 px, 6 blocks × 19 points.

The plain way runs the whole network once for every point, a hook dropping the maps: 115 forward passes a batch
(channels-last, unfolded, float32, at the batch size given). The engine runs the intact network once and, for each
point, only what follows the block. Both get the same images, batch by batch in turn, and should give the same top-1
decisions at every point. Weights and images are random: the time does not depend on them. What the engine sets up on
its first batch (how each block is run, folding, chunk sizes) is timed by itself. The plain loop runs in a process of
its own, since the engine's, like the command line, lets the C library keep freed memory.

    python -m benchmarks.pruning [--images 24] [--precision fp32]   speed, and the bound that the tails' times set
    python -m benchmarks.pruning --scaling                          time and memory against images and points
    python -m benchmarks.pruning --demo runs/demo                   decisions that bfloat16 changes, trained networks
"""

import argparse
import gc
import itertools
import multiprocessing
import resource
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from gelens.analyses.inputs import Inputs
from gelens.anatomy.hooks import hooked
from gelens.anatomy.sites import find_sites, gate_values, resolve_blocks
from gelens.api import Request, record_requests
from gelens.devices import keep_freed_memory, wait
from gelens.networks import load_network
from gelens.probes.dropping import drop_ranks, dropped_maps, dropping_at
from gelens.probes.feature_importance import FeatureImportance
from gelens.sweep.passing import SweepOptions


class PlainLoop:
    """The plain way, in a process of its own: how long batches take, and what it decides.

    Args:
        serve: what the process runs; its first argument is the pipe that images come by.
    """

    def __init__(self, serve: Callable, *arguments):
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, *arguments), daemon=True)
        self.process.start()

    def __call__(self, images: torch.Tensor) -> tuple[float, np.ndarray]:
        """Seconds and top-1 decisions (points, images)."""
        self.pipe.send(images.cpu().numpy())
        return self.pipe.recv()

    def stop(self) -> None:
        self.pipe.send(None)


def _serve(pipe, name: str, batch: int, keep_memory: bool, device: str) -> None:
    if keep_memory:
        keep_freed_memory()
    network = make_network(name, device)
    sites = {site.block: site for site in find_sites(network, resolve_blocks(network))}
    points = FeatureImportance(network, resolve_blocks(network), exact=True).points
    answer(pipe, network, batch, lambda images: plain_loop(network, sites, points, images))


def answer(pipe, network, batch: int, loop: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Send seconds and decisions for whatever images come, until None does."""
    with torch.inference_mode():
        network(make_images(network, 2).to(next(network.parameters()).device))  # warm-up
        while (sent := pipe.recv()) is not None:
            images = torch.from_numpy(sent).to(next(network.parameters()).device)
            images = images.contiguous(memory_format=torch.channels_last)
            parts = [timed(images.device, loop, part) for part in images.split(batch)]
            decisions = torch.cat([each for _, each in parts], 1).cpu().numpy()
            pipe.send((sum(seconds for seconds, _ in parts), decisions))


def make_network(name: str, device: str):
    torch.manual_seed(0)
    return load_network(name).to(device, memory_format=torch.channels_last)


def make_images(network, count: int) -> torch.Tensor:
    size = network.preprocessing.size
    return torch.randn(count, 3, size, size).contiguous(memory_format=torch.channels_last)


def plain_loop(network, sites, points, images: torch.Tensor) -> torch.Tensor:
    """Top-1 decisions (points, images), one hook and one full forward pass for each point."""
    importance: dict[str, torch.Tensor] = {}

    def look(block):
        return lambda module, args, output: importance.__setitem__(block, gate_values(network, sites[block], args[0]))

    gates = {block: network.get_submodule(site.gate) for block, site in sites.items()}
    with hooked(*((gate, look(block)) for block, gate in gates.items())):
        intact = network(images).argmax(1)
    decisions = []
    for point in points:
        if point.ratio == 0:
            decisions.append(intact)
            continue

        def drop(module, args, output, point=point):
            order = "most" if point.order == "none" else point.order
            kept = drop_ranks(importance[point.block], order) >= dropped_maps(point.ratio, output.shape[1])
            return torch.where(kept[:, :, None, None], output, 0)

        with hooked((gates[point.block], drop)):
            decisions.append(network(images).argmax(1))
    return torch.stack(decisions)


def timed(device: torch.device, work, *args) -> tuple[float, object]:
    wait(device)
    start = time.perf_counter()
    result = work(*args)
    wait(device)
    return time.perf_counter() - start, result


def speed(network, images: torch.Tensor, options) -> None:
    device, batch = images.device, options.batch
    lower = torch.autocast(device.type, torch.bfloat16) if options.precision == "bf16" else nullcontext()
    with torch.inference_mode():
        labels = network(images).argmax(1)  # so that "correct" is "decides as the intact network does"
    indices = torch.arange(len(images))
    metric = FeatureImportance(
        network,
        resolve_blocks(network),
        indices.numpy(),
        rows=options.rows,
        exact=options.exact,
        compiled=options.compile,
    ).to(device)

    def engine(part: torch.Tensor) -> None:
        with lower:
            metric.update(images[part], labels[part], part)

    loop = PlainLoop(_serve, options.network, options.plain_batch, options.same_allocator, options.device)
    first = torch.arange(min(batch, len(images)))
    plain_seconds, seconds, plain = 0.0, 0.0, []
    with torch.inference_mode():
        set_up = sum(timed(device, engine, first)[0] for _ in range(3))
        metric.reset()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for start in range(0, len(images), max(batch, options.plain_batch)):
            turn = indices[start : start + max(batch, options.plain_batch)]
            spent, decisions = loop(images[turn])
            plain_seconds += spent
            plain.append(decisions)
            seconds += sum(timed(device, engine, part)[0] for part in turn.split(batch))
        loop.stop()
        with lower:
            targets = [
                (target.name, target.ablation.settled.tail.after, sum(point.ratio > 0 for point in target.points))
                for target in metric.probe._targets
            ]
            bound = tails(targets, network, images, batch)
    expected = np.concatenate(plain, 1) == labels.cpu().numpy()
    correct = metric.correctness()
    passes = 1 + sum(point.ratio > 0 for point in metric.points)
    folding = "batch norm as it is" if options.exact else "batch norm folded"
    sizes = [target.ablation.chunk.rows for target in metric.probe._targets]
    what = f"{options.network}, {images.shape[-1]} px, {len(images)} images"
    print(f"{what}, {options.device}, {torch.get_num_threads()} threads")
    allocator = "keeping freed memory" if options.same_allocator else "default allocator"
    print(f"plain loop: {passes} passes in batches of {options.plain_batch}, float32, {allocator}")
    print(f"engine: batches of {batch}, {options.precision}, {folding}, compiled: {options.compile}, chunks {sizes}")
    print(f"ratio: {plain_seconds / seconds:.2f} times as fast ({plain_seconds:.1f} s against {seconds:.1f} s)")
    print(f"of the bound that the tails' own times set: {bound / seconds:.2f} ({bound:.1f} s)")
    print(f"the first three batches, set-up included: {set_up:.1f} s")
    print(f"top-1 decisions that differ: {(correct != expected).sum()} of {expected.size}")
    print(f"counts that differ: {(correct.sum(1) != expected.sum(1)).sum()} of {len(expected)} points")
    if device.type == "cuda":
        print(f"{len(images) / seconds:.1f} images/s, peak memory {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB")


def tails(targets: Sequence[tuple[str, Callable, int]], network, images: torch.Tensor, batch: int) -> float:
    """Seconds of the intact passes and of all tails, each at the fastest of several batch sizes.

    Args:
        targets: each block, what follows it, and how often that is run.
    """
    part = images[:batch]
    total = min(timed(images.device, network, part)[0] for _ in range(3)) * len(images) / batch
    sizes = (16, 32, 64) if images.device.type == "cpu" else (64, 256, 1024, 4096)
    for block, after, variants in targets:
        maps = {}
        with hooked((network.get_submodule(block), lambda module, args, output, maps=maps: maps.update(x=output))):
            network(part)
        best = 0.0
        for size, _ in itertools.product(sizes, range(3)):
            rows = torch.cat([maps["x"]] * max(size // batch, 1))
            best = max(best, len(rows) / timed(images.device, after, rows)[0])
        total += variants * len(images) / best
    return total


def scaling(network, images: torch.Tensor, options) -> None:
    """Time a point and image, and peak memory so far, for more images and for more points."""
    print("images  ratios  points  seconds  ms/(image × point)  peak memory, MiB")
    blocks = resolve_blocks(network)[-2:]
    for count, steps in ((8, 10), (16, 10), (32, 10), (8, 20), (8, 50), (8, 100)):
        ratios = [step / steps for step in range(steps + 1)]
        metric = FeatureImportance(network, blocks, ratios=ratios, rows=options.rows or 32).to(images.device)
        parts = torch.arange(count).split(options.batch)
        labels = torch.zeros(options.batch, dtype=torch.long, device=images.device)
        with torch.inference_mode():
            metric.update(images[parts[0]], labels, parts[0])
            spent = sum(timed(images.device, metric.update, images[part], labels, part)[0] for part in parts)
        points = sum(point.ratio > 0 for point in metric.points)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        if images.is_cuda:
            peak = torch.cuda.max_memory_allocated() / 2**20
        each = 1000 * spent / count / points
        print(f"{count:6} {steps + 1:7} {points:7} {spent:8.1f} {each:19.2f} {peak:17.0f}", flush=True)
        del metric
        gc.collect()  # its copy of the network, before the next makes one


def demo(folder: Path, options) -> None:
    """How many top-1 decisions bfloat16 changes, on the demo's own networks and digits."""
    for name in ("mini_resnet_se", "mini_resnet"):
        weights = folder / "training" / name / "weights.safetensors"
        inputs = Inputs([f"{name}@{weights}"], "digits")
        (network,) = inputs.load_networks().values()
        requests = {name: Request(network, probes=[dropping_at(resolve_blocks(network))])}
        data = inputs.load_data()
        results = [
            record_requests(requests, data, SweepOptions(options.device, precision, progress=False)).array(
                name, "dropping.top1"
            )
            for precision in ("fp32", "bf16")
        ]
        differ = (results[0] != results[1]).sum()
        print(f"{name}, trained: bfloat16 changes {differ} of {results[0].size} top-1 decisions")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", default="resnet50_se")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--plain-batch", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--same-allocator", action="store_true", help="the plain loop keeps freed memory, too")
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--demo", type=Path)
    options = parser.parse_args()
    if options.demo:
        demo(options.demo, options)
        return
    keep_freed_memory()  # as the command line does
    network = make_network(options.network, options.device)
    images = make_images(network, max(options.images, 32 * options.scaling)).to(options.device)
    if options.scaling:
        scaling(network, images, options)
        return
    speed(network, images, options)


if __name__ == "__main__":
    main()
