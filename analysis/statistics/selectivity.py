"""Class selectivity of a layer's units from recorded activities: the tables of selectivity, and their samples."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from ..processes import cores
from .activities import Activities
from .class_means import corrected_index, crossfitted_index_of, selectivity_index
from .registry import OF_SUMS, check_indices, index_rows
from .resampling import ROWS, Resampling
from .samples import mean, over_units, spread
from .sparseness import mean_sparseness, sparseness
from .top_images import KEPT, top_images_table
from .units import Units

TOGETHER = 64
"""Units that one thread works on: arrays of as many as fit in the cache, and of fewer take longer for each."""

SUMS_BYTES = 2**27
ACTIVITY_BYTES = 2**27
"""What the sums of a few drawings, and the activities, of these units may take."""

READ_BYTES = 2**29
"""What the activities that are read from a file at a time may take; the ones before them are held meanwhile."""

CHECKED = 2**22
"""Activities that are checked at a time."""

MOST_THREADS = 4
"""More would take more memory, and the sums are bound by its speed."""


@dataclass(frozen=True)
class UnitStatistics:
    """Class selectivity of a layer's U units.

    Args:
        table: a row for each unit, the columns of selectivity.csv from `unit` on (see `unit_statistics`).
        samples: what errors and comparisons are computed from, each (…, U): `csi`, `crossfit`, `corrected` and
            `sparseness` of every bootstrap replicate, `null` and `sparseness_null` of every permutation, `halves` the
            index of each half of the images.
        means: (K, U) class-conditional means, 0 for classes without images.
        counts: (K,) images of each class.
        others: a row for each named index and unit: index, unit, value, se, null, null_sd, top_class, resolution.
        top_images: a row for each unit and image that drives it most: unit, rank, index, label, activity.
    """

    table: pd.DataFrame
    samples: dict[str, np.ndarray]
    means: np.ndarray
    counts: np.ndarray
    others: pd.DataFrame
    top_images: pd.DataFrame


def unit_statistics(
    activity: Activities,
    resampling: Resampling,
    indices: Sequence[str] = (),
    rectified: bool = False,
    name: str = "features",
    progress: Callable[[int], object] | None = None,
) -> UnitStatistics:
    """Class selectivity of every unit, with its null, its corrected and cross-fitted forms, and errors.

    Args:
        activity: (N, U) float32 mean activities, not negative, in memory or in a file (`gelens.recording.matrix`).
            Rows are those of `resampling`.
        indices: names of other indices, of `INDICES`, for `others`.
        rectified: the activities are means of the positive part of signed ones, which the table then records.
        name: of the layer, for messages.
        progress: called with the number of units each time some are done.

    The columns of `table`: unit; csi, the index of Morcos et al. (ICLR 2018); csi_se, its standard deviation over
    bootstrap replicates; csi_null and csi_null_sd, its mean and standard deviation under permutations of the labels;
    csi_crossfit; active_fraction, the share of images on which the unit is active; mu_max, mu_rest; top_class;
    csi_corrected (`corrected_index`) and csi_corrected_se; reliability, the share B of the variance of the class means
    that is not noise; variation, the standard error of a class mean relative to the mean of the class means,
    √(mean over classes of s²_k / n_k) / mean of μ_k: the coefficient of variation within classes over √n, which is what
    drives the bias of csi; sparseness, S of the class means, with sparseness_se, sparseness_null and
    sparseness_null_sd, and effective_classes, K_eff (`gelens.statistics.sparseness`); and rectified, where it is.

    A dead unit's indices are NaN and its top_class −1. So are sparseness and effective_classes of a unit whose class
    means are not known well enough (`is_resolved`). There is no null where no class has two images, since it would
    equal the index, nor a corrected index; no standard error where a class has a single image.

    Raises:
        ValueError: activities that are negative or not finite, of other images than `resampling`, or fewer than two
            classes with images.
        UsageError: an index that is none.

    >>> drawn = Resampling(np.array([0, 1]), np.arange(2), classes=2, permutations=0, replicates=0)
    >>> unit_statistics(np.array([[3.0], [1.0]], dtype=np.float32), drawn).table["csi"].tolist()
    [0.5]
    """
    check_indices(indices)
    _check(activity, resampling)
    activity = checked(activity, name)
    blocks = list(blocks_of_units(activity, resampling))
    parts = []
    pool = ThreadPoolExecutor(min(MOST_THREADS, cores()))
    try:
        for some in read_together(activity, blocks):
            for part in pool.map(partial(_block_statistics, resampling, indices), some):
                parts.append(part)
                if progress is not None:
                    progress(len(part.table))
    finally:
        pool.shutdown(cancel_futures=True)  # else an interruption would wait for all that is left to do
    return _joined(parts, blocks, indices, rectified)


def block_means(table: pd.DataFrame, samples: dict[str, np.ndarray]) -> dict[str, float]:
    """A block's summary over its living units: columns of `selectivity_blocks.csv` from `units` and `dead` on.

    Standard errors are the standard deviation of the block's mean over bootstrap replicates of the images.
    """
    alive = table["csi"].notna().to_numpy()
    sparse = mean_sparseness(table)
    return {
        "units": len(table),
        "dead": int((~alive).sum()),
        "mean_csi": table["csi"].mean(),
        "mean_csi_se": float(spread(over_units(samples["csi"], alive))),
        "mean_null": table["csi_null"].mean(),
        "mean_excess": (table["csi"] - table["csi_null"]).mean(),
        "mean_crossfit": table["csi_crossfit"].mean(),
        "mean_corrected": table["csi_corrected"].mean(),
        "mean_corrected_se": float(spread(over_units(samples["corrected"], alive))),
        "mean_reliability": table["reliability"].mean(),
        "mean_variation": table["variation"].mean(),
        "sparseness_units": int(table["sparseness"].notna().sum()),
        "mean_sparseness": sparse,
        "mean_sparseness_se": np.nan if np.isnan(sparse) else float(spread(over_units(samples["sparseness"], alive))),
        "mean_sparseness_null": mean_sparseness(table, "sparseness_null"),
        "mean_effective_classes": mean_sparseness(table, "effective_classes"),
    }


def _block_statistics(resampling: Resampling, indices: Sequence[str], activity: np.ndarray) -> UnitStatistics:
    """Of (N, u) activities of some units, numbered from 0."""
    of_sums = [OF_SUMS[index] for index in indices if index in OF_SUMS]
    units = Units(np.ascontiguousarray(activity, dtype=np.float32), resampling, of_sums)
    top = [rows[:KEPT] for rows in units.tops]
    return UnitStatistics(
        _table(units),
        units.samples,
        units.means,
        resampling.counts,
        pd.concat([index_rows(index, units) for index in indices]) if indices else pd.DataFrame(),
        top_images_table(units.activity, top, resampling.labels, resampling.indices),
    )


def _table(units: Units) -> pd.DataFrame:
    drawn = units.resampling
    present = drawn.counts > 0
    samples = units.samples
    index, maximum, rest, top = selectivity_index(units.means, present)
    corrected, reliability = corrected_index(units.means, units.noise, present)
    sparse, effective = sparseness(units.means, units.noise, present)
    average = units.means[present].mean(0)
    variation = np.divide(np.sqrt(units.noise), average, out=np.full(units.number, np.nan), where=average > 0)
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "unit": np.arange(units.number),
                "csi": index,
                "csi_se": spread(samples["csi"]),
                "csi_null": mean(samples["null"]),
                "csi_null_sd": spread(samples["null"]),
                "csi_crossfit": crossfitted_index_of(units.sums.halves, drawn.half_counts),
                "active_fraction": units.active / drawn.images,
                "mu_max": maximum,
                "mu_rest": rest,
                "top_class": top,
                "csi_corrected": corrected,
                "csi_corrected_se": spread(samples["corrected"]),
                "reliability": reliability,
                "variation": variation,
                "sparseness": np.where(units.unresolved, np.nan, sparse),
                "sparseness_se": spread(samples["sparseness"]),
                "sparseness_null": mean(samples["sparseness_null"]),
                "sparseness_null_sd": spread(samples["sparseness_null"]),
                "effective_classes": np.where(units.unresolved, np.nan, effective),
            }
        )


def _joined(
    parts: Sequence[UnitStatistics], blocks: Sequence[slice], indices: Sequence[str], rectified: bool
) -> UnitStatistics:
    """The statistics of all units, each numbered by its column."""
    others = pd.DataFrame()
    if indices:
        others = _numbered([part.others for part in parts], blocks)
        order = others["index"].map({index: place for place, index in enumerate(dict.fromkeys(indices))})
        others = others.iloc[np.lexsort((others["unit"], order))].reset_index(drop=True)
    table = _numbered([part.table for part in parts], blocks)
    if rectified:
        table["rectified"] = True
        others = others.assign(rectified=True) if indices else others
    samples = {kind: np.concatenate([part.samples[kind] for part in parts], 1) for kind in parts[0].samples}
    means = np.concatenate([part.means for part in parts], 1)
    top_images = _numbered([part.top_images for part in parts], blocks)
    return UnitStatistics(table, samples, means, parts[0].counts, others, top_images)


def _numbered(tables: Sequence[pd.DataFrame], blocks: Sequence[slice]) -> pd.DataFrame:
    moved = [table.assign(unit=table["unit"] + block.start) for table, block in zip(tables, blocks, strict=True)]
    return pd.concat(moved, ignore_index=True)


def blocks_of_units(activity: Activities, resampling: Resampling) -> Iterator[slice]:
    """Columns, about as many each, whose sums and activities fit in the memory that one thread may take."""
    images, units = activity.shape
    by_sums = SUMS_BYTES // (8 * 8 * resampling.classes)
    by_activity = ACTIVITY_BYTES // (4 * images + 16 * min(images, ROWS))  # as they are, and a part in float64 twice
    number = -(-units // max(min(TOGETHER, by_sums, by_activity), 1))
    for part in range(number):
        yield slice(part * units // number, (part + 1) * units // number)


def read_together(activity: Activities, blocks: Sequence[slice]) -> Iterator[list[np.ndarray]]:
    """(N, u) activities of the units in each of some columns, one beside the other, of as many as are read at once.

    A file has its rows, so each reading goes through all of it.
    """
    most = max(READ_BYTES // (4 * len(activity) * max(block.stop - block.start for block in blocks)), 1)
    for start in range(0, len(blocks), most):
        some = blocks[start : start + most]
        first = some[0].start
        read = activity[:, first : some[-1].stop]
        yield [read[:, block.start - first : block.stop - first] for block in some]


def _check(activity: Activities, resampling: Resampling) -> None:
    """Raise where there can be no index."""
    if len(activity.shape) != 2 or len(activity) != resampling.images or not activity.shape[1]:
        raise ValueError(
            f"Expected argument `activity` to be ({resampling.images}, units), of the images of `resampling`, but got "
            f"{activity.shape}"
        )
    if (resampling.counts > 0).sum() < 2:
        raise ValueError(f"{int((resampling.counts > 0).sum())} classes with images; the index needs at least two")


def checked(activity: Activities, name: str) -> Activities:
    """(N, U) activities, of a recording's file in memory if they may all be read at a time, else read here and again.

    Raises:
        ValueError: some are negative, or not finite in float32.
    """
    if 4 * len(activity) * activity.shape[1] <= READ_BYTES:
        activity = activity[:]
    strange, first, minimum = 0, -1, 0
    step = max(CHECKED // activity.shape[1], 1)
    for start in range(0, len(activity), step):
        part = np.asarray(activity[start : start + step])
        with np.errstate(over="ignore"):
            finite = np.isfinite(part.astype(np.float32, copy=False))  # in which statistics take them
        if not finite.all():
            first = start + int((~finite).any(1).argmax()) if first < 0 else first
            strange += int((~finite).sum())
        minimum = min(minimum, part.min(where=finite, initial=0))
    if strange:
        raise ValueError(
            f"layer `{name}` has {strange} activities that are NaN or infinite in float32, the first in row {first} of "
            f"{len(activity)}"
        )
    if minimum < 0:
        raise ValueError(
            f"layer `{name}` has negative activities (minimum {minimum:.4g}): the index is defined for activities ≥ 0; "
            f"measure after the ReLU, or rectify"
        )
    return activity
