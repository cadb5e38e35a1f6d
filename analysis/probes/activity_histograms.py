"""Streamed histograms of units' activities by class: what areas under curves and information are computed from."""

from collections.abc import Sequence

import numpy as np
import torch

from analysis.probes.metric import SavedMetric

LOWEST, OCTAVES = -20, 32
"""Bins are equal in the logarithm of activity, from 2⁻²⁰ to 2¹², after one for silence."""
FEWEST_STEPS, MOST_STEPS, CELLS = 4, 32, 2**27
"""Bins to an octave: as many as keep the counts below so many (0.5 GB), within these."""
INFORMATION_GROUPS = 10
_UNITS_AT_ONCE = 32


def steps_for(classes: int, units: int) -> int:
    """Bins to an octave, a power of two.

    >>> steps_for(10, 128), steps_for(1000, 1024)
    (32, 4)
    """
    affordable = max(CELLS // (classes * units * OCTAVES), 1)
    return min(max(2 ** (affordable.bit_length() - 1), FEWEST_STEPS), MOST_STEPS)


def bins_of(activity: torch.Tensor, steps: int) -> torch.Tensor:
    """The bin of each activity: 0 for none, else by its logarithm; what lies outside goes to the first and last.

    >>> bins_of(torch.tensor([0.0, 1e-9, 1.0, 1.2, 1e9]), 4).tolist()
    [0, 1, 81, 82, 128]
    """
    place = ((activity.float().log2() - LOWEST) * steps).floor().clamp(0, OCTAVES * steps - 1).long() + 1
    return torch.where(activity > 0, place, 0)


class ActivityHistograms(SavedMetric):
    """Counts of images by class, unit and bin of activity: (K, U, B) int32, 0.4 GB for 1000 classes and 1024 units.

    Args:
        classes: K.
        units: U.

    `update(features, labels)` takes (N, U) mean activities and (N,) labels; `compute()` gives the counts.
    """

    def __init__(self, classes: int, units: int):
        super().__init__()
        self.classes, self.units, self.steps = classes, units, steps_for(classes, units)
        self.bins = OCTAVES * self.steps + 1
        zero = torch.zeros((), dtype=torch.int32).expand(classes, units, self.bins)
        self.add_state("counts", zero, dist_reduce_fx="sum", persistent=True)
        self._defaults["counts"] = zero
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.counts = self.counts.contiguous()

    def update(self, features: torch.Tensor, labels: torch.Tensor) -> None:
        device = self.counts.device
        labels = labels.to(device, non_blocking=True).clamp(0, self.classes - 1)
        cells = labels[:, None] * self.units + torch.arange(self.units, device=device)
        cells = (cells * self.bins + bins_of(features.to(device), self.steps)).flatten()
        self.counts.view(-1).index_add_(0, cells, torch.ones_like(cells, dtype=torch.int32))  # whole numbers: exact

    def compute(self) -> np.ndarray:
        return self.counts.cpu().numpy()


def best_area(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The greatest area under the ROC curve of one class against the rest, activity being the score.

    The area is the chance that an image of the class is more active than one of the others, ties counted half (Hanley
    and McNeil, 1982). Images of one bin are ties here.

    Args:
        counts: (K, U, B) images by class, unit and bin.

    Returns:
        area, the class that has it (the lowest of equals), and the most that the greatest area of the activities
        themselves, whosever it is, can be away from it, each (U,).

    >>> area, best, resolution = best_area(np.array([[[0, 0, 2]], [[1, 1, 0]]]))  # class 0 is always the more active
    >>> area.tolist(), best.tolist(), resolution.tolist()
    ([1.0], [0], [0.0])
    """
    areas, classes, resolutions = (np.empty(counts.shape[1]) for _ in range(3))
    for start in range(0, counts.shape[1], _UNITS_AT_ONCE):
        mine = counts[:, start : start + _UNITS_AT_ONCE].astype(np.float64)
        others = mine.sum(0) - mine
        pairs = mine.sum(2) * others.sum(2)
        below = np.cumsum(others, 2) - others
        with np.errstate(invalid="ignore"):  # a class without images has no area
            area = (mine * (below + others / 2)).sum(2) / pairs
            tied = (mine * others)[..., 1:].sum(2) / pairs / 2  # silent images are truly equal
        best = np.nanargmax(area, 0)
        at = (best, np.arange(mine.shape[1]))
        chosen = slice(start, start + mine.shape[1])
        areas[chosen], classes[chosen] = area[at], best
        resolutions[chosen] = np.maximum(np.nanmax(area + tied, 0) - area[at], tied[at])
    return areas, classes.astype(np.int64), resolutions


def information(counts: np.ndarray) -> np.ndarray:
    """Mutual information of class and activity in bits, (U,): the plug-in estimate over ten groups of activity.

    A unit's bins are joined to groups of images as equal in size as they allow, whatever the images' classes.

    Args:
        counts: (K, U, B) images by class, unit and bin.

    >>> information(np.array([[[0, 0, 2]], [[1, 1, 0]]])).tolist()
    [1.0]
    """
    result = np.empty(counts.shape[1])
    for unit in range(counts.shape[1]):
        mine = counts[:, unit].astype(np.float64)
        pooled = mine.sum(0)
        middle = (np.cumsum(pooled) - pooled / 2) / pooled.sum()
        groups = np.minimum((middle * INFORMATION_GROUPS).astype(int), INFORMATION_GROUPS - 1)
        joint = np.zeros((len(mine), INFORMATION_GROUPS))
        np.add.at(joint.T, groups, mine.T)
        joint /= joint.sum()
        apart = joint.sum(1, keepdims=True) * joint.sum(0)
        some = joint > 0
        result[unit] = (joint[some] * np.log2(joint[some] / apart[some])).sum()
    return result.clip(min=0)


def share_outside(counts: np.ndarray) -> np.ndarray:
    """The share of each unit's active images whose activity lies beyond the bins, or in the outermost two, (U,)."""
    pooled = counts.sum(0)
    active = pooled[:, 1:].sum(1)
    return np.divide(pooled[:, 1] + pooled[:, -1], active, out=np.zeros(len(active)), where=active > 0)


def shuffled(counts: np.ndarray, seed: int | Sequence[int]) -> np.ndarray:
    """Histograms as they would be if labels were given to the images by chance: the same images of every class.

    Which images are which does not matter, only how many each class and each bin has, so the histograms are enough.
    Each unit has a permutation of its own, so that the noise of few permutations averages out over units.

    Args:
        counts: (K, U, B) images by class, unit and bin.
    """
    classes, units, bins = counts.shape
    sizes = counts[:, 0].sum(1)
    rng, labels = np.random.default_rng(seed), np.repeat(np.arange(classes), sizes) * bins
    result = np.empty_like(counts)
    for unit in range(units):
        activity = np.repeat(np.arange(bins), counts[:, unit].sum(0))
        drawn = np.bincount(rng.permutation(labels) + activity, minlength=classes * bins)
        result[:, unit] = drawn.reshape(classes, bins)
    return result
