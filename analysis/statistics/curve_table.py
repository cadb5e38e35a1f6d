"""Pruning curves from counts of images that are right."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..errors import UsageError
from .significance import proportion_interval


def curve_table(points: Sequence[Mapping], images: int, top1: np.ndarray, top5: np.ndarray) -> pd.DataFrame:
    """The columns of `pruning.csv` from `block` on.

    Args:
        points: the columns up to `dropped` of each point, and `dropped_at`, which becomes the last one.
        images: measured at each.
        top1, top5: (points,) images whose label is the most likely class, or among the five.

    >>> curve_table([{"block": "b", "ratio": 0.0}], 4, np.array([2]), np.array([4]))[["images", "top1", "top5"]]
       images  top1  top5
    0       4   0.5   1.0
    """
    rows = []
    for point, first, among in zip(points, top1.tolist(), top5.tolist(), strict=True):
        low, high = proportion_interval(first, images)
        measured = {"images": images, "top1": first / images, "top1_low": low, "top1_high": high}
        own = {name: value for name, value in point.items() if name != "dropped_at"}
        last = {"dropped_at": point["dropped_at"]} if "dropped_at" in point else {}
        rows.append({**own, **measured, "top5": among / images, **last})
    return pd.DataFrame(rows)


def check_ratios(ratios: Sequence[float]) -> list[float]:
    """The ratios in increasing order, once each.

    Raises:
        UsageError: a ratio outside [0, 1], or none.
    """
    for ratio in ratios:
        if not 0 <= ratio <= 1:
            raise UsageError(f"drop ratio {ratio} is outside [0, 1]")
    if len(ratios) == 0:
        raise UsageError("no drop ratios; expected at least one in [0, 1]")
    return sorted({float(ratio) for ratio in ratios})
