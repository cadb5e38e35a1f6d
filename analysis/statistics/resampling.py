"""What indices are computed under: halves of the images, permuted labels, bootstrap weights, as one sparse matrix."""

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from ..randomness import permuted_labels, poisson_weights, stratified_halves

PERMUTATIONS = 100
REPLICATES = 100

ROWS = 65_536
"""Images whose activities are summed at a time; sums of the same images are equal to the bit while it is the same."""

KEPT_BYTES = 2**29
"""Memberships of all images are kept in memory if they take less, else made again for every block of units."""


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
        for number in range(permutations):
            self.null_labels[number] = permuted_labels(seed, self.labels, self.indices, 1, number)[0]
        self.weights = np.empty((self.images, replicates), dtype=np.int8).T  # an image's weights lie side by side
        for number in range(replicates):
            self.weights[number] = poisson_weights(seed, self.indices, 1, number)[0]
        self.half_counts = self._cell_sums(None)
        self.counts = self.half_counts.sum(0)
        sums = [self._cell_sums(weights) for weights in self.weights]
        self.replicate_weights = np.array(sums).reshape(replicates, 2, classes)
        self._kept_chunks = self._all_chunks()

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
        return self._memberships(0, self.images, self.drawings)

    def chunks(self, drawings: range) -> Iterator[tuple[slice, sparse.csr_array]]:
        """The rows of some drawings, in fixed parts of the images: which images they are, and the part."""
        for start in range(0, self.images, ROWS):
            stop = min(start + ROWS, self.images)
            kept = self._kept_chunks.get(start)
            part = self._memberships(start, stop, drawings) if kept is None else _some_rows(kept, self.rows(drawings))
            yield slice(start, stop), part

    def _all_chunks(self) -> dict[int, sparse.csr_array]:
        """By their first image; none where they would take too much memory."""
        entries = self.images * (1 + self.permutations) + np.count_nonzero(self.weights)
        if 12 * entries > KEPT_BYTES:  # a float64 and an int32 for each
            return {}
        starts = range(0, self.images, ROWS)
        return {start: self._memberships(start, min(start + ROWS, self.images), self.drawings) for start in starts}

    def _cell_sums(self, weights: np.ndarray | None) -> np.ndarray:
        """(2, K) images of each half and class, as often as weights say."""
        sums = np.bincount(self._cells.astype(np.int64), weights=weights, minlength=2 * self.classes)
        return sums.reshape(2, self.classes)

    def _memberships(self, start: int, stop: int, drawings: range) -> sparse.csr_array:
        parts = [self._sorted(drawing, slice(start, stop)) for drawing in drawings]
        columns, values, counts = (np.concatenate(each) for each in zip(*parts, strict=True))
        ends = np.concatenate([[0], np.cumsum(counts)])
        if ends[-1] < 2**31:  # else scipy would widen the columns to eight bytes as well
            ends = ends.astype(np.int32)
        return sparse.csr_array((values, columns, ends), shape=(len(counts), stop - start))

    def _sorted(self, drawing: int, images: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Some images by the cells of a drawing, as of `_sorted_by`."""
        cells, everyone = self._cells[images], np.ones(images.stop - images.start, dtype=np.int8)
        if drawing in self.of_permutations:
            return _sorted_by(self.null_labels[drawing - 1][images], everyone, self.classes)
        if drawing in self.of_replicates:
            return _sorted_by(cells, self.weights[drawing - self.of_replicates.start][images], 2 * self.classes)
        return _sorted_by(cells, everyone, 2 * self.classes)


def _some_rows(matrix: sparse.csr_array, rows: slice) -> sparse.csr_array:
    """Without copying what they hold."""
    first, last = matrix.indptr[rows.start], matrix.indptr[rows.stop]
    ends = matrix.indptr[rows.start : rows.stop + 1] - first
    content = (matrix.data[first:last], matrix.indices[first:last], ends)
    return sparse.csr_array(content, shape=(len(ends) - 1, matrix.shape[1]))


def _sorted_by(cells: np.ndarray, weights: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of some weight, cell by cell and in their order within one; their weights; how many each cell has."""
    some = np.flatnonzero(weights)
    order = some[np.argsort(cells[some], kind="stable")]
    counts = np.bincount(cells[some].astype(np.int64), minlength=rows)
    return order.astype(np.int32), weights[order].astype(np.float64), counts


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
