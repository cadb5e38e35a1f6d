"""Figure 3: feature-importance curves, block by block."""

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from ..names import pretty
from ..results.tables import title_of
from . import pruning_curves as curves
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import (
    THIN,
    WIDTH,
    Look,
    accuracy_range,
    bars_said,
    colors_of,
    each_training,
    key,
    keys,
    markers_of,
    need,
    reach,
    styled,
)

NEEDS = ("pruning.csv",)
BANDS = "Bands: Wilson 95 % intervals."
APART: tuple[dict[str, Any], ...] = (
    {"marker": "*", "markersize": 7},
    {"marker": "s", "markersize": 9, "fillstyle": "none"},
    {"marker": "D", "markersize": 10, "fillstyle": "none"},
    {"marker": "o", "markersize": 14, "fillstyle": "none"},
)
"""Of networks trained separately: a star, and frames around it, so that all are seen where they lie on one another."""


@styled
def pruning(
    pruning: pd.DataFrame,
    note: str = "",
    score: str | None = None,
    width: float | None = None,
    trainings: pd.DataFrame | None = None,
) -> Drawn:
    """Figure 3: top-1 accuracy against the ratio of feature maps dropped, a panel for each block.

    Each panel has the range that its block has. Solid: most important first; dashed: least important first; black
    stars, and hollow frames around them: separately trained networks without curves, with the block whole (ratio 0)
    and with its shortcut alone (ratio 1). Bands are Wilson 95 % intervals; of means over trainings each training is
    drawn instead, thin.
    A table without any curves, of networks without gates, has stars alone, and the caption says so.

    Args:
        pruning: rows of `pruning.csv`.
        note: what the images are.
        score: whose curves are drawn; the first in the table by default.
        width: inches.
        trainings: where networks are groups, rows of each training, `network` its group's and `training` its own label.
    """
    table = need(pruning, "pruning")
    if score is not None or curves.curve_scores(table):
        score = curves.score_of(table, score)
    curved = curves.curved_networks(table, score)
    colors, markers = colors_of(curved), markers_of(curved)
    apart = [label for label in table["network"].unique() if label not in curved]
    stars = dict(zip(apart, cycle(APART), strict=False))
    handles = keys(colors, marker=markers) + (curves.order_handles(score) if score is not None and curved else [])
    handles += [
        key(f"{pretty(label)}, trained separately" if curved else pretty(label), color="black", ls="", **look)
        for label, look in stars.items()
    ]
    bands = bars_said(BANDS, curved, trainings)
    ranges = "Each block has its own range of accuracy." if table["block"].nunique() > 1 else ""
    said = [
        ranges,
        _said(curved, stars),
        bands if curved else "",
        curves.ratios_said(table),
        curves.places_said(table),
        note,
    ]
    labels: dict[str, Any] = {"xlabel": curves.ratio_title(table), "ylabel": title_of("top1")}
    labels |= {"sharex": True, "sharey": False}
    least = 1.3 if width and width < WIDTH else 2.0
    grid = facets(table, "block", least, 1.6, handles, " ".join(said), width, 2.1, **labels)
    for ax, block, here in grid:
        for label in curved:
            assert score is not None  # else there are no curves
            mine, several = here[here["network"] == label], each_training(trainings, label, block)
            _curves(ax, mine, score, colors[label], markers[label], several)
        for label, look in stars.items():
            mine = here[(here["network"] == label) & (here["order"] == "none")]
            ax.plot(mine["ratio"], mine["top1"], color="black", ls="", clip_on=False, zorder=4, **look)
        each = pd.concat([here, *(rows for label in curved for rows in each_training(trainings, label, block))])
        accuracy_range(ax, each["top1"])
    curves.ratio_axis(grid.axes[0, 0])
    return Drawn(grid.figure, grid.axes)


def _curves(ax: Axes, rows: pd.DataFrame, score: str, color: tuple, marker: str, trainings: list[pd.DataFrame]) -> None:
    for order, line in curves.ORDER_LINES.items():
        points = curves.curve(rows, score, order)
        look: dict[str, Any] = {"color": color, "linewidth": 1.3} | curves.marker_for(points, marker)
        ax.plot(points["ratio"], points["top1"], line, **look)
        for each in trainings:
            thin = curves.curve(each, score, order)
            ax.plot(thin["ratio"], thin["top1"], line, color=color, **THIN)
        if trainings:
            continue
        if len(points) == 1:
            errors = reach(points["top1"], points["top1_low"], points["top1_high"])
            ax.errorbar(points["ratio"], points["top1"], errors, color=color, capsize=2, linestyle="")
        else:
            band = (points["top1_low"], points["top1_high"])
            ax.fill_between(points["ratio"], *band, color=color, alpha=0.15, linewidth=0)


def _said(curved: list[str], stars: Mapping[str, object]) -> str:
    """What the stars are, and why there are no curves where there are none."""
    if not stars:
        return ""
    ends = "at 0 the block whole, at 1 its shortcut alone"
    if curved:
        return f"Black: separately trained networks; {ends}."
    why = "no gates to rank feature maps by (`--score activation` or another one does)"
    return f"No curves: these networks have {why}. Black: {ends}."


def pictures(run: StoredRun, look: Look) -> Pictures:
    """The first score's curves, and the others' with the score in the name."""
    table = run.table("pruning.csv")
    if table.empty:
        return
    table, each = curves.group_means(run, table)
    scores: list[str | None] = [*curves.curve_scores(table)]
    first, *others = scores or [None]
    yield "fig3_pruning", pruning(table, run.caption(), first, look.width, each)[0]
    for score in others:
        yield f"fig3_pruning_{score}", pruning(table, run.caption(), score, look.width, each)[0]
