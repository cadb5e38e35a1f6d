"""Two networks on the same images: how alike their blocks are."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..names import paper_name, pretty
from ..results.tables import brief_of
from .drawn import Drawn, Pictures
from .stored import StoredRun
from .style import COLUMN, NAME_SIZE, Look, block_ticks, need, panels, styled, wrapped

NEEDS = {"match_blocks.csv": ("cka_se",)}
WRITTEN = 0.3
"""Inches of a cell in which its value is written."""


@styled
def block_similarity(table: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """Debiased linear CKA of every block of one network (rows) with every block of another (columns).

    Colours go from the lowest value, rounded down to a fifth, to 1.

    Args:
        table: rows of `match_blocks.csv`.
        note: what the images are.
        width: inches.
    """
    table = need(table, "similarity of blocks")
    rows, columns = list(table["block"].unique()), list(table["other_block"].unique())
    values = table.pivot(index="block", columns="other_block", values="cka").loc[rows, columns].to_numpy(float)
    width = width or COLUMN
    cell = (width - 1.5) / len(columns)
    height = float(np.clip(cell * len(rows), 0.6, 6)) + 0.7
    said = f"Largest standard error over images {table['cka_se'].max():.2g}." if table["cka_se"].notna().any() else ""
    names = [pretty(table[name].iloc[0]) for name in ("network", "other")]
    ylabel, xlabel = (wrapped(name, NAME_SIZE, room, 2) for name, room in zip(names, (height - 0.7, 1.8), strict=True))
    figure, axes = panels(1, 1, width, height + 0.15 * (xlabel.count("\n") + 1), note=f"{said} {note}")
    ax = axes[0, 0]
    ax.grid(False)
    # a debiased value may be a little below 0: it is shown as 0, and written as it is
    lowest = float(np.clip(np.floor(5 * np.nanmin(values)) / 5, 0, 0.8)) if np.isfinite(values).any() else 0.0
    picture = ax.imshow(values, vmin=lowest, vmax=1, cmap="viridis", aspect="auto")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    block_ticks(ax, range(len(columns)), columns, width - 1.5)
    ax.set_yticks(*_row_ticks(rows, height - 0.7))
    if cell >= WRITTEN:
        _write(ax, values, (lowest + 1) / 2)
    bar = figure.colorbar(picture, ax=ax, fraction=0.05)
    bar.set_label(brief_of("cka"), fontsize=NAME_SIZE)
    return Drawn(figure, axes)


def _row_ticks(blocks: list[str], inches: float) -> tuple[list[int], list[str]]:
    step = int(np.ceil(0.15 * len(blocks) / inches))
    names = [wrapped(paper_name(block), NAME_SIZE, 0.6, lines=1) for block in blocks]
    return list(range(0, len(blocks), step)), names[::step]


def _write(ax: Axes, values: np.ndarray, middle: float) -> None:
    """The values in their cells: black on the lighter half of the colours."""
    for row, column in np.argwhere(~np.isnan(values)):
        value = values[row, column]
        color = "black" if value > middle else "white"
        text = f"{round(value, 2) + 0.0:.2f}".replace("-", "−")  # no −0.00
        ax.text(column, row, text, ha="center", va="center", fontsize=6, color=color)


def pictures(run: StoredRun, look: Look) -> Pictures:
    """One for both networks."""
    blocks = run.table("match_blocks.csv")
    if len(blocks):
        yield "fig_match_blocks", block_similarity(blocks, run.caption(), look.width)[0]
