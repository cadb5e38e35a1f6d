"""A recording on disk or in memory: arrays with a row for each image, and what they are of.

On disk it is a folder that anyone opens without this package:

    recording.json          networks (reference, weights' hash, preprocessing), arrays, images' fingerprint, rows done,
                            by ranges of rows the versions of what made them, and sums (CRC-32) of what is in the other
                            files, by which damage is told
    images.csv              row, index, identifier, label, class, bytes (of the image's file), content (a hash of the
                            image's pixels as they were decoded, by which images are known; empty where not known)
    NETWORK/BLOCK.TAP.npy   float32 (images, units), rows in the order of images.csv
    NETWORK/NAME.npy        what else a probe keeps
"""

import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import RunError, UsageError, difference, unknown
from ..files import RowSums, atomic_path, clear_unfinished, only_writer, remove_lock, to_disk
from ..names import file_name
from ..untrusted import LARGEST_TEXT, Fields, StoredRows, check_regular, conform, map_array, read_json
from .answers import differing_answers
from .shape import RECORDING, check_images, check_recording

log = logging.getLogger(__name__)

FORMAT = 1
"""Of the folder: another number is another layout."""

_ROWS = 4096

IMAGE_COLUMNS = ("row", "index", "identifier", "label", "class", "bytes", "content")
OTHERS = {
    "identifier": "they have other names",
    "index": "they have other places in their split",
    "label": "they have other labels",
    "bytes": "their files have changed in size",
    "content": "they show something else",
}
"""What another value in a column of images.csv says."""


@dataclass(frozen=True)
class Kept:
    """An array that a probe keeps of every image.

    Args:
        name: of its file, such as `layer3.5.output`.
        shape: of a row; () for one number an image.
        dtype: NumPy's name of it.
        finite: whether a pass is to stop at a value that is NaN or infinite.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    finite: bool = True

    @property
    def bytes_an_image(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


class Recording:
    """What a pass kept of every image. `create` makes one, `open_recording` opens a finished one.

    Args:
        described: what recording.json says; see `create`.
        images: the columns of images.csv.
        arrays: by (network, name), with a row for each image; of files their rows.
        folder: None where it is in memory.
    """

    def __init__(
        self,
        described: dict,
        images: pd.DataFrame,
        arrays: Mapping[tuple[str, str], np.ndarray | StoredRows],
        folder: Path | None = None,
    ):
        self.described, self.images, self.folder = described, images, folder
        self._arrays = dict(arrays)
        self._listed = False  # whether images.csv says what `images` does
        self._lock = ExitStack()
        self._sums = _Sums(described)
        self._trusted = set(self._arrays) if folder is None else set()  # whose rows were compared with their sums

    @classmethod
    def create(
        cls,
        kept: Mapping[str, Sequence[Kept]],
        images: pd.DataFrame,
        facts: Mapping,
        folder: Path | str | None = None,
        resume: bool = False,
    ) -> "Recording":
        """A recording to be written; one that was interrupted goes on with `resume`.

        Args:
            kept: by network, what is kept of each image.
            images: columns index, identifier, label (−1 where it is not known yet), class, bytes (−1 for none), and
                content where it is known already.
            facts: what the rows depend on beside the images, as JSON has it: of networks, settings, precision.
            folder: None keeps it in memory.

        Raises:
            UsageError: the folder holds a recording of something else, an unfinished one without `resume`, or
                something that is no recording; or another process is writing it.
            RunError: there is no space for it, or it cannot be written.
        """
        images = images.reset_index(drop=True)
        images.insert(0, "row", np.arange(len(images)))
        known = images.get("content", "")
        images["content"] = pd.Series(known, images.index, dtype=object)  # a column of text is copied at each change
        described = {
            "format": FORMAT,
            **json.loads(json.dumps(dict(facts))),
            "folders": _folders(kept),
            "arrays": {
                network: [asdict(each) | {"shape": list(each.shape)} for each in several]
                for network, several in kept.items()
            },
            "images": len(images),
            "rows_done": 0,
            "finished": False,
            "sums": {},
        }
        if folder is None:
            arrays = {
                (network, each.name): np.zeros((len(images), *each.shape), each.dtype)
                for network, several in kept.items()
                for each in several
            }
            return cls(described, images, arrays)
        return _on_disk(Path(folder), described, images, resume)

    # -- what is in it

    def path(self, name: str) -> Path:
        """A file of its folder."""
        if self.folder is None:
            raise ValueError("the recording is in memory, not in a folder")
        return self.folder / name

    @property
    def rows_done(self) -> int:
        """Images that are recorded; the rows after them are empty."""
        return self.described["rows_done"]

    @property
    def finished(self) -> bool:
        return self.described["finished"]

    @property
    def networks(self) -> dict[str, dict]:
        """By label, the card of each network."""
        return self.described["networks"]

    @property
    def labels(self) -> np.ndarray:
        """(images,) int64."""
        return self.images["label"].to_numpy()

    @property
    def indices(self) -> np.ndarray:
        """(images,) of the images in their whole split."""
        return self.images["index"].to_numpy()

    @property
    def contents(self) -> list[str]:
        """Of each image, a hash of its pixels as they were decoded; empty where it is not known."""
        return self.images["content"].tolist()

    @property
    def identity(self) -> str | None:
        """A hash of what all images show and of their labels, in order; None where that of one is not known."""
        contents = self.contents
        if not all(contents):
            return None
        rows = (f"{content} {label}\n" for content, label in zip(contents, self.labels.tolist(), strict=True))
        return hashlib.sha256("".join(rows).encode()).hexdigest()[:16]

    def names(self, network: str) -> list[str]:
        """What is kept of a network."""
        self._check_network(network)
        return [each["name"] for each in self.described["arrays"][network]]

    def blocks(self, network: str, tap: str = "output") -> list[str]:
        """The blocks of a network whose activity at a tap is recorded, in the network's order."""
        self._check_network(network)
        return [block for block, taps in self.described["taps"].get(network, {}).items() if tap in taps]

    def array(self, network: str, name: str) -> np.ndarray:
        """An array as it is, with a row for each image; from disk it is read, and cannot be written.

        Raises:
            RunError: it is not what was written. All of it is read once more to tell.
        """
        return self.rows(network, name, slice(None))

    def rows(self, network: str, name: str, rows: slice) -> np.ndarray:
        """Rows of an array that follow each other; as of `array`."""
        stored = self._stored(network, name)
        if isinstance(stored, np.ndarray):
            return stored[rows]
        with self._read(network, name):
            if (network, name) not in self._trusted:
                self._check_sums(network, name)
            values = stored[rows]
        self._trusted.add((network, name))
        values.setflags(write=False)
        return values

    def check(self) -> None:
        """Raise a RunError where an array is not what was written."""
        for network, name in self._arrays:
            self.rows(network, name, slice(0))

    def _stored(self, network: str, name: str) -> np.ndarray | StoredRows:
        self._check_network(network)
        if (network, name) not in self._arrays:
            raise unknown(f"array of {network} called", name, self.names(network))
        return self._arrays[network, name]

    @contextmanager
    def _read(self, network: str, name: str) -> Iterator[None]:
        """What goes wrong as an array is read, as an error of ours."""
        try:
            yield
        except (OSError, ValueError) as error:
            raise _unreadable(self.folder, f"{name}.npy", network, error) from error

    def _check_sums(self, network: str, name: str) -> None:
        if self._sums.of(network, name).differ(self._arrays[network, name]):
            raise RunError(
                f"the recording in `{self.folder}` is damaged: the rows of `{name}.npy` of {network} are not those "
                f"that were written; record again in another folder"
            )

    def matrix(self, network: str, block: str, tap: str = "output") -> np.ndarray:
        """float32 (images, units): the activity of a block's units at a tap.

        Raises:
            UsageError: it was not recorded; the message names what was.
        """
        self._check_tap(network, block, tap)
        return self.array(network, f"{block}.{tap}")

    def activity(self, network: str, block: str, tap: str = "output"):
        """The same as an `xarray.DataArray`, dimensions image and unit, coordinates label, class and identifier.

        >>> kept = {"net": [Kept("b.output", (3,))]}
        >>> table = pd.DataFrame({"index": [0, 1], "identifier": ["x", "y"], "label": [1, 0], "class": ["cat", "dog"]})
        >>> recording = Recording.create(kept, table, {"networks": {"net": {}}, "taps": {"net": {"b": ["output"]}}})
        >>> recording.write(0, {("net", "b.output"): np.ones((2, 3), np.float32)}, 2)
        >>> recording.activity("net", "b").groupby("class").mean("image").shape
        (2, 3)
        """
        import xarray

        self._check_tap(network, block, tap)
        self.rows(network, f"{block}.{tap}", slice(0))  # what it is made of is looked at first
        values = self._stored(network, f"{block}.{tap}")
        if isinstance(values, StoredRows):
            with self._read(network, f"{block}.{tap}"):
                values = map_array(values.path)
        images = {name: ("image", self.images[name].to_numpy()) for name in ("label", "class", "identifier")}
        coordinates = {"image": self.indices, "unit": np.arange(values.shape[1])} | images
        named = {"network": network, "block": block, "tap": tap}
        return xarray.DataArray(values, coordinates, ("image", "unit"), name=f"{block}.{tap}", attrs=named)

    def by_class(self, network: str, block: str, tap: str = "output") -> pd.DataFrame:
        """Mean activity of a block's units by class, (classes, units): a unit over classes is a column.

        >>> kept = {"net": [Kept("b.gate", (2,))]}
        >>> table = pd.DataFrame({"index": [0, 1], "identifier": ["x", "y"], "label": [1, 0], "class": ["cat", "dog"]})
        >>> recording = Recording.create(kept, table, {"networks": {"net": {}}, "taps": {"net": {"b": ["gate"]}}})
        >>> recording.write(0, {("net", "b.gate"): np.array([[1, 2], [3, 4]], np.float32)}, 2)
        >>> recording.by_class("net", "b", "gate")[1].to_dict()
        {'dog': 4.0, 'cat': 2.0}
        """
        values = pd.DataFrame(self.matrix(network, block, tap)).rename_axis("unit", axis="columns")
        labels, names = self.labels, self.images["class"]
        means = values.groupby(labels).mean()
        name_of = dict(zip(labels.tolist(), names, strict=True))
        return means.set_axis([name_of[label] or str(label) for label in means.index]).rename_axis("class")

    def __repr__(self) -> str:
        where = f" in {self.folder}" if self.folder else ""
        return f"recording of {len(self.images)} images, {self.rows_done} done{where}: {', '.join(self.networks)}"

    def _repr_html_(self) -> str:
        """In Jupyter: the same, and which taps of which blocks were recorded."""
        rows = [
            {"network": network, "block": block, "taps": ", ".join(taps)}
            for network, blocks in self.described["taps"].items()
            for block, taps in blocks.items()
        ]
        return f"<p>{escape(repr(self))}</p>{pd.DataFrame(rows).to_html(index=False)}"

    def _check_tap(self, network: str, block: str, tap: str) -> None:
        self._check_network(network)
        taps = self.described["taps"].get(network, {})
        if block not in taps:
            raise unknown(f"block of {network} in the recording called", block, taps)
        if tap not in taps[block]:
            raise UsageError(
                f"tap `{tap}` of {network} {block} was not recorded; recorded: {', '.join(taps[block])}. "
                f"`gelens record … --tap {tap}` records it"
            )

    def _check_network(self, network: str) -> None:
        if network not in self.described["arrays"]:
            raise unknown("network in the recording called", network, self.described["arrays"])

    def only(self, networks: Sequence[str] = ()) -> "Recording":
        """The same recording, of some of its networks alone; of all where none is named.

        Raises:
            UsageError: it has no network of one of the labels.
        """
        for label in networks:
            self._check_network(label)
        chosen = copy(self)
        kept = {label: self.networks[label] for label in networks or self.networks}
        chosen.described = self.described | {"networks": kept}
        return chosen

    # -- writing

    def write(self, start: int, rows: Mapping[tuple[str, str], np.ndarray], images: int) -> None:
        """Rows of so many images from `start` on, of every array; they count as done."""
        if rows.keys() != self._arrays.keys():
            network, name = next(iter(rows.keys() ^ self._arrays.keys()))
            raise UsageError(f"array `{name}` of {network} was announced or is given, but not both")
        for (network, name), values in rows.items():
            array = self._arrays[network, name]
            if values.shape != (images, *array.shape[1:]):
                raise UsageError(
                    f"array `{name}` of {network} has rows {values.shape}, expected {images} of {array.shape[1:]}"
                )
        for (network, name), values in rows.items():
            if self.folder is None:
                self._arrays[network, name][start : start + images] = values
            else:
                self._write_rows(network, name, start, values)
        if self.folder is not None:
            self._sums.add_images(self.images, start, start + images)
        self.described["rows_done"] = start + images
        self.made_by(start, start + images, self.described.get("versions"))

    def made_by(self, start: int, stop: int, versions: Mapping | None) -> None:
        """Say by which versions rows were made that were just written; those of this process, if nothing is said."""
        if versions is not None:
            self.described["made"] = _with_range(self.described.get("made", []), start, stop, versions)

    def _write_rows(self, network: str, name: str, start: int, values: np.ndarray) -> None:
        """Into the file, not into its mapping: a full disk or a file cut short would kill the process there."""
        array, sums = self._arrays[network, name], self._sums.of(network, name)
        assert isinstance(array, StoredRows)
        values = np.ascontiguousarray(values, array.dtype)
        with _said(self.folder):
            self._check_length(network, name, array)
            _write_at(array, start, values)
        if sums.rows != start:  # a foreign loader's batches do not begin where the rows that are done end
            with self._read(network, name):
                sums.settle(start, array)
        sums.add(values)

    def write_labels(self, start: int, labels: np.ndarray) -> None:
        """Labels that were not known before the images were read."""
        classes, rows = self.described["classes"], slice(start, start + len(labels) - 1)
        classes += [str(label) for label in range(len(classes), int(labels.max()) + 1)]
        self.images.loc[rows, "label"] = labels
        self.images.loc[rows, "class"] = [classes[label] for label in labels.tolist()]
        self._listed = False

    def write_contents(self, start: int, contents: Sequence[str]) -> None:
        """What images from `start` on show, before their rows are written."""
        rows = slice(start, start + len(contents))
        if self.images["content"].iloc[rows].tolist() != list(contents):
            self.images.loc[start : start + len(contents) - 1, "content"] = list(contents)
            self._listed = False

    def _check_length(self, network: str, name: str, array: StoredRows) -> None:
        """What lies beyond the end of a file that was cut short would be written again as zeros."""
        if array.path.stat().st_size < array.end:
            raise RunError(
                f"the recording in `{self.folder}` is damaged: something else has cut `{name}.npy` of {network} "
                f"short; begin again in another folder"
            )

    def flush(self) -> None:
        """Bring what was written to the disk, then the note of how much that is.

        Raises:
            RunError: the disk is full, or something else has cut a file short.
        """
        if self.folder is None:
            return
        with _said(self.folder):
            for (network, name), array in self._arrays.items():
                assert isinstance(array, StoredRows)
                self._check_length(network, name, array)
                to_disk(array.path)
        if not self._listed:
            _write_images(self.folder, self.images)
            self._listed = True
        sums = self._sums.of_rows(self.rows_done, self._arrays, self.images)
        _write_json(self.folder, self.described | {"sums": sums})

    def finish(self) -> None:
        """Flush, and say that all rows are there."""
        if self.identity and "data" in self.described:
            self.described["data"]["contents"] = self.identity
        self.described["finished"] = True
        self.flush()
        self.close()

    def close(self) -> None:
        """Let other processes write it."""
        self._lock.close()

    def discard(self) -> None:
        """Let it go: its files are deleted."""
        self.close()
        if self.folder is not None:
            discard(self.folder)


def _write_at(stored: StoredRows, start: int, values: np.ndarray) -> None:
    with stored.path.open("r+b") as file:
        file.seek(stored.offset + start * stored.row_bytes)
        file.write(values.data)


def _unreadable(folder: Path | None, name: str, network: str, error: Exception) -> RunError:
    """A file that the system cannot read, as where too many are open, is not damaged for that."""
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
        return RunError(f"`{name}` of {network} in `{folder}` cannot be read: {error.strerror or error}")
    what = " is missing" if isinstance(error, OSError) else f": {error}"
    return RunError(f"the recording in `{folder}` is damaged: `{name}` of {network}{what}")


def _with_range(made: list[dict], start: int, stop: int, versions: Mapping) -> list[dict]:
    """By ranges of rows what made them, with the rows from `start` on made anew.

    >>> first = _with_range([], 0, 4, {"torch": "1"})
    >>> [(each["start"], each["stop"]) for each in _with_range(first, 4, 6, {"torch": "1"})]
    [(0, 6)]
    >>> [(each["start"], each["stop"]) for each in _with_range(first, 3, 6, {"torch": "2"})]
    [(0, 3), (3, 6)]
    """
    before = [each | {"stop": min(each["stop"], start)} for each in made if each["start"] < start]
    if before and before[-1]["stop"] == start and before[-1]["versions"] == versions:
        return [*before[:-1], before[-1] | {"stop": stop}]
    return [*before, {"start": start, "stop": stop, "versions": dict(versions)}]


class _Sums:
    """Of the rows that are done: those of each array, and of their images in images.csv."""

    def __init__(self, described: Mapping):
        done, known = described["rows_done"], described.get("sums", {})
        self._arrays: dict[tuple[str, str], RowSums] = {}
        for network, name, _ in _arrays_of(described):
            # a recording of before there were sums is taken as it is
            sums = known.get("arrays", {}).get(network, {}).get(name)
            self._arrays[network, name] = RowSums(sums or (), done if sums else 0)
        self._images: tuple[int, int] = (known.get("images", 0), done if "images" in known else 0)

    def of(self, network: str, name: str) -> RowSums:
        return self._arrays[network, name]

    def add_images(self, images: pd.DataFrame, start: int, stop: int) -> None:
        before, listed = self._images
        if listed != start:
            before, start = 0, 0
        self._images = (_images_sum(images, start, stop, before), stop)

    def images_differ(self, images: pd.DataFrame) -> bool:
        """Whether the images of the rows that are done are others than those that were added."""
        added, listed = self._images
        return _images_sum(images, 0, listed, 0) != added

    def of_rows(self, done: int, arrays: Mapping, images: pd.DataFrame) -> dict:
        """As recording.json has them, of the rows that are done: writing may have been left at any statement."""
        if self._images[1] != done:
            self.add_images(images, 0, done)
        said: dict[str, dict] = {}
        for (network, name), sums in self._arrays.items():
            if sums.rows != done:
                sums.settle(done, arrays[network, name])
            said.setdefault(network, {})[name] = sums.sums
        return {"arrays": said, "images": self._images[0]}


def _images_sum(images: pd.DataFrame, start: int, stop: int, before: int) -> int:
    for row in images[list(IMAGE_COLUMNS)].iloc[start:stop].itertuples(index=False):
        if not row[-1]:  # as in recordings of before contents were kept
            row = row[:-1]
        before = zlib.crc32("\x1f".join(map(str, row)).encode("utf-8", "surrogateescape"), before)
    return before


@contextmanager
def _said(folder: Path | None) -> Iterator[None]:
    """What the system refuses, as an error of ours."""
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write the recording in `{folder}`: {error.strerror or error}") from error


def open_recording(folder: Path | str) -> Recording:
    """A finished recording: its folder, or that of a run which kept one.

    Raises:
        UsageError: there is none, it is unfinished, or of another version.
        RunError: it is damaged: a file is missing, cut short, or of another shape.
    """
    recording = open_any(folder)
    described = recording.described
    if not described["finished"]:
        raise UsageError(
            f"the recording in `{recording.folder}` is unfinished ({described['rows_done']} of {described['images']} "
            f"images): the command that makes it, with --resume, goes on"
        )
    if "part" in described:
        raise UsageError(
            f"the recording in `{recording.folder}` is a part, of {described['images']} images of "
            f"{described['part']['images']}: `gelens merge` brings all parts together"
        )
    return recording


def open_any(folder: Path | str) -> Recording:
    """A recording to be read, finished or not, whole or a part."""
    folder = _folder_of(Path(folder))
    described = _read_json(folder)
    return _opened(folder, described, _read_images(folder, described))


def _opened(folder: Path, described: dict, images: pd.DataFrame) -> Recording:
    """A recording whose arrays are compared with their sums when they are first asked for."""
    recording = Recording(described, images, _open_arrays(folder, described), folder)
    if recording._sums.images_differ(images):
        raise RunError(
            f"the recording in `{folder}` is damaged: images.csv does not list the images that were recorded; record "
            f"again in another folder"
        )
    return recording


def begun_with(folder: Path | str) -> dict:
    """What recording.json says of a recording that was begun in a folder; nothing where none was."""
    return _read_json(Path(folder)) if (Path(folder) / "recording.json").is_file() else {}


def _folder_of(folder: Path) -> Path:
    for each in (folder, folder / "recording"):
        if (each / "recording.json").is_file():
            return each
    raise UsageError(f"no recording in `{folder}` (no recording.json); `gelens record` makes one")


def _folders(networks: Mapping) -> dict[str, str]:
    """A folder's name for each network."""
    folders: dict[str, str] = {}
    for label in networks:
        base = file_name(label).lstrip(".") or "network"
        name, number = base, 1
        while name in (*folders.values(), "images.csv", "recording.json"):
            number += 1
            name = f"{base}-{number}"
        folders[label] = name
    return folders


def _on_disk(folder: Path, described: dict, images: pd.DataFrame, resume: bool) -> Recording:
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
        before = _read_json(folder)
        if not resume:
            raise UsageError(f"`{folder}` holds a recording already: add --resume to go on, or choose another folder")
        check_same(folder, before, described)
        return _resumed(folder, before, described, images)
    for network in described["folders"].values():  # of a process that was killed as it began
        shutil.rmtree(folder / network, ignore_errors=True)
    _make_arrays(folder, described)
    recording = Recording(described, images, _open_arrays(folder, described), folder)
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
    recorded = _read_images(folder, before, len(images))
    check_same_images(folder, recorded[:done], images[:done])
    _check_contents(folder, before.get("sample") or {}, described.get("sample") or {})
    recording = _opened(folder, before, recorded)
    if not before["finished"]:
        recording.check()
    for column in ("label", "class", "content"):
        images.loc[: done - 1, column] = recorded[column].iloc[:done].to_numpy()
    if before.get("versions") != described.get("versions"):
        log.warning("the recording in %s was begun with other versions: %s", folder, before.get("versions"))
    kept = ("rows_done", "finished", "folders", "classes", "sums", "chosen", "made")
    described = described | {name: before[name] for name in kept if name in before}
    if done and "made" not in before and "versions" in before:  # of an older version
        described["made"] = _with_range([], 0, done, before["versions"])
    if before["images"] != len(images):
        _shorten(folder, before, described, images)
    resumed = Recording(described, images, _open_arrays(folder, described), folder)
    resumed._trusted = recording._trusted
    return resumed


def check_same_images(folder: Path, recorded: pd.DataFrame, images: pd.DataFrame) -> None:
    """Raise a RunError where images that a folder has recorded are others now, as far as they are known already."""
    for column in OTHERS:
        then, now = (each[column].to_numpy() for each in (recorded, images))
        if column == "label" and (now == -1).all():
            continue  # not known before they are read
        differ = len(then) != len(now) or then != now
        if column == "content" and len(then) == len(now):
            differ &= (then != "") & (now != "")
        if np.any(differ):
            raise RunError(others_now(folder, len(recorded), OTHERS[column]))


def others_now(folder: Path | str | None, images: int, what: str) -> str:
    """That images, which a recording has already, are others by now."""
    recorded = f"the {images} images that `{folder}` has recorded already"
    return f"{recorded} are others now: {what}; begin again in another folder"


def _check_contents(folder: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Images whose content was sampled both times, as `gelens.data.contents` does, show the same."""
    for name, content in before.items():
        if now.get(name, content) != content:
            raise UsageError(
                f"`{folder}` holds a recording of something else: the content of image `{name}` has changed; choose "
                f"another folder"
            )


def _shorten(folder: Path, before: dict, described: dict, images: pd.DataFrame) -> None:
    """Arrays for another number of images, with the rows that are done, beside the old ones until they are whole."""
    taken = set(before["folders"].values())
    described["folders"] = {label: f"{name}-" for label, name in before["folders"].items()}
    if taken & set(described["folders"].values()):
        described["folders"] = {label: f"{name}--" for label, name in before["folders"].items()}
    _make_arrays(folder, described)
    old, done = _open_arrays(folder, before), described["rows_done"]
    for key, array in _open_arrays(folder, described).items():
        for start in range(0, done, _ROWS):
            _write_at(array, start, old[key][start : min(start + _ROWS, done)])
        to_disk(array.path)
    _write_images(folder, images)
    _write_json(folder, described)
    for name in taken:
        shutil.rmtree(folder / name, ignore_errors=True)


def check_same(folder: Path, before: dict, now: dict, others: Collection[str] = ()) -> None:
    """What a folder holds is a recording of the same.

    Args:
        others: what may be another, beside what is done.
    """
    progress = {"rows_done", "finished", "images", "data", "versions", "made", "folders", "sums", "sample", "chosen"}
    progress |= {"answers", *others}
    if not now.get("labels_known", True):  # classes come with the labels
        progress.add("classes")
    for key in dict.fromkeys([*now, *before]):
        if key not in progress and before.get(key) != now.get(key):
            raise UsageError(
                f"`{folder}` holds a recording of something else: {difference(key, before.get(key), now.get(key))}; "
                f"choose another folder"
            )
    if changed := differing_answers(before.get("answers", {}), now.get("answers", {})):
        raise UsageError(
            f"`{folder}` holds a recording of something else: {changed} answers the same images of noise otherwise "
            f"than it did, though its weights and code are the same: it depends on something else, such as a file that "
            f"its factory reads; choose another folder"
        )


def _locked(folder: Path) -> ExitStack:
    lock = ExitStack()
    lock.enter_context(only_writer(folder))
    return lock


def _make_arrays(folder: Path, described: dict) -> None:
    """Files of zeros with all their space reserved: a full disk must not kill the process as it writes."""
    needed = predicted_bytes(described)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise RunError(
            f"the recording would take {needed / 2**30:.2f} GiB in `{folder}`, which has {free / 2**30:.2f} GiB free: "
            f"fewer blocks, taps or images, or another disk"
        )
    try:
        for network, name, kept in _arrays_of(described):
            path = folder / described["folders"][network] / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            shape = (described["images"], *kept["shape"])
            array = np.lib.format.open_memmap(path, "w+", np.dtype(kept["dtype"]), shape)
            del array
            if hasattr(os, "posix_fallocate") and path.stat().st_size:  # not on macOS
                with path.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        for network in described["folders"].values():
            shutil.rmtree(folder / network, ignore_errors=True)
        raise RunError(f"cannot write the recording in `{folder}`: {error.strerror or error}") from error


def predicted_bytes(described: Mapping) -> int:
    """What the arrays of a recording take."""
    each_image = sum(Kept(**kept).bytes_an_image for _, _, kept in _arrays_of(described))
    return described["images"] * each_image


def kept_of(described: Mapping) -> dict[str, list[Kept]]:
    """By network, what a recording keeps of each image."""
    return {
        network: [Kept(each["name"], tuple(each["shape"]), each["dtype"]) for each in several]
        for network, several in described["arrays"].items()
    }


def _arrays_of(described: Mapping):
    for network, several in described["arrays"].items():
        for kept in several:
            yield network, kept["name"], kept


def _open_arrays(folder: Path, described: dict) -> dict[tuple[str, str], StoredRows]:
    arrays = {}
    for network, name, kept in _arrays_of(described):
        path = folder / described["folders"][network] / f"{name}.npy"
        shape = (described["images"], *kept["shape"])
        try:
            array = StoredRows(path)
        except (OSError, ValueError) as error:
            raise _unreadable(folder, path.name, network, error) from error
        if array.shape != shape or array.dtype != np.dtype(kept["dtype"]):
            raise RunError(
                f"the recording in `{folder}` is damaged: `{path.name}` of {network} is {array.dtype} {array.shape}, "
                f"expected {kept['dtype']} {shape}"
            )
        arrays[network, name] = array
    return arrays


def _write_json(folder: Path, described: dict) -> None:
    with atomic_path(folder / "recording.json") as temporary:
        summed = described | {"sum": _sum_of(described)}
        text = json.dumps(summed, indent=2, ensure_ascii=False) + "\n"
        temporary.write_text(text, "utf-8", "backslashreplace")


def _sum_of(described: Mapping) -> str:
    """A hash of what recording.json says beside it."""
    said = {name: value for name, value in described.items() if name != "sum"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _read_json(folder: Path) -> dict:
    path = folder / "recording.json"
    try:
        described = read_json(path, Fields({"format": int}))
        if described["format"] != FORMAT:
            raise UsageError(
                f"`{path}` is of format {described['format']}, this version reads format {FORMAT}: record again, or "
                f"use the version that made it"
            )
        conform(described, RECORDING)
        check_recording(described)
        if described.pop("sum", None) not in (None, _sum_of(described)):
            raise ValueError("it says something else than was written")
    except UsageError:
        raise
    except OSError as error:
        raise RunError(f"`{path}` cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise RunError(f"`{path}` is damaged: {error}") from error
    return described


def _write_images(folder: Path, images: pd.DataFrame) -> None:
    with atomic_path(folder / "images.csv") as temporary:
        images.to_csv(temporary, index=False)


def _read_images(folder: Path, described: dict, others: int | None = None) -> pd.DataFrame:
    """The table of images; it may be of `others` many where a recording was killed as it was shortened to them."""
    path = folder / "images.csv"
    try:
        check_regular(path, LARGEST_TEXT)
        text = {"identifier": str, "class": str, "content": object}
        images = pd.read_csv(path, dtype=text, keep_default_na=False)
        if list(images.columns) == list(IMAGE_COLUMNS[:-1]):  # of before contents were kept
            images["content"] = pd.Series("", images.index, dtype=object)
        if list(images.columns) != list(IMAGE_COLUMNS):
            raise ValueError(f"columns {', '.join(images.columns)}, expected {', '.join(IMAGE_COLUMNS)}")
        images = images.astype(dict.fromkeys(("row", "index", "label", "bytes"), np.int64))
        check_images(images, described)
    except FileNotFoundError as error:
        raise RunError(f"the recording in `{folder}` is damaged: images.csv is missing") from error
    except OSError as error:
        raise RunError(f"`{path}` cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise RunError(f"the recording in `{folder}` is damaged: images.csv: {error}") from error
    if len(images) not in (described["images"], others):
        raise RunError(
            f"the recording in `{folder}` is damaged: images.csv has {len(images)} images, recording.json "
            f"{described['images']}"
        )
    return images


def discard(folder: Path) -> None:
    """Delete a recording."""
    with suppress(UsageError, RunError):
        described = _read_json(folder)
        for name in described["folders"].values():
            shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("recording.json", "images.csv"):
        (folder / name).unlink(missing_ok=True)
    remove_lock(folder)
    with suppress(OSError):
        folder.rmdir()
