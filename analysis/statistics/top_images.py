"""The images that drive a unit most, and how many of them are of one class."""

import numpy as np
import pandas as pd

from ..randomness import hashes

KEPT = 9
"""Images listed of a unit."""

IMAGES_NAMED = 3
"""Those of them that a report names and shows."""

PRECISION_IMAGES = 60
"""Images that the index `precision` looks at."""

UNITS_SHOWN = 8
"""The most selective units of a block, of which a contact sheet shows the images."""


def most_selective(units: pd.DataFrame, count: int = UNITS_SHOWN) -> pd.DataFrame:
    """The rows of the units that are the most selective by the cross-fitted index, or by csi where there is none.

    By csi itself the first would be units that one image alone makes active.
    """
    crossfitted = "csi_crossfit" in units and units["csi_crossfit"].notna().any()
    by = "csi_crossfit" if crossfitted else "csi"
    return units.sort_values([by, "unit"], ascending=[False, True], kind="stable").dropna(subset=by)[:count]


def tie_breakers(seed: int, indices: np.ndarray) -> np.ndarray:
    """(N,) what decides between equally active images: never the order of the data, which may be sorted by class."""
    return hashes(seed, "tie", indices) >> np.uint64(33)


def strongest(activity: np.ndarray, ties: np.ndarray, images: int) -> np.ndarray:
    """The rows of the images on which a unit is most active, the most active first; never one on which it is silent.

    Args:
        activity: (N,).
        ties: (N,) of `tie_breakers`: the greatest first.
        images: at most so many.

    >>> strongest(np.array([1.0, 3.0, 0.0, 3.0]), np.array([0, 1, 2, 3]), 9)
    array([3, 1, 0])
    """
    least = 0.0
    if images < len(activity):
        least = np.partition(activity, -images)[-images]
    rows = np.flatnonzero((activity >= least) & (activity > 0))
    return rows[np.lexsort((ties[rows], activity[rows]))[::-1]][:images]


def top_images_table(
    activity: np.ndarray, tops: list[np.ndarray], labels: np.ndarray, indices: np.ndarray
) -> pd.DataFrame:
    """A row for each unit and image: unit, rank (from 1), index, label, activity.

    Args:
        activity: (N, U).
        tops: of each unit, rows of `strongest`.
    """
    found = [len(rows) for rows in tops]
    unit = np.repeat(np.arange(len(tops)), found)
    row = np.concatenate(tops).astype(np.int64)
    rank = np.concatenate([np.arange(1, number + 1) for number in found])
    return pd.DataFrame(
        {
            "unit": unit,
            "rank": rank.astype(np.int64),
            "index": indices[row],
            "label": labels[row].astype(np.int64),
            "activity": activity[row, unit].astype(float),
        }
    )


def precision(labels: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The share of the most frequent label in rows of weighted images, and that label (the lowest of equals).

    Args:
        labels: (N,) of the images, or (M, N) of each row's.
        weights: (M, N), how often each image counts in each row.

    Returns:
        share and label, each (M,); NaN and −1 for a row without weight.

    >>> precision(np.array([7, 7, 3, 1]), np.array([[1, 1, 1, 0], [0, 0, 0, 0]]))
    (array([0.66666667,        nan]), array([ 7, -1]))
    """
    labels = labels.astype(np.int64)
    same = labels[..., :, None] == labels[..., None, :]
    each = np.einsum("mn,nk->mk" if labels.ndim == 1 else "mn,mnk->mk", weights, same)
    support = np.where(weights > 0, each, 0)  # of each image, the weight of all that have its label
    most = support.max(1, initial=0)
    total = weights.sum(1)
    share = np.divide(most, total, out=np.full(len(weights), np.nan), where=total > 0)
    chosen = (support == most[:, None]) & (weights > 0)
    lowest = np.where(chosen, labels, np.iinfo(np.int64).max).min(1, initial=np.iinfo(np.int64).max)
    return share, np.where(total > 0, lowest, -1)


def first_of(weights: np.ndarray, images: int) -> np.ndarray:
    """The weights of the first so many images of each row, an image counting as often as it weighs.

    >>> first_of(np.array([[2, 0, 1, 3]]), 4)
    array([[2, 0, 1, 1]])
    """
    before = np.cumsum(weights, 1, dtype=np.int64) - weights
    return np.clip(images - before, 0, weights)
