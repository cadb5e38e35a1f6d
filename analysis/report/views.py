"""The interactive views as one Bokeh document: units as a scatter, a histogram and a table, and pruning curves.

They show nothing by themselves: `views.js` fills them by what is picked on the page, and finds them by their names.
Names of networks and classes are never titles or ticks, which Bokeh might take for formulas.
"""

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from bokeh.document import Document
from bokeh.models import (
    BooleanFilter,
    CDSView,
    ColumnDataSource,
    DataRange1d,
    HoverTool,
    InlineStyleSheet,
    NumeralTickFormatter,
)
from bokeh.models.ui import UIElement
from bokeh.models.widgets import DataTable, NumberFormatter, TableColumn
from bokeh.plotting import figure
from bokeh.transform import factor_cmap

from .units import titles_of

SCATTER, HISTOGRAM, TABLE, CURVES = "scatter", "histogram", "table", "curves"
"""The views, as the page and its script call them."""

ORDERS = {"most": "solid", "least": "dashed"}
TOOLS = "pan,wheel_zoom,box_zoom,box_select,tap,reset"

_STYLE = """
.slick-header-column, .slick-cell { font: 13px system-ui, sans-serif; }
.slick-row.selected .slick-cell.selected { background: #ffe08a; color: #000; }
@media (prefers-color-scheme: dark) {
  .slick-header, .slick-header-columns, .slick-header-column, .slick-header-column:hover, .slick-viewport,
  .slick-row, .slick-cell { background: #1b1f24; color: #e3e6ea; border-color: transparent; }
  .slick-row.odd .slick-cell { background: #22272e; }
}
"""
"""Of the table, which the page's style does not reach."""


def views_of(units: pd.DataFrame, curves: list[dict], colors: Mapping[str, str]) -> dict[str, Any]:
    """What the script needs: the document's JSON, and by view the identifier of its root.

    Args:
        units: of `units_of`.
        curves: of `curves_of`.
        colors: of networks.
    """
    document = Document()
    views: dict[str, UIElement] = {}
    if len(units):
        views |= _units(units, colors)
    if curves:
        views[CURVES] = _curves(curves, colors)
    if not views:
        return {"roots": {}}
    for view in views.values():
        document.add_root(view)
    return {"document": document.to_json(deferred=False), "roots": {name: view.id for name, view in views.items()}}


def _units(units: pd.DataFrame, colors: Mapping[str, str]) -> dict[str, UIElement]:
    """Three views of the same units: what is selected or left out in one is in all."""
    titles = titles_of(units)
    source = ColumnDataSource(data={name: _column(units[name]) for name in units}, name="units")
    kept = BooleanFilter(name="kept")
    return {
        SCATTER: _scatter(source, CDSView(filter=kept), titles, colors),
        HISTOGRAM: _histogram(colors),
        TABLE: _table(source, CDSView(filter=kept), titles),  # one view in both would draw the table three times
    }


def _column(values: pd.Series) -> np.ndarray | list:
    """Numbers as arrays of four bytes, which a page holds in six characters each."""
    if not pd.api.types.is_numeric_dtype(values):
        return values.tolist()
    return values.to_numpy(np.int32 if pd.api.types.is_integer_dtype(values) else np.float32)


def _scatter(source: ColumnDataSource, view: CDSView, titles: Mapping[str, str], colors: Mapping[str, str]) -> figure:
    plot = _figure(380, SCATTER)
    points = plot.scatter(
        *(next(iter(titles)),) * 2,
        source=source,
        view=view,
        size=5,
        alpha=0.6,
        line_color=None,
        color=factor_cmap("network", list(colors.values()), list(colors)),
        nonselection_alpha=0.3,
        selection_alpha=1.0,
        selection_line_color="black",
        name="points",
    )
    # what the axes span where no unit is left, which Bokeh would complain of
    span = ColumnDataSource(data={"x": [], "y": []}, name="span")
    plot.scatter("x", "y", source=span, size=0, alpha=0)
    measures = [(title, f"@{name}{{0.0000}}") for name, title in titles.items()]
    tooltips = [("Network", "@network"), ("Block", "@block"), ("Unit", "@unit"), *measures]
    tooltips += [("Top class", "@top_class"), ("Images", "@images")]
    plot.add_tools(HoverTool(renderers=[points], tooltips=tooltips, limit=2))
    return plot


def _histogram(colors: Mapping[str, str]) -> figure:
    """Units by a measure, a line for each network; those selected are marked on the axis."""
    plot = _figure(380, HISTOGRAM, y_range=DataRange1d(start=0))
    plot.yaxis.axis_label = "Units"
    for number, color in enumerate(colors.values()):
        bins = ColumnDataSource(data={"x": [0.0, 1.0], "y": [0.0, 0.0]}, name=f"bins-{number}")
        plot.step("x", "y", source=bins, mode="after", color=color, line_width=2)
    marks = ColumnDataSource(data={"x": [], "y": []}, name="marks")
    plot.scatter("x", "y", source=marks, marker="inverted_triangle", size=11, color="#d55e00", line_color="black")
    return plot


def _table(source: ColumnDataSource, view: CDSView, titles: Mapping[str, str]) -> DataTable:
    number, whole = NumberFormatter(format="0.0000", text_align="right"), NumberFormatter(text_align="right")
    texts = {"network": "Network", "block": "Block", "top_class": "Top class", "images": "Most active on"}
    widths = {name: _width([title, *map(str, source.data[name])]) for name, title in texts.items()}
    text = {name: TableColumn(field=name, title=title, width=widths[name]) for name, title in texts.items()}
    columns = [
        text["network"],
        text["block"],
        TableColumn(field="unit", title="Unit", width=_width(["Unit", "00000"]), formatter=whole),
        text["top_class"],
        *(
            TableColumn(field=name, title=escape(title), width=_width([title, "00.0000"]), formatter=number)
            for name, title in titles.items()
        ),
        text["images"],
    ]
    return DataTable(
        source=source,
        view=view,
        columns=columns,
        index_position=None,
        autosize_mode="none",
        reorderable=False,
        sizing_mode="stretch_width",
        height=360,
        scroll_to_selection=True,
        stylesheets=[InlineStyleSheet(css=_STYLE)],
        name=TABLE,
    )


def _width(texts: list[str]) -> int:
    """Pixels of a column that cuts none of its texts, unless one is very long."""
    return min(max(map(len, texts)) * 7 + 26, 600)


def _curves(curves: list[dict], colors: Mapping[str, str]) -> figure:
    """Accuracy against the ratio dropped: for each network a line an order, with its band, which the script fills."""
    plot = _figure(420, CURVES, x_range=(-0.02, 1.02), y_range=(-0.02, 1.02))
    plot.xaxis.axis_label, plot.yaxis.axis_label = "Ratio of feature maps dropped", "Top-1 accuracy"
    plot.yaxis.formatter = NumeralTickFormatter(format="0 %")
    points = []
    for number, (network, color) in enumerate(colors.items()):
        orders = {each["order"] for each in curves if each["network"] == network}
        for order in (*ORDERS, "none"):
            if order in orders:
                points.append(_curve(plot, f"{number}-{order}", order, color))
    tooltips = [("Network", "@network"), ("Order", "@order"), ("Ratio dropped", "@ratio{0.00}")]
    tooltips += [("Top-1 accuracy", "@top1{0.0000}"), ("Interval", "@low{0.0000} … @high{0.0000}")]
    plot.add_tools(HoverTool(renderers=points, tooltips=tooltips))
    return plot


def _curve(plot: figure, name: str, order: str, color: str) -> Any:
    empty: dict[str, list] = {each: [] for each in ("ratio", "top1", "low", "high", "network", "order")}
    source = ColumnDataSource(data=empty, name=f"curve-{name}")
    if order == "none":
        return plot.scatter("ratio", "top1", source=source, marker="star", size=14, color=color)
    plot.varea("ratio", "low", "high", source=source, color=color, alpha=0.15, name="band")
    plot.line("ratio", "top1", source=source, color=color, line_width=2, line_dash=ORDERS[order])
    return plot.scatter("ratio", "top1", source=source, color=color, size=6)


def _figure(height: int, name: str, **ranges) -> figure:
    plot = figure(height=height, sizing_mode="stretch_width", tools=TOOLS, name=name, active_drag=None, **ranges)
    plot.toolbar.logo = None
    plot.toolbar_location = "above"
    return plot
