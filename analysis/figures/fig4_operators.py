"""Figure 4: diagrams of Gather-Excite operators, from the table of their steps."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Polygon, Rectangle

from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import Look, in_rows, need, styled, width_for

NEEDS = ("operators.csv",)
LEAST = 2.2
"""Inches that a diagram needs: two stand side by side in both columns' width."""
_COLORS = {"gather": "#d9e8f5", "excite": "#fbe5cf"}


@styled
def operators(steps: pd.DataFrame, width: float | None = None) -> Drawn:
    """Figure 4: a diagram of each operator, from input map to output map, two in a row as in the paper.

    Args:
        steps: rows of `operators.csv`: for each `operator` its input map (`part` "input") and then every layer's output
            ("gather" or "excite"): `step` in words, `channels`, `height` and `width` of the map.
        width: inches.
    """
    steps = need(steps, "operators")
    counts = (steps["operator"].value_counts(sort=False) - 1).to_list()
    width = width or width_for(len(counts), 3.1)
    columns = in_rows(len(counts), width, LEAST)[1]
    longest = [max(counts[first : first + columns]) for first in range(0, len(counts), columns)]
    heights = [0.36 * most + 1.6 for most in longest]
    rows: dict[str, Any] = {"sharey": False, "gridspec_kw": {"height_ratios": heights}}
    grid = facets(steps, "operator", LEAST, sum(heights) / len(heights), width=width, **rows)
    for number, (ax, _, layers) in enumerate(grid):
        ax.title.set_fontweight("bold")
        given, *after = layers.to_dict("records")
        _diagram(ax, given, after, longest[number // columns])
    return Drawn(grid.figure, list(grid.axes.flat[: len(grid.names)]))


def _diagram(ax: Axes, given: dict, steps: Sequence[dict], longest: int) -> None:
    ax.set(xlim=(-0.75, 5.1), ylim=(-2.1 - (longest - 1), 1.7))
    ax.set_axis_off()
    centre, bypass = 2.6, -0.45
    _map(ax, centre, 1.0, given, "input x")
    spread = (longest - 1) / max(len(steps) - 1, 1)
    before = 0.62
    for number, step in enumerate(steps):
        y = -number * spread
        _arrow(ax, (centre, before), (centre, y + 0.33))
        look: dict[str, Any] = {"facecolor": _COLORS[step["part"]], "edgecolor": "0.4", "linewidth": 0.7}
        ax.add_patch(Rectangle((centre - 2.4, y - 0.33), 4.8, 0.66, **look))
        ax.text(centre, y + 0.13, step["step"], ha="center", va="center", fontsize=6.5)
        ax.text(centre, y - 0.16, _size(step), ha="center", va="center", fontsize=6, color="0.3")
        before = y - 0.33
    product = -(longest - 1) - 0.85
    _arrow(ax, (centre, before), (centre, product + 0.16))
    ax.plot(centre, product, "o", markersize=9, markerfacecolor="white", markeredgecolor="0.2", zorder=3)
    ax.plot(centre, product, "o", markersize=2, color="0.2", zorder=4)  # ⊙, the product of each element
    ax.plot([centre - 2.0, bypass, bypass], [1.0, 1.0, product], color="0.3", linewidth=0.9)
    _arrow(ax, (bypass, product), (centre - 0.2, product))
    if _size(steps[-1]) != _size(given):
        ax.text(centre + 0.3, product, "at every position", ha="left", va="center", fontsize=6, color="0.3")
    _arrow(ax, (centre, product - 0.16), (centre, product - 0.52))
    _map(ax, centre, product - 0.85, given, "output")


def _map(ax: Axes, x: float, y: float, shape: dict, name: str) -> None:
    left, right, low, high, deep, tall = x - 2.0, x + 1.8, y - 0.33, y + 0.22, 0.25, 0.16
    front = [(left, low), (right, low), (right, high), (left, high)]
    upper = [(left, high), (left + deep, high + tall), (right + deep, high + tall), (right, high)]
    side = [(right, low), (right + deep, low + tall), (right + deep, high + tall), (right, high)]
    for corners, color in ((front, "#f2f2f2"), (upper, "#dddddd"), (side, "#cccccc")):
        ax.add_patch(Polygon(corners, facecolor=color, edgecolor="0.4", linewidth=0.7))
    middle = ((left + right) / 2, (low + high) / 2)
    ax.text(*middle, f"{name}: {_size(shape)}", ha="center", va="center", fontsize=6.5)


def _size(step: dict) -> str:
    return f"{step['height']}×{step['width']}×{step['channels']}"


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    look: dict[str, Any] = {"arrowstyle": "-|>", "color": "0.3", "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=look)


def pictures(run: StoredRun, look: Look) -> Pictures:
    steps = run.table("operators.csv")
    if len(steps):
        yield "fig4_operators", operators(steps, look.width)[0]
