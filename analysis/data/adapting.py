"""The door for images of any kind: what a data set or loader can tell before it is read, asked once, in one place.

Nothing further in asks what kind of data it has. A data set of one's own gives (image, label) with a PIL image or a
tensor (3, H, W); `targets` (or `labels`), a whole number for every image, tells the labels before it is read, and
`classes` their names.
"""

import numbers
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from ..errors import UsageError
from ..networks.preprocessing import Geometry
from ..randomness import hashes
from .classes import distinct
from .datasets import ImageData, reason
from .decoding import UNREADABLE

SAMPLE = 64
"""Images whose sizes are looked at."""
_FOREIGN_SAMPLE = 8
"""… of other people's data sets, which may decode and transform a whole image to tell."""

WAY_OUT = "a list or Dataset of (image, label), with a PIL image or a tensor (3, H, W) and a whole number"


@dataclass(frozen=True)
class Images:
    """Labelled images of any kind, as far as they can tell before they are read.

    Args:
        source: what was given: an `ImageData`, a data set of (image, label) or a sequential DataLoader.
        name: what they are called.
        split: "train", "val", "test" or "".
        labels: of every image, int64; None where they are not known before they are read.
        classes: names of the classes in label order, where there are any.
        indices: of every image: that of the whole data set where this is a part of one, else the position.
        shape: (C, H, W) of an image that is a tensor, and is neither resized nor cropped; None of pictures, which are.
        normalised: whether they come normalised, as tensors of floating point do, and are taken as they are.
        geometry: that they are resized and cropped to already, as a cache is.
    """

    source: Dataset | DataLoader | Sequence
    name: str
    split: str
    labels: np.ndarray | None
    classes: tuple[str, ...]
    indices: np.ndarray = field(repr=False)
    shape: tuple[int, ...] | None = None
    normalised: bool = False
    geometry: Geometry | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def __str__(self) -> str:
        return f"{self.name}#{self.split}" if self.split else self.name

    @property
    def parts(self) -> dict | None:
        """Hashes of what identifies the images (`ImageData.parts`); None where nothing does."""
        return self.source.parts if isinstance(self.source, ImageData) else None

    @property
    def fingerprint(self) -> str | None:
        """One hash of all `parts`."""
        return self.source.fingerprint if isinstance(self.source, ImageData) else None

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """(width, height) of some of the images, chosen by a hash; of files the heads alone are read."""
        if self.shape:
            return [(self.shape[2], self.shape[1])]
        amount = SAMPLE if isinstance(self.source, ImageData) else _FOREIGN_SAMPLE
        chosen = np.argsort(hashes(0, "sizes", self.indices), kind="stable")[:amount].tolist()
        return [size for position in chosen if (size := _size(self.source, position))]

    @property
    def side(self) -> int | None:
        """The middle one among the shorter sides of some images, in pixels."""
        return int(np.median([min(size) for size in self.sizes])) if self.sizes else None

    @property
    def shared_side(self) -> int | None:
        """The shorter side where all the images that were looked at are of one size."""
        return min(self.sizes[0]) if len(set(self.sizes)) == 1 else None


def adapted(data) -> Images:
    """Images of any kind, checked and described.

    Args:
        data: an `ImageData`, a data set or sequence of (image, label), or a sequential DataLoader of batches of them.

    Raises:
        UsageError: data of another kind; the message says what would do.
    """
    if isinstance(data, Images):
        return data
    if isinstance(data, ImageData):
        return Images(
            data,
            data.name,
            data.split,
            data.labels,
            tuple(map(str, data.classes)),
            data.indices,
            geometry=getattr(data, "geometry", None),
        )
    labels, indices = known_labels(data), known_indices(data)
    image = _first_image(data) if len(indices) else None
    tensor = image if isinstance(image, torch.Tensor) else None
    return Images(
        data,
        type(_inner(data)).__name__,
        "",
        labels,
        tuple(known_classes(data)),
        indices,
        shape=None if tensor is None else tuple(tensor.shape),
        normalised=tensor is not None and tensor.dtype != torch.uint8,
    )


def _inner(data):
    return data.dataset if isinstance(data, DataLoader) else data


def _size(data, position: int) -> tuple[int, int] | None:
    """(width, height) of a picture, None where it cannot be read: who reads it all will say so."""
    try:
        image = data.read(position) if isinstance(data, ImageData) else pair_of(data[position], "data")[0]
        return image.size
    except UNREADABLE:
        return None


def known_labels(data) -> np.ndarray | None:
    """The labels of the whole data set where it can tell them without being read (`labels` or `targets`).

    Raises:
        UsageError: they are no whole numbers.
    """
    dataset = _inner(data)
    if isinstance(dataset, ImageData):
        return dataset.labels
    if isinstance(dataset, Subset):
        labels = known_labels(dataset.dataset)
        return None if labels is None else labels[np.asarray(dataset.indices, dtype=np.int64)]
    if isinstance(dataset, ConcatDataset):
        parts = [known_labels(part) for part in dataset.datasets]
        known = [part for part in parts if part is not None]
        return np.concatenate(known) if len(known) == len(parts) else None
    if isinstance(dataset, TensorDataset) and len(dataset.tensors) > 1:
        return _whole_numbers(dataset.tensors[1].cpu(), "the labels (second tensor) of the TensorDataset")
    for name in ("labels", "targets"):
        labels = getattr(dataset, name, None)
        if isinstance(labels, Sequence | np.ndarray | torch.Tensor) and len(labels) == len(dataset):
            return _whole_numbers(labels, f"the `{name}` of {type(dataset).__name__}")
    return None


def _whole_numbers(labels, what: str) -> np.ndarray:
    try:
        found = np.asarray(labels)
    except ValueError:  # lists of unequal lengths
        found = np.asarray(labels, dtype=object)
    if found.ndim == 2:
        raise UsageError(
            f"{what} are of shape {found.shape}; expected one whole number an image: .argmax(1) of one-hot"
        )
    whole = found.dtype.kind in "iub" or (found.dtype.kind == "f" and (found == np.floor(found)).all())
    if found.ndim != 1 or not whole:
        raise UsageError(f"{what} are of type {found.dtype.name}; expected one whole number an image, from 0 on")
    if found.size and not (found.min() >= -(2**63) and found.max() < 2**63):
        raise UsageError(f"{what} have the value {found.max()}; expected whole numbers from 0 on")
    return found.astype(np.int64)


def known_classes(data) -> list[str]:
    """The names of the classes in label order, where the data has any; two of one name get their labels."""
    while (inner := getattr(data, "dataset", None)) is not None:
        data = inner
    names = getattr(data, "classes", None)
    return distinct([str(name) for name in names]) if isinstance(names, Sequence) and not isinstance(names, str) else []


def known_indices(data) -> np.ndarray:
    """The index of every image: that of the whole data set where this is a part of one, else the position.

    Raises:
        UsageError: data without a length.
    """
    dataset = _inner(data)
    if isinstance(dataset, ImageData):
        return dataset.indices
    if isinstance(dataset, str | os.PathLike):
        raise UsageError(
            f"`{dataset}` is a path; expected a reference, such as the text folder:{dataset}, or {WAY_OUT}"
        )
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise UsageError(f"data of type {type(dataset).__name__} has no length; expected a data set or a DataLoader")
    if not hasattr(dataset, "__getitem__") or isinstance(dataset, Mapping | np.ndarray | torch.Tensor):
        raise UsageError(f"data of type {type(dataset).__name__} cannot be read here; expected {WAY_OUT}")
    if isinstance(dataset, Subset):
        return known_indices(dataset.dataset)[np.asarray(dataset.indices, dtype=np.int64)]
    return np.arange(len(dataset), dtype=np.int64)


def _first_image(data):
    """The first image of foreign data, once it is known to be of a kind that can be read."""
    if not isinstance(data, DataLoader):
        image, label = pair_of(data[0], type(data).__name__)
        check_image(image, type(data).__name__)
        whole_label(label, type(data).__name__)
        return image
    item = data.dataset[0]  # collated by hand: an iterator would start the loader's processes
    try:
        batch = item if data.batch_size is None and data.batch_sampler is None else data.collate_fn([item])
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"the DataLoader cannot make a batch of {type(data.dataset).__name__}: {reason(error)}; a transform that "
            f"ends in ToTensor and Normalize gives it tensors, or give the data set itself"
        ) from error
    return checked_batch(batch)[0][0]


KEYS = ("image", "images", "img", "pixel_values"), ("label", "labels")
"""What images and labels are called in dictionaries, as data sets of the hub and their collators have them."""


def pair_of(item, name: str):
    """Image and label of an item, or of a batch: a pair, or a dictionary with one key for each (`KEYS`).

    Raises:
        UsageError: it is something else.

    >>> pair_of({"img": "a picture", "label": 3}, "Own")
    ('a picture', 3)
    """
    if isinstance(item, Mapping):
        found = [[key for key in keys if key in item] for keys in KEYS]
        if any(len(keys) != 1 for keys in found):
            raise UsageError(
                f"{name} gives dictionaries of {', '.join(map(repr, item))}; expected one key of {', '.join(KEYS[0])} "
                f"and one of {', '.join(KEYS[1])}, or pairs of image and label: let its __getitem__, or a loader's "
                f"collate_fn, return them"
            )
        return item[found[0][0]], item[found[1][0]]
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise UsageError(f"{name} gives {_described(item)}; expected {WAY_OUT}")
    return item[0], item[1]


def check_image(image, name: str) -> None:
    """Refuse what is neither a picture nor a tensor (C, H, W).

    Raises:
        UsageError: it is something else.
    """
    if isinstance(image, np.ndarray):
        way = "PIL.Image.fromarray(image)" if image.ndim == 3 and image.shape[-1] == 3 else "torch.from_numpy(image)"
        raise UsageError(
            f"{name} gives images as arrays of shape {image.shape}; expected a PIL image or a tensor (3, H, W): {way}"
        )
    if isinstance(image, torch.Tensor):
        if image.ndim != 3:
            raise UsageError(f"{name} gives images of shape {tuple(image.shape)}; expected a tensor (3, H, W)")
        if image.shape[-1] == 3 and image.shape[0] != 3:
            raise UsageError(
                f"{name} gives images of shape {tuple(image.shape)}; expected (3, H, W): image.permute(2, 0, 1)"
            )
    elif not isinstance(image, Image.Image):
        raise UsageError(f"{name} gives {_described(image)} as an image; expected a PIL image or a tensor (3, H, W)")


def whole_label(label, name: str) -> int:
    """A label as a whole number.

    Raises:
        UsageError: it is none.
    """
    if isinstance(label, numbers.Integral):
        return int(label)
    if isinstance(label, numbers.Real) and float(label).is_integer():
        return int(float(label))
    if isinstance(label, np.ndarray | torch.Tensor | list | tuple):
        values = np.asarray(label)
        if values.size == 1:
            return whole_label(values.item(), name)
        if values.size > 1:
            raise UsageError(
                f"{name} gives labels of {values.size} values; expected one whole number: of a one-hot label the place "
                f"of its 1, .argmax()"
            )
    raise UsageError(f"{name} gives {_described(label)} as a label; expected a whole number, 0 to classes - 1")


def checked_batch(batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, C, H, W) and labels (N,) of a batch of someone's DataLoader.

    Raises:
        UsageError: it is something else.
    """
    images, labels = pair_of(batch, "the DataLoader")
    if not isinstance(images, torch.Tensor) or images.ndim != 4:
        raise UsageError(
            f"the DataLoader gives {_described(images)} as images; expected a tensor (N, 3, H, W), as of a data set "
            f"whose transform ends in ToTensor and Normalize"
        )
    if images.shape[-1] == 3 and images.shape[1] != 3:
        raise UsageError(
            f"the DataLoader gives images of shape {tuple(images.shape)}; expected (N, 3, H, W): .permute(0, 3, 1, 2)"
        )
    return images, torch.from_numpy(_whole_numbers(labels, "the labels of a batch"))


def _described(value) -> str:
    """A value's kind in words."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    if isinstance(value, str | numbers.Number):
        return f"{type(value).__name__} {value!r}"[:80]
    return type(value).__name__
