"""What the values of gates vary with, block by block."""

import numpy as np
import pandas as pd

from ..results.tables import brief_of
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import PALETTE, Look, block_ticks, key, need, percent_axis, styled

SHARES = {"share_channel": "0.75", "share_class": PALETTE[0], "share_image": PALETTE[1]}
"""Of a gate's variance, each with its colour."""

NEEDS = {"gates_blocks.csv": (*SHARES, "share_input_se")}


@styled
def gate_variance(blocks: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """What the values of gates vary with, block by block, a panel a network: shares of their variance.

    Bars on the boundaries are 95 % intervals over images of what depends on the image at all.

    Args:
        blocks: rows of `gates_blocks.csv`.
        note: what the images are.
        width: inches.
    """
    handles = [key(brief_of(column), color=color, linewidth=5) for column, color in SHARES.items()]
    blocks = need(blocks, "gates")
    grid = facets(blocks, "network", 2.0, 2.0, handles, note, width, 2.6, ylabel="Share of variance")
    for ax, _, mine in grid:
        below = np.zeros(len(mine))
        for column, color in SHARES.items():
            share = mine[column].to_numpy()
            ax.bar(mine["depth"], share, 0.75, below, color=color, edgecolor="white", linewidth=0.4)
            below = below + share
        errors = 1.96 * mine["share_input_se"]
        ax.errorbar(mine["depth"], mine["share_channel"], errors, fmt="none", ecolor="0.15", capsize=2, linewidth=0.8)
        ax.set_ylim(0, 1)
        percent_axis(ax.yaxis)
        block_ticks(ax, mine["depth"], mine["block"], grid.room - 0.5)
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    """One for all networks with gates."""
    blocks = run.table("gates_blocks.csv")
    if len(blocks):
        said = "Bars: 95 % over images of what depends on the image."
        yield "fig_gates_variance", gate_variance(blocks, run.caption(said), look.width)[0]
