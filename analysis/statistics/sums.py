"""Sums of activities by class, under all drawings of a `Resampling`, in float64 and in the images' order."""

from dataclasses import dataclass

import numpy as np

from analysis.statistics.resampling import Resampling


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
    classes = resampling.classes
    total = 0
    squares = 0
    for rows, memberships in resampling.chunks():
        part = activity[rows].astype(np.float64)
        total = memberships @ part + total
        squares = memberships[: 2 * classes] @ np.square(part, out=part) + squares
    units = activity.shape[1]
    ends = np.cumsum([2 * classes, resampling.permutations * classes])
    halves, null, replicates = np.split(total, ends)
    return ClassSums(
        halves.reshape(2, classes, units),
        null.reshape(resampling.permutations, classes, units),
        replicates.reshape(resampling.replicates, 2, classes, units),
        squares.reshape(2, classes, units).sum(0),
    )


def null_sums(values: np.ndarray, resampling: Resampling) -> tuple[np.ndarray, np.ndarray]:
    """The sums of any (N, u) values by class (K, u), and under each permutation (P, K, u)."""
    classes, drawings = resampling.classes, 2 + resampling.permutations
    total = 0
    for rows, memberships in resampling.chunks():
        total = memberships[: drawings * classes] @ values[rows] + total
    total = total.reshape(drawings, classes, values.shape[1])
    return total[:2].sum(0), total[2:]
