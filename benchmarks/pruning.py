"""Pruning curves of six blocks × 19 points.

The plain way runs the whole network once for every point, a hook dropping the maps: 115 forward passes a batch
(channels-last, unfolded, float32). The engine runs the intact network once and, for each point, only what follows the
block; its bound is what these tails take by themselves. Both get the same images, batch by batch in turn, and should
give the same top-1 decisions at every point. Weights and images are random: the time does not depend on them. What the
engine sets up on its first batches (how each block is run, folding, chunk sizes) is timed by itself. The plain loop
runs in a process of its own, since the engine's, like the command line, lets the C library keep freed memory.

    python -m benchmarks.pruning [--network resnet50_se] [--precision fp32]     some of networks and precisions
    python -m benchmarks.pruning --scaling                          time and memory against images and points
    python -m benchmarks.pruning --demo runs/demo                   decisions that bfloat16 changes, trained networks
"""

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

from benchmarks.table import Table, options_of, parser_of
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


def speed(table: Table, name: str, precision: str, options) -> None:
    network = make_network(name, options.device)
    small = network.preprocessing.size < 100
    images = make_images(network, options.images or (128 if small else 8)).to(options.device)
    device, batch = images.device, options.batch or (64 if small else 8)
    plain_batch = options.plain_batch or batch
    lower = torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
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

    loop = PlainLoop(_serve, name, plain_batch, options.same_allocator, options.device)
    first = torch.arange(min(batch, len(images)))
    plain_seconds, seconds, plain = 0.0, 0.0, []
    with torch.inference_mode():
        set_up = sum(timed(device, engine, first)[0] for _ in range(3))
        metric.reset()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for turn in indices.split(max(batch, plain_batch)):
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
    part = f"{name}, {images.shape[-1]} px, {precision}"
    allocator = "keeping freed memory" if options.same_allocator else "default allocator"
    note = f"{passes} passes in batches of {plain_batch}, float32, {allocator}: {plain_seconds:.1f} s"
    table.add(part, "against the plain loop", plain_seconds / seconds, "times as fast", note=note)
    note = f"batches of {batch}, {folding}, compiled: {options.compile}, chunks {sizes}: {seconds:.1f} s"
    rate, limit = ((passes - 1) * len(images) / each for each in (seconds, bound))
    table.add(part, f"{len(images)} images", rate, "images × points/s", limit, note)
    table.add(part, "the first three batches, set-up included", set_up, "s")
    table.add(part, "top-1 decisions that differ", int((correct != expected).sum()), note=f"of {expected.size}")
    counts = int((correct.sum(1) != expected.sum(1)).sum())
    table.add(part, "counts that differ", counts, note=f"of {len(expected)} points")
    if device.type == "cuda":
        table.add(part, "peak memory", torch.cuda.max_memory_allocated() / 2**30, "GiB")


def tails(targets: Sequence[tuple[str, Callable, int]], network, images: torch.Tensor, batch: int) -> float:
    """Seconds of the intact passes and of all tails, each at the fastest of several batch sizes.

    Args:
        targets: each block, what follows it, and how often that is run.
    """
    part = images[:batch]
    total = min(timed(images.device, network, part)[0] for _ in range(3)) * len(images) / batch
    sizes = (16, 32, 64, 256) if images.device.type == "cpu" else (64, 256, 1024, 4096)
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


def scaling(table: Table, options) -> None:
    """Time a point and image, and peak memory so far, for more images and for more points."""
    name = options.network[0]
    network = make_network(name, options.device)
    images = make_images(network, 32).to(options.device)
    batch = options.batch or 8
    blocks = resolve_blocks(network)[-2:]
    for count, steps in ((8, 10), (16, 10), (32, 10), (8, 20), (8, 50), (8, 100)):
        ratios = [step / steps for step in range(steps + 1)]
        metric = FeatureImportance(network, blocks, ratios=ratios, rows=options.rows or 32).to(images.device)
        parts = torch.arange(count).split(batch)
        labels = torch.zeros(batch, dtype=torch.long, device=images.device)
        with torch.inference_mode():
            metric.update(images[parts[0]], labels, parts[0])
            spent = sum(timed(images.device, metric.update, images[part], labels, part)[0] for part in parts)
        points = sum(point.ratio > 0 for point in metric.points)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        if images.is_cuda:
            peak = torch.cuda.max_memory_allocated() / 2**20
        each = 1000 * spent / count / points
        what = f"{count} images, {steps + 1} ratios, {points} points"
        table.add(f"{name}, scaling", what, each, "ms/(image × point)", note=f"{spent:.1f} s, peak {peak:.0f} MiB")
        del metric
        gc.collect()  # its copy of the network, before the next makes one


def demo(table: Table, folder: Path, options) -> None:
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
        what = "top-1 decisions that bfloat16 changes"
        table.add(f"{name}, trained", what, int(differ), note=f"of {results[0].size}")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--network", nargs="+", default=["resnet50_se", "thin_resnet50_se"])
    parser.add_argument("--precision", nargs="+", choices=["fp32", "bf16"], default=["fp32", "bf16"])
    parser.add_argument("--images", type=int, help="128 of 32 px, 8 of 224 px")
    parser.add_argument("--batch", type=int, help="64 images of 32 px, 8 of 224 px")
    parser.add_argument("--plain-batch", type=int, help="as the engine's")
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--same-allocator", action="store_true", help="the plain loop keeps freed memory, too")
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--demo", type=Path)
    options = options_of(parser, network=["thin_resnet50_se"], precision=["fp32"], images=8, batch=8)
    keep_freed_memory()  # as the command line does
    table = Table()
    if options.demo:
        demo(table, options.demo, options)
    elif options.scaling:
        scaling(table, options)
    else:
        for name, precision in itertools.product(options.network, options.precision):
            speed(table, name, precision, options)
    table.write(options.out, "pruning")


if __name__ == "__main__":
    main()
