"""How the values of gates are spread, block by block."""

from typing import Any

import pandas as pd

from ..results.tables import title_of
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import Look, colors_of, keys, need, styled

NEEDS = ("gates_histogram.csv",)


@styled
def gate_distributions(histogram: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """The distribution of gate values over channels and images, a panel a block, a line a network.

    Args:
        histogram: rows of `gates_histogram.csv`.
        note: what the images are.
        width: inches.
    """
    histogram = need(histogram, "gates")
    colors = colors_of(histogram["network"].unique())
    labels: dict[str, Any] = {"xlabel": "Gate", "ylabel": title_of("share"), "sharex": True}
    grid = facets(histogram, "block", 1.1, 1.5, keys(colors), note, width, **labels)
    for ax, _, here in grid:
        for label, color in colors.items():
            mine = here[here["network"] == label]
            if len(mine):
                ax.stairs(mine["share"], [*mine["low"], mine["high"].iloc[-1]], color=color, linewidth=1.1)
        ax.set_xlim(0, 1)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    grid.axes[0, 0].set_ylim(bottom=0)
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    """One for all networks with gates."""
    histogram = run.table("gates_histogram.csv")
    if len(histogram):
        yield "fig_gates_distribution", gate_distributions(histogram, run.caption(), look.width)[0]
