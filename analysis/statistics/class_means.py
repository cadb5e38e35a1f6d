"""Class selectivity from class-conditional means: the index, its cross-fitted and its corrected form."""

from collections.abc import Sequence

import numpy as np

from .lazily import cached_property


class ClassMeans:
    """Means of the classes that have images, of u units, and what indices are made of, each of it made once.

    Args:
        sums: (K, u) of activities by class, 0 for classes without images.
        weights: (K,) images of each class, or what they weigh.

    Attributes:
        means: (K, u), 0 for classes without images: that changes no sum and no maximum.
        classes: with images.
    """

    def __init__(self, sums: np.ndarray, weights: np.ndarray):
        self._absent = np.flatnonzero(weights == 0)
        self.classes = len(weights) - len(self._absent)
        self.means = _quotients(sums, weights)

    @cached_property
    def maximum(self) -> np.ndarray:
        """(u,)."""
        return self.means.max(0)

    @cached_property
    def total(self) -> np.ndarray:
        """(u,) sum of the means."""
        return self.means.sum(0)

    @property
    def average(self) -> np.ndarray:
        """(u,) mean of the means."""
        return self.total / self.classes

    @property
    def rest(self) -> np.ndarray:
        """(u,) mean of the means of all classes but the preferred one."""
        return (self.total - self.maximum) / (self.classes - 1)

    @cached_property
    def squares(self) -> np.ndarray:
        """(u,) mean of the squared means."""
        return np.square(self.means).sum(0) / self.classes

    @cached_property
    def variance(self) -> np.ndarray:
        """(u,) of the means over classes (K − 1)."""
        away = self.means - self.average
        away[self._absent] = 0
        return np.einsum("ku,ku->u", away, away) / (self.classes - 1)


def selectivity_index(means: np.ndarray, present: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """The index from class-conditional means: (μ_max − μ_rest) / (μ_max + μ_rest), equation 1 of Morcos et al.

    μ_rest is the unweighted mean of the other classes' means (Morcos et al., ICLR 2018).

    Args:
        means: (K, U) class-conditional mean activities, not negative.
        present: (K,) bool, classes with images; others are left out.

    Returns:
        index, μ_max, μ_rest, and the preferred class (the lowest of equals), each (U,). A dead unit has index NaN
        and preferred class −1.

    >>> index, *_ = selectivity_index(np.array([[3.0, 0.0], [1.0, 0.0], [1.0, 0.0]]))
    >>> index
    array([0.5, nan])
    """
    kept, classes = _kept(means, present)
    maximum, rest = _highest_and_rest(kept)
    return contrast(maximum, rest), maximum, rest, np.where(maximum > 0, classes[kept.argmax(0)], -1)


def crossfitted_index_of(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`crossfitted_index` from (2, K, U) sums and (2, K) weights of two halves."""
    both = (weights > 0).all(0)
    means = [_quotients(each, np.where(both, weight, 0)) for each, weight in zip(sums, weights, strict=True)]
    return _crossfitted(means, int(both.sum()))


def index_alone(means: np.ndarray, present: np.ndarray) -> np.ndarray:
    """`selectivity_index` without the preferred class, which takes as long to find as the rest."""
    return contrast(*_highest_and_rest(_kept(means, present)[0]))


def crossfitted_index(means: np.ndarray, present: np.ndarray | None = None) -> np.ndarray:
    """The cross-fitted index from the class-conditional means of two halves of the images.

    The preferred class is chosen on one half; its mean and the rest's are taken from the other; the two directions'
    means are averaged, then the ratio is taken. It errs low where the index errs high, and far too much so for units
    that are seldom active.

    Args:
        means: (2, K, U) means of each half.
        present: (2, K) bool, classes with images; only classes present in both halves are used.

    Returns:
        (U,), NaN for dead units and where fewer than two classes are in both halves.
    """
    kept = means if present is None or present.all() else means[:, present.all(0)]
    return _crossfitted([kept[0], kept[1]], kept.shape[1])


def _crossfitted(means: Sequence[np.ndarray], classes: int) -> np.ndarray:
    """`crossfitted_index` of each half's (K, U) means, of so many classes; those of the others are 0 in both."""
    first, second = means
    units = first.shape[1]
    if classes < 2:
        return np.full(units, np.nan)
    totals = [each.sum(0) for each in means]
    preferred = np.zeros(units)
    rest = np.zeros(units)
    for chosen, measured, total in ((first, second, totals[1]), (second, first, totals[0])):
        # of equally preferred classes (all of them, where a unit is silent in this half) the mean, not the first:
        # else the index would hang on how classes are numbered
        highest = chosen.max(0)
        at = _set_places((chosen == np.where(highest > 0, highest, np.nan)).ravel())
        found = np.bincount(at % units, measured.ravel()[at], units)
        number = np.bincount(at % units, minlength=units)
        value = np.where(highest > 0, found, total) / np.where(highest > 0, number, classes)
        preferred += value / 2
        rest += (total - value) / (classes - 1) / 2
    return contrast(preferred, rest)


def _set_places(flags: np.ndarray) -> np.ndarray:
    """`np.flatnonzero` of (n,) bool of which few are set, looked for eight at a time."""
    whole = len(flags) - len(flags) % 8
    words = np.flatnonzero(flags[:whole].view(np.uint64))
    near = np.append((8 * words[:, None] + np.arange(8)).ravel(), np.arange(whole, len(flags)))
    return near[flags[near]]


def corrected_index(
    means: np.ndarray, noise: np.ndarray, present: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The index of class means that are shrunk towards their mean by √B, and their reliability B.

    B = max(0, 1 − noise / variance of the class means over classes): the share of their variance that is not noise.
    What remains of the means varies over classes as much as the true means do, so neither the maximum nor the rest
    is inflated by noise. An empirical Bayes estimate that keeps the second moment (Louis, JASA 1984; here for the
    index: this project's). Where one class of very many stands out from a flat background it errs low; where the noise
    of a class mean grows with the mean, as that of sparse activities does, a hundredth or two high
    (`studies/selectivity_bias.py`).

    Args:
        means: (K, U) class-conditional mean activities.
        noise: (U,) variance of a class mean by the sampling of images, averaged over classes (`noise_of_means`); twice
            that for the means of a bootstrap replicate, whose images are drawn from drawn images.
        present: (K,) bool, classes with images; others are left out.

    Returns:
        index and reliability, each (U,): NaN for a dead unit and where the noise is; a unit whose class means are all
        equal has reliability and index 0.

    >>> means = np.array([[4.0], [2.0], [0.0]])  # of variance 4
    >>> corrected_index(means, np.array([3.0]))  # B = 1/4: means of 3, 2 and 1
    (array([0.33333333]), array([0.25]))
    """
    kept, _ = _kept(means, present)
    return corrected_contrast(ClassMeans(kept, np.ones(len(kept))), noise)


def corrected_contrast(known: ClassMeans, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`corrected_index` of class means."""
    maximum, rest, variance = known.maximum, known.rest, known.variance
    share = np.divide(noise, variance, out=np.where(np.isnan(noise), np.nan, 1.0), where=variance > 0)
    reliability = np.where(maximum > 0, np.maximum(1 - share, 0), np.nan)
    grand_mean = (maximum + (known.classes - 1) * rest) / known.classes
    high = grand_mean + np.sqrt(reliability) * (maximum - grand_mean)
    low = grand_mean + np.sqrt(reliability) * (rest - grand_mean)
    return contrast(high, low), reliability


def noise_of_means(sums: np.ndarray, squares: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The variance of a class mean by the sampling of its images, s²_k / n_k, averaged over classes with images.

    A class of a single image, which has no variance of its own, is given that of all classes pooled.

    Args:
        sums: (K, U) of activities by class.
        squares: (K, U) of squared activities.
        counts: (K,) images of each class.

    Returns:
        (U,), NaN where no class has two images.

    >>> noise_of_means(np.array([[2.0], [4.0]]), np.array([[4.0], [8.0]]), np.array([2, 2]))  # 0, 2 and 2, 2
    array([0.5])
    """
    present = counts > 0
    number = counts[present, None]
    if number.max(initial=0) < 2:
        return np.full(sums.shape[1], np.nan)
    return noise_by_class(sums[present], squares[present], counts[present]).mean(0)


def noise_by_class(sums: np.ndarray, squares: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(K, U) of what `noise_of_means` averages; every class has images, and one of them has two."""
    number = counts[:, None]
    scatter = np.maximum(squares - sums**2 / number, 0)
    pooled = scatter.sum(0) / (number - 1).sum()
    own = np.divide(scatter, number - 1, out=np.broadcast_to(pooled, scatter.shape).copy(), where=number > 1)
    return own / number


def means_of(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(…, K, U) sums by (…, K) counts or weights; classes without images get 0 and are to be left out by `present`."""
    counts = counts[..., None]
    if (counts > 0).all():
        return sums / counts
    return np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)


def _quotients(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(K, U) sums by (K,) weights, 0 where a class has none."""
    return sums / np.where(weights > 0, weights, np.inf)[:, None]


def variance_over_classes(means: np.ndarray) -> np.ndarray:
    """(U,) variance (K − 1) of (K, U) class means."""
    away = means - means.mean(0)
    return np.einsum("ku,ku->u", away, away) / (len(means) - 1)


def contrast(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """(high − low) / (high + low), NaN where both are 0."""
    total = high + low
    return np.divide(high - low, total, out=np.full(total.shape, np.nan), where=total > 0)


def _kept(means: np.ndarray, present: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The rows of classes with images, and which they are."""
    if present is None or present.all():
        return means, np.arange(len(means))
    classes = np.flatnonzero(present)
    return means[classes], classes


def _highest_and_rest(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    maximum = means.max(0)
    return maximum, (means.sum(0) - maximum) / (len(means) - 1)
