"""What a run's record and tables must hold, whoever wrote them: asked once, when they are read."""

import pandas as pd

from ..untrusted import Fields, Listed, Named, Whose

_TEXT, _COUNT, _NUMBER = (str, None), (int, None), (float, None)
FACTS = {
    "extent": _TEXT,
    "pool": _TEXT,
    "parameters": _COUNT,
    "gmacs": _NUMBER,
    "published_top1_error": _NUMBER,
    "published_top5_error": _NUMBER,
    "published_gmacs": _NUMBER,
}
"""Of a network, beside its errors in a table."""


def _is_in_its_group(card: dict) -> bool:
    seed = str(card.get("training_seed"))
    return card.get("group") is None or (seed.isascii() and seed.removeprefix("-").isdecimal())


_FIELDS = Fields(
    {},
    {
        "reference": _TEXT,
        "weights_hash": _TEXT,
        "preprocessing": (dict, None),
        "layout": _TEXT,
        "notes": Listed(str),
        "training_seed": (int, Whose(str, lambda seed: len(seed) < 100, "a seed"), None),
        "resnet_stages": bool,
        "group": _TEXT,
        "facts": Fields({}, FACTS),
    },
)
CARD = Whose(_FIELDS, _is_in_its_group, "a whole training_seed for a training of a group")
RECORD = Fields(
    {"command": str, "arguments": Fields({}, {"replicates": _COUNT, "reference": _TEXT, "tap": str}), "finished": bool},
    {
        "versions": dict,
        "networks": Named(CARD),
        "timings": Named(float),
        "data": Fields(
            {},
            {
                "name": _TEXT,
                "note": _TEXT,
                "images": _COUNT,
                "read": _COUNT,
                "fingerprint": _TEXT,
                "contents": _TEXT,
                "parts": (Named((str, int)), None),
                "skipped": (dict, None),
            },
        ),
        "reference": _TEXT,
        "replicates": _COUNT,
        "roles": (Named(Listed(str)), None),
        "findings": Listed(str),
        "format": int,
        "made": Listed(dict),
        "files": Named(str),
        "seal": str,
        "seed": _COUNT,
    },
)
"""Of `run.json`."""

_OF_UNITS = (("network", "block"), ("unit",))
TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "evaluation.csv": (("network", "extent", "pool"), ("images", "top1_error", "top5_error")),
    "gates_blocks.csv": (_OF_UNITS[0], ("depth", "share_channel", "share_class", "share_image", "share_input_se")),
    "gates_classes.csv": (("network", "block", "class_name"), ("unit", "class", "mean", "sd")),
    "gates_histogram.csv": (_OF_UNITS[0], ("low", "high", "share")),
    "gates_static.csv": (("network", "block", "gate"), ("top1", "top1_low", "top1_high", "difference")),
    "gates_units.csv": (_OF_UNITS[0], ("unit", "mean", "class_share")),
    "lesions_agreement.csv": (("network", "block", "index", "damage"), ("correlation", "low", "high", "agreement")),
    "lesions_targeted.csv": (
        _OF_UNITS[0],
        ("k", "own", "own_low", "own_high", "another", "another_low", "another_high"),
    ),
    "lesions_units.csv": (_OF_UNITS[0], ("unit", "csi", "loss", "loss_own")),
    "match_blocks.csv": (("network", "block", "other", "other_block"), ("cka", "cka_biased", "cka_se")),
    "match_units.csv": ((*_OF_UNITS[0], "other"), ("unit", "match", "correlation")),
    "operators.csv": (("operator", "part", "step"), ("channels", "height", "width")),
    "pruning.csv": (("network", "block", "score", "order", "scope"), ("ratio", "top1", "top1_low", "top1_high")),
    "pruning_summary.csv": (("network", "block", "score"), ("area", "area_low", "area_high")),
    "selectivity.csv": (_OF_UNITS[0], ("unit", "csi", "csi_null")),
    "selectivity_epochs.csv": (("network", "block"), ("epoch", "mean_csi", "top1_error")),
    "selectivity_gap.csv": (("network", "block", "reference"), ("depth", "mean_gap")),
    "selectivity_images.csv": (("network", "block", "identifier"), ("unit", "rank", "label")),
    "selectivity_indices.csv": (("network", "block", "index"), ("unit", "value")),
    "selectivity_levels.csv": (
        (*_OF_UNITS[0], "level"),
        ("groups", "mean_csi", "mean_csi_se", "mean_null", "null_low", "null_high", "mean_label_null"),
    ),
    "selectivity_rarefaction.csv": (
        _OF_UNITS[0],
        ("images_per_class", *(f"mean_{kind}{of}" for kind in ("csi", "null", "corrected") for of in ("", "_sd"))),
    ),
    "selectivity_trend.csv": (("network", "gap"), ("slope", "slope_high")),
    "taps_blocks.csv": (("network", "block", "tap"), ("mean_csi", "mean_corrected", "mean_corrected_se")),
    "training.csv": (("network", "split"), ("epoch", "top1_error")),
}
"""By table, the columns of names and those of numbers without which nothing can be made of it."""


def check_table(name: str, table: pd.DataFrame) -> None:
    """Raise a ValueError for a table without a column that it must have, or with other things than numbers in one."""
    texts, numbers = TABLES.get(name, ((), ()))
    if table.empty and not len(table.columns):
        return
    for column in (*texts, *numbers):
        if column not in table:
            raise ValueError(f"it has no column `{column}`")
    for column in numbers if len(table) else ():
        values = table[column]
        if not pd.api.types.is_numeric_dtype(values):
            strange = values[pd.to_numeric(values, errors="coerce").isna() & values.notna()]
            found = f" such as `{str(strange.iloc[0])[:40]}`" if len(strange) else ""
            raise ValueError(f"its column `{column}` has other values than numbers{found}")
        if values.abs().max() > 1e15:
            raise ValueError(f"its column `{column}` has the value {values.abs().max():g}, which cannot be meant")
