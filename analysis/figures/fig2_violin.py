"""The class selectivity index against depth, as violins."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from ..names import pretty
from ..results.tables import title_of
from .drawn import Drawn, Pictures
from .stored import StoredRun
from .style import Look, block_ticks, colors_of, in_rows, named, need, panels, styled, width_for

NEEDS = ("selectivity.csv",)


@styled
def selectivity_by_depth(selectivity: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """The distribution of the index against depth: a violin for each block and network, its quartiles dashed.

    More blocks than the width has room for go on in further rows, of which the first one's axes are returned.

    Args:
        selectivity: rows of `selectivity.csv`.
        note: what the images are.
        width: inches.
    """
    table = named(selectivity)
    alive = table.dropna(subset="csi")
    need(alive, "selectivity")
    blocks, colors = list(table["block"].unique()), colors_of(table["network"].unique())
    width = width or width_for(len(blocks), max(0.32 * len(colors), 0.55))
    handles = [Patch(facecolor=color, edgecolor="0.3", label=pretty(label)) for label, color in colors.items()]
    dead = alive.groupby(["network", "block"]).ngroups < table.groupby(["network", "block"]).ngroups
    if dead:
        note = f"No violin: all units of the block are dead. {note}"
    rows, columns = in_rows(len(blocks), width, max(0.16 * len(colors), 0.3))
    figure, axes = panels(rows, 1, width, 2.1, handles, note, ylabel=title_of("csi"), sharey=True)
    for row, ax in enumerate(axes.flat):
        shown = blocks[row * columns : (row + 1) * columns]
        mine = alive[alive["block"].isin(shown)]
        if len(mine):
            _violins(ax, mine, shown, colors)
        block_ticks(ax, range(len(shown)), shown, (width - 0.7) * len(shown) / columns)
        ax.set(xlabel="", ylabel="", xlim=(-0.5, columns - 0.5))
    axes[0, 0].set_ylim(0, None)
    return Drawn(figure, axes[0, 0])


def _violins(ax: Axes, units: pd.DataFrame, blocks: list[str], colors: dict[str, tuple]) -> None:
    import seaborn as sns  # takes seconds, and no other figure needs it

    order: dict[str, Any] = {"order": blocks, "hue_order": list(colors), "palette": colors}
    look: dict[str, Any] = {"cut": 0, "density_norm": "width", "inner": "quart", "linewidth": 0.7, "legend": False}
    sns.violinplot(units, x="block", y="csi", hue="network", ax=ax, **order, **look)


def pictures(run: StoredRun, look: Look) -> Pictures:
    units = run.table("selectivity.csv")
    if len(units) and units["csi"].notna().any():
        yield "fig2_violin", selectivity_by_depth(units, run.caption(), look.width)[0]
