"""What images show, as hashes of their decoded pixels: an image is known by it, whatever it is called."""

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image

from ..randomness import hashes
from .adapting import known_indices, pair_of
from .datasets import UNREADABLE, ImageData, in_rgb

SAMPLED = 16
DIGEST = 16
"""Bytes of an image's hash."""


def content_of(image: Image.Image | torch.Tensor) -> bytes:
    """What an image shows: the first 16 bytes of the SHA-256 of its mode, size and pixels, as they were decoded.

    Of a tensor it is that of its type, shape and values.

    >>> content_of(Image.new("RGB", (2, 1))).hex()
    'f582c36a1d5d1e35d5cc59910f06a138'
    """
    if isinstance(image, torch.Tensor):
        values = image.detach().cpu().contiguous()
        head = f"{values.dtype} {tuple(values.shape)}\n"
        pixels = values.flatten().view(torch.uint8).numpy().data if values.numel() else b""
    else:
        head = f"{image.mode} {image.width}x{image.height}\n"
        pixels = image.tobytes()
    digest = hashlib.sha256(head.encode())
    digest.update(pixels)
    return digest.digest()[:DIGEST]


def in_hex(contents: torch.Tensor | np.ndarray) -> list[str]:
    """Hashes, (N, 16) bytes, as text has them; such as are not known, all zeros, are empty."""
    return [row.tobytes().hex() if row.any() else "" for row in np.asarray(contents)]


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
            found[data.identifiers[position]] = content_of(in_rgb(data.read(position))).hex()
        except UNREADABLE:
            continue
    return found


def _foreign(data) -> dict[str, str]:
    items, found = getattr(data, "dataset", data), {}
    indices = known_indices(data)
    for position in sorted({0, len(items) // 2, len(items) - 1}):
        image, label = pair_of(items[position], type(items).__name__)[:2]
        digest = hashlib.sha256()
        for array in (np.ascontiguousarray(image), np.ascontiguousarray(label)):
            digest.update(repr(array.shape).encode() + array.tobytes())
        found[str(indices[position])] = digest.hexdigest()[:16]
    return found


def changed_content(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """The first image whose content is another than it was, of those that are in both samples.

    Hashes of another length are of an older version, and tell nothing.

    >>> changed_content({"a": "1", "b": "2"}, {"b": "3", "c": "4"})
    'b'
    >>> changed_content({"a": "1"}, {"a": "12"})
    """
    both = ((name, content, now[name]) for name, content in before.items() if name in now)
    return next((name for name, then, today in both if len(then) == len(today) and then != today), None)
