"""Lesions of recorded networks: damage by unit, and which indices agree with it."""

import numpy as np
import pandas as pd

from ..errors import UsageError
from ..names import listed, paper_name, pretty
from ..recording import Recording
from ..statistics.lesions import class_orders, lesion_tables, targeted_table
from ..statistics.significance import holm
from ..statistics.trainings import Groups, pooled


def lesions_of(recording: Recording, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`lesions_units.csv` and `lesions_agreement.csv`, of every network and block whose units were lesioned.

    Raises:
        UsageError: none was.
    """
    units: list[pd.DataFrame] = []
    agreement: list[pd.DataFrame] = []
    classes = recording.described["classes"]
    for network in recording.networks:
        for block, channels in recording.described["settings"][network].get("lesions", {}).items():
            activity = np.asarray(recording.matrix(network, block))[:, channels]
            lesions = {each: recording.array(network, f"{block}.lesion.{each}") for each in ("loss", "logit", "right")}
            right = recording.array(network, f"{block}.lesion.intact").astype(bool)
            table, agreed = lesion_tables(activity, lesions, right, recording.labels, recording.indices, seed)
            table["unit"] = channels
            table["class_name"] = [str(classes[top]) if top >= 0 else "" for top in table["top_class"]]
            for rows, each in ((units, table), (agreement, agreed)):
                each.insert(0, "block", block)
                each.insert(0, "network", network)
                rows.append(each)
    if not units:
        raise UsageError("no units were lesioned: `gelens lesions NETWORK…` does it")
    return pd.concat(units, ignore_index=True), pd.concat(agreement, ignore_index=True)


def targeted_of(recording: Recording) -> pd.DataFrame:
    """`lesions_targeted.csv`: network, block, then the columns of `targeted_table`; empty where none was."""
    tables = []
    for network in recording.networks:
        right = recording.array(network, "top_classes")[:, 0] == recording.labels
        settings = recording.described["settings"][network].get("targeted")
        for block in settings["orders"] if settings else ():
            table = targeted_table(recording.array(network, f"{block}.targeted.right"), right, settings["counts"])
            table.insert(0, "block", block)
            table.insert(0, "network", network)
            tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def targeted_over_trainings(targeted: pd.DataFrame, groups: Groups, images: int) -> pd.DataFrame:
    """`lesions_targeted_trainings.csv`: network (group), block, k, quantity, then `gelens.statistics.trainings.pooled`.

    Args:
        targeted: rows of `lesions_targeted.csv`.
        groups: the trainings of each group.
        images: that were measured.

    Returns:
        those rows; empty where nothing was targeted.
    """
    if targeted.empty:
        return targeted
    quantities = {name: f"{name}_se" for name in ("own", "another", "difference")}
    return pooled(targeted, ("block", "k"), quantities, groups, images)


def class_orders_of(recording: Recording, network: str) -> dict[str, np.ndarray]:
    """By block, for each class its most selective units first, from recorded outputs."""
    labels = recording.labels
    classes = max(len(recording.described["classes"]), int(labels.max()) + 1)
    found = {}
    for block in recording.blocks(network):
        activity = np.asarray(recording.matrix(network, block), dtype=float)
        means = np.zeros((classes, activity.shape[1]))
        for label in np.unique(labels):
            means[label] = activity[labels == label].mean(0)
        found[block] = class_orders(means)
    return found


FEWEST_UNITS, FEWEST_IMAGES = 40, 200
"""With fewer in a block nothing is said: a bootstrap over fewer units claims too often."""


def lesion_sentences(agreement: pd.DataFrame) -> list[str]:
    """Where units of a higher index do more damage, or less, network by network.

    Damage on a unit's own class is not spoken of: chance alone makes it agree with the index (`lesion_tables`).

    Args:
        agreement: rows of `lesions_agreement.csv`.
    """
    said = []
    mine = agreement[(agreement["index"] == "csi") & (agreement["damage"] == "loss")]
    for network, rows in mine.groupby("network", sort=False):
        rests = f"In this network (one training), {pretty(network)}, single units dropped"
        if rows["units"].min() < FEWEST_UNITS or rows["images"].min() < FEWEST_IMAGES:
            least = f"{FEWEST_UNITS} units of a block and {FEWEST_IMAGES} images"
            said.append(f"{rests}: no claim, since it takes {least} at least.")
        elif len(known := rows[rows["p"].notna()]):
            what = (
                "rank correlation over units of the class selectivity index with the loss on all images that is added"
            )
            how = "by bootstrap over units, Holm's correction over blocks"
            said.append(f"{rests}; {what}: {_resolved(known)} ({how}).")
    return said


def _resolved(rows: pd.DataFrame) -> str:
    """Where the correlation is above 0, below it, or not told apart from it."""
    resolved = holm(rows["p"].to_numpy()) < 0.05
    parts = []
    for word, some in (("above", rows["correlation"] > 0), ("below", rows["correlation"] < 0)):
        of = rows[resolved & some]
        if len(of):
            top = of.loc[of["correlation"].abs().idxmax()]
            most = f"{top['correlation']:+.2f} in {paper_name(top['block'])}"
            parts.append(f"{word} 0 in {listed(of['block'])} ({most}, 95 % {top['low']:+.2f} … {top['high']:+.2f})")
    if len(open_ := rows[~resolved]):
        parts.append(f"not told apart from 0 in {listed(open_['block'])}")
    return ", ".join(parts)
