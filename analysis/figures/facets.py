"""A grid with a panel for each block of a table, or for each network: what most figures are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..names import paper_name, pretty
from .style import NAME_SIZE, WIDTH, hide_rest, in_rows, panel_width, panels, width_for, wrapped

TITLES = {"block": (paper_name, 2), "network": (pretty, 3)}
"""By column, what makes a panel's title of a name, and the lines that it may take."""


@dataclass(frozen=True)
class Facets:
    """A figure with a panel for each name that a column of a table has.

    Args:
        figure: with everything but what is in the panels.
        axes: (rows, columns); those that there is no name for are hidden.
        room: inches that a panel has for its title.
        names: in their order.
        table: with rows of all names.
        by: the column.
        rows: of panels that the names take once.
    """

    figure: Figure
    axes: np.ndarray
    room: float
    names: Sequence[str]
    table: pd.DataFrame
    by: str
    rows: int

    def __iter__(self) -> Iterator[tuple[Axes, str, pd.DataFrame]]:
        """Each panel, its name, and the table's rows with that."""
        for ax, name in self.panels():
            yield ax, name, self.table[self.table[self.by] == name]

    def panels(self, time: int = 0) -> Iterable[tuple[Axes, str]]:
        """Each panel and its name; where the names come several times, below one another, those of one time."""
        mine = self.axes[time * self.rows : (time + 1) * self.rows]
        return zip(mine.flat, self.names, strict=False)


def facets(
    table: pd.DataFrame,
    by: str,
    least: float,
    height: float,
    handles: Sequence = (),
    note: str = "",
    width: float | None = None,
    each: float | None = None,
    titles: Mapping[str, str] | None = None,
    lines: int | None = None,
    times: Sequence[str] = ("",),
    **options,
) -> Facets:
    """A panel for each name that a column of a table has, titled; what the width has no room for is in further rows.

    Args:
        table: with a row or several for each name.
        by: the column; read for rows and for names without titles.
        least: inches of width that a panel needs.
        height: inches of a row of panels.
        handles: of the legend above.
        note: the caption below.
        width: inches, of the figure.
        each: inches that a panel has where no width is asked for; both columns are filled by default.
        titles: by name, where not all names have a panel or a title is another than the name as in papers.
        lines: that a title may take.
        times: names under which all the panels come, below one another; each is written beside its rows.
        options: of `panels`; the vertical axis is shared.
    """
    as_in_papers, most = TITLES.get(by, (str, 3))
    if titles is None:
        titles = {name: as_in_papers(name) for name in table[by].unique()}
    lines = most if lines is None else lines
    width = width or (WIDTH if each is None else width_for(len(titles), each))
    rows, columns = in_rows(len(titles), width, least)
    room = panel_width(width, columns)
    figure, axes = panels(rows * len(times), columns, width, height, handles, note, **{"sharey": True} | options)
    grid = Facets(figure, axes, room, list(titles), table, by, rows)
    for time, name_of_rows in enumerate(times):
        hide_rest(axes[time * rows : (time + 1) * rows], len(titles))
        _name_rows(axes[time * rows, -1], name_of_rows, height)
        for ax, name in grid.panels(time) if time == 0 or rows > 1 else ():
            ax.set_title(wrapped(titles[name], NAME_SIZE, room, lines))
    return grid


def _name_rows(ax: Axes, name: str, inches: float) -> None:
    """Write at the right edge of its last panel what a row is of."""
    look: dict[str, Any] = {"rotation": 270, "ha": "left", "va": "center", "fontsize": NAME_SIZE, "linespacing": 1.0}
    text = wrapped(name, NAME_SIZE, inches - 0.2, 3)
    if text:
        ax.annotate(text, (1, 0.5), (4, 0), xycoords="axes fraction", textcoords="offset points", **look)
