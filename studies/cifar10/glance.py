"""Every claim at a glance: a row for each claim and network, from the sections' tables. Tables in, a table out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pandas as pd

from gelens.names import pretty
from gelens.statistics.comparison import KINDS
from studies.cifar10.answers import (
    AGREE,
    AT_END,
    DISAGREE,
    EARLY_LEAD,
    LATER,
    NOT_ASKED,
    UNKNOWN,
    WHOLE,
    verdict,
)

NOT_TRAINED = "not trained"

Row = dict[str, object]


@dataclass(frozen=True)
class Claim:
    """One of the paper's claims.

    Args:
        figure: of the paper.
        said: the claim.
        table: of the section's, by name.
        of: from that table rows with network, trainings, measured, answer.
    """

    figure: str
    said: str
    table: str
    of: Callable[[pd.DataFrame], Sequence[Row]]

    def rows(self, tables: Mapping[str, pd.DataFrame]) -> list[Row]:
        table = tables.get(self.table, pd.DataFrame())
        found = self.of(table) if len(table) else []
        unknown = {"network": "", "trainings": 0, "measured": "", "answer": NOT_TRAINED}
        return [{"figure": self.figure, "claim": self.said} | row for row in found or [unknown]]


def at_a_glance(claims: Sequence[Claim], tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """figure, claim, network, trainings, measured, answer.

    What is measured of one quantity has its 95 % interval over trainings and images in brackets; of several blocks it
    is said from which mean to which they go, and in how many the mean is resolved.
    """
    return pd.DataFrame([row for claim in claims for row in claim.rows(tables)])


def with_interval(row, unit: str = "") -> str:
    """A mean and its interval, as far as it has one.

    >>> table = pd.DataFrame({"mean": [0.1234, 5], "low": [0.1, np.nan], "high": [0.15, np.nan]})
    >>> [with_interval(row, " %") for row in table.itertuples()]
    ['+0.123 % (+0.1 … +0.15)', '+5 %']
    """
    reach = f" ({row.low:+.3g} … {row.high:+.3g})" if np.isfinite(row.low) else ""
    return f"{row.mean:+.3g}{unit}{reach}"


def counted(answers: Sequence[str]) -> str:
    """Several answers to one question.

    >>> counted(["agree", "cannot tell", "agree"]), counted(["cannot tell"] * 6), counted(["agree"])
    ('agree 2, cannot tell 1', 'cannot tell', 'agree')
    """
    numbers = {each: list(answers).count(each) for each in (AGREE, DISAGREE, UNKNOWN)}
    several = [f"{each} {number}" for each, number in numbers.items() if number]
    return ", ".join(several) if len(several) > 1 else answers[0]


def _row(row, measured: str) -> Row:
    """Of a row of a section's table that has an answer, and of a network or none."""
    network = getattr(row, "network", "")
    return {"network": network, "trainings": row.trainings, "measured": measured, "answer": row.answer}


def pooling(said: str) -> Claim:
    def of(table: pd.DataFrame) -> list[Row]:
        mine = table[(table["claim"] == said) & (table["metric"] == "top1_error")]
        return [_row(row, f"top-1 error {with_interval(row, ' points')}") for row in mine.itertuples()]

    return Claim("table 1", said, "pooling", of)


def _depth(table: pd.DataFrame) -> list[Row]:
    """The corrected gap: its slope, its ends, and what keeps the answer open; and the answers by all kinds of gap."""
    rows = []
    for network, of in table.groupby("network", sort=False):
        (corrected,) = of[of["gap"] == "corrected"].itertuples()
        asked = of[of["answer"] != NOT_ASKED]
        answers = asked.set_index("gap")["answer"].reindex([*KINDS]).dropna()
        alike = answers.nunique() == 1
        answer = answers.iloc[0] if alike else ", ".join(f"{gap}: {each}" for gap, each in answers.items())
        measured = f"corrected index: gap's slope per block {with_interval(corrected)}, {_ends(corrected)}"
        if corrected.why:
            measured += f"; open since: {corrected.why}"
        rows.append({"network": network, "trainings": corrected.trainings, "measured": measured, "answer": answer})
    return rows


def _ends(row) -> str:
    first, deepest = (
        with_interval(SimpleNamespace(**{name: getattr(row, f"{end}_{name}") for name in ("mean", "low", "high")}))
        for end in ("first", "deepest")
    )
    return f"gap in the first block {first}, in the deepest {deepest}"


def blockwise(rows: pd.DataFrame) -> str:
    """Means of several blocks.

    >>> blockwise(pd.DataFrame({"mean": [0.2, -0.1], "answer": ["agree", "cannot tell"]}))
    'means of 2 blocks from -0.1 to +0.2, resolved in 1'
    """
    resolved = int((rows["answer"] != UNKNOWN).sum())
    ends = f"from {rows['mean'].min():+.3g} to {rows['mean'].max():+.3g}"
    return f"means of {len(rows)} blocks {ends}, resolved in {resolved}"


def orders(said: str, quantity: str) -> Claim:
    """By the gate's order, of networks without gates by the activation's."""

    def of(table: pd.DataFrame) -> list[Row]:
        rows = []
        for network, mine in table[table["quantity"] == quantity].groupby("network", sort=False):
            measured = f"area by the {mine['score'].iloc[0]}'s order: {blockwise(mine)}"
            told = {"network": network, "trainings": int(mine["trainings"].min()), "measured": measured}
            rows.append(told | {"answer": counted(mine["answer"].tolist())})
        return rows

    return Claim("figure 3", said, "orders", of)


def _scores(table: pd.DataFrame) -> list[Row]:
    rows = []
    for network, of in table.groupby("network", sort=False):
        measured = f"area between them: {blockwise(of)}"
        told = {"network": network, "trainings": int(of["trainings"].min()), "measured": measured}
        rows.append(told | {"answer": counted(of["answer"].tolist())})
    return rows


def _stars(table: pd.DataFrame) -> list[Row]:
    """Of the blocks after the first, with the correlation among the reference's own trainings beside it."""
    later = table[table["blocks"] == LATER]
    own = later.loc[later["network"] == later["reference"], "mean"]
    beside = f"; among the reference's own trainings {own.iloc[0]:+.3g}" if len(own) else ""
    asked = later[later["network"] != later["reference"]]
    return [_row(row, f"rank correlation, {LATER} block {with_interval(row)}{beside}") for row in asked.itertuples()]


def _alike(table: pd.DataFrame) -> list[Row]:
    """That curves are alike can't be shown, only that they differ."""
    answers = [verdict(row, int(np.sign(row.mean))) for row in table.itertuples()]
    differ = answers.count(AGREE)
    measured = f"area less {pretty(table['reference'].iloc[0])}'s: {blockwise(table.assign(answer=answers))}"
    answer = f"differ in {differ} of {len(table)} blocks" if differ else UNKNOWN
    told = {"network": table["network"].iloc[0], "trainings": int(table["trainings"].min())}
    return [told | {"measured": measured, "answer": answer}]


def speed(said: str, when: str) -> Claim:
    """Of both splits."""

    def of(table: pd.DataFrame) -> list[Row]:
        splits = {"train": "training", "val": "validation"}
        return [
            _row(row, f"{splits[row.split]} error, {when}: {with_interval(row, ' points')}")
            for row in table[table["when"] == when].itertuples()
        ]

    return Claim("figure 1", said, "speed", of)


def _peaks(table: pd.DataFrame) -> list[Row]:
    """One training a network, so that nothing is answered."""
    rows = []
    for network, of in table[table["index"] == "mean_corrected"].groupby("network", sort=False):
        falls = int((of["fall"] > 2 * of["fall_se"]).sum())
        epochs = " to ".join(f"{epoch:g}" for epoch in sorted({of["peak_epoch"].min(), of["peak_epoch"].max()}))
        measured = (
            f"highest at epoch {epochs}, then to epoch {of['last_epoch'].max():g} a fall beyond the images' error in "
            f"{falls} of {len(of)} blocks"
        )
        rows.append({"network": network, "trainings": 1, "measured": measured, "answer": UNKNOWN})
    return rows


def claims(poolings: Sequence[str]) -> list[Claim]:
    """All claims, in the order of the page's sections.

    Args:
        poolings: what is claimed of table 1.
    """
    return [
        *(pooling(said) for said in poolings),
        Claim("figure 2", "a gap in class selectivity to plain ResNet emerges gradually with depth", "depth", _depth),
        orders("the two orders of pruning lie apart", "area"),
        orders("knowing the order is worth more than a random one", "area_random"),
        Claim("(not the paper's)", "the gate's order tells more than the activation's", "gate_and_activation", _scores),
        Claim("figure 3", "blocks after the first that matter to ResNet matter to the gated network", "stars", _stars),
        Claim("figure 3", "GE-θ's curves look like SE's", "se_and_theta", _alike),
        speed("ShuffleNet errs less with GE-θ over the whole training", WHOLE),
        speed("and more so in the first half than at the end: it is faster, not only better", EARLY_LEAD),
        speed("ShuffleNet errs less with GE-θ at the end", AT_END),
        Claim("(Ranadive et al.)", "class selectivity rises early in training and then recedes", "peaks", _peaks),
    ]
