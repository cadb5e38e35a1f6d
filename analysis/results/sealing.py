"""The seal of a finished run: `run.json` has the hash of every table, array and recording, and one of itself."""

import hashlib
import json
import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ..errors import RunError
from ..files import file_hash, is_ours
from ..untrusted import read_json

log = logging.getLogger(__name__)

RECORD = "run.json"
_MADE_LATER = (RECORD, "report.html")
_BELOW = ("*/recording.json", "*/run.json", "*/*/run.json")
"""What seals the rest: a recording has sums of its own arrays, a run within a run its own seal."""
_WAY_OUT = 'make it again, or take "seal" out of its run.json to have it as it stands'


def sealed_files(folder: Path) -> dict[str, str]:
    """By name, a hash of each file of a run that its results are in; figures and the report are made from those."""
    tables = [path for path in folder.iterdir() if path.is_file() and not is_ours(path.name)]
    below = [path for pattern in _BELOW for path in folder.glob(pattern)]
    names = {path.relative_to(folder).as_posix() for path in [*tables, *below]}
    return {name: file_hash(folder / name) for name in sorted(names.difference(_MADE_LATER))}


def seal_of(record: Mapping) -> str:
    """A hash of all that a record says beside it."""
    said = {name: value for name, value in record.items() if name != "seal"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def check_seal(folder: Path | str, record: Mapping) -> None:
    """Raise a RunError for a record that was changed after its run was finished; of one without a seal a note tells."""
    if not record.get("finished"):
        return
    if "seal" in record and record["seal"] != seal_of(record):
        raise RunError(f"the run.json of `{folder}` was changed after the run was finished: {_WAY_OUT}")
    if "seal" not in record:
        _say_unsealed(Path(folder).absolute())


@cache
def _say_unsealed(folder: Path) -> None:
    log.info("the run in %s is not sealed, as those of older versions are not: it is taken as it stands", folder)


def check_file(folder: Path | str, name: str) -> None:
    """Compare a file of a run with what was written, before it is used; a run that is not sealed is taken as it is.

    Raises:
        RunError: it is another by now.
    """
    try:
        record = read_json(Path(folder) / RECORD)
    except (OSError, ValueError):
        return  # who reads the record says what is wrong with it
    if not isinstance(record, dict) or not record.get("finished") or "seal" not in record:
        return
    check_seal(folder, record)
    if fault := fault_of(Path(folder), name, record.get("files", {}).get(name)):
        raise RunError(f"{fault}: {_WAY_OUT}")


def fault_of(folder: Path, name: str, known: str | None) -> str | None:
    """What is wrong with a file of a run, whose hash was known as it was finished."""
    if not (folder / name).is_file():
        return f"`{folder / name}` is gone"
    if known is None:
        return f"`{folder / name}` was added after the run was finished"
    return None if file_hash(folder / name) == known else f"`{folder / name}` is not what the run wrote"
