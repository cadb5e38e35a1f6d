"""Where selectivity arises: the index at each tap of each block, and what it gains from one tap to the next."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd

from ..errors import UsageError
from ..names import pretty
from ..recording import Recording
from ..statistics.comparison import GAPS, Pair, error_of
from ..statistics.trainings import groups_of, over_trainings, with_holm
from .selectivity import Selectivity, Statistics, blocks_over_trainings, selectivity_tables

WAY = ("branch", "gated", "sum", "output")
"""The taps in the order in which features pass them: the branch's last batch norm, the gate, the sum, the last ReLU."""


@dataclass
class Taps:
    """`taps_blocks.csv`, `taps_gap.csv` and, of groups of trainings, both with `_trainings`."""

    blocks: pd.DataFrame = field(default_factory=pd.DataFrame)
    gap: pd.DataFrame = field(default_factory=pd.DataFrame)
    blocks_trainings: pd.DataFrame = field(default_factory=pd.DataFrame)
    gap_trainings: pd.DataFrame = field(default_factory=pd.DataFrame)


def tap_tables(recording: Recording, statistics: Statistics, networks: Sequence[str] = ()) -> Taps:
    """The index at every recorded tap of `WAY`, and the gaps between neighbouring ones.

    Of signed taps it is the index of the mean positive part. A gap is that of the means over the block's units, which
    are the same channels at both taps; its standard error is over bootstrap replicates of the images.

    Args:
        networks: labels of those wanted; all by default.

    Raises:
        UsageError: no network has two taps.
    """
    chosen = list(networks or recording.networks)
    of_tap = {
        tap: selectivity_tables(recording, statistics, tap, having)
        for tap in WAY
        if (having := [label for label in chosen if recording.blocks(label, tap)])
    }
    pairs = list(_pairs(of_tap, chosen))
    if not pairs:
        raise UsageError(
            "selectivity at two taps at least is needed: `gelens taps NETWORK…` records them, as does `gelens record "
            "--tap branch --tap gated --tap sum --tap output`"
        )
    blocks = pd.concat(
        [each.blocks.assign(tap=tap) for tap, each in of_tap.items() if len(each.blocks)], ignore_index=True
    )
    first = ["network", "block", "tap"]
    blocks = blocks[[*first, *(name for name in blocks if name not in first)]]
    gaps = pd.DataFrame([where | pair.columns() for where, pair in pairs])
    groups = groups_of(recording.networks)
    means = blocks_over_trainings(blocks, ("block", "depth", "tap"), groups, statistics.replicates)
    return Taps(blocks, gaps, means, _over_trainings(pairs, groups))


def _pairs(of_tap: Mapping[str, Selectivity], networks: Sequence[str]) -> Iterator[tuple[dict, Pair]]:
    """Of every block the neighbouring taps that it has: what it is of, and the later one against the earlier."""
    units = {
        (tap, network, block): (rows.reset_index(), each.samples[network, block])
        for tap, each in of_tap.items()
        for (network, block), rows in each.units.groupby(["network", "block"], sort=False)
    }
    depths = {
        (row.network, row.block): row.depth for each in of_tap.values() for row in each.blocks.itertuples(index=False)
    }
    for (network, block), depth in depths.items():
        having = [tap for tap in WAY if (tap, network, block) in units]
        for before, after in pairwise(having):
            where = {"network": network, "block": block, "depth": depth, "from": before, "to": after}
            mine, theirs = units[after, network, block], units[before, network, block]
            if network in networks and len(mine[0]) == len(theirs[0]):
                yield where, Pair(mine, theirs)


def _over_trainings(pairs: Sequence[tuple[dict, Pair]], groups: Mapping[str, Mapping[int, str]]) -> pd.DataFrame:
    """The gaps of groups: network (the group), block, depth, from, to, gap (of `GAPS`), then `over_trainings`."""
    rows = []
    for group, trainings in groups.items():
        of_group = [(where, pair) for where, pair in pairs if where["network"] in trainings.values()]
        steps: dict[tuple, list[Pair]] = {
            (where["block"], where["depth"], where["from"], where["to"]): [] for where, _ in of_group
        }
        for where, pair in of_group:
            steps[where["block"], where["depth"], where["from"], where["to"]].append(pair)
        for (block, depth, before, after), several in steps.items():
            told = {"network": group, "block": block, "depth": depth, "from": before, "to": after}
            for kind in GAPS:
                values = np.array([[pair.gaps[kind]] for pair in several])
                draws = np.mean([pair.draws[kind] for pair in several], axis=0)
                null = np.mean([pair.draws["null"] for pair in several], axis=0) if kind == "excess" else None
                table = over_trainings(values, np.array([error_of(draws, null)]), len(draws))
                rows.append(table.assign(**told, gap=kind))
    if not rows:
        return pd.DataFrame()
    table = with_holm(pd.concat(rows, ignore_index=True), "gap")
    first = ["network", "block", "depth", "from", "to", "gap"]
    return table[[*first, *(name for name in table if name not in first)]]


def tap_sentences(gaps: pd.DataFrame) -> list[str]:
    """What sparseness gains at each step, over the blocks of each network, no more than was measured.

    A step that changes nothing at all is left out: after a last ReLU the output is the positive part of the sum.

    Args:
        gaps: rows of `taps_gap.csv`.
    """
    said = []
    for network, rows in gaps.groupby("network", sort=False):
        parts = []
        for (before, after), steps in rows.groupby(["from", "to"], sort=False):
            known = steps[steps["sparseness_low"].notna()]
            if known["sparseness_gap"].any():
                up, down = (known["sparseness_low"] > 0).sum(), (known["sparseness_high"] < 0).sum()
                mean = known["sparseness_gap"].mean()
                where = f"higher in {up} of {len(known)} blocks, lower in {down}, by intervals over images"
                parts.append(f"from {before} to {after} {mean:+.3f} in the mean ({where})")
        if parts:
            said.append(
                f"In this network (one training), {pretty(network)}, the sparseness of class means (S) changes: "
                f"{'; '.join(parts)}."
            )
    return said
