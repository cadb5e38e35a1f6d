"""Pruning curves of networks, from a recording of which images are right at every point."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import UsageError
from ..recording import Recording
from ..results.run import read_table
from ..results.sealing import check_file
from ..statistics.curve_table import curve_table
from ..statistics.curves import Bits, Curves

CORRECTNESS = "correctness.npz"


def pruning_table(recording: Recording) -> pd.DataFrame:
    """`pruning.csv`: a row for each network and point; empty where nothing was dropped."""
    tables = []
    for label in recording.networks:
        if (dropping := recording.described["settings"][label].get("dropping")) is None:
            continue
        top1, top5 = (recording.array(label, f"dropping.{name}").sum(0, dtype=np.int64) for name in ("top1", "top5"))
        table = curve_table(dropping["points"], len(recording.images), top1, top5)
        table.insert(0, "network", label)
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def correctness(recording: Recording) -> dict[str, np.ndarray]:
    """`correctness.npz`: by network `correct/LABEL`, bits of (points, images by increasing index), and the images."""
    order = np.argsort(recording.indices, kind="stable")
    arrays: dict[str, np.ndarray] = {}
    for label in recording.networks:
        if "dropping" in recording.described["settings"][label]:
            right = recording.array(label, "dropping.top1")[order].T
            arrays[f"correct/{label}"] = np.packbits(right.astype(bool), axis=1)
    described: Mapping[str, np.ndarray] = {
        "identifiers": np.array(recording.images["identifier"].to_list())[order],
        "indices": recording.indices[order],
        "labels": recording.labels[order],
        "classes": np.array(recording.described["classes"]),
    }
    return arrays | dict(described)


def curves_of(recording: Recording) -> Curves:
    """The pruning curves of a recording."""
    stored = correctness(recording)
    right = {
        name.removeprefix("correct/"): Bits(bits, len(stored["indices"]))
        for name, bits in stored.items()
        if name.startswith("correct/")
    }
    return Curves(pruning_table(recording), right, stored["indices"], stored["labels"], stored["classes"].tolist())


def read_curves(folder: Path | str) -> Curves:
    """The pruning curves in a run's folder.

    Raises:
        UsageError: the folder has no pruning curves.
        RunError: they are not what the run wrote.
    """
    path = Path(folder) / CORRECTNESS
    if not path.is_file():
        raise UsageError(f"the run in `{folder}` has no {CORRECTNESS}: it measured no pruning curves")
    check_file(folder, CORRECTNESS)
    with np.load(path, allow_pickle=False) as stored:
        indices = stored["indices"]
        correct = {
            name.removeprefix("correct/"): Bits(stored[name], len(indices))
            for name in stored.files
            if name.startswith("correct/")
        }
        labels, classes = stored["labels"], stored["classes"].tolist()
    return Curves(read_table(folder, "pruning.csv"), correct, indices, labels, classes)
