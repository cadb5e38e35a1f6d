"""Class selectivity over a training."""

from typing import Any

import pandas as pd

from ..names import paper_name
from ..results.tables import brief_of, title_of
from ..statistics.samples import half_width
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import Look, accuracy_axis, colors_by_depth, epoch_axis, keys, marker_of, need, styled

NEEDS = ("selectivity_epochs.csv",)
MEASURES = ("mean_corrected", "mean_csi", "mean_excess", "mean_crossfit")


@styled
def selectivity_over_training(
    epochs: pd.DataFrame, replicates: int = 10, note: str = "", width: float | None = None
) -> Drawn:
    """Mean selectivity against epoch, a panel for each measure that the table has; and accuracy. Blocks in colour.

    As Ranadive et al. (2023) study. Bands are 95 % intervals by t over bootstrap replicates of the images.

    Args:
        epochs: rows of `selectivity_epochs.csv`, of one network.
        replicates: how many there were.
        note: what the images are.
        width: inches.
    """
    epochs = need(epochs, "selectivity over training")
    colors, measures = colors_by_depth(epochs["block"].unique()), _measures(epochs)
    errors = [f"{column}_se" for column in measures if f"{column}_se" in epochs]
    if epochs[errors].notna().any(axis=None):
        note = f"Bands: 95 % intervals over the sampling of images, not of trainings. {note}"
    titles = measures | {"top1": brief_of("top1")}
    grid = facets(epochs, "measure", 1.3, 1.9, keys(colors, paper_name), note, width, titles=titles, sharey=False)
    first = grid.axes[0, 0]
    look: dict[str, Any] = {"marker": marker_of(epochs["epoch"].nunique()), "markersize": 3}
    for ax, column in grid.panels():
        epoch_axis(ax, epochs["epoch"])
        if column == "top1":
            once = epochs.drop_duplicates("epoch")
            ax.plot(once["epoch"], 1 - once["top1_error"] / 100, color="black", **look)
            accuracy_axis(ax)
            continue
        for block, color in colors.items():
            mine = epochs[epochs["block"] == block]
            ax.plot(mine["epoch"], mine[column], color=color, **look)
            if f"{column}_se" in mine:
                half = half_width(replicates) * mine[f"{column}_se"]
                ax.fill_between(mine["epoch"], mine[column] - half, mine[column] + half, color=color, alpha=0.2, lw=0)
        if ax is not first:
            ax.sharey(first)
    first.set_ylabel(title_of("mean_csi"))
    return Drawn(grid.figure, grid.axes)


def _measures(epochs: pd.DataFrame) -> dict[str, str]:
    """Of the measures those that the table has; with a corrected index, that and the plain one alone."""
    there = [column for column in MEASURES if column in epochs and epochs[column].notna().any()]
    if "mean_corrected" in there:
        there = [column for column in there if column in ("mean_corrected", "mean_csi")]
    return {column: brief_of(column) for column in there or ["mean_csi"]}


def pictures(run: StoredRun, look: Look) -> Pictures:
    epochs = run.table("selectivity_epochs.csv")
    if len(epochs):
        yield "fig_epochs", selectivity_over_training(epochs, run.replicates, run.caption(), look.width)[0]
