"""ImageNet's 1000 classes: their synsets in the order of every network's outputs, their names, and who says which."""

import csv
import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from analysis.errors import RunError, UsageError

log = logging.getLogger(__name__)

TRUTHS = (
    "ILSVRC2012_validation_ground_truth.txt",
    "LOC_val_solution.csv",
    "imagenet_2012_validation_synset_labels.txt",
    "val.txt",
)
"""Files that tell the classes of the 50,000 validation images: the devkit's, Kaggle's, TensorFlow's and Caffe's."""
_DEVKIT = "ILSVRC2012_devkit_t12/data"


@cache
def synsets() -> tuple[str, ...]:
    """The 1000 synsets, sorted: label k is the k-th (timm's list)."""
    from timm.data import ImageNetInfo

    return tuple(ImageNetInfo("imagenet-1k").label_names())


@cache
def class_names() -> tuple[str, ...]:
    """A short name of each class, with its synset where two share one.

    >>> class_names()[0], class_names()[134]
    ('tench', 'crane (n02012849)')
    """
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    short = [info.index_to_description(label).split(",")[0] for label in range(1000)]
    return tuple(
        name if short.count(name) == 1 else f"{name} ({synset})" for name, synset in zip(short, synsets(), strict=True)
    )


def recognised(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Class names and synsets of classes called by ImageNet's synsets, or all 1000 by their descriptions.

    Other classes keep their names and have no synsets.

    >>> recognised(["n01440764", "n02979186"])
    (['tench', 'cassette player'], ['n01440764', 'n02979186'])
    """
    places = {synset: label for label, synset in enumerate(synsets())}
    if names and all(name in places for name in names):
        return [class_names()[places[name]] for name in names], list(names)
    firsts = [str(name).split(",")[0] for name in names]
    if len(names) == 1000 and firsts == [name.partition(" (n")[0] for name in class_names()]:
        return list(class_names()), list(synsets())
    return list(names), []


def labels_of(names: Sequence[str], where: str) -> np.ndarray:
    """The label of each synset.

    Raises:
        UsageError: one that is not among the 1000.
    """
    places = {synset: label for label, synset in enumerate(synsets())}
    if strange := [name for name in names if name not in places]:
        raise UsageError(
            f"{len(strange)} classes of `{where}` are not among ImageNet's 1000 synsets, such as `{strange[0]}`; "
            f"folder:{where} takes any classes"
        )
    return np.array([places[name] for name in names], dtype=np.int64)


def validation_labels(folder: Path, names: Sequence[str]) -> np.ndarray:
    """The labels of validation images that lie in one folder, from a file of truths in it, above it, or in the devkit.

    Args:
        names: files' names, such as ILSVRC2012_val_00000001.JPEG.

    Raises:
        UsageError: there is no such file.
        RunError: it does not fit the images.
    """
    places = [folder, folder.parent, folder / _DEVKIT, folder.parent / _DEVKIT]
    for place in places:
        for name in TRUTHS:
            if (path := place / name).is_file():
                try:
                    return _read_truth(path, names)
                except (ValueError, KeyError, IndexError) as error:
                    raise RunError(
                        f"`{path}` does not tell the classes of the images in `{folder}`: {error}"
                    ) from error
    raise UsageError(
        f"the images in `{folder}` are in no class folders; expected one of {', '.join(TRUTHS)} there, or beside it, "
        f"or in {_DEVKIT}"
    )


def _read_truth(path: Path, names: Sequence[str]) -> np.ndarray:
    if path.suffix == ".csv":  # ImageId,PredictionString: a synset and four corners for each object
        with path.open(newline="") as file:
            rows = {row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(file)}
        return labels_of([rows[Path(name).stem] for name in names], str(path))
    lines = path.read_text().split("\n")
    words = [line.split() for line in lines if line.strip()]
    if len(words[0]) > 1:  # name and label
        rows = {Path(row[0]).name: row[1] for row in words}
        truth = [rows[name] for name in names]
    else:  # one line for each image, in the order of their numbers
        numbers = [int(Path(name).stem.rpartition("_")[2]) for name in names]
        if len(words) != 50_000 and len(words) != len(names):
            raise ValueError(f"it has {len(words)} lines, expected 50000")
        truth = [words[number - 1][0] for number in numbers]
    if not truth[0].isdigit():
        return labels_of(truth, str(path))
    labels = np.array(truth, dtype=np.int64)
    if path.name == TRUTHS[0]:
        labels = _devkit_labels(path.parent / "meta.mat")[labels]
    if labels.min() < 0 or labels.max() > 999:
        raise ValueError(f"labels {labels.min()} … {labels.max()}; expected 0 … 999")
    return labels


def _devkit_labels(path: Path) -> np.ndarray:
    """Label by the devkit's own numbering of classes, 1 … 1000, which is not the order of the synsets."""
    from scipy.io import loadmat

    if not path.is_file():
        raise ValueError(f"its numbers are the devkit's own, which only the devkit's meta.mat explains: no `{path}`")
    table = loadmat(path, squeeze_me=True)["synsets"]
    labels = np.full(1001, -1)
    for number, synset in zip(table["ILSVRC2012_ID"], table["WNID"], strict=True):
        if number <= 1000:  # inner nodes of the tree follow
            labels[int(number)] = labels_of([str(synset)], str(path))[0]
    return labels
