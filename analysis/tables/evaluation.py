"""Errors of networks, from a recording of their predictions."""

import numpy as np
import pandas as pd

from analysis.errors import RunError
from analysis.recording import Recording

_BEFORE = ("extent", "pool", "parameters", "gmacs")
_AFTER = ("published_top1_error", "published_top5_error", "published_gmacs")


def evaluation_table(recording: Recording) -> pd.DataFrame:
    """`evaluation.csv`: a row for each network; errors in percent.

    Raises:
        RunError: nothing was recorded, or a network's logits are not finite.
    """
    images = len(recording.images)
    if not images:
        raise RunError("no images were measured")
    rows = []
    for label, card in recording.networks.items():
        _check_finite(recording, label)
        right = recording.array(label, "top_classes") == recording.labels[:, None]
        errors = {"images": images, "top1_error": 100 * (1 - int(right[:, 0].sum()) / images)}
        errors["top5_error"] = 100 * (1 - int(right.sum()) / images)
        facts = card["facts"]
        rows.append(
            {"network": label}
            | {name: facts[name] for name in _BEFORE}
            | errors
            | {name: facts[name] for name in _AFTER}
        )
    table = pd.DataFrame(rows)
    numbers = [name for name in (*_BEFORE[2:], *_AFTER) if name != "parameters"]
    return table.astype(dict.fromkeys(numbers, np.float64))


def _check_finite(recording: Recording, label: str) -> None:
    strange = np.flatnonzero(recording.array(label, "rank") < 0)
    if len(strange):
        first = recording.images["identifier"].iloc[strange[0]]
        raise RunError(
            f"{label} gives logits that are NaN or infinite for {len(strange)} of {len(recording.images)} images, "
            f"first for `{first}`: weights that diverged, or a precision too low for them"
        )
