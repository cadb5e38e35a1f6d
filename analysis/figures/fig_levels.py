"""Mean class selectivity at the levels of a hierarchy of classes."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from ..names import pretty
from ..results.tables import brief_of, title_of
from ..statistics.samples import half_width
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun, each_network
from .style import PALETTE, Look, block_ticks, key, need, styled

NEEDS = {"selectivity_levels.csv": ("mean_csi_se", "mean_null", "null_low", "null_high", "mean_label_null")}


@styled
def selectivity_by_level(
    table: pd.DataFrame, replicates: int = 10, note: str = "", width: float | None = None
) -> Drawn:
    """A network's mean index at each level, from classes to the coarsest groups, with that of random groups as large.

    Args:
        table: rows of `selectivity_levels.csv`, of one network.
        replicates: of the bootstrap behind standard errors.
        note: what the images are.
        width: inches.
    """
    table = need(table, "selectivity by level")
    table = table.assign(level=table["level"].astype(str))
    sizes = table.drop_duplicates("level").set_index("level")["groups"]
    places, names = np.arange(len(sizes)), [f"{level}: {size}" for level, size in sizes.items()]
    index: dict[str, Any] = {"color": PALETTE[0], "marker": "o", "markersize": 3.5}
    null: dict[str, Any] = {"color": "0.3", "marker": "x", "markersize": 3.5, "linestyle": "--", "linewidth": 1.2}
    handles = [
        key(brief_of("mean_csi", "selectivity_levels.csv"), **index),
        key("random groups as large, mean", **null),
        Patch(color="0.8", label="95 % of them"),
    ]
    labelled = table["mean_label_null"].notna().any()
    if labelled:
        handles.append(key(brief_of("mean_label_null"), color=PALETTE[1], linestyle=":", marker="s", markersize=2.5))
    said = "Bars: 95 % intervals over images." if table["mean_csi_se"].notna().any() else ""
    labels: dict[str, Any] = {
        "xlabel": f"{title_of('level')}: {brief_of('groups')}",
        "ylabel": title_of("mean_csi"),
        "title": pretty(table["network"].iloc[0]),
        "sharex": True,
    }
    grid = facets(table, "block", 1.25, 1.6, handles, f"{said} {note}", width, 1.7, **labels)
    for ax, _, here in grid:
        mine = here.set_index("level").reindex(sizes.index)
        ax.fill_between(places, mine["null_low"], mine["null_high"], color="0.8", linewidth=0)
        ax.plot(places, mine["mean_null"], **null)
        if labelled:
            ax.plot(places, mine["mean_label_null"], color=PALETTE[1], linestyle=":", marker="s", markersize=2.5)
        ax.errorbar(places, mine["mean_csi"], half_width(replicates) * mine["mean_csi_se"], capsize=1.5, **index)
        block_ticks(ax, places, names, grid.room - 0.5)
        ax.set_xlim(-0.5, len(names) - 0.5)
    highest = table[["mean_csi", "null_high", "mean_label_null"]].max(axis=None)
    grid.axes[0, 0].set_ylim(0, 1.1 * highest if highest > 0 else 1)
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    for name, rows in each_network(run.table("selectivity_levels.csv"), "fig_levels"):
        yield name, selectivity_by_level(rows, run.replicates, run.caption(), look.width)[0]
