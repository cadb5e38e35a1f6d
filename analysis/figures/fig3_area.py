"""The area between the curves of the two orders, block by block."""

from typing import Any

import pandas as pd

from ..names import pretty
from ..results.tables import title_of
from .drawn import Drawn, Pictures
from .stored import StoredRun
from .style import MARKERS, PALETTE, THIN, Look, block_ticks, key, need, panels, reach, styled, width_for

NEEDS = {"pruning_summary.csv": ("area_low", "area_high")}


@styled
def pruning_areas(summary: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """The area between the curves of the two orders, block by block, with 95 % intervals over images.

    Of several trainings of a network, the mean, and thin each of them; their intervals are in the tables.

    Where the ratios 0 and 1 were not both measured there is no area, and the figure says so.

    Args:
        summary: rows of `pruning_summary.csv`, of one or several networks, one line for each network and score; with a
            column `group`, one for each group.
        note: what the images are.
        width: inches.
    """
    table = need(summary, "pruning summary")
    if "group" not in table:
        table = table.assign(group=table["network"])
    blocks, lines = list(table["block"].unique()), list(table.groupby(["group", "score"], sort=False))
    grouped = (table["group"] != table["network"]).any()
    width = width or width_for(len(blocks), 0.8)
    several = table["score"].nunique() > 1
    looks = [{"color": PALETTE[n % len(PALETTE)], "marker": MARKERS[n % len(MARKERS)]} for n in range(len(lines))]
    names = [f"{pretty(label)}, {score}" if several else pretty(label) for (label, score), _ in lines]
    handles = [key(name, markersize=4, **look) for name, look in zip(names, looks, strict=True)]
    if grouped:
        note = f"Means over trainings; thin: each training. {note}"
    elif table["area_low"].notna().any():
        note = f"95 % intervals over images, not over trainings. {note}"
    figure, axes = panels(1, 1, width, 2.1, handles, note, ylabel=title_of("area"))
    ax = axes[0, 0]
    ax.axhline(0, color="0.4", linewidth=0.8)
    for number, (_, rows) in enumerate(lines):
        shift = 0.3 * (number - (len(lines) - 1) / 2) / max(len(lines), 2)
        if grouped:
            for _, each in rows.groupby("network", sort=False):
                ax.plot(_places(each, blocks, shift), each["area"], color=looks[number]["color"], **THIN)
            rows = rows.groupby("block", sort=False)["area"].mean().reset_index()
        errors = None if grouped else reach(rows["area"], rows["area_low"], rows["area_high"])
        look: dict[str, Any] = {"markersize": 4, "linewidth": 1, "capsize": 2} | looks[number]
        ax.errorbar(_places(rows, blocks, shift), rows["area"], errors, **look)
    block_ticks(ax, range(len(blocks)), blocks, width - 0.8)
    ax.set_xlim(-0.5, len(blocks) - 0.5)
    missing = int(table["area"].isna().sum())
    if missing:
        which = "No area" if missing == len(table) else f"No area for {missing} of {len(table)} points"
        text = f"{which}: the ratios 0 and 1\nwere not both measured"
        if missing == len(table):
            ax.set_yticks([0])
        ax.text(0.5, 0.75, text, transform=ax.transAxes, ha="center", va="center", fontsize=7, color="0.35")
    return Drawn(figure, ax)


def _places(rows: pd.DataFrame, blocks: list[str], shift: float) -> list[float]:
    return [blocks.index(block) + shift for block in rows["block"]]


def pictures(run: StoredRun, look: Look) -> Pictures:
    summary = run.table("pruning_summary.csv")
    if len(summary):
        grouped = summary.assign(group=run.by_group(summary)["network"])
        yield "fig3_area", pruning_areas(grouped, run.caption(), look.width)[0]
