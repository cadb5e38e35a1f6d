"""Claims of the supplementary material, each with what the trainings say of it: agree, disagree, cannot tell.

A claim is agreed to, or not, where the 95 % interval over trainings and images leaves zero out on one side, and p is
below 0.05 after Holm's correction over the claims of its section; else it cannot be told. With one training a network
nothing is told. Tables in, tables out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from gelens.statistics.comparison import KINDS
from gelens.statistics.curves import BOOTSTRAP, Curves, bootstrapped, quantities
from gelens.statistics.trainings import Groups, over_trainings, paired, with_holm

AGREE, DISAGREE, UNKNOWN = "agree", "disagree", "cannot tell"
LEVEL = 0.05


@dataclass(frozen=True)
class Pooling:
    """That one network of table 1 errs less than another.

    Args:
        better, worse: networks.
        said: the claim.
        paper: (better's, worse's) top-1 and top-5 errors in the paper's table.
    """

    better: str
    worse: str
    said: str
    paper: tuple[tuple[float, float], tuple[float, float]]


def verdict(row, sign: int) -> str:
    """
    Args:
        row: with trainings, mean, low, high, p_holm.
        sign: that the claim gives the mean.
    """
    if row.trainings < 2 or not np.isfinite(row.p_holm):
        return UNKNOWN
    if row.p_holm >= LEVEL or row.low <= 0 <= row.high:
        return UNKNOWN
    return AGREE if np.sign(row.mean) == sign else DISAGREE


def pooling_answers(gaps: pd.DataFrame, claims: Mapping[tuple[str, str], Pooling]) -> pd.DataFrame:
    """A row for each claim and metric: said, metric, paper (its difference), then the measured one.

    Args:
        gaps: of `gelens.tables.evaluation.evaluation_gaps`, of the claims' pairs: (better, worse).
    """
    rows = []
    for gap in gaps.itertuples():
        claim = claims[gap.network, gap.reference]
        place = 0 if gap.metric == "top1_error" else 1
        paper = claim.paper[0][place] - claim.paper[1][place]
        told = {"claim": claim.said, "metric": gap.metric, "paper": round(paper, 2)}
        rows.append(told | _measured(gap) | {"answer": verdict(gap, -1)})
    return pd.DataFrame(rows)


def depth_answers(gaps: pd.DataFrame, trends: pd.DataFrame) -> pd.DataFrame:
    """Whether a gap to plain ResNet emerges gradually with depth: for each network and kind of gap.

    Agreed where the slope is resolved and the deepest block's gap is resolved with the same sign; not agreed where the
    deepest block's gap is resolved with the other sign, so that the gap closes with depth.

    Args:
        gaps: `selectivity_gap_trainings.csv`.
        trends: `selectivity_trend_trainings.csv`.
    """
    rows = []
    for slope in trends.itertuples():
        mine = gaps[(gaps["network"] == slope.network) & (gaps["gap"] == slope.gap)]
        deepest = next(mine.sort_values("depth").tail(1).itertuples())
        sign = int(np.sign(slope.mean))
        slope_is, last_is = verdict(slope, sign), verdict(deepest, sign)
        answer = UNKNOWN if slope_is == UNKNOWN else last_is
        told = {"network": slope.network, "gap": slope.gap, "deepest_block": deepest.block}
        last = {f"deepest_{name}": getattr(deepest, name) for name in ("mean", "low", "high")}
        rows.append(told | _measured(slope) | last | {"answer": answer})
    table = pd.DataFrame(rows)
    if len(table):
        table["gap"] = pd.Categorical(table["gap"], [*KINDS])
        table = table.sort_values(["network", "gap"], ignore_index=True).astype({"gap": str})
    return table


def order_answers(summary: pd.DataFrame) -> pd.DataFrame:
    """How far apart the two orders lie, and the random order from the most important first, block by block.

    Args:
        summary: `pruning_summary_trainings.csv`.
    """
    mine = summary[summary["quantity"] != "drop_all"]
    rows = [
        {"network": row.network, "score": row.score, "block": row.block, "quantity": row.quantity}
        | _measured(row)
        | {"answer": verdict(row, 1)}
        for row in mine.itertuples()
    ]
    return pd.DataFrame(rows)


def block_importances(curves: Curves, groups: Groups) -> dict[str, pd.DataFrame]:
    """By group, what each block alone is worth to each training: accuracy lost without it, (seeds, blocks)."""
    seed_of = {label: (group, seed) for group, trainings in groups.items() for seed, label in trainings.items()}
    rows = []
    for row, right in curves.bits():
        if row["network"] in seed_of and row["order"] == "none":
            group, seed = seed_of[row["network"]]
            rows.append((group, seed, row["block"], row["ratio"], right.mean()))
    table = pd.DataFrame(rows, columns=["group", "seed", "block", "ratio", "right"]).drop_duplicates()
    if table.empty:
        return {}
    wide = table.pivot_table(index=["group", "seed", "block"], columns="ratio", values="right")
    lost = (wide[0.0] - wide[1.0]).unstack("block")
    return {group: lost.loc[group] for group in lost.index.get_level_values("group").unique()}


def star_answers(importances: Mapping[str, pd.DataFrame], network: str, reference: str) -> pd.DataFrame:
    """Whether the blocks that matter to one network matter to another: Spearman's rank correlation over blocks.

    Of the trainings of one seed, then over seeds; what a correlation over so few blocks is worth is in its spread.
    """
    if network not in importances or reference not in importances:
        return pd.DataFrame()
    mine, theirs = importances[network], importances[reference]
    seeds = sorted(set(mine.index) & set(theirs.index))
    if not seeds:
        return pd.DataFrame()
    each = np.array([[stats.spearmanr(mine.loc[seed], theirs.loc[seed]).statistic] for seed in seeds])
    # over so few blocks nothing is known of the images' share: the error over trainings alone
    row = over_trainings(each, np.zeros(1), BOOTSTRAP).assign(network=network, reference=reference)
    row["p_holm"] = row["p"]
    row["answer"] = [verdict(each, 1) for each in row.itertuples()]
    return row[["network", "reference", "trainings", "mean", "low", "high", "p_holm", "answer"]]


def curve_answers(curves: Curves, groups: Groups, network: str, reference: str, seed: int = 0) -> pd.DataFrame:
    """By how much the area between the two orders of one network differs from that of another, block by block."""
    found = {(key[0], key[1]): each["area"] for key, each in quantities(curves) if key[4] == "gate"}
    blocks = list(dict.fromkeys(block for _, block in found))
    couples = paired(groups, network, reference) if {network, reference} <= groups.keys() else []
    rows = []
    for block in blocks:
        pairs = [(mine, theirs) for _, mine, theirs in couples if {(mine, block), (theirs, block)} <= found.keys()]
        if not pairs:
            continue
        differences = np.stack([found[mine, block] - found[theirs, block] for mine, theirs in pairs])
        (error,) = (each["_se"] for each in bootstrapped([differences.mean(0)], curves.indices, seed, BOOTSTRAP))
        row = over_trainings(differences.mean(1, keepdims=True), np.array([error]), BOOTSTRAP)
        rows.append(row.assign(network=network, reference=reference, block=block, quantity="area"))
    if not rows:
        return pd.DataFrame()
    table = with_holm(pd.concat(rows, ignore_index=True), "quantity")
    return table[["network", "reference", "block", "trainings", "mean", "low", "high", "p_holm"]]


def speed_answers(training: pd.DataFrame, faster: str, slower: str) -> pd.DataFrame:
    """Whether one network trains faster: its validation error less the other's, over the schedule and at its end.

    Args:
        training: rows of the trainings' curves with the columns group and seed.
    """
    mine = training[training["split"] == "val"].set_index(["group", "seed", "epoch"])["top1_error"]
    seeds = [
        set(mine.loc[group].index.get_level_values("seed")) if group in mine.index else set()
        for group in (faster, slower)
    ]
    both = sorted(set.intersection(*seeds))
    if not both:
        return pd.DataFrame()
    differences = np.stack([(mine.loc[faster, seed] - mine.loc[slower, seed]).to_numpy() for seed in both])
    when = {"mean over epochs": differences.mean(1), "first half": _first_half(differences), "end": differences[:, -1]}
    values = np.stack(list(when.values()), 1)
    table = over_trainings(values, np.zeros(len(when)), BOOTSTRAP).assign(when=list(when), quantity="error")
    table = with_holm(table, "quantity")
    table["answer"] = [verdict(row, -1) for row in table.itertuples()]
    return table[["when", "trainings", "mean", "low", "high", "p_holm", "answer"]]


def _first_half(differences: np.ndarray) -> np.ndarray:
    return differences[:, : max(differences.shape[1] // 2, 1)].mean(1)


def peak_answers(epochs: pd.DataFrame) -> pd.DataFrame:
    """Where mean selectivity is highest over a training, and how far it falls from there to the end, block by block.

    Args:
        epochs: rows of `selectivity_epochs.csv`.
    """
    rows = []
    for (network, block), curve in epochs.groupby(["network", "block"], sort=False):
        curve = curve.sort_values("epoch")
        for kind in ("mean_csi", "mean_corrected"):
            known = curve.dropna(subset=kind)
            if known.empty:
                continue
            peak, last = known.loc[known[kind].idxmax()], known.iloc[-1]
            error = float(np.hypot(peak[f"{kind}_se"], last[f"{kind}_se"]))
            told = {"network": network, "block": block, "index": kind, "peak_epoch": peak["epoch"], "peak": peak[kind]}
            rows.append(
                told
                | {"first": known[kind].iloc[0], "last": last[kind], "fall": peak[kind] - last[kind], "fall_se": error}
            )
    return pd.DataFrame(rows)


def _measured(row) -> dict[str, float]:
    return {name: getattr(row, name) for name in ("trainings", "mean", "low", "high", "p_holm")}
