"""Images inside tar files, plain or WebDataset's, found once and then read where they lie: nothing is unpacked."""

import os
import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from ..errors import RunError, UsageError, plain
from ..untrusted import Fields, open_regular, parse_json
from . import imagenet
from .classes import class_numbers
from .datasets import MOST_CLASSES, SPLITS, ImageData, reason
from .decoding import open_picture
from .endings import LeftOut, image_endings, is_image
from .folders import files_of, tested_instead

LABELS = ("cls", "json", "txt")
"""Endings of files that tell the label of a sample, the better first; .txt is often a caption."""
LABELLED = Fields({"label": (int, float, str)})
LARGEST_LABEL = 2**20
"""Bytes of such a file."""
LONGEST_NAME = 200
"""Characters of a class's name."""
COMPRESSED = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ": "unxz",
    b"\x28\xb5\x2f\xfd": "unzstd",
    b"PK\x03\x04": "unzip",
}
"""How files begin that are compressed, and what unpacks them."""
_LOOKED_AT = 100
"""Files of a tar that tell what it is."""
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
        RunError: it is compressed, damaged, cut short, or no tar, or others follow it in the file.
    """
    try:
        with open_regular(path) as file, _opened_tar(file, path, (heads := _Heads(file))) as archive:
            whole, before = os.fstat(file.fileno()).st_size, -1
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # not in the stubs; else every member is remembered
                heads.read_of_one = 0
                if member.offset <= before:  # a size below 0 leads back: round and round
                    raise tarfile.ReadError(f"a member at {member.offset} follows one at {before}")
                before = member.offset
                if member.isfile() or member.islnk() or member.issym():
                    yield Member(member.name, member.offset_data, member.size, _fault(member, whole))
            _check_end(file, archive.offset, path)
    except OSError as error:
        raise RunError(f"`{path}` cannot be read: {reason(error)}") from error
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise RunError(f"`{path}` is no uncompressed tar, or is damaged: {reason(error)}") from error


def _opened_tar(file: BinaryIO, path: Path, heads: "_Heads") -> tarfile.TarFile:
    head = file.read(max(map(len, COMPRESSED)))
    file.seek(0)
    if unpack := next((unpack for magic, unpack in COMPRESSED.items() if head.startswith(magic)), None):
        raise RunError(f"`{path}` is no uncompressed tar; images are read where they lie in one: unpack it by {unpack}")
    return tarfile.open(fileobj=heads, mode="r:")  # type: ignore[call-overload]  # the stubs ask for writing as well


_PADDING, _MOST_PADDING = 20 * tarfile.BLOCKSIZE, 2**20
"""Bytes: what packers round a tar's size up to with zeros, and more than any of them does."""


def _check_end(file: BinaryIO, offset: int, path: Path) -> None:
    """Where Python's reader stopped, which takes the end of the file and what is no head for the end as well.

    Raises:
        RunError: no zeros are there, or more than zeros.
    """
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise RunError(f"`{path}` ends without the zeros that end a tar: it was cut short; fetch it or pack it again")
    if block.strip(b"\0"):
        raise RunError(f"`{path}` is damaged: no member begins at byte {offset}; fetch it or pack it again")
    zeros = os.fstat(file.fileno()).st_size - offset
    padded = zeros <= _PADDING + 2 * tarfile.BLOCKSIZE or ((offset + zeros) % _PADDING == 0 and zeros <= _MOST_PADDING)
    if zeros < 2 * tarfile.BLOCKSIZE or not padded:
        raise RunError(
            f"`{path}` ends in {zeros} bytes of zeros, which no packer writes: it was not fetched whole, or was cut "
            f"short; fetch it or pack it again"
        )
    while chunk := file.read(2**20):
        if chunk.strip(b"\0"):
            raise RunError(
                f"`{path}` goes on after the end of the tar at byte {offset}, as several do one after another: `tar "
                f"--ignore-zeros -xf` unpacks them all; pack them as one"
            )


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
    members_found: list[tuple[list[str], int, int]] = []
    faults: dict[str, str] = {}
    left_out = LeftOut()
    for name, offset, size, fault in members(path):
        if left_out.hides(name) or not left_out.takes(name):
            continue
        if fault:
            faults[name] = fault
        else:
            members_found.append((posixpath.normpath(name).split("/"), offset, size))
    have = _splits_among([parts for parts, _, _ in members_found], named)
    found = [(*_in_split(parts, have), offset, size) for parts, offset, size in members_found]
    if (named or have) and (named or split) not in have:
        raise UsageError(f"tar `{location}` has no split `{named or split}`; it has {', '.join(have) or 'none'}")
    if not have and split != "val":
        raise UsageError(f"tar `{location}` has no folder `{split}`; expected train and val in it")
    split = (named or split) if have else ""
    around = 0 if have else _folders_around([parts for _, parts, _, _ in found])
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
        raise RunError(f"tar `{location}` has no images; expected files ending in {', '.join(image_endings())}")
    offsets, sizes = (np.array([each[place] for each in described], dtype=np.int64) for place in (3, 4))
    reader = TarReader([path], np.zeros(len(described), dtype=np.int64), offsets, sizes)
    labels, identifiers = [numbers[each[0]] for each in described], [each[1] for each in described]
    left_out.say(f"tar:{location}")
    return ImageData(f"tar:{location}", split, names, labels, identifiers, reader, sizes=sizes, faults=faults)


def form_of(path: Path) -> str | None:
    """The form of a file by its name, and of a tar by its first files, those of shards having labels beside images."""
    if path.suffix == ".parquet":
        return "parquet"
    if not {".tar", ".tgz"} & set(path.suffixes):
        return None
    images, labels = set(), set()
    with suppress(RunError):
        for each in islice(members(path), _LOOKED_AT):
            key, _, ending = each.name.rpartition(".")
            if is_image(each.name):
                images.add(key)
            elif ending in LABELS:
                labels.add(key)
    return "webdataset" if images & labels else "tar"


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
    """Shards of WebDataset: tars of KEY.jpg with KEY.cls (a number or a name), KEY.json with a `label`, or KEY.txt.

    A key ends at the first dot of a file's name, as in the library of that name, but its files need not be neighbours.
    """
    paths = files_of(location, "webdataset:GLOB of tar files, such as webdataset:shards/val-*.tar", named, split)
    note = tested_instead(named or split, paths[0].name) if Path(location).is_dir() else ""
    names, told, places, left_out = [], [], [], LeftOut()
    faults: dict[str, str] = {}
    for number, path in enumerate(paths):
        with _opened(path) as file:
            for key, fields in _samples(path, faults, left_out).items():
                image = _image_of(key, fields, path, left_out)
                if image is None:
                    continue
                try:
                    told.append(_label_of(file, fields))
                except ValueError as error:
                    faults[f"{key}.{image.name}"] = f"it has no label: {reason(error)}"
                    continue
                names.append(f"{key}.{image.name}")
                places.append((number, image.offset, image.size))
    if not names and not faults:
        raise RunError(f"`{location}` has no samples of an image and a .cls or .json")
    labels, named_classes, strange = _numbered(told)
    for place in strange:
        faults[names[place]] = f"it has no label: it has the name `{told[place]}`, where others have whole numbers"
    kept = [place for place in range(len(names)) if place not in strange]
    names, places = [names[place] for place in kept], [places[place] for place in kept]
    if len(set(names)) < len(names):  # shards that all count from 0
        above = os.path.commonpath([path.absolute().parent for path in paths])
        shards = [os.path.relpath(path.absolute(), above) for path in paths]
        names = [f"{shards[number]}/{name}" for name, (number, *_) in zip(names, places, strict=True)]
    files, offsets, sizes = np.array(places, dtype=np.int64).reshape(-1, 3).T
    reader, classes = TarReader(paths, files, offsets, sizes), named_classes or _classes_by_key(names, labels)
    left_out.say(f"webdataset:{location}")
    return ImageData(
        f"webdataset:{location}", "", classes, labels, names, reader, note=note, sizes=sizes, faults=faults
    )


class Field(NamedTuple):
    """A file of a sample: what follows the key's first dot, first byte and size."""

    name: str
    offset: int
    size: int


def _samples(path: Path, faults: dict[str, str], left_out: LeftOut) -> dict[str, dict[str, Field]]:
    """The fields of every key in a shard, by their names in small letters."""
    found: dict[str, dict[str, Field]] = {}
    for name, offset, size, fault in members(path):
        if left_out.hides(name):
            continue
        if fault:
            faults[name] = fault
            continue
        folder, _, base = posixpath.normpath(name).rpartition("/")
        stem, _, field = base.partition(".")
        fields = found.setdefault(f"{folder}/{stem}" if folder else stem, {})
        if field.lower() in fields:
            raise RunError(f"`{path}` has two files `{plain(name)}`; expected one file of a name, in small letters")
        fields[field.lower()] = Field(field, offset, size)
    return found


def _image_of(key: str, fields: Mapping[str, Field], path: Path, left_out: LeftOut) -> Field | None:
    """The image of a sample: KEY.jpg, beside which there may be KEY.mask.png.

    Raises:
        RunError: one of several images would have to be guessed.
    """
    images = [each for each in fields.values() if is_image(f".{each.name}")]
    if not images:
        for each in fields.values():
            left_out.takes(f"{key}.{each.name}" if each.name else key)
        return None
    plainest = [each for each in images if "." not in each.name] or images
    labels_of_others = [name for name in fields if name.rpartition(".")[2] in LABELS and "." in name]
    if len(plainest) > 1 or (len(images) > 1 and labels_of_others):
        listed = ", ".join(plain(f"{key}.{each.name}") for each in images[:3])
        raise RunError(
            f"`{path}` has {len(images)} images of the key `{plain(key)}`, which ends at the first dot: {listed}"
            f"{' …' if len(images) > 3 else ''}; expected one image a key (no other dots), and others beside it as "
            f"KEY.mask.png"
        )
    left_out.takes(f"{key}.{plainest[0].name}")
    return plainest[0]


def _opened(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except OSError as error:
        raise RunError(f"`{path}` cannot be read: {reason(error)}") from error
    except ValueError as error:
        raise RunError(f"`{path}` is no uncompressed tar, or is damaged: {reason(error)}") from error


def _label_of(file: BinaryIO, fields: Mapping[str, Field]) -> int | str:
    """The label of a sample, or the name of its class.

    Raises:
        ValueError: it has none.
    """
    kind = next((name for name in LABELS if name in fields), None)
    if kind is None:
        raise ValueError("no .cls and no .json")
    field = fields[kind]
    if field.size > LARGEST_LABEL:
        raise ValueError(f"its file has {field.size} bytes; expected at most {LARGEST_LABEL}")
    file.seek(field.offset)
    content = file.read(field.size)
    expected = "a whole number; no .cls and no .json" if kind == "txt" else "a whole number or the name of a class"
    try:
        told = parse_json(content, LABELLED)["label"] if kind == "json" else content.decode("utf-8-sig")
    except (UnicodeDecodeError, OverflowError) as error:
        raise ValueError(f"its .{kind} is {content[:20]!r}, {error}; expected {expected}") from None
    label = _whole(told.strip() if isinstance(told, str) else told)
    if isinstance(label, float) or (isinstance(label, str) and (kind == "txt" or not 0 < len(label) <= LONGEST_NAME)):
        raise ValueError(f"its .{kind} is {str(label)[:20]!r}; expected {expected}")
    if isinstance(label, int) and not 0 <= label < MOST_CLASSES:
        raise ValueError(f"label {label} is outside 0 … {MOST_CLASSES - 1}")
    return label


def _whole(told: float | str) -> int | float | str:
    """A whole number as one; other numbers and other text as they are.

    >>> _whole("3.0"), _whole(3.5), _whole("tench")
    (3, 3.5, 'tench')
    """
    try:
        number = float(told)
    except ValueError:
        return told
    return int(number) if number.is_integer() else number


def _numbered(told: Sequence[int | str]) -> tuple[list[int], list[str], set[int]]:
    """Labels, names of the classes where all have names, and the places of names where others have numbers."""
    names = {place for place, each in enumerate(told) if isinstance(each, str)}
    if len(names) < len(told):
        return [int(each) for place, each in enumerate(told) if place not in names], [], names
    classes, numbers = class_numbers([str(each) for each in told])
    return [numbers[str(each)] for each in told], classes, set()


def _classes_by_key(names: Sequence[str], labels: Sequence[int]) -> list[str]:
    """ImageNet's synsets where keys carry them and agree with the labels, else the labels themselves."""
    found = [match[1] for name in names if (match := re.search(r"(?:^|[/_])(n\d{8})(?=[/_])", name))]
    if names and len(found) == len(names) and set(found) <= set(imagenet.synsets()):
        expected = imagenet.labels_of(found, "webdataset")
        if np.array_equal(expected, labels):
            return list(imagenet.synsets())
    return [str(label) for label in range(max(labels, default=-1) + 1)]
