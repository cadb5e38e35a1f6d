"""What pruning curves say of knowing the order of feature maps, no more than they do. Tables in, sentences out."""

import pandas as pd

from ..names import listed, paper_name, pretty
from .trainings import CURVE_KEYS, LEAST

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
    """In which blocks another order leaves more images right than most important first: a line for each score.

    Args:
        areas: rows of `pruning_summary.csv`.
    """
    said = []
    for (network, _, _, score, _), of in areas.groupby(CURVE_KEYS, sort=False):
        parts = [_against_most(of, quantity, order) for quantity, order in ORDERS.items()]
        if any(parts):
            rests = "In this network (one training, so nothing about the architecture)"
            what = f"{pretty(network)}, maps dropped by {score}"
            said.append(f"{rests}, {what}: {'; '.join(filter(None, parts))}.")
    return said


def _against_most(areas: pd.DataFrame, quantity: str, order: str) -> str:
    """Where an order leaves more images right than most important first, and where fewer; empty if it is not known."""
    known = areas.dropna(subset=[f"{quantity}_low", f"{quantity}_high"])
    if not len(known):
        return ""
    more, fewer = known[f"{quantity}_low"] > 0, known[f"{quantity}_high"] < 0
    parts = [f"more images right in {_where(known[more], quantity)}"] if more.any() else []
    parts += [f"fewer in {_where(known[fewer], quantity)}"] if fewer.any() else []
    parts += [f"no difference resolved in {listed(known[~more & ~fewer]['block'])}"] if (~more & ~fewer).any() else []
    return f"{order} leaves, against most important first, {', '.join(parts)}"


def _where(rows: pd.DataFrame, quantity: str) -> str:
    """The blocks, and the greatest area between the curves with its own interval."""
    top = rows.loc[rows[quantity].abs().idxmax()]
    most = f"up to {top[quantity]:+.3f} in {paper_name(top['block'])}"
    interval = f"95 % over images {top[f'{quantity}_low']:+.3f} … {top[f'{quantity}_high']:+.3f}"
    return f"{listed(rows['block'])} (area between the curves {most}, {interval})"


def training_curve_sentences(claims: pd.DataFrame) -> list[str]:
    """What the order is worth over trainings: a line for each network and score.

    Args:
        claims: rows of `pruning_claims.csv`.
    """
    said = []
    for (network, scope, _, score, _), of in claims.groupby(CURVE_KEYS, sort=False):
        number, blocks = of["trainings"].iloc[0], of["blocks"].iloc[0]
        rests = f"Over {number} training{'' if number == 1 else 's'} of {pretty(network)}, maps dropped by {score}"
        rests += f" in {'all blocks at once' if scope == 'stage' else f'one block at a time ({blocks} blocks)'}"
        known = of[of["low"].notna()]
        if not len(known):
            said.append(f"{rests}: no claim (it takes {LEAST} trainings).")
            continue
        parts = []
        for row in known.itertuples():
            what = row.statistic.removesuffix(", mean over blocks")
            interval = f"95 % over trainings and images {row.low:+.4f} … {row.high:+.4f}, p = {row.p_holm:.2g}"
            state = "not resolved: " if row.verdict == "not resolved" else ""
            parts.append(f"{what} {state}{row.mean:+.4f} ({interval})")
        said.append(f"{rests}, share of images right over all ratios: {'; '.join(parts)}; p after Holm's correction.")
    return said
