"""Class selectivity at the levels of a hierarchy: the index of groups of classes, and of random groups as large."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from ..errors import UsageError
from ..randomness import hashes
from .activities import Activities
from .class_means import index_alone, means_of, noise_by_class
from .resampling import PERMUTATIONS, Resampling
from .samples import mean, over_units, spread
from .selectivity import blocks_of_units, checked, read_together
from .sparseness import is_resolved, mean_resolved, sparseness
from .sums import class_sums

CLASS = "class"
"""The level of the classes themselves."""

ALPHA = 0.05


@dataclass(frozen=True)
class Levels:
    """The index of a block's units at every level.

    Args:
        blocks: a row for each level, the columns of `selectivity_levels.csv` from `level` on.
        units: a row for each level and unit, those of `selectivity_levels_units.csv` from `level` on.
    """

    blocks: pd.DataFrame
    units: pd.DataFrame


def level_statistics(
    activity: Activities,
    resampling: Resampling,
    levels: Mapping[str, np.ndarray],
    maps: int = PERMUTATIONS,
    name: str = "features",
) -> Levels:
    """The index of the means of groups of classes, in which each class weighs the same, at every level.

    Its null are random groups: whole classes change places in the hierarchy, so that groups are as many and as large,
    and every class mean keeps its noise. It asks whether the groups mean anything to a unit. Permuted labels of images,
    beside it, ask whether classes do; there is no such null where no class has two images.

    Args:
        activity: (N, U) mean activities, not negative, in memory or in a file.
        resampling: of the N images: its permutations of labels, and its replicates for standard errors.
        levels: by name, (K,) the group of each class, numbered from 0; the finest first. That of single classes comes
            before them by itself.
        maps: random placings of the classes, the same ones at every level.
        name: of the block, for messages.

    Returns:
        Of the block, means over units with an index at the level: level, groups, largest (classes in the largest
        group), units, mean_csi and mean_csi_se over images; mean_null, null_sd, null_low and null_high, mean, standard
        deviation, 2.5 % and 97.5 % quantile over random placings of that mean; mean_label_null; share_above, the share
        of units whose p is at most 0.05: about that by chance; mean_sparseness and mean_sparseness_se over images, and
        mean_sparseness_null over placings, of the groups' means (NaN where they are not known well enough).

        Of a unit: csi; null and null_sd over random placings; excess, csi − null; p, the share of placings with as high
        an index, its own among them; sparseness. At the level of classes a placing changes nothing: NaN.

    Raises:
        UsageError: no level, groups of another number of classes, or fewer than two groups with images.
        ValueError: activities that are negative or not finite.
    """
    present = np.flatnonzero(resampling.counts)
    chosen = _chosen(levels, resampling, present)
    activity = checked(activity, name)
    together = read_together(activity, list(blocks_of_units(activity, resampling)))
    parts = [_of_units(units, resampling, chosen, maps) for some in together for units in some]
    blocks, units = [], []
    for level, groups in chosen.items():
        found = {kind: np.concatenate([part[level][kind] for part in parts], 1) for kind in parts[0][level]}
        table = _unit_table(found)
        units.append(table.assign(level=level)[["level", *table.columns]])
        sizes = np.unique(groups[present], return_counts=True)[1]
        blocks.append({"level": level, "groups": len(sizes), "largest": int(sizes.max()), **_summary(table, found)})
    return Levels(pd.DataFrame(blocks), pd.concat(units, ignore_index=True))


def _chosen(levels: Mapping[str, np.ndarray], resampling: Resampling, present: np.ndarray) -> dict[str, np.ndarray]:
    """The levels, with that of classes before them."""
    if not levels:
        raise UsageError("no level of groups; expected at least one beside that of classes")
    for level, groups in levels.items():
        if np.shape(groups) != (resampling.classes,):
            raise UsageError(f"level {level} places {len(groups)} classes; expected {resampling.classes}")
        if len(np.unique(np.asarray(groups)[present])) < 2:
            raise UsageError(f"level {level} has all classes in one group; the index needs at least two")
    return {CLASS: np.arange(resampling.classes)} | {name: np.asarray(groups) for name, groups in levels.items()}


def _of_units(activity: np.ndarray, drawn: Resampling, levels: Mapping[str, np.ndarray], maps: int) -> dict[str, dict]:
    """By level: csi (1, u), null (maps, u), label_null (permutations, u) and replicates (R, u); and of sparseness the
    same but label_null.
    """
    sums = class_sums(np.ascontiguousarray(activity, dtype=np.float32), drawn)
    present = drawn.counts > 0
    means = means_of(sums.halves.sum(0), drawn.counts)
    orders = [_placing(drawn, present, number) for number in range(maps)]
    noise = np.full(means.shape, np.nan)
    if drawn.has_null:
        noise[present] = noise_by_class(sums.halves.sum(0)[present], sums.squares[present], drawn.counts[present])
    found: dict[str, dict] = {}
    for level, groups in levels.items():
        placed = orders if level != CLASS else []
        found[level] = {
            "csi": [_index(means, groups, present)],
            "null": [_index(means[order], groups, present) for order in placed],
            "label_null": [],
            "replicates": [],
            "sparseness": [_sparseness(means, noise, groups, present)],
            "sparseness_null": [_sparseness(means[order], noise[order], groups, present) for order in placed],
            "sparseness_replicates": [],
        }
    for each in sums.each_null() if drawn.has_null else ():
        permuted = means_of(each, drawn.counts)
        for level, groups in levels.items():
            found[level]["label_null"].append(_index(permuted, groups, present))
    pairs = zip(sums.each_replicate(), drawn.replicate_weights, strict=True) if drawn.has_errors else ()
    for each, halves in pairs:
        weights = halves.sum(0)
        again = means_of(each.sum(0), weights)
        for level, groups in levels.items():
            found[level]["replicates"].append(_index(again, groups, weights > 0))
            # images of a replicate are drawn from drawn images: their noise is in the means twice
            sparse = _sparseness(again, 2 * noise, groups, weights > 0, checked=False)
            found[level]["sparseness_replicates"].append(
                np.where(np.isnan(found[level]["sparseness"][0]), np.nan, sparse)
            )
    return {
        level: {kind: np.array(values).reshape(-1, activity.shape[1]) for kind, values in of.items()}
        for level, of in found.items()
    }


def _placing(drawn: Resampling, present: np.ndarray, number: int) -> np.ndarray:
    """(K,) whose means each class with images gets: those of another one with images."""
    classes = np.flatnonzero(present)
    order = np.arange(len(present))
    order[classes] = classes[np.argsort(hashes(drawn.seed, "placing", classes, number), kind="stable")]
    return order


def _index(means: np.ndarray, groups: np.ndarray, present: np.ndarray) -> np.ndarray:
    """(U,) of groups' means, over classes with images; NaN with one group alone."""
    classes = np.flatnonzero(present)
    members = _members(groups[classes])
    if members.shape[0] < 2:
        return np.full(means.shape[1], np.nan)
    return index_alone(members @ means[classes], np.ones(members.shape[0], bool))


def _sparseness(
    means: np.ndarray, noise: np.ndarray, groups: np.ndarray, present: np.ndarray, checked: bool = True
) -> np.ndarray:
    """(U,) of groups' means, whose noise is that of their classes' means; NaN with one group, or where not resolved.

    Args:
        noise: (K, U) of each class's mean.
        checked: whether units that are not resolved are left out.
    """
    classes = np.flatnonzero(present)
    members = _members(groups[classes])
    if members.shape[0] < 2:
        return np.full(means.shape[1], np.nan)
    of_groups = members @ means[classes]
    variance = (members.power(2) @ noise[classes]).mean(0)
    value, _ = sparseness(of_groups, variance)
    if checked:
        value = np.where(is_resolved(of_groups.mean(0), variance, len(of_groups)), value, np.nan)
    return value


def _members(groups: np.ndarray) -> sparse.csr_array:
    """(groups, classes): the share of each class in its group's mean."""
    _, own = np.unique(groups, return_inverse=True)
    sizes = np.bincount(own)
    return sparse.csr_array((1 / sizes[own], (own, np.arange(len(own)))), shape=(len(sizes), len(own)))


def _unit_table(found: Mapping[str, np.ndarray]) -> pd.DataFrame:
    index, null = found["csi"][0], found["null"]
    dead = np.isnan(index)
    # a placing adds the same means in another order: as high but for the last bits is as high
    above = (null >= index - 1e-9).sum(0)
    share = np.where(dead | (len(null) == 0), np.nan, (1 + above) / (1 + len(null)))
    table = pd.DataFrame({"unit": np.arange(len(index)), "csi": index, "null": mean(null), "null_sd": spread(null)})
    return table.assign(excess=table["csi"] - table["null"], p=share, sparseness=found["sparseness"][0])


def _summary(table: pd.DataFrame, found: Mapping[str, np.ndarray]) -> dict[str, float]:
    alive = table["csi"].notna().to_numpy()
    null = over_units(found["null"], alive)
    ends = np.quantile(null, [0.025, 0.975]) if len(null) else (np.nan, np.nan)
    known = table["p"].dropna()
    sparse = {
        "mean_sparseness": mean_resolved(found["sparseness"][0], alive),
        "mean_sparseness_se": float(spread(over_units(found["sparseness_replicates"], alive))),
        "mean_sparseness_null": float(mean(over_units(found["sparseness_null"], alive))),
    }
    if np.isnan(sparse["mean_sparseness"]):
        sparse = dict.fromkeys(sparse, np.nan)
    return {
        "units": int(alive.sum()),
        "mean_csi": table["csi"].mean(),
        "mean_csi_se": float(spread(over_units(found["replicates"], alive))),
        "mean_null": float(mean(null)),
        "null_sd": float(spread(null)),
        "null_low": float(ends[0]),
        "null_high": float(ends[1]),
        "mean_label_null": float(mean(over_units(found["label_null"], alive))),
        "share_above": float((known <= ALPHA).mean()) if len(known) else np.nan,
        **sparse,
    }
