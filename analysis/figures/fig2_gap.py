"""The gap in mean selectivity to the reference, against depth."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..names import pretty
from ..statistics.samples import half_width
from .drawn import Drawn
from .stored import StoredRun
from .style import (
    NAME_SIZE,
    PALETTE,
    Look,
    block_ticks,
    hide_rest,
    in_rows,
    key,
    named,
    need,
    panel_width,
    panels,
    styled,
    width_for,
    wrapped,
)

NEEDS = ("selectivity_gap.csv",)
KINDS = {
    "corrected": ("corrected index", PALETTE[3], "D"),
    "mean": ("index", PALETTE[0], "o"),
    "excess": ("index − null", PALETTE[1], "s"),
    "crossfit": ("cross-fitted", PALETTE[2], "^"),
}
"""By the columns' first part: what it is called, colour, marker. The first there is, is the headline."""


@styled
def selectivity_gap(
    gaps: pd.DataFrame,
    replicates: int = 10,
    note: str = "",
    trends: pd.DataFrame | None = None,
    width: float | None = None,
) -> Drawn:
    """The gap in mean selectivity to the reference against depth: corrected for noise, and beside it as it is.

    Tables of older runs have no corrected gap: as it is, in excess of the null, and cross-fitted. Bars are 95 %
    intervals, the table's own or by t over bootstrap replicates of the images.

    Args:
        gaps: rows of `selectivity_gap.csv`.
        replicates: how many there were.
        note: what the images are.
        trends: rows of `selectivity_trend.csv`, whose slopes are written below each panel.
        width: inches.
    """
    need(gaps, "selectivity gap")
    gaps = named(gaps)
    networks, kinds = list(gaps["network"].unique()), _kinds(gaps)
    width = width or width_for(len(networks), 3.4)
    handles = [key(name, color=color, marker=marker, markersize=3.5) for name, color, marker in kinds.values()]
    known = gaps[[f"{kind}_gap_se" for kind in kinds if f"{kind}_gap_se" in gaps]].notna().any(axis=None)
    said = "95 % intervals over the sampling of images, not of trainings." if known else "No standard errors."
    rows, columns = in_rows(len(networks), width, 2.4)
    room = panel_width(width, columns)
    height = 2.3 + (0.3 + 0.12 * len(kinds) if trends is not None and len(trends) else 0)
    labels = {"ylabel": "Gap in mean class selectivity"}
    handles = handles if len(kinds) > 1 else []
    figure, axes = panels(rows, columns, width, height, handles, f"{said} {note}", sharey=True, **labels)
    for ax, network in zip(axes.flat, networks, strict=False):
        mine = gaps[gaps["network"] == network]
        ax.axhline(0, color="0.4", linewidth=0.8)
        for place, kind in enumerate(kinds):
            _line(ax, mine, kind, 0.24 * (place / max(len(kinds) - 1, 1) - 0.5), half_width(replicates))
        block_ticks(ax, mine["depth"], mine["block"], room - 0.5)
        ax.set_xlim(mine["depth"].min() - 0.5, mine["depth"].max() + 0.5)
        title = f"{pretty(network)}\nminus {pretty(mine['reference'].iloc[0])}"
        ax.set_title(wrapped(title, NAME_SIZE, room, 4))
        if trends is not None and len(trends):
            ax.set_xlabel(_slopes(named(trends), network, kinds), fontsize=6.5)
    hide_rest(axes, len(networks))
    return Drawn(figure, axes)


def _kinds(gaps: pd.DataFrame) -> dict[str, tuple]:
    """Of the measures those that the table has; with a corrected gap, that and the plain one alone."""
    there = [kind for kind in KINDS if f"{kind}_gap" in gaps and gaps[f"{kind}_gap"].notna().any()]
    if "corrected" in there:
        there = [kind for kind in there if kind in ("corrected", "mean")]
    return {kind: KINDS[kind] for kind in there}


def _line(ax: Axes, rows: pd.DataFrame, kind: str, shift: float, reach: float) -> None:
    name, color, marker = KINDS[kind]
    gap = rows[f"{kind}_gap"]
    if f"{kind}_low" in rows:
        errors = np.stack([gap - rows[f"{kind}_low"], rows[f"{kind}_high"] - gap]).clip(min=0)
    else:
        errors = reach * rows[f"{kind}_gap_se"]  # NaN, where there are no errors, draws no bar
    headline = kind in ("corrected",) or (kind == "mean" and "corrected_gap" not in rows)
    ax.errorbar(
        rows["depth"] + shift,
        gap,
        errors,
        marker=marker,
        markersize=3.5,
        linewidth=1.4 if headline else 0.9,
        linestyle="-" if headline else "--",
        capsize=2,
        color=color,
        label=name,
    )


def _slopes(trends: pd.DataFrame, network: str, kinds: dict[str, tuple]) -> str:
    mine = trends[trends["network"] == network].set_index("gap")
    lines = ["slope per block:"]
    for kind, (name, *_) in kinds.items():
        if kind in mine.index:
            slope, high = mine.loc[kind, "slope"], mine.loc[kind, "slope_high"]
            interval = "" if np.isnan(high) else f" ± {high - slope:.4f}"
            lines.append(f"{name} " + f"{slope:+.4f}{interval}".replace("-", "−"))
    return "\n".join(lines) if len(lines) > 1 else ""


def pictures(run: StoredRun, look: Look) -> Iterator[tuple[str, Figure]]:
    gaps = run.table("selectivity_gap.csv")
    if run.has("selectivity_gap_trainings.csv"):  # those of two groups have a figure of their own
        gaps = gaps[[not (run.group(row.network) and run.group(row.reference)) for row in gaps.itertuples()]]
    if gaps.empty:
        return
    # a slope is over all blocks: beside some of them it would be read as theirs
    whole = run.has("selectivity_trend.csv") and not run.blocks
    trends = run.table("selectivity_trend.csv") if whole else None
    yield "fig2_gap", selectivity_gap(gaps, run.replicates, run.caption(), trends, look.width)[0]
