"""A run's folder: tables, arrays, figures and provenance, each written whole or not at all."""

import hashlib
import json
import logging
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..differences import difference
from ..errors import RunError, UsageError, plain
from ..files import atomic_path, clear_unfinished, file_hash, is_ours, only_writer, remove_lock
from ..untrusted import LARGEST_TEXT, check_regular, conform, read_json
from .columns import NAMES
from .sealing import check_file, check_seal, fault_of, seal_of, sealed_files
from .shapes import RECORD
from .tables import check_table

log = logging.getLogger(__name__)


FORMAT = 2
"""Of `run.json`: the second has one hash of weights everywhere, and a seal once it is finished."""


@cache
def code_hash() -> str:
    """A hash of this package's own files, so that results can be told from those of other code."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


_version = cache(version)


def versions() -> dict[str, str]:
    """Of Python, of this code, and of what it computes with."""
    libraries = ("torch", "torchvision", "timm", "numpy", "scipy", "pandas")
    return {"python": platform.python_version(), "gelens code": code_hash()} | {
        each: _version(each) for each in libraries
    }


class Run:
    """A folder of results of one command with its arguments, which no other process may write until it is closed.

    Leaving it as a context closes it; `finish` does too.

    Args:
        folder: made if it is not there.
        command: the name of what is run.
        arguments: everything that the results depend on, JSON values.
        resume: go on with an unfinished run of the same arguments.

    Raises:
        UsageError: the folder holds something else, a run made with other arguments, or a run of these without resume;
            or another process is writing into it.
        RunError: it cannot be written.
    """

    def __init__(self, folder: Path | str, command: str, arguments: Mapping, resume: bool = False):
        self.folder = Path(folder)
        arguments = json.loads(json.dumps(dict(arguments)))
        self.record: dict[str, Any] = {
            "format": FORMAT,
            "command": command,
            "arguments": arguments,
            "versions": versions(),
            "networks": {},
            "timings": {},
            "finished": False,
        }
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"`{folder}` is a file; expected a folder for the results")
        if self.folder.exists() and not self._is_there() and not all(is_ours(each.name) for each in self._content()):
            raise UsageError(f"`{folder}` is not empty and holds no run; choose another folder")
        with ExitStack() as stack:
            self._lock_folder(stack)
            try:
                self._begin(resume)
            except UsageError:
                if self._is_there() and read_record(self.folder)["finished"]:
                    remove_lock(self.folder)  # what is finished is left as it was
                raise
            self._lock = stack.pop_all()

    def _lock_folder(self, stack: ExitStack) -> None:
        try:
            stack.enter_context(only_writer(self.folder))
        except RunError:
            if not self._is_there() or not read_record(self.folder)["finished"]:
                raise  # a finished run may lie where nothing can be written

    def _begin(self, resume: bool) -> None:
        if not self._is_there():
            clear_unfinished(self.folder)
            self.save()
            return
        before = read_record(self.folder)
        self._check_same(before)
        state = "finished" if before["finished"] else "unfinished"
        if not resume:
            raise UsageError(
                f"`{self.folder}` holds the {state} run of these arguments: add --resume to continue it, or choose "
                f"another folder"
            )
        if before["versions"] != self.record["versions"]:
            log.warning("%s was begun with other versions: %s", self.folder, before["versions"])
        self.record = before
        clear_unfinished(self.folder)

    def _is_there(self) -> bool:
        return self.path("run.json").exists()

    def _content(self) -> Iterator[Path]:
        return self.folder.iterdir()

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes write into the folder."""
        self._lock.close()

    def _check_same(self, before: dict) -> None:
        now = {"command": self.record["command"]} | self.record["arguments"]
        then = {"command": before["command"]} | before["arguments"]
        # the same images may be found elsewhere, or be called otherwise: an unfinished pass knows them by fingerprint
        elsewhere = {"data"} if "parts" in before.get("data", {}) and not before["finished"] else set()
        if before.get("format", 1) < FORMAT:  # which had other hashes; the networks' cards are compared all the same
            elsewhere |= {"weights", "code"}
        for key in dict.fromkeys([*now, *then]):
            if key in elsewhere:
                continue
            if now.get(key) != then.get(key):
                raise UsageError(
                    f"`{self.folder}` holds a run made with other arguments: "
                    f"{difference(key, then.get(key), now.get(key))}; choose another folder"
                )

    @property
    def finished(self) -> bool:
        return self.record["finished"]

    def path(self, name: str) -> Path:
        return self.folder / name

    def save(self, **record) -> None:
        """Add to the record and write `run.json`; a run that is written to is not finished, and has no seal."""
        self.record.pop("seal", None)
        self.record |= {"finished": False} | record
        self._write_record()

    def _write_record(self) -> None:
        with atomic_path(self.path("run.json")) as temporary:
            text = json.dumps(self.record, indent=2, ensure_ascii=False) + "\n"
            # of a file's name that is no text, JSON's own escapes, which are read back as the same name
            temporary.write_text(text, "utf-8", "backslashreplace")

    def find(self, sentences: Iterable[str]) -> None:
        """Add to what the run has found, in sentences; what an earlier try found already is not said twice."""
        self.save(findings=list(dict.fromkeys([*self.record.get("findings", ()), *sentences])))

    def add_network(self, label: str, card: Mapping, **facts) -> None:
        """Record what a label stands for, by its card of `gelens.networks.weights.network_card`."""
        self.record["networks"][label] = dict(card) | facts

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the seconds of a with-block to the record's timings, those of earlier tries included."""
        start = time.monotonic()
        try:
            yield
        finally:
            spent = self.record["timings"].get(name, 0.0) + time.monotonic() - start
            self.record["timings"][name] = round(spent, 2)

    def write_table(self, name: str, table: pd.DataFrame) -> Path:
        with atomic_path(self.path(name)) as temporary:
            table.to_csv(temporary, index=False, float_format="%.15g")  # no 0.30000000000000004
            self._written(name, temporary)
        return self.path(name)

    def write_tables(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Write those of the tables, by name, that have rows."""
        for name, table in tables.items():
            if len(table):
                self.write_table(name, table)

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> Path:
        with atomic_path(self.path(name)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **dict(arrays))  # type: ignore[arg-type]  # a name is no option
            file.flush()
            self._written(name, temporary)
        return self.path(name)

    def _written(self, name: str, path: Path) -> None:
        self.record.setdefault("files", {})[name] = file_hash(path)

    def discard_if_empty(self) -> None:
        """Take back a run that came to nothing but its record, so that its folder is free for the next try."""
        if all(is_ours(path.name) or path.name == "run.json" for path in self._content()):
            self.path("run.json").unlink()
            remove_lock(self.folder)
            with suppress(OSError):
                self.folder.rmdir()

    def finish(self) -> None:
        """Say that all is there, seal it, and close it.

        Raises:
            RunError: a table or an array is not what was written.
        """
        for name, known in self.record.get("files", {}).items():
            if fault := fault_of(self.folder, name, known):
                raise RunError(f"{fault}: something else writes into the run's folder; begin again in another one")
        self.record |= {"finished": True, "files": sealed_files(self.folder)}
        self.record["seal"] = seal_of(json.loads(json.dumps(self.record)))
        self._write_record()
        remove_lock(self.folder)
        self.close()


def read_record(folder: Path | str) -> dict:
    """A run's `run.json`.

    Raises:
        UsageError: there is none, or it is no record of a run.
        RunError: it was changed after the run was finished.
    """
    path = Path(folder) / "run.json"
    try:
        record = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"`{folder}` holds no run (no run.json)") from None
    except (ValueError, OSError) as error:
        raise UsageError(f"`{path}` cannot be read: {error}") from None
    try:
        conform(record, RECORD)
    except ValueError as error:
        raise UsageError(f"`{path}` is not the record of a run: {error}") from None
    check_seal(folder, record)
    return {"versions": {}, "networks": {}, "timings": {}} | record


def read_table(folder: Path | str, name: str, needed: Sequence[str] = ()) -> pd.DataFrame:
    """A table of a run's folder.

    Args:
        folder: the run's.
        name: of the file.
        needed: columns that it must have beside those without which nothing can be made of it.

    Raises:
        UsageError: the run has no such table, or it cannot be read as one.
        RunError: it is not what the run wrote.
    """
    path = Path(folder) / name
    if not path.is_file():
        raise UsageError(f"the run in `{folder}` has no {name}")
    try:
        check_regular(path, LARGEST_TEXT)
        check_file(folder, name)
        columns = pd.read_csv(path, nrows=0).columns
        names = {column: str for column in columns if column in NAMES}
        missing = {column: ["", "nan", "NaN"] for column in columns if column not in NAMES}
        table = pd.read_csv(path, dtype=names, na_values=missing, keep_default_na=False)
        if not isinstance(table.index, pd.RangeIndex):  # pandas takes what is too much for names of rows
            raise ValueError("it has rows longer than its head")
        check_table(name, table, needed)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (ValueError, OSError, MemoryError, OverflowError) as error:
        raise UsageError(f"`{path}` cannot be read as a table: {error}") from None
    for column in names:
        spelled = {value: plain(value) for value in table[column].unique()}
        if any(key != value for key, value in spelled.items()):
            table[column] = table[column].map(spelled)
    return table
