"""Sums of activities by class, under all drawings of a `Resampling`, in float64 and in the images' order."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from .resampling import Resampling

STRIP = 16
"""Units multiplied at a time: the product of wider ones misses the cache and takes up to four times as long."""

DRAWN_BYTES = 2**26
"""What the sums of the drawings that are made at a time may take."""


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
        return _drawn_sums(self.activity, self.resampling, self.resampling.of_permutations)

    def each_replicate(self) -> Iterator[np.ndarray]:
        """(2, K, u) with the weights of each bootstrap replicate, by halves."""
        for sums in _drawn_sums(self.activity, self.resampling, self.resampling.of_replicates):
            yield sums.reshape(self.halves.shape)


def class_sums(activity: np.ndarray, resampling: Resampling) -> ClassSums:
    """The sums of (N, u) activities.

    Each class's images are added up in the order of their rows, in fixed parts of the rows, so that nothing about how
    the rows came to be there can change the last bit.
    """
    shape = (2, resampling.classes, activity.shape[1])
    halves = np.zeros(shape)
    squares = np.zeros(shape)
    for images, memberships in resampling.chunks(resampling.drawings[:1]):
        part = activity[images].astype(np.float64)
        _add_product(halves.reshape(-1, shape[-1]), memberships, part)
        _add_product(squares.reshape(-1, shape[-1]), memberships, np.square(part, out=part))
    return ClassSums(activity, resampling, halves, squares.sum(0))


def null_sums(values: np.ndarray, resampling: Resampling) -> tuple[np.ndarray, np.ndarray]:
    """The sums of any (N, u) float64 values by class (K, u), and under each permutation (P, K, u)."""
    (halves,) = _drawn_sums(values, resampling, resampling.drawings[:1])
    shape = (resampling.permutations, resampling.classes, values.shape[1])
    permuted = np.array(list(_drawn_sums(values, resampling, resampling.of_permutations))).reshape(shape)
    return halves.reshape(2, *shape[1:]).sum(0), permuted


def _drawn_sums(values: np.ndarray, resampling: Resampling, drawings: range) -> Iterator[np.ndarray]:
    """(rows of one, u) of each of some drawings that have as many rows."""
    if not drawings:
        return
    units = values.shape[1]
    rows = resampling.rows(drawings[:1])
    together = max(DRAWN_BYTES // (8 * units * (rows.stop - rows.start)), 1)
    for first in range(0, len(drawings), together):
        some = drawings[first : first + together]
        total = np.zeros((len(some), rows.stop - rows.start, units))
        for images, memberships in resampling.chunks(some):
            _add_product(total.reshape(-1, units), memberships, values[images])
        yield from total


def _add_product(total: np.ndarray, memberships: sparse.csr_array, values: np.ndarray) -> None:
    for start in range(0, values.shape[1], STRIP):
        strip = slice(start, start + STRIP)
        total[:, strip] += memberships @ np.ascontiguousarray(values[:, strip], dtype=np.float64)
