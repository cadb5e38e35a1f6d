"""Which images cannot be read: a quick look before long work, a thorough one for those who leave such images out."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..errors import RunError
from ..progress import progress_bar
from ..randomness import hashes
from .datasets import ImageData, in_rgb, reason
from .decoding import UNREADABLE

QUICK_SECONDS = 10
_SMALL = (64, 64)
_found_good: set[tuple] = set()  # by this process: several trainings share their images
_CHUNK = 512


def checked(data, skip: bool = False, progress: bool = True) -> ImageData:
    """The data, once a quick look has found nothing wrong with it, or without the images that cannot be read.

    The quick look takes files' sizes and, for some seconds, the heads of files in the order of a hash; an image whose
    end is damaged passes it and stops the work when it is read.

    Args:
        data: what is no `ImageData` is given back as it is.
        skip: decode every image, and leave those out that cannot be: `skipped` then names them.

    Raises:
        RunError: bad images were found, or none is left.
    """
    if not isinstance(data, ImageData) or data.checked:
        return data
    bad = bad_images(data, skip, progress)
    if bad and not skip:
        listed = ", ".join(f"{name} ({why})" for name, why in list(bad.items())[:10])
        more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
        raise RunError(
            f"{len(bad)} images of {data} cannot be read: {listed}{more}; --skip-unreadable leaves such images out"
        )
    if not skip:
        return data
    kept = data.without(bad)
    if not len(kept):
        raise RunError(f"none of the {len(bad)} images of {data} can be read")
    return kept


def bad_images(data: ImageData, thorough: bool = False, progress: bool = True) -> dict[str, str]:
    """What is wrong with which images, by identifier; images that are found good are looked at once in a process."""
    key = (str(data), data.fingerprint, thorough)
    if key in _found_good:
        return {}
    bad = _find_bad_images(data, thorough, progress)
    if not bad:  # bad ones may be mended meanwhile
        _found_good.add(key)
    return bad


def _find_bad_images(data: ImageData, thorough: bool, progress: bool) -> dict[str, str]:
    bad = dict(data.faults)
    for position in np.flatnonzero(data.sizes <= 0):
        bad[data.identifiers[position]] = "the file is empty" if data.sizes[position] == 0 else "there is no such file"
    look = _decode if thorough else _open
    order = np.argsort(hashes(0, "check", data.indices), kind="stable")
    seconds = None if thorough else QUICK_SECONDS
    if len(data.sizes):
        order = order[data.sizes[order] > 0]  # others are known to be bad, and a pipe would be waited for
    for position, why in _look_at(data, order, look, seconds, progress and thorough):
        bad.setdefault(data.identifiers[position], why)
    return bad


def _look_at(data: ImageData, order: np.ndarray, look: Callable, seconds: float | None, progress: bool):
    """Positions of bad images and what is wrong, found by several threads: Pillow decodes without Python's lock."""
    begun = time.monotonic()
    bar = progress_bar(progress, total=len(order), unit="img", desc="checking")
    with bar, ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as threads:
        for start in range(0, len(order), _CHUNK):
            chunk = order[start : start + _CHUNK].tolist()
            for position, why in zip(chunk, threads.map(lambda each: look(data, each), chunk), strict=True):
                if why:
                    yield position, why
            bar.update(len(chunk))
            if seconds is not None and time.monotonic() - begun > seconds:
                return


def _open(data: ImageData, position: int) -> str | None:
    try:
        data.read(position)  # Pillow reads the head alone
    except UNREADABLE as error:
        return reason(error)
    return None


def _decode(data: ImageData, position: int) -> str | None:
    try:
        image = data.read(position)
        image.draft(None, _SMALL)  # all of a JPEG's bytes, at an eighth of its pixels
        in_rgb(image)
    except UNREADABLE as error:
        return reason(error)
    return None
