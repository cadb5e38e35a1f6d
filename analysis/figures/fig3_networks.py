"""Feature-importance curves, network by network and order by order."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ..names import paper_name, pretty
from ..results.tables import title_of
from . import pruning_curves as curves
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import MEANS, Look, accuracy_range, colors_by_depth, keys, need, styled

NEEDS = ("pruning.csv",)


@styled
def pruning_by_network(
    pruning: pd.DataFrame, note: str = "", score: str | None = None, width: float | None = None
) -> Drawn:
    """The curves of figure 3, a panel for each network and order of dropping; blocks in colour, the darkest the first.

    Args:
        pruning: rows of `pruning.csv`.
        note: what the images are.
        score: whose curves are drawn; the first in the table by default.
        width: inches.
    """
    figure, axes = by_network(pruning, note, score, width, title_of("top1"), lambda points, rows: points["top1"])
    drawn = [line.get_ydata() for ax in axes.flat for line in ax.lines]
    accuracy_range(axes[0, 0], pd.Series(np.concatenate(drawn)))
    return Drawn(figure, axes)


def by_network(
    pruning: pd.DataFrame,
    note: str,
    score: str | None,
    width: float | None,
    title: str,
    heights: Callable[[pd.DataFrame, pd.DataFrame], pd.Series],
) -> Drawn:
    """A panel for each network with curves of a score, in a row for each order in which maps were dropped.

    Args:
        pruning: rows of `pruning.csv`.
        note: what the images are.
        score: the first in the table by default.
        width: inches.
        title: of the vertical axis.
        heights: of a curve's points, from them and all rows of their network and block.
    """
    table = need(pruning, "pruning")
    score = curves.score_of(table, score)
    networks = curves.curved_networks(table, score)
    colors = colors_by_depth(table.loc[table["network"].isin(networks), "block"].unique())
    measured = table[table["score"] == score]
    orders = {order: words for order, words in curves.order_names(score).items() if (measured["order"] == order).any()}
    labels: dict[str, Any] = {"xlabel": curves.ratio_title(table), "ylabel": title, "sharex": True}
    note = f"{curves.ratios_said(table)} {curves.places_said(table)} {note}"
    titles = {label: pretty(label) for label in networks}
    rows = list(orders.values())
    grid = facets(table, "network", 2.0, 1.7, keys(colors, paper_name), note, width, 3.4, titles, times=rows, **labels)
    for number, order in enumerate(orders):
        for ax, network in grid.panels(number):
            for block, here in table[table["network"] == network].groupby("block", sort=False):
                points = curves.curve(here, score, order)
                if len(points):
                    look: dict[str, Any] = {"color": colors[block], "linewidth": 1.2} | curves.marker_for(points)
                    ax.plot(points["ratio"], heights(points, here), curves.ORDER_LINES[order], **look)
    curves.ratio_axis(grid.axes[0, 0])
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    table = run.table("pruning.csv")
    if len(table) and curves.curve_scores(table):
        table, each = curves.group_means(run, table)
        said = "" if each is None else MEANS
        yield "fig3_networks", pruning_by_network(table, run.caption(said), None, look.width)[0]
