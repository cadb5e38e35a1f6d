"""Mean class selectivity against the number of images of each class."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import NullLocator

from ..names import pretty
from ..results.tables import brief_of, title_of
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun, each_network
from .style import PALETTE, Kind, Look, need, styled

MEASURES = {
    "mean_sparseness": Kind(brief_of("mean_sparseness"), PALETTE[4], "v"),
    "mean_corrected": Kind(brief_of("mean_corrected"), PALETTE[3], "D"),
    "mean_csi": Kind(brief_of("mean_csi"), PALETTE[0], "o", "--"),
    "mean_null": Kind(brief_of("mean_null"), "0.5", "x", ":"),
}
NEEDS = {"selectivity_rarefaction.csv": (*MEASURES, *(f"{name}_sd" for name in MEASURES))}


@styled
def rarefaction(table: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """A network's mean index and sparseness against images a class, a panel a block.

    The index is also drawn corrected, and under permutation of the labels.

    Args:
        table: rows of `selectivity_rarefaction.csv`, of one network.
        note: what the images are.
        width: inches.
    """
    table = need(table, "rarefaction")
    handles = [kind.key for kind in MEASURES.values()]
    note = f"Bars: standard deviations over draws of images. {note}"
    labels: dict[str, Any] = {
        "xlabel": title_of("images_per_class"),
        "ylabel": title_of("mean_csi"),
        "title": pretty(table["network"].iloc[0]),
    }
    grid = facets(table, "block", 1.25, 1.6, handles, note, width, 1.4, **labels)
    for ax, _, mine in grid:
        for name, kind in MEASURES.items():
            spread = mine[f"{name}_sd"].fillna(0)
            ax.errorbar(mine["images_per_class"], mine[name], spread, capsize=1.5, linewidth=1.2, **kind.look)
        ax.set_xscale("log")
        _number(ax, mine["images_per_class"], grid.room)
    highest = max((table[name] + table[f"{name}_sd"].fillna(0)).max() for name in MEASURES)
    grid.axes[0, 0].set_ylim(0, 1.05 * highest if highest > 0 else 1)
    return Drawn(grid.figure, grid.axes)


def _number(ax, numbers: pd.Series, inches: float) -> None:
    """Ticks at the numbers there are, named as far as there is room."""
    places = np.log(numbers.to_numpy(dtype=float))
    whole = max(places[-1] - places[0], 1e-9)
    kept = {len(places) - 1}  # the last one is always named
    for at in range(len(places) - 2, -1, -1):
        if (places[min(kept)] - places[at]) / whole * inches >= 0.3:
            kept.add(at)
    names = [f"{number:g}" if at in kept else "" for at, number in enumerate(numbers)]
    ax.set_xticks(numbers, names, fontsize=7)
    ax.xaxis.set_minor_locator(NullLocator())


def pictures(run: StoredRun, look: Look) -> Pictures:
    for name, rows in each_network(run.table("selectivity_rarefaction.csv"), "fig_rarefaction"):
        yield name, rarefaction(rows, run.caption(), look.width)[0]
