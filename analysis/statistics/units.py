"""Some units of a layer with all that indices are computed from, each of it made once and only when asked for."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .class_means import (
    ClassMeans,
    contrast,
    corrected_contrast,
    crossfitted_index_of,
    means_of,
    noise_of_means,
)
from .lazily import cached_property
from .ranks import Ranking
from .resampling import Resampling
from .sparseness import is_resolved, sparseness_of
from .sums import ClassSums, class_sums
from .top_images import PRECISION_IMAGES, strongest, tie_breakers

_COPIED = 16
"""Units whose activities are copied at a time: as many as lie in a line of the cache."""

_TILE = 128
"""Images whose activities are transposed at a time: all at once leave the cache, and take several times as long."""

OfSums = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(u,) of (K, u) class sums and (K,) images of each class."""


class Units:
    """Activities of u units and what follows from them under a resampling.

    Args:
        activity: (N, u) float32, not negative.
        resampling: of the N images.
        of_sums: what `under_drawings` will be asked for, of which it is found as `samples` are.
    """

    def __init__(self, activity: np.ndarray, resampling: Resampling, of_sums: Sequence[OfSums] = ()):
        self.activity = activity
        self.resampling = resampling
        self._of_sums = of_sums

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
    def permuted_noise(self) -> np.ndarray:
        """(u,) variance of a class mean where labels are permuted: each class is a sample of all images."""
        drawn = self.resampling
        total, squares = self.sums.halves.sum(0).sum(0), self.sums.squares.sum(0)
        variance = np.maximum(squares - total**2 / drawn.images, 0) / max(drawn.images - 1, 1)
        return variance * (1 / drawn.counts[drawn.counts > 0]).mean()

    @cached_property
    def unresolved(self) -> np.ndarray:
        """(u,) bool: of which nothing is said about sparseness."""
        present = self.resampling.counts > 0
        return ~is_resolved(self.means[present].mean(0), self.noise, int(present.sum()))

    @property
    def samples(self) -> dict[str, np.ndarray]:
        """Of each replicate the index (csi), `crossfit`, `corrected` and `sparseness`; of each permutation `null` and
        `sparseness_null`; of each half of the images the index, `halves`.
        """
        return self._drawn[0]

    def under_drawings(self, of_sums: OfSums) -> tuple[np.ndarray, np.ndarray]:
        """What follows from class sums alone, (P, u) under each permutation and (R, u) under each replicate."""
        known = self if of_sums in self._of_sums else Units(self.activity, self.resampling, [of_sums])
        return known._drawn[1][of_sums]

    @cached_property
    def _drawn(self) -> tuple[dict[str, np.ndarray], dict[OfSums, tuple[np.ndarray, np.ndarray]]]:
        """`samples` and `under_drawings`: the sums of each drawing are made once."""
        drawn = self.resampling
        of_replicates = ("csi", "crossfit", "corrected", "sparseness")
        result: dict[str, list[np.ndarray]] = {name: [] for name in of_replicates}
        result |= {"null": [], "sparseness_null": [], "halves": []}
        null: dict[OfSums, list[np.ndarray]] = {each: [] for each in self._of_sums}
        replicates: dict[OfSums, list[np.ndarray]] = {each: [] for each in self._of_sums}
        for sums, weights in zip(self.sums.each_replicate(), drawn.replicate_weights, strict=True):
            for each, found in replicates.items():
                found.append(each(sums.sum(0), weights.sum(0)))
            for name, values in zip(of_replicates, self._replicate(sums, weights), strict=True):
                result[name].append(values)
        for sums in self.sums.each_null():
            for each, found in null.items():
                found.append(each(sums, drawn.counts))
            known = ClassMeans(sums, drawn.counts)
            result["null"].append(self._index_of(known) if drawn.has_null else np.full(self.number, np.nan))
            result["sparseness_null"].append(self._sparseness_of(known, self.permuted_noise))
        for sums, counts in zip(self.sums.halves, drawn.half_counts, strict=True):
            result["halves"].append(self._index_of(ClassMeans(sums, counts)))
        others = {each: (self._rows(null[each]), self._rows(replicates[each])) for each in self._of_sums}
        return {name: self._rows(values) for name, values in result.items()}, others

    def _rows(self, values: list[np.ndarray]) -> np.ndarray:
        return np.array(values).reshape(-1, self.number)

    def _sparseness_of(self, known: ClassMeans, noise: np.ndarray) -> np.ndarray:
        above, below = known.average**2 - noise / known.classes, known.squares - noise
        return np.where(self.unresolved, np.nan, sparseness_of(above, below, known.classes)[0])

    def _index_of(self, known: ClassMeans) -> np.ndarray:
        return contrast(known.maximum, known.rest) if known.classes > 1 else np.full(self.number, np.nan)

    def _replicate(self, sums: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, ...]:
        """Of one bootstrap replicate index, cross-fitted and corrected index, and sparseness; a class of weight zero is
        left out.
        """
        known = ClassMeans(sums[0] + sums[1], weights.sum(0))
        if known.classes < 2 or not self.resampling.has_errors:
            nothing = np.full(self.number, np.nan)
            return nothing, nothing, nothing, nothing
        # the images of a replicate are drawn from images that were drawn: their noise is in its means twice
        noise = 2 * self.noise
        corrected, _ = corrected_contrast(known, noise)
        crossfitted = crossfitted_index_of(sums, weights)
        return self._index_of(known), crossfitted, corrected, self._sparseness_of(known, noise)

    def columns(self) -> Iterator[np.ndarray]:
        """(N,) activities of each unit, side by side."""
        for start in range(0, self.number, _COPIED):
            yield from _transposed(self.activity[:, start : start + _COPIED])

    @cached_property
    def rankings(self) -> list[Ranking]:
        return [Ranking(column) for column in self.columns()]

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
        return [strongest(column, ties, 2 * PRECISION_IMAGES + 40) for column in self.columns()]


def _transposed(values: np.ndarray) -> np.ndarray:
    result = np.empty(values.shape[::-1], values.dtype)
    for start in range(0, len(values), _TILE):
        result[:, start : start + _TILE] = values[start : start + _TILE].T
    return result
