"""Gates: how their values are spread, what they vary with, and by block their selectivity and tie to activity."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..names import paper_name, pretty
from .drawn import Drawn
from .stored import StoredRun
from .style import (
    NAME_SIZE,
    PALETTE,
    WIDTH,
    Look,
    block_ticks,
    colors_of,
    hide_rest,
    in_rows,
    key,
    named,
    need,
    panel_width,
    panels,
    percent_axis,
    styled,
    width_for,
    wrapped,
)

NEEDS = ("gates_blocks.csv", "gates_histogram.csv")
PARTS = {
    "channel": ("which channel it is", "0.75"),
    "class": ("the image's class", PALETTE[0]),
    "image": ("the image within its class", PALETTE[1]),
}
"""Of a gate's variance, by the columns' names: in words, and a colour."""

LINES = {
    "mean_csi": ("index of gates", PALETTE[0], "o", "-"),
    "mean_null": ("its null", "0.5", "x", ":"),
    "mean_corrected": ("corrected index", PALETTE[3], "D", "-"),
    "mean_rank_correlation": ("rank correlation with activity", PALETTE[2], "s", "--"),
    "mean_rank_correlation_within": ("the same within classes", PALETTE[4], "^", "--"),
}
"""By column: in words, colour, marker, line."""


@styled
def gate_variance(blocks: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """What the values of gates vary with, block by block, a panel a network: shares of their variance.

    Bars on the boundaries are 95 % intervals over images of what depends on the image at all.

    Args:
        blocks: rows of `gates_blocks.csv`.
        note: what the images are.
        width: inches.
    """
    need(blocks, "gates")
    blocks = named(blocks)
    networks = list(blocks["network"].unique())
    width = width or width_for(len(networks), 2.6)
    handles = [key(name, color=color, linewidth=5) for name, color in PARTS.values()]
    rows, columns = in_rows(len(networks), width, 2.0)
    room = panel_width(width, columns)
    figure, axes = panels(rows, columns, width, 2.0, handles, note, ylabel="Share of variance", sharey=True)
    for ax, network in zip(axes.flat, networks, strict=False):
        mine = blocks[blocks["network"] == network]
        below = np.zeros(len(mine))
        for part, (_, color) in PARTS.items():
            share = mine[f"share_{part}"].to_numpy()
            ax.bar(mine["depth"], share, 0.75, below, color=color, edgecolor="white", linewidth=0.4)
            below = below + share
        reach = 1.96 * mine["share_input_se"]
        ax.errorbar(mine["depth"], mine["share_channel"], reach, fmt="none", ecolor="0.15", capsize=2, linewidth=0.8)
        ax.set_ylim(0, 1)
        percent_axis(ax.yaxis)
        block_ticks(ax, mine["depth"], mine["block"], room - 0.5)
        ax.set_title(wrapped(pretty(network), NAME_SIZE, room, 3))
    hide_rest(axes, len(networks))
    return Drawn(figure, axes)


@styled
def gate_distributions(histogram: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """The distribution of gate values over channels and images, a panel a block, a line a network.

    Args:
        histogram: rows of `gates_histogram.csv`.
        note: what the images are.
        width: inches.
    """
    need(histogram, "gates")
    histogram = named(histogram)
    blocks = list(histogram["block"].unique())
    width = width or WIDTH
    colors = colors_of(histogram["network"].unique())
    handles = [key(pretty(label), color=color) for label, color in colors.items()]
    rows, columns = in_rows(len(blocks), width, 1.1)
    labels = {"xlabel": "Gate", "ylabel": "Share of values"}
    figure, axes = panels(rows, columns, width, 1.5, handles, note, sharex=True, sharey=True, **labels)
    for ax, block in zip(axes.flat, blocks, strict=False):
        for label, color in colors.items():
            mine = histogram[(histogram["block"] == block) & (histogram["network"] == label)]
            if len(mine):
                edges = [*mine["low"], mine["high"].iloc[-1]]
                ax.stairs(mine["share"], edges, color=color, linewidth=1.1)
        ax.set_title(paper_name(block))
        ax.set_xlim(0, 1)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes[0, 0].set_ylim(bottom=0)
    hide_rest(axes, len(blocks))
    return Drawn(figure, axes)


@styled
def gates_by_depth(blocks: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """The class selectivity of gates and their rank correlation with their block's activity, against depth.

    Args:
        blocks: rows of `gates_blocks.csv`.
        note: what the images are.
        width: inches.
    """
    need(blocks, "gates")
    blocks = named(blocks)
    networks = list(blocks["network"].unique())
    width = width or width_for(len(networks), 2.6)
    there = [column for column in LINES if column in blocks and blocks[column].notna().any()]
    handles = [
        key(LINES[each][0], color=LINES[each][1], marker=LINES[each][2], linestyle=LINES[each][3], markersize=3.5)
        for each in there
    ]
    rows, columns = in_rows(len(networks), width, 2.0)
    room = panel_width(width, columns)
    figure, axes = panels(rows, columns, width, 2.0, handles, note, ylabel="Mean over channels", sharey=True)
    for ax, network in zip(axes.flat, networks, strict=False):
        mine = blocks[blocks["network"] == network]
        ax.axhline(0, color="0.4", linewidth=0.8)
        for column in there:
            _, color, marker, line = LINES[column]
            ax.plot(mine["depth"], mine[column], color=color, marker=marker, linestyle=line, markersize=3.5)
        block_ticks(ax, mine["depth"], mine["block"], room - 0.5)
        ax.set_title(wrapped(pretty(network), NAME_SIZE, room, 3))
    hide_rest(axes, len(networks))
    return Drawn(figure, axes)


def pictures(run: StoredRun, look: Look) -> Iterator[tuple[str, Figure]]:
    """The three figures of every network with gates."""
    blocks, histogram = run.table("gates_blocks.csv"), run.table("gates_histogram.csv")
    if blocks.empty or histogram.empty:
        return
    said = "Bars: 95 % over images of what depends on the image."
    yield "fig_gates_variance", gate_variance(blocks, run.caption(said), look.width)[0]
    yield "fig_gates_distribution", gate_distributions(histogram, run.caption(), look.width)[0]
    yield "fig_gates_depth", gates_by_depth(blocks, run.caption(), look.width)[0]
