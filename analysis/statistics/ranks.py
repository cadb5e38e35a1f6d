"""Images ranked by a unit's activity: mid-ranks, areas under ROC curves, and information about the class."""

from functools import cached_property

import numpy as np
from scipy.special import xlogy

INFORMATION_GROUPS = 10


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
        ordered_labels = labels[self.order]
        wins = np.empty(sizes.shape)
        for row, own in enumerate(weights):
            ordered = own[self.order]
            below = np.cumsum(ordered, dtype=np.int64)[self._ends]
            pairs = self._middle(below) * ordered
            wins[row] = np.bincount(ordered_labels, weights=pairs, minlength=sizes.shape[1])
        return areas(wins - sizes**2 / 2, sizes, sizes.sum(1, keepdims=True))

    def _middle(self, cumulated: np.ndarray) -> np.ndarray:
        """Of each place, the middle of its run, given what is cumulated at each run's end."""
        middle = (cumulated + np.append(0, cumulated[:-1])) / 2
        return middle[self._run]


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


def joint_counts(labels: np.ndarray, groups: np.ndarray, classes: int, weights: np.ndarray | None = None) -> np.ndarray:
    """(K, G) images of each class and group, as often as weights say."""
    cells = labels * INFORMATION_GROUPS + groups
    counts = np.bincount(cells, weights=weights, minlength=classes * INFORMATION_GROUPS)
    return counts.reshape(classes, INFORMATION_GROUPS)


def information(joint: np.ndarray) -> float:
    """Mutual information of class and group in bits, the plug-in estimate (Shannon 1948), from (K, G) counts.

    >>> information(np.array([[2, 0], [0, 2]]))
    1.0
    """
    total = joint.sum()
    apart = _entropic(joint.sum(0)) + _entropic(joint.sum(1))
    nats = (_entropic(joint[joint > 0]) - apart + _entropic(total)) / total
    return max(float(nats / np.log(2)), 0.0)


def _entropic(counts: np.ndarray) -> float:
    return xlogy(counts, counts).sum()
