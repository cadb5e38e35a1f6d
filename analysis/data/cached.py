"""Decoded, resized and cropped images in one file, which every command takes as data: `cache:FILE`.

FILE is a NumPy array (N, size, size, 3) of bytes; FILE.json says whose images they are, in order, and how they were
made; it has a sum of every image, which is compared when the image is read. Normalisation comes later, for each
network. While a cache is being made, FILE.part.json says how far it is.
"""

import json
import logging
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image

from ..differences import image_differences
from ..errors import RunError, UsageError
from ..files import RowSums, atomic_path, clear_unfinished, only_writer, to_disk
from ..networks.preprocessing import Geometry, described
from ..progress import progress_bar
from ..untrusted import StoredRows
from .contents import DIGEST, changed_content, in_hex, sampled_contents
from .datasets import ImageData
from .loading import batches, reading_errors_told
from .manifests import manifest_sum, read_manifest

log = logging.getLogger(__name__)

NOTE_SECONDS = 5
"""Between two notes of how far a cache is."""

LARGEST_IN_MEMORY = 2 * 2**30
"""Bytes of decoded images that are kept in memory at most."""


class CachedData(ImageData):
    """Images that are decoded already, for one `geometry`: rows of an array (N, size, size, 3) of bytes.

    Args:
        path: the file of the array.
        pixels: the array itself, where it is in memory.
        rows: of these images, all by default.
        sums: CRC-32 of each row of the array, None where it is not known.
        known_contents: (N, 16) bytes, what each image showed before it was resized; zeros, where it is not known.
    """

    def __init__(
        self,
        name: str,
        split: str,
        classes: Sequence[str],
        labels: Sequence[int] | np.ndarray,
        identifiers: Sequence[str],
        *,
        geometry: Geometry,
        path: Path | None = None,
        pixels: np.ndarray | None = None,
        rows: np.ndarray | None = None,
        sums: np.ndarray | None = None,
        known_contents: np.ndarray | None = None,
        **settings,
    ):
        self.path, self.geometry, self.sums = path, geometry, sums
        if pixels is not None:
            self.pixels = pixels
        super().__init__(name, split, classes, labels, identifiers, self._picture, **settings)
        self.rows = np.arange(len(self)) if rows is None else rows
        self.known_contents = np.zeros((len(self), DIGEST), np.uint8) if known_contents is None else known_contents
        self.checked = True

    @cached_property
    def pixels(self) -> "_StoredRows | np.ndarray":
        assert self.path is not None  # else they are in memory
        try:
            return _StoredRows(self.path)
        except (OSError, ValueError) as error:
            raise RunError(f"the cache `{self.path}` cannot be read: {error}") from error

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name != "pixels" or self.path is None}

    def _picture(self, position: int) -> Image.Image:
        pixels = self._rows(self.rows[position])
        self._compare(self.rows[position : position + 1], pixels)
        return Image.fromarray(pixels[0])

    def _compare(self, rows: np.ndarray, pixels: np.ndarray) -> None:
        """Raise a RunError where rows that were read are not those that were written."""
        if self.sums is None:
            return
        for row, image in zip(rows.tolist(), pixels, strict=True):
            if zlib.crc32(image) != self.sums[row]:
                name = self.identifiers[int(np.flatnonzero(self.rows == row)[0])]
                raise RunError(
                    f"the cache `{self.path}` is damaged: image `{name}` is not what was written; make it again with "
                    f"`gelens cache`"
                )

    def decoded(self, start: int, stop: int) -> torch.Tensor:
        """Images `start` to `stop` as (n, 3, size, size) uint8 in channels-last order."""
        rows = self.rows[start:stop]
        together = rows[-1] - rows[0] == len(rows) - 1  # a slice is copied faster than single rows
        if together:
            chosen = np.array(self.pixels[rows[0] : rows[-1] + 1])
        else:
            chosen = np.concatenate([self._rows(row) for row in rows])
        self._compare(rows, chosen)
        return torch.from_numpy(chosen).permute(0, 3, 1, 2)

    def _rows(self, row: int) -> np.ndarray:
        return self.pixels[row : row + 1]

    def subset(self, positions: Sequence[int] | np.ndarray) -> Self:
        chosen = super().subset(positions)
        places = np.asarray(positions, dtype=np.int64)
        chosen.rows, chosen.known_contents = self.rows[places], self.known_contents[places]
        chosen.read = chosen._picture
        return chosen


class _StoredRows(StoredRows):
    """Rows of a cache."""

    def __getitem__(self, rows: slice) -> np.ndarray:
        try:
            return super().__getitem__(rows)
        except OSError as error:
            raise RunError(f"the cache `{self.path}` cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise RunError(f"the cache `{self.path}`: {error}; make it again with `gelens cache`") from error


def decoded_in_memory(data: ImageData, geometry: Geometry, workers: int = 0, progress: bool = True) -> CachedData:
    """The same images, decoded, resized and cropped into memory once.

    Raises:
        UsageError: they would take more than `LARGEST_IN_MEMORY`.
        RunError: an image that cannot be read.
    """
    shape = (len(data), geometry[0], geometry[0], 3)
    needed = int(np.prod(shape))
    if needed > LARGEST_IN_MEMORY:
        raise UsageError(
            f"{len(data)} images of {geometry[0]} px would take {needed / 2**30:.1f} GiB in memory, more than "
            f"{LARGEST_IN_MEMORY / 2**30:.0f} GiB: fewer images, smaller ones, or a recipe that reads them one by one"
        )
    pixels = np.empty(shape, dtype=np.uint8)
    bar = progress_bar(progress, total=len(data), unit="img", desc="decoding", leave=False)
    with bar:
        for batch in batches(data, [geometry], 256, workers):
            pixels[batch.positions.numpy()] = batch.images[geometry].permute(0, 2, 3, 1).numpy()
            bar.update(len(batch))
    names = (data.name, data.split, data.classes, data.labels, data.identifiers)
    known: dict[str, Any] = {"indices": data.indices, "note": data.note, "sizes": data.sizes}
    return CachedData(*names, geometry=geometry, pixels=pixels, **known)


def write_cache(
    data: ImageData,
    geometry: Geometry,
    out: Path | str,
    workers: int = 0,
    resume: bool = False,
    progress: bool = True,
) -> None:
    """Decode, resize and crop all images into a cache; one that was interrupted goes on with `resume`.

    Args:
        data: images.
        geometry: size, share of the resized image that is cropped, interpolation.
        out: the file to make; FILE.json is made beside it.
        workers: processes that decode.

    Raises:
        UsageError: the file is there already, or a part of it that was made of other images or otherwise.
        RunError: an image that cannot be read, or no space; what was decoded is kept.
    """
    out = Path(out)
    with only_writer(out.parent, f".{out.name}.lock"):
        for path in (_beside(out, ".json"), _beside(out, ".part.json")):
            clear_unfinished(path.parent, path.name)
        _write_cache(data, geometry, out, workers, resume, progress)


def _write_cache(data: ImageData, geometry: Geometry, out: Path, workers: int, resume: bool, progress: bool) -> None:
    manifest, part = _beside(out, ".json"), _beside(out, ".part.json")
    head: dict[str, Any] = {"data": data.name, "split": data.split, "geometry": list(geometry), "parts": data.parts}
    head["contents"] = sampled_contents(data)
    sums, contents = RowSums(each=1), []
    shape = (len(data), geometry[0], geometry[0], 3)
    if part.exists():
        before = _read_part(part)
        if not resume:
            raise UsageError(f"`{out}` is a cache in the making: add --resume to continue, or choose another file")
        _check_same(out, before, head)
        sums, contents = RowSums(before["sums"], before["done"], each=1), list(before["shown"])
        shown = {name: content for name, content in zip(data.identifiers, contents, strict=False) if content}
        _check_contents(out, shown, head["contents"])
    elif manifest.exists() and resume:
        _check_same(out, _said(manifest), head)
        return
    elif out.exists() or manifest.exists():
        raise UsageError(f"`{out}` is there already; delete it and `{manifest.name}`, or choose another file")
    rows = _rows_to_write(out, part, shape, sums, head)
    bar = progress_bar(progress, total=len(data), initial=sums.rows, unit="img", desc="caching")
    noted, interval = time.monotonic(), float(NOTE_SECONDS)
    try:
        with bar, reading_errors_told():
            for batch in batches(data, [geometry], 64, workers, start=sums.rows):
                pixels = batch.images[geometry].permute(0, 2, 3, 1).contiguous().numpy()
                _write_rows(out, rows, sums.rows, pixels)
                assert batch.contents is not None  # of images there are always some
                contents[sums.rows :] = in_hex(batch.contents)
                sums.add(pixels)
                bar.update(len(batch))
                if time.monotonic() - noted > interval:
                    begun = time.monotonic()
                    _save_part(out, part, head, sums, contents)
                    noted = time.monotonic()
                    interval = max(NOTE_SECONDS, 100 * (noted - begun))
    except RunError as error:
        if not sums.rows:
            raise
        raise RunError(
            f"{error}. {sums.rows} of {len(data)} images are in the cache and kept; repeat the command with --resume "
            f"to continue"
        ) from error
    finally:
        _save_part(out, part, head, sums, contents)
    if sums.differ(rows):
        raise RunError(f"the cache `{out}` is damaged: it is not what was written; delete it and begin again")
    listing = {"classes": data.synsets or data.classes, "labels": data.labels.tolist(), "note": data.note}
    listing |= {"identifiers": list(data.identifiers), "indices": data.indices.tolist(), "sizes": data.sizes.tolist()}
    made = head | listing | {"skipped": data.skipped, "sums": sums.sums, "shown": contents}
    with atomic_path(manifest) as temporary:
        temporary.write_text(json.dumps(made | {"sum": manifest_sum(made)}))
    part.unlink()


def _rows_to_write(out: Path, part: Path, shape: tuple[int, ...], sums: RowSums, head: dict) -> _StoredRows:
    """The file to write into, with all its space reserved.

    Raises:
        RunError: it cannot be written, there is no space, or what was begun is not whole.
    """
    try:
        if not sums.rows:
            _note(part, head, sums, [])
            pixels = np.lib.format.open_memmap(out, "w+", np.uint8, shape)
            del pixels
            if hasattr(os, "posix_fallocate"):  # not on macOS
                with out.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, out.stat().st_size)
        rows = _StoredRows(out)
        if rows.shape != shape or rows.dtype != np.uint8:
            raise ValueError(f"{rows.dtype} {rows.shape}, expected uint8 {shape}")
        if sums.differ(rows):
            raise ValueError("the images in it are not those that were written")
        return rows
    except (ValueError, EOFError) as error:
        raise RunError(
            f"what was begun of the cache `{out}` is damaged ({error}); delete it and `{part.name}`, and begin again"
        ) from error
    except OSError as error:
        if not sums.rows:
            out.unlink(missing_ok=True)
            part.unlink(missing_ok=True)
        raise RunError(f"cannot write `{out}`: {error.strerror or error}") from error


def _write_rows(out: Path, rows: _StoredRows, start: int, pixels: np.ndarray) -> None:
    try:
        with out.open("r+b") as file:
            file.seek(rows.offset + start * rows.row_bytes)
            file.write(pixels.data)
    except OSError as error:
        raise RunError(f"cannot write `{out}`: {error.strerror or error}") from error


def _read_part(part: Path) -> dict:
    try:
        before = json.loads(part.read_text())
        done = int(before["done"])
        if not len(before["sums"]) == len(before["shown"]) == done:  # of an older version, where one is not there
            raise ValueError("its lists are of other lengths")
        return {"done": done, "sums": list(before["sums"])} | before
    except OSError as error:
        raise RunError(f"`{part}` cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(
            f"`{part}` is damaged, or of an older version; delete it and the cache, and begin again"
        ) from error


def _said(manifest: Path) -> dict:
    try:
        return read_manifest(manifest)
    except (OSError, ValueError) as error:
        raise RunError(f"`{manifest}` is damaged: {error}") from error


def _save_part(out: Path, part: Path, head: dict, sums: RowSums, contents: Sequence[str]) -> None:
    """Bring what was written to the disk, then the note of how much that is."""
    try:
        to_disk(out)
    except OSError as error:
        raise RunError(f"cannot write `{out}`: {error.strerror or error}") from error
    _note(part, head, sums, contents)


def _note(part: Path, head: dict, sums: RowSums, contents: Sequence[str]) -> None:
    done = {"done": sums.rows, "sums": sums.sums, "shown": list(contents[: sums.rows])}
    with atomic_path(part) as temporary:
        temporary.write_text(json.dumps(head | done))


def _check_same(out: Path, before: dict, now: dict) -> None:
    if before["geometry"] != now["geometry"]:
        raise UsageError(
            f"`{out}` was begun as {described(before['geometry'])}, now {described(now['geometry'])}; choose another "
            f"file"
        )
    if before["parts"] != now["parts"]:
        others = image_differences(before["parts"], now["parts"])
        raise UsageError(f"`{out}` was started on other images: {others}; choose another file")
    _check_contents(out, before.get("contents", {}), now["contents"])


def _check_contents(out: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    if changed := changed_content(before, now):
        raise UsageError(
            f"`{out}` was started on other images: the content of image `{changed}` has changed; choose another file"
        )


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def load_cache(location: str, named: str = "", split: str = "val") -> CachedData:
    """The images of a cache; they are the same images as those it was made from, by their fingerprint.

    Args:
        location: its file, or a folder with a cache for each split in it.
        named: the split that was asked for.
        split: the one taken of a folder where none was.

    Raises:
        UsageError: there is no such file, it is of another split, or is unfinished.
        RunError: it is damaged.
    """
    if Path(location).is_dir():
        return _of_folder(Path(location), named or split)
    path = Path(location)
    manifest = _beside(path, ".json")
    if _beside(path, ".part.json").exists():
        raise UsageError(f"the cache `{location}` is unfinished; repeat the command that makes it, with --resume")
    if not path.is_file() or not manifest.is_file():
        raise UsageError(f"no cache `{location}` (with `{manifest.name}` beside it); `gelens cache` makes one")
    try:
        made = read_manifest(manifest)
        pixels = _StoredRows(path)
        geometry = tuple(made["geometry"])
        if pixels.shape != (len(made["labels"]), geometry[0], geometry[0], 3) or pixels.dtype != np.uint8:
            raise ValueError(f"{pixels.dtype} {pixels.shape} for {len(made['labels'])} images of {geometry[0]} pixels")
        data = CachedData(
            made["data"],
            made["split"],
            made["classes"],
            made["labels"],
            made["identifiers"],
            indices=made["indices"],
            note=made["note"],
            sizes=made["sizes"],
            path=path,
            geometry=geometry,
            **_known_of_rows(path, made),
        )
        if made.get("parts") not in (None, data.parts):
            raise ValueError(f"its manifest tells two things: {image_differences(made['parts'], data.parts)}")
        data.skipped, data.contents = made["skipped"], made.get("contents", {})
    except OSError as error:
        raise RunError(f"the cache `{location}` cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise RunError(f"the cache `{location}` is damaged: {error}") from error
    if named and named != made["split"]:
        raise UsageError(f"the cache `{location}` is of the split `{made['split']}`, not of `{named}`")
    return data


def _known_of_rows(path: Path, made: dict) -> dict:
    """Sums and contents of images, as `CachedData` takes them; a cache that has none of its images is read once here.

    Raises:
        ValueError: its images are not those that were written.
    """
    if "shown" in made:
        contents = np.array([np.frombuffer(bytes.fromhex(each), np.uint8) for each in made["shown"]], np.uint8)
        return {"sums": np.array(made["sums"], np.uint32), "known_contents": contents.reshape(-1, DIGEST)}
    log.info("the cache %s is of an older version, which kept no hashes of what images show", path)
    if "sums" in made and RowSums(made["sums"], len(made["labels"])).differ(_StoredRows(path)):
        raise ValueError("its images are not those that were written")
    return {}


def _of_folder(folder: Path, split: str) -> CachedData:
    """The cache of a split among those in a folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and _beside(path, ".json").is_file())
    caches = [load_cache(str(path)) for path in files]
    fitting = [cache for cache in caches if cache.split == split]
    if len(fitting) != 1:
        each = (f"{path.name} ({cache.split or 'no split'})" for path, cache in zip(files, caches, strict=True))
        have = ", ".join(each) or "none"
        raise UsageError(
            f"`{folder}` has {len(fitting)} caches of the split `{split}`; expected one. Its caches: {have}"
        )
    return fitting[0]
