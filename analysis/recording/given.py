"""A recording of activations that somebody else's tool kept."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..choices import SIGNED, TAPS
from ..errors import RunError, UsageError, unknown
from ..untrusted import map_array
from .format import Kept
from .store import Recording

_FACTS = ("extent", "pool", "parameters", "gmacs", "published_top1_error", "published_top5_error", "published_gmacs")


def recording_from(
    arrays: Mapping[str, Any] | Path | str,
    labels: Sequence[int],
    classes: Sequence[str] | None = None,
    identifiers: Sequence[str] | None = None,
    network: str = "network",
    folder: Path | str | None = None,
    rectify: bool = False,
) -> Recording:
    """A recording of activations from elsewhere: all analyses that need no network can be made of it.

    Args:
        arrays: by block, in the network's order: (images, units), or maps (images, units, height, width), whose mean
            over positions is taken, of a signed tap that of their positive part. NumPy arrays, tensors or
            `xarray.DataArray`s. `BLOCK.TAP` is a tap of a block, such as `layer3.0.gate`, and a block alone its
            output. Or a folder with them as BLOCK.npy and BLOCK.TAP.npy, in the order of their names. Of several
            networks a mapping from labels to such mappings or folders.
        labels: (images,) whole numbers from 0 on, the classes.
        classes: their names; the numbers by default.
        identifiers: a name for each image; its row by default.
        network: what one network is called.
        folder: where the recording goes, for the command line; in memory where none is given.
        rectify: take the positive part of outputs.

    Raises:
        UsageError: arrays of other shapes, values that are NaN or infinite, or labels that are no classes.

    >>> activity = np.random.default_rng(0).random((20, 3))
    >>> recording = recording_from({"layer3.0": activity}, np.arange(20) % 4)
    >>> recording.activity("network", "layer3.0").sizes["unit"]
    3
    """
    known = _checked_labels(labels)
    given = {label: _checked(each, len(known), rectify, label) for label, each in _networks(arrays, network).items()}
    names = _names("classes", classes, int(known.max()) + 1)
    images = pd.DataFrame({"index": np.arange(len(known)), "identifier": _names("images", identifiers, len(known))})
    images["label"], images["class"], images["bytes"] = known, [names[label] for label in known.tolist()], -1
    kept = {label: [Kept(name, each.shape[1:]) for name, each in mine.items()] for label, mine in given.items()}
    blocks = {label: _taps_of(mine) for label, mine in given.items()}
    facts = {
        "networks": {label: {"reference": label, "facts": dict.fromkeys(_FACTS)} for label in given},
        "taps": blocks,
        "settings": {
            label: {"rectified": rectify, "positive_part": [tap for tap in SIGNED if any(tap in taps for taps in each)]}
            for label, each in ((label, list(taps.values())) for label, taps in blocks.items())
        },
        "depths": {label: {block: at for at, block in enumerate(each, 1)} for label, each in blocks.items()},
        "classes": names,
        "data": {"name": "activations from elsewhere", "images": len(known)},
        "labels_known": True,
    }
    recording = Recording.create(kept, images, facts, folder)
    rows = {(label, name): values for label, mine in given.items() for name, values in mine.items()}
    recording.write(0, rows, len(known))
    recording.finish()
    return recording


def _networks(arrays: Mapping[str, Any] | Path | str, network: str) -> dict[str, dict[str, Any]]:
    """By label, the arrays by name."""
    if isinstance(arrays, Path | str):
        return {network: _of_folder(Path(arrays))}
    if not len(arrays):
        raise UsageError("no arrays are given; expected (images, units) of one block at least")
    nested = [isinstance(each, Mapping | Path | str) for each in arrays.values()]
    if not any(nested):
        return {network: dict(arrays)}
    if not all(nested):
        raise UsageError("some of `arrays` are arrays and some are mappings; expected blocks, or networks with blocks")
    return {label: _networks(each, label)[label] for label, each in arrays.items()}


def _of_folder(folder: Path) -> dict[str, np.ndarray]:
    paths = sorted(folder.glob("*.npy"))
    if not paths:
        raise UsageError(f"`{folder}` has no .npy; expected BLOCK.npy or BLOCK.TAP.npy of each block")
    try:
        return {path.stem: map_array(path) for path in paths}
    except (OSError, ValueError) as error:
        raise RunError(f"an array of `{folder}` cannot be read: {error}") from error


def _checked_labels(labels: Sequence[int]) -> np.ndarray:
    found = np.asarray(labels)
    if found.ndim != 1 or not len(found):
        raise UsageError(f"labels are of shape {found.shape}; expected one whole number an image")
    whole = found.astype(np.int64) if np.issubdtype(found.dtype, np.number) else None
    if whole is None or not np.array_equal(whole, found) or whole.min() < 0:
        raise UsageError(f"labels such as {found.flat[0]!r} are no whole numbers from 0 on")
    return whole


def _names(what: str, given: Sequence[str] | None, needed: int) -> list[str]:
    names = [str(each) for each in given] if given is not None else [str(number) for number in range(needed)]
    if len(names) < needed or (what == "images" and len(names) != needed):
        raise UsageError(f"{len(names)} names of {what}; expected {needed}")
    if len(set(names)) < len(names):
        raise UsageError(f"two {what} are called `{next(name for name in names if names.count(name) > 1)}`")
    return names


def _checked(arrays: Mapping[str, Any], images: int, rectify: bool, label: str) -> dict[str, np.ndarray]:
    """By BLOCK.TAP, float32 (images, units)."""
    found = {}
    for name, values in arrays.items():
        block, tap = _block_and_tap(name)
        where = f"`{name}` of {label}"
        array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
        if not np.issubdtype(array.dtype, np.number) or array.ndim not in (2, 4) or len(array) != images:
            raise UsageError(
                f"{where} is {array.dtype} {array.shape}; expected numbers ({images}, units) or ({images}, units, "
                f"height, width), as there are {images} labels"
            )
        if not np.isfinite(array).all():
            raise UsageError(f"{where} has values that are NaN or infinite")
        if tap in SIGNED and array.ndim == 2 and array.min() < 0:
            raise UsageError(f"{where} has negative means; of this tap give maps, or means of their positive part")
        if tap == "output" and not rectify:
            found[f"{block}.output.minimum"] = array.reshape(images, -1).min(1).astype(np.float32)
        positive = np.maximum(array, 0) if tap in SIGNED or (rectify and tap == "output") else array
        means = positive.mean((2, 3), dtype=np.float64) if array.ndim == 4 else positive
        found[f"{block}.{tap}"] = means.astype(np.float32)
    return found


def _block_and_tap(name: str) -> tuple[str, str]:
    block, _, tap = str(name).rpartition(".")
    if block and tap in TAPS:
        return block, tap
    if tap.isalpha() and block and tap.lower() in TAPS:
        raise unknown("tap", tap, TAPS)
    return str(name), "output"


def _taps_of(names: Mapping[str, Any]) -> dict[str, list[str]]:
    taps: dict[str, list[str]] = {}
    for name in names:
        if name.endswith(".output.minimum"):
            continue
        block, _, tap = name.rpartition(".")
        taps.setdefault(block, []).append(tap)
    return taps
