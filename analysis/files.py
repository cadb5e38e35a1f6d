"""Files written whole or not at all, folders with one writer, and sums that tell damage."""

import glob
import hashlib
import logging
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock, Timeout

from .errors import RunError, UsageError

log = logging.getLogger(__name__)

_UNFINISHED = ".unfinished"
_LOCK = ".lock"
_ROWS = 4096
"""Of which there is a sum, by default."""
_AT_ONCE = 256


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the with-block ends well, and vanishes otherwise.

    It lies in a folder of a random name that only this user may enter: nobody can have put a link there. What is
    written is on the disk before it takes its place.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(_UNFINISHED, _before(path.name), path.parent, ignore_cleanup_errors=True) as folder:
            temporary = Path(folder) / path.name
            yield temporary
            to_disk(temporary)
            os.replace(temporary, path)
        to_disk(path.parent)
    except OSError as error:
        raise RunError(f"cannot write `{path}`: {error.strerror or error}") from error


def _before(name: str) -> str:
    return f".{name[:40]}."


def to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clear_unfinished(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes left of files being written: of one by its name, or of all in a folder and below.

    The caller is the only writer of them.
    """
    if name is None:
        left = Path(folder).rglob(f".*{_UNFINISHED}")
    else:
        left = Path(folder).glob(f"{glob.escape(_before(name))}{'?' * 8}{_UNFINISHED}")
    for each in list(left):
        shutil.rmtree(each, ignore_errors=True)


def is_ours(name: str) -> bool:
    """Whether a name is of a lock or of a file being written, which say nothing of what their folder holds."""
    return name == _LOCK or (name.startswith(".") and name.endswith(_UNFINISHED))


def file_hash(path: Path) -> str:
    """The start of a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@contextmanager
def only_writer(folder: Path, lock_name: str = _LOCK) -> Iterator[None]:
    """No other process writes into the folder while the with-block lasts; the folder is made.

    Args:
        lock_name: of the lock's file; another than the default locks one file of the folder.

    Raises:
        UsageError: another does.
        RunError: it cannot be written.
    """
    lock = FileLock(folder / lock_name, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        what = folder if lock_name == _LOCK else folder / lock_name.removeprefix(".").removesuffix(_LOCK)
        raise UsageError(f"another process is writing into `{what}`: wait for it, or choose another place") from error
    except NotImplementedError:
        log.warning("the file system of %s knows no locks: see to it that only one process writes there", folder)
    except OSError as error:
        raise RunError(f"cannot write into `{folder}`: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def remove_lock(folder: Path) -> None:
    """Take away the lock's file of a folder that is finished or given up; its holder does."""
    with suppress(OSError):
        (Path(folder) / _LOCK).unlink()


class RowSums:
    """CRC-32 of every 4096 rows of an array that grows from its beginning: rows on a disk are told from damaged ones.

    Args:
        sums, rows: of the rows that are there already, and how many those are.
        each: of how many rows there is a sum.

    >>> sums = RowSums()
    >>> sums.add(b"ab"), sums.add(b"c")
    (None, None)
    >>> sums.rows, sums.differ(b"abc"), sums.differ(b"abd")
    (3, False, True)
    """

    def __init__(self, sums: Sequence[int] = (), rows: int = 0, each: int = _ROWS):
        self.each = each
        self._state = (list(sums), rows)  # changed at once: a signal may come between any two statements

    @property
    def sums(self) -> list[int]:
        return self._state[0]

    @property
    def rows(self) -> int:
        return self._state[1]

    def add(self, added) -> None:
        """The next rows: anything of a length that can be sliced, contiguous in memory."""
        sums, rows = list(self.sums), self.rows
        taken = 0
        while taken < len(added):
            within = rows % self.each
            part = added[taken : taken + self.each - within]
            if within == 0:
                sums.append(0)
            sums[-1] = zlib.crc32(part, sums[-1])
            taken += len(part)
            rows += len(part)
        self._state = (sums, rows)

    def settle(self, rows: int, array) -> None:
        """Be of the first so many rows of an array, whose others are to be written again."""
        if rows < self.rows:
            whole = rows // self.each
            self._state = (self.sums[:whole], whole * self.each)
        self._add_from(array, rows)

    def _add_from(self, array, rows: int) -> None:
        while self.rows < rows:
            self.add(array[self.rows : min(self.rows + _AT_ONCE, rows)])

    def differ(self, array) -> bool:
        """Whether the rows of an array are others than those that were added."""
        found = RowSums(each=self.each)
        found._add_from(array, self.rows)
        return found.sums != self.sums
