"""Batches of labelled images, read once and prepared for each network's geometry."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from timm.data import create_transform
from torch.utils.data import DataLoader, Dataset, SequentialSampler, Subset, default_collate

from analysis.errors import UsageError

Geometry = tuple[int, float, str]


@dataclass
class Batch:
    """Images of one batch on the host, for each geometry asked for, with labels, indices and positions in the data.

    `images[g]` is (N, 3, H, W), uint8 where we decoded it, or whatever a foreign data set gave.
    """

    images: dict[Geometry, torch.Tensor]
    labels: torch.Tensor
    indices: torch.Tensor
    positions: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


@cache
def _geometry_transform(geometry: Geometry):
    size, crop_pct, interpolation = geometry
    # timm's evaluation transform without its last steps: bytes now, normalisation on the device
    return create_transform(size, crop_pct=crop_pct, interpolation=interpolation, use_prefetcher=True)


class _Prepared(Dataset):
    """Item i of any data set of (image, label[, index]) as (images by geometry, label, index, position)."""

    def __init__(self, data: Dataset, geometries: Sequence[Geometry]):
        self.data, self.geometries = data, list(geometries)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, position: int):
        image, label, *index = self.data[position]
        if isinstance(image, torch.Tensor):
            images = [image] * len(self.geometries)
        else:
            images = [_geometry_transform(geometry)(image) for geometry in self.geometries]
        return images, int(label), int(index[0]) if index else position, position


def known_labels(data) -> np.ndarray | None:
    """The labels of the whole data set where it can tell them without being read (`labels` or `targets`)."""
    dataset = data.dataset if isinstance(data, DataLoader) else data
    for name in ("labels", "targets"):
        labels = getattr(dataset, name, None)
        if labels is not None and len(labels) == len(dataset):
            return np.asarray(labels, dtype=np.int64)
    return None


def known_indices(data) -> np.ndarray:
    """The index of every image of the data set: its own where it has them, else its position."""
    dataset = data.dataset if isinstance(data, DataLoader) else data
    indices = getattr(dataset, "indices", None) if not isinstance(dataset, Subset) else None
    return np.arange(len(dataset)) if indices is None else np.asarray(indices, dtype=np.int64)


def batches(
    data: Dataset | DataLoader,
    geometries: Sequence[Geometry],
    batch_size: int = 64,
    workers: int = 0,
    start: int = 0,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """Read data in order, from position `start` on.

    Args:
        data: a data set of (image, label) or (image, label, index), or a sequential DataLoader of batches of them.
        geometries: what to resize and crop decoded images to; each image is decoded once.
        batch_size: images in a batch; a DataLoader brings its own.

    Raises:
        UsageError: a DataLoader that shuffles, or data without a length.
    """
    geometries = list(dict.fromkeys(geometries))
    if isinstance(data, DataLoader):
        if not isinstance(data.sampler, SequentialSampler):
            raise UsageError(
                f"the DataLoader draws by {type(data.sampler).__name__}; expected a sequential one (shuffle=False)"
            )
        yield from _foreign_batches(data, geometries, start)
        return
    if not hasattr(data, "__len__"):
        raise UsageError(f"data of type {type(data).__name__} has no length; expected a data set or a DataLoader")
    prepared = _Prepared(data, geometries)
    remaining = Subset(prepared, range(start, len(prepared))) if start else prepared
    for images, labels, indices, positions in DataLoader(
        remaining,
        batch_size,
        num_workers=workers,
        pin_memory=pin_memory,
        collate_fn=default_collate,
        persistent_workers=False,
    ):
        yield Batch(dict(zip(geometries, images, strict=True)), labels, indices, positions)


def _foreign_batches(loader: DataLoader, geometries: Sequence[Geometry], start: int) -> Iterator[Batch]:
    position = 0
    for images, labels, *_ in loader:
        positions = torch.arange(position, position + len(labels))
        position += len(labels)
        if position <= start:
            continue
        yield Batch(dict.fromkeys(geometries, images), torch.as_tensor(labels), positions, positions)
