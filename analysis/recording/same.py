"""Whether two recordings, or a recording and a pass that would go on with it, are of the same."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ..differences import difference
from ..errors import RunError, UsageError
from .answers import differing_answers

OTHERS = {
    "identifier": "they have other names",
    "index": "they have other places in their split",
    "label": "they have other labels",
    "bytes": "their files have changed in size",
    "content": "they show something else",
}
"""What another value in a column of images.csv says."""


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


def check_sampled(folder: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Images whose content was sampled both times, as `gelens.data.contents` does, show the same."""
    for name, content in before.items():
        if now.get(name, content) != content:
            raise UsageError(
                f"`{folder}` holds a recording of something else: the content of image `{name}` has changed; choose "
                f"another folder"
            )


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
