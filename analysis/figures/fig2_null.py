"""The class selectivity index of every unit against its null."""

from typing import Any

import pandas as pd

from ..results.tables import title_of
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import Look, colors_of, in_rows, key, keys, named, need, panel_width, styled, unit_ticks, width_for

NEEDS = {"selectivity.csv": ("csi_null",)}


@styled
def selectivity_against_null(selectivity: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """The index of every unit against its null: a unit on the line is no more selective than under permuted labels.

    A row for each network, in its colour; more blocks than the width has room for go on in further rows.

    Args:
        selectivity: rows of `selectivity.csv`.
        note: what the images are.
        width: inches.
    """
    table = named(selectivity)
    known = table.dropna(subset=["csi", "csi_null"])
    need(known, "selectivity against null")
    blocks, colors = table["block"].unique(), colors_of(table["network"].unique())
    width = width or width_for(len(blocks), 1.06)
    handles = [*keys(colors, marker="o", linestyle=""), key("index = null", color="0.4", linewidth=0.8)]
    null = f"{title_of('csi_null')}: mean index under permuted labels"
    labels: dict[str, Any] = {"xlabel": null, "ylabel": title_of("csi"), "sharex": True}
    height = min(panel_width(width, in_rows(len(blocks), width, 0.85)[1]), 2.2) + 0.2
    grid = facets(table, "block", 0.85, height, handles, note, width, times=len(colors), **labels)
    for number, (label, color) in enumerate(colors.items()):
        for ax, block in grid.panels(number):
            units = known[(known["network"] == label) & (known["block"] == block)]
            ax.plot([0, 1], [0, 1], color="0.4", linewidth=0.8)
            ax.plot(units["csi_null"], units["csi"], ".", color=color, markersize=2, alpha=0.5, rasterized=True)
            ax.set_aspect("equal")
    reach, ax = 0.5 if known[["csi", "csi_null"]].max(axis=None) < 0.5 else 1, grid.axes[0, 0]
    ax.set(xlim=(0, reach), ylim=(0, reach))
    for axis in (ax.xaxis, ax.yaxis):
        unit_ticks(axis, reach, grid.room)
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    units = run.table("selectivity.csv")
    if len(units) and len(units.dropna(subset=["csi", "csi_null"])):
        yield "fig2_null", selectivity_against_null(units, run.caption(), look.width)[0]
