"""A recording that is begun in a folder, or gone on with."""

import logging
import shutil
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from ..errors import UsageError
from ..files import clear_unfinished, only_writer, to_disk
from .format import make_arrays, open_arrays, read_described, read_images, write_at, write_described, write_images
from .same import check_same, check_same_images, check_sampled
from .store import Recording, opened, with_range

log = logging.getLogger(__name__)


_ROWS = 4096


def on_disk(folder: Path, described: dict, images: pd.DataFrame, resume: bool) -> Recording:
    _refuse_others(folder, described)  # before a lock is written among them
    lock = _locked(folder)
    try:
        recording = _begun(folder, described, images, resume)
    except BaseException:
        lock.close()
        raise
    recording._lock = lock
    return recording


def _begun(folder: Path, described: dict, images: pd.DataFrame, resume: bool) -> Recording:
    """A recording in a folder that no other process writes."""
    clear_unfinished(folder)
    if (folder / "recording.json").is_file():
        before = read_described(folder)
        if not resume:
            raise UsageError(
                f"`{folder}` holds a recording already: add --resume to continue, or choose another folder"
            )
        check_same(folder, before, described)
        return _resumed(folder, before, described, images)
    for network in described["folders"].values():  # of a process that was killed as it began
        shutil.rmtree(folder / network, ignore_errors=True)
    make_arrays(folder, described)
    recording = Recording(described, images, open_arrays(folder, described), folder)
    recording.flush()
    return recording


def _refuse_others(folder: Path, described: dict) -> None:
    """A folder of something else is not written into; one that was locked for a recording holds the beginning of it."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if "recording.json" in names:
        return
    begun = set(described["folders"].values()) | {"images.csv"} if ".lock" in names else set()
    if any(name not in begun and not name.startswith(".") for name in names):
        raise UsageError(f"`{folder}` is not empty and holds no recording; choose another folder")


def _resumed(folder: Path, before: dict, described: dict, images: pd.DataFrame) -> Recording:
    """An unfinished recording to go on with; images after those that are done may have been taken out meanwhile."""
    done = before["rows_done"]
    if before["finished"] and before["images"] != len(images):
        raise UsageError(f"`{folder}` is of {before['images']} images, now {len(images)}; choose another folder")
    recorded = read_images(folder, before, len(images))
    check_same_images(folder, recorded[:done], images[:done])
    check_sampled(folder, before.get("sample") or {}, described.get("sample") or {})
    recording = opened(folder, before, recorded)
    if not before["finished"]:
        recording.check()
    for column in ("label", "class", "content"):
        images.loc[: done - 1, column] = recorded[column].iloc[:done].to_numpy()
    if before.get("versions") != described.get("versions"):
        log.warning("the recording in %s was begun with other versions: %s", folder, before.get("versions"))
    kept = ("rows_done", "finished", "folders", "classes", "sums", "chosen", "made")
    described = described | {name: before[name] for name in kept if name in before}
    if done and "made" not in before and "versions" in before:  # of an older version
        described["made"] = with_range([], 0, done, before["versions"])
    if before["images"] != len(images):
        _shorten(folder, before, described, images)
    resumed = Recording(described, images, open_arrays(folder, described), folder)
    resumed._trusted = recording._trusted
    return resumed


def _shorten(folder: Path, before: dict, described: dict, images: pd.DataFrame) -> None:
    """Arrays for another number of images, with the rows that are done, beside the old ones until they are whole."""
    taken = set(before["folders"].values())
    described["folders"] = {label: f"{name}-" for label, name in before["folders"].items()}
    if taken & set(described["folders"].values()):
        described["folders"] = {label: f"{name}--" for label, name in before["folders"].items()}
    make_arrays(folder, described)
    old, done = open_arrays(folder, before), described["rows_done"]
    for key, array in open_arrays(folder, described).items():
        for start in range(0, done, _ROWS):
            write_at(array, start, old[key][start : min(start + _ROWS, done)])
        to_disk(array.path)
    write_images(folder, images)
    write_described(folder, described)
    for name in taken:
        shutil.rmtree(folder / name, ignore_errors=True)


def _locked(folder: Path) -> ExitStack:
    lock = ExitStack()
    lock.enter_context(only_writer(folder))
    return lock


def begun_with(folder: Path | str) -> dict:
    """What recording.json says of a recording that was begun in a folder; nothing where none was."""
    return read_described(Path(folder)) if (Path(folder) / "recording.json").is_file() else {}
