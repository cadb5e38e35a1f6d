"""Images ranked by a unit's activity: mid-ranks, areas under ROC curves, and information about the class."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.special import xlogy

INFORMATION_GROUPS = 10

STEPS = 64
"""Weights of neighbouring places that are cumulated on their own, in all such parts and replicates at a time."""

PAIRS = 2**20
"""Images × replicates whose pairs are counted at a time, so that they stay in the cache, but `FEWEST` replicates."""

FEWEST = 8


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

    def weighted_areas(self, weights: np.ndarray, labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """The area under the ROC curve of each class against the rest, images counting as often as weights say.

        Args:
            weights: (R, N) whole numbers.
            labels: (N,).
            sizes: (R, K) weight of each class.

        Returns:
            (R, K), NaN for a class of weight zero, or that has all of it.
        """
        together = max(PAIRS // len(self.order), FEWEST)
        classes = sizes.shape[1]
        above = _Above(self.order, self._ends, labels, classes)
        wins = np.empty(sizes.shape)
        for first in range(0, len(weights), together):
            some = slice(first, first + together)
            wins[some] = above.doubled_wins(weights[some], sizes[some]) / 2
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
        labels: (N,).
        classes: K.
    """

    def __init__(self, order: np.ndarray, ends: np.ndarray, labels: np.ndarray, classes: int):
        lowest = ends[0] + 1
        images = len(order) - lowest
        self.parts = -(-images // STEPS)
        self._ends = ends[1:] - lowest
        filled = np.append(order[lowest:], np.zeros(self.parts * STEPS - images, dtype=np.int64))
        self._images = filled.reshape(self.parts, STEPS).T.ravel()
        self._filling = self._rows(np.arange(images, len(filled)))
        own = labels[order[lowest:]]
        by_class = np.argsort(own.astype(np.min_scalar_type(classes)), kind="stable")
        ends_of_classes = np.append(0, np.cumsum(np.bincount(own, minlength=classes)))
        content = (np.ones(images), self._rows(by_class), ends_of_classes)
        self._members = sparse.csr_array(content, shape=(classes, len(filled)))

    def doubled_wins(self, weights: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """(R, K) over the images of a class and all images below each, twice the product of their weights; once for
        an equal one and for itself.

        Args:
            weights: (R, N) whole numbers of at most 127: twice the sum of `STEPS` of them fits in 16 bits.
            sizes: (R, K) weight of each class, of all images.
        """
        own = weights.T.take(self._images, 0).astype(np.int16)
        own[self._filling] = 0
        own = own.reshape(STEPS, self.parts, len(weights))
        within = own.copy()
        for step in range(1, STEPS):
            within[step] += within[step - 1]
        whole = within[-1]
        lowest = sizes.sum(1) - whole.sum(0)
        before = np.cumsum(whole, 0, dtype=np.float64) - whole
        places, tied = self._tied(within, before)
        # an image of the lowest run has `lowest` below it; that times the weight of a class is added for all its images
        before = 2 * before + lowest
        pairs = np.empty(own.shape)
        for each, weight, product in zip(within, own, pairs, strict=True):
            each += each
            each -= weight
            np.multiply(each + before, weight, out=product)
        at = (places % STEPS, places // STEPS)
        pairs[at] = (tied + lowest) * own[at]
        return (self._members @ pairs.reshape(-1, len(weights))).T + lowest[:, None] * sizes

    def _tied(self, within: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places of images that have equals, and (places, R) twice the weight below each, its equals half."""
        lengths = np.diff(self._ends, prepend=-1)
        several = lengths > 1
        last, lengths = self._ends[several], lengths[several]
        first = last - lengths + 1
        upto = within[last % STEPS, last // STEPS] + before[last // STEPS]
        below = within[(first - 1) % STEPS, (first - 1) // STEPS] + before[(first - 1) // STEPS]
        below[first == 0] = 0
        places = np.arange(lengths.sum()) + np.repeat(first - np.cumsum(lengths) + lengths, lengths)
        return places, np.repeat(below + upto, lengths, 0)

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
    counts = np.bincount(labels * INFORMATION_GROUPS + groups, minlength=classes * INFORMATION_GROUPS)
    return counts.reshape(classes, INFORMATION_GROUPS)


def weighted_counts(labels: np.ndarray, groups: np.ndarray, classes: int, weights: np.ndarray) -> Iterator[np.ndarray]:
    """(K, G, some of R) images of each class and group, as often as (R, N) weights say."""
    cells = labels * INFORMATION_GROUPS + groups
    number = classes * INFORMATION_GROUPS
    by_cell = np.argsort(cells.astype(np.min_scalar_type(number)), kind="stable")
    ends = np.append(0, np.cumsum(np.bincount(cells, minlength=number)))
    members = sparse.csr_array((np.ones(len(cells), dtype=np.int32), by_cell, ends), shape=(number, len(cells)))
    together = max(PAIRS // len(cells), FEWEST)
    for first in range(0, len(weights), together):
        some = weights.T[:, first : first + together].astype(np.int32, order="C")
        yield (members @ some).reshape(classes, INFORMATION_GROUPS, -1)


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
