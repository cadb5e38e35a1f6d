"""What the figures of pruning curves share: which curves a table has, how they are drawn, and what is said of them."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..errors import UsageError
from ..statistics.curve_sentences import dropped_elsewhere
from ..statistics.curves import POINT
from .stored import StoredRun
from .style import key, marker_of, percent

ORDER_LINES = {"most": "-", "least": "--"}


def group_means(run: StoredRun, pruning: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Rows of `pruning.csv` as `gelens.figures.stored.StoredRun.group_means` gives them."""
    return run.group_means(pruning, POINT, ("top1", "top1_low", "top1_high"))


def curve_scores(pruning: pd.DataFrame) -> list[str]:
    """The scores that the table has curves of, the gate first and random last; none where it has only whole blocks."""
    curved = pruning.loc[pruning["order"] != "none", "score"].unique()
    return sorted(curved, key=lambda score: (score == "random") - (score == "gate"))


def score_of(pruning: pd.DataFrame, score: str | None) -> str:
    """The score, or the first that the table has curves of.

    Raises:
        UsageError: the table has no curves, or none of this score.
    """
    known = curve_scores(pruning)
    if not known:
        raise UsageError("the pruning table has no curves: no order of feature maps was measured")
    if score is not None and score not in known:
        raise UsageError(f"the pruning table has no curves of the score `{score}`; it has {', '.join(known)}")
    return score or known[0]


def curved_networks(pruning: pd.DataFrame, score: str | None) -> list[str]:
    """The networks with curves of a score."""
    return list(pruning.loc[(pruning["score"] == score) & (pruning["order"] != "none"), "network"].unique())


def curve(rows: pd.DataFrame, score: str, order: str) -> pd.DataFrame:
    """One curve of one network and block, with the ends that all its curves share; empty where it has no such curve."""
    inner = rows[(rows["score"] == score) & (rows["order"] == order)]
    return pd.concat([inner, rows[rows["order"] == "none"]]).sort_values("ratio") if len(inner) else inner


def marker_for(points: pd.DataFrame, marker: str = "o") -> dict:
    """Small markers, so that the ratios measured are seen, one alone too."""
    return {"marker": marker_of(len(points), marker), "markersize": 4 if len(points) == 1 else 2.5}


def ratio_axis(ax: Axes) -> None:
    ax.set_xlim(-0.03, 1.03)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])


def ratio_title(pruning: pd.DataFrame) -> str:
    return f"Ratio of the {pruning['scope'].iloc[0]}'s feature maps dropped"


def ratios_said(pruning: pd.DataFrame) -> str:
    """A sentence where not the whole of the ratios from 0 to 1 was measured; else nothing."""
    ratios = sorted(pruning["ratio"].unique())
    if ratios[0] == 0 and ratios[-1] == 1:
        return ""
    listed = ", ".join(percent(ratio) for ratio in ratios)
    return f"Measured at {listed} dropped only, so the rest is blank."


def places_said(pruning: pd.DataFrame) -> str:
    """A sentence where maps are not dropped at the end of a branch that is added to a shortcut; else nothing."""
    return " ".join(f"{sentence}." for sentence in dropped_elsewhere(pruning))


def order_names(score: str) -> dict[str, str]:
    """The orders of a score, in words."""
    if score == "random":
        return {"most": "in random order"}
    by = "" if score == "gate" else f", by {score}"
    return {"most": f"most important first{by}", "least": f"least important first{by}"}


def order_handles(score: str) -> list[Line2D]:
    """The legend's lines for the orders of a score."""
    return [key(name, color="0.3", linestyle=ORDER_LINES[order]) for order, name in order_names(score).items()]
