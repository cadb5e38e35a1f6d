"""Units and pruning curves of several runs as the interactive views have them: one row a unit, one record a curve."""

import re
from collections.abc import Sequence

import pandas as pd

from ..figures.pruning_curves import ORDER_LINES, curve, curve_scores
from ..results.tables import title_of
from ..statistics.top_images import IMAGES_NAMED
from .sources import Source

UNIT = ["network", "block", "unit"]
MOST_UNITS = 40_000
"""Units that the views hold; of more, a random choice."""

_INDEX = "index_"
_OF_INDEX = {name: name for name in ("csi", "csi_null", "csi_crossfit", "csi_corrected")}
_TABLES = {
    "selectivity.csv": {**_OF_INDEX, "active_fraction": "active_fraction", "mu_max": "mu_max"},
    "gates_units.csv": {**_OF_INDEX, "mean": "gate_mean", "class_share": "gate_class_share"},
    "lesions_units.csv": {"csi": "csi", "loss": "loss", "loss_own": "loss_own"},
}
"""By table, what its columns are called in the views; of a column that several tables have, the first is taken."""
_TOP_CLASS = {"top_class_name": "top_class"}

MEASURES = {new: title_of(old, table) for table, columns in _TABLES.items() for old, new in columns.items()}
"""By measure of units, what it is; in this order."""


def units_of(sources: Sequence[Source]) -> pd.DataFrame:
    """A row for each unit of all runs: network, block, unit, top_class, images, and the measures that are known.

    `images` names those on which it is most active. Dead units, without an index, are among them.
    """
    found = [table for source in sources if len(table := _units(source))]
    if not found:
        return pd.DataFrame()
    units = pd.concat(found, ignore_index=True)
    if units.duplicated(UNIT).any():  # a network that is one in several runs, which measured different things of it
        units = units.groupby(UNIT, sort=False, as_index=False).first()
    for column in ("top_class", "images"):
        units[column] = units[column].fillna("") if column in units else ""
    known = [name for name in units if units[name].notna().any()]
    measures = [name for name in MEASURES if name in known]
    others = [name for name in known if name.startswith(_INDEX)]
    return units[[*UNIT, *measures, *others, "top_class", "images"]]


def titles_of(units: pd.DataFrame) -> dict[str, str]:
    """By measure that the units have, what it is."""
    titles = {name: title for name, title in MEASURES.items() if name in units}
    others = [name for name in units if name.startswith(_INDEX)]
    return titles | {name: f"Index {name.removeprefix(_INDEX)}" for name in others}


def _units(source: Source) -> pd.DataFrame:
    units = pd.DataFrame()
    for name, columns in _TABLES.items():
        table = source.table(name)
        if len(table):
            kept = {old: new for old, new in (columns | _TOP_CLASS).items() if old in table and new not in units}
            table = table[[*UNIT, *kept]].drop_duplicates(UNIT).rename(columns=kept)
            units = table if units.empty else units.merge(table, on=UNIT, how="left")
    if units.empty:
        return units
    for column, values in (("images", _images(source)), *_indices(source).items()):
        units = units.merge(values.rename(column), left_on=UNIT, right_index=True, how="left")
    return units


def _images(source: Source) -> pd.Series:
    """By unit, the images on which it is most active."""
    table = source.table("selectivity_images.csv")
    if table.empty:
        return pd.Series(dtype=str, index=pd.MultiIndex.from_arrays([[], [], []], names=UNIT))
    first = table[table["rank"] <= IMAGES_NAMED].sort_values([*UNIT, "rank"])
    return first.groupby(UNIT, sort=False)["identifier"].agg(", ".join)


def _indices(source: Source) -> dict[str, pd.Series]:
    """The other indices, by what they are called in the views."""
    table = source.table("selectivity_indices.csv")
    if table.empty:
        return {}
    names = {name: f"{_INDEX}{re.sub(r'[^A-Za-z0-9]', '', name)}" for name in table["index"].unique()}
    return {
        names[name]: rows.drop_duplicates(UNIT).set_index(UNIT)["value"]
        for name, rows in table.groupby("index", sort=False)
    }


def curves_of(sources: Sequence[Source]) -> list[dict]:
    """The pruning curves of all runs: network, block, score, order, and lists of ratio, top1, low, high.

    Of a network that has none, its block whole and its shortcut alone, as the order "none" of no score.
    """
    found = []
    for source in sources:
        table = source.table("pruning.csv")
        if table.empty:
            continue
        for (network, block), rows in table.groupby(["network", "block"], sort=False):
            scores = curve_scores(rows)
            drawn = [(score, order, curve(rows, score, order)) for score in scores for order in ORDER_LINES]
            if not scores:
                drawn = [("", "none", rows.sort_values("ratio"))]
            for score, order, points in drawn:
                if len(points):
                    named = {"network": network, "block": block, "score": score, "order": order}
                    found.append(named | _points(points))
    return found


def _points(points: pd.DataFrame) -> dict[str, list[float]]:
    columns = {"ratio": "ratio", "top1": "top1", "low": "top1_low", "high": "top1_high"}
    points = points.dropna(subset=list(columns.values()))
    return {name: points[column].round(6).tolist() for name, column in columns.items()}
