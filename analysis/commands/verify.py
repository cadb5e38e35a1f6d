"""`gelens verify RUN…`: whether runs and recordings are still what was written."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import RunError
from ..recording.store import open_any
from ..results.run import read_record
from ..results.sealing import fault_of


@dataclass(frozen=True)
class Verified:
    """What came of looking at a folder.

    Args:
        files: that were compared, arrays of recordings included.
        faults: what is wrong with them, a sentence each.
    """

    files: int
    faults: list[str]


def verify(folder: Path) -> Verified:
    """Compare every file of a run, or of a recording, with what was written.

    Raises:
        UsageError: there is neither.
        RunError: the run is not finished, or has no seal.
    """
    if not (folder / "run.json").is_file():
        told = list(_recording(folder))
        return Verified(len(told), [fault for fault in told if fault])
    try:
        record = read_record(folder)
    except RunError as error:
        return Verified(1, [str(error)])
    if not record["finished"]:
        raise RunError(f"the run in `{folder}` is not finished, so it is not sealed yet")
    if "seal" not in record:
        raise RunError(f"the run in `{folder}` is not sealed: an older version made it, so nothing tells what it wrote")
    files, faults = 1, []
    for name, known in record["files"].items():
        within = folder / name
        found: list[str | None] = [fault_of(folder, name, known)]
        if found[0] is None and within.name == "recording.json":
            found += _recording(within.parent)
        if found[0] is None and within.name == "run.json":
            inner = verify(within.parent)
            files += inner.files
            found += inner.faults
        files += len(found)
        faults += [fault for fault in found if fault]
    return Verified(files, faults)


def _recording(folder: Path) -> Iterator[str | None]:
    """Of the table of images and of each array of a recording, what is wrong with it."""
    try:
        recording = open_any(folder)
        yield None
    except RunError as error:
        yield str(error)
        return
    for network in recording.networks:
        for name in recording.names(network):
            try:
                recording.array(network, name)
                yield None
            except RunError as error:
                yield str(error)
