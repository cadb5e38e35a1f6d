"""The files of a recording: what is in them, written whole and read with suspicion."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import RunError, UsageError
from ..files import atomic_path, remove_lock
from ..names import file_name
from ..untrusted import LARGEST_TEXT, Fields, StoredRows, check_regular, conform, read_json
from .shape import RECORDING, check_images, check_recording

FORMAT = 1
"""Of the folder: another number is another layout."""


IMAGE_COLUMNS = ("row", "index", "identifier", "label", "class", "bytes", "content")


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


def folder_of(folder: Path) -> Path:
    for each in (folder, folder / "recording"):
        if (each / "recording.json").is_file():
            return each
    raise UsageError(f"no recording in `{folder}` (no recording.json); `gelens record` makes one")


def folders_of(networks: Mapping) -> dict[str, str]:
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


def make_arrays(folder: Path, described: dict) -> None:
    """Files of zeros with all their space reserved: a full disk must not kill the process as it writes."""
    needed = predicted_bytes(described)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise RunError(
            f"the recording would take {needed / 2**30:.2f} GiB in `{folder}`, which has {free / 2**30:.2f} GiB free: "
            f"fewer blocks, taps or images, or another disk"
        )
    try:
        for network, name, kept in arrays_of(described):
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
    each_image = sum(Kept(**kept).bytes_an_image for _, _, kept in arrays_of(described))
    return described["images"] * each_image


def kept_of(described: Mapping) -> dict[str, list[Kept]]:
    """By network, what a recording keeps of each image."""
    return {
        network: [Kept(each["name"], tuple(each["shape"]), each["dtype"]) for each in several]
        for network, several in described["arrays"].items()
    }


def arrays_of(described: Mapping):
    for network, several in described["arrays"].items():
        for kept in several:
            yield network, kept["name"], kept


def open_arrays(folder: Path, described: dict) -> dict[tuple[str, str], StoredRows]:
    arrays = {}
    for network, name, kept in arrays_of(described):
        path = folder / described["folders"][network] / f"{name}.npy"
        shape = (described["images"], *kept["shape"])
        try:
            array = StoredRows(path)
        except (OSError, ValueError) as error:
            raise unreadable(folder, path.name, network, error) from error
        if array.shape != shape or array.dtype != np.dtype(kept["dtype"]):
            raise RunError(
                f"the recording in `{folder}` is damaged: `{path.name}` of {network} is {array.dtype} {array.shape}, "
                f"expected {kept['dtype']} {shape}"
            )
        arrays[network, name] = array
    return arrays


def write_at(stored: StoredRows, start: int, values: np.ndarray) -> None:
    with stored.path.open("r+b") as file:
        file.seek(stored.offset + start * stored.row_bytes)
        file.write(values.data)


def unreadable(folder: Path | None, name: str, network: str, error: Exception) -> RunError:
    """A file that the system cannot read, as where too many are open, is not damaged for that."""
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
        return RunError(f"`{name}` of {network} in `{folder}` cannot be read: {error.strerror or error}")
    what = " is missing" if isinstance(error, OSError) else f": {error}"
    return RunError(f"the recording in `{folder}` is damaged: `{name}` of {network}{what}")


def write_described(folder: Path, described: dict) -> None:
    with atomic_path(folder / "recording.json") as temporary:
        summed = described | {"sum": sum_of(described)}
        text = json.dumps(summed, indent=2, ensure_ascii=False) + "\n"
        temporary.write_text(text, "utf-8", "backslashreplace")


def sum_of(described: Mapping) -> str:
    """A hash of what recording.json says beside it."""
    said = {name: value for name, value in described.items() if name != "sum"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def read_described(folder: Path) -> dict:
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
        if described.pop("sum", None) not in (None, sum_of(described)):
            raise ValueError("it says something else than was written")
    except UsageError:
        raise
    except OSError as error:
        raise RunError(f"`{path}` cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise RunError(f"`{path}` is damaged: {error}") from error
    return described


def write_images(folder: Path, images: pd.DataFrame) -> None:
    with atomic_path(folder / "images.csv") as temporary:
        images.to_csv(temporary, index=False)


def read_images(folder: Path, described: dict, others: int | None = None) -> pd.DataFrame:
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
        described = read_described(folder)
        for name in described["folders"].values():
            shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("recording.json", "images.csv"):
        (folder / name).unlink(missing_ok=True)
    remove_lock(folder)
    with suppress(OSError):
        folder.rmdir()
