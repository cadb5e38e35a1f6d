"""Reading images.

The images of a folder of classes (`val/<synset>/*.JPEG`; 200 of smooth noise, 500 × 375 px, where none is given) are
put into every form, in a temporary folder. Each form is read whole, decoded, resized and cropped to 224 px, in one
process, in turn with torchvision's ImageFolder, which has the same transform and batches. Then: how much of a
ResNet-50's forward pass waits for data.

    python -m benchmarks.data [DIR] [--images 1000] [--workers 0]
"""

import io
import statistics
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from benchmarks.table import Table, options_of, parser_of
from gelens.data import ImageData, batches, imagenet, load_data
from gelens.data.cached import write_cache
from gelens.data.loading import _geometry_transform
from gelens.devices import keep_freed_memory
from gelens.networks import load_network

BATCH = 50


def write_forms(data: ImageData, root: Path, geometry) -> dict[str, ImageData]:
    """The same images in every form."""
    from datasets import ClassLabel, Dataset, Features
    from datasets import Image as ImageColumn

    folder = root / "folder"
    contents = [(data.read.args[0].root / name).read_bytes() for name in data.identifiers]
    entries = list(zip(data.identifiers, contents, data.labels.tolist(), strict=True))
    for name, content, _ in entries:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    with tarfile.open(root / "images.tar", "w") as plain, tarfile.open(root / "shard.tar", "w") as shard:
        for name, content, label in entries:
            members = ((plain, name, content), (shard, name, content), (shard, _cls(name), str(label).encode()))
            for archive, path, stored in members:
                member = tarfile.TarInfo(path)
                member.size = len(stored)
                archive.addfile(member, io.BytesIO(stored))
    rows = {"image": [{"bytes": content, "path": name} for name, content, _ in entries]}
    rows["label"] = [label for *_, label in entries]
    features = Features({"image": ImageColumn(), "label": ClassLabel(names=data.synsets)})
    Dataset.from_dict(rows, features=features).to_parquet(root / "images.parquet")
    forms = {
        "folder": f"folder:{folder}",
        "imagenet": f"imagenet:{folder}",
        "tar": f"tar:{root / 'images.tar'}",
        "webdataset": f"webdataset:{root / 'shard.tar'}",
        "parquet": f"parquet:{root / 'images.parquet'}",
        "cache": f"cache:{root / 'cache'}",
    }
    write_cache(load_data(forms["folder"]), geometry, root / "cache", progress=False)
    return {name: load_data(reference) for name, reference in forms.items()}


def noise(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(200):
        folder = root / imagenet.synsets()[number % 20]
        folder.mkdir(parents=True, exist_ok=True)
        levels = rng.integers(0, 256, (15, 20, 3)).astype(np.uint8)
        Image.fromarray(levels).resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{number:03}.JPEG")
    return root


def _cls(name: str) -> str:
    return f"{name.rpartition('.')[0]}.cls"


def seconds(loader) -> float:
    start = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - start


def waiting(network, data: ImageData, images: int, workers: int) -> float:
    """The share of a forward pass's time in which it waits for the next batch."""
    waited, begun = 0.0, time.perf_counter()
    geometry = network.preprocessing.geometry
    reading = batches(data.subset(range(images)), [geometry], 32, workers)
    with torch.inference_mode():
        while True:
            start = time.perf_counter()
            batch = next(reading, None)
            waited += time.perf_counter() - start
            if batch is None:
                return waited / (time.perf_counter() - begun)
            images = network.preprocessing.normalize(batch.images[geometry])
            network(images.contiguous(memory_format=torch.channels_last))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0)
    options = options_of(parser, images=20, rounds=1)
    keep_freed_memory()
    network = load_network("resnet50").to(memory_format=torch.channels_last)
    table = Table()
    with tempfile.TemporaryDirectory() as scratch:
        data = load_data(f"folder:{options.folder or noise(Path(scratch) / 'noise')}").limited(options.images)
        measure(table, network, data, Path(scratch), options)
    table.write(options.out, "data")


def measure(table: Table, network, data: ImageData, scratch: Path, options) -> None:
    geometry = network.preprocessing.geometry
    forms = write_forms(data, scratch, geometry)
    theirs = ImageFolder(scratch / "folder", transform=_geometry_transform(geometry))
    ratios: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(options.rounds):
        for name, each in forms.items():
            plain = seconds(DataLoader(theirs, BATCH, num_workers=options.workers))
            ratios[name].append(plain / seconds(batches(each, [geometry], BATCH, options.workers)))
    part = f"{len(data)} images, {options.workers} workers"
    table.add(part, "ImageFolder", len(data) / plain, "images/s")
    for name, values in ratios.items():
        table.add(part, name, statistics.median(values), "of ImageFolder's images/s")
    count = min(128, len(data))
    for name, workers in (("folder", 0), ("folder", 2), ("cache", 0), ("cache", 2)):
        share = waiting(network, forms[name], count, workers)
        table.add(
            f"ResNet-50 over {count} images", f"waits for {name}, {workers} workers", 100 * share, "% of the time"
        )


if __name__ == "__main__":
    main()
