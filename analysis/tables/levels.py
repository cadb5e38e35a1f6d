"""Class selectivity of recorded units at the levels of a hierarchy, and where hierarchies are read from."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import RunError, UsageError
from ..names import listed, paper_name, pretty
from ..recording import Recording
from ..statistics.levels import CLASS, level_statistics
from ..statistics.resampling import PERMUTATIONS, REPLICATES, Resampling
from ..untrusted import LARGEST_TEXT, check_regular
from .selectivity import check_classes, check_recorded, measurable

log = logging.getLogger(__name__)

Hierarchy = Mapping[str, Mapping[str, str]]
"""By level, the finest first, the group of each class."""


def level_tables(
    recording: Recording,
    hierarchy: Hierarchy,
    networks: Sequence[str] = (),
    tap: str = "output",
    permutations: int = PERMUTATIONS,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`selectivity_levels.csv` and `selectivity_levels_units.csv`, of every recorded block.

    Args:
        networks: labels of those wanted; all by default.
        permutations: of classes in the hierarchy, and of labels of images.
        replicates: of the bootstrap over images.

    Raises:
        UsageError: a tap that was not recorded, classes that are in no group, or no level with several groups.
        RunError: activities that have no index, or fewer than two classes with images.
    """
    check_recorded(recording, tap)
    check_classes(recording.labels)
    classes = list(recording.described["classes"])
    levels = numbered_levels(hierarchy, classes, np.unique(recording.labels))
    drawn = Resampling(recording.labels, recording.indices, len(classes), seed, permutations, replicates)
    if not drawn.has_null:
        log.warning("one image a class: no null of permuted labels, and no standard errors; random groups there are")
    blocks: list[pd.DataFrame] = []
    units: list[pd.DataFrame] = []
    for network in networks or recording.networks:
        for block in recording.blocks(network, tap):
            activity = measurable(recording, network, block, tap)[0]
            where = {"network": network, "block": block, "depth": recording.described["depths"][network][block]}
            try:
                found = level_statistics(activity, drawn, levels, permutations, f"{network} {block}")
            except UsageError:
                raise
            except ValueError as error:
                raise RunError(str(error)) from error
            for tables, table in ((blocks, found.blocks), (units, found.units)):
                tables.append(table.assign(**where)[[*where, *table.columns]])
    if not blocks:
        raise RunError("no network has blocks whose selectivity could be computed")
    return pd.concat(blocks, ignore_index=True), pd.concat(units, ignore_index=True)


def level_sentences(blocks: pd.DataFrame) -> list[str]:
    """Where groups of classes mean more to units than random groups as large: a line for each network and level.

    Args:
        blocks: rows of `selectivity_levels.csv`.
    """
    said = []
    known = blocks[blocks["null_low"].notna() & (blocks["units"] > 0)]
    for (network, level), rows in known.groupby(["network", "level"], sort=False):
        above = rows[rows["mean_csi"] > rows["null_high"]]
        within = rows.drop(above.index)
        parts = []
        if len(above):
            top = above.loc[(above["mean_csi"] - above["mean_null"]).idxmax()]
            most = f"{top['mean_csi']:.3f} in {paper_name(top['block'])}"
            random = f"{top['mean_null']:.3f}, 95 % {top['null_low']:.3f} … {top['null_high']:.3f}, of random groups"
            parts.append(f"above that of random groups in {listed(above['block'])} ({most}, against {random})")
        if len(within):
            parts.append(f"no higher than that of random groups in {listed(within['block'])}")
        groups = rows["groups"].iloc[0]
        said.append(
            f"In this network (one training), {pretty(network)}, at level {level} ({groups} groups), the units' mean "
            f"index of group means is {'; '.join(parts)}."
        )
    return said


def numbered_levels(hierarchy: Hierarchy, classes: Sequence[str], present: np.ndarray) -> dict[str, np.ndarray]:
    """By level, (K,) the number of each class's group; −1 for a class without images.

    Levels at which the classes with images are all in one group, or each in its own, are left out.

    Raises:
        UsageError: a class with images that is in no group, or no level left.
    """
    levels: dict[str, np.ndarray] = {}
    left_out = []
    for level, groups in hierarchy.items():
        if missing := [classes[label] for label in present.tolist() if classes[label] not in groups]:
            raise UsageError(f"{len(missing)} classes are in no group of level {level}: {', '.join(missing[:10])}")
        names = sorted({groups[classes[label]] for label in present.tolist()})
        if not 1 < len(names) < len(present):
            left_out.append(level)
            continue
        places = {name: number for number, name in enumerate(names)}
        levels[level] = np.full(len(classes), -1)
        levels[level][present] = [places[groups[classes[label]]] for label in present.tolist()]
    if left_out:
        log.info("levels with all classes in one group, or each in its own, are left out: %s", ", ".join(left_out))
    if not levels:
        raise UsageError("no level has several classes in one of several groups: there is nothing to compare")
    return levels


def read_levels(path: Path | str) -> dict[str, dict[str, str]]:
    """A hierarchy from a csv with a column class, and one of groups for each level, the finest first.

    Raises:
        UsageError: another file, a class twice, or one without a group.
    """
    try:
        check_regular(Path(path), LARGEST_TEXT)
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"`{path}` cannot be read as groups of classes: {error}") from error
    names = [name for name in table.columns if name != CLASS]
    if CLASS not in table or not names:
        raise UsageError(f"`{path}` has columns {', '.join(table.columns)}; expected class, and one for each level")
    if (twice := table[CLASS].duplicated()).any():
        raise UsageError(f"`{path}` has the class `{table.loc[twice, CLASS].iloc[0]}` twice")
    for name in names:
        if (empty := table[name] == "").any():
            raise UsageError(f"`{path}` has no {name} of the class `{table.loc[empty, CLASS].iloc[0]}`")
    return {name: dict(zip(table[CLASS], table[name], strict=True)) for name in names}


def wordnet_levels(path: Path | str, synsets: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """A hierarchy from WordNet's `is_a` list, lines of a parent synset and a child: ancestors at each depth.

    The group of a class at depth d is its ancestor d steps below the root, or the class itself where it is not as deep.
    Of a synset with several parents the one listed first is taken.

    Args:
        synsets: by class, its synset.

    Raises:
        UsageError: another file, or one without one of the synsets.
    """
    try:
        check_regular(Path(path), LARGEST_TEXT)
        lines = [line.split() for line in Path(path).read_text().splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UsageError(f"`{path}` cannot be read as WordNet's is_a list: {error}") from error
    parents: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if len(line) != 2:
            raise UsageError(f"`{path}` line {number} has {len(line)} words; expected a parent synset and a child")
        parents.setdefault(line[1], line[0])
    if missing := [synset for synset in synsets.values() if synset not in parents]:
        raise UsageError(f"`{path}` has no parent of {len(missing)} classes, such as `{missing[0]}`")
    paths = {name: _from_root(synset, parents, path) for name, synset in synsets.items()}
    deepest = max(map(len, paths.values())) - 1
    return {
        f"depth {depth}": {name: each[min(depth, len(each) - 1)] for name, each in paths.items()}
        for depth in range(deepest, 0, -1)
    }


def _from_root(synset: str, parents: Mapping[str, str], path: Path | str) -> list[str]:
    found = [synset]
    while found[-1] in parents:
        if len(found) > len(parents):
            raise UsageError(f"`{path}` has `{synset}` among its own ancestors")
        found.append(parents[found[-1]])
    return found[::-1]
