"""Figure 2: distributions of the class selectivity index, block by block."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from ..errors import unknown
from ..names import family_and_gate, pretty
from ..results.columns import INDEX_TITLES
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import Look, colors_of, need, styled, unit_ticks

NEEDS = ("selectivity.csv",)
BINS = 40
ROWS = ("ge_theta_minus", "ge_theta", "ge_theta_plus", "se")
"""Gates in the order of their rows, θ⁻ above SE as in the paper; other networks follow as they come."""


@styled
def selectivity(
    selectivity: pd.DataFrame,
    reference: str | None = None,
    note: str = "",
    index: str = "csi",
    bins: int | None = None,
    width: float | None = None,
) -> Drawn:
    """Figure 2: the distribution of the class selectivity index, block by block; a row for each compared network.

    Each panel overlays the reference (solid) with one other network (dashed); edges are fixed on [0, 1]; dead units,
    which have no index, are counted in the panel. More blocks than the width has room for go on in further rows.

    Args:
        selectivity: rows of `selectivity.csv`, or of one index of `selectivity_indices.csv`.
        reference: the network drawn in every panel; the first by default.
        note: what the images are.
        index: which index the rows are of; of another than csi, the column `value` is drawn.
        bins: of equal width, 40 by default.
        width: inches.
    """
    table = need(selectivity, "selectivity")
    column = "csi" if index == "csi" else "value"
    labels = list(table["network"].unique())
    reference = reference or labels[0]
    if reference not in labels:
        raise unknown("network", reference, labels)
    others = sorted((label for label in labels if label != reference), key=_row) or [reference]
    colors, lines = colors_of(labels), dict.fromkeys(others, "--") | {reference: "-"}
    highest = float(np.nanmax([table[column].max(), 0.1])) if index == "mi" else 1.0
    edges = np.linspace(0, highest, (bins or BINS) + 1).tolist()
    handles = [
        Patch(facecolor=(*colors[label], 0.45), edgecolor=colors[label], linestyle=lines[label], label=pretty(label))
        for label in dict.fromkeys((reference, *others))
    ]
    if table[column].isna().any():
        which = ", of the first network/of the second" if len(labels) > 1 else ""
        note = f"“dead”: units without activity, which have no index{which}. {note}"
    shared: dict[str, Any] = {
        "each": 1.06,
        "sharex": True,
        "xlabel": INDEX_TITLES.get(index, index),
        "ylabel": "Share of units",
    }
    rows = [pretty(label) for label in others] if len(others) > 1 else [""]
    grid = facets(table, "block", 0.85, 1.3, handles, note, width, times=rows, **shared)
    values = {key: rows[column].to_numpy() for key, rows in table.groupby(["network", "block"], sort=False)}
    for number, other in enumerate(others):
        for ax, block in grid.panels(number):
            pair = dict.fromkeys((reference, other))
            units = {each: values[each, block] for each in pair if (each, block) in values}
            _overlay(ax, units, colors, lines, edges)
    ax = grid.axes[0, 0]
    ax.set_xlim(0, highest)
    unit_ticks(ax.xaxis, highest, grid.room)
    if table[column].isna().any():  # a strip for the counts, so that no bar runs into them
        ax.set_ylim(0, 1.25 * max(ax.get_ylim()[1], 0.01))
    return Drawn(grid.figure, grid.axes)


def _row(label: str) -> int:
    gate = family_and_gate(label)[1]
    return ROWS.index(gate) if gate in ROWS else len(ROWS)


def _overlay(
    ax: Axes, values: Mapping[str, np.ndarray], colors: Mapping, lines: Mapping[str, str], edges: list[float]
) -> None:
    """Histograms of indices with the units without one counted in the corner."""
    dead = []
    for label, all_units in values.items():
        alive = all_units[~np.isnan(all_units)]
        weights = np.full(len(alive), 1 / len(all_units))
        ax.hist(alive, edges, weights=weights, color=colors[label], alpha=0.45)
        outline: dict[str, Any] = {"histtype": "step", "linewidth": 0.9, "linestyle": lines[label]}
        ax.hist(alive, edges, weights=weights, color=colors[label], **outline)
        dead.append(len(all_units) - len(alive))
    if any(dead):
        text = f"dead {'/'.join(map(str, dead))}"
        ax.text(0.97, 0.95, text, transform=ax.transAxes, ha="right", va="top", fontsize=6)


def pictures(run: StoredRun, look: Look) -> Pictures:
    units = run.table("selectivity.csv")
    if len(units):
        units, reference, said = by_group(run, units)
        yield "fig2_selectivity", selectivity(units, reference, run.caption(said), "csi", look.bins, look.width)[0]


def by_group(run: StoredRun, units: pd.DataFrame) -> tuple[pd.DataFrame, str, str]:
    """Units of groups together, what they are compared with, and a sentence on it."""
    labels = list(units["network"].unique())
    together = "Units of all trainings of a network together." if any(map(run.group, labels)) else ""
    reference = run.reference(labels)
    return run.by_group(units), run.group(reference) or reference, together
