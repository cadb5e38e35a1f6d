"""The class selectivity of gates and their tie to activity, block by block."""

import pandas as pd

from ..results.tables import brief_of
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import PALETTE, Kind, Look, block_ticks, need, styled

NEEDS = ("gates_blocks.csv",)
LOOKS = {
    "mean_csi": (PALETTE[0], "o", "-"),
    "mean_null": ("0.5", "x", ":"),
    "mean_corrected": (PALETTE[3], "D", "-"),
    "mean_rank_correlation": (PALETTE[2], "s", "--"),
    "mean_rank_correlation_within": (PALETTE[4], "^", "--"),
}
"""By column its colour, marker and line."""


@styled
def gates_by_depth(blocks: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """The class selectivity of gates and their rank correlation with their block's activity, against depth.

    Args:
        blocks: rows of `gates_blocks.csv`.
        note: what the images are.
        width: inches.
    """
    blocks = need(blocks, "gates")
    there = {
        column: Kind(brief_of(column, "gates_blocks.csv"), *look)
        for column, look in LOOKS.items()
        if column in blocks and blocks[column].notna().any()
    }
    handles = [kind.key for kind in there.values()]
    grid = facets(blocks, "network", 2.0, 2.0, handles, note, width, 2.6, ylabel="Mean over channels")
    for ax, _, mine in grid:
        ax.axhline(0, color="0.4", linewidth=0.8)
        for column, kind in there.items():
            ax.plot(mine["depth"], mine[column], **kind.look)
        block_ticks(ax, mine["depth"], mine["block"], grid.room - 0.5)
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    """One for all networks with gates."""
    blocks = run.table("gates_blocks.csv")
    if len(blocks):
        yield "fig_gates_depth", gates_by_depth(blocks, run.caption(), look.width)[0]
