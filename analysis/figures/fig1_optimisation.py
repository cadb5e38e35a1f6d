"""Figure 1: optimisation curves."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from ..names import family_and_gate, pretty
from .drawn import Drawn
from .stored import StoredRun
from .style import (
    THIN,
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

NEEDS = ("training.csv",)
SPLITS = {"train": "Training set", "val": "Validation set"}


@styled
def optimisation(training: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """Figure 1: top-1 error (%) against epoch, training set left and validation set right.

    Args:
        training: rows of `training.csv`, of one or several networks; with a column `group`, the mean over the trainings
            of a group is drawn, and each of them thin.
        note: what the images are, put under the axes.
        width: inches.
    """
    need(training, "training")
    training = named(training)
    if "group" not in training:
        training = training.assign(group=training["network"])
    width = width or WIDTH
    colors = colors_of(training["group"].unique())
    handles = [key(pretty(label), color=color) for label, color in colors.items()]
    rows, columns = in_rows(len(SPLITS), width, 1.3)
    figure, axes = panels(rows, columns, width, 2.1, handles, note, ylabel="Top-1 error (%)", sharey=True)
    for ax, (split, title) in zip(axes.flat, SPLITS.items(), strict=True):
        mine = training[training["split"] == split]
        for label, several in mine.groupby("group", sort=False):
            each = [curve for _, curve in several.groupby("network", sort=False)]
            for curve in each if len(each) > 1 else []:
                ax.plot(curve["epoch"], curve["top1_error"], color=colors[label], **THIN)
            mean = several.groupby("epoch")["top1_error"].mean()
            ax.plot(mean.index, mean, color=colors[label], marker=marker_of(len(mean)), markersize=3)
        ax.set_title(title)
        epoch_axis(ax, training["epoch"])
    axes[0, 0].set_ylim(0, 100)
    return Drawn(figure, axes)


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
        grouped = training.assign(group=run.by_group(training)["network"])
        yield "fig1_optimisation", optimisation(grouped, run.caption(images=False), look.width)[0]
