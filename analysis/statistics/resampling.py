"""What indices are computed under: halves of the images, permuted labels, bootstrap weights, as sparse matrices."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ..processes import cores
from ..randomness import permuted_labels, poisson_weights, stratified_halves

PERMUTATIONS = 100
REPLICATES = 100

ROWS = 65_536
"""Images whose activities are summed at a time; sums of the same images are equal to the bit while it is the same."""

KEPT_BYTES = 2**28
"""Bootstrap weights by class are kept in memory if they take less, else made again for every block of units."""

PAIRS = 2**20
"""Images × replicates that an index of ranks counts at a time, to stay in the cache; but `FEWEST` replicates."""

FEWEST = 8

REPLICATES_TOGETHER = 4
"""Replicates whose sums are made in one product: of a class one after the other, while its images are in the cache."""

PERMUTATIONS_TOGETHER = 2
"""Permutations whose sums are made in one product: each image is read once for both."""

FEW_CLASSES = 1024
"""With more, the sums of several drawings leave the cache: each has a product of its own."""

_DRAWN = 4
"""Permutations or replicates that are drawn at a time."""


@dataclass(frozen=True)
class Part:
    """Some of the images, whose sums are made at a time.

    Args:
        images: their rows.
        order: (n,) of these rows, class by class of each half, in their order within one.
        ends: (2 K + 1,) where the classes of each half begin and end in that order.
        columns: (n + 1,) numbers from 0.
    """

    images: slice
    order: np.ndarray
    ends: np.ndarray
    columns: np.ndarray


class Resampling:
    """The halves, permutations and bootstrap replicates of a set of images, drawn by hash from each image's index.

    Args:
        labels: (N,) classes of the images, in the order of the activities' rows. An image that could not be read is
            simply not among them: the others are permuted and split without it.
        indices: (N,) numbers of the images in their data set, each once.
        classes: K.
        seed: of all that is drawn.
        permutations: P, of all labels.
        replicates: R, of the Poisson(1) bootstrap over images.

    Attributes:
        counts: (K,) images of each class.
        half_counts: (2, K) images of each class in each half.
        weights: (R, N) int8 bootstrap weights.
        null_labels: (P, N) permuted labels, of a type as small as K allows.
        replicate_weights: (R, 2, K) weight of each class in each half.
        permutations_together, replicates_together: drawings whose sums are made in one product.

    `memberships` has a row for each class of each half, then for each permutation and its classes, then for each
    replicate, half and class; a column for each image.

    Raises:
        ValueError: a label outside 0 … K − 1, arguments of unlike lengths, no image, or a negative count.

    >>> drawn = Resampling(np.array([0, 1, 1, 0]), np.arange(4), classes=2, permutations=1, replicates=0)
    >>> drawn.memberships.sum(1).reshape(3, 2).tolist()  # half 0, half 1, the permutation
    [[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]]
    """

    def __init__(
        self,
        labels: np.ndarray,
        indices: np.ndarray,
        classes: int,
        seed: int = 0,
        permutations: int = PERMUTATIONS,
        replicates: int = REPLICATES,
    ):
        labels, indices = np.asarray(labels), np.asarray(indices)
        _check(labels, indices, classes)
        for name, value in (("permutations", permutations), ("replicates", replicates)):
            if value < 0:
                raise ValueError(f"Expected argument `{name}` to be at least 0, but got {value}")
        self.classes = classes
        self.seed = seed
        self.permutations = permutations
        self.replicates = replicates
        self.labels = labels.astype(np.int64)
        self.indices = indices.astype(np.int64)
        self.halves = stratified_halves(seed, labels, indices).astype(np.int8)
        small = np.min_scalar_type(-2 * classes)  # what has two bytes is sorted by radix
        self._cells = (self.halves.astype(np.int64) * classes + self.labels).astype(small)
        self.null_labels = np.empty((permutations, self.images), dtype=small)
        self.weights = np.empty((replicates, self.images), dtype=np.int8)
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(self._permute, range(0, permutations, _DRAWN)))
            list(pool.map(self._weigh, range(0, replicates, _DRAWN)))
        self.half_counts = self._cell_sums(None)
        self.counts = self.half_counts.sum(0)
        sums = [self._cell_sums(weights) for weights in self.weights]
        self.replicate_weights = np.array(sums).reshape(replicates, 2, classes)
        self.parts = [self._part(start, min(start + ROWS, self.images)) for start in range(0, self.images, ROWS)]
        keeps = 12 * np.count_nonzero(self.weights) <= KEPT_BYTES
        few = classes <= FEW_CLASSES
        self.permutations_together = _cut(self.of_permutations, PERMUTATIONS_TOGETHER if few else 1)
        self.replicates_together = _cut(self.of_replicates, REPLICATES_TOGETHER if few and keeps else 1)
        self._kept = {
            (drawings, part): self._by_class(drawings, self.parts[part])
            for drawings in (self.replicates_together if keeps else ())
            for part in range(len(self.parts))
        }

    @property
    def images(self) -> int:
        return len(self.labels)

    @property
    def drawings(self) -> range:
        """Numbers of all drawings: 0 the halves, then the permutations, then the replicates."""
        return range(1 + self.permutations + self.replicates)

    @property
    def of_halves(self) -> range:
        return self.drawings[:1]

    @property
    def of_permutations(self) -> range:
        return self.drawings[1 : 1 + self.permutations]

    @property
    def of_replicates(self) -> range:
        return self.drawings[1 + self.permutations :]

    def rows(self, drawings: range) -> slice:
        """Of `memberships`, of some drawings in turn."""
        return slice(self._first_row(drawings.start), self._first_row(drawings.stop))

    def _first_row(self, drawing: int) -> int:
        halved = min(drawing, 1) + max(drawing - 1 - self.permutations, 0)
        return (drawing + halved) * self.classes

    @property
    def has_null(self) -> bool:
        """Whether permuting can change an index: not where no class has two images."""
        return bool(self.counts.max() > 1)

    @property
    def has_errors(self) -> bool:
        """Whether a bootstrap can tell the error of every class mean: not where a class has a single image."""
        return not (self.counts == 1).any()

    @property
    def memberships(self) -> sparse.csr_array:
        """(rows, N): how often each image counts in each class of each drawing."""
        cells = np.concatenate([self._cells, self.null_labels.ravel(), np.tile(self._cells, self.replicates)])
        once = np.ones((1 + self.permutations) * self.images)
        first = [self._first_row(drawing) for drawing in self.drawings]
        rows = np.repeat(first, self.images) + cells
        columns = np.tile(np.arange(self.images), len(self.drawings))
        content = (np.concatenate([once, self.weights.ravel()]), (rows, columns))
        return sparse.coo_array(content, shape=(self._first_row(len(self.drawings)), self.images)).tocsr()

    def some_replicates(self) -> Iterator[slice]:
        """All replicates, as many at a time as an index of ranks has in the cache."""
        together = max(PAIRS // self.images, FEWEST)
        for first in range(0, self.replicates, together):
            yield slice(first, min(first + together, self.replicates))

    def membership(self, drawings: range, part: int) -> sparse.csr_array | sparse.csc_array:
        """The rows of some drawings in `memberships`, and a column for each image of a part.

        Of the halves, of some permutations, or of some replicates, whose rows lie otherwise: (half, class, replicate).
        Columns are in the order of the images under a permutation; else in the part's own order, by class.
        """
        own = self.parts[part]
        if drawings[0] in self.of_permutations:
            number = len(drawings)
            labels = self.null_labels[drawings[0] - 1 : drawings[-1], own.images]
            rows = np.stack([each.astype(np.int32) + place * self.classes for place, each in enumerate(labels)], 1)
            content = np.ones(rows.size), rows.ravel(), own.columns * number
            return sparse.csc_array(content, shape=(number * self.classes, len(rows)))
        if drawings[0] not in self.of_replicates:
            shape = (2 * self.classes, len(own.order))
            return sparse.csr_array((np.ones(len(own.order)), own.columns[:-1], own.ends), shape=shape)
        kept = self._kept.get((drawings, part))
        return self._by_class(drawings, own) if kept is None else kept

    def _by_class(self, drawings: range, part: Part) -> sparse.csr_array:
        """Of some replicates."""
        each = [self._of_replicate(drawing, part) for drawing in drawings]
        if len(each) == 1:
            return each[0]
        rows = np.arange(2 * self.classes * len(each)).reshape(len(each), -1)
        return sparse.vstack(each, format="csr")[rows.T.ravel()]

    def _of_replicate(self, drawing: int, part: Part) -> sparse.csr_array:
        weights = self.weights[drawing - self.of_replicates.start][part.images][part.order]
        drawn = weights != 0
        columns = np.flatnonzero(drawn).astype(np.int32)
        ends = np.append(np.int32(0), np.cumsum(drawn, dtype=np.int32))[part.ends]
        shape = (2 * self.classes, len(part.order))
        return sparse.csr_array((weights[columns].astype(np.float64), columns, ends), shape=shape)

    def _part(self, start: int, stop: int) -> Part:
        cells, number = self._cells[start:stop], stop - start
        order = np.argsort(cells, kind="stable").astype(np.int32)
        ends = np.append(0, np.cumsum(np.bincount(cells.astype(np.int64), minlength=2 * self.classes)))
        columns = np.arange(number + 1, dtype=np.int32)
        return Part(slice(start, stop), order, ends.astype(np.int32), columns)

    def _permute(self, first: int) -> None:
        """Draw some permutations."""
        some = self.null_labels[first : first + _DRAWN]
        some[:] = permuted_labels(self.seed, self.labels.astype(some.dtype), self.indices, len(some), first)

    def _weigh(self, first: int) -> None:
        """Draw the weights of some replicates."""
        some = self.weights[first : first + _DRAWN]
        some[:] = poisson_weights(self.seed, self.indices, len(some), first)

    def _cell_sums(self, weights: np.ndarray | None) -> np.ndarray:
        """(2, K) images of each half and class, as often as weights say."""
        sums = np.bincount(self._cells.astype(np.int64), weights=weights, minlength=2 * self.classes)
        return sums.reshape(2, self.classes)


def _cut(drawings: range, number: int) -> list[range]:
    return [drawings[first : first + number] for first in range(0, len(drawings), number)]


def _check(labels: np.ndarray, indices: np.ndarray, classes: int) -> None:
    if labels.ndim != 1 or labels.shape != indices.shape:
        raise ValueError(
            f"Expected arguments `labels` and `indices` to be (images,) alike, but got {labels.shape} and "
            f"{indices.shape}"
        )
    if not len(labels):
        raise ValueError("Expected argument `labels` to have at least one image, but got none")
    strange = (labels < 0) | (labels >= classes)
    if strange.any():
        row = int(strange.argmax())
        raise ValueError(
            f"{int(strange.sum())} labels are outside 0 … {classes - 1}: the first is {labels[row]}, of row {row}"
        )
