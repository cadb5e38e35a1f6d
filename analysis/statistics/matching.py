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
    pooled = np.concatenate([mine, theirs])
    pooled = pooled[~np.isnan(pooled)]
    if not len(pooled):
        return np.zeros(len(mine)), np.zeros(len(theirs)), 0.0
    # an edge lies on a value that occurs, so that equal values share a bin
    edges = np.unique(np.quantile(pooled, np.arange(1, BINS) / BINS, method="closest_observation"))
    bins = [np.searchsorted(edges, values, side="right") for values in (mine, theirs)]
    counts = [
        np.bincount(bin_[~np.isnan(values)], minlength=len(edges) + 1).astype(float)
        for bin_, values in zip(bins, (mine, theirs), strict=True)
    ]
    if not all(each.sum() for each in counts):
        return np.zeros(len(mine)), np.zeros(len(theirs)), 0.0
    common = np.minimum(*(each / each.sum() for each in counts))
    overlap = float(common.sum())
    if not overlap:
        return np.zeros(len(mine)), np.zeros(len(theirs)), 0.0
    weights = []
    for bin_, values, number in zip(bins, (mine, theirs), counts, strict=True):
        each = np.divide(common / overlap, number, out=np.zeros_like(common), where=number > 0)
        weights.append(np.where(np.isnan(values), 0.0, each[bin_]))
    return weights[0], weights[1], overlap
