"""What pruning curves say of knowing the order of feature maps, no more than they do. Tables in, sentences out."""

import pandas as pd

from ..names import paper_name, pretty
from .curves import CURVE
from .trainings import LEVEL

ORDERS = {"area": "least important first", "area_random": "a random order"}
"""By the quantity, the order that is held against most important first."""


ELSEWHERE = {
    "output": "the block's whole output is dropped there, since no shortcut is added to it",
    "part": "the part of the output that the branch is concatenated to is dropped there",
    "inside": "maps are dropped at a gate within the branch there, which other layers follow, so that ratio 1 is not "
    "the shortcut alone",
}
"""What is done where maps are dropped elsewhere than in the paper."""


def dropped_elsewhere(pruning: pd.DataFrame) -> list[str]:
    """Which blocks of which networks are another experiment than the paper's, a sentence each, without its full stop.

    Args:
        pruning: rows of `pruning.csv`; those of older runs have no column `dropped_at`.
    """
    if "dropped_at" not in pruning:
        return []
    said = []
    for (network, place), rows in pruning.groupby(["network", "dropped_at"], sort=False):
        blocks = ", ".join(paper_name(block) for block in rows["block"].unique())
        what = [ELSEWHERE[kind] for kind in place.split("+") if kind in ELSEWHERE]
        if what:
            said.append(f"{pretty(network)}, {blocks}: not as in the paper: {'; '.join(what)}")
    return said


def curve_sentences(areas: pd.DataFrame) -> list[str]:
    """In how many blocks another order leaves more images right than most important first: a line for each score.

    Args:
        areas: rows of `pruning_summary.csv`.
    """
    kinds = [
        areas[[*CURVE, f"{name}_low", f"{name}_high"]]
        .rename(columns={f"{name}_low": "low", f"{name}_high": "high"})
        .assign(quantity=name, mean=areas[name])
        for name in ORDERS
    ]
    rows = pd.concat(kinds, ignore_index=True).dropna(subset=["low", "high"])
    sign = (rows["low"] > 0).astype(int) - (rows["high"] < 0)
    return _lines(rows.assign(sign=sign), "95 % over images, each block by itself; one training")


def training_curve_sentences(areas: pd.DataFrame) -> list[str]:
    """The same of groups of trainings, after Holm's correction.

    Args:
        areas: rows of `pruning_summary_trainings.csv`.
    """
    said = []
    for number, rows in areas[areas["quantity"].isin(ORDERS)].dropna(subset="p_holm").groupby("trainings"):
        sign = ((rows["low"] > 0).astype(int) - (rows["high"] < 0)) * (rows["p_holm"] < 1 - LEVEL)
        over = f"over {number} trainings and images, after Holm's correction over blocks and networks"
        said += _lines(rows.assign(sign=sign), over)
    return said


def _lines(rows: pd.DataFrame, over: str) -> list[str]:
    """A line for each network and score.

    Args:
        rows: with CURVE's columns, quantity, mean, and sign: of what is resolved, else 0.
        over: what the intervals are over.
    """
    said = []
    one = [name for name in CURVE if name != "block"]
    for (network, scope, _, score, _), of in rows.groupby(one, sort=False):
        parts = []
        for quantity, order in ORDERS.items():
            its = of[of["quantity"] == quantity]
            if len(its):
                more, fewer = (int((its["sign"] == sign).sum()) for sign in (1, -1))
                reach = f"area between the curves {its['mean'].min():+.3f} … {its['mean'].max():+.3f}"
                counts = f"more right in {more} of {len(its)} {scope}s, fewer in {fewer}"
                if open_ := len(its) - more - fewer:
                    counts += f", unresolved in {open_}"
                parts.append(f"{order} leaves {counts} ({reach})")
        dropped = f"{pretty(network)}, maps dropped by {score}, against most important first"
        said.append(f"{dropped}: {'; '.join(parts)} ({over}).")
    return said
