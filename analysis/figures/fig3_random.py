"""Feature-importance curves less those of a random order."""

import numpy as np
import pandas as pd

from ..errors import UsageError
from ..results.tables import title_of
from . import pruning_curves as curves
from .drawn import Drawn, Pictures
from .fig3_networks import by_network
from .stored import StoredRun
from .style import MEANS, Look, percent_axis, styled

NEEDS = ("pruning.csv",)


@styled
def pruning_against_random(
    pruning: pd.DataFrame, note: str = "", score: str | None = None, width: float | None = None
) -> Drawn:
    """Accuracy less that with the maps dropped in a random order, a panel for each network with its blocks in colour.

    Args:
        pruning: rows of `pruning.csv`, a random order's among them.
        note: what the images are.
        score: whose curves are drawn; the first in the table by default.
        width: inches.
    """
    if "random" not in curves.curve_scores(pruning):
        raise UsageError("the pruning table has no random order to compare with")
    figure, axes = by_network(pruning, note, score, width, f"{title_of('top1')}, less random order", _above_random)
    for ax in axes.flat:
        ax.hlines(0, -0.03, 1.03, color="0.4", linewidth=0.8, zorder=1)
    percent_axis(axes[0, 0].yaxis)
    return Drawn(figure, axes)


def _above_random(points: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    orders = rows.loc[rows["score"] == "random", "order"]
    order = next((order for order in orders if order != "none"), None)
    if order is None:  # this network has no random order: nothing to subtract
        return np.full(len(points), np.nan)
    chance = curves.curve(rows, "random", order).set_index("ratio")["top1"]
    return points["top1"].to_numpy() - chance.reindex(points["ratio"]).to_numpy()


def pictures(run: StoredRun, look: Look) -> Pictures:
    table = run.table("pruning.csv")
    scores = curves.curve_scores(table) if len(table) else []
    if "random" in scores and len(scores) > 1:
        table, each = curves.group_means(run, table)
        said = "" if each is None else MEANS
        yield "fig3_random", pruning_against_random(table, run.caption(said), None, look.width)[0]
