"""All randomness of an analysis: hashes of (seed, what it is for, replicate, image index), never of arrival order."""

import zlib
from typing import Literal

import numpy as np
import scipy

_STEP = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: np.ndarray) -> np.ndarray:
    """SplitMix64's output function (Steele, Lea and Flood, OOPSLA 2014) on uint64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def hashes(seed: int, purpose: str, indices: np.ndarray, replicate: int = 0) -> np.ndarray:
    """A uint64 for every image index, independent between seeds, purposes and replicates.

    Args:
        indices: integer array of any shape.

    >>> hashes(0, "half", np.array([5, 6])) == hashes(0, "half", np.array([6, 5]))[::-1]
    array([ True,  True])
    """
    key = np.zeros((), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in (seed, zlib.crc32(purpose.encode()), replicate):
            key = _mix(key + _STEP + np.uint64(part % 2**64))
        return _mix(key + _STEP * (np.asarray(indices).astype(np.uint64) + np.uint64(1)))


def poisson_weights(seed: int, indices: np.ndarray, replicates: int, first: int = 0) -> np.ndarray:
    """Poisson(1) bootstrap weights, shape (replicates, *indices.shape), int64; the same for every network.

    Args:
        first: the number of the first replicate.
    """
    cumulative = scipy.stats.poisson.cdf(np.arange(20), 1)
    weights = np.empty((replicates, *np.shape(indices)), dtype=np.int64)
    for row in range(replicates):
        uniform = hashes(seed, "bootstrap", indices, first + row) / 2.0**64
        weights[row] = 0
        for below in cumulative:  # as np.searchsorted, in a third of the time: most weights are small
            greater = uniform > below
            if not greater.any():
                break
            weights[row] += greater
    return weights


def permuted_labels(
    seed: int, labels: np.ndarray, indices: np.ndarray, permutations: int, first: int = 0
) -> np.ndarray:
    """The labels of the whole data set, permuted as often as asked: shape (permutations, images), dtype of `labels`.

    Args:
        first: the number of the first permutation.
    """
    labels = np.asarray(labels)
    order = np.argsort(indices, kind="stable")
    sorted_indices, sorted_labels = np.asarray(indices)[order], labels[order]
    result = np.empty((permutations, len(labels)), dtype=labels.dtype)
    # unlike indices have unlike hashes: `_mix` is a bijection; then no order of equals is to be kept
    kind: Literal["stable"] | None = "stable" if (sorted_indices[1:] == sorted_indices[:-1]).any() else None
    for row in range(permutations):
        shuffled = np.argsort(hashes(seed, "permutation", sorted_indices, first + row), kind=kind)
        result[row, order] = sorted_labels[shuffled]
    return result


def stratified_halves(seed: int, labels: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """0 or 1 for every image: within each class, images in the order of their hash go to the halves in turn.

    A class of odd size gives its odd image to the half that a hash of the class picks.

    >>> stratified_halves(0, np.array([3, 3, 3, 3]), np.arange(4)).sum()
    np.int64(2)
    """
    labels, indices = np.asarray(labels), np.asarray(indices)
    order = np.lexsort((hashes(seed, "half", indices), labels))
    classes, first = np.unique(labels[order], return_index=True)
    sizes = np.diff(np.append(first, len(labels)))
    rank = np.arange(len(labels)) - np.repeat(first, sizes)
    start = hashes(seed, "first half", np.repeat(classes, sizes)) & np.uint64(1)
    halves = np.empty(len(labels), dtype=np.int64)
    halves[order] = (rank + start.astype(np.int64)) % 2
    return halves
