"""The gap in mean selectivity to the reference, against depth."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..names import pretty
from ..results.tables import brief_of
from ..statistics.samples import half_width
from .drawn import Drawn, Pictures
from .facets import Facets, facets
from .stored import StoredRun
from .style import PALETTE, Kind, Look, block_ticks, named, need, reach, styled

NEEDS = ("selectivity_gap.csv",)
LOOKS = {
    "sparseness": Kind(brief_of("sparseness_gap"), PALETTE[4], "v"),
    "corrected": Kind(brief_of("corrected_gap"), PALETTE[3], "D"),
    "mean": Kind(brief_of("mean_gap"), PALETTE[0], "o"),
    "excess": Kind(brief_of("excess_gap"), PALETTE[1], "s"),
    "crossfit": Kind(brief_of("crossfit_gap"), PALETTE[2], "^"),
}
"""By the columns' first part; the first there is, is the headline."""


@styled
def selectivity_gap(
    gaps: pd.DataFrame,
    replicates: int = 10,
    note: str = "",
    trends: pd.DataFrame | None = None,
    width: float | None = None,
) -> Drawn:
    """The gap in mean selectivity to the reference against depth: of sparseness, which is claimed about, and the index.

    Tables of older runs have no gap of sparseness: that of the corrected index, or, of still older ones, of the index
    as it is, in excess of the null, and cross-fitted. Bars are 95 % intervals, the table's own or by t over bootstrap
    replicates of the images.

    Args:
        gaps: rows of `selectivity_gap.csv`.
        replicates: how many there were.
        note: what the images are.
        trends: rows of `selectivity_trend.csv`, whose slopes are written below each panel.
        width: inches.
    """
    gaps = need(gaps, "selectivity gap")
    kinds = _kinds(gaps)
    known = gaps[[f"{kind}_gap_se" for kind in kinds if f"{kind}_gap_se" in gaps]].notna().any(axis=None)
    said = "95 % intervals over the sampling of images, not of trainings." if known else "No standard errors."
    sloped = trends is not None and len(trends)
    handles = [kind.key for kind in kinds.values()] if len(kinds) > 1 else []
    grid = gap_facets(gaps, handles, f"{said} {note}", width, height=2.3 + (0.3 + 0.12 * len(kinds) if sloped else 0))
    for ax, network, mine in gap_panels(grid):
        for place, kind in enumerate(kinds):
            shift = 0.24 * (place / max(len(kinds) - 1, 1) - 0.5)
            _line(ax, mine, kind, shift, half_width(replicates), headline=place == 0)
        if sloped:
            ax.set_xlabel(_slopes(named(trends), network, kinds), fontsize=6.5)
    return Drawn(grid.figure, grid.axes)


def gap_facets(gaps: pd.DataFrame, handles: Sequence, note: str, width: float | None, height: float = 2.3) -> Facets:
    """A panel for each network, titled by it and its reference, and their numbers of trainings where they are known."""
    titles = {}
    for row in gaps.drop_duplicates("network").to_dict("records"):
        count = "" if "trainings" not in row else f", {row['trainings']} and {row['reference_trainings']} trainings"
        titles[row["network"]] = f"{pretty(row['network'])}\nminus {pretty(row['reference'])}{count}"
    labels: dict[str, Any] = {"ylabel": "Gap in the mean over units", "titles": titles, "lines": 4}
    return facets(gaps, "network", 2.4, height, handles, note, width, 3.4, **labels)


def gap_panels(grid: Facets) -> Iterator[tuple[Axes, str, pd.DataFrame]]:
    """The panels of a grid, with a line at no gap and the blocks' names at their depths."""
    for ax, network, mine in grid:
        ax.axhline(0, color="0.4", linewidth=0.8)
        places = mine.drop_duplicates("block")
        block_ticks(ax, places["depth"], places["block"], grid.room - 0.5)
        ax.set_xlim(places["depth"].min() - 0.5, places["depth"].max() + 0.5)
        yield ax, network, mine


def _kinds(gaps: pd.DataFrame) -> dict[str, Kind]:
    """Of the measures those that the table has; with a gap of sparseness, or corrected, that and the plain one."""
    there = [kind for kind in LOOKS if f"{kind}_gap" in gaps and gaps[f"{kind}_gap"].notna().any()]
    for headline in ("sparseness", "corrected"):
        if headline in there:
            return {kind: LOOKS[kind] for kind in (headline, "mean")}
    return {kind: LOOKS[kind] for kind in there}


def _line(ax: Axes, rows: pd.DataFrame, kind: str, shift: float, half: float, headline: bool) -> None:
    gap = rows[f"{kind}_gap"]
    if f"{kind}_low" in rows:
        errors = reach(gap, rows[f"{kind}_low"], rows[f"{kind}_high"])
    else:
        errors = half * rows[f"{kind}_gap_se"]  # NaN, where there are no errors, draws no bar
    look = LOOKS[kind].look | ({"linewidth": 1.4} if headline else {"linewidth": 0.9, "linestyle": "--"})
    ax.errorbar(rows["depth"] + shift, gap, errors, capsize=2, **look)


def _slopes(trends: pd.DataFrame, network: str, kinds: dict[str, Kind]) -> str:
    mine = trends[trends["network"] == network].set_index("gap")
    lines = ["slope per block:"]
    for kind, (name, *_) in kinds.items():
        if kind in mine.index:
            slope, high = mine.loc[kind, "slope"], mine.loc[kind, "slope_high"]
            interval = "" if np.isnan(high) else f" ± {high - slope:.4f}"
            lines.append(f"{name} " + f"{slope:+.4f}{interval}".replace("-", "−"))
    return "\n".join(lines) if len(lines) > 1 else ""


def pictures(run: StoredRun, look: Look) -> Pictures:
    gaps = run.table("selectivity_gap.csv")
    if run.has("selectivity_gap_trainings.csv"):  # those of two groups have a figure of their own
        gaps = gaps[[not (run.group(row.network) and run.group(row.reference)) for row in gaps.itertuples()]]
    if gaps.empty:
        return
    # a slope is over all blocks: beside some of them it would be read as theirs
    whole = run.has("selectivity_trend.csv") and not run.blocks
    trends = run.table("selectivity_trend.csv") if whole else None
    yield "fig2_gap", selectivity_gap(gaps, run.replicates, run.caption(), trends, look.width)[0]
