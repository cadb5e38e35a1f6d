"""Gates: how their values are spread, what they vary with, and by block their selectivity and tie to activity."""

from typing import Any

import numpy as np
import pandas as pd

from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import PALETTE, Kind, Look, block_ticks, colors_of, key, keys, need, percent_axis, styled

NEEDS = ("gates_blocks.csv", "gates_histogram.csv")
PARTS = {
    "channel": ("which channel it is", "0.75"),
    "class": ("the image's class", PALETTE[0]),
    "image": ("the image within its class", PALETTE[1]),
}
"""Of a gate's variance, by the columns' names: in words, and a colour."""

LINES = {
    "mean_csi": Kind("index of gates", PALETTE[0], "o"),
    "mean_null": Kind("its null", "0.5", "x", ":"),
    "mean_corrected": Kind("corrected index", PALETTE[3], "D"),
    "mean_rank_correlation": Kind("rank correlation with activity", PALETTE[2], "s", "--"),
    "mean_rank_correlation_within": Kind("the same within classes", PALETTE[4], "^", "--"),
}
"""By column."""


@styled
def gate_variance(blocks: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """What the values of gates vary with, block by block, a panel a network: shares of their variance.

    Bars on the boundaries are 95 % intervals over images of what depends on the image at all.

    Args:
        blocks: rows of `gates_blocks.csv`.
        note: what the images are.
        width: inches.
    """
    handles = [key(name, color=color, linewidth=5) for name, color in PARTS.values()]
    shared: dict[str, Any] = {"each": 2.6, "ylabel": "Share of variance"}
    grid = facets(need(blocks, "gates"), "network", 2.0, 2.0, handles, note, width, **shared)
    for ax, _, mine in grid:
        below = np.zeros(len(mine))
        for part, (_, color) in PARTS.items():
            share = mine[f"share_{part}"].to_numpy()
            ax.bar(mine["depth"], share, 0.75, below, color=color, edgecolor="white", linewidth=0.4)
            below = below + share
        errors = 1.96 * mine["share_input_se"]
        ax.errorbar(mine["depth"], mine["share_channel"], errors, fmt="none", ecolor="0.15", capsize=2, linewidth=0.8)
        ax.set_ylim(0, 1)
        percent_axis(ax.yaxis)
        block_ticks(ax, mine["depth"], mine["block"], grid.room - 0.5)
    return Drawn(grid.figure, grid.axes)


@styled
def gate_distributions(histogram: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """The distribution of gate values over channels and images, a panel a block, a line a network.

    Args:
        histogram: rows of `gates_histogram.csv`.
        note: what the images are.
        width: inches.
    """
    histogram = need(histogram, "gates")
    colors = colors_of(histogram["network"].unique())
    labels: dict[str, Any] = {"xlabel": "Gate", "ylabel": "Share of values", "lines": 0, "sharex": True}
    grid = facets(histogram, "block", 1.1, 1.5, keys(colors), note, width, **labels)
    for ax, _, here in grid:
        for label, color in colors.items():
            mine = here[here["network"] == label]
            if len(mine):
                ax.stairs(mine["share"], [*mine["low"], mine["high"].iloc[-1]], color=color, linewidth=1.1)
        ax.set_xlim(0, 1)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    grid.axes[0, 0].set_ylim(bottom=0)
    return Drawn(grid.figure, grid.axes)


@styled
def gates_by_depth(blocks: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """The class selectivity of gates and their rank correlation with their block's activity, against depth.

    Args:
        blocks: rows of `gates_blocks.csv`.
        note: what the images are.
        width: inches.
    """
    blocks = need(blocks, "gates")
    there = {column: kind for column, kind in LINES.items() if column in blocks and blocks[column].notna().any()}
    handles = [kind.key for kind in there.values()]
    grid = facets(blocks, "network", 2.0, 2.0, handles, note, width, 2.6, ylabel="Mean over channels")
    for ax, _, mine in grid:
        ax.axhline(0, color="0.4", linewidth=0.8)
        for column, kind in there.items():
            ax.plot(mine["depth"], mine[column], **kind.look)
        block_ticks(ax, mine["depth"], mine["block"], grid.room - 0.5)
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    """The three figures of every network with gates."""
    blocks, histogram = run.table("gates_blocks.csv"), run.table("gates_histogram.csv")
    if blocks.empty or histogram.empty:
        return
    said = "Bars: 95 % over images of what depends on the image."
    yield "fig_gates_variance", gate_variance(blocks, run.caption(said), look.width)[0]
    yield "fig_gates_distribution", gate_distributions(histogram, run.caption(), look.width)[0]
    yield "fig_gates_depth", gates_by_depth(blocks, run.caption(), look.width)[0]
