"""How the values of gates are spread, block by block."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from ..results.tables import title_of
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import THIN, Look, bars_said, colors_of, each_training, keys, lines_of, need, styled

NEEDS = ("gates_histogram.csv",)


@styled
def gate_distributions(
    histogram: pd.DataFrame, note: str = "", width: float | None = None, trainings: pd.DataFrame | None = None
) -> Drawn:
    """The distribution of gate values over channels and images, a panel a block, a line a network.

    Of a group of trainings it is their mean, and each of them, thin.

    Args:
        histogram: rows of `gates_histogram.csv`.
        note: what the images are.
        width: inches.
        trainings: where networks are groups, rows of each training, `network` its group's and `training` its own label.
    """
    histogram = need(histogram, "gates")
    networks = histogram["network"].unique()
    colors, lines = colors_of(networks), lines_of(networks)
    labels: dict[str, Any] = {"xlabel": "Gate", "ylabel": title_of("share"), "sharex": True}
    grid = facets(histogram, "block", 1.1, 1.5, keys(colors, linestyle=lines), note, width, **labels)
    for ax, block, here in grid:
        for label, color in colors.items():
            mine = here[here["network"] == label]
            if len(mine):
                _stairs(ax, mine, color=color, linestyle=lines[label], linewidth=1.1)
            for each in each_training(trainings, label, block):
                _stairs(ax, each, color=color, **THIN)
        ax.set_xlim(0, 1)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    grid.axes[0, 0].set_ylim(bottom=0)
    return Drawn(grid.figure, grid.axes)


def _stairs(ax: Axes, rows: pd.DataFrame, **look) -> None:
    ax.stairs(rows["share"], [*rows["low"], rows["high"].iloc[-1]], **look)


def pictures(run: StoredRun, look: Look) -> Pictures:
    """One for all networks with gates."""
    histogram = run.table("gates_histogram.csv")
    if len(histogram):
        histogram, each = run.group_means(histogram, ("network", "block", "low", "high"), ("share",))
        said = bars_said("", histogram["network"], each)
        yield "fig_gates_distribution", gate_distributions(histogram, run.caption(said), look.width, each)[0]
