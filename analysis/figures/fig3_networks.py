"""Feature-importance curves, network by network."""

from collections.abc import Callable, Iterator

import pandas as pd
from matplotlib.figure import Figure

from ..names import paper_name, pretty
from . import pruning_curves as curves
from .drawn import Drawn
from .stored import StoredRun
from .style import (
    MEANS,
    NAME_SIZE,
    Look,
    accuracy_axis,
    colors_by_depth,
    hide_rest,
    in_rows,
    key,
    named,
    need,
    panel_width,
    panels,
    styled,
    width_for,
    wrapped,
)

NEEDS = ("pruning.csv",)


@styled
def pruning_by_network(
    pruning: pd.DataFrame, note: str = "", score: str | None = None, width: float | None = None
) -> Drawn:
    """The curves of figure 3, a panel for each network with its blocks in colour, the darkest the first.

    Args:
        pruning: rows of `pruning.csv`.
        note: what the images are.
        score: whose curves are drawn; the first in the table by default.
        width: inches.
    """
    figure, axes = by_network(pruning, note, score, width, "Top-1 accuracy", lambda points, rows: points["top1"])
    accuracy_axis(axes[0, 0])
    return Drawn(figure, axes)


def by_network(
    pruning: pd.DataFrame,
    note: str,
    score: str | None,
    width: float | None,
    title: str,
    heights: Callable[[pd.DataFrame, pd.DataFrame], pd.Series],
) -> Drawn:
    """A panel for each network with curves of a score.

    Args:
        pruning: rows of `pruning.csv`.
        note: what the images are.
        score: the first in the table by default.
        width: inches.
        title: of the vertical axis.
        heights: of a curve's points, from them and all rows of their network and block.
    """
    need(pruning, "pruning")
    table = named(pruning)
    score = curves.score_of(table, score)
    networks = curves.curved_networks(table, score)
    width = width or width_for(len(networks), 3.4)
    blocks = list(table.loc[table["network"].isin(networks), "block"].unique())
    colors = colors_by_depth(blocks)
    handles = [key(paper_name(block), color=color) for block, color in colors.items()] + curves.order_handles(score)
    rows, columns = in_rows(len(networks), width, 2.0)
    labels = {"xlabel": curves.ratio_title(table), "ylabel": title}
    note = f"{curves.ratios_said(table)} {curves.places_said(table)} {note}"
    figure, axes = panels(rows, columns, width, 2.0, handles, note, sharex=True, sharey=True, **labels)
    for ax, label in zip(axes.flat, networks, strict=False):
        mine = table[table["network"] == label]
        for block, here in mine.groupby("block", sort=False):
            for order, line in curves.ORDER_LINES.items():
                points = curves.curve(here, score, order)
                if len(points):
                    height = heights(points, here)
                    look = {"color": colors[block], "linewidth": 1.2} | curves.marker_for(points)
                    ax.plot(points["ratio"], height, line, **look)
        ax.set_title(wrapped(pretty(label), NAME_SIZE, panel_width(width, columns), 3))
    curves.ratio_axis(axes[0, 0])
    hide_rest(axes, len(networks))
    return Drawn(figure, axes)


def pictures(run: StoredRun, look: Look) -> Iterator[tuple[str, Figure]]:
    table = run.table("pruning.csv")
    if len(table) and curves.curve_scores(table):
        table, each = curves.group_means(run, table)
        said = "" if each is None else MEANS
        yield "fig3_networks", pruning_by_network(table, run.caption(said), None, look.width)[0]
