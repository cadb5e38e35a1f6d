"""What all figures share: sizes, colours, text that fits its place, percents, a legend and caption that stay inside.

A figure is as wide as it is asked to be: what does not fit in one row goes on in the next, and no text is cut off.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from itertools import accumulate, cycle
from typing import Any, NamedTuple, ParamSpec, TypeVar

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..errors import UsageError
from ..names import paper_name, pretty
from ..results.tables import title_of

Arguments = ParamSpec("Arguments")
Given = TypeVar("Given")

COLUMN, WIDTH = 3.3, 7.0
"""Inches: a figure in one column, and across both."""

_COLORBLIND = "0173b2 de8f05 029e73 d55e00 cc78bc ca9161 fbafe4 949494 ece133 56b4e9"
PALETTE = [to_rgb(f"#{color}") for color in _COLORBLIND.split()]
"""Seaborn's "colorblind", written out: seaborn takes seconds to import, and only violins need it."""
MARKERS = "os^Dv<>pPX"
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
LEGEND_SIZE, NAME_SIZE, NOTE_SIZE = 7.5, 8, 6.5

STYLE: dict[Any, object] = {
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 8,
    "axes.titlesize": NAME_SIZE,
    "legend.fontsize": LEGEND_SIZE,
    # names are shown as they are: a dollar sign or \frac in one is no formula
    "text.parse_math": False,
    "text.usetex": False,
    # text stays text in the file, so that it can be searched, edited and printed
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    # and the same figure is the same file
    "svg.hashsalt": "gelens",
}

THIN: dict[str, Any] = {"linewidth": 0.6, "alpha": 0.55}
"""Each training's line beside the mean of its group."""

MEANS = "Means over trainings."

_MARGIN = 0.62
"""Inches beside the panels, for the axis' labels."""


@dataclass(frozen=True)
class Look:
    """How figures are to look: width in inches, bins of the distributions; None is each figure's own."""

    width: float | None = None
    bins: int | None = None


def styled(draw: Callable[Arguments, Given]) -> Callable[Arguments, Given]:
    """The project's style for all that a function draws, and for nothing else."""

    @wraps(draw)
    def in_style(*args: Arguments.args, **options: Arguments.kwargs) -> Given:
        with plt.rc_context(STYLE):
            return draw(*args, **options)

    return in_style


def need(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table with names as text; a UsageError is raised for one without rows."""
    if table.empty:
        raise UsageError(f"the {name} table is empty: nothing to draw")
    return named(table)


def named(table: pd.DataFrame) -> pd.DataFrame:
    """The table with names as text, where a reader of CSV took them for numbers."""
    texts = [name for name in ("network", "reference", "block", "other", "other_block") if name in table]
    return table.assign(**{name: table[name].astype(str) for name in texts})


def colors_of(labels: Iterable[str]) -> dict[str, tuple]:
    """A colour for each label, of a palette that the colour-blind can tell apart."""
    return dict(zip(labels, cycle(PALETTE), strict=False))


def markers_of(labels: Iterable[Given]) -> dict[Given, str]:
    """A marker for each label: beside their colours, so that they are told apart in grey too."""
    return dict(zip(labels, cycle(MARKERS), strict=False))


def lines_of(labels: Iterable[Given]) -> dict[Given, Any]:
    """A kind of line for each label: beside their colours, so that they are told apart in grey too."""
    return dict(zip(labels, cycle(LINES), strict=False))


def colors_by_depth(blocks: Sequence[str]) -> dict[str, tuple]:
    """A colour for each block, the darkest the first."""
    shares = np.linspace(0, 1, len(blocks) + 2)[1:-1]
    return dict(zip(blocks, map(tuple, colormaps["viridis"](shares)[:, :3]), strict=True))


@cache
def _advance(character: str) -> float:
    """The width of a character in parts of the font's size."""
    font = get_font(findfont(FontProperties()))
    if font.get_char_index(ord(character)) == 0:
        return 1.0
    font.set_size(100, 72)
    return font.load_char(ord(character)).linearHoriAdvance / 65536 / 100


def text_width(text: str, size: float) -> float:
    """Inches that a line of text takes at a size in points, at most: letters are set on whole pixels."""
    return sum(map(_advance, text)) * size / 72 * 1.04


_LONGEST = 2000
"""Characters of a text that are looked at: no figure has room for more."""


def wrapped(text: str, size: float, inches: float, lines: int | None = None) -> str:
    """The text broken into lines that fit; of what takes more lines than allowed, the middle is left out.

    Names of networks and blocks mostly differ at their ends, so that both ends are kept.
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"
    broken = _lines(text, size, inches)
    kept = min(len(text), (lines or 0) * _most_in_line(size, inches) + 1)
    while lines and len(broken) > lines and kept > 2:
        kept -= 1
        broken = _lines(f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}", size, inches)
    return "\n".join(broken)


def _most_in_line(size: float, inches: float) -> int:
    """More characters than a line holds: of the narrowest five make the font's size."""
    return int(inches * 72 / size * 5) + 2


def _lines(text: str, size: float, inches: float) -> list[str]:
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for part in re.findall(r"(?:[^ _\-/.,:=]|-(?=θ))*(?:[ _/.,:=]|-(?!θ))*", paragraph):  # GE-θ is one word
            if line and text_width(line + part.rstrip(), size) > inches:
                lines.append(line.rstrip())
                line = ""
            while text_width(part.rstrip(), size) > inches and len(part) > 1:
                looked_at = part[: _most_in_line(size, inches)]
                widths = list(accumulate(text_width(character, size) for character in looked_at))
                fitting = min(max(bisect_right(widths, inches), 1), len(part) - 1)
                lines.append(part[:fitting])
                part = part[fitting:]
            line += part
        lines.append(line.rstrip())
    return lines


def in_rows(count: int, width: float, least: float) -> tuple[int, int]:
    """Rows and columns of `count` panels, each at least so many inches wide, in rows as even as can be.

    >>> in_rows(12, 7.0, 1.0), in_rows(12, 3.3, 1.0), in_rows(1, 7.0, 3.0)
    ((2, 6), (6, 2), (1, 1))
    """
    columns = int(np.clip((width - _MARGIN) / least, 1, count))
    rows = -(-count // columns)
    return rows, -(-count // rows)


def width_for(count: int, each: float) -> float:
    """Inches of a figure of so many things side by side, from one column's width to that of both.

    >>> width_for(1, 1.1), width_for(4, 1.1), width_for(12, 1.1)
    (3.3, 5.02, 7.0)
    """
    return round(float(np.clip(count * each + _MARGIN, COLUMN, WIDTH)), 2)


def panel_width(width: float, columns: int) -> float:
    """Inches that a panel has for its title."""
    return (width - _MARGIN) / columns - 0.08


def panels(
    rows: int,
    columns: int,
    width: float,
    height: float,
    handles: Sequence = (),
    note: str = "",
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    **options,
) -> tuple[Figure, np.ndarray]:
    """A grid of axes (rows, columns), with a legend above them and a caption below.

    Args:
        rows: of panels.
        columns: of panels.
        width: inches, of the figure.
        height: inches, of a row of panels; what legend, labels and caption take is added.
        handles: of the legend.
        note: the caption.
        xlabel: of all panels.
        ylabel: of all panels.
        title: of the figure, above the legend.
        options: of matplotlib's `subplots`, such as `sharex`.
    """
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained", **options)
    legend = legend_above(figure, handles, title)
    note = wrapped(re.sub("[ \n]+", " ", note).strip(), NOTE_SIZE, width - 0.2)
    strip = (len(note.split("\n")) * NOTE_SIZE * 1.25 / 72 + 0.06) if note else 0.0
    xlabel = wrapped(xlabel, 8, width - _MARGIN)
    below = strip + (0.14 * (xlabel.count("\n") + 1) + 0.03 if xlabel else 0.0)
    total = rows * height + legend + below
    figure.set_size_inches(width, total)
    # the layout knows of no caption, and would put the label where the caption is: both have a strip of their own
    figure.get_layout_engine().set(rect=(0, below / total, 1, 1 - below / total))
    if xlabel:
        figure.supxlabel(xlabel, y=(strip + 0.02) / total, fontsize=8)
    if ylabel:
        figure.supylabel(wrapped(ylabel, 8, rows * height - 0.6), fontsize=8)
    if note:
        figure.text(0.5, 0.03 / total, note, ha="center", va="bottom", fontsize=NOTE_SIZE, color="0.35")
    return figure, axes


def legend_above(figure: Figure, handles: Sequence, title: str = "") -> float:
    """Put a legend above the panels, in as many columns as the figure is wide enough for; the inches that it takes."""
    if not handles:
        return 0.0
    width = figure.get_figwidth()
    labels = [wrapped(handle.get_label(), LEGEND_SIZE, width - 0.75) for handle in handles]
    look: dict[str, Any] = {"title": wrapped(title, NAME_SIZE, width - 0.3, 3) or None, "title_fontsize": NAME_SIZE}
    look |= {"frameon": False, "loc": "outside upper center", "borderaxespad": 0.2}
    for columns in range(min(len(handles), 6), 0, -1):
        legend = figure.legend(handles=handles, labels=labels, ncols=columns, **look)
        box = legend.get_tightbbox()
        # letters are set on whole pixels, so that at a file's resolution they may take more
        assert box is not None
        taken = box.height / figure.dpi
        if columns == 1 or box.width / figure.dpi * 1.04 <= width - 0.1:
            break
        legend.remove()
    return taken


def hide_rest(axes: np.ndarray, used: int) -> None:
    """Hide the panels that nothing is drawn in; those above them get the numbers of their axis."""
    for ax in axes.flat[used:]:
        ax.set_axis_off()
    if used < axes.size:
        for ax in axes.flat[max(used - axes.shape[1], 0) : used]:
            ax.tick_params(labelbottom=True)


def unit_ticks(axis: Axis, highest: float, inches: float) -> None:
    """Ticks at 0, the middle and the end, of which the middle one is named where there is room."""
    ticks = [0, highest / 2, highest]
    axis.set_ticks(ticks, [f"{tick:.2g}" if inches >= 0.9 or tick != highest / 2 else "" for tick in ticks])


def percent(share: float) -> str:
    """A share as percents, whole where it is whole, with a thin space.

    >>> percent(0.3), percent(0.125), percent(-0.05)
    ('30\u2009%', '12.5\u2009%', '−5\u2009%')
    """
    return f"{round(100 * share, 6):g}\u2009%".replace("-", "−")


def percent_axis(axis: Axis) -> None:
    """Ticks in percents, all written alike."""
    axis.set_major_formatter(FuncFormatter(lambda share, _: percent(share)))


LEAST_RANGE = 0.05
"""Of accuracy on an axis: what differs by less looks alike."""


def accuracy_axis(ax: Axes) -> None:
    """0 to 100 % whatever was measured, so that figures of several runs can be laid side by side."""
    ax.set_ylim(-0.03, 1.03)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
    percent_axis(ax.yaxis)


def accuracy_range(ax: Axes, values: pd.Series) -> None:
    """The range that accuracies have, `LEAST_RANGE` at least: small differences are seen, and noise is not."""
    low, high = values.min(), values.max()
    middle, half = (low + high) / 2, max((high - low) / 2, LEAST_RANGE / 2) * 1.08
    ax.set_ylim(middle - half, middle + half)
    ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    percent_axis(ax.yaxis)


def epoch_axis(ax: Axes, epochs: pd.Series) -> None:
    """Epochs, whole where they are whole; one alone has one tick."""
    ax.set_xlabel(title_of("epoch"))
    found = sorted(set(epochs))
    if len(found) <= 1:
        ax.set_xlim(found[0] - 1, found[0] + 1)
        ax.set_xticks(found, [f"{epoch:g}" for epoch in found])
    else:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=all(epoch % 1 == 0 for epoch in found)))


def block_ticks(ax: Axes, positions: Sequence[float] | np.ndarray, blocks: Sequence[str], inches: float) -> None:
    """The blocks' names under their positions: level where they fit side by side, else slanted, and thinned out."""
    names = [wrapped(paper_name(block), NAME_SIZE, 1.3, lines=1) for block in blocks]
    room = inches / max(len(names), 1)
    if max(text_width(name, NAME_SIZE) for name in names) + 0.08 <= room:
        ax.set_xticks(positions, names)
        return
    step = int(np.ceil(0.17 / room))
    shown = [name if number % step == 0 else "" for number, name in enumerate(names)]
    ax.set_xticks(positions, shown, rotation=45, ha="right", rotation_mode="anchor")


def marker_of(points: int, marker: str = "o") -> str:
    """A marker at every point, unless they would run into one another: one point alone is seen too."""
    return marker if points <= 20 else ""


def key(label: str, **look) -> Line2D:
    """A line of a legend."""
    return Line2D([], [], label=label, **look)


def keys(
    colors: Mapping[str, tuple],
    name: Callable[[str], str] = pretty,
    **looks: Mapping[str, Any],
) -> list[Line2D]:
    """The legend's lines for labels: networks, or what else `name` makes words of.

    Args:
        colors: by label.
        name: of a label, in words.
        looks: other options of matplotlib's lines, each by label.
    """
    return [
        key(name(label), color=color, markersize=3.5, **{option: each[label] for option, each in looks.items()})
        for label, color in colors.items()
    ]


class Kind(NamedTuple):
    """One of several measures in a panel: in words, its colour, marker and line."""

    name: str
    color: object
    marker: str
    line: str = "-"

    @property
    def look(self) -> dict:
        """As options of matplotlib's lines."""
        return {"color": self.color, "marker": self.marker, "linestyle": self.line, "markersize": 3.5}

    @property
    def key(self) -> Line2D:
        """The legend's line for it."""
        return key(self.name, **self.look)


def reach(values: pd.Series, low: pd.Series, high: pd.Series) -> np.ndarray:
    """How far bars reach below and above their values, (2, N)."""
    return np.stack([values - low, high - values]).clip(min=0)


def bars_said(bars: str, networks: Collection[str], trainings: pd.DataFrame | None) -> str:
    """What a caption says of bars or bands over images, which groups have not, and of the groups' lines.

    Args:
        bars: what they are.
        networks: those drawn.
        trainings: rows of each training, `network` its group's; None where none is a group.

    >>> bars_said("Bars: 95 % over images.", ["a", "b"], pd.DataFrame({"network": ["b", "b"]}))
    'Bars: 95 % over images. Means over trainings. Thin: each training.'
    """
    if trainings is None:
        return bars
    said = f"{MEANS} Thin: each training."
    return said if set(networks) <= set(trainings["network"]) else f"{bars} {said}"


def each_training(trainings: pd.DataFrame | None, network: str, block: str | None = None) -> list[pd.DataFrame]:
    """The rows of each training of a group, in one block or in all; none where it is no group."""
    if trainings is None:
        return []
    mine = trainings[trainings["network"] == network]
    mine = mine if block is None else mine[mine["block"] == block]
    return [rows for _, rows in mine.groupby("training", sort=False)]
