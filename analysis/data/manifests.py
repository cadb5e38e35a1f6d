"""What the manifest of a cache must hold, so that nothing of it is asked for twice."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from ..untrusted import Fields, Listed, Named, Whose, read_json
from .datasets import SPLITS


def _is_geometry(made: list) -> bool:
    if not 3 <= len(made) <= 4:
        return False
    size, share, *names = made
    is_size = type(size) is int and size >= 1
    is_share = isinstance(share, int | float) and share > 0
    return is_size and is_share and all(isinstance(name, str) for name in names)


_SPLIT = Whose(str, lambda split: split in ("", *SPLITS), f"empty or one of {', '.join(SPLITS)}")
_SHOWN = Whose(str, lambda said: bool(re.fullmatch("[0-9a-f]{32}", said)), "32 hexadecimal digits")
GEOMETRY = Whose(list, _is_geometry, "size, share of the crop, interpolation, and crop_mode where it is not center")
MANIFEST = Fields(
    {
        "data": str,
        "split": _SPLIT,
        "geometry": GEOMETRY,
        "classes": Listed(str),
        "labels": Listed(int),
        "note": str,
        "identifiers": Listed(str),
        "indices": Listed(int),
        "sizes": Listed(int),
        "skipped": Named(str),
    },
    {
        "parts": Named((str, int)),
        "contents": Named(str),
        "sums": Listed(int),
        "shown": Listed(_SHOWN),
        "sum": str,
    },
)


def read_manifest(path: Path) -> dict:
    """The manifest beside a cache.

    Raises:
        OSError: there is none.
        ValueError: it is none, or its lists do not fit each other.
    """
    made = read_json(path, MANIFEST)
    images = len(made["labels"])
    for name in ("identifiers", "indices", "sizes"):
        if len(made[name]) != images and (made[name] or name != "sizes"):
            raise ValueError(f"it has {len(made[name])} {name} of {images} images")
    if images and not 0 <= min(made["labels"]) <= max(made["labels"]) < len(made["classes"]):
        raise ValueError(
            f"its labels are {min(made['labels'])} … {max(made['labels'])}; expected 0 … {len(made['classes']) - 1}"
        )
    if "shown" in made and not len(made["shown"]) == len(made.get("sums", ())) == images:
        raise ValueError(f"it has {len(made['shown'])} hashes and {len(made.get('sums', ()))} sums of {images} images")
    if made.pop("sum", None) not in (None, manifest_sum(made)):
        raise ValueError("its manifest says something else than was written")
    return made


def manifest_sum(made: Mapping) -> str:
    """A hash of what a manifest says beside it."""
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]
