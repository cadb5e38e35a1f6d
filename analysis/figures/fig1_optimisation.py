"""Figure 1: optimisation curves."""

import pandas as pd

from ..names import family_and_gate
from ..results.tables import title_of
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import THIN, Look, colors_of, epoch_axis, keys, markers_of, need, styled

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
    training = need(training, "training")
    if "group" not in training:
        training = training.assign(group=training["network"])
    labels = training["group"].unique()
    colors, markers = colors_of(labels), markers_of(labels)
    ylabel = title_of("top1_error")
    handles = keys(colors, marker=markers)
    grid = facets(training, "split", 1.3, 2.1, handles, note, width, titles=SPLITS, ylabel=ylabel)
    for ax, _, mine in grid:
        for label, several in mine.groupby("group", sort=False):
            each = [curve for _, curve in several.groupby("network", sort=False)]
            for curve in each if len(each) > 1 else []:
                ax.plot(curve["epoch"], curve["top1_error"], color=colors[label], **THIN)
            mean = several.groupby("epoch")["top1_error"].mean()
            every = max(len(mean) // 12, 1)
            ax.plot(mean.index, mean, color=colors[label], marker=markers[label], markersize=3, markevery=every)
        epoch_axis(ax, training["epoch"])
    grid.axes[0, 0].set_ylim(0, 100)
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
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
