"""Units of two networks weighted so that both are active on as many images: what is left of a gap is not sparsity."""

import numpy as np

BINS = 10
"""Of the share of images on which a unit is active, with as many units of both networks in each as ties allow."""


def matching_weights(mine: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Weights that give the units of two networks one distribution over bins of a covariate: what both have of it.

    A bin weighs what the network with fewer of its units there has of it, as a share of all its units, and its units
    weigh the same; where only one network has units, a bin weighs nothing.

    Args:
        mine, theirs: (U,), (V,) the covariate of each unit, such as the share of images on which it is active; NaN for
            units that are left out.

    Returns:
        (U,), (V,) weights that sum to 1, and how much the two distributions have in common: 1 where they are equal, 0
        where no bin has units of both, and then there are no weights either (all 0).

    >>> weights = matching_weights(np.array([0.1, 0.9, 0.9]), np.array([0.1, 0.9]))
    >>> [each.round(2).tolist() for each in weights[:2]], round(weights[2], 2)
    ([[0.4, 0.3, 0.3], [0.4, 0.6]], 0.83)
    """
    nothing = np.zeros(len(mine)), np.zeros(len(theirs)), 0.0
    known = np.concatenate([each[~np.isnan(each)] for each in (mine, theirs)])
    if not len(known):
        return nothing
    # an edge lies on a value that occurs, so that equal values share a bin
    edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS, method="closest_observation"))
    my_counts, their_counts = _counts(mine, edges), _counts(theirs, edges)
    if not my_counts.any() or not their_counts.any():
        return nothing
    common = np.minimum(my_counts / my_counts.sum(), their_counts / their_counts.sum())
    overlap = float(common.sum())
    if not overlap:
        return nothing
    shares = common / overlap
    return _weights(mine, edges, my_counts, shares), _weights(theirs, edges, their_counts, shares), overlap


def _bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(U,) the bin of each unit."""
    return np.searchsorted(edges, values, side="right")


def _counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(bins,) the number of units in each."""
    known = values[~np.isnan(values)]
    return np.bincount(_bins(known, edges), minlength=len(edges) + 1).astype(float)


def _weights(values: np.ndarray, edges: np.ndarray, counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(U,) the share of each unit's bin, divided among the units there."""
    each = np.divide(shares, counts, out=np.zeros_like(shares), where=counts > 0)
    return np.where(np.isnan(values), 0.0, each[_bins(values, edges)])
