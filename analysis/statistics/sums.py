"""Sums of activities by class, under all drawings of a `Resampling`, in float64 and in the images' order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .lazily import cached_property
from .resampling import Part, Resampling

DRAWN_BYTES = 2**26
"""What the sums of the drawings that are made at a time may take, of images of several parts."""


@dataclass(frozen=True)
class ClassSums:
    """Sums over the images of each class, of u units; those of drawings are made when they are asked for, in turn.

    Args:
        activity: (N, u).
        resampling: of the N images.
        halves: (2, K, u) of each half of the images.
        squares: (K, u) of squared activities, over all images.
    """

    activity: np.ndarray
    resampling: Resampling
    halves: np.ndarray
    squares: np.ndarray

    @cached_property
    def null(self) -> np.ndarray:
        """(P, K, u) under each permutation of the labels, all at once."""
        return np.array(list(self.each_null())).reshape(-1, *self.squares.shape)

    @cached_property
    def replicates(self) -> np.ndarray:
        """(R, 2, K, u) with the weights of each bootstrap replicate, by halves, all at once."""
        return np.array(list(self.each_replicate())).reshape(-1, *self.halves.shape)

    def each_null(self) -> Iterator[np.ndarray]:
        """(K, u) under each permutation of the labels."""
        return permuted_sums(self.activity, self.resampling)

    def each_replicate(self) -> Iterator[np.ndarray]:
        """(2, K, u) with the weights of each bootstrap replicate, by halves."""
        return weighted_sums(self.activity, self.resampling)


def class_sums(activity: np.ndarray, resampling: Resampling) -> ClassSums:
    """The sums of (N, u) activities.

    Each class's images are added up in the order of their rows, in fixed parts of the rows, so that nothing about how
    the rows came to be there can change the last bit.
    """
    shape = (2, resampling.classes, activity.shape[1])
    halves = np.zeros(shape)
    squares = np.zeros(shape)
    for number, part in enumerate(resampling.parts):
        membership, values = resampling.membership(resampling.of_halves, number), _by_class(activity, part)
        halves += (membership @ values).reshape(shape)
        squares += (membership @ np.square(values, out=values)).reshape(shape)
    return ClassSums(activity, resampling, halves, squares.sum(0))


def null_sums(values: np.ndarray, resampling: Resampling) -> tuple[np.ndarray, np.ndarray]:
    """The sums of any (N, u) float64 values by class (K, u), and under each permutation (P, K, u)."""
    shape = (resampling.permutations, resampling.classes, values.shape[1])
    permuted = np.array(list(permuted_sums(values, resampling))).reshape(shape)
    return summed(values, resampling), permuted


def summed(values: np.ndarray, resampling: Resampling) -> np.ndarray:
    """(K, u) sums of any (N, u) float64 values by class."""
    (halves,) = _drawn_sums(values, resampling, [resampling.of_halves], _by_class)
    return halves.reshape(2, resampling.classes, -1).sum(0)


def permuted_sums(values: np.ndarray, resampling: Resampling) -> Iterator[np.ndarray]:
    """(K, u) sums of any (N, u) float64 values by class under each permutation of the labels."""
    for sums in _drawn_sums(values, resampling, resampling.permutations_together, _in_order):
        yield from sums.reshape(-1, resampling.classes, values.shape[1])


def weighted_sums(values: np.ndarray, resampling: Resampling) -> Iterator[np.ndarray]:
    """(2, K, u) sums of any (N, u) float64 values by class with the weights of each bootstrap replicate, by halves."""
    together = resampling.replicates_together
    for sums, drawings in zip(_drawn_sums(values, resampling, together, _by_class), together, strict=True):
        yield from np.moveaxis(sums.reshape(2, resampling.classes, len(drawings), -1), 2, 0)


def _drawn_sums(
    values: np.ndarray,
    resampling: Resampling,
    together: Sequence[range],
    arranged: Callable[[np.ndarray, Part], np.ndarray],
) -> Iterator[np.ndarray]:
    """(rows of `Resampling.membership`, u) of the halves, or of each group of permutations or of replicates.

    What a product goes back to has to stay in the cache. Of permutations that are the sums: images come in their order,
    for those of a class lie anywhere. Of the others it is the images of a class, once they are sorted by it.
    """
    if not together:
        return
    prepared = lru_cache(maxsize=1)(lambda part: arranged(values, resampling.parts[part]))
    parts, rows = range(len(resampling.parts)), resampling.rows(together[0])
    fit = max(DRAWN_BYTES // (8 * values.shape[1] * (rows.stop - rows.start)), 1)
    step = fit if len(parts) > 1 else 1  # of one part, which stays prepared, each is looked at while in the cache
    for first in range(0, len(together), step):
        some = together[first : first + step]
        sums = [resampling.membership(drawings, 0) @ prepared(0) for drawings in some]
        for part in parts[1:]:
            for each, drawings in zip(sums, some, strict=True):
                each += resampling.membership(drawings, part) @ prepared(part)
        yield from sums


def _in_order(values: np.ndarray, part: Part) -> np.ndarray:
    return np.ascontiguousarray(values[part.images], dtype=np.float64)


def _by_class(values: np.ndarray, part: Part) -> np.ndarray:
    return values[part.images][part.order].astype(np.float64)
