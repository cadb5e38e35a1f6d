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
        ones: (n,).
    """

    images: slice
    order: np.ndarray
    ends: np.ndarray
    columns: np.ndarray
    ones: np.ndarray


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
        kept = self.of_replicates if 12 * np.count_nonzero(self.weights) <= KEPT_BYTES else ()
        self._kept = {
            (drawing, part): self._by_class(drawing, self.parts[part])
            for drawing in kept
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

    def membership(self, drawing: int, part: int) -> sparse.csr_array | sparse.csc_array:
        """The rows of one drawing in `memberships`, and a column for each image of a part.

        Columns are in the order of the images under a permutation; else in the part's own order, by class.
        """
        if drawing in self.of_permutations:
            own = self.parts[part]
            labels = self.null_labels[drawing - 1][own.images].astype(np.int32)
            return sparse.csc_array((own.ones, labels, own.columns), shape=(self.classes, len(labels)))
        kept = self._kept.get((drawing, part))
        return self._by_class(drawing, self.parts[part]) if kept is None else kept

    def _by_class(self, drawing: int, part: Part) -> sparse.csr_array:
        """Of the halves or of a replicate."""
        shape = (2 * self.classes, len(part.order))
        if drawing not in self.of_replicates:
            return sparse.csr_array((part.ones, part.columns[:-1], part.ends), shape=shape)
        weights = self.weights[drawing - self.of_replicates.start][part.images][part.order]
        drawn = weights != 0
        columns = np.flatnonzero(drawn).astype(np.int32)
        ends = np.append(0, np.cumsum(drawn, dtype=np.int32))[part.ends]
        return sparse.csr_array((weights[columns].astype(np.float64), columns, ends), shape=shape)

    def _part(self, start: int, stop: int) -> Part:
        cells, number = self._cells[start:stop], stop - start
        order = np.argsort(cells, kind="stable").astype(np.int32)
        ends = np.append(0, np.cumsum(np.bincount(cells.astype(np.int64), minlength=2 * self.classes)))
        columns = np.arange(number + 1, dtype=np.int32)
        return Part(slice(start, stop), order, ends.astype(np.int32), columns, np.ones(number))

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
