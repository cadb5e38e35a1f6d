"""What a figure's function returns, told in a line where it ends a cell of a notebook; and what its file yields."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

Pictures = Iterator[tuple[str, Figure]]
"""Figures and the names of their files."""


class Drawn(NamedTuple):
    """A figure and its axes: `figure, axes = gelens.figures.selectivity(table)`."""

    figure: Figure
    axes: Any  # one, or an array of them, as matplotlib's `subplots` gives them

    def __repr__(self) -> str:
        number = np.size(self.axes)
        return f"figure with {number} panel{'' if number == 1 else 's'}"
