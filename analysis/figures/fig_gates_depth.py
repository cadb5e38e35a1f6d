"""The class selectivity of gates and their tie to activity, block by block."""

from typing import Any

import pandas as pd

from ..results.tables import brief_of
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import PALETTE, THIN, Kind, Look, bars_said, block_ticks, each_training, need, styled

NEEDS = ("gates_blocks.csv",)
LOOKS = {
    "mean_csi": (PALETTE[0], "o", "-"),
    "mean_corrected": (PALETTE[3], "D", "--"),
    "mean_null": ("0.5", "x", ":"),
    "mean_rank_correlation": (PALETTE[2], "s", "-"),
    "mean_rank_correlation_within": (PALETTE[4], "^", "--"),
}
"""By column its colour, marker and line."""
ROWS = {
    "class selectivity": ("mean_csi", "mean_corrected", "mean_null"),
    "rank correlation": ("mean_rank_correlation", "mean_rank_correlation_within"),
}
"""The quantities, each with an axis of its own, and their columns."""


@styled
def gates_by_depth(
    blocks: pd.DataFrame, note: str = "", width: float | None = None, trainings: pd.DataFrame | None = None
) -> Drawn:
    """The class selectivity of gates above, and below their rank correlation with their block's activity, by depth.

    A column a network; of a group of trainings it is their mean, and each of them, thin.

    Args:
        blocks: rows of `gates_blocks.csv`.
        note: what the images are.
        width: inches.
        trainings: where networks are groups, rows of each training, `network` its group's and `training` its own label.
    """
    blocks = need(blocks, "gates")
    there = {
        column: Kind(brief_of(column, "gates_blocks.csv"), *look)
        for column, look in LOOKS.items()
        if column in blocks and blocks[column].notna().any()
    }
    rows = [row for row, columns in ROWS.items() if any(column in there for column in columns)]
    handles = [kind.key for kind in there.values()]
    labels: dict[str, Any] = {"times": rows, "ylabel": "Mean over channels", "sharey": "row"}
    grid = facets(blocks, "network", 2.0, 2.0, handles, note, width, 2.6, **labels)
    for number, row in enumerate(rows):
        for ax, network in grid.panels(number):
            ax.axhline(0, color="0.4", linewidth=0.8)
            mine = blocks[blocks["network"] == network]
            for column in [column for column in ROWS[row] if column in there]:
                ax.plot(mine["depth"], mine[column], **there[column].look)
                for each in each_training(trainings, network):
                    ax.plot(each["depth"], each[column], color=there[column].color, **THIN)
            block_ticks(ax, mine["depth"], mine["block"], grid.room - 0.5)
            if number < len(rows) - 1:
                ax.tick_params(labelbottom=False)
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    """One for all networks with gates."""
    blocks = run.table("gates_blocks.csv")
    if len(blocks):
        blocks, each = run.group_means(blocks, ("network", "block", "depth"), tuple(LOOKS))
        said = bars_said("", blocks["network"], each)
        yield "fig_gates_depth", gates_by_depth(blocks, run.caption(said), look.width, each)[0]
