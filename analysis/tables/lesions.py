"""Lesions of recorded networks: damage by unit, and which indices agree with it."""

import numpy as np
import pandas as pd

from ..errors import UsageError
from ..names import pretty
from ..recording import Recording
from ..statistics.lesions import class_orders, lesion_tables, targeted_table
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
    """
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


def lesion_sentences(agreement: pd.DataFrame) -> list[str]:
    """How far the index goes with damage over units, network by network, in no more words than were measured."""
    said = []
    mine = agreement[(agreement["index"] == "csi") & agreement["damage"].isin(["loss", "loss_own"])]
    for network, rows in mine.groupby("network", sort=False):
        parts = []
        for damage, words in (("loss", "all images"), ("loss_own", "its own class")):
            of = rows[rows["damage"] == damage]
            up, down = int((of["low"] > 0).sum()), int((of["high"] < 0).sum())
            values = f"{of['correlation'].min():+.2f} … {of['correlation'].max():+.2f}"
            parts.append(f"on {words} {values} (above 0 in {up} of {len(of)} blocks, below in {down})")
        said.append(
            f"{pretty(network)}: rank correlation over units of the class selectivity index with the loss added by a "
            f"lesion, {'; '.join(parts)} (95 % over units; one training)."
        )
    return said
