"""Accuracy with static gates: what it is worth that a gate depends on its input."""

from typing import Any

import numpy as np
import pandas as pd

from ..results.tables import title_of
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import MEANS, PALETTE, Kind, Look, block_ticks, each_training, key, need, percent_axis, reach, styled

NEEDS = {"gates_static.csv": ("top1_low", "top1_high")}
SUBSTITUTES = {
    "class": Kind("mean of its class", PALETTE[0], "o"),
    "mean": Kind("mean of all", PALETTE[1], "s"),
    "other": Kind("another image's", PALETTE[3], "D"),
    "one": Kind("1", PALETTE[2], "^"),
}
"""By what a gate's value is replaced by."""


@styled
def static_gates(
    points: pd.DataFrame, note: str = "", width: float | None = None, trainings: pd.DataFrame | None = None
) -> Drawn:
    """Top-1 accuracy with the gates of one block, or of all, replaced, a panel a network; the line is the network as
    it is. Of a group of trainings it is their mean, and small each of them.

    Args:
        points: rows of `gates_static.csv`.
        note: what the images are.
        width: inches.
        trainings: where networks are groups, rows of each training, `network` its group's and `training` its own label.
    """
    points = need(points, "static gates")
    whole = points[points["block"] == ""].set_index("network")["top1"]
    replaced = need(points[points["block"] != ""], "static gates")
    handles = [key(kind.name, color=kind.color, marker=kind.marker, markersize=4) for kind in SUBSTITUTES.values()]
    labels: dict[str, Any] = {"ylabel": title_of("top1"), "title": "A gate's value replaced by"}
    grid = facets(replaced, "network", 2.2, 2.2, handles, note, width, 2.8, **labels)
    for ax, network, mine in grid:
        ax.axhline(whole[network], color="0.4", linewidth=0.8)
        blocks, several = list(mine["block"].unique()), each_training(trainings, network)
        places = np.arange(len(blocks))
        for shift, (gate, kind) in zip(np.linspace(-0.24, 0.24, len(SUBSTITUTES)), SUBSTITUTES.items(), strict=True):
            line = mine[mine["gate"] == gate].set_index("block").reindex(blocks)
            errors = None if several else reach(line["top1"], line["top1_low"], line["top1_high"])
            look: dict[str, Any] = {
                "fmt": kind.marker,
                "color": kind.color,
                "markersize": 4,
                "capsize": 1.5,
                "linewidth": 0.8,
            }
            ax.errorbar(places + shift, line["top1"], errors, **look)
            for each in several:
                small = each[each["gate"] == gate].set_index("block").reindex(blocks)["top1"]
                ax.plot(places + shift, small, kind.marker, color=kind.color, markersize=2, fillstyle="none")
        percent_axis(ax.yaxis)
        names = [block if "." in block else f"all of {block}" for block in blocks]
        block_ticks(ax, places, names, grid.room - 0.5)
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    """One for all networks."""
    points = run.table("gates_static.csv")
    if len(points) and (points["block"] != "").any():
        points, each = run.group_means(points, ("network", "block", "gate"), ("top1", "top1_low", "top1_high"))
        single = each is None or not set(points["network"]) <= set(each["network"])
        bars = "Bars: Wilson 95 % over images." if single else ""
        small = "" if each is None else f"{MEANS} Small: each training."
        said = run.caption(bars, small, "Line: the network with its own gates.")
        yield "fig_gates_static", static_gates(points, said, look.width, each)[0]
