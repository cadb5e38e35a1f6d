"""Two recorded networks compared, block with block and unit with unit, from recordings of the same images."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ..errors import UsageError
from ..names import paper_name, pretty
from ..recording import Recording
from ..statistics.similarity import Centred, best_matches, cka

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecordedNetwork:
    """A network of a recording.

    Args:
        recording: finished.
        network: its label there.
        label: what it is called in tables.
    """

    recording: Recording
    network: str
    label: str

    def blocks(self, tap: str) -> list[str]:
        """Raises a UsageError where none is recorded at the tap."""
        found = self.recording.blocks(self.network, tap)
        if not found:
            raise UsageError(f"no block of `{self.network}` was recorded at the tap `{tap}`")
        return found

    def matrix(self, block: str, tap: str):
        return self.recording.matrix(self.network, block, tap)


@dataclass(frozen=True)
class Similarity:
    """Tables `match_blocks.csv`, `match_units.csv` and `match_means.csv`; the last two empty without shared blocks."""

    blocks: pd.DataFrame
    units: pd.DataFrame
    means: pd.DataFrame


def similarity_tables(one: RecordedNetwork, other: RecordedNetwork, tap: str = "output", seed: int = 0) -> Similarity:
    """Every block of one network beside every block of another, and the best matches of units in blocks of one name.

    Raises:
        UsageError: recordings of other images, or too few of them; a tap that was not recorded.
    """
    check_same_images(one.recording, other.recording)
    mine, theirs = one.blocks(tap), other.blocks(tap)
    shared = [block for block in mine if block in theirs]
    if not shared:
        log.warning("no block of %s is called as one of %s: their units are not matched", one.label, other.label)
    blocks = _block_table(one, other, mine, theirs, tap)
    units, means = [], []
    for first, second in ((one, other), (other, one)):
        for block in shared:
            table, error = best_matches(
                first.matrix(block, tap),
                second.matrix(block, tap),
                first.recording.labels,
                first.recording.indices,
                seed,
            )
            where = {"network": first.label, "block": block, "other": second.label}
            columns = ["network", "block", "unit", "other", "match", "correlation", "correlation_chosen"]
            units.append(table.assign(**where)[columns])
            known = table.dropna(subset="correlation")
            average = known["correlation"].mean()
            row = {"units": len(table), "constant": len(table) - len(known), "mean_correlation": average}
            row |= {"mean_correlation_se": error, "mean_correlation_chosen": known["correlation_chosen"].mean()}
            means.append({**where, **row})
    joined = pd.concat(units, ignore_index=True) if units else pd.DataFrame()
    return Similarity(blocks, joined, pd.DataFrame(means))


def _block_table(
    one: RecordedNetwork, other: RecordedNetwork, mine: Sequence[str], theirs: Sequence[str], tap: str
) -> pd.DataFrame:
    centred = [Centred(other.matrix(block, tap), f"{other.label} {block}") for block in theirs]
    rows = []
    for block in mine:
        first = Centred(one.matrix(block, tap), f"{one.label} {block}")
        for other_block, second in zip(theirs, centred, strict=True):
            found = cka(first, second)
            where = {"network": one.label, "block": block, "other": other.label, "other_block": other_block}
            values = {"cka": found.cka, "cka_biased": found.biased, "cka_se": found.se}
            sizes = {"images": len(first), "units": first.units, "other_units": second.units}
            rows.append({**where, **values, **sizes})
    return pd.DataFrame(rows)


def match_sentences(blocks: pd.DataFrame, means: pd.DataFrame | None) -> list[str]:
    """Which blocks are most alike, and how well units find a match.

    Args:
        blocks: rows of `match_blocks.csv`.
        means: rows of `match_means.csv`, if blocks have a name in common.
    """
    known = blocks[blocks["cka"].notna()]
    if not len(known):
        return []
    best = known.loc[known.groupby("block", sort=False)["cka"].idxmax()]
    pairs = [
        f"{paper_name(row.block)} and {paper_name(row.other_block)} (CKA {row.cka:.2f} ± {row.cka_se:.2f} over images)"
        for row in best.itertuples()
    ]
    one, other = known["network"].iloc[0], known["other"].iloc[0]
    rests = f"In these two networks (one training each), {pretty(one)} and {pretty(other)}"
    said = [f"{rests}, blocks most alike: {'; '.join(pairs)}."]
    if means is not None and means["mean_correlation"].notna().any():
        for (network, with_), rows in means.dropna(subset="mean_correlation").groupby(["network", "other"], sort=False):
            ends = [rows.loc[rows["mean_correlation"].idxmax()], rows.loc[rows["mean_correlation"].idxmin()]]
            words = [f"{end['mean_correlation']:.2f} in {paper_name(end['block'])}" for end in ends[: len(rows)]]
            range_ = " to ".join(words)
            said.append(
                f"{rests}: on images that did not choose the match, units of {pretty(network)} correlate with their "
                f"best match in {pretty(with_)}, in the mean, by {range_}."
            )
    return said


def check_same_images(one: Recording, other: Recording) -> None:
    """Raise a UsageError where two recordings are not of the same images in the same order."""
    if one is other:
        return
    if len(one.images) != len(other.images):
        raise UsageError(f"the recordings are of {len(one.images)} and {len(other.images)} images; expected the same")
    compared = {"content": "show something else", "label": "are labelled otherwise"}
    if one.identity is None or other.identity is None:
        log.warning("not all recordings have the contents of images: they are identified by names and labels alone")
        compared = {"identifier": "are called otherwise", "index": "are numbered otherwise"} | compared
        del compared["content"]
    for column, said in compared.items():
        differs = one.images[column].to_numpy() != other.images[column].to_numpy()
        if differs.any():
            row = int(differs.argmax())
            raise UsageError(
                f"the recordings are of other images: {int(differs.sum())} of {len(differs)} {said}, "
                f"first row {row}: `{one.images[column].iloc[row]}` and `{other.images[column].iloc[row]}`"
            )
    if "content" in compared:
        return
    prints = [each.described.get("data", {}).get("fingerprint") for each in (one, other)]
    if None not in prints and prints[0] != prints[1]:
        raise UsageError(
            f"the recordings are of other images: equally named, but their fingerprints are {prints[0]} and "
            f"{prints[1]}, so their files differ"
        )
