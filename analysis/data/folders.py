"""Images as files in folders: class folders, ImageNet's layouts, and patterns of files."""

import glob
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from PIL import Image

from ..errors import RunError, UsageError
from . import imagenet, tiny_imagenet
from .classes import class_numbers, whole_numbers
from .datasets import SPLITS, ImageData, reason
from .decoding import open_picture
from .endings import LeftOut, image_endings, is_hidden, is_image
from .identifiers import Names

log = logging.getLogger(__name__)

VALIDATING = ("val", "test")
"""How names of what to validate on begin, the better first: many data sets have test images and no others."""


def prefixes(split: str) -> tuple[str, ...]:
    """How names of a split's files begin, the better first."""
    return VALIDATING if split == "val" else (split,)


def tested_instead(split: str, taken: str) -> str:
    """What figures should say where `val` took the test images; empty where it did not."""
    if split != "val" or not taken.startswith("test"):
        return ""
    return "its test images, for want of a validation split"


class FileReader:
    """Opens image i by its path below a folder."""

    def __init__(self, root: Path, names: Names):
        self.root, self.names = root, names

    def __call__(self, position: int) -> Image.Image:
        return open_picture(self.root / self.names[position])


def folder(location: str, named: str, split: str) -> ImageData:
    """One subfolder of images for each class, or Tiny ImageNet's layout."""
    root, split, have = _splits_of("folder", location, named, split)
    # splits share one numbering of classes, also where one lacks some; folders of a test split may be none
    found = _Found(root / split)
    numbered = [each for each in have if each != "test" or have == ["test"]] if split else [""]
    by_split = {each: found.classes(root / each) for each in numbered}
    _check_shared(by_split, location)
    listed = tiny_imagenet.listed_classes(root)
    names, numbers = class_numbers({*listed, *chain.from_iterable(by_split.values())})
    top, root = root, root / split
    if split == "test" and (strange := _folders_not_among(names, root)):
        raise UsageError(f"`{root}` has the class folder `{strange[0]}`, which {' and '.join(numbered)} lack")
    if not names:
        raise RunError(f"folder `{root}` has no class subfolders with images")
    if tiny_imagenet.has_annotations(root):
        found.walk(root / tiny_imagenet.IMAGES, 0)
        found.labels = [numbers[name] for name in tiny_imagenet.classes_of(found.names, root)]
    else:
        for name in sorted(names):
            if (root / name).is_dir():
                found.walk(root / name, numbers[name])
    data = found.data(f"folder:{re.sub(r'/+$', '', location)}", split, names)
    absent = [] if listed else [names[label] for label in sorted(set(numbers.values()) - set(found.labels))]
    if bare := [name for name in absent if not any(_has_images(top / each / name) for each in numbered)]:
        text = "%d folders of %s hold no images, but count as classes, such as %s: take them away if they are none"
        log.warning(text, len(bare), location, bare[0])
    return data


def _has_images(folder: Path) -> bool:
    return any(is_image(name) for _, _, files in os.walk(folder) for name in files)


def imagenet_folder(location: str, named: str, split: str) -> ImageData:
    """torchvision's layout, plain class folders, or validation images in one folder with their truth.

    Class folders are called by synsets, else by ImageNet's names or labels. The truth is one of the files of the
    50,000, or Tiny ImageNet's.
    """
    root, split, _ = _splits_of("imagenet", location, named, split)
    root = root / split
    found, flat = _Found(root), False
    folders: list[str] = []
    others: list[str] = []
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if found.passes(entry):
            continue
        if entry.is_dir():
            (folders if re.fullmatch(r"n\d{8}", entry.name) else others).append(entry.name)
        elif is_image(entry.name):
            flat = True
    if folders:
        if others:
            log.warning(
                "%s: %d folders are called by no synset, and left out, such as %s", root, len(others), others[0]
            )
        for name, label in zip(folders, imagenet.labels_of(folders, location), strict=True):
            found.walk(root / name, label)
    elif tiny_imagenet.has_annotations(root):
        found.walk(root / tiny_imagenet.IMAGES, 0)
        found.labels = imagenet.labels_of(tiny_imagenet.classes_of(found.names, root), location).tolist()
    elif flat:
        found.walk(root, 0)
        found.labels = imagenet.validation_labels(root, found.names).tolist()
    elif whole_numbers(others) or any(imagenet.candidates(others)):
        for name, label in zip(others, imagenet.labels_by_name(others, location), strict=True):
            found.walk(root / name, label)
    return found.data(f"imagenet:{re.sub(r'/+$', '', location)}", split, imagenet.synsets())


def _splits_of(form: str, location: str, named: str, split: str) -> tuple[Path, str, list[str]]:
    """The folder, the split to take ("" where it has none), and those that there are."""
    root = Path(location)
    if not location or not root.is_dir():
        raise UsageError(f"no folder `{location}`; expected {form}:DIR with one subfolder of images for each class")
    have = [each for each in SPLITS if (root / each).is_dir()]
    if have == ["test"] and named != "test":
        have = []  # a class may be called so
    if have and (named or split) not in have:
        raise UsageError(f"folder `{location}` has no split `{named or split}`; it has {', '.join(have)}")
    if not have and (named or split != "val"):
        raise UsageError(f"folder `{location}` has no subfolder `{named or split}`; expected train and val in it")
    return root, (named or split) if have else "", have


def _check_shared(by_split: Mapping[str, Collection[str]], location: str) -> None:
    """Refuse splits that have no class in common: one of them has no class folders.

    Raises:
        UsageError: it names them.
    """
    known = by_split.get("train")
    for split, names in by_split.items():
        if known and names and not set(names) & set(known):
            raise UsageError(
                f"folder `{location}` has no class in both splits: {split} has `{sorted(names)[0]}`, train has "
                f"`{sorted(known)[0]}`; expected subfolders of the same classes in both"
            )


def _folders_not_among(names: Sequence[str], root: Path) -> list[str]:
    folders = (entry.name for entry in os.scandir(root) if entry.is_dir() and not is_hidden(entry.name))
    return sorted(name for name in folders if name not in names)


def _place(folder: Path) -> tuple[int, int]:
    """What a folder is, whatever links lead to it."""
    status = folder.stat()
    return status.st_dev, status.st_ino


class _Found:
    """Images below a folder, as they are found: names in torchvision's order, labels, sizes, and what is wrong."""

    def __init__(self, root: Path):
        self.root = root
        self.names: list[str] = []
        self.labels: list[int] = []
        self.sizes: list[int] = []
        self.faults: dict[str, str] = {}
        self.left_out = LeftOut()

    def classes(self, folder: Path) -> list[str]:
        """The classes of a split's folder: its subfolders, or those that Tiny ImageNet's list has."""
        if tiny_imagenet.has_annotations(folder):
            return list(tiny_imagenet.annotations(folder).values())
        return [entry.name for entry in os.scandir(folder) if not self.passes(entry) and entry.is_dir()]

    def walk(self, folder: Path, label: int) -> None:
        """Add every image in a folder and below it, in the order of their paths."""
        around = (self.root.resolve(), *self.root.resolve().parents)
        above = tuple(_place(each) for each in around if each != folder.resolve())
        for name, size in sorted(self._below(folder, above)):
            self.names.append(name)
            self.labels.append(label)
            self.sizes.append(size)

    def _below(self, folder: Path, above: tuple) -> Iterator[tuple[str, int]]:
        here = _place(folder)
        if here in above:
            self.faults[folder.relative_to(self.root).as_posix()] = "a symbolic link leads back above it"
            return
        prefix = "" if folder == self.root else folder.relative_to(self.root).as_posix()
        for entry in os.scandir(folder):
            if self.passes(entry):
                continue
            if entry.is_dir():
                yield from self._below(folder / entry.name, (*above, here))
            elif self.left_out.takes(entry.name):
                size = entry.stat().st_size if entry.is_file() else -1
                yield (f"{prefix}/{entry.name}" if prefix else entry.name), size

    def passes(self, entry: os.DirEntry) -> bool:
        """Whether an entry is left out: a hidden one, or a link that goes round in a circle, which is a fault."""
        if self.left_out.hides(entry.name):
            return True
        try:
            entry.is_dir()
        except OSError as error:
            self.faults[os.path.relpath(entry.path, self.root).replace(os.sep, "/")] = reason(error)
            return True
        return False

    def data(self, name: str, split: str, classes: Sequence[str]) -> ImageData:
        if not self.names and not self.faults:
            raise RunError(f"folder `{self.root}` has no images; expected files ending in {', '.join(image_endings())}")
        self.left_out.say(name)
        names = Names(self.names)
        read = FileReader(self.root, names)
        return ImageData(name, split, classes, self.labels, names, read, sizes=self.sizes, faults=self.faults)


def files_of(location: str, expected: str, named: str, split: str, suffix: str = ".tar") -> list[Path]:
    """Files by pattern; of a folder, those whose names begin with the split, see `VALIDATING`."""
    if Path(location).is_dir():
        every, wanted = sorted(Path(location).rglob(f"*{suffix}")), prefixes(named or split)
        by_prefix = [[path for path in every if path.name.startswith(prefix)] for prefix in wanted]
        paths = next(filter(None, by_prefix), [])
        if not paths:
            packed = next((f"; `{path.name}` is compressed" for path in Path(location).rglob(f"*{suffix}.*")), "")
            raise UsageError(f"folder `{location}` has no files {' or '.join(wanted)}*{suffix}{packed}")
        return paths
    if named or split != "val":
        raise UsageError(f"`{location}` names files, which have no split `{named or split}`; name their folder")
    paths = sorted(map(Path, glob.glob(location, recursive=True)))
    if location and not paths:
        for pattern in patterns(location):
            found = sorted(map(Path, glob.glob(pattern, recursive=True)))
            if not found:
                part = "" if pattern == location else f", of `{location}`"
                raise UsageError(f"no files `{pattern}`{part}; expected {expected}")
            paths += found
    if not paths:
        raise UsageError(f"no files `{location}`; expected {expected}")
    return list(dict.fromkeys(paths))


def patterns(text: str) -> Iterator[str]:
    """What a list of patterns stands for in WebDataset's way of writing: `::` between them, ranges and lists in braces.

    >>> list(patterns("a-{008..010}.tar::{b,c}.tar"))
    ['a-008.tar', 'a-009.tar', 'a-010.tar', 'b.tar', 'c.tar']
    """
    for part in text.split("::"):
        yield from _in_braces(part)


def _in_braces(text: str) -> Iterator[str]:
    braces = re.search(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}", text)
    if braces is None:
        yield text
        return
    first, last, listed = braces.groups()
    if listed is not None:
        each = iter(listed.split(","))
    else:
        width = max(len(first), len(last)) if "0" in (first[0], last[0]) else 0
        each = (f"{number:0{width}}" for number in range(int(first), int(last) + 1))
    for chosen in each:
        yield from _in_braces(text[: braces.start()] + chosen + text[braces.end() :])
