"""Do indices predict lesions: a heat map of rank correlations, index by damage, block by block."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from ..names import paper_name, pretty
from ..results.tables import brief_of
from ..statistics.lesions import DAMAGES
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun, each_network
from .style import NAME_SIZE, WIDTH, Look, in_rows, need, panel_width, styled, wrapped

NEEDS = ("lesions_agreement.csv",)
BRIEF = {name: brief_of(name) for name in (*DAMAGES, "active_fraction", "mu_max")}
BRIEF["csi_corrected"] = "csi, corrected"
"""What damages and indices are called; other indices by their names."""
LEAST = 1.7
"""Inches of a block's panel."""
BAR = 0.5
"""Inches of the colour bar above the panels."""
CORRELATION = plt.get_cmap("RdBu_r").with_extremes(bad="0.85")


@styled
def lesion_agreement(agreement: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """Spearman's correlation over units of each index with each damage, a panel a block.

    A number in bold has a 95 % interval over units without 0. An index that is the same for all units of a block has
    no correlation: a dash on grey; one that has none in any block is left out.

    Args:
        agreement: rows of `lesions_agreement.csv` of one network.
        note: what the images are.
        width: inches.
    """
    agreement = need(agreement, "lesions")
    known = agreement[agreement["correlation"].notna()]
    indices = list(known["index"].unique()) or list(agreement["index"].unique())
    measures = list(agreement["damage"].unique())
    blank = agreement[agreement["index"].isin(indices)]["correlation"].isna().any()
    dashes = "–: no correlation, as the index is the same for all units." if blank else ""
    note = f"{pretty(agreement['network'].iloc[0])}. {dashes} {note}"
    labels: dict[str, Any] = {"xlabel": "Damage to", "ylabel": "Index"}
    width, blocks = width or WIDTH, agreement["block"].unique()
    rows, columns = in_rows(len(blocks), width, LEAST)
    # indices' names stand beside the panels: titles have what those leave
    room = panel_width(width, columns) - 0.5
    labels["titles"] = {block: wrapped(paper_name(block), NAME_SIZE, room, 2) for block in blocks}
    height = 0.19 * len(indices) + 0.35 + 0.25 + BAR / rows
    grid = facets(agreement, "block", LEAST, height, note=note, width=width, sharex=True, **labels)
    picture = ScalarMappable(Normalize(-1, 1), CORRELATION)
    for ax, _, mine in grid:
        cells = mine.set_index(["index", "damage"])
        values = np.array([[cells.loc[(index, each), "correlation"] for each in measures] for index in indices])
        ax.imshow(picture.to_rgba(np.ma.masked_invalid(values)), aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            cell = cells.loc[(indices[row], measures[column])]
            look: dict[str, Any] = {"weight": "bold" if cell["low"] > 0 or cell["high"] < 0 else "normal"}
            look |= {"ha": "center", "va": "center", "color": "white" if abs(value) > 0.6 else "black"}
            ax.text(column, row, _written(value), fontsize=5.5, **look)
        ax.set_xticks(range(len(measures)), [BRIEF.get(each, each) for each in measures], fontsize=6)
        ax.tick_params(axis="x", rotation=90)
        ax.set_yticks(range(len(indices)), [BRIEF.get(each, each) for each in indices], fontsize=6)
        ax.grid(False)
    place: dict[str, Any] = {"location": "top", "shrink": 0.5, "aspect": 20, "ticks": [-1, -0.5, 0, 0.5, 1]}
    bar = grid.figure.colorbar(picture, ax=grid.axes, **place)
    bar.ax.tick_params(labelsize=6)
    bar.set_label("Spearman's rank correlation over units", fontsize=7)
    return Drawn(grid.figure, grid.axes)


def _written(value: float) -> str:
    """A correlation in a cell: no −0.0, and a dash where there is none."""
    return "–" if np.isnan(value) else f"{round(value, 1) + 0.0:.1f}".replace("-", "−")


def pictures(run: StoredRun, look: Look) -> Pictures:
    """One a network."""
    said = "Bold: 95 % over units leaves 0 out. Index on one half of the images, damage on the other."
    for name, agreement in each_network(run.table("lesions_agreement.csv"), "fig_lesions", numbered=True):
        yield name, lesion_agreement(agreement, run.caption(said), look.width)[0]
