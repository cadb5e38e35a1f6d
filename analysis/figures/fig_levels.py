"""Mean class selectivity at the levels of a hierarchy of classes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..names import file_name, paper_name, pretty, unique_label
from ..statistics.samples import half_width
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
    styled,
    width_for,
    wrapped,
)

NEEDS = ("selectivity_levels.csv",)


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
    need(table, "selectivity by level")
    table = named(table).assign(level=table["level"].astype(str))
    blocks, levels = list(table["block"].unique()), list(table["level"].unique())
    width = width or width_for(len(blocks), 1.7)
    rows, columns = in_rows(len(blocks), width, 1.25)
    color = PALETTE[0]
    handles = [
        key("index of groups", color=color, marker="o", markersize=3.5),
        Patch(color="0.8", label="random groups as large, 95 %"),
    ]
    labelled = table["mean_label_null"].notna().any()
    if labelled:
        handles.append(key("labels permuted", color=PALETTE[1], linestyle=":"))
    said = "Bars: 95 % intervals over images." if table["mean_csi_se"].notna().any() else ""
    labels = {"xlabel": "Level: groups of classes", "ylabel": "Mean class selectivity"}
    title = pretty(table["network"].iloc[0])
    shared: dict[str, Any] = {"sharex": True, "sharey": True, "title": title}
    figure, axes = panels(rows, columns, width, 1.6, handles, f"{said} {note}", **shared, **labels)
    room = panel_width(width, columns)
    places = np.arange(len(levels))
    sizes = table.drop_duplicates("level").set_index("level")["groups"]
    names = [f"{level}: {sizes[level]}" for level in levels]
    for ax, block in zip(axes.flat, blocks, strict=False):
        mine = table[table["block"] == block].set_index("level").reindex(levels)
        ax.fill_between(places, mine["null_low"], mine["null_high"], color="0.8", linewidth=0)
        ax.plot(places, mine["mean_null"], color="0.5", linewidth=0.8, marker="_")
        if labelled:
            ax.plot(places, mine["mean_label_null"], color=PALETTE[1], linestyle=":", marker=".", markersize=3)
        errors = half_width(replicates) * mine["mean_csi_se"]
        ax.errorbar(places, mine["mean_csi"], errors, color=color, marker="o", markersize=3.5, capsize=1.5)
        block_ticks(ax, places, names, room - 0.5)
        ax.set_xlim(-0.5, len(levels) - 0.5)
        ax.set_title(wrapped(paper_name(block), NAME_SIZE, room, 2))
    highest = table[["mean_csi", "null_high", "mean_label_null"]].max(axis=None)
    axes[0, 0].set_ylim(0, 1.1 * highest if highest > 0 else 1)
    hide_rest(axes, len(blocks))
    return Drawn(figure, axes)


def pictures(run: StoredRun, look: Look) -> Iterator[tuple[str, Figure]]:
    table = run.table(NEEDS[0])
    taken: list[str] = []
    for network, rows in table.groupby("network", sort=False) if len(table) else ():
        taken.append(unique_label(f"fig_levels_{file_name(network)}", taken))
        yield taken[-1], selectivity_by_level(rows, run.replicates, run.caption(), look.width)[0]
