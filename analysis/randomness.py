"""All randomness of an analysis: hashes of (seed, what it is for, replicate, image index), never of arrival order."""

import zlib

import numpy as np
from scipy import special

_STEP = np.uint64(0x9E3779B97F4A7C15)
_IN_CACHE = 2**14
"""Images of which a hash and what is made of it stay in the cache."""


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
        indices = np.asarray(indices)
        result = np.empty(indices.size, dtype=np.uint64)
        for start in range(0, indices.size, _IN_CACHE):
            some = indices.ravel()[start : start + _IN_CACHE].astype(np.uint64)
            result[start : start + _IN_CACHE] = _mix(key + _STEP * (some + np.uint64(1)))
        return result.reshape(indices.shape)[()]


def poisson_weights(seed: int, indices: np.ndarray, replicates: int, first: int = 0) -> np.ndarray:
    """Poisson(1) bootstrap weights, shape (replicates, *indices.shape), int64; the same for every network.

    Args:
        first: the number of the first replicate.
    """
    cumulative = special.pdtr(np.arange(20), 1)
    indices = np.asarray(indices)
    weights = np.zeros((replicates, indices.size), dtype=np.int64)
    for start in range(0, indices.size, _IN_CACHE):
        some = indices.ravel()[start : start + _IN_CACHE]
        counted = np.empty(some.shape, dtype=np.int8)
        for row in range(replicates):
            uniform = hashes(seed, "bootstrap", some, first + row) / 2.0**64
            counted[:] = 0
            for below in cumulative:  # as np.searchsorted, in a third of the time: most weights are small
                greater = uniform > below
                if not greater.any():
                    break
                counted += greater
            weights[row, start : start + _IN_CACHE] = counted
    return weights.reshape(replicates, *indices.shape)


def permuted_labels(
    seed: int, labels: np.ndarray, indices: np.ndarray, permutations: int, first: int = 0
) -> np.ndarray:
    """The labels of the whole data set, permuted as often as asked: shape (permutations, images), dtype of `labels`.

    Args:
        first: the number of the first permutation.
    """
    labels, indices = np.asarray(labels), np.asarray(indices)
    order = np.argsort(indices, kind="stable")
    sorted_indices, sorted_labels = indices[order], labels[order]
    result = np.empty((permutations, len(labels)), dtype=labels.dtype)
    in_order: slice | np.ndarray = slice(None) if (order[1:] > order[:-1]).all() else order
    for row in range(permutations):
        shuffled = _order_of(hashes(seed, "permutation", sorted_indices, first + row))
        result[row, in_order] = sorted_labels[shuffled]
    return result


def _order_of(keys: np.ndarray) -> np.ndarray:
    """A stable `np.argsort` of uint64 whose high bits nearly always tell them apart, in a third of the time.

    The place of each is written over its low bits, and they are sorted as they are.
    """
    bits = max(len(keys) - 1, 0).bit_length()
    low = np.uint64(2**bits - 1)
    mixed = keys & ~low
    mixed |= np.arange(len(keys), dtype=np.uint64)
    mixed.sort()
    high = mixed >> np.uint64(bits)
    if (high[1:] == high[:-1]).any():
        return np.argsort(keys, kind="stable")
    mixed &= low
    return mixed.view(np.int64)


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
