"""Images inside tar files, plain or WebDataset's, found once and then read where they lie: nothing is unpacked."""

import os
import posixpath
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS

from ..errors import RunError, UsageError
from ..untrusted import Fields, open_regular, parse_json
from . import imagenet
from .datasets import MOST_CLASSES, SPLITS, ImageData, class_numbers, reason
from .folders import files_of, is_image, tested_instead
from .pictures import open_picture

LARGEST_LABEL = 2**20
"""Bytes of the file that tells the label of a sample."""
LARGEST_HEAD = 2**20
"""Bytes of what is said of a member: its name, its attributes."""
LINK = "it is a link inside the archive; pack the files themselves"


class Member(NamedTuple):
    """A file in a tar: its name, first byte and size, and what is wrong with it, if anything."""

    name: str
    offset: int
    size: int
    fault: str | None


class TarReader:
    """Reads image i from its place in one of several tar files; worker processes may pickle and share it.

    Args:
        paths: of the files.
        files, offsets, sizes: of each image: number of its file, first byte, number of bytes.
    """

    def __init__(self, paths: Sequence[Path], files: np.ndarray, offsets: np.ndarray, sizes: np.ndarray):
        self.paths, self.files, self.offsets, self.sizes = list(paths), files, offsets, sizes
        self._open: dict[int, int] = {}

    def __getstate__(self) -> dict:
        return vars(self) | {"_open": {}}

    def __del__(self):
        for descriptor in self._open.values():
            os.close(descriptor)

    def bytes(self, position: int) -> bytes:
        number = int(self.files[position])
        if number not in self._open:
            self._open[number] = os.open(self.paths[number], os.O_RDONLY)
        # pread has no place of its own in the file, so that threads and forked processes may share the descriptor
        found = os.pread(self._open[number], int(self.sizes[position]), int(self.offsets[position]))
        if len(found) < self.sizes[position]:
            raise OSError(f"`{self.paths[number]}` ends before it")
        return found

    def __call__(self, position: int) -> Image.Image:
        return open_picture(self.bytes(position))


def members(path: Path) -> Iterator[Member]:
    """Every file in a tar, in its order, and every link.

    Raises:
        RunError: it is compressed, damaged, or no tar.
    """
    try:
        with open_regular(path) as file, tarfile.open(fileobj=(heads := _Heads(file)), mode="r:") as archive:
            whole, before = os.fstat(file.fileno()).st_size, -1
            for member in archive:
                archive.members = []  # else every member is remembered
                heads.read_of_one = 0
                if member.offset <= before:  # a size below 0 leads back: round and round
                    raise tarfile.ReadError(f"a member at {member.offset} follows one at {before}")
                before = member.offset
                if member.isfile() or member.islnk() or member.issym():
                    yield Member(member.name, member.offset_data, member.size, _fault(member, whole))
    except OSError as error:
        raise RunError(f"`{path}` cannot be read: {reason(error)}") from error
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise RunError(f"`{path}` is no uncompressed tar, or is damaged: {reason(error)}") from error


class _Heads:
    """What `tarfile` reads of a tar: the heads of its members, with their long names, of a bounded length each."""

    def __init__(self, file: BinaryIO):
        self.file, self.read_of_one = file, 0
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        self.read_of_one += size
        if self.read_of_one > LARGEST_HEAD:
            raise tarfile.ReadError(f"a head of {self.read_of_one} bytes; expected at most {LARGEST_HEAD}")
        return self.file.read(size)


def _fault(member: tarfile.TarInfo, whole: int) -> str | None:
    """What is wrong with a member of a tar of so many bytes, by its head."""
    if fault := outside(member.name):
        return fault
    if member.islnk() or member.issym():
        return LINK
    if member.issparse():
        return "it is sparse, with zeros that are not stored; pack the file itself"
    if not 0 <= member.size <= whole - member.offset_data:
        return f"it is said to have {member.size} bytes, which the archive has not"
    return None


def outside(name: str) -> str | None:
    """What is wrong with a member's name that points out of the archive.

    >>> outside("a/../../b.png"), outside("/etc/b.png"), outside("./a/b.png")
    ('its path leads out of the archive', 'its path is absolute', None)
    """
    if name.startswith("/"):
        return "its path is absolute"
    return "its path leads out of the archive" if ".." in name.split("/") else None


def tar(location: str, named: str, split: str) -> ImageData:
    """Class folders inside a tar, below folders `train` and `val` where there are both."""
    path = Path(location)
    if not path.is_file():
        raise UsageError(f"no file `{location}`; expected tar:FILE with one folder of images for each class in it")
    found, faults = [], {}
    for name, offset, size, fault in members(path):
        if not is_image(name):
            continue
        if fault:
            faults[name] = fault
        else:
            found.append((posixpath.normpath(name).split("/"), offset, size))
    have = _splits_among([parts for parts, *_ in found], named)
    found = [(*_in_split(parts, have), offset, size) for parts, offset, size in found]
    if (named or have) and (named or split) not in have:
        raise UsageError(f"tar `{location}` has no split `{named or split}`; it has {', '.join(have) or 'none'}")
    if not have and split != "val":
        raise UsageError(f"tar `{location}` has no folder `{split}`; expected train and val in it")
    split = (named or split) if have else ""
    around = 0 if have else _folders_around([parts for _, parts, *_ in found])
    described, seen = [], set()
    for where, parts, offset, size in found:
        name = "/".join(parts := parts[around:])
        if len(parts) < 2:
            faults[name] = "it is in no class folder"
        elif have and not where:
            faults[name] = "it is in no split"
        elif (where, name) in seen:
            faults[f"{name} (again)"] = "another image has its name"
        else:
            seen.add((where, name))
            described.append((parts[0], name, where, offset, size))
    # splits share one numbering; folders of a test split may be no classes
    names, numbers = class_numbers([each[0] for each in described if each[2] != "test" or have == ["test"]])
    described = sorted((each for each in described if each[2] == split), key=lambda each: each[1])
    if strange := [each[0] for each in described if each[0] not in numbers]:
        raise UsageError(f"tar `{location}` has the class `{strange[0]}` in test, which its other splits lack")
    if not described and not faults:
        raise RunError(f"tar `{location}` has no images; expected files ending in {', '.join(IMG_EXTENSIONS)}")
    offsets, sizes = (np.array([each[place] for each in described], dtype=np.int64) for place in (3, 4))
    reader = TarReader([path], np.zeros(len(described), dtype=np.int64), offsets, sizes)
    labels, identifiers = [numbers[each[0]] for each in described], [each[1] for each in described]
    return ImageData(f"tar:{location}", split, names, labels, identifiers, reader, sizes=sizes, faults=faults)


def _splits_among(paths: list[list[str]], named: str) -> list[str]:
    """The splits that folders of a tar are of; a class may be called test, where nothing is called train or val."""
    have = {where for parts in paths if (where := _in_split(parts, SPLITS)[0])}
    return [each for each in SPLITS if each in have] if have != {"test"} or named == "test" else []


def _in_split(parts: list[str], splits: Sequence[str]) -> tuple[str, list[str]]:
    """The split in a member's path ("" if there is none), and the path below it."""
    at = next((place for place, part in enumerate(parts[:-2]) if part in splits), None)
    return ("", parts) if at is None else (parts[at], parts[at + 1 :])


def _folders_around(paths: list[list[str]]) -> int:
    """How many folders are around all the class folders: those that hold everything, and several folders of images."""
    around = 0
    while len({parts[around] for parts in paths}) == 1:
        if len({parts[around + 1] for parts in paths if len(parts) > around + 2}) < 2:
            break
        paths, around = [parts for parts in paths if len(parts) > around + 2], around + 1
    return around


def webdataset(location: str, named: str, split: str) -> ImageData:
    """Shards of WebDataset: tars of KEY.jpg with KEY.cls (a number), or KEY.json with a `label`."""
    paths = files_of(location, "webdataset:GLOB of tar files, such as webdataset:shards/val-*.tar", named, split)
    note = tested_instead(named or split, paths[0].name) if Path(location).is_dir() else ""
    names, labels, places, faults = [], [], [], {}
    for number, path in enumerate(paths):
        with _opened(path) as file:
            for key, fields in _samples(path, faults):
                images = [name for name in fields if is_image(f".{name}")]
                if not images:
                    continue
                image = min(images, key=lambda name: name.count("."))  # KEY.jpg, not KEY.mask.png
                try:
                    labels.append(_label_of(file, fields))
                except ValueError as error:
                    faults[f"{key}.{image}"] = f"it has no label: {reason(error)}"
                    continue
                names.append(f"{key}.{image}")
                places.append((number, *fields[image]))
    if not names and not faults:
        raise RunError(f"`{location}` has no samples of an image and a .cls or .json")
    if len(set(names)) < len(names):  # shards that all count from 0
        names = [f"{paths[number].name}/{name}" for name, (number, *_) in zip(names, places, strict=True)]
    if len(set(names)) < len(names):
        raise RunError(
            f"`{location}` has {len(names) - len(set(names))} samples of keys that others have in their shard"
        )
    files, offsets, sizes = np.array(places, dtype=np.int64).reshape(-1, 3).T
    reader, classes = TarReader(paths, files, offsets, sizes), _classes_by_key(names, labels)
    return ImageData(
        f"webdataset:{location}", "", classes, labels, names, reader, note=note, sizes=sizes, faults=faults
    )


def _samples(path: Path, faults: dict[str, str]) -> Iterator[tuple[str, dict[str, tuple[int, int]]]]:
    """Neighbouring members of one key: by what follows the key's first dot, first byte and size."""
    key, fields = None, {}
    for name, offset, size, fault in members(path):
        if fault:
            faults[name] = fault
            continue
        folder, _, base = posixpath.normpath(name).rpartition("/")
        stem, _, field = base.partition(".")
        mine = f"{folder}/{stem}" if folder else stem
        if mine != key and fields:
            yield key, fields
            fields = {}
        key = mine
        fields[field] = (offset, size)
    if fields:
        yield key, fields


def _opened(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except OSError as error:
        raise RunError(f"`{path}` cannot be read: {reason(error)}") from error
    except ValueError as error:
        raise RunError(f"`{path}` is no uncompressed tar, or is damaged: {reason(error)}") from error


def _label_of(file: BinaryIO, fields: Mapping[str, tuple[int, int]]) -> int:
    known = {name.lower(): place for name, place in fields.items()}
    if not {"cls", "json"} & known.keys():
        raise ValueError("no .cls and no .json")
    start, size = known.get("cls") or known["json"]
    if size > LARGEST_LABEL:
        raise ValueError(f"its file has {size} bytes; expected at most {LARGEST_LABEL}")
    file.seek(start)
    text = file.read(size)
    label = text if "cls" in known else parse_json(text, Fields({"label": (int, str)}))["label"]
    try:
        label = int(label)
    except ValueError:
        raise ValueError(f"its .cls is {text[:20]!r}; expected a whole number") from None
    if not 0 <= label < MOST_CLASSES:
        raise ValueError(f"label {label} is outside 0 … {MOST_CLASSES - 1}")
    return label


def _classes_by_key(names: Iterable[str], labels: Sequence[int]) -> list[str]:
    """ImageNet's synsets where keys carry them and agree with the labels, else the labels themselves."""
    found = [re.search(r"(?:^|[/_])(n\d{8})(?=[/_])", name) for name in names]
    if all(found) and {each[1] for each in found} <= set(imagenet.synsets()):
        expected = imagenet.labels_of([each[1] for each in found], "webdataset")
        if np.array_equal(expected, labels):
            return list(imagenet.synsets())
    return [str(label) for label in range(max(labels, default=-1) + 1)]
