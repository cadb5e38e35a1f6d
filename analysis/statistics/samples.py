"""Means, standard deviations and intervals over permutations and bootstrap replicates."""

import numpy as np
import scipy


def spread(samples: np.ndarray) -> np.ndarray:
    """Standard deviation over the first axis (n − 1), NaN where there are fewer than two samples or any is NaN."""
    if len(samples) < 2:
        return np.full(samples.shape[1:], np.nan)
    return samples.std(0, ddof=1)


def mean(samples: np.ndarray) -> np.ndarray:
    """Mean over the first axis, NaN where there are no samples."""
    return samples.mean(0) if len(samples) else np.full(samples.shape[1:], np.nan)


def over_units(samples: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over living units of each sample; a unit that is dead in one replicate only is left out of that one.

    Args:
        samples: (R, U).
        weights: (U,) of units; bool says which are alive.

    Returns:
        (R,), NaN where no living unit has a value.
    """
    counted = weights > 0
    kept, weights = samples[:, counted], weights[counted].astype(float)
    some = ~np.isnan(kept)
    total = (np.where(some, kept, 0) * weights).sum(1)
    return np.divide(total, (some * weights).sum(1), out=np.full(len(kept), np.nan), where=some.any(1))


def half_width(replicates: int, level: float = 0.95) -> float:
    """Half the width of an interval in standard errors, by t with replicates − 1 degrees of freedom.

    >>> round(half_width(10), 3)
    2.262
    """
    return float(scipy.stats.t.ppf((1 + level) / 2, max(replicates - 1, 1)))
