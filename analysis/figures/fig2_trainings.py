"""The gap in mean selectivity between groups of trainings, against depth, with each pair of trainings."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..names import pretty
from .drawn import Drawn
from .fig2_gap import KINDS
from .stored import StoredRun
from .style import (
    NAME_SIZE,
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

NEEDS = ("selectivity_gap_trainings.csv", "selectivity_gap_seeds.csv")
SHOWN = ("corrected", "mean")


@styled
def selectivity_gap_over_trainings(
    gaps: pd.DataFrame, seeds: pd.DataFrame, note: str = "", width: float | None = None
) -> Drawn:
    """The gap in mean selectivity of groups of trainings to the reference group, against depth.

    Thick: the mean over trainings, with its 95 % interval over trainings and images; thin: each pair of trainings of
    one seed. The index corrected for noise, and beside it the index as it is.

    Args:
        gaps: rows of `selectivity_gap_trainings.csv`.
        seeds: rows of `selectivity_gap_seeds.csv`.
        note: what the images are.
        width: inches.
    """
    need(gaps, "selectivity gap")
    gaps, seeds = named(gaps), named(seeds)
    networks = list(gaps["network"].unique())
    width = width or width_for(len(networks), 3.4)
    handles = [key(KINDS[kind][0], color=KINDS[kind][1], marker=KINDS[kind][2], markersize=3.5) for kind in SHOWN]
    several = gaps["low"].notna().any()
    said = "Thin: each pair of trainings of one seed. "
    said += "Bars: 95 % intervals over trainings and images." if several else "No intervals of single trainings."
    rows, columns = in_rows(len(networks), width, 2.4)
    room = panel_width(width, columns)
    labels = {"ylabel": "Gap in mean class selectivity"}
    figure, axes = panels(rows, columns, width, 2.3, handles, f"{said} {note}", sharey=True, **labels)
    for ax, network in zip(axes.flat, networks, strict=False):
        mine = gaps[gaps["network"] == network]
        ax.axhline(0, color="0.4", linewidth=0.8)
        for shift, kind in zip((-0.12, 0.12), SHOWN, strict=True):
            color, marker = KINDS[kind][1:]
            each = seeds[(seeds["network"] == network) & (seeds["gap"] == kind)]
            for _, line in each.groupby("seed"):
                ax.plot(line["depth"] + shift, line["value"], color=color, linewidth=0.6, alpha=0.55)
            mean = mine[mine["gap"] == kind]
            errors = np.stack([mean["mean"] - mean["low"], mean["high"] - mean["mean"]])
            style = {"linewidth": 1.6, "linestyle": "-" if kind == SHOWN[0] else "--", "capsize": 2, "color": color}
            ax.errorbar(mean["depth"] + shift, mean["mean"], errors, marker=marker, markersize=3.5, **style)
        places = mine.drop_duplicates("block")
        block_ticks(ax, places["depth"], places["block"], room - 0.5)
        ax.set_xlim(places["depth"].min() - 0.5, places["depth"].max() + 0.5)
        number = mine["trainings"].iloc[0]
        several_of = "training" if number == 1 else "trainings"
        title = f"{pretty(network)}\nminus {pretty(mine['reference'].iloc[0])}, {number} {several_of} each"
        ax.set_title(wrapped(title, NAME_SIZE, room, 4))
    hide_rest(axes, len(networks))
    return Drawn(figure, axes)


def pictures(run: StoredRun, look: Look) -> Iterator[tuple[str, Figure]]:
    gaps = run.table(NEEDS[0])
    if not gaps.empty:
        figure, _ = selectivity_gap_over_trainings(gaps, run.table(NEEDS[1]), run.caption(), look.width)
        yield "fig2_trainings", figure
