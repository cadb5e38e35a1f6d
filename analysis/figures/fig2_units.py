"""Contact sheets: a block's most selective units, and the images that drive them most."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ..names import file_name, paper_name, pretty, unique_label
from ..results.tables import brief_of, title_of
from ..statistics.top_images import most_selective
from .drawn import Drawn, Pictures
from .stored import StoredRun
from .style import PALETTE, WIDTH, Look, key, named, need, panels, styled, wrapped

NEEDS = {
    "selectivity.csv": ("top_class", "top_class_name"),
    "selectivity_images.csv": ("label",),
    "selectivity_thumbnails.npz": (),
}


@styled
def contact_sheet(
    units: pd.DataFrame,
    top_images: pd.DataFrame,
    thumbnails: Mapping[str, np.ndarray],
    note: str = "",
    width: float | None = None,
) -> Drawn:
    """A block's units ranked by selectivity, and for the most selective ones the images that drive them most.

    Framed: images of the unit's top class. Grey dots are each unit's null. Of rows of several networks or blocks the
    first network's last block with living units is taken. An image without a thumbnail is a grey square.

    Args:
        units: rows of `selectivity.csv`.
        top_images: rows of `selectivity_images.csv`.
        thumbnails: `identifiers` (N,) and `images` (N, side, side, 3) uint8, as `selectivity_thumbnails.npz` has them.
        note: what the images are.
        width: inches.
    """
    units, width = named(units), width or WIDTH
    need(units.dropna(subset="csi"), "selectivity")
    units = _of_one_block(units)
    shown = most_selective(units)
    top_images = _of_same_block(named(top_images), units)
    pictures = dict(zip(map(str, thumbnails["identifiers"].tolist()), thumbnails["images"], strict=True))
    columns = int(top_images["rank"].max()) if len(top_images) else 1
    side_by_side = width >= 5.5
    room = width * 0.66 if side_by_side else width - 0.1
    beside = min(1.55, room * 0.42)
    cell = min((room - beside) / columns, 0.5)
    pitch = max(cell, 0.36) / cell
    tall = pitch * cell * len(shown) + 0.2
    note = f"Framed: images of the unit's top class. {note}"
    title = f"{pretty(units['network'].iloc[0])}, {paper_name(units['block'].iloc[0])}"
    title = f"{title}: most selective units, and the images that drive them most"
    if side_by_side:
        ratios: dict[str, Any] = {"width_ratios": (width - room - _AXIS, room)}
        figure, axes = panels(1, 2, width, max(tall, 2.2), _rank_keys(units), note, title=title, **ratios)
    else:
        figure, axes = panels(
            2, 1, width, (tall + 2) / 2, _rank_keys(units), note, title=title, height_ratios=(2, tall)
        )
    ax, sheet = axes.flat
    _ranks(ax, units, shown)
    sheet.set(xlim=(-beside / cell, (room - beside) / cell), ylim=(pitch * len(shown), 0), aspect="equal")
    sheet.set_axis_off()
    for row, unit in enumerate(shown.to_dict("records")):
        sheet.text(-0.1, pitch * row + 0.5, _described(unit, beside), ha="right", va="center", fontsize=_SMALL)
        mine = top_images[top_images["unit"] == unit["unit"]].sort_values("rank")
        for column, image in enumerate(mine.to_dict("records")):
            _picture(sheet, column, pitch * row, pictures.get(str(image["identifier"])))
            if image["label"] == unit["top_class"]:
                place = (column + 0.05, pitch * row + 0.05)
                sheet.add_patch(Rectangle(place, 0.9, 0.9, fill=False, edgecolor=PALETTE[1], linewidth=1.5))
    return Drawn(figure, np.array([ax, sheet]))


_SMALL = 6
_AXIS = 0.1
_MEASURES = {name: brief_of(name) for name in ("csi", "csi_null", "csi_crossfit", "csi_corrected")}


def _of_one_block(units: pd.DataFrame) -> pd.DataFrame:
    alive = units.dropna(subset="csi")
    network = alive["network"].iloc[0]
    block = alive.loc[alive["network"] == network, "block"].iloc[-1]
    return units[(units["network"] == network) & (units["block"] == block)]


def _of_same_block(top_images: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    for name in ("network", "block"):
        if name in top_images:
            top_images = top_images[top_images[name] == units[name].iloc[0]]
    return top_images


def _known(units: pd.DataFrame, column: str) -> bool:
    return column in units and bool(units[column].notna().any())


_LINES: dict[str, dict[str, Any]] = {
    "csi_null": {"marker": ".", "linestyle": "", "color": "0.65", "markersize": 2},
    "csi_crossfit": {"marker": ".", "linestyle": "", "color": PALETTE[2], "markersize": 2},
    "csi_corrected": {"marker": ".", "linestyle": "", "color": PALETTE[3], "markersize": 2},
    "csi": {"color": PALETTE[0]},
}
_SHOWN: dict[str, Any] = {"marker": "v", "linestyle": "", "color": "black", "markersize": 4}


def _rank_keys(units: pd.DataFrame) -> list:
    """The legend: of the measures those that these units have."""
    known = [column for column in _LINES if _known(units, column)]
    keys = [key(_MEASURES[column], **_LINES[column] | {"markersize": 4}) for column in known]
    return [*keys, key("shown", **_SHOWN)]


def _ranks(ax: Axes, units: pd.DataFrame, shown: pd.DataFrame) -> None:
    alive = units.dropna(subset="csi").sort_values("csi", ascending=False)
    rank = pd.Series(np.arange(1, len(alive) + 1), index=alive.index)
    lowest = 0.0
    for column, look in _LINES.items():
        if _known(alive, column):
            ax.plot(rank, alive[column], **look)
            lowest = min(lowest, alive[column].min())
    ax.plot(rank[shown.index], shown["csi"], **_SHOWN)
    ax.set(xlabel="Rank of unit", ylabel=title_of("csi"), ylim=(lowest, None))
    if len(alive) == 1:
        ax.set(xlim=(0, 2), xticks=[1])


def _described(unit: Mapping, inches: float) -> str:
    """A unit in three lines at most: which it is, its top class, its measures."""
    first = wrapped(f"unit {unit['unit']}, class {unit['top_class_name']}", _SMALL, inches - 0.1, 1)
    numbers = [
        f"{name} {unit[column]:.2f}" for column, name in _MEASURES.items() if not np.isnan(unit.get(column, np.nan))
    ]
    return "\n".join([first, *(", ".join(numbers[at : at + 2]) for at in range(0, len(numbers), 2))])


def _picture(sheet: Axes, left: float, top: float, pixels: np.ndarray | None) -> None:
    if pixels is None:
        pixels = np.full((1, 1, 3), 220, np.uint8)
    sheet.imshow(pixels, extent=(left + 0.05, left + 0.95, top + 0.95, top + 0.05))


def pictures(run: StoredRun, look: Look) -> Pictures:
    """For every network, its deepest block with thumbnails."""
    units, images = run.table("selectivity.csv"), run.table("selectivity_images.csv")
    thumbnails = run.arrays("selectivity_thumbnails.npz")
    seen = set(map(str, thumbnails["identifiers"].tolist()))
    taken: list[str] = []
    for network, rows in units.dropna(subset="csi").groupby("network", sort=False):
        deepest = rows["block"].iloc[-1]
        mine = units[(units["network"] == network) & (units["block"] == deepest)]
        top = images[(images["network"] == network) & (images["block"] == deepest)]
        top = top[top["unit"].isin(most_selective(mine)["unit"])]
        if set(top["identifier"]) <= seen:
            taken.append(unique_label(f"fig2_units_{file_name(network)}", taken))
            yield taken[-1], contact_sheet(mine, top, thumbnails, run.caption(), look.width)[0]
