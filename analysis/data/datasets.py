"""Labelled images by reference: `digits`, `cifar10[:DIR]`, `folder:DIR`, each with `#split`."""

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from analysis.errors import RunError, UsageError, unknown

SPLITS = ("train", "val")


class ImageData(Dataset):
    """Labelled images: item i is (PIL image in RGB, label, index).

    Args:
        name: the reference without its split.
        split: "train" or "val", or "" where there is only one.
        classes: class names in label order.
        labels: label of every image, known before any is read.
        identifiers: a stable name for every image, free of absolute paths.
        indices: the index of every image in the whole split; all randomness of an analysis hangs on it.
        read: gives image i as PIL.
        note: what figures should say of these images, if anything.
    """

    def __init__(
        self,
        name: str,
        split: str,
        classes: Sequence[str],
        labels: Sequence[int],
        identifiers: Sequence[str],
        read: Callable[[int], Image.Image],
        indices: Sequence[int] | None = None,
        note: str = "",
    ):
        self.name, self.split, self.classes, self.note = name, split, list(classes), note
        self.labels = np.asarray(labels, dtype=np.int64)
        self.identifiers = list(identifiers)
        self.indices = np.arange(len(self.labels)) if indices is None else np.asarray(indices, dtype=np.int64)
        self.read = read

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[Image.Image, int, int]:
        return self.read(position).convert("RGB"), int(self.labels[position]), int(self.indices[position])

    def __str__(self) -> str:
        return f"{self.name}#{self.split}" if self.split else self.name

    @property
    def fingerprint(self) -> str:
        """A hash of identifiers and labels: equal for the same images in the same order, wherever they lie."""
        digest = hashlib.sha256()
        for identifier, label, index in zip(self.identifiers, self.labels, self.indices, strict=True):
            digest.update(f"{identifier}\0{label}\0{index}\n".encode())
        return digest.hexdigest()[:16]

    def limited(self, images: int) -> "ImageData":
        """A class-balanced subset: images are taken class by class in turn, in the order of a hash of their index."""
        from analysis.randomness import hashes

        if images < 1:
            raise UsageError(f"cannot limit the data to {images} images; expected at least 1")
        order = np.argsort(hashes(0, "limit", self.indices), kind="stable")
        turn = np.empty(len(self), dtype=np.int64)
        for label in np.unique(self.labels):
            members = order[self.labels[order] == label]
            turn[members] = np.arange(len(members))
        chosen = np.sort(order[np.argsort(turn[order], kind="stable")][:images])
        return ImageData(
            self.name,
            self.split,
            self.classes,
            self.labels[chosen],
            [self.identifiers[position] for position in chosen],
            lambda position: self.read(int(chosen[position])),
            self.indices[chosen],
            self.note,
        )


def load_data(reference: "str | Dataset", split: str = "val") -> "ImageData | Dataset":
    """The images that a reference names.

    Args:
        reference: `digits`, `cifar10[:DIR]` or `folder:DIR`, then `#train` or `#val` where both exist; anything else
            than text is returned as it is.
        split: the split taken where the reference names none.

    Raises:
        UsageError: an unknown name, folder or split.
        RunError: data that is not there, is empty, or cannot be fetched.

    >>> len(load_data("digits#train")), len(load_data("digits"))
    (1257, 540)
    """
    if not isinstance(reference, str):
        return reference
    head, mark, named = reference.partition("#")
    if mark and named not in SPLITS:
        raise unknown("split", named, SPLITS)
    name, _, location = head.partition(":")
    readers = {"digits": _digits, "cifar10": _cifar10, "folder": _folder}
    if name not in readers:
        raise unknown("data", name, readers)
    return readers[name](location, named, split)


@cache
def _digit_images() -> tuple[list[Image.Image], np.ndarray]:
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    levels = np.rint(scans.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    return [Image.fromarray(scan).resize((32, 32), Image.Resampling.BILINEAR) for scan in levels], labels


def _digits(location: str, named: str, split: str) -> ImageData:
    """scikit-learn's scans of handwritten digits, 8×8 enlarged to 32×32 bilinearly; a fixed stratified 70/30 split."""
    from sklearn.model_selection import train_test_split

    if location:
        raise UsageError(f"`digits` takes no location, but got `{location}`")
    split = named or split
    images, labels = _digit_images()
    train, val = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=0, stratify=labels)
    chosen = np.sort(train if split == "train" else val)
    return ImageData(
        "digits",
        split,
        [str(digit) for digit in range(10)],
        labels[chosen],
        [f"digit-{position:04d}" for position in chosen],
        lambda position: images[chosen[position]],
        note="8×8 scans enlarged to 32×32",
    )


def _cifar10(location: str, named: str, split: str) -> ImageData:
    from torchvision.datasets import CIFAR10

    split = named or split
    root = Path(location) if location else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "gelens"
    try:
        dataset = CIFAR10(root, train=split == "train", download=not location)
    except (OSError, RuntimeError) as error:  # torchvision raises RuntimeError for absent or damaged files
        raise RunError(
            f"cifar10 is not in `{root}` and could not be fetched: put {CIFAR10.filename} from {CIFAR10.url} there "
            f"and unpack it, or name its folder as cifar10:DIR"
        ) from error
    return ImageData(
        "cifar10",
        split,
        dataset.classes,
        dataset.targets,
        [f"{split}-{position:05d}" for position in range(len(dataset))],
        lambda position: Image.fromarray(dataset.data[position]),
    )


def _folder(location: str, named: str, split: str) -> ImageData:
    from torchvision.datasets import ImageFolder

    root = Path(location)
    if not location or not root.is_dir():
        raise UsageError(f"no folder `{location}`; expected folder:DIR with one subfolder of images for each class")
    have = [each for each in SPLITS if (root / each).is_dir()]
    if have and (named or split) not in have:
        raise UsageError(f"folder `{location}` has no split `{named or split}`; it has {', '.join(have)}")
    if not have and (named or split != "val"):
        raise UsageError(f"folder `{location}` has no subfolder `{named or split}`; expected train and val in it")
    split = (named or split) if have else ""
    root = root / split
    try:
        dataset = ImageFolder(root, allow_empty=True)
    except FileNotFoundError as error:
        raise RunError(f"folder `{root}` has no class subfolders with images") from error
    if not dataset.samples:
        raise RunError(f"folder `{root}` has no images; expected files ending in {', '.join(dataset.extensions or ())}")
    identifiers = [Path(path).relative_to(root).as_posix() for path, _ in dataset.samples]
    name = f"folder:{re.sub(r'/+$', '', location)}"
    return ImageData(
        name,
        split,
        dataset.classes,
        dataset.targets,
        identifiers,
        lambda position: dataset.loader(dataset.samples[position][0]),
    )
