"""Claims of the supplementary material, each with what the trainings say of it: agree, disagree, cannot tell.

A claim is agreed to, or not, where the 95 % interval over trainings and images leaves zero out on one side, and p is
below 0.05 after Holm's correction over the claims of its section; else it cannot be told. With one training a network
nothing is told. Tables in, tables out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from gelens.randomness import poisson_weights
from gelens.statistics.comparison import KINDS, slope_weights
from gelens.statistics.curves import BOOTSTRAP, Curves, bootstrapped, quantities
from gelens.statistics.trainings import Groups, over_trainings, paired, with_holm

AGREE, DISAGREE, UNKNOWN = "agree", "disagree", "cannot tell"
LEVEL = 0.05

REPLICATES = 400
"""Of the bootstrap over images of rank correlations."""


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

    Agreed where the slope and the deepest block's gap are resolved with the same sign, the first block's gap is less
    than half as large, and the slope has that sign also without the deepest block, so that it is no single step. Not
    agreed where the slope is resolved and a resolved gap of the first block shrinks or is larger than the deepest one.

    Args:
        gaps: `selectivity_gap_trainings.csv`.
        trends: `selectivity_trend_trainings.csv`.
    """
    rows = []
    for slope in trends.itertuples():
        mine = gaps[(gaps["network"] == slope.network) & (gaps["gap"] == slope.gap)].sort_values("depth")
        first, *_, deepest = mine.itertuples()
        told = {"network": slope.network, "gap": slope.gap, "deepest_block": deepest.block}
        ends = {
            f"{end}_{name}": getattr(row, name)
            for end, row in (("first", first), ("deepest", deepest))
            for name in ("mean", "low", "high")
        }
        answer = _of_depth(slope, first, deepest, mine.iloc[:-1])
        rows.append(told | _measured(slope) | ends | {"answer": answer})
    table = pd.DataFrame(rows)
    if len(table):
        table["gap"] = pd.Categorical(table["gap"], [*KINDS])
        table = table.sort_values(["network", "gap"], ignore_index=True).astype({"gap": str})
    return table


def _of_depth(slope, first, deepest, before: pd.DataFrame) -> str:
    """
    Args:
        before: the gaps of all blocks but the deepest.
    """
    sign = int(np.sign(slope.mean))
    if verdict(slope, sign) == UNKNOWN:
        return UNKNOWN
    if verdict(first, -sign) == AGREE and abs(first.mean) > abs(deepest.mean):
        return DISAGREE
    no_step = len(before) < 2 or sign * float(slope_weights(before["depth"].to_numpy()) @ before["mean"]) > 0
    emerges = verdict(deepest, sign) == AGREE and abs(first.mean) < abs(deepest.mean) / 2
    return AGREE if emerges and no_step else UNKNOWN


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


def block_importances(curves: Curves, groups: Groups) -> dict[str, tuple[list[int], np.ndarray]]:
    """By group, what each block alone is worth to each training and image: its seeds, and (seeds, blocks, images).

    That is whether an image is right with all of a block's branch less whether it is right without any.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for (network, block, *_), each in quantities(curves):
        found.setdefault(network, {}).setdefault(block, each["drop_all"])
    importances = {}
    for group, trainings in groups.items():
        known = {seed: list(found[label].values()) for seed, label in trainings.items() if label in found}
        if known:
            importances[group] = (list(known), np.array(list(known.values())))
    return importances


def star_answers(
    importances: Mapping[str, tuple[list[int], np.ndarray]],
    networks: Sequence[str],
    reference: str,
    indices: np.ndarray,
    seed: int = 0,
) -> pd.DataFrame:
    """Whether the blocks that matter to one network matter to others: Spearman's rank correlation over blocks.

    Of the trainings of one seed, then over seeds; the error over images is a bootstrap's. Holm's correction is over
    the networks.
    """
    tables = []
    for network in networks:
        if not {network, reference} <= importances.keys():
            continue
        (mine, lost), (theirs, others) = importances[network], importances[reference]
        both = sorted(set(mine) & set(theirs))
        if not both:
            continue
        pairs = [(lost[mine.index(each)], others[theirs.index(each)]) for each in both]
        weights = poisson_weights(seed, indices, REPLICATES).astype(float)
        weights = np.vstack([np.ones(len(indices)), weights[weights.any(1)]])
        each = np.array([_rank_correlations(weights, *pair) for pair in pairs])  # (seeds, 1 + replicates)
        error = np.nanstd(each[:, 1:].mean(0), ddof=1)
        table = over_trainings(each[:, :1], np.array([error]), REPLICATES)
        tables.append(table.assign(network=network, reference=reference, quantity="stars"))
    if not tables:
        return pd.DataFrame()
    table = with_holm(pd.concat(tables, ignore_index=True), "quantity")
    table["answer"] = [verdict(each, 1) for each in table.itertuples()]
    return table[["network", "reference", "trainings", "mean", "low", "high", "p_holm", "answer"]]


def _rank_correlations(weights: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Spearman's over blocks, of (blocks, images) under each weighting of the images (weightings, images)."""
    ranks = [stats.rankdata(weights @ each.T, axis=1) for each in (one, other)]
    centred = [each - each.mean(1, keepdims=True) for each in ranks]
    with np.errstate(invalid="ignore"):
        return (centred[0] * centred[1]).sum(1) / np.sqrt((centred[0] ** 2).sum(1) * (centred[1] ** 2).sum(1))


def curve_answers(curves: Curves, groups: Groups, network: str, reference: str) -> pd.DataFrame:
    """By how much the area between the two orders of one network differs from that of another, block by block."""
    found = {(key[0], key[1]): each["area"] for key, each in quantities(curves) if key[4] == "gate"}
    couples = paired(groups, network, reference) if {network, reference} <= groups.keys() else []
    rows = []
    for block in dict.fromkeys(block for _, block in found):
        pairs = [(mine, theirs) for _, mine, theirs in couples if {(mine, block), (theirs, block)} <= found.keys()]
        if pairs:
            differences = np.stack([found[mine, block] - found[theirs, block] for mine, theirs in pairs])
            told = {"network": network, "reference": reference, "block": block, "quantity": "area"}
            rows.append(_over_images_too(differences, curves.indices).assign(**told))
    if not rows:
        return pd.DataFrame()
    table = with_holm(pd.concat(rows, ignore_index=True), "quantity")
    return table[["network", "reference", "block", "trainings", "mean", "low", "high", "p_holm"]]


def score_answers(curves: Curves, groups: Groups) -> pd.DataFrame:
    """What the gate's order is worth more than the activation's, block by block: the area between the curves with the
    most important first, the activation's less the gate's. The paper claims nothing of it."""
    found = {(key[0], key[1], key[4]): each["area_random"] for key, each in quantities(curves)}
    rows = []
    for group, trainings in groups.items():
        for block in dict.fromkeys(block for _, block, _ in found):
            both = [[(label, block, score) for score in ("gate", "activation")] for label in trainings.values()]
            values = [
                found[gate] - found[activation] for gate, activation in both if {gate, activation} <= found.keys()
            ]
            if values and not np.isnan(values).any():
                told = {"network": group, "block": block, "quantity": "area"}
                rows.append(_over_images_too(np.stack(values), curves.indices).assign(**told))
    if not rows:
        return pd.DataFrame()
    table = with_holm(pd.concat(rows, ignore_index=True), "quantity")
    table["answer"] = [verdict(row, 1) for row in table.itertuples()]
    return table[["network", "block", "trainings", "mean", "low", "high", "p_holm", "answer"]]


def _over_images_too(values: np.ndarray, indices: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """A row of `over_trainings`.

    Args:
        values: (trainings, images).
    """
    (error,) = (each["_se"] for each in bootstrapped([values.mean(0)], indices, seed, BOOTSTRAP))
    return over_trainings(values.mean(1, keepdims=True), np.array([error]), BOOTSTRAP)


def speed_answers(training: pd.DataFrame, faster: str, slower: str, images: int) -> pd.DataFrame:
    """Whether one network trains faster: its validation error less the other's, over the schedule and at its end.

    The error over images is that of two networks that err independently, which is more than that of two that mostly
    err on the same images.

    Args:
        training: rows of the trainings' curves with the columns group and seed.
        images: in the validation set.
    """
    mine = training[training["split"] == "val"].set_index(["group", "seed", "epoch"])["top1_error"]
    seeds = [
        set(mine.loc[group].index.get_level_values("seed")) if group in mine.index else set()
        for group in (faster, slower)
    ]
    both = sorted(set.intersection(*seeds))
    if not both:
        return pd.DataFrame()
    errors = np.array([[mine.loc[group, seed].to_numpy() for seed in both] for group in (faster, slower)])
    variances = (errors * (100 - errors)).sum(0) / images  # (seeds, epochs)
    differences = errors[0] - errors[1]
    when = {"mean over epochs": slice(None), "first half": slice(max(differences.shape[1] // 2, 1)), "end": [-1]}
    values = np.stack([differences[:, epochs].mean(1) for epochs in when.values()], 1)
    of_images = np.array([np.sqrt(variances[:, epochs]).mean() for epochs in when.values()])
    table = over_trainings(values, of_images, images).assign(when=list(when), quantity="error")
    table = with_holm(table, "quantity")
    table["answer"] = [verdict(row, -1) for row in table.itertuples()]
    return table[["when", "trainings", "mean", "low", "high", "p_holm", "answer"]]


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
