"""The class selectivity index of every unit against its null."""

from typing import Any

import pandas as pd
from matplotlib.axis import Axis
from matplotlib.ticker import MaxNLocator

from ..names import pretty
from ..results.tables import title_of
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import Look, colors_of, key, named, need, styled, width_for

NEEDS = {"selectivity.csv": ("csi_null",)}


@styled
def selectivity_against_null(selectivity: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """The index of every unit against its null: a unit on the line is no more selective than under permuted labels.

    A row for each network, in its colour; more blocks than the width has room for go on in further rows. Both axes
    begin at 0 and go as far as the units do.

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
    handles = [key("a unit", color="0.4", marker=".", linestyle=""), key("index = null", color="0.3", linewidth=0.8)]
    null = f"{title_of('csi_null')}: mean index under permuted labels"
    labels: dict[str, Any] = {"xlabel": null, "ylabel": title_of("csi"), "sharex": True}
    rows = [pretty(label) for label in colors]
    grid = facets(table, "block", 0.85, 1.2, handles, note, width, times=rows, **labels)
    for number, (label, color) in enumerate(colors.items()):
        for ax, block in grid.panels(number):
            units = known[(known["network"] == label) & (known["block"] == block)]
            ax.plot([0, 1], [0, 1], color="0.3", linewidth=0.8)
            ax.plot(units["csi_null"], units["csi"], ".", color=color, markersize=2, alpha=0.5, rasterized=True)
    ax = grid.axes[0, 0]
    ax.set(xlim=(0, _reach(ax.xaxis, known["csi_null"])), ylim=(0, _reach(ax.yaxis, known["csi"])))
    return Drawn(grid.figure, grid.axes)


def _reach(axis: Axis, values: pd.Series) -> float:
    """The end of an axis: a little more than the largest value; few ticks lead to it."""
    axis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
    axis.set_major_formatter("{x:g}")
    return 1.08 * max(float(values.max()), 0.01)


def pictures(run: StoredRun, look: Look) -> Pictures:
    units = run.table("selectivity.csv")
    if len(units) and len(units.dropna(subset=["csi", "csi_null"])):
        yield "fig2_null", selectivity_against_null(units, run.caption(), look.width)[0]
