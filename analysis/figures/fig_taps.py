"""Where selectivity arises: the mean index of each block from tap to tap."""

from typing import Any

import numpy as np
import pandas as pd

from ..results.tables import brief_of, title_of
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import THIN, Look, bars_said, colors_of, each_training, key, keys, markers_of, need, styled

ORDER = ("branch", "gated", "sum", "output")
LINES = {"mean_sparseness": "-", "mean_csi": ":"}
"""By column its line; the first has bars."""
NEEDS = {"taps_blocks.csv": (*LINES, "mean_sparseness_se")}


@styled
def selectivity_by_tap(
    taps: pd.DataFrame, note: str = "", width: float | None = None, trainings: pd.DataFrame | None = None
) -> Drawn:
    """The mean class selectivity of a block's units at its taps, a panel a block, a line a network.

    Solid the sparseness of class means, with 95 % intervals over images; dotted the index. Of a group of trainings it
    is their mean without intervals, and the sparseness of each of them, thin.

    Args:
        taps: rows of `taps_blocks.csv`.
        note: what the images are.
        width: inches.
        trainings: where networks are groups, rows of each training, `network` its group's and `training` its own label.
    """
    taps = need(taps, "taps")
    there = [tap for tap in ORDER if tap in set(taps["tap"])]
    networks = taps["network"].unique()
    colors, markers = colors_of(networks), markers_of(networks)
    handles = [
        *keys(colors, marker=markers),
        *(key(brief_of(column), color="0.3", linestyle=line) for column, line in LINES.items()),
    ]
    grid = facets(taps, "block", 1.3, 1.8, handles, note, width, ylabel=title_of("mean_csi"), sharex=True)
    for ax, block, here in grid:
        for shift, (label, color) in zip(np.linspace(-0.1, 0.1, len(colors)), colors.items(), strict=True):
            mine = here[here["network"] == label].set_index("tap").reindex(there)
            places = np.arange(len(there)) + shift
            known = mine["mean_csi"].notna().to_numpy()
            for column, line in LINES.items():
                ax.plot(places[known], mine[column][known], color=color, linestyle=line, linewidth=1.1)
            several = each_training(trainings, label, block)
            errors = None if several else 1.96 * mine["mean_sparseness_se"]
            look: dict[str, Any] = {"fmt": markers[label], "color": color, "markersize": 3, "capsize": 1.5}
            ax.errorbar(places, mine["mean_sparseness"], errors, **look)
            for each in several:
                heights = each.set_index("tap").reindex(there)["mean_sparseness"].to_numpy()
                ax.plot(places[known], heights[known], color=color, **THIN)
        ax.set_xticks(range(len(there)), there, rotation=45, ha="right", rotation_mode="anchor")
    grid.axes[0, 0].set_ylim(bottom=0)
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    """One for all networks."""
    taps = run.table("taps_blocks.csv")
    if len(taps):
        taps, each = run.group_means(taps, ("network", "block", "tap"), (*LINES, "mean_sparseness_se"))
        said = "At branch, gated and sum the positive part."
        bars = bars_said("Bars: 95 % over images.", taps["network"], each)
        yield "fig_taps", selectivity_by_tap(taps, run.caption(said, bars), look.width, each)[0]
