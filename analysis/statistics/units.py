"""Some units of a layer with all that indices are computed from, each of it made once and only when asked for."""

from functools import cached_property

import numpy as np

from .class_means import (
    contrast,
    corrected_contrast,
    crossfitted_index,
    index_alone,
    means_of,
    noise_of_means,
    variance_over_classes,
)
from .ranks import Ranking
from .resampling import Resampling
from .sums import ClassSums, class_sums
from .top_images import PRECISION_IMAGES, strongest, tie_breakers


class Units:
    """Activities of u units and what follows from them under a resampling.

    Args:
        activity: (N, u) float32, not negative.
        resampling: of the N images.
    """

    def __init__(self, activity: np.ndarray, resampling: Resampling):
        self.activity = activity
        self.resampling = resampling

    @property
    def number(self) -> int:
        return self.activity.shape[1]

    @cached_property
    def active(self) -> np.ndarray:
        """(u,) images on which a unit is active."""
        return (self.activity > 0).sum(0)

    @cached_property
    def sums(self) -> ClassSums:
        return class_sums(self.activity, self.resampling)

    @cached_property
    def means(self) -> np.ndarray:
        """(K, u) class-conditional means, 0 for classes without images."""
        return means_of(self.sums.halves.sum(0), self.resampling.counts)

    @cached_property
    def noise(self) -> np.ndarray:
        """(u,) variance of a class mean by the sampling of images."""
        return noise_of_means(self.sums.halves.sum(0), self.sums.squares, self.resampling.counts)

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """The index (csi), `crossfit` and `corrected` of each replicate, `null` of each permutation, `halves`."""
        drawn = self.resampling
        result: dict[str, list[np.ndarray]] = {"csi": [], "crossfit": [], "null": [], "halves": [], "corrected": []}
        for sums, weights in zip(self.sums.replicates, drawn.replicate_weights, strict=True):
            csi, crossfit, corrected = self._replicate(sums, weights)
            result["csi"].append(csi)
            result["crossfit"].append(crossfit)
            result["corrected"].append(corrected)
        for sums in self.sums.null:
            result["null"].append(self._index_of(sums, drawn.counts if drawn.has_null else 0 * drawn.counts))
        for sums, counts in zip(self.sums.halves, drawn.half_counts, strict=True):
            result["halves"].append(self._index_of(sums, counts))
        return {name: np.array(values).reshape(-1, self.number) for name, values in result.items()}

    def _index_of(self, sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
        if (counts > 0).sum() < 2:
            return np.full(self.number, np.nan)
        return index_alone(means_of(sums, counts), counts > 0)

    def _replicate(self, sums: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Index, cross-fitted and corrected index of one bootstrap replicate; a class of weight zero is left out."""
        total = weights.sum(0)
        present = total > 0
        if present.sum() < 2 or not self.resampling.has_errors:
            nothing = np.full(self.number, np.nan)
            return nothing, nothing, nothing
        kept = sums.sum(0)[present] / total[present, None]
        maximum = kept.max(0)
        rest = (kept.sum(0) - maximum) / (len(kept) - 1)
        # the images of a replicate are drawn from images that were drawn: their noise is in its means twice
        corrected, _ = corrected_contrast(maximum, rest, variance_over_classes(kept), 2 * self.noise, len(kept))
        return contrast(maximum, rest), crossfitted_index(means_of(sums, weights), weights > 0), corrected

    @cached_property
    def rankings(self) -> list[Ranking]:
        return [Ranking(column) for column in self.activity.T]

    @cached_property
    def mid_ranks(self) -> np.ndarray:
        """(N, u)."""
        return np.stack([ranking.mid_ranks() for ranking in self.rankings], 1)

    @cached_property
    def tops(self) -> list[np.ndarray]:
        """Of each unit the rows of the images that drive it most, as many as any index may look at.

        In a replicate an image may be missing: so that some are left to take its place, twice as many and some more.
        """
        drawn = self.resampling
        ties = tie_breakers(drawn.seed, drawn.indices)
        return [strongest(column, ties, 2 * PRECISION_IMAGES + 40) for column in self.activity.T]
