"""Tiny ImageNet's own layout: training images in class folders, validation images in one folder with their list.

    wnids.txt                         the synsets of all classes
    train/<synset>/images/*.JPEG
    val/images/*.JPEG
    val/val_annotations.txt           a line an image: its name, its synset, a box

Its test images have no labels.
"""

from collections.abc import Sequence
from pathlib import Path

from ..errors import RunError
from ..untrusted import check_regular

ANNOTATIONS = "val_annotations.txt"
IMAGES = "images"
_CLASSES = "wnids.txt"
_LARGEST = 2**26
"""Bytes of a list; those of Tiny ImageNet have less than 1 MB."""


def has_annotations(folder: Path) -> bool:
    """Whether a split's images lie in one folder, and a list tells their classes."""
    return (folder / ANNOTATIONS).is_file() and (folder / IMAGES).is_dir()


def annotations(folder: Path) -> dict[str, str]:
    """The class of every image that the list of a split's folder has, by the image's file name.

    Raises:
        RunError: the list cannot be read.
    """
    path = folder / ANNOTATIONS
    found: dict[str, str] = {}
    for number, line in enumerate(_lines(path), 1):
        words = line.split("\t")
        if len(words) < 2 or not words[0] or not words[1]:
            raise RunError(f"`{path}` has `{line[:40]}` in line {number}; expected a file's name, a tab and its class")
        if found.setdefault(words[0], words[1]) != words[1]:
            raise RunError(f"`{path}` has two classes of `{words[0]}`, {found[words[0]]} and {words[1]}")
    return found


def listed_classes(root: Path) -> list[str]:
    """The classes that the whole data set has, also where a folder lacks some; empty where no list tells them."""
    path = root / _CLASSES
    return [line.strip() for line in _lines(path)] if path.is_file() else []


def classes_of(names: Sequence[str], folder: Path) -> list[str]:
    """The class of each image below a split's folder.

    Args:
        names: of the images, by their paths below it.

    Raises:
        RunError: the list has no class of one.
    """
    known = annotations(folder)
    files = [name.rpartition("/")[2] for name in names]
    if strange := [name for name in files if name not in known]:
        raise RunError(f"`{folder / ANNOTATIONS}` has no class of `{strange[0]}`, which is in `{folder / IMAGES}`")
    return [known[name] for name in files]


def _lines(path: Path) -> list[str]:
    try:
        check_regular(path, _LARGEST)
        return [line for line in path.read_text().splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise RunError(f"`{path}` cannot be read: {error}") from error
