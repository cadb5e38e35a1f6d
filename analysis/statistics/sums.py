"""Sums of activities by class, under all drawings of a `Resampling`, in float64 and in the images' order."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .resampling import Resampling

STRIP = 16
"""Units multiplied at a time: the product of wider ones misses the cache and takes up to four times as long."""


@dataclass(frozen=True)
class ClassSums:
    """Sums over the images of each class, of u units.

    Args:
        halves: (2, K, u) of each half of the images.
        null: (P, K, u) under each permutation of the labels.
        replicates: (R, 2, K, u) with the weights of each bootstrap replicate, by halves.
        squares: (K, u) of squared activities, over all images.
    """

    halves: np.ndarray
    null: np.ndarray
    replicates: np.ndarray
    squares: np.ndarray


def class_sums(activity: np.ndarray, resampling: Resampling) -> ClassSums:
    """The sums of (N, u) activities.

    Each class's images are added up in the order of their rows, in fixed parts of the rows, so that nothing about how
    the rows came to be there can change the last bit.
    """
    classes, units = resampling.classes, activity.shape[1]
    total = np.zeros((resampling.rows, units))
    squares = np.zeros((2 * classes, units))
    for rows, memberships in resampling.chunks():
        own = memberships[: 2 * classes]
        part = activity[rows].astype(np.float64)
        _add_product(total, memberships, part)
        _add_product(squares, own, np.square(part, out=part))
    halves, null, replicates = np.split(total, np.cumsum([2 * classes, resampling.permutations * classes]))
    return ClassSums(
        halves.reshape(2, classes, units),
        null.reshape(resampling.permutations, classes, units),
        replicates.reshape(resampling.replicates, 2, classes, units),
        squares.reshape(2, classes, units).sum(0),
    )


def null_sums(values: np.ndarray, resampling: Resampling) -> tuple[np.ndarray, np.ndarray]:
    """The sums of any (N, u) float64 values by class (K, u), and under each permutation (P, K, u)."""
    classes, drawings = resampling.classes, 2 + resampling.permutations
    total = np.zeros((drawings * classes, values.shape[1]))
    for rows, memberships in resampling.chunks():
        _add_product(total, memberships[: drawings * classes], values[rows])
    by_drawing = total.reshape(drawings, classes, values.shape[1])
    return by_drawing[:2].sum(0), by_drawing[2:]


def _add_product(total: np.ndarray, memberships: sparse.csr_array, values: np.ndarray) -> None:
    for start in range(0, values.shape[1], STRIP):
        strip = slice(start, start + STRIP)
        total[:, strip] += memberships @ np.ascontiguousarray(values[:, strip])
