"""Accuracy with static gates: what it is worth that a gate depends on its input."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..names import pretty
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
    percent_axis,
    styled,
    width_for,
    wrapped,
)

NEEDS = ("gates_static.csv",)
KINDS = {
    "class": ("mean of its class", PALETTE[0], "o"),
    "mean": ("mean of all", PALETTE[1], "s"),
    "other": ("another image's", PALETTE[3], "D"),
    "one": ("1", PALETTE[2], "^"),
}
"""By what a gate's value is replaced by: in words, colour, marker."""


@styled
def static_gates(points: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """Top-1 accuracy with the gates of one block, or of all, replaced, a panel a network; the line is the network as
    it is.

    Args:
        points: rows of `gates_static.csv`.
        note: what the images are.
        width: inches.
    """
    need(points, "static gates")
    points = named(points)
    networks = list(points["network"].unique())
    width = width or width_for(len(networks), 2.8)
    handles = [key(name, color=color, marker=marker, markersize=4) for name, color, marker in KINDS.values()]
    rows, columns = in_rows(len(networks), width, 2.2)
    room = panel_width(width, columns)
    labels = {"ylabel": "Top-1 accuracy", "title": "A gate's value replaced by"}
    figure, axes = panels(rows, columns, width, 2.2, handles, note, sharey=True, **labels)
    for ax, network in zip(axes.flat, networks, strict=False):
        mine = points[points["network"] == network]
        ax.axhline(mine[mine["block"] == ""]["top1"].iloc[0], color="0.4", linewidth=0.8)
        replaced = mine[mine["block"] != ""]
        blocks = list(replaced["block"].unique())
        places = np.arange(len(blocks))
        for shift, (kind, (_, color, marker)) in zip(np.linspace(-0.24, 0.24, len(KINDS)), KINDS.items(), strict=True):
            line = replaced[replaced["gate"] == kind].set_index("block").reindex(blocks)
            reach = np.stack([line["top1"] - line["top1_low"], line["top1_high"] - line["top1"]]).clip(min=0)
            style = {"fmt": marker, "color": color, "markersize": 4, "capsize": 1.5, "linewidth": 0.8}
            ax.errorbar(places + shift, line["top1"], reach, **style)
        percent_axis(ax.yaxis)
        block_ticks(ax, places, [block if "." in block else f"all of {block}" for block in blocks], room - 0.5)
        ax.set_title(wrapped(pretty(network), NAME_SIZE, room, 3))
    hide_rest(axes, len(networks))
    return Drawn(figure, axes)


def pictures(run: StoredRun, look: Look) -> Iterator[tuple[str, Figure]]:
    """One for all networks."""
    points = run.table("gates_static.csv")
    if len(points):
        said = "Bars: Wilson 95 % over images. Line: the network with its own gates."
        yield "fig_gates_static", static_gates(points, run.caption(said), look.width)[0]
