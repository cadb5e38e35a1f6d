"""Sparseness of class means, with the noise of the means taken out: how few of the classes a unit responds to."""

import numpy as np
import pandas as pd

RESOLVED = 0.03
"""A unit's S is refused where the squared error of Q, relative to A, is beyond this: S errs by about as much."""


def sparseness(
    means: np.ndarray, noise: np.ndarray, present: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """S = (1 − A / Q) / (1 − 1 / K) and K_eff = K · A / Q, from class-conditional means.

    Q is the mean of the squared class means, A the square of their mean, each less what noise adds to it. S is 0 for a
    unit whose class means are all equal and 1 for one that knows a single class; K_eff is how many of the K classes it
    responds to. The sparseness is that of Treves and Rolls (Network, 1991), scaled as by Vinje and Gallant (Science,
    2000); the noise is taken out of both parts by this project.

    Unlike the selectivity index it has no maximum in it, which noise would push up: over many units S errs by some
    thousandths where the index errs by tenths (`studies/sparseness.py`). What is left is the bias of a ratio, which
    grows as active images get fewer: see `is_resolved`.

    Args:
        means: (K, U) class-conditional mean activities, not negative.
        noise: (U,) variance of a class mean by the sampling of images (`noise_of_means`); twice that for the means of
            a bootstrap replicate, whose images are drawn from drawn images.
        present: (K,) bool, classes with images; others are left out.

    Returns:
        S and K_eff, each (U,). S of a unit that knows no class lies below 0 as often as above. NaN for a dead unit, and
        where the noise is NaN or as large as the means.

    >>> means = np.array([[3.0, 1.0], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    >>> sparseness(means, np.zeros(2))
    (array([0.8, 0. ]), array([1.6, 4. ]))
    """
    classes = len(means) if present is None else int(present.sum())
    return sparseness_of(*moments(means, noise, present), classes)


def sparseness_of(above: np.ndarray, below: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """`sparseness` from A and Q, each (U,), of so many classes."""
    share = np.divide(above, below, out=np.full(len(below), np.nan), where=(below > 0) & (above > 0))
    return (1 - share) / (1 - 1 / classes), classes * share


def moments(means: np.ndarray, noise: np.ndarray, present: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A and Q of `sparseness`, each (U,): both without bias."""
    kept = means if present is None or present.all() else means[present]
    return kept.mean(0) ** 2 - noise / len(kept), np.square(kept).mean(0) - noise


def is_resolved(average: np.ndarray, noise: np.ndarray, classes: int) -> np.ndarray:
    """Whether a unit's class means are known well enough for S: bool (U,).

    With c = noise / average², the squared error of Q relative to A is about (4 c + 2 c²) / K if the noise is Gaussian.
    Half-normal activities reach `RESOLVED` with 10 classes at c = 0.07, with 100 at 0.6, with 1000 at 3: where a unit
    is active on about 20 images a class, 3 images, and one image for every second class.

    Args:
        average: (U,) the mean over classes of the class means.
        noise: (U,) as of `sparseness`.
        classes: K, with images.

    >>> is_resolved(np.array([1.0, 1.0, 0.0]), np.array([0.05, 0.1, 0.0]), 10)
    array([ True, False, False])
    """
    relative = np.divide(noise, average**2, out=np.full(len(average), np.nan), where=average > 0)
    return (4 * relative + 2 * relative**2) / classes <= RESOLVED


MOST = 0.9
"""Of a block's living units, what must be resolved for the block to have a mean."""


def mean_resolved(values: np.ndarray, alive: np.ndarray) -> float:
    """The mean over the resolved ones of a block's living units, NaN where many are not: it would be of other units.

    Args:
        values: (U,), NaN where a unit is not resolved.
        alive: (U,) bool.
    """
    resolved = ~np.isnan(values) & alive
    if not resolved.any() or resolved.sum() < MOST * alive.sum():
        return np.nan
    return float(values[resolved].mean())


def mean_sparseness(units: pd.DataFrame, column: str = "sparseness") -> float:
    """`mean_resolved` of a column of `selectivity.csv`; NaN without it, as older runs are."""
    if column not in units:
        return np.nan
    return mean_resolved(units[column].to_numpy(dtype=float), units["csi"].notna().to_numpy())
