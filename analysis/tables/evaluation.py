"""Errors of networks, from a recording of their predictions."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..errors import RunError
from ..names import UNTRAINED
from ..recording import Recording
from ..statistics.significance import proportion_interval
from ..statistics.trainings import Groups, groups_of, pooled, training_errors

_BEFORE = ("extent", "pool", "parameters", "gmacs")
_AFTER = ("published_top1_error", "published_top5_error", "published_gmacs")


def evaluation_table(recording: Recording) -> pd.DataFrame:
    """`evaluation.csv`: a row for each network; errors in percent, NaN where its outputs are not the data's classes.

    Raises:
        RunError: nothing was recorded, or a network's logits are not finite.
    """
    images = len(recording.images)
    if not images:
        raise RunError("no images were measured")
    rows = []
    for label, card in recording.networks.items():
        errors = {"images": images, "top1_error": np.nan, "top5_error": np.nan}
        if _is_told(recording, label):
            _check_finite(recording, label)
            right = recording.array(label, "top_classes") == recording.labels[:, None]
            errors["top1_error"] = 100 * (1 - int(right[:, 0].sum()) / images)
            errors["top5_error"] = 100 * (1 - int(right.sum()) / images)
        facts = card.get("facts", {})
        if missing := [name for name in (*_BEFORE, *_AFTER) if name not in facts]:
            raise RunError(f"the recording does not say the {missing[0]} of `{label}`; one that `gelens` made does")
        rows.append(
            {"network": label}
            | {name: facts[name] for name in _BEFORE}
            | errors
            | {name: facts[name] for name in _AFTER}
        )
    table = pd.DataFrame(rows)
    numbers = [name for name in (*_BEFORE[2:], *_AFTER) if name != "parameters"]
    return table.astype(dict.fromkeys(numbers, np.float64))


def _is_told(recording: Recording, label: str) -> bool:
    """Whether it was kept what a network gets right."""
    return "top_classes" in recording.names(label)


def accuracy_interval(top1_error: float, images: int) -> tuple[float, float]:
    """Wilson's 95 % interval of top-1 accuracy over images, in percent.

    >>> [round(end, 1) for end in accuracy_interval(11.5, 200)]
    [83.3, 92.2]
    """
    low, high = proportion_interval(round((100 - top1_error) / 100 * images), int(images))
    return 100 * low, 100 * high


def chance_sentences(recording: Recording, evaluation: pd.DataFrame) -> list[str]:
    """A sentence for each network with weights that gets no more images right than one that guesses would.

    Args:
        evaluation: rows of `evaluation.csv`.
    """
    chance = 100 / max(len(recording.described["classes"]), 1)
    notes = {label: card.get("notes") or () for label, card in recording.networks.items()}
    said = (
        "gets {:.2f} % of images right, no more than chance ({:.3g} %): it was trained on other classes, has them in "
    )
    said += "another order, or is shown images in another way than it was trained with"
    return [
        f"{row.network} {said.format(100 - row.top1_error, chance)}."
        for row in evaluation.itertuples()
        if 100 - row.top1_error <= chance < 100 and UNTRAINED not in notes[row.network]
    ]


def evaluation_over_trainings(evaluation: pd.DataFrame, groups: Groups) -> pd.DataFrame:
    """`evaluation_trainings.csv`: errors of groups in percent, in the columns of `gelens.statistics.trainings.pooled`.

    Args:
        evaluation: rows of `evaluation.csv`.
    """
    images, errors = evaluation["images"], {name: f"{name}_se" for name in ("top1_error", "top5_error")}
    known = {se: np.sqrt(evaluation[name] * (100 - evaluation[name]) / images) for name, se in errors.items()}
    return pooled(evaluation.assign(**known), (), errors, groups, int(images.min()))


def evaluation_gaps(recording: Recording, pairs: Sequence[tuple[str, str]] | None = None) -> pd.DataFrame:
    """`evaluation_gap_trainings.csv`: by how much the errors of groups of trainings differ, in percent of the images.

    Args:
        pairs: of groups: (one, the other that it is compared with); each with the first by default.

    Returns:
        network, reference, metric (top1_error, top5_error), then the columns of
        `gelens.statistics.trainings.training_errors`; empty where there are fewer than two groups.
    """
    told = {label: card for label, card in recording.networks.items() if _is_told(recording, label)}
    groups = groups_of(told)
    first, *others = groups or [""]
    pairs = [(group, first) for group in others] if pairs is None else pairs
    labels = [label for trainings in groups.values() for label in trainings.values()]
    right = {label: recording.array(label, "top_classes") == recording.labels[:, None] for label in labels}
    tables = []
    for metric, of in (("top1_error", lambda each: each[:, 0]), ("top5_error", lambda each: each.any(1))):
        table = training_errors({label: of(each) for label, each in right.items()}, groups, pairs)
        if len(table):
            table.insert(2, "metric", metric)
            tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _check_finite(recording: Recording, label: str) -> None:
    strange = np.flatnonzero(recording.array(label, "rank") < 0)
    if len(strange):
        first = recording.images["identifier"].iloc[strange[0]]
        raise RunError(
            f"{label} gives logits that are NaN or infinite for {len(strange)} of {len(recording.images)} images, "
            f"first for `{first}`: weights that diverged, or a precision too low for them"
        )
