"""Labelled images with stable identifiers: what every reference to data gives."""

import base64
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from html import escape
from pathlib import PurePath
from typing import Self

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from ..choices import FORMS, Form
from ..errors import RunError, UsageError, plain
from ..randomness import hashes
from . import imagenet
from .classes import distinct
from .decoding import UNREADABLE, decoding
from .identifiers import Names

SPLITS = ("train", "val", "test")
"""The splits that a reference can name. Folders are taken for splits where there is one of train or val."""
MOST_CLASSES = 100_000
"""A label beyond is taken for damage: statistics have a place for every class up to the highest label."""


_SHOWN_CLASSES = 10


class ImageData(Dataset):
    """Labelled images: item i is (PIL image in RGB, label, index).

    Args:
        name: the reference without its split.
        split: one of `SPLITS`, or "" where there is only one.
        classes: class names in label order; ImageNet's synsets become names, and two of one name get their labels.
        labels: label of every image, known before any is read.
        identifiers: a stable name for every image, free of absolute paths; control characters are spelled out.
        read: gives image i as PIL, decoded or not.
        indices: the index of every image in the whole split; all randomness of an analysis hangs on it.
        note: what figures should say of these images, if anything.
        sizes: bytes of every image's file, for the fingerprint, where there are files; −1 for one that is not there.
        faults: what is wrong with images that were found but cannot be among these, by identifier.
        label: what a person calls them, for figures.
        by_name: whether their classes are in the order of their names, so that no source has said which label is whose;
            so they are always in folders and tars.
    """

    def __init__(
        self,
        name: str,
        split: str,
        classes: Sequence[str],
        labels: Sequence[int] | np.ndarray,
        identifiers: Sequence[str],
        read: Callable[[int], Image.Image],
        indices: Sequence[int] | np.ndarray | None = None,
        note: str = "",
        sizes: Sequence[int] | np.ndarray = (),
        faults: Mapping[str, str] | None = None,
        label: str | None = None,
        by_name: bool = False,
    ):
        self.name, self.split, self.note, self.read = name, split, note, read
        self.label = label
        self.by_name = by_name or _form(name).by_name
        self.by_position = False
        """Whether a person has said that the order of these classes is that of the networks' outputs."""
        names, self.synsets = imagenet.recognised([plain(each) for each in classes])
        self.classes = distinct(names)
        self.labels = np.asarray(labels, dtype=np.int64)
        self.identifiers = Names(_spelled(identifiers))
        self.indices = np.arange(len(self.labels)) if indices is None else np.asarray(indices, dtype=np.int64)
        self.sizes = np.asarray(sizes, dtype=np.int64)
        self.faults = {plain(name): fault for name, fault in (faults or {}).items()}
        self.skipped: dict[str, str] = {}
        """What was left out of these as unreadable, and why, by identifier."""
        self.contents: dict[str, str] | None = None
        """Hashes of what some of them show (`gelens.data.contents`), where they are known without reading them."""
        self.checked = False
        """Whether the images were looked at, and none found that cannot be read."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[Image.Image, int, int]:
        try:
            image = in_rgb(self.read(position))
        except UNREADABLE as error:
            raise RunError(
                f"image `{self.identifiers[position]}` of {self} cannot be read: {reason(error)}; --skip-unreadable "
                f"leaves such images out"
            ) from error
        return image, int(self.labels[position]), int(self.indices[position])

    def __str__(self) -> str:
        return f"{self.name}#{self.split}" if self.split else self.name

    def __repr__(self) -> str:
        name = f"{self.title}#{self.split}" if self.split else self.title
        return f"{name}: {len(self)} images of {len(self.classes)} classes"

    def _repr_html_(self) -> str:
        """In Jupyter: what they are, and an image of each of the first classes."""
        firsts = {label: np.flatnonzero(self.labels == label)[:1] for label in range(_SHOWN_CLASSES)}
        shown = [
            _thumbnail(self[int(position)][0], self.classes[label])
            for label, found in firsts.items()
            for position in found
        ]
        return f"<p>{escape(repr(self))}</p>{''.join(shown)}"

    @property
    def title(self) -> str:
        """What figures call them: the label that a person chose, else the reference without folders of this machine.

        >>> ImageData("folder:/home/a/birds", "val", ["wren"], [0], ["0"], read=None).title
        'birds'
        """
        form, _, location = self.name.partition(":")
        return self.label or (PurePath(location).name if _form(form).any_images else "") or form

    @property
    def caption(self) -> str:
        """What a figure says of them: `note` of the functions in `gelens.figures`."""
        name = repr(self).partition(":")[0]
        return f"{name}: {self.note}, {len(self)} images." if self.note else f"{name}, {len(self)} images."

    @property
    def parts(self) -> dict[str, str | int]:
        """Hashes of what identifies the images: equal for the same images in the same order anywhere."""
        named = {"names": self.identifiers.tobytes(), "labels": self.labels.tobytes()}
        named |= {"places in the split": self.indices.tobytes(), "sizes of files": self.sizes.tobytes()}
        return {"images": len(self)} | {name: hashlib.sha256(each).hexdigest()[:16] for name, each in named.items()}

    @property
    def fingerprint(self) -> str:
        """One hash of all `parts`."""
        return hashlib.sha256(repr(self.parts).encode()).hexdigest()[:16]

    def limited(self, images: int | None = None, per_class: int | None = None, seed: int = 0) -> "ImageData":
        """A class-balanced subset: images are taken class by class in turn, in the order of a hash of their index.

        Args:
            images: so many in all.
            per_class: so many of every class, or all of a class that has fewer.
            seed: of the hash.
        """
        for what, number in (("images", images), ("images a class", per_class)):
            if number is not None and number < 1:
                raise UsageError(f"cannot limit the data to {number} {what}; expected at least 1")
        order = np.argsort(hashes(seed, "limit", self.indices), kind="stable")
        by_class = order[np.argsort(self.labels[order], kind="stable")]
        sizes = np.bincount(self.labels)
        turn = np.empty(len(self), dtype=np.int64)
        turn[by_class] = np.arange(len(self)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        chosen = order[np.argsort(turn[order], kind="stable")]
        if per_class is not None:
            chosen = chosen[turn[chosen] < per_class]
        return self.subset(np.sort(chosen[:images]))

    def subset(self, positions: Sequence[int] | np.ndarray) -> Self:
        """The images at these positions; each keeps its index."""
        places = np.asarray(positions, dtype=np.int64)
        chosen = copy(self)
        chosen.labels, chosen.indices = self.labels[places], self.indices[places]
        chosen.identifiers = self.identifiers.take(places)
        chosen.sizes = self.sizes[places] if len(self.sizes) else self.sizes
        chosen.read = partial(read_chosen, self.read, places)
        return chosen

    def without(self, bad: Mapping[str, str]) -> "ImageData":
        """These images but the bad ones, which are remembered with what is wrong with them."""
        kept = self.subset([position for position, name in enumerate(self.identifiers) if name not in bad])
        kept.skipped, kept.faults, kept.checked = self.skipped | dict(bad), {}, True
        return kept

    def as_imagenet(self) -> "ImageData":
        """The same images with labels in the order of ImageNet's 1000 classes.

        Raises:
            UsageError: their classes are no synsets of ImageNet, and not all of its names.
        """
        if self.synsets:
            return self.relabelled(imagenet.labels_of(self.synsets, self.name), imagenet.synsets())
        return self.relabelled(imagenet.labels_by_name(self.classes, self.name), imagenet.synsets())

    def labelled_as(self, classes: Sequence[str]) -> "ImageData":
        """The same images with the labels that their classes have among others, by name.

        Raises:
            UsageError: those lack one of their classes.
        """
        if self.classes == list(classes)[: len(self.classes)]:
            return self
        places = {name: label for label, name in enumerate(classes)}
        if strange := [name for name in self.classes if name not in places]:
            listed = ", ".join(list(classes)[:3])
            raise UsageError(f"{self} has the class `{strange[0]}`, which is not among {listed} … ({len(classes)})")
        return self.relabelled([places[name] for name in self.classes], classes)

    def relabelled(self, labels: Sequence[int] | np.ndarray, classes: Sequence[str]) -> "ImageData":
        """The same images with other labels.

        Args:
            labels: the new label of each class.
            classes: names of the new classes in label order.
        """
        mapped = self.subset(range(len(self)))
        mapped.labels = np.asarray(labels, dtype=np.int64)[self.labels]
        names, mapped.synsets = imagenet.recognised(classes)
        mapped.classes, mapped.by_name = distinct(names), False
        return mapped

    def as_outputs(self) -> "ImageData":
        """The same images, of which a person says that class k is the networks' output k."""
        stated = copy(self)
        stated.by_position = True
        return stated


def _form(name: str) -> Form:
    """What is known of the form that a reference is of."""
    return FORMS.get(name.partition(":")[0], Form())


def _spelled(identifiers: Sequence[str]) -> list[str]:
    """Names with control characters spelled out.

    Raises:
        RunError: two are one then.
    """
    identifiers = list(identifiers)
    spelled = [plain(name) for name in identifiers]
    of: dict[str, str] = {}
    for name, before in zip(spelled, identifiers, strict=True):
        if name != before:
            of[name] = before
    for name, before in zip(spelled, identifiers, strict=True) if of else ():
        if of.setdefault(name, before) != before:
            raise RunError(
                f"two images are called `{name}`, as control characters are spelled out; expected another name for one"
            )
    return spelled


def _thumbnail(image: Image.Image, name: str) -> str:
    """An image as HTML that holds it, with the name of its class below."""
    small, file = image.copy(), io.BytesIO()
    small.thumbnail((96, 96))
    small.save(file, "PNG")
    source = base64.b64encode(file.getvalue()).decode()
    return (
        f'<figure style="display: inline-block; margin: 4px; text-align: center">'
        f'<img alt="{escape(name)}" src="data:image/png;base64,{source}" style="height: 64px">'
        f"<figcaption>{escape(name)}</figcaption></figure>"
    )


def in_rgb(image: Image.Image) -> Image.Image:
    """Any image in RGB, as torchvision and timm have it: transparency dropped, EXIF's orientation not applied.

    Sixteen bits a channel are scaled to eight, where Pillow's own conversion would clip them.

    Raises:
        ValueError: pixels of 32 bits, whose range nobody can know.
    """
    with decoding(image):
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
            return Image.fromarray((np.asarray(image).astype(np.uint32) // 257).astype(np.uint8)).convert("RGB")
        if image.mode in ("I", "F"):
            raise ValueError(f"its pixels have 32 bits (mode {image.mode}), of unknown range")
        return image.convert("RGB")


def reason(error: BaseException) -> str:
    """One line on what went wrong, free of paths of this machine.

    >>> reason(FileNotFoundError(2, "No such file or directory", "/home/a/b.png"))
    'No such file or directory'
    """
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return "it is no image" if isinstance(error, Image.UnidentifiedImageError) else plain(text.splitlines()[0])


def read_chosen(read: Callable[[int], Image.Image], chosen: np.ndarray, position: int) -> Image.Image:
    """A reader of some of another's images. Readers are picklable: worker processes get them."""
    return read(int(chosen[position]))
