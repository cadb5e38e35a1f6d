"""Class selectivity over a training."""

import pandas as pd

from ..names import paper_name
from ..statistics.samples import half_width
from .drawn import Drawn, Pictures
from .stored import StoredRun
from .style import (
    WIDTH,
    Look,
    accuracy_axis,
    colors_by_depth,
    epoch_axis,
    hide_rest,
    in_rows,
    keys,
    marker_of,
    need,
    panels,
    styled,
)

NEEDS = ("selectivity_epochs.csv",)
MEASURES = {
    "mean_corrected": "corrected index",
    "mean_csi": "index",
    "mean_excess": "index − null",
    "mean_crossfit": "cross-fitted",
}


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
    epochs, width = need(epochs, "selectivity over training"), width or WIDTH
    colors = colors_by_depth(epochs["block"].unique())
    measures = _measures(epochs)
    errors = [f"{column}_se" for column in measures if f"{column}_se" in epochs]
    if epochs[errors].notna().any(axis=None):
        note = f"Bands: 95 % intervals over the sampling of images, not of trainings. {note}"
    rows, columns = in_rows(len(measures) + 1, width, 1.3)
    figure, axes = panels(rows, columns, width, 1.9, keys(colors, paper_name), note)
    marker = marker_of(epochs["epoch"].nunique())
    for ax, (column, title) in zip(axes.flat, measures.items(), strict=False):
        for block, color in colors.items():
            mine = epochs[epochs["block"] == block]
            ax.plot(mine["epoch"], mine[column], color=color, marker=marker, markersize=3)
            if f"{column}_se" in mine:
                half = half_width(replicates) * mine[f"{column}_se"]
                ax.fill_between(mine["epoch"], mine[column] - half, mine[column] + half, color=color, alpha=0.2, lw=0)
        ax.set_title(title)
        if ax is not axes.flat[0]:
            ax.sharey(axes.flat[0])
        epoch_axis(ax, epochs["epoch"])
    axes[0, 0].set_ylabel("Mean class selectivity")
    once = epochs.drop_duplicates("epoch")
    last = axes.flat[len(measures)]
    last.plot(once["epoch"], 1 - once["top1_error"] / 100, color="black", marker=marker, markersize=3)
    last.set_title("top-1 accuracy")
    accuracy_axis(last)
    epoch_axis(last, epochs["epoch"])
    hide_rest(axes, len(measures) + 1)
    return Drawn(figure, axes)


def _measures(epochs: pd.DataFrame) -> dict[str, str]:
    """Of the measures those that the table has; with a corrected index, that and the plain one alone."""
    there = [column for column in MEASURES if column in epochs and epochs[column].notna().any()]
    if "mean_corrected" in there:
        there = [column for column in there if column in ("mean_corrected", "mean_csi")]
    return {column: MEASURES[column] for column in there or ["mean_csi"]}


def pictures(run: StoredRun, look: Look) -> Pictures:
    epochs = run.table("selectivity_epochs.csv")
    if len(epochs):
        yield "fig_epochs", selectivity_over_training(epochs, run.replicates, run.caption(), look.width)[0]
