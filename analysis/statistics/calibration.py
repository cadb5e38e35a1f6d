"""Calibration of a run: the bias of its block means, and how often their intervals hold the truth, by simulation.

A block is simulated as it was measured: its classes and their images, and some of its units, each with its class
profile, freed of noise, the share of images on which it is active, and the variation of its activity there. The truth
of a simulated block is known, and with it what an estimate is wrong by. Units are also simulated twice and half as
noisy, for what was measured of them is not known exactly either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy

from ..randomness import hashes
from .activities import Activities
from .class_means import corrected_index, means_of, noise_by_class, noise_of_means, variance_over_classes
from .lazily import cached_property
from .resampling import ROWS, Resampling
from .samples import spread
from .sparseness import MOST, is_resolved, moments, sparseness
from .sums import class_sums

STATISTICS = ("sparseness", "corrected")
"""Whose means are calibrated."""

UNITS, REPEATS, REPLICATES = 32, 6, 20
"""Of a block, how many units are simulated, how often, and by how many bootstrap replicates their errors are told."""

SCALES = (1.0, 0.5, 2.0)
"""By what the images on which a unit is active, or the inverse variance of its activity, are multiplied."""

DENSE = 0.5
"""A unit that is active on a larger share of images is as active in every class, and more so in some."""

LEAST_COVER = 0.9
"""Nothing is said from an interval that holds the truth less often."""

_ROUNDS = 5
"""Enough for shares of active images to settle where some are cut off at 1."""


@dataclass(frozen=True)
class Calibration:
    """What simulation tells of the mean of a block's units.

    Args:
        bias: by `SCALES`, of the estimate; NaN where it is refused.
        ratio: the spread of estimates over their standard error over images.
    """

    bias: tuple[float, ...]
    ratio: float


def told(found: Mapping[str, Calibration], summary: Mapping[str, float], replicates: int) -> dict[str, float]:
    """Columns of `selectivity_blocks.csv`: of each statistic its bias at each of `SCALES`, error_ratio and cover.

    Args:
        found: of `calibrations`.
        summary: the block's `block_means`.
        replicates: of the bootstrap behind its standard errors.
    """
    row: dict[str, float] = {}
    for name in STATISTICS:
        own = found.get(name, Calibration((np.nan,) * len(SCALES), np.nan))
        row |= {f"{name}_{kind}": value for kind, value in zip(_BIASES, own.bias, strict=True)}
        held = cover(own, summary[f"mean_{name}_se"], replicates - 1)
        row |= {f"{name}_error_ratio": own.ratio, f"{name}_cover": held}
    return row


_BIASES = ("bias", "bias_half", "bias_twice")


def stored(block: Mapping, name: str) -> Calibration | None:
    """What `told` wrote of a block, NaN where simulation could not tell; None where nothing was calibrated.

    Args:
        block: a row of `selectivity_blocks.csv`.
    """
    if f"{name}_error_ratio" not in block:
        return None
    return Calibration(tuple(block[f"{name}_{kind}"] for kind in _BIASES), block[f"{name}_error_ratio"])


def combined(parts: Sequence[Calibration], weights: Sequence[float]) -> Calibration:
    """Of a weighted sum of block means: the weighted bias, and the ratio of errors that are about as large in each."""
    used = [(part, weight) for part, weight in zip(parts, weights, strict=True) if weight]
    scale = np.array([weight for _, weight in used])
    biases = np.array([part.bias for part, _ in used])
    ratios = np.array([part.ratio for part, _ in used])
    return Calibration(tuple(scale @ biases), float(np.sqrt((scale**2 @ ratios**2) / (scale**2).sum())))


def cover(calibration: Calibration, error: float, freedom: float, reach: float | None = None) -> float:
    """How often a 95 % interval holds the truth, at the worst of the scales that are known.

    The estimate is normal about truth + bias, and its standard error is estimated, too: by chi-squared.

    Args:
        error: the standard error of the estimate.
        freedom: its degrees of freedom; of a bootstrap, the replicates less one.
        reach: of the interval, in standard errors; by t with these degrees of freedom where not given.

    Returns:
        NaN where the bias or the error is not known.

    >>> round(cover(Calibration((0.0, 0.01, 0.0), 1.0), 0.01, 1000), 2)
    0.83
    """
    bias = np.array(calibration.bias)
    if np.isnan(bias[0]) or not error > 0 or not calibration.ratio > 0 or not freedom > 0:
        return np.nan
    reach = float(scipy.stats.t.ppf(0.975, freedom)) if reach is None else reach
    away = bias[~np.isnan(bias)] / (error * calibration.ratio)
    within = reach / calibration.ratio
    return float(
        min(scipy.stats.nct.cdf(within, freedom, each) - scipy.stats.nct.cdf(-within, freedom, each) for each in away)
    )


def calibrations(activity: Activities, resampling: Resampling, name: str) -> dict[str, Calibration]:
    """By statistic, what simulation tells of a block's mean.

    Args:
        activity: (N, U) mean activities, in memory or in a file.
        resampling: of the N images; of it the images, their labels and the seed count.
        name: of the block: by it units are chosen, and what is random is drawn.

    Returns:
        Of each of `STATISTICS`; nothing where no unit is alive, or a class has a single image.
    """
    if not resampling.has_errors:
        return {}
    parts = range(0, len(activity), ROWS)
    alive = np.flatnonzero(np.any([(activity[start : start + ROWS] > 0).any(0) for start in parts], 0))
    chosen = alive[np.argsort(hashes(resampling.seed, f"calibrated units {name}", alive), kind="stable")[:UNITS]]
    if not len(chosen):
        return {}
    drawn = [
        Resampling(resampling.labels, resampling.indices, resampling.classes, resampling.seed, 0, replicates)
        for replicates in (REPLICATES, 0)
    ]
    world = World.like(activity[:, np.sort(chosen)], drawn[1])
    biases: dict[str, list[float]] = {statistic: [] for statistic in STATISTICS}
    ratios: dict[str, float] = {}
    for place, scale in enumerate(SCALES):
        trials = []
        for repeat in range(REPEATS):
            seed = int(hashes(resampling.seed, f"calibration {name}", np.array([place]), repeat)[0])
            values = world.drawn(scale, resampling.labels, np.random.default_rng(seed))
            trials.append(_Trial(values, drawn[0 if place == 0 else 1], world))
        for statistic in STATISTICS:
            biases[statistic].append(_mean([trial.bias[statistic] for trial in trials]))
            if place == 0:
                ratios[statistic] = _ratio(trials, statistic)
    return {name: Calibration(tuple(biases[name]), ratios[name]) for name in STATISTICS}


def _ratio(trials: "Sequence[_Trial]", statistic: str) -> float:
    """How far estimates of a unit scatter over trials, over their standard errors; of the units that all have one."""
    errors = np.array([trial.errors[statistic] for trial in trials])
    spreads = np.array([trial.spreads[statistic] for trial in trials])
    known = ~np.isnan(errors).any(0) & ~np.isnan(spreads).any(0)
    if not known.any():
        return np.nan
    return float(np.sqrt(errors[:, known].var(0, ddof=1).mean() / (spreads[:, known] ** 2).mean()))


def _mean(trials: Sequence[np.ndarray]) -> float:
    """Over units and trials; NaN where many units are refused."""
    values = np.array(trials)
    known = ~np.isnan(values)
    return float(values[known].mean()) if known.mean() >= MOST else np.nan


@dataclass(frozen=True)
class World:
    """What u units are like.

    Args:
        profile: (K, u) true class means, relative to their mean over classes; 0 for classes without images.
        present: (K,) classes with images.
        active: (u,) share of images on which a unit is active.
        variation: (u,) squared coefficient of variation of its activity on the active images of a class.
    """

    profile: np.ndarray
    present: np.ndarray
    active: np.ndarray
    variation: np.ndarray

    @classmethod
    def like(cls, activity: np.ndarray, resampling: Resampling) -> "World":
        """As (N, u) activities are: class means shrunk as far as their noise says, the same variance within classes."""
        sums = class_sums(np.ascontiguousarray(activity, dtype=np.float32), resampling)
        present, totals = resampling.counts > 0, sums.halves.sum(0)
        means = means_of(totals, resampling.counts)[present]
        variance = variance_over_classes(means)
        noise = noise_of_means(totals, sums.squares, resampling.counts)
        share = np.divide(noise, variance, out=np.ones(len(noise)), where=variance > 0)
        average = means.mean(0)
        freed = np.sqrt(np.clip(1 - share, 0, 1)) * (means - average) / average
        profile = np.zeros((len(present), len(average)))
        profile[present] = np.maximum(1 + freed, 0)
        profile /= profile[present].mean(0)
        world = cls(profile, present, (activity > 0).mean(0), np.ones(len(average)))
        number = resampling.counts[present, None]
        by_class = noise_by_class(totals[present], sums.squares[present], resampling.counts[present])
        within = (by_class * number).mean(0) / average**2
        # of a class with mean p, active on a share r of its images: variance p² ((1 + v) / r − 1)
        squares, rates = profile[present] ** 2, world.rates(1.0)[present]
        spread = np.divide(squares, rates, out=np.zeros_like(rates), where=rates > 0).mean(0)
        return replace(world, variation=np.maximum((within + squares.mean(0)) / spread - 1, 0.001))

    @cached_property
    def truth(self) -> dict[str, np.ndarray]:
        """By statistic, (u,)."""
        return _statistics(self.profile, self.present.astype(int), np.zeros(len(self.active)))

    @property
    def dense(self) -> np.ndarray:
        return self.active > DENSE

    def rates(self, scale: float) -> np.ndarray:
        """(K, u) share of a class's images on which a unit is active.

        A seldom active unit is more often active in the classes that it prefers, and more active, alike.
        """
        wanted = np.where(self.dense, self.active, np.minimum(scale * self.active, 1))
        preferred = np.where(self.dense, self.profile > 0, np.sqrt(self.profile))
        rates = np.minimum(wanted * preferred, 1)
        for _ in range(_ROUNDS):  # what is cut off at 1 goes to the other classes
            rates = np.minimum(rates * wanted / np.maximum(rates[self.present].mean(0), 1e-12), 1)
        return rates

    def drawn(self, scale: float, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(N, u) float32 activities of images of these labels, gamma-distributed where a unit is active."""
        rates = self.rates(scale)
        heights = np.divide(self.profile, rates, out=np.zeros_like(rates), where=rates > 0)
        shape = 1 / np.where(self.dense, self.variation / scale, self.variation).astype(np.float32)
        values = rng.standard_gamma(shape, (len(labels), len(shape)), dtype=np.float32)
        values *= rng.random(values.shape, dtype=np.float32) < rates.astype(np.float32)[labels]
        values *= (heights / shape).astype(np.float32)[labels]
        return values


class _Trial:
    """What was estimated of simulated units, against the truth.

    Attributes:
        errors: by statistic, (u,) estimate − truth; NaN where it is refused.
        bias: by statistic, (u,) of the same mean as `errors`, and less noise.
        spreads: by statistic, (u,) standard errors over images, where there are replicates.
    """

    def __init__(self, values: np.ndarray, resampling: Resampling, world: World):
        sums, counts, present = class_sums(values, resampling), resampling.counts, world.present
        totals = sums.halves.sum(0)
        noise = noise_of_means(totals, sums.squares, counts)
        found = _statistics(totals, counts, noise)
        self.errors = {name: found[name] - world.truth[name] for name in STATISTICS}
        average = means_of(totals, counts)[present].mean(0)
        self.errors["sparseness"][~is_resolved(average, noise, int(present.sum()))] = np.nan
        # A and Q have no bias: what they err by to first order is noise alone
        above, below = moments(means_of(totals, counts), noise, present)
        true_above, true_below = moments(world.profile, np.zeros(len(noise)), present)
        first = (true_above / true_below * (below - true_below) - (above - true_above)) / true_below
        self.bias = self.errors | {"sparseness": self.errors["sparseness"] - first / (1 - 1 / present.sum())}
        again = [
            _statistics(each.sum(0), weights.sum(0), 2 * noise)
            for each, weights in zip(sums.each_replicate(), resampling.replicate_weights, strict=True)
        ]
        draws = {name: [each[name] for each in again] for name in STATISTICS}
        self.spreads = {name: spread(np.array(each).reshape(-1, len(noise))) for name, each in draws.items()}


def _statistics(sums: np.ndarray, counts: np.ndarray, noise: np.ndarray) -> dict[str, np.ndarray]:
    present = counts > 0
    means = means_of(sums, counts)
    return {"sparseness": sparseness(means, noise, present)[0], "corrected": corrected_index(means, noise, present)[0]}
