"""The pass that records activities.

It records every image's activities and predictions at six stage-four blocks of SE-ResNet-50, 224 px, in turn with a
bare forward loop of the same network, precision, layout and images, and with one that stores every map and computes the
index (alone) at the end. Two numbers of images tell what each image costs from what is paid once (a look at the network
before the pass). Weights and images are random: the time does not depend on them.

    python -m benchmarks.selectivity [--images 256]         throughput, and a store-everything implementation
    python -m benchmarks.selectivity --loader DIR           against a plain loop over timm's create_loader on a folder
    python -m benchmarks.selectivity --demo runs/demo       how far bfloat16 moves the index, on trained networks
"""

import statistics
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import gelens
from benchmarks.table import Table, options_of, parser_of
from gelens.analyses.inputs import Inputs
from gelens.anatomy.sites import resolve_blocks
from gelens.data import ImageData, batches
from gelens.devices import keep_freed_memory, resolve_device
from gelens.networks import load_network
from gelens.sweep.passing import SweepOptions

CLASSES, UNITS, BLOCKS = 1000, 1024, 6
"""Of ImageNet, and of stage four of ResNet-50."""


def random_images(count: int) -> ImageData:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 224, 224, 3), dtype=np.uint8)
    labels = np.arange(count) % 50  # several images a class, so that there is a null
    names = [f"random-{number}" for number in range(count)]
    classes = [str(label) for label in range(CLASSES)]
    return ImageData("random", "", classes, labels, names, lambda position: Image.fromarray(pixels[position]))


def bare(network, data: ImageData, batch_size: int, device: torch.device) -> None:
    geometry = network.preprocessing.geometry
    with torch.inference_mode():
        for batch in batches(data, [geometry], batch_size):
            images = network.preprocessing.normalize(batch.images[geometry].to(device, non_blocking=True))
            logits = network(images.contiguous(memory_format=torch.channels_last))
    logits.cpu()


def store_everything(network, data: ImageData, batch_size: int, device: torch.device) -> tuple[np.ndarray, int]:
    """The index of every unit from all maps at once, and the bytes that were stored."""
    blocks, geometry = resolve_blocks(network), network.preprocessing.geometry
    maps: dict[str, list[torch.Tensor]] = {block: [] for block in blocks}
    with torch.inference_mode():
        for batch in batches(data, [geometry], batch_size):
            images = network.preprocessing.normalize(batch.images[geometry].to(device))
            with gelens.capture(network, blocks) as features:
                network(images.contiguous(memory_format=torch.channels_last))
            for block in blocks:
                maps[block].append(features[block].cpu())
    stored = sum(part.nbytes for parts in maps.values() for part in parts)
    indices = []
    for parts in maps.values():
        activity = torch.cat(parts).mean((2, 3)).double().numpy()
        means = np.stack([activity[data.labels == label].mean(0) for label in np.unique(data.labels)])
        best = means.max(0)
        rest = (means.sum(0) - best) / (len(means) - 1)
        total = best + rest
        indices.append(np.divide(best - rest, total, out=np.full_like(total, np.nan), where=total > 0))
    return np.stack(indices), stored


def seconds(work, *arguments, **options) -> float:
    start = time.perf_counter()
    work(*arguments, **options)
    return time.perf_counter() - start


def throughput(table: Table, options) -> None:
    device, few, data = (
        resolve_device(options.device),
        random_images(options.images // 4),
        random_images(options.images),
    )
    network = load_network("resnet50_se").to(device, memory_format=torch.channels_last)
    how = SweepOptions(options.device, batch_size=options.batch, progress=False)
    plain = lambda images: bare(network, images, options.batch, device)
    ways = {
        "recording": lambda images: gelens.record(network, images, options=how),
        "storing every map": lambda images: store_everything(network, images, options.batch, device),
    }
    for work in (plain, *ways.values()):
        work(few)  # warm-up
    for name, work in ways.items():
        # in turn with the bare loop: this machine's speed may change from one minute to the next
        spent = sum(
            np.array([seconds(each, images) for images in (few, data) for each in (plain, work)])
            for _ in range(options.rounds)
        )
        (base_few, mine_few), (base, mine) = spent.reshape(2, 2) / options.rounds
        base_each, mine_each = (
            (large - small) / (len(data) - len(few)) for small, large in ((base_few, base), (mine_few, mine))
        )
        fixed = max(mine_few - mine_each * len(few), 0.0)
        note = f"batches of {options.batch}, {device}, {options.rounds} rounds; images/s"
        table.add(name, f"{len(data)} images", base / mine, "of the bare loop", note=note)
        table.add(name, "each further image", base_each / mine_each, "of the bare loop")
        table.add(name, "paid once", fixed, "s")
    found = gelens.selectivity(network, data, options=how, permutations=0, replicates=0)
    indices, stored = ways["storing every map"](data)
    apart = np.nanmax(np.abs(indices.ravel() - found["csi"].to_numpy()))
    for name, each in (("recording", BLOCKS * UNITS * 4), ("storing every map", stored / len(data))):
        table.add(name, "stored for 50,000 images", 50_000 * each / 2**30, "GiB")
    table.add("storing every map", "greatest difference of its indices from the pass's", float(apart))


def against_loader(table: Table, options) -> None:
    """The pass on a folder of images against a plain loop over timm's create_loader, network in its default layout."""
    keep_freed_memory()
    import timm
    from timm.data import create_dataset, create_loader, resolve_model_data_config

    theirs = timm.create_model("seresnet50").eval()
    config = resolve_model_data_config(theirs)
    keys = ("input_size", "interpolation", "mean", "std", "crop_pct")
    loader = create_loader(
        create_dataset("", str(options.loader)),
        batch_size=options.batch,
        use_prefetcher=False,
        num_workers=0,
        device=torch.device("cpu"),
        **{key: config[key] for key in keys},
    )

    def plain() -> None:
        count = 0
        with torch.inference_mode():
            for images, _ in loader:
                theirs(images)
                count += len(images)
                if count >= options.images:
                    return

    ours = load_network("timm/seresnet50")
    data = gelens.load_data(f"folder:{options.loader}")
    data = data.limited(options.images)
    how = SweepOptions(options.device, batch_size=options.batch, progress=False)
    plain()
    ratios = [seconds(plain) / seconds(gelens.selectivity, ours, data, options=how) for _ in range(options.rounds)]
    what = f"timm's seresnet50 on {options.images} images of a folder"
    note = "images/s of a plain loop over create_loader, which measures nothing"
    table.add("loader", what, statistics.median(ratios), "of the plain loop", note=note)


def demo(table: Table, options) -> None:
    """The distribution over units of the index in bfloat16 less that in float32, on the demo's own networks."""
    for name in ("mini_resnet", "mini_resnet_se"):
        inputs = Inputs([f"{name}@{options.demo / 'training' / name / 'weights.safetensors'}"], "digits")
        (network,) = inputs.load_networks().values()
        data = inputs.load_data()
        tables = [
            gelens.selectivity(network, data, options=SweepOptions(options.device, precision, progress=False))
            for precision in ("fp32", "bf16")
        ]
        moved = (tables[1]["csi"] - tables[0]["csi"]).dropna()
        error = tables[0]["csi_se"].median()
        size = moved.abs()
        part = f"{name}, trained, bfloat16"
        table.add(part, "|difference|, median", size.median())
        table.add(part, "|difference|, 99 % below", size.quantile(0.99))
        table.add(part, "|difference|, greatest", size.max())
        table.add(part, "mean difference", moved.mean(), note=f"median standard error {error:.1g}")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--loader", type=Path)
    parser.add_argument("--demo", type=Path)
    options = options_of(parser, images=8, batch=2, rounds=1)
    table = Table()
    if options.demo:
        demo(table, options)
    elif options.loader:
        against_loader(table, options)
    else:
        throughput(table, options)
    table.write(options.out, "selectivity")


if __name__ == "__main__":
    main()
