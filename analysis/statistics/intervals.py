"""Intervals from standard errors."""

from scipy import stats


def half_width(replicates: int, level: float = 0.95) -> float:
    """Half the width of an interval in standard errors, by t with replicates − 1 degrees of freedom.

    >>> round(half_width(10), 3)
    2.262
    """
    return float(stats.t.ppf((1 + level) / 2, max(replicates - 1, 1)))
