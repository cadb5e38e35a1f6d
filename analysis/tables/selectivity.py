"""Class selectivity of recorded units: every index, its null and its errors, from a recording alone."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import RunError, UsageError, unknown
from ..recording import Recording
from ..recording.matrix import Matrix
from ..statistics import PERMUTATIONS, REPLICATES
from ..statistics.calibration import calibrations
from ..statistics.calibration import told as calibration_columns
from ..statistics.registry import check_indices
from ..statistics.resampling import Resampling
from ..statistics.rotation import rotated
from ..statistics.selectivity import block_means, unit_statistics
from ..statistics.trainings import Groups, pooled

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Statistics:
    """How selectivity and its uncertainty are computed from a recording.

    Args:
        seed: of all that is drawn.
        permutations: of the labels, for the null.
        replicates: of the bootstrap over images.
        indices: names of other indices than csi.
        groups: by class, the group that it is in: the index of groups is computed instead of that of classes.
        calibrated: whether bias and cover of the means of blocks are found by simulation.
        rotation: of the seed of a random rotation of each block's units, which are then measured instead of them.
    """

    seed: int = 0
    permutations: int = PERMUTATIONS
    replicates: int = REPLICATES
    indices: Sequence[str] = ()
    groups: Mapping[str, str] | None = None
    calibrated: bool = False
    rotation: int | None = None

    def __post_init__(self):
        for name in ("permutations", "replicates"):
            if getattr(self, name) < 0:
                raise UsageError(f"{getattr(self, name)} {name} cannot be; expected at least 0")
        check_indices(self.indices)


DEFAULT_STATISTICS = Statistics()


@dataclass
class Selectivity:
    """Tables of class selectivity: `selectivity.csv`, `…_blocks.csv`, `…_indices.csv` and `…_images.csv`.

    `samples` maps (network, block) to the draws that errors and comparisons are computed from, `means` to the
    class-conditional means and the images of each class.
    """

    units: pd.DataFrame = field(default_factory=pd.DataFrame)
    blocks: pd.DataFrame = field(default_factory=pd.DataFrame)
    indices: pd.DataFrame = field(default_factory=pd.DataFrame)
    images: pd.DataFrame = field(default_factory=pd.DataFrame)
    samples: dict[tuple[str, str], dict[str, np.ndarray]] = field(default_factory=dict)
    means: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)


def selectivity_tables(
    recording: Recording, statistics: Statistics = DEFAULT_STATISTICS, tap: str = "output", networks: Sequence[str] = ()
) -> Selectivity:
    """Class selectivity of every recorded unit at a tap.

    Args:
        networks: labels of those wanted; all by default.

    Raises:
        UsageError: a tap that was not recorded, or groups that leave a class out.
        RunError: activities that have no index, or fewer than two classes with images.
    """
    check_recorded(recording, tap)
    labels, classes = _labels(recording, statistics.groups)
    check_classes(labels)
    _say_what_is_missing(labels, classes)
    drawn = (statistics.seed, statistics.permutations, statistics.replicates)
    resampling = Resampling(labels, recording.indices, max(len(classes), int(labels.max()) + 1), *drawn)
    rows: dict[str, list[pd.DataFrame]] = {name: [] for name in ("units", "blocks", "indices", "images")}
    result = Selectivity(classes=classes)
    for network in networks or recording.networks:
        for block in recording.blocks(network, tap):
            activity, rectified = measured_units(recording, network, block, tap, statistics.rotation)
            try:
                found = unit_statistics(activity, resampling, statistics.indices, rectified, f"{network} {block}")
            except ValueError as error:
                raise RunError(str(error)) from error
            where = {"network": network, "block": block}
            if statistics.groups is not None:
                _without_correction(found)
            result.samples[network, block] = found.samples
            result.means[network, block] = found.means, found.counts
            rows["units"].append(_placed(found.table, where, top_class_name=_named(found.table["top_class"], classes)))
            rows["images"].append(_placed(_with_identifiers(found.top_images, recording, classes), where))
            if statistics.indices:
                others = found.others
                rows["indices"].append(_placed(others, where, top_class_name=_named(others["top_class"], classes)))
            summary = where | {"depth": recording.described["depths"][network][block]}
            summary |= block_means(found.table, found.samples)
            if statistics.calibrated:
                known = calibrations(activity, resampling, block)
                summary |= calibration_columns(known, summary, statistics.replicates)
            summary |= {"classes": int((found.counts > 0).sum()), "images": int(found.counts.sum())}
            order = ("network", "block", "depth", "units", "dead", "classes", "images")
            rows["blocks"].append(pd.DataFrame([{key: summary[key] for key in order} | summary]))
    for name, tables in rows.items():
        if tables:
            setattr(result, name, pd.concat(tables, ignore_index=True))
    return result


def blocks_over_trainings(blocks: pd.DataFrame, keys: Sequence[str], groups: Groups, replicates: int) -> pd.DataFrame:
    """The mean index of blocks, plain and corrected, and their mean sparseness, over the trainings of groups.

    Args:
        blocks: a row for each training and combination of the keys, with the columns of `selectivity_blocks.csv`.
        keys: columns that tell rows of a network apart.
        groups: the trainings of each group.
        replicates: of the bootstrap.

    Returns:
        The columns of `gelens.statistics.trainings.pooled`.
    """
    means = ("mean_csi", "mean_corrected", "mean_sparseness")
    errors = {name: f"{name}_se" for name in means if f"{name}_se" in blocks}
    return pooled(blocks, keys, errors, groups, replicates)


def check_recorded(recording: Recording, tap: str) -> None:
    """Raise a UsageError where a recording does not say what selectivity needs, or has no such tap."""
    if missing := [part for part in ("settings", "depths", "classes") if part not in recording.described]:
        raise UsageError(f"the recording does not say its {missing[0]}; one that `gelens record` made does")
    networks = recording.described["taps"].values()
    taps = sorted({each for blocks in networks for several in blocks.values() for each in several})
    if tap not in taps:
        raise unknown("tap in the recording called", tap, taps)


def check_classes(labels: np.ndarray) -> None:
    """Raise a RunError where there are fewer than two classes."""
    present = len(np.unique(labels))
    if present < 2:
        raise RunError(f"{present} classes with images; the index needs at least two")


def measured_units(
    recording: Recording, network: str, block: str, tap: str, rotation: int | None
) -> tuple[np.ndarray | Matrix, bool]:
    """`measurable`, or the positive part of random directions of the same block."""
    activity, rectified = measurable(recording, network, block, tap)
    return (activity, rectified) if rotation is None else (rotated(activity, rotation, block), True)


def measurable(recording: Recording, network: str, block: str, tap: str) -> tuple[np.ndarray | Matrix, bool]:
    """The (images, units) activities of a block, and whether they are of the positive part.

    Raises:
        RunError: what was averaged is negative somewhere.
    """
    settings = recording.described["settings"][network]
    if tap == "output" and "rectified" not in settings:
        raise RunError(
            f"the recording does not say whether outputs of {network} were rectified; expected one of `gelens record`"
        )
    rectified = settings["rectified"] if tap == "output" else tap in settings.get("positive_part", ())
    activity = recording.stored_matrix(network, block, tap)
    if tap == "output" and not rectified:
        _refuse_negative(recording, network, block)
    return activity, rectified


def _refuse_negative(recording: Recording, network: str, block: str) -> None:
    """A mean over positions could hide what is negative in a map."""
    minimum = recording.array(network, f"{block}.output.minimum")
    if len(minimum) and minimum.min() < 0:
        image = recording.images["identifier"].iloc[int(np.argmax(minimum < 0))]
        raise RunError(
            f"layer `{network} {block}` has negative activities (minimum {minimum.min():.4g}, first on image "
            f"`{image}`): the index is defined for activities ≥ 0; measure after the ReLU, or rectify"
        )


def _labels(recording: Recording, groups: Mapping[str, str] | None) -> tuple[np.ndarray, list[str]]:
    """The label of every image, and the names of classes; or of their groups."""
    labels, classes = recording.labels, list(recording.described["classes"])
    if groups is None:
        return labels, classes
    missing = [classes[label] for label in np.unique(labels).tolist() if classes[label] not in groups]
    if missing:
        raise UsageError(f"{len(missing)} classes are in no group: {', '.join(missing[:10])}")
    counts = np.bincount(labels, minlength=len(classes))
    for group in sorted(set(groups.values())):
        sizes = {int(counts[at]) for at, each in enumerate(classes) if groups.get(each) == group} - {0}
        if len(sizes) > 1:
            raise UsageError(
                f"classes of the group {group} have {', '.join(map(str, sorted(sizes)))} images: each class is to "
                f"weigh the same within its group, so they must be of equal size (--per-class takes so many of each)"
            )
    names = sorted({groups[each] for each in classes if each in groups})
    number = np.array([names.index(groups[each]) if each in groups else -1 for each in classes])
    return number[labels], names


def _without_correction(found) -> None:
    """Classes of a group differ: what varies within a group is not noise alone, so nothing is corrected for it."""
    noisy = [column for column in found.table if column.startswith(("csi_corrected", "sparseness", "effective"))]
    found.table[[*noisy, "reliability", "variation"]] = np.nan
    for kind in ("corrected", "sparseness", "sparseness_null"):
        found.samples[kind] = np.full_like(found.samples[kind], np.nan)


def read_groups(path: Path | str) -> dict[str, str]:
    """By class its group, from a csv with the columns class and group.

    Raises:
        UsageError: another file.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"`{path}` cannot be read as groups of classes: {error}") from error
    if not {"class", "group"} <= set(table.columns):
        raise UsageError(f"`{path}` has columns {', '.join(table.columns)}; expected class and group")
    return dict(zip(table["class"], table["group"], strict=True))


def _say_what_is_missing(labels: np.ndarray, classes: Sequence[str]) -> None:
    """What the tables will lack, and why, once."""
    counts = np.bincount(labels, minlength=len(classes))
    empty = [
        str(classes[label]) if label < len(classes) else str(label) for label in np.flatnonzero(counts == 0).tolist()
    ]
    if empty:
        log.warning("%d classes without images are left out: %s", len(empty), ", ".join(empty[:10]))
    if counts.max() == 1:
        log.warning("one image a class: the null would equal the index, so there is none, and no standard errors")
    elif (counts == 1).any():
        log.warning("%d classes with one image: no standard errors", (counts == 1).sum())


def _with_identifiers(top: pd.DataFrame, recording: Recording, classes: Sequence[str]) -> pd.DataFrame:
    names = dict(zip(recording.indices.tolist(), recording.images["identifier"], strict=True))
    top = top.assign(class_name=_named(top["label"], classes))
    top.insert(top.columns.get_loc("index"), "identifier", top["index"].map(names))
    return top


def _named(labels: pd.Series, classes: Sequence[str]) -> list[str]:
    """Class names, empty for no class; a label that the data has no name for is its own."""
    return ["" if label < 0 else str(classes[label]) if label < len(classes) else str(label) for label in labels]


def _placed(table: pd.DataFrame, where: Mapping[str, str], **columns) -> pd.DataFrame:
    table = table.assign(**columns)
    for at, (name, value) in enumerate(where.items()):
        table.insert(at, name, value)
    return table
