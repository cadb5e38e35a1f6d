"""Throughput of the selectivity pass against a bare forward loop over the same images, in one run, as a ratio.

Both read the held-out digits, run the same mini_resnet in float32 and channels-last; the pass adds capture, sums, null,
cross-fitting and bootstrap for six blocks. Medians of paired rounds.
"""

import statistics
import time

import torch

import analysis
from analysis.data import batches

ROUNDS = 5


def bare(network: torch.nn.Module, data) -> None:
    with torch.inference_mode():
        for batch in batches(data, [network.preprocessing.geometry], 64):
            images = network.preprocessing.normalize(batch.images[network.preprocessing.geometry])
            network(images.contiguous(memory_format=torch.channels_last))


def seconds(work, *arguments, **options) -> float:
    start = time.perf_counter()
    work(*arguments, **options)
    return time.perf_counter() - start


def main() -> None:
    data = analysis.load_data("digits#val")
    network = analysis.load_network("mini_resnet_se").to(memory_format=torch.channels_last)
    options = analysis.SweepOptions("cpu", progress=False)
    plain = {"permutations": 0, "replicates": 0}
    ratios: dict[str, list[float]] = {"index alone": [], "with null and bootstrap": []}
    bare(network, data)  # warm-up
    for _ in range(ROUNDS):
        base = seconds(bare, network, data)
        ratios["index alone"].append(base / seconds(analysis.selectivity, network, data, options=options, **plain))
        ratios["with null and bootstrap"].append(base / seconds(analysis.selectivity, network, data, options=options))
    print(f"mini_resnet_se, {len(data)} images of 32 px, CPU, {torch.get_num_threads()} threads, {ROUNDS} rounds")
    for name, values in ratios.items():
        print(f"{name}: {statistics.median(values):.2f} of the bare loop's images per second")


if __name__ == "__main__":
    main()
