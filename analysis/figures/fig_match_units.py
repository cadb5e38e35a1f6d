"""Two networks on the same images: how well their units correlate with their best matches, block by block."""

from typing import Any

import numpy as np
import pandas as pd

from ..names import pretty
from ..results.tables import title_of
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import PALETTE, Look, key, need, styled

NEEDS = ("match_units.csv",)


@styled
def unit_matches(table: pd.DataFrame, note: str = "", width: float | None = None, bins: int | None = None) -> Drawn:
    """How many units correlate how much with their best match in the other network, block by block.

    Both directions: the units of one network matched in the other, and the other way round. Lines: means.

    Args:
        table: rows of `match_units.csv`.
        note: what the images are.
        width: inches.
        bins: of the distributions.
    """
    table = need(table, "matches of units")
    others = table.drop_duplicates("network").set_index("network")["other"]
    drawn = [{"color": color, "linestyle": line} for color, line in zip(PALETTE, ("-", "--"), strict=False)]
    looks: dict[str, dict[str, Any]] = dict(zip(others.index, drawn, strict=False))
    handles = [key(f"{pretty(name)} in {pretty(others[name])}", **look) for name, look in looks.items()]
    said = "Match chosen on one half of the images, measured on the other. Dotted: means."
    labels: dict[str, Any] = {"xlabel": title_of("correlation", "match_units.csv"), "ylabel": "Share of units"}
    grid = facets(table, "block", 1.25, 1.5, handles, f"{said} {note}", width, 1.4, sharex=True, **labels)
    lowest = min(np.floor(table["correlation"].min() * 5) / 5, 0.0) if table["correlation"].notna().any() else 0.0
    edges = np.linspace(lowest, 1, (bins or 20) + 1).tolist()
    for ax, _, here in grid:
        for name, look in looks.items():
            values = here.loc[here["network"] == name, "correlation"].dropna()
            if len(values):
                share = np.full(len(values), 1 / len(values))
                ax.hist(values, edges, weights=share, histtype="step", linewidth=1.2, **look)
                ax.axvline(values.mean(), color=look["color"], linestyle=":", linewidth=1)
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    """One for both networks."""
    units = run.table("match_units.csv")
    if len(units):
        yield "fig_match_units", unit_matches(units, run.caption(), look.width, look.bins)[0]
