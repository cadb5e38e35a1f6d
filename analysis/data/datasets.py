"""Labelled images by reference: `digits`, `cifar10[:DIR]`, `folder:DIR`, each with `#split`."""

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import Dataset
from torchvision.datasets.folder import pil_loader

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
        sizes: bytes of every image's file, for the fingerprint, where there are files.
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
        sizes: Sequence[int] = (),
    ):
        self.name, self.split, self.classes, self.note = name, split, list(classes), note
        self.labels = np.asarray(labels, dtype=np.int64)
        self.identifiers = list(identifiers)
        self.indices = np.arange(len(self.labels)) if indices is None else np.asarray(indices, dtype=np.int64)
        self.read, self.sizes = read, list(sizes)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[Image.Image, int, int]:
        try:
            image = self.read(position).convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # as Pillow's readers raise
            raise RunError(f"image `{self.identifiers[position]}` of {self} cannot be read: {error}") from error
        return image, int(self.labels[position]), int(self.indices[position])

    def __str__(self) -> str:
        return f"{self.name}#{self.split}" if self.split else self.name

    @property
    def fingerprint(self) -> str:
        """A hash of identifiers, labels and files' sizes: equal for the same images in the same order anywhere."""
        digest = hashlib.sha256(repr(self.sizes).encode())
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
            partial(_read_chosen, self.read, chosen),
            self.indices[chosen],
            self.note,
            [self.sizes[position] for position in chosen] if self.sizes else (),
        )


def _read_chosen(read: Callable[[int], Image.Image], chosen: np.ndarray, position: int) -> Image.Image:
    """A reader of some of another's images. Readers are module-level functions: worker processes may pickle them."""
    return read(int(chosen[position]))


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
        partial(_read_chosen, images.__getitem__, chosen),
        note="8×8 scans enlarged bilinearly to 32×32",
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
        partial(_read_array, dataset.data),
    )


def _read_array(pixels: np.ndarray, position: int) -> Image.Image:
    return Image.fromarray(pixels[position])


def _folder(location: str, named: str, split: str) -> ImageData:
    from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

    root = Path(location)
    if not location or not root.is_dir():
        raise UsageError(f"no folder `{location}`; expected folder:DIR with one subfolder of images for each class")
    have = [each for each in SPLITS if (root / each).is_dir()]
    if have and (named or split) not in have:
        raise UsageError(f"folder `{location}` has no split `{named or split}`; it has {', '.join(have)}")
    if not have and (named or split != "val"):
        raise UsageError(f"folder `{location}` has no subfolder `{named or split}`; expected train and val in it")
    split = (named or split) if have else ""
    try:
        # splits share one numbering of classes, also where one of them lacks some
        names = sorted(set().union(*(find_classes(root / each)[0] for each in (have if split else [""]))))
    except FileNotFoundError as error:
        raise RunError(f"folder `{root / split}` has no class subfolders with images") from error
    root = root / split
    numbers = {name: number for number, name in enumerate(names)}
    samples = make_dataset(str(root), numbers, IMG_EXTENSIONS, allow_empty=True)
    if not samples:
        raise RunError(f"folder `{root}` has no images; expected files ending in {', '.join(IMG_EXTENSIONS)}")
    paths = [Path(path) for path, _ in samples]
    return ImageData(
        f"folder:{re.sub(r'/+$', '', location)}",
        split,
        names,
        [label for _, label in samples],
        [path.relative_to(root).as_posix() for path in paths],
        partial(_read_file, paths),
        sizes=[path.stat().st_size for path in paths],
    )


def _read_file(paths: Sequence[Path], position: int) -> Image.Image:
    return pil_loader(paths[position])
