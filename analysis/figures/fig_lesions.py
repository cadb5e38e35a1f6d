"""Do indices predict lesions: a heat map of rank correlations, index by damage, block by block."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..names import pretty
from ..results.tables import brief_of
from ..statistics.lesions import DAMAGES
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun, each_network
from .style import Look, need, styled

NEEDS = ("lesions_agreement.csv",)
BRIEF = {name: brief_of(name) for name in (*DAMAGES, "active_fraction", "mu_max")}
BRIEF["csi_corrected"] = "csi, corrected"
"""What damages and indices are called; other indices by their names."""


@styled
def lesion_agreement(agreement: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """Spearman's correlation over units of each index with each damage, a panel a block.

    A number in bold has a 95 % interval over units without 0.

    Args:
        agreement: rows of `lesions_agreement.csv` of one network.
        note: what the images are.
        width: inches.
    """
    agreement = need(agreement, "lesions")
    indices, measures = (list(agreement[name].unique()) for name in ("index", "damage"))
    note = f"{pretty(agreement['network'].iloc[0])}. {note}"
    height = 0.19 * len(indices) + 0.35 + 0.25
    grid = facets(agreement, "block", 1.7, height, note=note, width=width, sharex=True)
    for ax, _, mine in grid:
        cells = mine.set_index(["index", "damage"])
        values = np.array([[cells.loc[(index, each), "correlation"] for each in measures] for index in indices])
        ax.imshow(values, cmap=plt.get_cmap("RdBu_r"), vmin=-1, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if not np.isnan(value):
                cell = cells.loc[(indices[row], measures[column])]
                look: dict[str, Any] = {"weight": "bold" if cell["low"] > 0 or cell["high"] < 0 else "normal"}
                look |= {"ha": "center", "va": "center", "color": "white" if abs(value) > 0.6 else "black"}
                ax.text(column, row, f"{value:.1f}".replace("-", "−"), fontsize=5.5, **look)
        ax.set_xticks(range(len(measures)), [BRIEF.get(each, each) for each in measures], fontsize=6)
        ax.tick_params(axis="x", rotation=90)
        ax.set_yticks(range(len(indices)), [BRIEF.get(each, each) for each in indices], fontsize=6)
        ax.grid(False)
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    """One a network."""
    said = "Bold: 95 % over units leaves 0 out. Index on one half of the images, damage on the other."
    for name, agreement in each_network(run.table("lesions_agreement.csv"), "fig_lesions", numbered=True):
        yield name, lesion_agreement(agreement, run.caption(said), look.width)[0]
