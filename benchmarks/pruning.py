"""Feature-importance curves against the plain way, in one run: SE-ResNet-50 at 224 px, 6 blocks × 19 points.

The plain way runs the whole network once for every point, a hook dropping the maps: 115 forward passes a batch
(channels-last, unfolded, float32, at the batch size given). The engine runs the intact network once and, for each
point, only what follows the block. Both get the same images and must give the same top-1 decisions at every point.
Weights and images are random: the time does not depend on them.

    python benchmarks/pruning.py [--images 16] [--plain-batch 8] [--batch 8] [--rows 16] [--precision fp32]
"""

import argparse
import time
from contextlib import nullcontext

import numpy as np
import torch

from analysis.feature_importance import FeatureImportance, drop_ranks, dropped_maps
from analysis.hooks import hooked
from analysis.networks import load_network
from analysis.sites import find_sites, gate_values, resolve_blocks


def plain_loop(network, points, images: torch.Tensor) -> np.ndarray:
    """Top-1 decisions (points, images), one hook and one full forward pass for each point."""
    importance: dict[str, torch.Tensor] = {}

    def look(block):
        return lambda module, args, output: importance.__setitem__(block, gate_values(network, sites[block], args[0]))

    sites = {site.block: site for site in find_sites(network, list(dict.fromkeys(point.block for point in points)))}
    gates = {point.block: network.get_submodule(point.block).se for point in points}
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
    return torch.stack(decisions).cpu().numpy()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--plain-batch", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    network = load_network("resnet50_se").to(options.device, memory_format=torch.channels_last)
    images = torch.randn(options.images, 3, 224, 224, device=options.device)
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        labels = network(images).argmax(1)  # so that "correct" is "decides as the intact network does"
    indices = np.arange(len(images))
    metric = FeatureImportance(network, resolve_blocks(network), indices, rows=options.rows, exact=options.exact)
    metric = metric.to(options.device)
    lower = torch.autocast(images.device.type, torch.bfloat16) if options.precision == "bf16" else nullcontext()
    with torch.inference_mode():
        network(images[:2])  # warm-up
        start = time.perf_counter()
        plain = [plain_loop(network, metric.points, part) for part in images.split(options.plain_batch)]
        if images.is_cuda:
            torch.cuda.synchronize()
        plain_seconds = time.perf_counter() - start
        start = time.perf_counter()
        with lower:
            for part in torch.arange(len(images)).split(options.batch):
                metric.update(images[part], labels[part], part)
        correct = metric.correctness()
        seconds = time.perf_counter() - start
    expected = np.concatenate(plain, 1) == labels.cpu().numpy()
    passes = 1 + sum(point.ratio > 0 for point in metric.points)
    print(f"resnet50_se, 224 px, {len(images)} images, {options.device}, {torch.get_num_threads()} threads")
    print(f"plain loop: {passes} passes in batches of {options.plain_batch}, float32")
    print(f"engine: batches of {options.batch}, {options.rows or 'default'} rows, {options.precision}")
    print(f"ratio: {plain_seconds / seconds:.2f} times as fast ({plain_seconds:.1f} s against {seconds:.1f} s)")
    print(f"top-1 decisions that differ: {(correct != expected).sum()} of {expected.size}")


if __name__ == "__main__":
    main()
