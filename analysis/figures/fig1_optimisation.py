"""Figure 1: optimisation curves."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.stored import StoredRun
from analysis.figures.style import (
    WIDTH,
    Look,
    colors_of,
    epoch_axis,
    in_rows,
    key,
    marker_of,
    named,
    need,
    panels,
    styled,
)
from analysis.names import family_and_gate, pretty

NEEDS = ("training.csv",)
SPLITS = {"train": "Training set", "val": "Validation set"}


@styled
def optimisation(training: pd.DataFrame, note: str = "", width: float | None = None) -> tuple[Figure, np.ndarray]:
    """Figure 1: top-1 error (%) against epoch, training set left and validation set right.

    Args:
        training: rows of `training.csv`, of one or several networks.
        note: what the images are, put under the axes.
        width: inches.
    """
    need(training, "training")
    training = named(training)
    width = width or WIDTH
    colors = colors_of(training["network"].unique())
    handles = [key(pretty(label), color=color) for label, color in colors.items()]
    rows, columns = in_rows(len(SPLITS), width, 1.3)
    figure, axes = panels(rows, columns, width, 2.1, handles, note, ylabel="Top-1 error (%)", sharey=True)
    for ax, (split, title) in zip(axes.flat, SPLITS.items(), strict=True):
        mine = training[training["split"] == split]
        for label, curve in mine.groupby("network", sort=False):
            marker = marker_of(len(curve))
            ax.plot(curve["epoch"], curve["top1_error"], color=colors[label], marker=marker, markersize=3)
        ax.set_title(title)
        epoch_axis(ax, training["epoch"])
    axes[0, 0].set_ylim(0, 100)
    return figure, axes


def pictures(run: StoredRun, look: Look) -> Iterator[tuple[str, Figure]]:
    """Of a supplementary run, the ShuffleNets that the paper has here; of another, every network trained."""
    training = run.table("training.csv")
    if training.empty:
        return
    labels = list(training["network"].unique())
    shuffle = run.of_role("optimisation", labels, lambda name: "shufflenet" in family_and_gate(name)[0])
    if run.record["command"] in ("supplementary", "demo"):
        training = training[training["network"].isin(shuffle)]
    if len(training):
        yield "fig1_optimisation", optimisation(training, run.caption(images=False), look.width)[0]
