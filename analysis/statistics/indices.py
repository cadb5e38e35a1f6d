"""Other indices of selectivity than Morcos et al.'s, by name, each with its null: `gelens selectivity --index`."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import unknown
from analysis.probes.activity_histograms import ActivityHistograms, best_area, information, share_outside, shuffled
from analysis.probes.class_selectivity import ClassSelectivity, mean, spread
from analysis.probes.top_images import TopImages

log = logging.getLogger(__name__)

PRECISION_IMAGES = 60
BEYOND = 0.01


@dataclass(frozen=True)
class Index:
    """An index of selectivity: what it is, whose it is, and between what it lies."""

    definition: str
    source: str
    range: str


INDICES: Mapping[str, Index] = {
    "csi": Index(
        "(μ_max − μ_rest) / (μ_max + μ_rest), μ_rest the unweighted mean of the other classes' means",
        "Morcos et al., ICLR 2018, equation 1",
        "0 … 1",
    ),
    "precision": Index(
        f"the share of the {PRECISION_IMAGES} most active images that are of the class which most of them are of; as "
        "many images as the largest class has, or as the unit is active on, if that is fewer",
        "Zhou et al., ICLR 2015; as Gale et al., Vision Research 2020, use it (both recalled)",
        "0 … 1",
    ),
    "ccmas": Index(
        "(μ_A − μ_¬A) / (μ_A + μ_¬A), A the class of the highest mean, μ_¬A the mean over all images of other classes; "
        "csi where classes are of equal size",
        "Gale et al., Vision Research 2020 (recalled)",
        "0 … 1",
    ),
    "auc": Index(
        "the greatest area under the ROC curve of one class against the rest, activity being the score",
        "Hanley and McNeil, Radiology 1982",
        "0.5 … 1",
    ),
    "mi": Index(
        "mutual information of class and activity in bits, in ten groups of images as equal in size as the histogram's "
        "bins allow",
        "Shannon 1948; the plug-in estimate, biased up",
        "0 … log₂ of the number of classes, or of 10 if that is less",
    ),
}


def check_indices(names: Sequence[str]) -> None:
    """Raise a UsageError for a name that is none."""
    for name in names:
        if name not in INDICES:
            raise unknown("index", name, INDICES)


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


def precision(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The share of the most frequent label in each row of (U, N), those below 0 left out, and that label.

    >>> precision(np.array([[7, 7, 3, -1], [-1, -1, -1, -1]]))
    (array([0.66666667,        nan]), array([ 7, -1]))
    """
    share, top = np.full(len(labels), np.nan), np.full(len(labels), -1)
    for unit, row in enumerate(labels):
        found, times = np.unique(row[row >= 0], return_counts=True)
        if len(found):
            share[unit], top[unit] = times.max() / times.sum(), found[times.argmax()]
    return share, top


@dataclass
class BlockMetrics:
    """What is summed up of one block's units in a pass."""

    selectivity: ClassSelectivity
    top_images: TopImages
    histograms: ActivityHistograms | None = None

    @classmethod
    def needed(cls, selectivity: ClassSelectivity, indices: Sequence[str]) -> "BlockMetrics":
        """Those that the named indices need."""
        units, seed = selectivity.units, selectivity.seed
        top = TopImages(units, PRECISION_IMAGES, seed) if "precision" in indices else TopImages(units, seed=seed)
        wanted = {"auc", "mi"} & set(indices)
        return cls(selectivity, top, ActivityHistograms(selectivity.classes, units) if wanted else None)

    @property
    def all(self) -> list:
        return [each for each in (self.selectivity, self.top_images, self.histograms) if each is not None]

    def shuffled(self, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
        """Those of `auc` and `mi` that are named, under permutations of the labels; none if no class has two images."""
        measures = {"auc": lambda counts: best_area(counts)[0], "mi": information}
        nulls = {name: [] for name in measures if name in names}
        if not nulls:
            return {}
        counts, metric = self.histograms.compute(), self.selectivity
        for number in range(metric.permutations if counts[:, 0].sum(1).max() > 1 else 0):
            permuted = shuffled(counts, (metric.seed % 2**64, number))
            for name, found in nulls.items():
                found.append(measures[name](permuted))
        return nulls

    def update(self, features, labels, indices, **drawn) -> None:
        """Arguments as of `ClassSelectivity.update`."""
        self.selectivity.update(features, labels, indices, **drawn)
        self.top_images.update(features, labels, indices)
        if self.histograms is not None:
            self.histograms.update(features, labels)


def index_table(names: Sequence[str], block: BlockMetrics, relabel: Callable | None = None) -> pd.DataFrame:
    """The named indices of a block's units: index, unit, value, se, null, null_sd, top_class, resolution.

    `null` is the index's mean under permutations of all labels, `se` over bootstrap replicates of the images (only of
    csi and ccmas). `resolution`: of auc, the most that the greatest exact area can be away from it; of precision, one
    image's share; of csi, ccmas and mi, NaN. A dead unit has no index (NaN); where no class has two images there is no
    null, and no precision. Of a unit with more than one in a hundred of its activities beyond the histograms' bins
    (2⁻²⁰ … 2¹²) there are no auc and mi.

    Args:
        names: of `INDICES`.
        block: after the pass.
        relabel: takes (U, N) image indices and gives (permutations, U, N) permuted labels, −1 for −1.
    """
    nulls = block.shuffled(names)
    tables = [_MEASURES[name](block, relabel, nulls.get(name, ())) for name in names]
    dead = block.selectivity.state_numpy("active")["active"] == 0
    beyond = (
        np.zeros(len(dead), bool) if block.histograms is None else share_outside(block.histograms.compute()) > BEYOND
    )
    if beyond.any():
        log.warning(
            "%s: %d units are active beyond the histograms' bins and have no auc and mi",
            block.selectivity.name,
            beyond.sum(),
        )
    for name, table in zip(names, tables, strict=True):
        without = dead | beyond if name in ("auc", "mi") else dead
        table.loc[without, ["value", "se", "null", "null_sd", "resolution"]] = np.nan
        table.loc[without, "top_class"] = -1
        table.insert(0, "index", name)
        if block.selectivity.rectify:
            table["rectified"] = True
    return pd.concat(tables, ignore_index=True)


def _index_rows(value, top, null=(), replicates=(), resolution=np.nan) -> pd.DataFrame:
    null, replicates = (np.asarray(each, dtype=float).reshape(-1, len(value)) for each in (null, replicates))
    table = {"unit": np.arange(len(value)), "value": value, "se": spread(replicates), "null": mean(null)}
    return pd.DataFrame(table | {"null_sd": spread(null), "top_class": top, "resolution": resolution})


def _csi_table(block: BlockMetrics, relabel, null) -> pd.DataFrame:
    samples = block.selectivity.samples()
    table = block.selectivity.table(samples)
    return _index_rows(table["csi"].to_numpy(), table["top_class"].to_numpy(), samples["null"], samples["csi"])


def _ccmas_table(block: BlockMetrics, relabel, null) -> pd.DataFrame:
    state = block.selectivity.state_numpy()
    counts = state["counts"].sum(0)
    value, top = ccmas(state["sums"].sum(0), counts)
    null = [ccmas(sums, counts)[0] for sums in state["null_sums"]] if counts.max() > 1 else ()
    replicates = () if (counts == 1).any() else zip(state["boot_sums"], state["boot_counts"], strict=True)
    return _index_rows(value, top, null, [ccmas(sums.sum(0), weights.sum(0))[0] for sums, weights in replicates])


def _precision_table(block: BlockMetrics, relabel, null) -> pd.DataFrame:
    counts = block.selectivity.state_numpy("counts")["counts"].sum(0)
    looked_at = min(PRECISION_IMAGES, int(counts.max()))
    indices, labels = (each[:, :looked_at] for each in (block.top_images.indices(), block.top_images.labels()))
    value, top = precision(labels if looked_at > 1 else np.full_like(labels, -1))
    null = [precision(row)[0] for row in relabel(indices)] if relabel and looked_at > 1 else ()
    with np.errstate(divide="ignore"):
        return _index_rows(value, top, null, resolution=1 / (labels >= 0).sum(1))


def _auc_table(block: BlockMetrics, relabel, null) -> pd.DataFrame:
    value, top, resolution = best_area(block.histograms.compute())
    return _index_rows(value, top, null, resolution=resolution)


def _mi_table(block: BlockMetrics, relabel, null) -> pd.DataFrame:
    value = information(block.histograms.compute())
    return _index_rows(value, np.full(len(value), -1), null)


_MEASURES = {
    "csi": _csi_table,
    "precision": _precision_table,
    "ccmas": _ccmas_table,
    "auc": _auc_table,
    "mi": _mi_table,
}
