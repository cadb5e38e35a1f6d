"""Files of strangers, read at the door: regular ones only, of the size they say, JSON of the shape it must have.

What is wrong with one is a `ValueError` in words that name no file; who reads it names the file and the way out.
"""

import json
import math
import numbers
import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

LARGEST_TEXT = 2**30
"""Bytes of JSON or of a table that are read: a listing of ten million images is below."""
_SMALL = 2**28
_RATIO = 50


def allowance(size: int) -> int:
    """Bytes that a file of so many bytes may become in memory; what it claims beyond is taken for an attack.

    Numbers that were measured or trained hardly compress. What is small anyway may be all zeros.
    """
    return max(_SMALL, _RATIO * size)


@contextmanager
def bounded_memory(most: int) -> Iterator[None]:
    """Around somebody else's reader: what it asks for beyond so many more bytes it does not get.

    It then raises an error of its own kind, or a MemoryError. Only Linux can be asked for that; elsewhere the bounds
    that are checked before are all there is.
    """
    known = Path("/proc/self/statm")
    if not known.exists():
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = int(known.read_text().split()[0]) * resource.getpagesize() + most
    resource.setrlimit(resource.RLIMIT_AS, (limit if soft < 0 else min(soft, limit), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def open_regular(path: Path | str) -> BinaryIO:
    """A file opened for reading, unless it is a pipe, a device, a socket or a folder: none is waited for.

    Raises:
        OSError: there is none, or it cannot be read.
        ValueError: it is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("it is no regular file")
    return os.fdopen(descriptor, "rb")


def check_regular(path: Path | str, largest: int | None = None) -> None:
    """Refuse what is no regular file, or one of more bytes, before somebody else's reader opens it by its name.

    Raises:
        OSError: there is none.
        ValueError: it is none, or too large.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no regular file")
    if largest is not None and status.st_size > largest:
        raise ValueError(f"it has {status.st_size} bytes; expected at most {largest}")


def read_json(path: Path | str, shape: "Shape | None" = None) -> Any:
    """What a JSON file holds, once it is of a shape.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is no JSON, or of another shape.
    """
    check_regular(path, LARGEST_TEXT)
    with open_regular(path) as file:
        return parse_json(file.read(), shape)


def parse_json(text: str | bytes, shape: "Shape | None" = None) -> Any:
    """The same of text.

    >>> parse_json("1e400")
    Traceback (most recent call last):
        ...
    ValueError: the number 1e400 is too large
    """
    try:
        value = json.loads(text, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if shape is not None:
        conform(value, shape)
    return value


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text} is too large")
    return number


@dataclass(frozen=True)
class Fields:
    """A mapping with these keys, and with those where it has them; other keys may be there too."""

    needed: Mapping[str, "Shape"]
    others: Mapping[str, "Shape"] = field(default_factory=dict)


@dataclass(frozen=True)
class Listed:
    """A list of values of one shape, of a given length if there is one."""

    of: "Shape"
    length: int | None = None


@dataclass(frozen=True)
class Named:
    """A mapping from any names to values of one shape."""

    of: "Shape"


@dataclass(frozen=True)
class Whose:
    """A value of a shape for which something holds as well, in words such as "above 0"."""

    of: "Shape"
    holds: Callable[[Any], bool]
    words: str


Shape = type | tuple | Fields | Listed | Named | Whose | None
"""What a JSON value must be: a type, None, a tuple of alternatives, or a class above. A float may be a whole number."""

_WORDS: dict[type | None, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_WORDS |= {dict: "a mapping", list: "a list", None: "null", object: "anything"}


def conform(value: object, shape: Shape, where: str = "") -> None:
    """Raise a ValueError for a value of another shape, which says where in it.

    >>> conform({"rows": ["x"]}, Fields({"rows": Listed(int)}))
    Traceback (most recent call last):
        ...
    ValueError: rows[0] is text; expected a whole number
    """
    if isinstance(shape, tuple):
        if not any(_conforms(value, each) for each in shape):
            plainest = next((each for each in shape if isinstance(value, _kind(each))), shape)
            if plainest is shape:
                raise ValueError(f"{where or 'it'} is {_described(value)}; expected {_expected(shape)}")
            conform(value, plainest, where)
        return
    if isinstance(shape, Whose):
        conform(value, shape.of, where)
        if not shape.holds(value):
            raise ValueError(f"{where or 'it'} is {str(value)[:60]}; expected {shape.words}")
        return
    if not _is(value, _kind(shape)):
        raise ValueError(f"{where or 'it'} is {_described(value)}; expected {_expected(shape)}")
    if isinstance(shape, Fields):
        assert isinstance(value, dict)
        if missing := [key for key in shape.needed if key not in value]:
            raise ValueError(f"{f'{where} has' if where else 'it has'} no `{missing[0]}`")
        for key, of in {**shape.needed, **shape.others}.items():
            if key in value:
                conform(value[key], of, f"{where} {key}".strip())
    elif isinstance(shape, Named):
        assert isinstance(value, dict)
        for key, each in value.items():
            conform(each, shape.of, f"{where} {key}".strip())
    elif isinstance(shape, Listed):
        assert isinstance(value, list)
        if shape.length not in (None, len(value)):
            raise ValueError(f"{where or 'it'} has {len(value)} values; expected {shape.length}")
        if shape.of is str and set(map(type, value)) == {str}:
            return  # a million names
        if shape.of is int and set(map(type, value)) == {int} and -(2**63) < min(value) <= max(value) < 2**63:
            return
        for place, each in enumerate(value):
            conform(each, shape.of, f"{where}[{place}]")


def _conforms(value: object, shape: Shape) -> bool:
    try:
        conform(value, shape)
    except ValueError:
        return False
    return True


def _kind(shape: Shape) -> type:
    if isinstance(shape, Whose):
        return _kind(shape.of)
    if isinstance(shape, Fields | Named):
        return dict
    if isinstance(shape, Listed):
        return list
    return type(None) if shape is None else shape  # type: ignore[return-value]


def _is(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    if kind is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool) and abs(int(value)) < 2**63
    return isinstance(value, kind)


def _expected(shape: Shape) -> str:
    if isinstance(shape, tuple):
        return " or ".join(_expected(each) for each in shape)
    kind = _kind(shape)
    return _WORDS.get(None if kind is type(None) else kind, kind.__name__)


def _described(value: object) -> str:
    if isinstance(value, float | int) and not isinstance(value, bool):
        return str(value)[:60]
    return _WORDS.get(None if value is None else type(value), type(value).__name__)


def map_array(path: Path | str) -> np.memmap:
    """The array of an npy file, memory-mapped.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is none, is of objects, or is shorter than its head says.
    """
    check_regular(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.memmap):
            raise ValueError("it is no array")
        return array
    except (OSError, ValueError):
        raise
    except Exception as error:  # NumPy parses a head as Python's own text, which has errors of many kinds
        raise ValueError(f"its head is damaged: {str(error).splitlines()[0] if str(error) else error!r}") from error


class StoredRows:
    """Rows of an npy file, read when they are asked for: a mapped file that is cut short kills its reader.

    The file is open only while it is read, however many there are.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is none, is of objects, is shorter than its head says, or its rows do not follow each other.
    """

    def __init__(self, path: Path):
        mapped = map_array(path)
        if not mapped.flags.c_contiguous:
            raise ValueError("its columns follow each other; expected its rows")
        self.path, self.shape, self.dtype, self.offset = Path(path), mapped.shape, mapped.dtype, mapped.offset

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def end(self) -> int:
        """The byte of the file after its rows."""
        return self.offset + len(self) * self.row_bytes

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Rows one after the other, (n, …).

        Raises:
            OSError: the file cannot be read.
            ValueError: it was cut short meanwhile.
        """
        start, stop, _ = rows.indices(len(self))
        count = (stop - start) * math.prod(self.shape[1:])
        values = np.fromfile(self.path, self.dtype, count, offset=self.offset + start * self.row_bytes)
        if len(values) < count:
            raise ValueError("it was cut short as it was read")
        return values.reshape(stop - start, *self.shape[1:])


def read_arrays(path: Path | str) -> dict[str, np.ndarray]:
    """The arrays of an npz archive; none of objects, which would be unpickled.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is no archive of arrays, is damaged, or unpacks to too much.
    """
    with open_regular(path) as file:
        return load_arrays(file)


def load_arrays(file: BinaryIO) -> dict[str, np.ndarray]:
    """The same of an open file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        check_archive(file, allowance(size))
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError("it is no archive of arrays")
            return {name: _array_of(stored, name) for name in stored.files}
    except (OSError, ValueError):
        raise
    except (Exception, MemoryError) as error:  # what zipfile, zlib and NumPy raise of a damaged file has no end
        raise ValueError((str(error) or type(error).__name__).splitlines()[0]) from error


def check_archive(file: BinaryIO, largest: int) -> None:
    """Raise a ValueError for a zip file that says to unpack to more bytes."""
    with zipfile.ZipFile(file) as archive:
        claimed = sum(entry.file_size for entry in archive.infolist())
    if claimed > largest:
        raise ValueError(f"it unpacks to {claimed} bytes; expected at most {largest} of a file of its size")


def _array_of(stored, name: str) -> np.ndarray:
    """An array, once its head says no more than what is stored: NumPy reserves what the head says."""
    with stored.zip.open(name if name in stored.zip.namelist() else f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        held = stored.zip.getinfo(member.name).file_size
    needed = math.prod(shape) * dtype.itemsize
    if needed > held:
        raise ValueError(f"`{name}` is said to be {dtype} {shape}, {needed} bytes, but {held} are stored")
    return stored[name]
