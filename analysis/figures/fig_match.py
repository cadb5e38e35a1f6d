"""Two networks on the same images: how alike their blocks are, and their units' best matches."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..names import paper_name, pretty
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import COLUMN, NAME_SIZE, PALETTE, Look, block_ticks, key, need, panels, styled, wrapped

NEEDS = ("match_blocks.csv",)
UNITS = "match_units.csv"
WRITTEN = 0.3
"""Inches of a cell in which its value is written."""


def _need(table: pd.DataFrame, name: str) -> pd.DataFrame:
    table = need(table, name)
    return table.assign(**{name: table[name].astype(str) for name in ("other", "other_block") if name in table})


@styled
def block_similarity(table: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """Debiased linear CKA of every block of one network (rows) with every block of another (columns).

    Args:
        table: rows of `match_blocks.csv`.
        note: what the images are.
        width: inches.
    """
    table = _need(table, "similarity of blocks")
    rows, columns = list(table["block"].unique()), list(table["other_block"].unique())
    values = table.pivot(index="block", columns="other_block", values="cka").loc[rows, columns].to_numpy(float)
    width = width or COLUMN
    cell = (width - 1.5) / len(columns)
    height = float(np.clip(cell * len(rows), 0.6, 6)) + 0.7
    said = f"Largest standard error over images {table['cka_se'].max():.2g}." if table["cka_se"].notna().any() else ""
    names = [pretty(table[name].iloc[0]) for name in ("network", "other")]
    ylabel, xlabel = (wrapped(name, NAME_SIZE, room, 2) for name, room in zip(names, (height - 0.7, 1.8), strict=True))
    figure, axes = panels(1, 1, width, height, note=f"{said} {note}", xlabel=xlabel, ylabel=ylabel)
    ax = axes[0, 0]
    ax.grid(False)
    # a debiased value may be a little below 0: it is shown as 0, and written as it is
    picture = ax.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    block_ticks(ax, range(len(columns)), columns, width - 1.5)
    ax.set_yticks(*_row_ticks(rows, height - 0.7))
    if cell >= WRITTEN:
        _write(ax, values)
    bar = figure.colorbar(picture, ax=ax, fraction=0.05)
    bar.set_label("debiased linear CKA", fontsize=NAME_SIZE)
    return Drawn(figure, axes)


def _row_ticks(blocks: list[str], inches: float) -> tuple[list[int], list[str]]:
    step = int(np.ceil(0.15 * len(blocks) / inches))
    names = [wrapped(paper_name(block), NAME_SIZE, 0.6, lines=1) for block in blocks]
    return list(range(0, len(blocks), step)), names[::step]


def _write(ax: Axes, values: np.ndarray) -> None:
    for row, column in np.argwhere(~np.isnan(values)):
        value = values[row, column]
        color = "black" if value > 0.6 else "white"
        text = f"{round(value, 2) + 0.0:.2f}".replace("-", "−")  # no −0.00
        ax.text(column, row, text, ha="center", va="center", fontsize=6, color=color)


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
    table = _need(table, "matches of units")
    others = table.drop_duplicates("network").set_index("network")["other"]
    drawn = [{"color": color, "linestyle": line} for color, line in zip(PALETTE, ("-", "--"), strict=False)]
    looks: dict[str, dict[str, Any]] = dict(zip(others.index, drawn, strict=False))
    handles = [key(f"{pretty(name)} in {pretty(others[name])}", **look) for name, look in looks.items()]
    said = "Match chosen on one half of the images, measured on the other. Dotted: means."
    labels: dict[str, Any] = {
        "xlabel": "Correlation with the best match over images",
        "ylabel": "Share of units",
        "sharex": True,
    }
    grid = facets(table, "block", 1.25, 1.5, handles, f"{said} {note}", width, 1.4, **labels)
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
    blocks = run.table(NEEDS[0])
    if blocks.empty:
        return
    yield "fig_match_blocks", block_similarity(blocks, run.caption(), look.width)[0]
    units = run.table(UNITS) if run.has(UNITS) else pd.DataFrame()
    if len(units):
        yield "fig_match_units", unit_matches(units, run.caption(), look.width, look.bins)[0]
