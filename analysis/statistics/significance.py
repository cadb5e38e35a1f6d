"""Shares of images that are right: their interval, the test of two of them, and the correction of many tests."""

from typing import NamedTuple

import numpy as np
import scipy


def proportion_interval(right: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share.

    >>> [round(end, 3) for end in proportion_interval(177, 200)]
    [0.833, 0.922]
    """
    interval = scipy.stats.binomtest(right, of).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


class Change(NamedTuple):
    """Images right before only, images right after only, and McNemar's p that one is as likely as the other."""

    lost: int
    gained: int
    p: float


def mcnemar(before: np.ndarray, after: np.ndarray) -> Change:
    """McNemar's exact test, two-sided, on the images that are right in one of two conditions only.

    Args:
        before, after: (images,) bool.

    >>> mcnemar(np.array([True, True, True, False]), np.array([False, False, True, False]))
    Change(lost=2, gained=0, p=0.5)
    """
    lost, gained = int((before & ~after).sum()), int((~before & after).sum())
    return Change(lost, gained, float(scipy.stats.binomtest(lost, lost + gained).pvalue) if lost + gained else 1.0)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down correction of p-values (Scandinavian Journal of Statistics, 1979).

    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1)
    return corrected
