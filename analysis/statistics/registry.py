"""The indices of selectivity by name: a new one is one class with a `measure` and one entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from ..errors import unknown
from .class_means import selectivity_index
from .ranks import (
    INFORMATION_GROUPS,
    areas,
    bits,
    cells_by_image,
    counts_of_cells,
    entropic,
    information,
    joint_counts,
    quantile_groups,
)
from .samples import mean, spread
from .sparseness import sparseness
from .sums import permuted_sums, summed
from .top_images import PRECISION_IMAGES, first_of, precision
from .units import OfSums, Units


@dataclass(frozen=True)
class Measured:
    """An index of u units.

    Args:
        value: (u,).
        top: (u,) the class that the index is of, −1 where it is of none.
        null: (P, u) under permutations of the labels.
        replicates: (R, u) under the bootstrap.
        resolution: the step between values that the index can have, (u,) or one for all; NaN where it has none.
    """

    value: np.ndarray
    top: np.ndarray
    null: np.ndarray
    replicates: np.ndarray
    resolution: np.ndarray | float = np.nan


class Index(Protocol):
    """An index of selectivity: what it is, whose it is, between what it lies, and how it is measured."""

    @property
    def definition(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def range(self) -> str: ...

    def measure(self, units: Units) -> Measured: ...


@dataclass(frozen=True)
class ClassSelectivityIndex:
    definition: str = "(μ_max − μ_rest) / (μ_max + μ_rest), μ_rest the unweighted mean of the other classes' means"
    source: str = "Morcos et al., ICLR 2018, equation 1"
    range: str = "0 … 1"

    def measure(self, units: Units) -> Measured:
        value, _, _, top = selectivity_index(units.means, units.resampling.counts > 0)
        return Measured(value, top, units.samples["null"], units.samples["csi"])


@dataclass(frozen=True)
class Sparseness:
    definition: str = (
        "S = (1 − A / Q) / (1 − 1 / K), Q the mean of the squared class means less the noise of a mean, A the square "
        "of their mean less that noise / K; none where the means are not known well enough for it"
    )
    source: str = "Treves and Rolls, Network 1991; Vinje and Gallant, Science 2000; the noise taken out by gelens"
    range: str = "0 … 1, but for noise"

    def measure(self, units: Units) -> Measured:
        value, _ = sparseness(units.means, units.noise, units.resampling.counts > 0)
        value = np.where(units.unresolved, np.nan, value)
        samples = units.samples
        return Measured(value, np.full(units.number, -1), samples["sparseness_null"], samples["sparseness"])


@dataclass(frozen=True)
class Precision:
    definition: str = (
        f"the share of the {PRECISION_IMAGES} most active images that are of the class which most of them are of; as "
        "many images as the largest class has, or as the unit is active on, if that is fewer"
    )
    source: str = "Zhou et al., ICLR 2015; as Gale et al., Vision Research 2020, use it (both recalled)"
    range: str = "0 … 1"

    def measure(self, units: Units) -> Measured:
        drawn = units.resampling
        looked_at = min(PRECISION_IMAGES, int(drawn.counts.max()))
        value = np.full(units.number, np.nan)
        top = np.full(units.number, -1)
        null = np.full((drawn.permutations, units.number), np.nan)
        replicates = np.full((drawn.replicates, units.number), np.nan)
        resolution = np.full(units.number, np.nan)
        for unit, rows in enumerate(units.tops):
            if looked_at < 2 or not len(rows):
                continue
            first = rows[:looked_at]
            one = np.ones((1, len(first)), dtype=np.int64)
            (value[unit],), (top[unit],) = precision(drawn.labels[first], one)
            resolution[unit] = 1 / len(first)
            null[:, unit], _ = precision(drawn.null_labels[:, first], np.repeat(one, drawn.permutations, 0))
            weights = first_of(drawn.weights[:, rows].astype(np.int64), looked_at)
            replicates[:, unit], _ = precision(drawn.labels[rows], weights)
        return Measured(value, top, null, replicates, resolution)


@dataclass(frozen=True)
class ClassConditionalMeanActivity:
    definition: str = (
        "(μ_A − μ_¬A) / (μ_A + μ_¬A), A the class of the highest mean, μ_¬A the mean over all images of other classes; "
        "csi where classes are of equal size"
    )
    source: str = "Gale et al., Vision Research 2020 (recalled)"
    range: str = "0 … 1"

    def measure(self, units: Units) -> Measured:
        drawn = units.resampling
        value, top = ccmas(units.sums.halves.sum(0), drawn.counts)
        return Measured(value, top, *units.under_drawings(_ccmas_alone))


@dataclass(frozen=True)
class AreaUnderCurve:
    """Exact, from mid-ranks. A replicate takes about 0.2 ms a unit of 50,000 images, a permutation a third of it."""

    definition: str = "the greatest area under the ROC curve of one class against the rest, activity being the score"
    source: str = "Hanley and McNeil, Radiology 1982"
    range: str = "0.5 … 1"

    def measure(self, units: Units) -> Measured:
        drawn = units.resampling
        own = summed(units.mid_ranks, drawn)
        least = (drawn.counts * (drawn.counts + 1) / 2)[:, None]  # the rank sum of a class that is below all others
        sizes = drawn.counts[:, None].astype(float)
        area = areas(own - least, sizes, drawn.images)
        permuted = permuted_sums(units.mid_ranks, drawn)
        null = _rows([np.nanmax(areas(sums - least, sizes, drawn.images), 0) for sums in permuted], units)
        replicates = np.empty((drawn.replicates, units.number))
        for some in drawn.some_replicates():
            weights = np.asfortranarray(drawn.weights[some])
            size = drawn.replicate_weights[some].sum(1)
            for unit, ranking in enumerate(units.rankings):
                replicates[some, unit] = np.fmax.reduce(ranking.weighted_areas(weights, drawn.labels, size), 1)
        return Measured(np.nanmax(area, 0), np.nanargmax(area, 0), null, replicates)


@dataclass(frozen=True)
class MutualInformation:
    """Exact, over groups of images of the data set as it is, under permutations and replicates too.

    A permutation or replicate takes about 0.2 ms a unit of 50,000 images.
    """

    definition: str = (
        f"mutual information of class and activity in bits, in {INFORMATION_GROUPS} groups of images as equal in size "
        "as possible, equally active images together"
    )
    source: str = "Shannon 1948; the plug-in estimate, biased up"
    range: str = "0 … log₂ of the number of classes, or of 10 if that is less"

    def measure(self, units: Units) -> Measured:
        drawn = units.resampling
        classes = drawn.classes
        sizes = drawn.replicate_weights.sum(1).astype(np.int64)
        terms = entropic(max(drawn.images, sizes.sum(1).max(initial=0)))
        groups = np.ascontiguousarray(quantile_groups(units.mid_ranks).T)
        value = np.array([information(joint_counts(drawn.labels, own, classes)) for own in groups])
        null = np.empty((drawn.permutations, units.number))
        apart = terms[drawn.counts.astype(np.int64)].sum() + [terms[np.bincount(own)].sum() for own in groups]
        cells = np.empty(drawn.images, dtype=np.int64)
        for number, permuted in enumerate(drawn.null_labels):
            first = permuted * np.int64(INFORMATION_GROUPS)
            joint = [terms.take(counts_of_cells(np.add(first, own, out=cells), classes)).sum() for own in groups]
            null[number] = bits(np.array(joint), apart, drawn.images, terms)
        replicates = np.empty((drawn.replicates, units.number))
        members = [cells_by_image(drawn.labels, own, classes) for own in groups]
        for some in drawn.some_replicates():
            weights = drawn.weights[some].T.astype(np.int32, order="C")
            size = sizes[some]
            of_classes = terms[size].sum(1)
            for unit, own in enumerate(members):
                counts = (own @ weights).reshape(classes, INFORMATION_GROUPS, -1)
                joint, by_group = terms.take(counts).sum((0, 1)), terms.take(counts.sum(0)).sum(0)
                replicates[some, unit] = bits(joint, of_classes + by_group, size.sum(1), terms)
        return Measured(value, np.full(units.number, -1), null, replicates)


INDICES: Mapping[str, Index] = {
    "csi": ClassSelectivityIndex(),
    "sparseness": Sparseness(),
    "precision": Precision(),
    "ccmas": ClassConditionalMeanActivity(),
    "auc": AreaUnderCurve(),
    "mi": MutualInformation(),
}


def check_indices(names: Sequence[str]) -> None:
    """Raise a UsageError for a name that is none."""
    for name in names:
        if name not in INDICES:
            raise unknown("index", name, INDICES)


def index_rows(name: str, units: Units) -> pd.DataFrame:
    """An index of some units: index, unit, value, se, null, null_sd, top_class, resolution.

    `null` is the index's mean under permutations of all labels, `se` its standard deviation over bootstrap replicates
    of the images. A dead unit has no index; where no class has two images there is no null, where one has a single
    image no standard error.
    """
    measured = INDICES[name].measure(units)
    drawn = units.resampling
    null = measured.null if drawn.has_null else measured.null[:0]
    replicates = measured.replicates if drawn.has_errors else measured.replicates[:0]
    table = pd.DataFrame(
        {
            "index": name,
            "unit": np.arange(units.number),
            "value": measured.value,
            "se": spread(replicates),
            "null": mean(null),
            "null_sd": spread(null),
            "top_class": measured.top,
            "resolution": measured.resolution,
        }
    )
    dead = units.active == 0
    table.loc[dead, ["value", "se", "null", "null_sd", "resolution"]] = np.nan
    table.loc[dead, "top_class"] = -1
    return table


def ccmas(sums: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class-conditional mean activity selectivity from (K, U) sums and (K,) images of each class, and its class.

    >>> ccmas(np.array([[8.0], [2.0], [2.0]]), np.array([2, 2, 1]))  # means 4, 1, 2; of the others' images 4 / 3
    (array([0.5]), array([0]))
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(counts[:, None] > 0, sums / counts[:, None], -1)
        top = means.argmax(0)
        at = (top, np.arange(len(top)))
        rest = (sums.sum(0) - sums[at]) / (counts.sum() - counts[top])
        value = (means[at] - rest) / (means[at] + rest)
    return value, np.where(np.isnan(value), -1, top)


def _ccmas_alone(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return ccmas(sums, counts)[0]


OF_SUMS: Mapping[str, OfSums] = {"ccmas": _ccmas_alone}
"""Of indices that follow from class sums alone: they are found as the sums of each drawing are made."""


def _rows(values: list[np.ndarray], units: Units) -> np.ndarray:
    return np.array(values).reshape(-1, units.number)
