"""The tables of a run's folder: which columns each must have, what a column holds, and what people call it.

A column of one name is the same thing in every table, but for `index`, which is an image's place or an index's name.
"""

import pandas as pd

NAMES = frozenset(
    [
        "network",
        "reference",
        "block",
        "split",
        "top_class_name",
        "class_name",
        "identifier",
        "extent",
        "pool",
        "score",
        "order",
        "scope",
        "fill",
        "gap",
        "operator",
        "part",
        "step",
        "tap",
        "from",
        "to",
        "gate",
        "damage",
        "other",
        "other_block",
        "level",
        "dropped_at",
    ]
)
"""Columns of names: what looks like a number there, or like a missing one, is a name still."""

INDICES_BY_NAME = frozenset(("selectivity_indices.csv", "lesions_agreement.csv"))
"""Tables whose column `index` is the name of an index of selectivity."""

INDEX_TITLES = {
    "csi": "Class selectivity index",
    "precision": "Precision of the top images",
    "ccmas": "Class-conditional mean activity selectivity",
    "auc": "Best area under a ROC curve",
    "mi": "Mutual information of class and activity (bits)",
}
"""By index of selectivity, what axes call it, with its unit."""

HEADS = {
    "csi": "Selectivity index",
    "csi_null": "Null",
    "csi_crossfit": "Cross-fitted index",
    "csi_corrected": "Corrected index",
    "active_fraction": "Active share",
    "mu_max": "Mean on top class",
    "gate_mean": "Mean gate",
    "gate_class_share": "Gate by class",
    "loss": "Loss if dropped",
    "loss_own": "Loss on own class",
}
"""By column of units, what heads of columns and axes call it in a few words; in this order."""

NEEDED: dict[str, tuple[str, ...]] = {
    "evaluation.csv": ("network", "extent", "pool", "images", "top1_error", "top5_error"),
    "gates_blocks.csv": ("network", "block", "depth", "share_channel", "share_class", "share_image", "share_input_se"),
    "gates_classes.csv": ("network", "block", "class_name", "unit", "class", "mean", "sd"),
    "gates_histogram.csv": ("network", "block", "low", "high", "share"),
    "gates_static.csv": ("network", "block", "gate", "top1", "top1_low", "top1_high", "difference"),
    "gates_units.csv": ("network", "block", "unit", "mean", "class_share"),
    "lesions_agreement.csv": ("network", "block", "index", "damage", "correlation", "low", "high", "agreement"),
    "lesions_targeted.csv": (
        "network",
        "block",
        "k",
        "own",
        "own_low",
        "own_high",
        "another",
        "another_low",
        "another_high",
    ),
    "lesions_units.csv": ("network", "block", "unit", "csi", "loss", "loss_own"),
    "match_blocks.csv": ("network", "block", "other", "other_block", "cka", "cka_biased", "cka_se"),
    "match_units.csv": ("network", "block", "other", "unit", "match", "correlation"),
    "operators.csv": ("operator", "part", "step", "channels", "height", "width"),
    "pruning.csv": ("network", "block", "score", "order", "scope", "ratio", "top1", "top1_low", "top1_high"),
    "pruning_summary.csv": ("network", "block", "score", "area", "area_low", "area_high"),
    "selectivity.csv": ("network", "block", "unit", "csi", "csi_null"),
    "selectivity_epochs.csv": ("network", "block", "epoch", "mean_csi", "top1_error"),
    "selectivity_gap.csv": ("network", "block", "reference", "depth", "mean_gap"),
    "selectivity_images.csv": ("network", "block", "identifier", "unit", "rank", "label"),
    "selectivity_indices.csv": ("network", "block", "index", "unit", "value"),
    "selectivity_levels.csv": (
        "network",
        "block",
        "level",
        "groups",
        "mean_csi",
        "mean_csi_se",
        "mean_null",
        "null_low",
        "null_high",
        "mean_label_null",
    ),
    "selectivity_rarefaction.csv": (
        "network",
        "block",
        "images_per_class",
        "mean_csi",
        "mean_csi_sd",
        "mean_null",
        "mean_null_sd",
        "mean_corrected",
        "mean_corrected_sd",
    ),
    "selectivity_trend.csv": ("network", "gap", "slope", "slope_high"),
    "taps_blocks.csv": ("network", "block", "tap", "mean_csi", "mean_corrected", "mean_corrected_se"),
    "training.csv": ("network", "split", "epoch", "top1_error"),
}
"""By table, the columns without which nothing can be made of it."""


def check_table(name: str, table: pd.DataFrame) -> None:
    """Raise a ValueError for a table without a column that it must have, or with other things than numbers in one."""
    needed = NEEDED.get(name, ())
    if table.empty and not len(table.columns):
        return
    for column in needed:
        if column not in table:
            raise ValueError(f"it has no column `{column}`")
    for column in needed if len(table) else ():
        if column in NAMES or (column == "index" and name in INDICES_BY_NAME):
            continue
        values = table[column]
        if not pd.api.types.is_numeric_dtype(values):
            strange = values[pd.to_numeric(values, errors="coerce").isna() & values.notna()]
            found = f" such as `{str(strange.iloc[0])[:40]}`" if len(strange) else ""
            raise ValueError(f"its column `{column}` has other values than numbers{found}")
        if values.abs().max() > 1e15:
            raise ValueError(f"its column `{column}` has the value {values.abs().max():g}, which cannot be meant")
