"""What gates do: how their values spread over channels, classes and images, and whether they follow activity."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy
from scipy import sparse

from ..randomness import hashes
from .lazily import cached_property
from .significance import mcnemar, proportion_interval

BINS = 50
"""Of the distribution of values, between 0 and 1."""

PARTS = 20
"""Of the images, each left out once."""

_STRIP = 64
"""Channels whose sums are taken at a time."""

SHARES = ("channel", "class", "image")
"""What a gate's values vary with: which channel it is, the image's class, and the image within its class."""


@dataclass(frozen=True)
class Moments:
    """Means and variances of gate values of u channels by class.

    Args:
        means: (K, u) of each class with images.
        variances: (K, u) within each class, with n − 1.
        counts: (K,) images, or weights, of each.
    """

    means: np.ndarray
    variances: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, sums: np.ndarray, squares: np.ndarray, counts: np.ndarray, offset: np.ndarray) -> "Moments":
        """From (K, u) sums of values less (u,) `offset`, and of their squares; classes of fewer than two images are
        left out."""
        kept = counts > 1
        number = counts[kept, None].astype(float)
        means = sums[kept] / number
        variances = np.maximum(squares[kept] / number - means**2, 0) * number / (number - 1)
        return cls(means + offset, variances, counts[kept])

    @property
    def noise(self) -> np.ndarray:
        """(u,) the variance of a class mean by the sampling of images, averaged over classes."""
        return (self.variances / self.counts[:, None]).mean(0)

    def components(self) -> np.ndarray:
        """(3,) the variances of values over channels, over classes and over images within classes, free of noise.

        Every class weighs the same, and so does every channel. The class means of a sample vary more than the classes
        do, by the variance within classes over the images of each, which is taken off; likewise the channels' means.
        NaN where no class has two images.
        """
        classes, channels = self.means.shape
        if not classes:
            return np.full(3, np.nan)
        of_classes = self.means.var(0) - self.noise * (classes - 1) / classes
        of_channels = self.means.mean(0).var() - (self.noise / classes).mean() * (channels - 1) / channels
        return np.array([of_channels, of_classes.mean(), self.variances.mean()])

    def of_channels(self) -> tuple[np.ndarray, np.ndarray]:
        """(u,), (u,) each channel's variance over classes, not below 0, and over images within classes."""
        classes, channels = self.means.shape
        if not classes:
            return np.full(channels, np.nan), np.full(channels, np.nan)
        return np.maximum(self.means.var(0) - self.noise * (classes - 1) / classes, 0), self.variances.mean(0)


def shares(components: np.ndarray) -> dict[str, float]:
    """Of the sum of `components`, by name; `input` is what depends on the image at all, class and image together.

    A component that is below 0 after noise is taken off counts as 0.

    >>> shares(np.array([6.0, 1.0, 3.0]))
    {'channel': 0.6, 'class': 0.1, 'image': 0.3, 'input': 0.4}
    """
    kept = np.maximum(components, 0)
    total = kept.sum()
    of_total = kept / total if total > 0 else np.full(len(kept), np.nan)
    return dict(zip(SHARES, of_total.tolist(), strict=True)) | {"input": float(of_total[1:].sum())}


class GateValues:
    """Gate values of a block and their sums by class, in twenty parts of the images that errors are computed from.

    Args:
        gates: (N, u) float32.
        labels: (N,) classes of the images.
        indices: (N,) numbers of the images in their data set, by whose hash each class is parted.
    """

    def __init__(self, gates: np.ndarray, labels: np.ndarray, indices: np.ndarray, seed: int = 0):
        self.gates, self.labels = gates, labels
        _, members = np.unique(labels, return_inverse=True)
        classes = int(members.max()) + 1
        part = _parts(seed, members, indices)
        cells = part * classes + members
        membership = sparse.csr_array(
            (np.ones(len(cells)), (cells, np.arange(len(cells)))), shape=(PARTS * classes, len(cells))
        )
        # less each channel's mean, so that small variances keep their digits
        self.offset = gates.mean(0, dtype=float)
        shape = (PARTS, classes, gates.shape[1])
        self.counts = np.bincount(cells, minlength=PARTS * classes).reshape(PARTS, classes)
        self.sums, self.squares = np.empty(shape), np.empty(shape)
        for start in range(0, gates.shape[1], _STRIP):
            strip = slice(start, start + _STRIP)
            centred = gates[:, strip] - self.offset[strip]
            self.sums[..., strip] = (membership @ centred).reshape(PARTS, classes, -1)
            self.squares[..., strip] = (membership @ np.square(centred)).reshape(PARTS, classes, -1)

    @cached_property
    def moments(self) -> Moments:
        """Of all images."""
        return Moments.of(self.sums.sum(0), self.squares.sum(0), self.counts.sum(0), self.offset)

    def variance(self) -> dict[str, float]:
        """How the values vary: `share_channel`, `_class`, `_image` and `_input`, each with its `_se`.

        Standard errors over images are a jackknife's, which leaves out a twentieth of each class at a time: in a
        bootstrap replicate the sampling of images counts twice, which is as much as a small share itself. By simulation
        they are 0.9 to 1.2 of the spread with 40 images a class; that of the classes' share up to 1.6 with 12.
        `variance` is the whole. A gate that is a constant of its channel has an input share of 0: it could be folded
        into a weight.
        """
        whole = self.moments.components()
        without = [shares(self._without(part).components()) for part in range(PARTS)]
        found = {"variance": float(whole.sum())}
        for name, share in shares(whole).items():
            found[f"share_{name}"] = share
            found[f"share_{name}_se"] = jackknife_error(np.array([each[name] for each in without]))
        return found

    def _without(self, part: int) -> Moments:
        """Of all images but those of one part."""
        sums, squares, counts = (each.sum(0) - each[part] for each in (self.sums, self.squares, self.counts))
        return Moments.of(sums, squares, counts, self.offset)

    def profile_reliability(self) -> float:
        """Whether class profiles are the same ones in two halves of the images: their correlation, stepped up.

        A class's profile is the mean gate of each channel on its images, less that on all classes. The correlation of
        the two halves' profiles over classes and channels is stepped up to all images by Spearman and Brown's formula:
        what a second data set of this size would agree by. NaN with fewer than two classes of two images.
        """
        halves = [(self.sums[at::2].sum(0), self.counts[at::2].sum(0)) for at in (0, 1)]
        both = (halves[0][1] > 0) & (halves[1][1] > 0)
        if both.sum() < 2:
            return float("nan")
        profiles = []
        for sums, number in halves:
            means = sums[both] / number[both, None]
            profiles.append((means - means.mean(0)).ravel())
        if min(profile.std() for profile in profiles) == 0:
            return float("nan")
        correlation = float(np.corrcoef(*profiles)[0, 1])
        return 2 * correlation / (1 + correlation) if correlation > -1 else float("nan")

    def units(self, activity: np.ndarray | None = None) -> pd.DataFrame:
        """A row for each channel: unit, mean, sd, minimum, maximum of its gate over images; class_share, that of its
        variance over images which is between classes, free of noise; rank_correlation and rank_correlation_within
        with its activity, where that is given.
        """
        between, within = self.moments.of_channels()
        total = between + within
        table = pd.DataFrame(
            {
                "unit": np.arange(self.gates.shape[1]),
                "mean": self.offset,
                "sd": self.gates.std(0, dtype=float),
                "minimum": self.gates.min(0),
                "maximum": self.gates.max(0),
                "class_share": np.divide(between, total, out=np.full(len(total), np.nan), where=total > 0),
            }
        )
        if activity is not None and activity.shape == self.gates.shape:
            whole, within_classes = rank_correlations(self.gates, activity, self.labels)
            table = table.assign(rank_correlation=whole, rank_correlation_within=within_classes)
        return table


def jackknife_error(without: np.ndarray) -> float:
    """The standard error of an estimate from what it is with each part of the images left out (Tukey 1958)."""
    return float(np.sqrt((len(without) - 1) * without.var()))


def _parts(seed: int, members: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Which of `PARTS` parts each image is in: within a class in turn, in the order of the images' hashes."""
    order = np.lexsort((hashes(seed, "part", indices), members))
    sizes = np.bincount(members)
    rank = np.arange(len(members)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # a small class begins at a part of its own, so that parts are of equal size
    first = (hashes(seed, "first part", np.arange(len(sizes))) % np.uint64(PARTS)).astype(np.int64)
    parts = np.empty(len(members), dtype=np.int64)
    parts[order] = (rank + np.repeat(first, sizes)) % PARTS
    return parts


def rank_correlations(gates: np.ndarray, activity: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(u,) Spearman's correlation over images of each channel's gate and activity; the same within classes.

    Within classes both are ranked among all images and less their class's mean rank, so that a class that has both high
    does not make them go together. NaN where one of the two is constant.

    Args:
        gates, activity: (N, u).
        labels: (N,).
    """
    ranked = [scipy.stats.rankdata(values, axis=0) for values in (gates, activity)]
    within = [_less_class_means(values, labels) for values in ranked]
    return _correlation(*(values - values.mean(0) for values in ranked)), _correlation(*within)


def _less_class_means(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    _, members = np.unique(labels, return_inverse=True)
    sums = np.zeros((members.max() + 1, values.shape[1]))
    np.add.at(sums, members, values)
    return values - (sums / np.bincount(members)[:, None])[members]


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of columns whose means are 0."""
    scale = np.sqrt((first**2).sum(0) * (second**2).sum(0))
    return np.divide((first * second).sum(0), scale, out=np.full(first.shape[1], np.nan), where=scale > 1e-9)


def static_points(right: np.ndarray, points: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Accuracy with gates replaced, each against the intact network on the same images.

    Args:
        right: (N, points) bool; the first point is the intact network.
        points: (block, gate) of each.

    Returns:
        block, gate, images, top1, top1_low, top1_high (Wilson 95 %), difference (to the intact network),
        difference_low, difference_high (95 %, of the mean of each image's difference), p (McNemar's exact test). Errors
        are over images.
    """
    rows, images = [], len(right)
    for at, (block, gate) in enumerate(points):
        low, high = proportion_interval(int(right[:, at].sum()), images)
        measured = {"images": images, "top1": right[:, at].mean(), "top1_low": low, "top1_high": high}
        change = right[:, at].astype(int) - right[:, 0]
        reach = 1.96 * change.std(ddof=1) / np.sqrt(images) if images > 1 else np.nan
        measured |= {"difference": change.mean(), "difference_low": change.mean() - reach}
        measured |= {"difference_high": change.mean() + reach}
        measured["p"] = mcnemar(right[:, 0], right[:, at]).p
        rows.append({"block": block, "gate": gate} | measured)
    return pd.DataFrame(rows)


def gate_histogram(gates: np.ndarray) -> pd.DataFrame:
    """low, high, share: how many of all values of a block's gates lie in each bin between 0 and 1."""
    edges = np.linspace(0, 1, BINS + 1)
    counts = np.histogram(np.clip(gates, 0, 1), edges)[0]
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "share": counts / gates.size})


def gate_profiles(gates: np.ndarray, labels: np.ndarray, units: np.ndarray, classes: np.ndarray) -> pd.DataFrame:
    """unit, class (−1 for all images), mean, sd, images: the gates of some channels on the images of some classes."""
    return pd.concat(_profiles(gates[:, units], labels, units, classes), ignore_index=True)


def _profiles(chosen: np.ndarray, labels: np.ndarray, units: np.ndarray, classes: np.ndarray) -> Iterator[pd.DataFrame]:
    for label in (-1, *classes.tolist()):
        rows = chosen if label < 0 else chosen[labels == label]
        if len(rows):
            told = {"unit": units, "class": label, "mean": rows.mean(0, dtype=float), "sd": rows.std(0, dtype=float)}
            yield pd.DataFrame(told | {"images": len(rows)})
