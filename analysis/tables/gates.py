"""Gates of recorded networks: how they vary, their selectivity, and whether they follow activity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..errors import UsageError
from ..names import pretty
from ..randomness import hashes
from ..recording import Recording
from ..statistics.gates import PARTS, GateValues, gate_histogram, gate_profiles, static_points
from ..statistics.significance import holm
from ..statistics.trainings import Groups, over_trainings, pooled, with_holm
from .selectivity import Selectivity, Statistics, selectivity_tables

SHOWN_UNITS, SHOWN_CLASSES = 50, 5
"""Channels and classes whose profiles are kept for a figure, as in that of the SE paper: drawn by hash."""

SHARES = ("share_channel", "share_class", "share_image", "share_input")
"""Of the variance of gates, in `gates_blocks.csv`; the last is the two before together."""

_OF_SELECTIVITY = ("csi", "csi_se", "csi_null", "csi_corrected", "top_class_name", "sparseness")
_SPARSENESS = ("mean_sparseness", "mean_sparseness_se")


@dataclass
class Gates:
    """Tables of gates: `gates_units.csv`, `gates_blocks.csv`, `gates_classes.csv` and `gates_histogram.csv`."""

    units: pd.DataFrame = field(default_factory=pd.DataFrame)
    blocks: pd.DataFrame = field(default_factory=pd.DataFrame)
    classes: pd.DataFrame = field(default_factory=pd.DataFrame)
    histogram: pd.DataFrame = field(default_factory=pd.DataFrame)


def gate_tables(recording: Recording, statistics: Statistics, networks: Sequence[str] = ()) -> Gates:
    """Of every recorded gate, from the taps gate and, for correlations with activity, output.

    Args:
        networks: labels of those wanted; all that have gates by default.

    Raises:
        UsageError: no gate was recorded.
    """
    chosen = [label for label in networks or recording.networks if recording.blocks(label, "gate")]
    if not chosen:
        raise UsageError(
            "no gate was recorded: `gelens record --tap gate --tap output` or `gelens gates NETWORK…` does"
        )
    selective = selectivity_tables(recording, statistics, "gate", chosen)
    rows: dict[str, list[pd.DataFrame]] = {"units": [], "blocks": [], "classes": [], "histogram": []}
    for network in chosen:
        for block in recording.blocks(network, "gate"):
            for name, table in _block(recording, network, block, selective, statistics.seed).items():
                table.insert(0, "block", block)
                table.insert(0, "network", network)
                rows[name].append(table)
    return Gates(**{name: pd.concat(tables, ignore_index=True) for name, tables in rows.items()})


def _block(
    recording: Recording, network: str, block: str, selective: Selectivity, seed: int
) -> dict[str, pd.DataFrame]:
    gates = np.asarray(recording.matrix(network, block, "gate"))
    active = block in recording.blocks(network, "output")
    activity = np.asarray(recording.matrix(network, block, "output")) if active else None
    values = GateValues(gates, recording.labels, recording.indices, seed)
    units = values.units(activity)
    mine = (selective.units["network"] == network) & (selective.units["block"] == block)
    units[list(_OF_SELECTIVITY)] = selective.units.loc[mine, list(_OF_SELECTIVITY)].to_numpy()
    block_of = (selective.blocks["network"] == network) & (selective.blocks["block"] == block)
    summary = selective.blocks[block_of].iloc[0]
    told = {"depth": summary["depth"], "units": gates.shape[1], "images": len(gates), "mean": float(gates.mean())}
    told |= {"below_tenth": float((gates < 0.1).mean()), "above_nine_tenths": float((gates > 0.9).mean())}
    told |= values.variance() | {"profile_reliability": values.profile_reliability()}
    told |= {name: summary[name] for name in ("mean_csi", "mean_csi_se", "mean_null", "mean_corrected", *_SPARSENESS)}
    for name in ("rank_correlation", "rank_correlation_within"):
        told[f"mean_{name}"] = units[name].mean() if name in units else np.nan
    profiles = gate_profiles(gates, recording.labels, *_shown(gates.shape[1], recording.labels, seed))
    names = dict(enumerate(selective.classes))
    profiles["class_name"] = [
        names.get(label, "all classes" if label < 0 else str(label)) for label in profiles["class"]
    ]
    tables = {"units": units, "blocks": pd.DataFrame([told]), "classes": profiles}
    return tables | {"histogram": gate_histogram(gates)}


@dataclass
class Static:
    """Which images are right with gates replaced.

    Args:
        right: bool (images, points), the first point the intact network.
        points: (block, gate) of each.
    """

    right: np.ndarray
    points: list[tuple[str, str]]


def static_of(recording: Recording) -> dict[str, Static]:
    """By network, what was recorded with its gates replaced."""
    found = {}
    for network in recording.networks:
        settings = recording.described["settings"][network].get("static")
        if settings is not None:
            right = recording.array(network, "static.top1").astype(bool)
            found[network] = Static(right, [(block, gate) for block, gate in settings["points"]])
    return found


def static_table(measured: Mapping[str, Static]) -> pd.DataFrame:
    """`gates_static.csv`: network, the columns of `static_points`, p_holm over all rows but the intact ones."""
    tables = []
    for network, static in measured.items():
        table = static_points(static.right, static.points)
        table.insert(0, "network", network)
        tables.append(table)
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True).assign(p_holm=np.nan)
    replaced = table["block"] != ""
    table.loc[replaced, "p_holm"] = holm(table.loc[replaced, "p"].to_numpy())
    return table


def static_over_trainings(measured: Mapping[str, Static], groups: Groups) -> pd.DataFrame:
    """By how much replacing gates changes the accuracy of groups: `gates_static_trainings.csv`.

    Returns:
        network (group), block, gate, then the columns of `over_trainings` of the accuracy less that of the intact
        network, and p_holm (over all rows).
    """
    tables = []
    for group, trainings in groups.items():
        each = [measured[label] for label in trainings.values() if label in measured]
        if not each or any(static.points != each[0].points for static in each):
            continue
        changes = np.stack([static.right[:, 1:].astype(float) - static.right[:, :1] for static in each])
        images = changes.shape[1]
        errors = changes.mean(0).std(0, ddof=1) / np.sqrt(images) if images > 1 else np.full(changes.shape[2], np.nan)
        about = pd.DataFrame(each[0].points[1:], columns=["block", "gate"]).assign(network=group)
        tables.append(pd.concat([about, over_trainings(changes.mean(1), errors, images)], axis=1))
    if not tables:
        return pd.DataFrame()
    table = with_holm(pd.concat(tables, ignore_index=True).assign(quantity="difference"), "quantity")
    return table[["network", "block", "gate", *table.columns.drop(["network", "block", "gate", "quantity"])]]


def shares_over_trainings(blocks: pd.DataFrame, groups: Groups) -> pd.DataFrame:
    """The shares of the variance of gates over the trainings of each group: `gates_blocks_trainings.csv`.

    Args:
        blocks: rows of `gates_blocks.csv`.

    Returns:
        network (group), block, depth, quantity (`share_channel`, `share_class`, `share_image`, and `share_input`, the
        last two together), then the columns of `gelens.statistics.trainings.pooled`.
    """
    return pooled(blocks, ("block", "depth"), {name: f"{name}_se" for name in SHARES}, groups, PARTS)


def _shown(units: int, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Channels and classes to show, the same ones for every network of so many channels."""
    chosen = np.argsort(hashes(seed, "shown unit", np.arange(units)), kind="stable")[:SHOWN_UNITS]
    classes = np.unique(labels)
    shown = classes[np.argsort(hashes(seed, "shown class", classes), kind="stable")[:SHOWN_CLASSES]]
    return np.sort(chosen), np.sort(shown)


def gate_sentences(blocks: pd.DataFrame) -> list[str]:
    """What share of each network's gates depends on the image, from the first block to the last.

    Args:
        blocks: rows of `gates_blocks.csv`.
    """
    said = []
    for network, rows in blocks.groupby("network", sort=False):
        known = rows.dropna(subset="share_input")
        if known.empty:
            said.append(f"{pretty(network)}: no shares of the gates' variance (it takes two images of a class).")
            continue
        parts = [
            f"{row.share_input:.2f} ± {1.96 * row.share_input_se:.2f} ({row.share_class:.2f} by class)"
            for row in known.itertuples()
        ]
        said.append(
            f"{pretty(network)}: of the variance of gates over channels and images, what depends on the image, "
            f"block by block: {', '.join(parts)} (± 95 % over images; one training)."
        )
    return said
