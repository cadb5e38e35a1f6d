"""Claims of the supplementary material, each with what the trainings say of it: agree, disagree, cannot tell.

A claim is agreed to, or not, where the 95 % interval over trainings and images leaves zero out on one side, and p is
below 0.05 after Holm's correction over the claims of its section; else it cannot be told. With one training a network
nothing is told. Tables in, tables out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy import stats

from gelens.randomness import poisson_weights
from gelens.statistics.comparison import KINDS, slope_weights
from gelens.statistics.curves import BOOTSTRAP, Curves, bootstrapped, quantities
from gelens.statistics.significance import holm
from gelens.statistics.trainings import Groups, over_trainings, paired, with_holm

AGREE, DISAGREE, UNKNOWN = "agree", "disagree", "cannot tell"
NOT_ASKED = "cannot be asked here"
LEVEL = 0.05

REPLICATES = 400
"""Of the bootstrap over images of rank correlations."""

ALL_BLOCKS, LATER = "all", "all but the first"

SATURATED = 0.99
"""Where units are active on more of the images than this, matching them on that share sorts rounding errors."""


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

    Holm's correction is over all claims of a metric, those too whose networks are not trained yet: another training
    makes no answer less sure.

    Args:
        gaps: of `gelens.tables.evaluation.evaluation_gaps`, of the claims' pairs: (better, worse).
    """
    rows = []
    gaps = gaps.assign(p_holm=gaps.groupby("metric")["p"].transform(lambda p: holm_among(p.to_numpy(), len(claims))))
    for gap in gaps.itertuples():
        claim = claims[gap.network, gap.reference]
        place = 0 if gap.metric == "top1_error" else 1
        paper = claim.paper[0][place] - claim.paper[1][place]
        told = {"claim": claim.said, "metric": gap.metric, "paper": round(paper, 2)}
        rows.append(told | _measured(gap) | {"answer": verdict(gap, -1)})
    return pd.DataFrame(rows)


def holm_among(p: np.ndarray, tests: int) -> np.ndarray:
    """Holm's correction of some of so many tests, of which the others are not known yet.

    >>> holm_among(np.array([0.01, 0.5, np.nan]), 4).tolist()
    [0.04, 1.0, nan]
    """
    known = np.isfinite(p)
    corrected = np.full(len(p), np.nan)
    corrected[known] = holm(np.append(p[known], np.ones(tests - known.sum())))[: known.sum()]
    return corrected


def depth_answers(gaps: pd.DataFrame, trends: pd.DataFrame, active: float = 0.0) -> pd.DataFrame:
    """Whether a gap to plain ResNet emerges gradually with depth: for each network and kind of gap.

    Agreed where the slope and the deepest block's gap are resolved with the same sign, the first block's gap is less
    than half as large, and the slope has that sign also without the deepest block, so that it is no single step. Not
    agreed where the slope is resolved and a resolved gap of the first block shrinks or is larger than the deepest one.

    Args:
        gaps: `selectivity_gap_trainings.csv`.
        trends: `selectivity_trend_trainings.csv`.
        active: the least share of images that a network's units of a block are active on, in the mean over them.

    Returns:
        network, gap, deepest_block, the slope, the first and the deepest block's gap with their intervals, answer, why
        (what keeps an answer open). Where all units are active on nearly all images the matched gap is not asked for.
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
        answer, why = _of_depth(slope, first, deepest, mine.iloc[:-1])
        if slope.gap == "matched" and active > SATURATED:
            answer, why = NOT_ASKED, "all units are active on nearly all images"
        rows.append(told | _measured(slope) | ends | {"answer": answer, "why": why})
    table = pd.DataFrame(rows)
    if len(table):
        table["gap"] = pd.Categorical(table["gap"], [*KINDS])
        table = table.sort_values(["network", "gap"], ignore_index=True).astype({"gap": str})
    return table


def _of_depth(slope, first, deepest, before: pd.DataFrame) -> tuple[str, str]:
    """The answer, and what keeps it open.

    Args:
        before: the gaps of all blocks but the deepest.
    """
    sign = int(np.sign(slope.mean))
    if verdict(slope, sign) == UNKNOWN:
        return UNKNOWN, "slope not resolved"
    if verdict(first, -sign) == AGREE and abs(first.mean) > abs(deepest.mean):
        return DISAGREE, ""
    no_step = len(before) < 2 or sign * float(slope_weights(before["depth"].to_numpy()) @ before["mean"]) > 0
    reasons = {
        "deepest block's gap not resolved": verdict(deepest, sign) != AGREE,
        "first block's gap not less than half the deepest one's": abs(first.mean) >= abs(deepest.mean) / 2,
        "no slope without the deepest block": not no_step,
    }
    open_ = [reason for reason, holds in reasons.items() if holds]
    return (UNKNOWN if open_ else AGREE), "; ".join(open_)


def order_answers(summary: pd.DataFrame) -> pd.DataFrame:
    """How far apart the two orders lie, and the random order from the most important first, block by block.

    By the gate's order, of networks without gates by the activation's. Holm's correction is over these blocks and
    networks of a quantity.

    Args:
        summary: `pruning_summary_trainings.csv`.
    """
    gated = summary.loc[summary["score"] == "gate", "network"].unique()
    claimed = summary["score"] == np.where(summary["network"].isin(gated), "gate", "activation")
    mine = with_holm(summary[claimed & (summary["quantity"] != "drop_all")].reset_index(drop=True), "quantity")
    rows = [
        {"network": row.network, "score": row.score, "block": row.block, "quantity": row.quantity}
        | _measured(row)
        | {"answer": verdict(row, 1)}
        for row in mine.itertuples()
    ]
    return pd.DataFrame(rows)


def block_table(summary: pd.DataFrame) -> pd.DataFrame:
    """What each block alone is worth: the accuracy lost without its branch. Nothing is claimed of it.

    Args:
        summary: `pruning_summary_trainings.csv`.
    """
    mine = summary[summary["quantity"] == "drop_all"].drop_duplicates(["network", "block"])
    return mine[["network", "block", "trainings", "mean", "low", "high"]].reset_index(drop=True)


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

    Of the trainings of one seed, then over seeds; the error over images is a bootstrap's. The first block of a stage
    matters most to every network, since no shortcut passes by it unchanged, which alone makes a correlation of 0.43 of
    six blocks; so the answer is of the others. Holm's correction is over the networks. Intervals are cut off at -1 and
    1. Last, with no interval, how alike the reference's own trainings are: the mean over pairs of their seeds.
    """
    tables = []
    for network, blocks in product(networks, (ALL_BLOCKS, LATER)):
        if not {network, reference} <= importances.keys():
            continue
        (mine, lost), (theirs, others) = importances[network], importances[reference]
        both = sorted(set(mine) & set(theirs))
        if not both:
            continue
        start = 0 if blocks == ALL_BLOCKS else 1
        pairs = [(lost[mine.index(each), start:], others[theirs.index(each), start:]) for each in both]
        weights = poisson_weights(seed, indices, REPLICATES).astype(float)
        weights = np.vstack([np.ones(len(indices)), weights[weights.any(1)]])
        each = np.array([_rank_correlations(weights, *pair) for pair in pairs])  # (seeds, 1 + replicates)
        error = np.nanstd(each[:, 1:].mean(0), ddof=1)
        table = over_trainings(each[:, :1], np.array([error]), REPLICATES)
        table[["low", "high"]] = table[["low", "high"]].clip(-1, 1)
        tables.append(table.assign(network=network, reference=reference, blocks=blocks))
    if not tables:
        return pd.DataFrame()
    table = with_holm(pd.concat(tables, ignore_index=True), "blocks")
    table["answer"] = [verdict(each, 1) if each.blocks == LATER else "" for each in table.itertuples()]
    table.loc[table["blocks"] == ALL_BLOCKS, "p_holm"] = np.nan
    columns = ["network", "reference", "blocks", "trainings", "mean", "low", "high", "p_holm", "answer"]
    return pd.concat([table[columns], _among_seeds(importances[reference], reference)], ignore_index=True)


def _among_seeds(importance: tuple[list[int], np.ndarray], reference: str) -> pd.DataFrame:
    """How alike the trainings of one network are in which blocks matter."""
    seeds, lost = importance
    rows = []
    for blocks, start in ((ALL_BLOCKS, 0), (LATER, 1)):
        each = [stats.spearmanr(*pair).statistic for pair in combinations(lost[:, start:].mean(2), 2)]
        if each:
            told = {"network": reference, "reference": reference, "blocks": blocks, "trainings": len(seeds)}
            rows.append(told | {"mean": np.mean(each), "answer": ""})
    return pd.DataFrame(rows)


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


WHOLE, EARLY_LEAD, AT_END = "mean over epochs", "first half less the end", "end"


def speed_answers(training: pd.DataFrame, faster: str, slower: str, images: Mapping[str, int]) -> pd.DataFrame:
    """Whether one network trains faster: its error less the other's, on the training and on the validation set.

    The mean over epochs is the area between the two curves. A network that is better by the same all the time has it,
    too: the lead in the first half less that at the end tells whether it is faster in particular. Holm's correction is
    over all rows. The error over images is that of two networks that err independently, which is more than that of two
    that mostly err on the same images; of the two parts of a lead it is the sum.

    Args:
        training: rows of the trainings' curves with the columns group and seed.
        images: in each split.
    """
    tables = []
    for split, number in images.items():
        mine = training[training["split"] == split].set_index(["group", "seed", "epoch"])["top1_error"]
        known = set(mine.index.droplevel("epoch"))
        both = [seed for seed in sorted({seed for _, seed in known}) if {(faster, seed), (slower, seed)} <= known]
        if not both:
            continue
        errors = np.array([[mine.loc[group, seed].to_numpy() for seed in both] for group in (faster, slower)])
        reach = np.sqrt((errors * (100 - errors)).sum(0) / number).mean(0)  # of each epoch
        leads = errors[0] - errors[1]  # (seeds, epochs)
        half = slice(max(leads.shape[1] // 2, 1))
        values = np.stack([leads.mean(1), leads[:, half].mean(1) - leads[:, -1], leads[:, -1]], 1)
        of_images = np.array([reach.mean(), reach[half].mean() + reach[-1], reach[-1]])
        tables.append(over_trainings(values, of_images, number).assign(split=split, when=[WHOLE, EARLY_LEAD, AT_END]))
    if not tables:
        return pd.DataFrame()
    table = with_holm(pd.concat(tables, ignore_index=True).assign(quantity="error"), "quantity")
    table["answer"] = [verdict(row, -1) for row in table.itertuples()]
    return table[["split", "when", "trainings", "mean", "low", "high", "p_holm", "answer"]]


def peak_answers(epochs: pd.DataFrame) -> pd.DataFrame:
    """Where mean selectivity is highest over a training, and how far it falls to the last checkpoint, block by block.

    The highest of several noisy means is a little too high, and so is the fall.

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
            told |= {"first_epoch": known["epoch"].iloc[0], "first": known[kind].iloc[0]}
            told |= {"last_epoch": last["epoch"], "last": last[kind]}
            rows.append(told | {"fall": peak[kind] - last[kind], "fall_se": error})
    return pd.DataFrame(rows)


def _measured(row) -> dict[str, float]:
    return {name: getattr(row, name) for name in ("trainings", "mean", "low", "high", "p_holm")}
