"""Every claim at a glance: a row for each claim and network, from the sections' tables. Tables in, a table out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gelens.names import pretty
from gelens.statistics.comparison import KINDS
from studies.cifar10.answers import AGREE, DISAGREE, UNKNOWN, verdict

NOT_TRAINED = "not trained yet"

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

    What is measured of one quantity has its 95 % interval over trainings and images, of several blocks the least and
    the greatest mean.
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
        return [_row(row, f"top-1 error {with_interval(row, ' %')}") for row in mine.itertuples()]

    return Claim("table 1", said, "pooling", of)


def _depth(table: pd.DataFrame) -> list[Row]:
    """The slope of the corrected gap, and the answers by all kinds of gap."""
    rows = []
    for network, of in table.groupby("network", sort=False):
        (corrected,) = of[of["gap"] == "corrected"].itertuples()
        answers = of.set_index("gap")["answer"].reindex([*KINDS]).dropna()
        alike = answers.nunique() == 1
        answer = answers.iloc[0] if alike else ", ".join(f"{gap}: {each}" for gap, each in answers.items())
        measured = f"corrected index, gap's slope per block {with_interval(corrected)}"
        rows.append({"network": network, "trainings": corrected.trainings, "measured": measured, "answer": answer})
    return rows


def orders(said: str, quantity: str) -> Claim:
    """By the gate's order, of networks without gates by the activation's."""

    def of(table: pd.DataFrame) -> list[Row]:
        rows = []
        for network, mine in table[table["quantity"] == quantity].groupby("network", sort=False):
            score = "gate" if (mine["score"] == "gate").any() else "activation"
            mine = mine[mine["score"] == score]
            measured = f"{score}, {len(mine)} blocks: area {mine['mean'].min():+.3g} … {mine['mean'].max():+.3g}"
            told = {"network": network, "trainings": int(mine["trainings"].min()), "measured": measured}
            rows.append(told | {"answer": counted(mine["answer"].tolist())})
        return rows

    return Claim("figure 3", said, "orders", of)


def _scores(table: pd.DataFrame) -> list[Row]:
    rows = []
    for network, of in table.groupby("network", sort=False):
        measured = f"{len(of)} blocks: area between them {of['mean'].min():+.3g} … {of['mean'].max():+.3g}"
        told = {"network": network, "trainings": int(of["trainings"].min()), "measured": measured}
        rows.append(told | {"answer": counted(of["answer"].tolist())})
    return rows


def _stars(table: pd.DataFrame) -> list[Row]:
    return [_row(row, f"rank correlation {with_interval(row)}") for row in table.itertuples()]


def _alike(table: pd.DataFrame) -> list[Row]:
    """That curves are alike can't be shown, only that they differ."""
    differ = sum(verdict(row, int(np.sign(row.mean))) == AGREE for row in table.itertuples())
    measured = (
        f"area less {pretty(table['reference'].iloc[0])}'s {table['mean'].min():+.3g} … {table['mean'].max():+.3g}"
    )
    answer = f"differ in {differ} of {len(table)} blocks" if differ else UNKNOWN
    told = {"network": table["network"].iloc[0], "trainings": int(table["trainings"].min())}
    return [told | {"measured": measured, "answer": answer}]


def _speed(table: pd.DataFrame) -> list[Row]:
    return [_row(row, f"validation error, {row.when}: {with_interval(row, ' %')}") for row in table.itertuples()]


def _peaks(table: pd.DataFrame) -> list[Row]:
    """One training a network, so that nothing is answered."""
    rows = []
    for network, of in table[table["index"] == "mean_corrected"].groupby("network", sort=False):
        falls = int((of["fall"] > 2 * of["fall_se"]).sum())
        epochs = " to ".join(f"{epoch:g}" for epoch in sorted({of["peak_epoch"].min(), of["peak_epoch"].max()}))
        measured = f"highest at epoch {epochs}, then falls beyond the images' error in {falls} of {len(of)} blocks"
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
        Claim("figure 3", "blocks that matter to ResNet matter to the gated network", "stars", _stars),
        Claim("figure 3", "GE-θ's curves look like SE's", "se_and_theta", _alike),
        Claim("figure 1", "ShuffleNet trains faster with GE-θ", "speed", _speed),
        Claim("(Ranadive et al.)", "class selectivity rises early in training and then recedes", "peaks", _peaks),
    ]
