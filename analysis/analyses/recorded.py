"""What commands share that compute from a finished recording: no network is run."""

from collections.abc import Sequence
from pathlib import Path

from .. import processes
from ..files import file_hash
from ..recording import Recording, open_recording
from ..results.run import Run, read_record
from ..results.sealing import check_file
from .measuring import Recorded


def recording_hash(folder: Path) -> str:
    """What a result depends on that is computed from a recording, or from a run that kept one."""
    path = open_recording(folder).path("recording.json")
    if (folder / "run.json").is_file():
        read_record(folder)  # an error where it was changed
        check_file(folder, path.relative_to(folder).as_posix())
    return file_hash(path)


def recording_for(folder: Path, networks: Sequence[str] = ()) -> Recording:
    """The recording, which has these networks.

    Raises:
        Recorded: another process computes from it.
        UsageError: it has no network of one of the labels.
    """
    if not processes.is_first():
        raise Recorded
    recording = open_recording(folder)
    for label in networks:
        recording.names(label)  # an error where there is none
    return recording


def add_recorded(run: Run, recording: Recording, networks: Sequence[str], seed: int) -> None:
    """Write into run.json the networks, all where none is named, and the images."""
    for label in networks or recording.networks:
        run.add_network(label, recording.networks[label])
    run.save(data=recording.described.get("data", {}) | {"read": len(recording.images)}, seed=seed)
