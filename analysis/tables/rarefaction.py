"""The index on fewer images a class, of every recorded block."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..errors import RunError, UsageError
from ..names import paper_name, pretty
from ..recording import Recording
from ..statistics.rarefaction import DRAWS, limits, rarefied
from .selectivity import check_classes, check_recorded, measurable


def rarefaction_tables(
    recording: Recording, networks: Sequence[str] = (), tap: str = "output", draws: int = DRAWS, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`selectivity_rarefaction.csv`, and its limits, `selectivity_rarefaction_limits.csv`.

    Args:
        networks: labels of those wanted; all by default.
        draws, seed: as of `gelens.statistics.rarefaction.rarefied`.

    Raises:
        UsageError: a tap that was not recorded, or a class with a single image.
        RunError: activities that have no index, or fewer than two classes with images.
    """
    check_recorded(recording, tap)
    check_classes(recording.labels)
    _check_sizes(recording)
    tables, ends = [], []
    for network in networks or recording.networks:
        for block in recording.blocks(network, tap):
            activity = measurable(recording, network, block, tap)[0]
            where = {"network": network, "block": block, "depth": recording.described["depths"][network][block]}
            try:
                table = rarefied(activity, recording.labels, recording.indices, draws, seed, f"{network} {block}")
            except UsageError:
                raise
            except ValueError as error:
                raise RunError(str(error)) from error
            tables.append(table.assign(**where)[[*where, *table.columns]])
            ends.append(where | limits(table))
    if not tables:
        raise RunError("no network has blocks whose selectivity could be computed")
    return pd.concat(tables, ignore_index=True), pd.DataFrame(ends)


def rarefaction_sentences(table: pd.DataFrame) -> list[str]:
    """By how much the index, and sparseness, still change from half of the images to all: a line for each network.

    Args:
        table: rows of `selectivity_rarefaction.csv`.
    """
    said = []
    for network, rows in table.groupby("network", sort=False):
        most = rows["images_per_class"].max()
        fewer = rows.loc[rows["images_per_class"] <= most / 2, "images_per_class"].max()
        if np.isnan(fewer):
            continue
        ends = [rows[rows["images_per_class"] == size].set_index("block") for size in (fewer, most)]
        parts = []
        for column, words in (("mean_csi", "the class selectivity index"), ("mean_sparseness", "sparseness (S)")):
            change = (ends[1][column] - ends[0][column]).dropna()
            if len(change):
                block = change.abs().idxmax()
                before, after = (end.loc[block, column] for end in ends)
                parts.append(f"{words} changes most in {paper_name(block)}, from {before:.3f} to {after:.3f}")
        if parts:
            said.append(
                f"In this network, {pretty(network)}, with {most:.0f} images a class instead of {fewer:.0f}, mean over "
                f"units: {'; '.join(parts)}."
            )
    return said


def _check_sizes(recording: Recording) -> None:
    labels, counts = np.unique(recording.labels, return_counts=True)
    if counts.min() < 2:
        single = [str(recording.described["classes"][label]) for label in labels[counts < 2].tolist()]
        raise UsageError(
            f"{len(single)} classes have a single image ({', '.join(single[:5])}): there are no fewer to be drawn; "
            f"record at least two images of each class"
        )
