"""What some of the images show, as hashes: images of the same names and sizes are told from others by it."""

import hashlib

import numpy as np

from ..randomness import hashes
from .adapting import known_indices, pair_of
from .datasets import UNREADABLE, ImageData, in_rgb

SAMPLED = 16


def sampled_contents(data) -> dict[str, str]:
    """A hash of the pixels of some images, by identifier; those that cannot be read are left out.

    Args:
        data: of `ImageData` the images are drawn by a hash of their index. Of somebody else's data set they are the
            first, the middle and the last, with their labels, by index; a cache has those of the images it was made of.
    """
    if not isinstance(data, ImageData):
        return _foreign(data)
    if data.contents is not None:
        return data.contents
    found = {}
    for position in np.argsort(hashes(0, "contents", data.indices), kind="stable")[:SAMPLED].tolist():
        try:
            pixels = np.asarray(in_rgb(data.read(position)))
        except UNREADABLE:
            continue
        found[data.identifiers[position]] = _hash(pixels)
    return found


def _foreign(data) -> dict[str, str]:
    items, found = getattr(data, "dataset", data), {}
    indices = known_indices(data)
    for position in sorted({0, len(items) // 2, len(items) - 1}):
        image, label = pair_of(items[position], type(items).__name__)[:2]
        found[str(indices[position])] = _hash(np.ascontiguousarray(image), np.ascontiguousarray(label))
    return found


def _hash(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode() + array.tobytes())
    return digest.hexdigest()[:16]


def changed_content(before, now) -> str | None:
    """The first image whose content is another than it was, of those that are in both samples.

    >>> changed_content({"a": "1", "b": "2"}, {"b": "3", "c": "4"})
    'b'
    """
    return next((name for name, content in before.items() if now.get(name, content) != content), None)
