"""Mean class selectivity against the number of images of each class."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ..names import file_name, paper_name, pretty, unique_label
from .drawn import Drawn
from .stored import StoredRun
from .style import (
    NAME_SIZE,
    PALETTE,
    Look,
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

NEEDS = ("selectivity_rarefaction.csv",)
KINDS = {
    "corrected": ("corrected index", PALETTE[3], "D", "-"),
    "csi": ("index", PALETTE[0], "o", "--"),
    "null": ("index, labels permuted", "0.5", "x", ":"),
}


@styled
def rarefaction(table: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """A network's mean index against images a class, a panel for each block: plain, corrected, and under permutation.

    Args:
        table: rows of `selectivity_rarefaction.csv`, of one network.
        note: what the images are.
        width: inches.
    """
    need(table, "rarefaction")
    table = named(table)
    blocks = list(table["block"].unique())
    width = width or width_for(len(blocks), 1.4)
    rows, columns = in_rows(len(blocks), width, 1.25)
    handles = [
        key(name, color=color, marker=marker, markersize=3.5, linestyle=line)
        for name, color, marker, line in KINDS.values()
    ]
    said = "Bars: standard deviations over draws of images."
    labels = {"xlabel": "Images of each class", "ylabel": "Mean class selectivity"}
    title = pretty(table["network"].iloc[0])
    figure, axes = panels(rows, columns, width, 1.6, handles, f"{said} {note}", sharey=True, title=title, **labels)
    for ax, block in zip(axes.flat, blocks, strict=False):
        mine = table[table["block"] == block]
        for kind, (_, color, marker, line) in KINDS.items():
            spread = mine[f"mean_{kind}_sd"].fillna(0)
            style = {"color": color, "marker": marker, "markersize": 3.5, "linestyle": line, "linewidth": 1.2}
            ax.errorbar(mine["images_per_class"], mine[f"mean_{kind}"], spread, capsize=1.5, **style)
        ax.set_xscale("log")
        _number(ax, mine["images_per_class"], panel_width(width, columns))
        ax.set_title(wrapped(paper_name(block), NAME_SIZE, panel_width(width, columns), 2))
    highest = max((table[f"mean_{kind}"] + table[f"mean_{kind}_sd"].fillna(0)).max() for kind in KINDS)
    axes[0, 0].set_ylim(0, 1.05 * highest if highest > 0 else 1)
    hide_rest(axes, len(blocks))
    return Drawn(figure, axes)


def _number(ax, numbers: pd.Series, inches: float) -> None:
    """Ticks at the numbers there are, named as far as there is room."""
    places = np.log(numbers.to_numpy(dtype=float))
    whole = max(places[-1] - places[0], 1e-9)
    kept = {len(places) - 1}  # the last one is always named
    for at in range(len(places) - 2, -1, -1):
        if (places[min(kept)] - places[at]) / whole * inches >= 0.3:
            kept.add(at)
    names = [f"{number:g}" if at in kept else "" for at, number in enumerate(numbers)]
    ax.set_xticks(numbers, names, fontsize=7)
    ax.xaxis.set_minor_locator(NullLocator())


def pictures(run: StoredRun, look: Look) -> Iterator[tuple[str, Figure]]:
    table = run.table(NEEDS[0])
    taken: list[str] = []
    for network, rows in table.groupby("network", sort=False) if len(table) else ():
        taken.append(unique_label(f"fig_rarefaction_{file_name(network)}", taken))
        yield taken[-1], rarefaction(rows, run.caption(), look.width)[0]
