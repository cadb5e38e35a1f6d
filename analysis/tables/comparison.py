"""Networks compared with a reference: gaps of selectivity block by block, their trends, and what they say."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from ..names import blocks_as_in_papers
from ..statistics.comparison import selectivity_gaps, sentences
from ..statistics.trainings import groups_of, training_gaps, training_sentences
from .selectivity import blocks_over_trainings


def comparison(
    units: pd.DataFrame,
    blocks: pd.DataFrame,
    samples: Mapping[tuple[str, str], Mapping[str, np.ndarray]],
    cards: Mapping[str, Mapping],
    reference: str,
    replicates: int,
) -> dict[str, pd.DataFrame]:
    """Tables by file name, those that have rows: means over groups, gaps to the reference, their trends with depth.

    Args:
        units, blocks, samples: as of `gelens.tables.selectivity.Selectivity`.
        cards: of the networks, by label.
        reference: label of the network that the others are compared with.
        replicates: of the bootstrap.
    """
    groups = groups_of(cards)
    tables = {"selectivity_blocks_trainings.csv": blocks_over_trainings(blocks, ("block", "depth"), groups, replicates)}
    if units["network"].nunique() > 1:
        tables["selectivity_gap.csv"], tables["selectivity_trend.csv"] = selectivity_gaps(
            units, blocks, samples, reference
        )
    if len(tables.get("selectivity_gap.csv", ())) and len(groups) > 1:
        chosen = cards[reference].get("group") or next(iter(groups))
        tables |= training_gaps(units, blocks, samples, groups, chosen)
    trend = tables.pop("selectivity_trend.csv", None)
    tables = {name: table for name, table in tables.items() if len(table)}
    if trend is not None and "selectivity_gap.csv" in tables:
        tables["selectivity_trend.csv"] = trend  # without rows where no slope is told
    return tables


def comparison_sentences(
    tables: Mapping[str, pd.DataFrame], cards: Mapping[str, Mapping], replicates: int
) -> Iterable[str]:
    """What the tables of `comparison` say."""
    empty = pd.DataFrame()
    gaps = tables.get("selectivity_gap.csv", empty)
    if not len(gaps):
        return []
    over_trainings = tables.get("selectivity_gap_trainings.csv", empty)
    known = all(card.get("resnet_stages", True) for card in cards.values())
    with blocks_as_in_papers(known):
        said = []
        if len(over_trainings):
            said = training_sentences(over_trainings, tables.get("selectivity_claims.csv", empty))
        if said:
            grouped = {label for trainings in groups_of(cards).values() for label in trainings.values()}
            gaps = gaps[~gaps["network"].isin(grouped) | ~gaps["reference"].isin(grouped)]
        trends = tables.get("selectivity_trend.csv", empty)
        return [*said, *(sentences(gaps, replicates, trends) if len(gaps) else [])]
