"""The class selectivity index of every unit against its null."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from ..names import paper_name, pretty
from ..results.columns import INDEX_TITLES
from .drawn import Drawn
from .stored import StoredRun
from .style import (
    NAME_SIZE,
    Look,
    colors_of,
    hide_rest,
    in_rows,
    key,
    named,
    need,
    panel_width,
    panels,
    styled,
    unit_ticks,
    width_for,
    wrapped,
)

NEEDS = ("selectivity.csv",)


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
    blocks, colors = list(table["block"].unique()), colors_of(table["network"].unique())
    width = width or width_for(len(blocks), 1.06)
    handles = [key(pretty(label), color=color, marker="o", linestyle="") for label, color in colors.items()]
    handles.append(key("index = null", color="0.4", linewidth=0.8))
    lines, columns = in_rows(len(blocks), width, 0.85)
    labels = {"xlabel": "Null: mean index under permuted labels", "ylabel": INDEX_TITLES["csi"]}
    height = min(panel_width(width, columns), 2.2) + 0.2
    rows = len(colors) * lines
    figure, axes = panels(rows, columns, width, height, handles, note, sharex=True, sharey=True, **labels)
    for number, (label, color) in enumerate(colors.items()):
        mine = axes[number * lines : (number + 1) * lines]
        hide_rest(mine, len(blocks))
        for ax, block in zip(mine.flat, blocks, strict=False):
            units = known[(known["network"] == label) & (known["block"] == block)]
            ax.plot([0, 1], [0, 1], color="0.4", linewidth=0.8)
            ax.plot(units["csi_null"], units["csi"], ".", color=color, markersize=2, alpha=0.5, rasterized=True)
            ax.set_aspect("equal")
            if number == 0 or lines > 1:
                ax.set_title(wrapped(paper_name(block), NAME_SIZE, panel_width(width, columns), 2))
    reach = 0.5 if known[["csi", "csi_null"]].max(axis=None) < 0.5 else 1
    axes[0, 0].set(xlim=(0, reach), ylim=(0, reach))
    for axis in (axes[0, 0].xaxis, axes[0, 0].yaxis):
        unit_ticks(axis, reach, panel_width(width, columns))
    return Drawn(figure, axes)


def pictures(run: StoredRun, look: Look) -> Iterator[tuple[str, Figure]]:
    units = run.table("selectivity.csv")
    if len(units) and len(units.dropna(subset=["csi", "csi_null"])):
        yield "fig2_null", selectivity_against_null(units, run.caption(), look.width)[0]
