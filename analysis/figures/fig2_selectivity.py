"""Figure 2: distributions of the class selectivity index, block by block; and the like of every other index."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..errors import unknown
from ..names import paper_name, pretty
from ..results.columns import INDEX_TITLES
from ..statistics import INDICES
from .drawn import Drawn
from .stored import StoredRun
from .style import (
    NAME_SIZE,
    Look,
    colors_of,
    hide_rest,
    in_rows,
    named,
    need,
    panel_width,
    panels,
    styled,
    unit_ticks,
    width_for,
    wrapped,
)

NEEDS = ("selectivity.csv",)
BINS = 40


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

    Each panel overlays the reference with one other network; edges are fixed on [0, 1]; dead units, which have no
    index, are counted in the panel. More blocks than the width has room for go on in further rows.

    Args:
        selectivity: rows of `selectivity.csv`, or of one index of `selectivity_indices.csv`.
        reference: the network drawn in every panel; the first by default.
        note: what the images are.
        index: which index the rows are of; of another than csi, the column `value` is drawn.
        bins: of equal width, 40 by default.
        width: inches.
    """
    need(selectivity, "selectivity")
    table = named(selectivity)
    column = "csi" if index == "csi" else "value"
    labels, blocks = list(table["network"].unique()), list(table["block"].unique())
    width = width or width_for(len(blocks), 1.06)
    reference = reference or labels[0]
    if reference not in labels:
        raise unknown("network", reference, labels)
    others = [label for label in labels if label != reference] or [reference]
    colors = colors_of(dict.fromkeys([reference, *others]))
    highest = float(np.nanmax([table[column].max(), 0.1])) if index == "mi" else 1.0
    edges = np.linspace(0, highest, (bins or BINS) + 1).tolist()
    handles = [Patch(facecolor=(*color, 0.45), edgecolor=color, label=pretty(label)) for label, color in colors.items()]
    lines, columns = in_rows(len(blocks), width, 0.85)
    if table[column].isna().any():
        which = ", of the first network/of the second" if len(labels) > 1 else ""
        note = f"“dead”: units without activity, which have no index{which}. {note}"
    title = INDEX_TITLES.get(index, index)
    shared: dict[str, Any] = {"sharex": True, "sharey": True, "xlabel": title, "ylabel": "Share of units"}
    figure, axes = panels(len(others) * lines, columns, width, 1.3, handles, note, **shared)
    values = {key: rows[column].to_numpy() for key, rows in table.groupby(["network", "block"], sort=False)}
    for number, other in enumerate(others):
        mine = axes[number * lines : (number + 1) * lines]
        hide_rest(mine, len(blocks))
        for place, ax in enumerate(mine.flat[: len(blocks)]):
            pair = dict.fromkeys((reference, other))
            shown = {label: values[label, blocks[place]] for label in pair if (label, blocks[place]) in values}
            _overlay(ax, shown, colors, edges)
            if number == 0 or lines > 1:
                ax.set_title(wrapped(paper_name(blocks[place]), NAME_SIZE, panel_width(width, columns), 2))
    axes[0, 0].set_xlim(0, highest)
    unit_ticks(axes[0, 0].xaxis, highest, panel_width(width, columns))
    if table[column].isna().any():  # a strip for the counts, so that no bar runs into them
        axes[0, 0].set_ylim(0, 1.25 * max(axes[0, 0].get_ylim()[1], 0.01))
    return Drawn(figure, axes)


def _overlay(ax: Axes, values: Mapping[str, np.ndarray], colors: Mapping, edges: list[float]) -> None:
    """Histograms of indices with the units without one counted in the corner."""
    dead = []
    for label, all_units in values.items():
        alive = all_units[~np.isnan(all_units)]
        weights = np.full(len(alive), 1 / len(all_units))
        ax.hist(alive, edges, weights=weights, color=colors[label], alpha=0.45)
        ax.hist(alive, edges, weights=weights, color=colors[label], histtype="step", linewidth=0.9)
        dead.append(len(all_units) - len(alive))
    if any(dead):
        text = f"dead {'/'.join(map(str, dead))}"
        ax.text(0.97, 0.95, text, transform=ax.transAxes, ha="right", va="top", fontsize=6)


def pictures(run: StoredRun, look: Look) -> Iterator[tuple[str, Figure]]:
    units = run.table("selectivity.csv")
    if units.empty:
        return
    reference = run.reference(list(units["network"].unique()))
    together = "Units of all trainings of a network together." if any(map(run.group, units["network"].unique())) else ""
    reference, units = run.group(reference) or reference, run.by_group(units)
    yield "fig2_selectivity", selectivity(units, reference, run.caption(together), "csi", look.bins, look.width)[0]
    if not run.has("selectivity_indices.csv"):
        return
    for index, rows in run.by_group(run.table("selectivity_indices.csv")).groupby("index", sort=False):
        if index != "csi" and rows["value"].notna().any():
            said = run.caption(*([f"{INDICES[index].definition}."] if index in INDICES else []), together)
            figure, _ = selectivity(rows, reference, said, index, look.bins, look.width)
            yield f"fig2_{index}", figure
