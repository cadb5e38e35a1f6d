"""Images ranked by a unit's activity: mid-ranks, areas under ROC curves, and information about the class."""

import numpy as np
from scipy import sparse
from scipy.special import xlogy

from .lazily import cached_property

INFORMATION_GROUPS = 10

STEPS = 64
"""Neighbouring places whose weights are cumulated one by one, in all such parts and replicates at a time."""


class Ranking:
    """The images in the order of one unit's activity; equally active images form one run.

    Args:
        activity: (N,) float32, not negative.

    >>> Ranking(np.array([5.0, 0.0, 0.0, 7.0])).mid_ranks()
    array([3. , 1.5, 1.5, 4. ])
    """

    def __init__(self, activity: np.ndarray):
        self.order = _order(activity)
        ordered = activity[self.order]
        self._ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # the last place of each run

    @cached_property
    def _run(self) -> np.ndarray:
        """Of each place, the number of its run."""
        return np.repeat(np.arange(len(self._ends)), np.diff(self._ends, prepend=-1))

    def mid_ranks(self) -> np.ndarray:
        """(N,) ranks from 1, equals sharing their mean: `scipy.stats.rankdata`."""
        result = np.empty(len(self.order))
        result[self.order] = self._middle(self._ends + 1) + 0.5
        return result

    @cached_property
    def _above(self) -> "_Above":
        return _Above(self.order, self._ends)

    def weighted_areas(self, weights: np.ndarray, labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """The area under the ROC curve of each class against the rest, images counting as often as weights say.

        Args:
            weights: (R, N) whole numbers; fastest where those of an image lie side by side.
            labels: (N,).
            sizes: (R, K) weight of each class.

        Returns:
            (R, K), NaN for a class of weight zero, or that has all of it.
        """
        wins = self._above.doubled_wins(weights, labels, sizes) / 2
        return areas(wins - sizes**2 / 2, sizes, sizes.sum(1, keepdims=True))

    def _middle(self, cumulated: np.ndarray) -> np.ndarray:
        """Of each place, the middle of its run, given what is cumulated at each run's end."""
        middle = (cumulated + np.append(0, cumulated[:-1])) / 2
        return middle[self._run]


class _Above:
    """The images above the lowest run of equals, such as those on which a unit is silent.

    Their places are cut into parts of `STEPS`. Arrays have the first place of every part, then the second, and so on,
    so that weights are cumulated over places in all parts and replicates at a time.

    Args:
        order: (N,) images, the lowest first.
        ends: the last place of each run of equals.
    """

    def __init__(self, order: np.ndarray, ends: np.ndarray):
        lowest = ends[0] + 1
        images = len(order) - lowest
        self.parts = -(-images // STEPS)
        filled = np.append(order[lowest:], np.zeros(self.parts * STEPS - images, dtype=np.int64))
        self._images = filled.reshape(self.parts, STEPS).T.ravel()
        self._filling = self._rows(np.arange(images, len(filled)))
        lengths = np.diff(ends)
        self._tied_runs = lengths[lengths > 1]
        self._tied = self._rows(np.flatnonzero(np.repeat(lengths > 1, lengths)))

    def doubled_wins(self, weights: np.ndarray, labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """(R, K) over the images of a class and all images below each, twice the product of their weights; once for
        an equal one and for itself.

        All that is added up are whole numbers, to which float64 is exact, or float32 where they are small enough.

        Args:
            weights: (R, N) whole numbers.
            labels: (N,).
            sizes: (R, K) weight of each class, of all images.
        """
        most = 2 * sizes.max(initial=0) * sizes.sum(1).max(initial=0)
        kind = np.float32 if most < 2**24 else np.float64
        pairs = weights.T.take(self._images, 0).astype(kind)
        pairs[self._filling] = 0
        tied = self._ties(pairs[self._tied])
        steps = pairs.reshape(STEPS, self.parts, len(weights))
        whole = steps.sum(0)
        lowest = sizes.sum(1) - whole.sum(0)
        # an image of the lowest run has `lowest` below it; that times the weight of a class is added for all its images
        below = (2 * (np.cumsum(whole, 0) - whole) + lowest).astype(kind)
        upto = np.empty_like(below)
        for weight in steps:
            np.add(below, weight, out=upto)
            np.add(upto, weight, out=below)
            np.multiply(weight, upto, out=weight)
        pairs[self._tied] += tied
        own = labels[self._images].astype(np.int32)
        content = (np.ones(len(own), dtype=kind), own, np.arange(len(own) + 1, dtype=np.int32))
        members = sparse.csc_array(content, shape=(sizes.shape[1], len(own)))
        return (members @ pairs).T + lowest[:, None] * sizes

    def _ties(self, weights: np.ndarray) -> np.ndarray:
        """(n, R) by how much twice the weight below each of n equals differs from that without equals, times its own.

        It would be that of those before it in its run twice, and itself; it is that of the run.
        """
        if not len(weights):
            return weights
        first = np.cumsum(self._tied_runs) - self._tied_runs
        run = np.add.reduceat(weights, first)
        upto = np.cumsum(weights, 0)
        before = upto[first] - weights[first]
        within = 2 * (upto - np.repeat(before, self._tied_runs, 0)) - weights
        return weights * (np.repeat(run, self._tied_runs, 0) - within)

    def _rows(self, places: np.ndarray) -> np.ndarray:
        """Where arrays have some places."""
        return places % STEPS * self.parts + places // STEPS


def _order(activity: np.ndarray) -> np.ndarray:
    """Sorted as whole numbers with the image's below the activity's bits, which are in the order of its value: that
    is four times as fast as `argsort`."""
    bits = (activity.astype(np.float32) + np.float32(0)).view(np.uint32).astype(np.uint64)  # + 0: there is a −0
    keys = (bits << np.uint64(32)) | np.arange(len(activity), dtype=np.uint64)
    return (np.sort(keys) & np.uint64(2**32 - 1)).astype(np.int64)


def areas(wins: np.ndarray, sizes: np.ndarray, images: np.ndarray | float) -> np.ndarray:
    """The area under the ROC curve of each class against the rest, activity being the score.

    The area is the chance that an image of the class is more active than one of the others, ties counted half (Hanley
    and McNeil, Radiology 1982): Mann and Whitney's U over the number of pairs.

    Args:
        wins: U of each class: the sum of its mid-ranks less n (n + 1) / 2; any shape.
        sizes: images of each class, shaped to fit.
        images: of all classes, shaped to fit.

    Returns:
        like `wins`, NaN for a class without images and where all images are of one.
    """
    pairs = sizes * (images - sizes)
    return np.divide(wins, pairs, out=np.full(wins.shape, np.nan), where=np.broadcast_to(pairs > 0, wins.shape))


def quantile_groups(mid_ranks: np.ndarray, groups: int = INFORMATION_GROUPS) -> np.ndarray:
    """Groups of images as equal in size as ties allow: that in which the middle of an image's run of equals lies.

    Equally active images stay together: which group an image is in is to be a function of its activity, since only
    then the groups cannot tell more about the class than the activity does.

    Args:
        mid_ranks: (N,) or (N, u), from 1.

    >>> quantile_groups(np.array([1.5, 1.5, 3.0, 4.0]), groups=2)
    array([0, 0, 1, 1])
    """
    return np.floor((mid_ranks - 0.5) * (groups / len(mid_ranks))).astype(np.int64)


def joint_counts(labels: np.ndarray, groups: np.ndarray, classes: int) -> np.ndarray:
    """(K, G) images of each class and group."""
    return counts_of_cells(labels * INFORMATION_GROUPS + groups, classes)


def counts_of_cells(cells: np.ndarray, classes: int) -> np.ndarray:
    """`joint_counts` of cells, each a class times the number of groups and a group."""
    return np.bincount(cells, minlength=classes * INFORMATION_GROUPS).reshape(classes, INFORMATION_GROUPS)


def cells_by_image(labels: np.ndarray, groups: np.ndarray, classes: int) -> sparse.csr_array:
    """(K · G, N) int32: in which cell, of a class and a group, each image is."""
    cells = labels * INFORMATION_GROUPS + groups
    number = classes * INFORMATION_GROUPS
    by_cell = np.argsort(cells.astype(np.min_scalar_type(number)), kind="stable").astype(np.int32)
    ends = np.append(0, np.cumsum(np.bincount(cells, minlength=number))).astype(np.int32)
    return sparse.csr_array((np.ones(len(cells), dtype=np.int32), by_cell, ends), shape=(number, len(cells)))


def entropic(images: int) -> np.ndarray:
    """n · ln n of every count of images."""
    counts = np.arange(images + 1)
    return xlogy(counts, counts)


def information(joint: np.ndarray) -> float:
    """Mutual information of class and group in bits, the plug-in estimate (Shannon 1948), from (K, G) counts.

    >>> information(np.array([[2, 0], [0, 2]]))
    1.0
    """
    terms = entropic(joint.sum())
    apart = terms[joint.sum(0)].sum() + terms[joint.sum(1)].sum()
    return float(bits(terms[joint].sum(), apart, joint.sum(), terms))


def bits(joint: np.ndarray, apart: np.ndarray, images: np.ndarray | int, terms: np.ndarray) -> np.ndarray:
    """`information` from sums of n · ln n.

    Args:
        joint: over classes and groups.
        apart: over classes, and over groups.
        images: of all of them.
        terms: `entropic`.
    """
    return np.maximum((joint - apart + terms[images]) / images / np.log(2), 0.0)
