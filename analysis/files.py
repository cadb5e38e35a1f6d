"""Files written whole or not at all."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from analysis.errors import RunError, UsageError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the with-block ends well, and vanishes otherwise."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(f"cannot write `{path}`: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def file_hash(path: Path) -> str:
    """The start of a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """No other process writes into the folder while the with-block lasts; the folder is made.

    Raises:
        UsageError: another does.
        RunError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise UsageError(
            f"another process is writing into `{folder}`: wait for it, or choose another folder"
        ) from error
    except OSError as error:
        raise RunError(f"cannot write into `{folder}`: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()
