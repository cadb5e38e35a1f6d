"""What the values of gates vary with, block by block."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from ..results.tables import brief_of
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import MEANS, PALETTE, Look, block_ticks, each_training, need, percent_axis, styled

SHARES: dict[str, Any] = {"share_channel": "0.75", "share_class": PALETTE[0], "share_image": PALETTE[1]}
"""Of a gate's variance, each with its colour."""
HATCHES = {"share_image": "////"}

NEEDS = {"gates_blocks.csv": (*SHARES, "share_input_se")}


@styled
def gate_variance(
    blocks: pd.DataFrame, note: str = "", width: float | None = None, trainings: pd.DataFrame | None = None
) -> Drawn:
    """What the values of gates vary with, block by block, a panel a network: shares of their variance.

    Bars on the boundaries are 95 % intervals over images of what depends on the image at all; of a group of trainings,
    whose means are drawn, dots are that boundary of each of them.

    Args:
        blocks: rows of `gates_blocks.csv`.
        note: what the images are.
        width: inches.
        trainings: where networks are groups, rows of each training, `network` its group's and `training` its own label.
    """
    handles = [
        Patch(facecolor=color, edgecolor="white", hatch=HATCHES.get(column, ""), label=brief_of(column))
        for column, color in SHARES.items()
    ]
    blocks = need(blocks, "gates")
    grid = facets(blocks, "network", 2.0, 2.0, handles, note, width, 2.6, ylabel="Share of variance")
    for ax, network, mine in grid:
        below = np.zeros(len(mine))
        for column, color in SHARES.items():
            share = mine[column].to_numpy()
            ax.bar(
                mine["depth"],
                share,
                0.75,
                below,
                color=color,
                edgecolor="white",
                linewidth=0.4,
                hatch=HATCHES.get(column, ""),
            )
            below = below + share
        several = each_training(trainings, network)
        for each in several:
            ax.plot(each["depth"], each["share_channel"], "o", color="0.15", markersize=2)
        if not several:
            look: dict[str, Any] = {"fmt": "none", "ecolor": "0.15", "capsize": 2, "linewidth": 0.8}
            ax.errorbar(mine["depth"], mine["share_channel"], 1.96 * mine["share_input_se"], **look)
        ax.set_ylim(0, 1)
        percent_axis(ax.yaxis)
        block_ticks(ax, mine["depth"], mine["block"], grid.room - 0.5)
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    """One for all networks with gates."""
    blocks = run.table("gates_blocks.csv")
    if len(blocks):
        blocks, each = run.group_means(blocks, ("network", "block", "depth"), (*SHARES, "share_input_se"))
        single = each is None or not set(blocks["network"]) <= set(each["network"])
        said = "Bars: 95 % over images of what depends on the image." if single else ""
        dots = "" if each is None else f"{MEANS} Dots: the channel's share in each training."
        yield "fig_gates_variance", gate_variance(blocks, run.caption(said, dots), look.width, each)[0]
