"""ImageNet's 1000 classes: their synsets in the order of every network's outputs, their names, and who says which."""

import csv
import logging
import re
import struct
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import numpy as np

from ..errors import RunError, UsageError
from ..untrusted import bounded_memory, check_regular
from .classes import whole_numbers

log = logging.getLogger(__name__)

TRUTHS = (
    "ILSVRC2012_validation_ground_truth.txt",
    "LOC_val_solution.csv",
    "imagenet_2012_validation_synset_labels.txt",
    "val.txt",
)
"""Files that tell the classes of the 50,000 validation images: the devkit's, Kaggle's, TensorFlow's and Caffe's."""
LARGEST_TRUTH, LARGEST_MATLAB = 2**26, 2**26
"""Bytes; the truth of 50,000 images has a hundredth of it, the devkit's meta.mat less still."""
LARGEST_UNPACKED = 2**29
"""Bytes of memory that reading it may take."""
_COMPRESSED = 15
"""MATLAB's number for a compressed part of a file."""
_DEVKIT = "ILSVRC2012_devkit_t12/data"


@cache
def synsets() -> tuple[str, ...]:
    """The 1000 synsets, sorted: label k is the k-th (timm's list)."""
    return tuple(_of_timm("imagenet_synsets.txt").splitlines())


@cache
def _described() -> tuple[str, ...]:
    """All names of each class, as WordNet has them, in one text."""
    described = dict(line.split("\t") for line in _of_timm("imagenet_synset_to_lemma.txt").splitlines())
    return tuple(described[synset] for synset in synsets())


def _of_timm(name: str) -> str:
    """A file of timm's, which is read without its code: that would load torch."""
    return Path(str(distribution("timm").locate_file(f"timm/data/_info/{name}"))).read_text("utf-8")


@cache
def class_names() -> tuple[str, ...]:
    """A short name of each class, with its synset where two share one.

    >>> class_names()[0], class_names()[134]
    ('tench', 'crane (n02012849)')
    """
    short = [names.split(",")[0] for names in _described()]
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
    firsts, ours = ([str(name).split(",")[0].partition(" (n")[0] for name in each] for each in (names, class_names()))
    if len(names) == 1000 and firsts == ours:
        return list(class_names()), list(synsets())
    return list(names), []


def is_whole(names: Sequence[str]) -> bool:
    """Whether classes are all 1000, in the order of their labels."""
    return tuple(names) == class_names()


def candidates(names: Sequence[str]) -> list[set[int]]:
    """The labels that every one of several classes may mean by its name; none where it is no class of ImageNet.

    A name may begin with a synset, be one of timm's or torchvision's, or, where it is none, a synonym of WordNet;
    capitals, spaces and marks say nothing. Where two classes share a name, that of the other tells them apart.

    >>> candidates(["n01440764-tench", "Great_White_Shark", "cardigan", "zebu"])
    [{0}, {2}, {264, 474}, set()]
    >>> candidates(["crane", "crane bird", "cardigan", "Cardigan"])
    [{517}, {134}, {474}, {264}]
    """
    places = {synset: label for label, synset in enumerate(synsets())}
    listed, synonyms = _labels_by_name()
    found = []
    times = Counter(_spelled(name).lower() for name in names)
    for name in names:
        synset, key = re.match(r"n\d{8}(?!\d)", name), _spelled(name)
        if synset:
            found.append({places[synset[0]]} if synset[0] in places else set())
        elif times[key.lower()] > 1 and key in listed:
            found.append(set(listed[key]))
        else:
            key = key.lower()
            found.append(set(listed.get(key) or synonyms.get(key) or ()))
    before: list[set[int]] = []
    while found != before:  # one that is told apart may tell another
        before = found
        taken = {label for each in found if len(each) == 1 for label in each}
        found = [each - taken if len(each) > 1 else each for each in found]
    return found


@cache
def _labels_by_name() -> tuple[dict[str, set[int]], dict[str, set[int]]]:
    """Labels by the names that lists of ImageNet's classes have, as they are and in small letters, and by synonyms."""
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    listed: dict[str, set[int]] = defaultdict(set)
    synonyms: dict[str, set[int]] = defaultdict(set)
    for label, described in enumerate(_described()):
        first, *others = described.split(",")
        for name in (first, described, class_names()[label], _IMAGENET_CATEGORIES[label]):
            listed[_spelled(name)].add(label)
            listed[_spelled(name).lower()].add(label)
        for name in others:
            synonyms[_spelled(name).lower()].add(label)
    return dict(listed), dict(synonyms)


def _spelled(name: str) -> str:
    """A name without what people write in different ways.

    >>> _spelled("Jack-o'-lantern"), _spelled("maillot,_tank_suit")
    ('Jack o lantern', 'maillot tank suit')
    """
    return " ".join(re.sub(r"[_,-]", " ", re.sub(r"['’]", "", name)).split())


def labels_by_name(names: Sequence[str], where: str) -> np.ndarray:
    """The labels of classes called by ImageNet's names, or by the labels themselves.

    Raises:
        UsageError: a name that is none, or that two classes share.
    """
    if values := whole_numbers(names):
        if max(values.values()) > 999:
            raise UsageError(f"the classes of `{where}` are numbers up to {max(values.values())}; expected 0 … 999")
        log.info("the classes of %s are numbers, and taken as the labels of ImageNet's 1000", where)
        return np.array([values[name] for name in names], dtype=np.int64)
    found = candidates(names)
    if strange := [name for name, labels in zip(names, found, strict=True) if not labels]:
        raise UsageError(
            f"{len(strange)} of the {len(names)} classes of `{where}` have no name of ImageNet's 1000, such as "
            f"`{strange[0]}`; expected its names or synsets (n01440764) throughout"
        )
    for name, labels in zip(names, found, strict=True):
        if len(labels) > 1:
            known = ", ".join(synsets()[label] for label in sorted(labels))
            raise UsageError(f"`{name}` of `{where}` is the name of {len(labels)} classes of ImageNet: say {known}")
    alone = [label for each in found for label in each]
    for label, times in Counter(alone).items():
        if times > 1:
            same = " and ".join(f"`{name}`" for name, each in zip(names, alone, strict=True) if each == label)
            raise UsageError(f"{same} of `{where}` are the same class of ImageNet, {synsets()[label]}")
    return np.array(alone, dtype=np.int64)


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
                except (ValueError, KeyError, csv.Error, OSError) as error:
                    why = f"nothing of {error}" if isinstance(error, KeyError) else error
                    raise RunError(f"`{path}` does not tell the classes of the images in `{folder}`: {why}") from error
    raise UsageError(
        f"the images in `{folder}` are in no class folders; expected one of {', '.join(TRUTHS)} there, or beside it, "
        f"or in {_DEVKIT}"
    )


def _read_truth(path: Path, names: Sequence[str]) -> np.ndarray:
    check_regular(path, LARGEST_TRUTH)
    if path.suffix == ".csv":  # ImageId,PredictionString: a synset and four corners for each object
        with path.open(newline="") as file:
            rows = {row["ImageId"]: (row["PredictionString"] or "").split() for row in csv.DictReader(file)}
        if empty := [name for name, words in rows.items() if not words]:
            raise ValueError(f"it has no class of `{empty[0]}`")
        return labels_of([rows[Path(name).stem][0] for name in names], str(path))
    words = [line.split() for line in path.read_text().split("\n") if line.strip()]
    if not words:
        raise ValueError("it is empty")
    if len(words[0]) > 1:  # name and label
        if short := [row[0] for row in words if len(row) < 2]:
            raise ValueError(f"it has no class of `{short[0]}`")
        told = {Path(row[0]).name: row[1] for row in words}
        truth = [told[name] for name in names]
    else:  # one line for each image, in the order of their numbers
        truth = _by_number(words, names)
    if not truth[0].isdecimal():
        return labels_of(truth, str(path))
    if strange := [each for each in truth if not each.isdecimal() or len(each) > 4]:
        raise ValueError(f"it has the label `{strange[0][:20]}`; expected 0 … 999")
    labels = np.array(truth, dtype=np.int64)
    if path.name == TRUTHS[0]:
        numbered = _devkit_labels(path.parent / "meta.mat")
        if labels.max() >= len(numbered):
            raise ValueError(f"it has the number {labels.max()}; expected 1 … 1000")
        labels = numbered[labels]
    if labels.min() < 0 or labels.max() > 999:
        raise ValueError(f"labels {labels.min()} … {labels.max()}; expected 0 … 999")
    return labels


def _by_number(words: Sequence[Sequence[str]], names: Sequence[str]) -> list[str]:
    if len(words) not in (50_000, len(names)):
        raise ValueError(f"it has {len(words)} lines, expected 50000")
    numbers = [int(Path(name).stem.rpartition("_")[2]) for name in names]
    if outside := [number for number in numbers if not 1 <= number <= len(words)]:
        raise ValueError(f"there is an image of number {outside[0]}; expected 1 … {len(words)}")
    return [words[number - 1][0] for number in numbers]


def _devkit_labels(path: Path) -> np.ndarray:
    """Label by the devkit's own numbering of classes, 1 … 1000, which is not the order of the synsets."""
    from scipy.io import loadmat

    if not path.is_file():
        raise ValueError(f"its numbers are the devkit's own, which only the devkit's meta.mat explains: no `{path}`")
    labels = np.full(1001, -1)
    try:
        check_matlab(path)
        with bounded_memory(LARGEST_UNPACKED):
            table = loadmat(path, squeeze_me=True, variable_names=["synsets"])["synsets"]
        rows = list(zip(table["ILSVRC2012_ID"], table["WNID"], strict=True))
        for number, synset in rows:
            if 1 <= int(number) <= 1000:  # inner nodes of the tree follow
                labels[int(number)] = labels_of([str(synset)], str(path))[0]
    except (Exception, MemoryError) as error:  # of a damaged file SciPy's reader may raise anything
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, MemoryError):
            said = f"it asks for more than {LARGEST_UNPACKED} bytes of memory"
        raise ValueError(f"`{path}` is no devkit's meta.mat: {said}") from error
    return labels


def check_matlab(path: Path) -> None:
    """Raise a ValueError for a MATLAB file whose compressed parts unpack to more than a devkit could hold."""
    check_regular(path, LARGEST_MATLAB)
    content, place, unpacked = path.read_bytes(), 128, 0
    while place + 8 <= len(content):
        kind, size = struct.unpack_from("<II", content, place)
        if kind == _COMPRESSED:
            part = zlib.decompressobj().decompress(content[place + 8 : place + 8 + size], LARGEST_MATLAB)
            unpacked += len(part)
        if unpacked >= LARGEST_MATLAB:
            raise ValueError(f"it unpacks to {LARGEST_MATLAB} bytes or more")
        place += 8 + size
