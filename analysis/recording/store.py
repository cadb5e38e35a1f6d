"""A recording on disk or in memory: arrays with a row for each image, and what they are of.

On disk it is a folder that anyone opens without this package:

    recording.json          networks (reference, weights' hash, preprocessing), arrays, images' fingerprint, rows done,
                            by ranges of rows the versions of what made them, and sums (CRC-32) of what is in the other
                            files, by which damage is told
    images.csv              row, index, identifier, label, class, bytes (of the image's file), content (a hash of the
                            image's pixels as they were decoded, by which images are known; empty where not known)
    NETWORK/BLOCK.TAP.npy   float32, or float16 where that was asked for, (images, units), rows in the order of
                            images.csv
    NETWORK/NAME.npy        what else a probe keeps
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import asdict
from functools import partial
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import RunError, UsageError, unknown
from ..files import to_disk
from ..untrusted import StoredRows, map_array
from .checksums import Sums
from .format import (
    FORMAT,
    Kept,
    discard,
    folder_of,
    folders_of,
    open_arrays,
    read_described,
    read_images,
    unreadable,
    write_at,
    write_described,
    write_images,
)
from .matrix import Matrix


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
        self._sums = Sums(described)
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
            "folders": folders_of(kept),
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
        from .beginning import on_disk  # which needs this class

        return on_disk(Path(folder), described, images, resume)

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
            raise unreadable(self.folder, f"{name}.npy", network, error) from error

    def _check_sums(self, network: str, name: str) -> None:
        if self._sums.of(network, name).differ(self._arrays[network, name]):
            raise RunError(
                f"the recording in `{self.folder}` is damaged: the rows of `{name}.npy` of {network} are not those "
                f"that were written; record again in another folder"
            )

    def matrix(self, network: str, block: str, tap: str = "output") -> np.ndarray:
        """float32 (images, units), whatever it is kept in: the activity of a block's units at a tap.

        Raises:
            UsageError: it was not recorded; the message names what was.
        """
        self._check_tap(network, block, tap)
        values = self.array(network, f"{block}.{tap}")
        return values.astype(np.float32, copy=False)

    def stored_matrix(self, network: str, block: str, tap: str = "output") -> np.ndarray | Matrix:
        """The same, of a file read when some of it is asked for.

        Raises:
            RunError: it is not what was written. All of it is read once, in parts, to tell.
        """
        self._check_tap(network, block, tap)
        name = f"{block}.{tap}"
        self.rows(network, name, slice(0))
        stored = self._stored(network, name)
        if isinstance(stored, np.ndarray):
            return stored.astype(np.float32, copy=False)
        return Matrix(stored, partial(self._read, network, name))

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
            self.described["made"] = with_range(self.described.get("made", []), start, stop, versions)

    def _write_rows(self, network: str, name: str, start: int, values: np.ndarray) -> None:
        """Into the file, not into its mapping: a full disk or a file cut short would kill the process there."""
        array, sums = self._arrays[network, name], self._sums.of(network, name)
        assert isinstance(array, StoredRows)
        values = np.ascontiguousarray(values, array.dtype)
        with _said(self.folder):
            self._check_length(network, name, array)
            write_at(array, start, values)
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
            write_images(self.folder, self.images)
            self._listed = True
        sums = self._sums.of_rows(self.rows_done, self._arrays, self.images)
        write_described(self.folder, self.described | {"sums": sums})

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


def with_range(made: list[dict], start: int, stop: int, versions: Mapping) -> list[dict]:
    """By ranges of rows what made them, with the rows from `start` on made anew.

    >>> first = with_range([], 0, 4, {"torch": "1"})
    >>> [(each["start"], each["stop"]) for each in with_range(first, 4, 6, {"torch": "1"})]
    [(0, 6)]
    >>> [(each["start"], each["stop"]) for each in with_range(first, 3, 6, {"torch": "2"})]
    [(0, 3), (3, 6)]
    """
    before = [each | {"stop": min(each["stop"], start)} for each in made if each["start"] < start]
    if before and before[-1]["stop"] == start and before[-1]["versions"] == versions:
        return [*before[:-1], before[-1] | {"stop": stop}]
    return [*before, {"start": start, "stop": stop, "versions": dict(versions)}]


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
            f"images); repeat the command that makes it, with --resume"
        )
    if "part" in described:
        raise UsageError(
            f"the recording in `{recording.folder}` is a part, of {described['images']} images of "
            f"{described['part']['images']}: `gelens merge` brings all parts together"
        )
    return recording


def open_any(folder: Path | str) -> Recording:
    """A recording to be read, finished or not, whole or a part."""
    folder = folder_of(Path(folder))
    described = read_described(folder)
    return opened(folder, described, read_images(folder, described))


def opened(folder: Path, described: dict, images: pd.DataFrame) -> Recording:
    """A recording whose arrays are compared with their sums when they are first asked for."""
    recording = Recording(described, images, open_arrays(folder, described), folder)
    if recording._sums.images_differ(images):
        raise RunError(
            f"the recording in `{folder}` is damaged: images.csv does not list the images that were recorded; record "
            f"again in another folder"
        )
    return recording
