"""What is said of architectures: estimates over several trainings of each, with intervals over trainings and images."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import scipy
from scipy.optimize import elementwise

from ..errors import UsageError
from ..names import pretty
from .calibration import LEAST_COVER, Calibration, combined, cover
from .comparison import (
    FEWEST_UNITS,
    GAPS,
    Pair,
    Samples,
    at_other_depths,
    covered,
    error_of,
    gap_calibrations,
    gap_parts,
    growth_part,
    half_weights,
    held,
    joined_blocks,
    slope_weights,
    stage_sizes,
    without_claim,
)
from .curves import BOOTSTRAP, CURVE, Curves, bootstrapped, parts, quantities
from .significance import holm

Groups = Mapping[str, Mapping[int, str]]
"""By a group's label, by seed, the labels of its trainings in tables."""

LEVEL = 0.95

LEAST = 3
"""Trainings of a network without which nothing is said of it: two can agree by accident."""


def groups_of(cards: Mapping[str, Mapping]) -> dict[str, dict[int, str]]:
    """The groups among a run's networks.

    Args:
        cards: by label, what `run.json` says of it: `group` and `training_seed`.

    >>> groups_of({"se#0": {"group": "se", "training_seed": 0}, "plain": {}})
    {'se': {0: 'se#0'}}
    """
    groups: dict[str, dict[int, str]] = {}
    for label, card in cards.items():
        if card.get("group") is not None:
            groups.setdefault(card["group"], {})[int(card["training_seed"])] = label
    return groups


def over_trainings(values: np.ndarray, image_errors: np.ndarray, replicates: int) -> pd.DataFrame:
    """Means over the trainings of one network, with intervals over trainings and images.

    The variance of a mean is that over trainings, divided by their number, plus that of the mean over images, which all
    trainings share and which therefore does not get less with their number. The interval's reach is the root of the
    two reaches' squares, each with its own quantile of t (MOVER: Zou and Donner, Statistics in Medicine, 2008), and p
    is the level at which it reaches 0.

    With Satterthwaite's degrees of freedom over both parts, which are told too, 95 % intervals are a little short,
    but the small p that Holm's correction asks for come far too often where trainings vary more than images do. Here
    the share below p is at most p, whatever the ratio of the two (tests/statistics/test_trainings.py simulates both).
    The price is power where images matter as much as trainings or more.

    Args:
        values: (trainings, quantities), each training's estimate.
        image_errors: (quantities,), the standard error over images of the estimates' mean over trainings.
        replicates: of the bootstrap that the errors are of.

    Returns:
        A row for each quantity: trainings, mean, se, se_trainings, se_images, df (Satterthwaite's, of se), low, high
        (95 %), p (of 0). All but the mean are NaN with fewer than three trainings.
    """
    values = np.asarray(values, dtype=float)
    number = len(values)
    of_trainings = _variance_of_mean(values)
    freedom = np.full(values.shape[1], max(number - 1, 1))
    table = _intervals(values.mean(0), of_trainings, freedom, image_errors, replicates)
    table.insert(0, "trainings", number)
    return table


def between_trainings(gaps: np.ndarray, image_errors: np.ndarray, replicates: int) -> pd.DataFrame:
    """Gaps between the trainings of two networks, with intervals over the trainings of both and over images.

    Trainings are not paired: those of one seed have nothing in common that counts. The variance over trainings is
    Welch's, the sum of the two networks', with Welch's degrees of freedom; it comes together with that over images as
    in `over_trainings`. A gap need not be a difference: each training counts with its mean gap to all of the other
    network's.

    Args:
        gaps: (trainings, reference's trainings, quantities), of each training to each.
        image_errors: (quantities,), the standard error over images of the mean gap.
        replicates: of the bootstrap that the errors are of.

    Returns:
        trainings, reference_trainings, then the columns of `over_trainings`.
    """
    gaps = np.asarray(gaps, dtype=float)
    numbers = gaps.shape[:2]
    of_trainings, freedom = _welch([_variance_of_mean(gaps.mean(1)), _variance_of_mean(gaps.mean(0))], numbers)
    table = _intervals(gaps.mean((0, 1)), of_trainings, freedom, image_errors, replicates)
    table.insert(0, "trainings", numbers[0])
    table.insert(1, "reference_trainings", numbers[1])
    return table


def contrast_of_trainings(
    values: Sequence[np.ndarray], weights: Sequence[float], image_errors: np.ndarray, replicates: int
) -> pd.DataFrame:
    """Weighted sums of several networks' means over their trainings, with intervals as of `between_trainings`.

    Args:
        values: for each network, (trainings, quantities) estimates.
        weights: of the networks; they add to 0.
        image_errors: (quantities,), the standard error of the sum over images; 0 for these very images.
        replicates: of the bootstrap that the errors are of.

    Returns:
        The columns of `between_trainings`; trainings and reference_trainings are the fewest of a network with a
        positive and with a negative weight.

    >>> found = contrast_of_trainings([np.array([[3.0], [4], [5]]), np.array([[1.0], [2], [3]])], [1, -1], [0], 1000)
    >>> found[["mean", "low", "high"]].round(2).values.tolist()
    [[2.0, -0.27, 4.27]]
    """
    numbers = [len(each) for each in values]
    each = [np.asarray(of_network, dtype=float) for of_network in values]
    parts = [weight**2 * _variance_of_mean(of) for weight, of in zip(weights, each, strict=True)]
    of_trainings, freedom = _welch(parts, numbers)
    mean = np.sum([weight * of.mean(0) for weight, of in zip(weights, each, strict=True)], axis=0)
    table = _intervals(mean, of_trainings, freedom, image_errors, replicates)
    more, less = (
        min(number for number, weight in zip(numbers, weights, strict=True) if sign * weight > 0) for sign in (1, -1)
    )
    table.insert(0, "trainings", more)
    table.insert(1, "reference_trainings", less)
    return table


def _welch(parts: Sequence[np.ndarray], numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The variance of a sum of means of so many trainings, each of its own variance, and Welch's degrees of freedom."""
    of_trainings = np.sum(parts, axis=0)
    least = sum(part**2 / max(number - 1, 1) for part, number in zip(parts, numbers, strict=True))
    freedom = np.full(len(of_trainings), float(max(min(numbers) - 1, 1)))
    np.divide(of_trainings**2, least, out=freedom, where=least > 0)
    return of_trainings, freedom


def _variance_of_mean(values: np.ndarray) -> np.ndarray:
    """Of (trainings, quantities), over trainings; NaN of fewer than `LEAST`."""
    if len(values) < LEAST:
        return np.full(values.shape[1], np.nan)
    return values.var(0, ddof=1) / len(values)


def _intervals(
    mean: np.ndarray, of_trainings: np.ndarray, freedom: np.ndarray, image_errors: np.ndarray, replicates: int
) -> pd.DataFrame:
    of_images = np.where(np.isnan(of_trainings), np.nan, np.asarray(image_errors, dtype=float) ** 2)
    over_images = max(replicates - 1, 1)

    def reach(p, of_trainings, of_images, freedom) -> np.ndarray:
        first, second = scipy.stats.t.isf(p / 2, freedom), scipy.stats.t.isf(p / 2, over_images)
        return np.sqrt(first**2 * of_trainings + second**2 * of_images)

    def beyond(exponent: np.ndarray, size: np.ndarray, *parts: np.ndarray) -> np.ndarray:
        return reach(10**exponent, *parts) - size

    parts = of_trainings, of_images, freedom
    interval = reach(np.array(1 - LEVEL), *parts)
    variance = of_trainings + of_images
    # where nothing varies there is no p; below 1e-100 it is 0
    found = elementwise.find_root(beyond, (-100, 0), args=(np.abs(mean), *parts))
    p = np.where(found.success, 10**found.x, np.where(variance > 0, 0, np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        of_both = variance**2 / (of_trainings**2 / freedom + of_images**2 / over_images)
    return pd.DataFrame(
        {
            "mean": mean,
            "se": np.sqrt(variance),
            "se_trainings": np.sqrt(of_trainings),
            "se_images": np.sqrt(of_images),
            "df": of_both,
            "low": mean - interval,
            "high": mean + interval,
            "p": p,
        }
    )


def pooled(
    table: pd.DataFrame, keys: Sequence[str], quantities: Mapping[str, str], groups: Groups, replicates: int
) -> pd.DataFrame:
    """Rows of a table over the trainings of each group, without a p: that they are not 0 is no question.

    How the errors of trainings over the same images go together is not known; that of their mean is taken as the mean
    of theirs, the most that it can be.

    Args:
        table: a row for each training (`network`) and each combination of the keys.
        keys: other columns that tell rows apart.
        quantities: by a column, that of its standard errors over images.
        groups: the trainings of each group.
        replicates: that the errors are of.

    Returns:
        network (group), the keys, quantity, then the columns of `over_trainings` but p; empty without groups.
    """
    found = []
    for group, trainings in groups.items():
        mine = table[table["network"].isin(trainings.values())].assign(network=group)
        for key, rows in mine.groupby(["network", *keys], sort=False):
            values, errors = (rows[[*names]].to_numpy(float) for names in (quantities, quantities.values()))
            told = dict(zip(["network", *keys], key, strict=True))
            about = pd.DataFrame({"quantity": [*quantities]}).assign(**told)[[*told, "quantity"]]
            over = over_trainings(values, errors.mean(0), replicates).drop(columns="p")
            found.append(pd.concat([about, over], axis=1))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def check_group(groups: Groups, name: str) -> Mapping[int, str]:
    """The trainings of a group.

    Raises:
        UsageError: no group of that name.
    """
    if name not in groups:
        raise UsageError(f"no group `{name}` among those measured: {', '.join(groups)}")
    return groups[name]


def training_gaps(
    selectivity: pd.DataFrame, blocks: pd.DataFrame, samples: Samples, groups: Groups, reference: str
) -> dict[str, pd.DataFrame]:
    """The gaps between groups of trainings, block by block, and how they change with depth.

    Args:
        selectivity: rows of `selectivity.csv`, of all trainings.
        blocks: rows of `selectivity_blocks.csv`.
        samples: by (network, block), as `selectivity_gaps` takes them.
        groups: the trainings of each group.
        reference: the group that others are compared with.

    Returns:
        By file name, empty where there is nothing to tell:

        `selectivity_gap_trainings.csv`: network, reference (groups), gap (of `GAPS`), block, depth, then the columns
        of `between_trainings`, stage_blocks, reference_stage_blocks and fewest_units (as of `selectivity_gaps`), of
        calibrated runs bias and cover of the gap of sparseness, and p_holm (over the networks, for each block and kind
        of gap).
        `selectivity_trend_trainings.csv`: network, reference, gap, the same of the slope per block of depth; nothing
        of groups that have blocks of equal name at other depths.
        `selectivity_gap_seeds.csv`: network, reference, gap, block, depth, seed, value: trainings of equal seeds.
        `selectivity_claims.csv`: the one number that answers whether a gap of sparseness emerges with depth, for each
        network: claim, network, reference, statistic, early, late (mean gap of the earlier and the later half of the
        blocks), the columns of `between_trainings` of late − early, p_holm (over the networks), verdict (agree, where
        it is resolved and the later gap is the larger one, disagree where it is the smaller, else not resolved; no
        claim with fewer than three trainings), and of calibrated runs bias and cover (`gelens.statistics.calibration`);
        nothing is resolved at a cover below 0.9.
    """
    units = {key: rows.reset_index() for key, rows in selectivity.groupby(["network", "block"], sort=False)}
    gaps, trends, seeds, claims = [], [], [], []
    theirs = check_group(groups, reference)
    for group, mine in groups.items():
        if group == reference:
            continue
        depths = _depths(units, blocks, [*mine.values(), *theirs.values()])
        if not depths:
            continue
        couples = _Couples(units, samples, list(mine.values()), list(theirs.values()), list(depths))
        named = {"network": group, "reference": reference}
        about = pd.DataFrame({"block": list(depths), "depth": list(depths.values())})
        sizes = pd.DataFrame([stage_sizes(units, block, couples.mine[0], couples.theirs[0]) for block in depths])
        places = np.array(list(depths.values()))
        calibrated = _calibrations(blocks, couples, list(depths))
        for kind in GAPS:
            table = pd.concat([about, couples.compared(kind, np.eye(len(places))), sizes], axis=1)
            table["fewest_units"] = couples.fewest_units
            if kind == "sparseness" and calibrated:
                rows = table.to_dict("records")
                table["bias"] = [each.bias[0] for each in calibrated]
                table["cover"] = [_cover(each, row) for each, row in zip(calibrated, rows, strict=True)]
            gaps.append(table.assign(**named, gap=kind))
            values = couples.gaps(kind)
            for seed in sorted(mine.keys() & theirs.keys()):
                value = values[couples.mine.index(mine[seed]), couples.theirs.index(theirs[seed])]
                seeds.append(about.assign(**named, gap=kind, seed=seed, value=value))
            if len(places) > 1 and not len(at_other_depths(sizes)):
                trends.append(couples.compared(kind, slope_weights(places)[:, None]).assign(**named, gap=kind))
        if len(places) > 1 and not len(at_other_depths(sizes)):
            claim = _emergence(couples, places, calibrated)
            claims.append(claim.assign(**named, claim="F2", statistic=EMERGENCE))
    first = ["network", "reference", "gap"]
    tables = {
        "selectivity_gap_trainings.csv": _finished(gaps, [*first, "block", "depth"], ["gap", "block"]),
        "selectivity_trend_trainings.csv": _finished(trends, first, ["gap"]),
        "selectivity_gap_seeds.csv": _finished(seeds, [*first, "block", "depth"]),
        "selectivity_claims.csv": _finished(claims, ["claim", "network", "reference", "statistic"], ["claim"]),
    }
    if len(claims):
        tables["selectivity_claims.csv"]["verdict"] = _verdicts(tables["selectivity_claims.csv"])
    return tables


EMERGENCE = "gap of sparseness, later half of the blocks less earlier half"

Blocks = Mapping[tuple[str, str], pd.DataFrame]


class _Couples:
    """Every training of one group with every one of another.

    Args:
        units: by (training, block), rows of units.
        samples: by (training, block).
        mine, theirs: labels of trainings.
        blocks: that all of them have.
    """

    def __init__(
        self, units: Blocks, samples: Samples, mine: Sequence[str], theirs: Sequence[str], blocks: Sequence[str]
    ):
        self.mine, self.theirs = mine, theirs

        def pair(one: str, other: str, block: str) -> Pair:
            mine, theirs = ((units[label, block], samples[label, block]) for label in (one, other))
            return Pair(mine, theirs)

        self._pairs = [[[pair(one, other, block) for block in blocks] for other in theirs] for one in mine]

    def gaps(self, kind: str) -> np.ndarray:
        """(trainings, reference's trainings, blocks)."""
        return np.array([[[pair.gaps[kind] for pair in blocks] for blocks in row] for row in self._pairs])

    def compared(self, kind: str, weights: np.ndarray) -> pd.DataFrame:
        """`between_trainings` of sums of blocks' gaps, weighted by (blocks, quantities)."""
        draws = _weighted(self._draws(kind), weights)
        null = _weighted(self._draws("null"), weights) if kind == "excess" else None
        errors = [
            error_of(draws[:, place], None if null is None else null[:, place]) for place in range(weights.shape[1])
        ]
        return between_trainings(_weighted(self.gaps(kind), weights), np.array(errors), len(draws))

    @property
    def fewest_units(self) -> list[int]:
        """By block, those that are alive in the training with the fewest."""
        each = [[pair.fewest_units for pair in blocks] for row in self._pairs for blocks in row]
        return np.min(each, axis=0).tolist()

    def _draws(self, name: str) -> np.ndarray:
        """(draws, blocks) of the mean gap."""
        each = [np.stack([pair.draws[name] for pair in blocks], 1) for row in self._pairs for blocks in row]
        return np.mean(each, axis=0)


def _emergence(couples: _Couples, depths: np.ndarray, bias: Sequence[Calibration]) -> pd.DataFrame:
    """Of the gap of sparseness: late − early over trainings, both ends, and bias and cover where they are known."""
    early, late = half_weights(depths)
    gaps = couples.gaps("sparseness").mean((0, 1))
    table = couples.compared("sparseness", (late - early)[:, None])
    if min(couples.fewest_units) < FEWEST_UNITS:
        table[["low", "high", "p"]] = np.nan
    ends = _weighted(gaps, np.stack([early, late], 1))
    table = table.assign(early=ends[0], late=ends[1])
    if bias:
        found = combined(bias, (late - early).tolist())
        table = table.assign(bias=found.bias[0], cover=[_cover(found, row) for row in table.to_dict("records")])
    return table


def _weighted(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums over the last axis by (blocks, quantities): what has no weight may be NaN."""
    columns = [values[..., column != 0] @ column[column != 0] for column in weights.T]
    return np.stack(columns, -1)


def _cover(found: Calibration, row: Mapping) -> float:
    """Of an interval over trainings and images: the simulated ratio is that of the images' part of its error."""
    if not row["se"] > 0:
        return np.nan
    ratio = np.sqrt(row["se_trainings"] ** 2 + (found.ratio * row["se_images"]) ** 2) / row["se"]
    reach = (row["high"] - row["mean"]) / row["se"]
    return cover(replace(found, ratio=float(ratio)), row["se"], row["df"], reach)


def _calibrations(blocks: pd.DataFrame, couples: _Couples, names: Sequence[str]) -> list[Calibration]:
    """Of each block's gap of sparseness, mean over trainings; nothing where one was not calibrated."""
    found = []
    for block in names:
        each = [
            gap_calibrations(blocks, block, one, other).get("sparseness")
            for one in couples.mine
            for other in couples.theirs
        ]
        known = [calibration for calibration in each if calibration is not None]
        if len(known) < len(each):
            return []
        found.append(combined(known, [1 / len(known)] * len(known)))
    return found


def _verdicts(claims: pd.DataFrame) -> np.ndarray:
    resolved = claims["p_holm"] < 1 - LEVEL
    if "cover" in claims:
        resolved &= claims["cover"] >= LEAST_COVER
    larger = claims["late"].abs() > claims["early"].abs()
    return _verdict(claims, resolved, larger)


def _verdict(claims: pd.DataFrame, resolved: pd.Series, agrees: pd.Series) -> np.ndarray:
    answered = np.where(resolved, np.where(agrees, "agree", "disagree"), "not resolved")
    return np.where(claims["p_holm"].isna(), "no claim", answered)


def _depths(units: Blocks, blocks: pd.DataFrame, labels: Sequence[str]) -> dict[str, int]:
    """The blocks that every training has."""
    mine = blocks[blocks["network"] == labels[0]]
    return {row.block: row.depth for row in mine.itertuples() if all((label, row.block) in units for label in labels)}


def _finished(tables: Sequence[pd.DataFrame], first: Sequence[str], family: Sequence[str] = ()) -> pd.DataFrame:
    """The tables below each other, with Holm's correction over the rows that have the same values in some columns."""
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    return _first(with_holm(table, list(family)) if family else table, first)


def _first(table: pd.DataFrame, first: Sequence[str]) -> pd.DataFrame:
    """The table with these columns before the others."""
    return table[[*first, *(name for name in table if name not in first)]]


def with_holm(table: pd.DataFrame, family: str | list[str]) -> pd.DataFrame:
    """The table with p_holm: p corrected over all rows that have the same value in the columns `family`."""
    table["p_holm"] = np.nan
    for _, rows in table[table["p"].notna()].groupby(family):
        table.loc[rows.index, "p_holm"] = holm(rows["p"].to_numpy())
    return table


def training_areas(curves: Curves, groups: Groups, seed: int = 0, replicates: int = BOOTSTRAP) -> pd.DataFrame:
    """What dropping maps does to groups of trainings, block by block: `pruning_summary_trainings.csv`.

    Args:
        curves: of all trainings.
        groups: the trainings of each group.
        seed, replicates: of the bootstrap over images, as of `gelens.statistics.curves.areas`.

    Returns:
        network (group), block, scope, fill, score, per_image, quantity (drop_all, area or area_random, as of
        `areas`), then the columns of `over_trainings` and p_holm (over the networks, scores and ways, for each block
        and quantity: blocks describe, `curve_claims` answers).
    """

    def shares(some: Curves, group: str) -> Shares:
        found: dict[tuple, dict[str, np.ndarray]] = {}
        for (training, *about), each in quantities(some):
            for quantity, share in each.items():
                if _is_known(share):
                    found.setdefault((group, *about, quantity), {})[training] = share
        return found.items()

    about, tables = _by_parts(shares, curves, groups, seed, replicates)
    if not tables:
        return pd.DataFrame()
    of_what = pd.DataFrame(about, columns=[*CURVE, "quantity"])
    table = pd.concat([of_what, pd.concat(tables, ignore_index=True)], axis=1)
    return with_holm(table, ["quantity", "block"])


Shares = Iterable[tuple[tuple, dict[str, np.ndarray]]]
"""What a number is of, and by training, (images,) the share of each image in it."""


def _is_known(share: np.ndarray) -> bool:
    return not np.isnan(share).any()


def _by_parts(
    shares: Callable[[Curves, str], Shares], curves: Curves, groups: Groups, seed: int, replicates: int
) -> tuple[list[tuple], list[pd.DataFrame]]:
    """What numbers are of, and `over_trainings` of each.

    Only the curves of one group, on one part of the images, are in memory at a time: it grows with the trainings of a
    group and the numbers of each, not with images or groups.

    Args:
        shares: of some curves, all of the named group.
    """

    by_group = {group: curves.of_networks(trainings.values()) for group, trainings in groups.items()}

    def of_part(part: slice) -> Shares:
        for group, each in by_group.items():
            yield from shares(each.of_images(part), group)

    sums: dict[tuple, np.ndarray] = {}
    for part in parts(len(curves.indices)):
        for key, of in of_part(part):
            sums[key] = sums.get(key, 0) + np.array([share.sum() for share in of.values()])
    if not sums:
        return [], []

    def means(part: slice) -> Iterator[np.ndarray]:
        for _, of in of_part(part):
            yield np.mean(list(of.values()), axis=0)

    spread = bootstrapped(means, curves.indices, seed, replicates)
    tables = [
        over_trainings(each[:, None] / len(curves.indices), np.array([estimates["_se"]]), replicates)
        for each, estimates in zip(sums.values(), spread, strict=True)
    ]
    return list(sums), tables


CURVE_CLAIMS = {
    "area": "area between the two orders, mean over blocks",
    "area_random": "a random order less most important first, mean over blocks",
    "area_least": "least important first less a random order, mean over blocks",
}
"""By quantity, the statistic that answers what an order is worth."""

CURVE_KEYS = [name for name in CURVE if name != "block"]


def curve_claims(curves: Curves, groups: Groups, seed: int = 0, replicates: int = BOOTSTRAP) -> pd.DataFrame:
    """Whether the order in which maps are dropped matters, one number a question: `pruning_claims.csv`.

    Args:
        curves, groups, seed, replicates: as of `training_areas`.

    Returns:
        claim, network (group), scope, fill, score, per_image, statistic, then the columns of `over_trainings`, blocks
        (whose mean it is), p_holm (over the networks, for each statistic, score and way) and verdict (agree, where the
        number is resolved and above 0, disagree where it is below, else not resolved; no claim with fewer than three
        trainings). A number is left out where it was not measured in the same blocks of all trainings.
    """

    blocks: dict[tuple, int] = {}

    def shares(some: Curves, group: str) -> Shares:
        sums: dict[tuple, dict[str, np.ndarray]] = {}
        seen: dict[tuple, list[str]] = defaultdict(list)
        for (training, block, *about), each in quantities(some):
            each["area_least"] = each["area"] - each["area_random"]
            for quantity in CURVE_CLAIMS:
                place = (group, *about, quantity)
                sums.setdefault(place, {}).setdefault(training, np.zeros(len(some.indices)))
                sums[place][training] += each[quantity]
                seen[place, training].append(block)
        for place, of in sums.items():
            of_each = {tuple(seen[place, training]) for training in of}
            if len(of_each) == 1 and all(map(_is_known, of.values())):
                blocks[place] = len(of_each.pop())
                yield place, {training: total / blocks[place] for training, total in of.items()}

    rows = []
    for (*about, quantity), table in zip(*_by_parts(shares, curves, groups, seed, replicates), strict=True):
        told = dict(zip(CURVE_KEYS, about, strict=True)) | {"blocks": blocks[*about, quantity]}
        rows.append(table.assign(claim="F3", statistic=CURVE_CLAIMS[quantity], **told))
    family = [name for name in CURVE_KEYS if name != "network"]
    table = _finished(rows, ["claim", *CURVE_KEYS, "statistic"], ["statistic", *family])
    if len(table):
        table["verdict"] = _verdict(table, table["p_holm"] < 1 - LEVEL, table["mean"] > 0)
    return table


def training_errors(right: Mapping[str, np.ndarray], groups: Groups, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """By how much the errors of groups of trainings differ, in percent of the images.

    Args:
        right: by training, bool (images,): whether it was right.
        groups: the trainings of each group.
        pairs: of groups: (one, the other that it is compared with).

    Returns:
        A row for each pair: network, reference, then the columns of `between_trainings` of the first one's error less
        the other's, and p_holm (over the pairs). The standard error over images is that of what the two groups' mean
        correctness differs by on each image.
    """
    rows = []
    for network, reference in pairs:
        mine, theirs = (
            np.stack([right[label] for label in check_group(groups, name).values()]).astype(float)
            for name in (network, reference)
        )
        images = mine.shape[1]
        error = 100 * scipy.stats.sem(theirs.mean(0) - mine.mean(0))
        gaps = 100 * (theirs.mean(1)[None] - mine.mean(1)[:, None])
        table = between_trainings(gaps[:, :, None], np.array([error]), images)
        rows.append(table.assign(network=network, reference=reference, what="error"))
    return _finished(rows, ["network", "reference"], ["what"]).drop(columns="what", errors="ignore")


def training_sentences(gaps: pd.DataFrame, claims: pd.DataFrame) -> list[str]:
    """What the gaps of sparseness between groups say of architectures, a line for each group, no more than they do.

    Args:
        gaps: rows of `selectivity_gap_trainings.csv`.
        claims: rows of `selectivity_claims.csv`.
    """
    if not len(gaps):
        return []
    said = []
    for (network, reference), rows in gaps[gaps["gap"] == "sparseness"].groupby(["network", "reference"], sort=False):
        parts = [*_growth(claims, network, reference), *_of_blocks(rows)]
        numbers = rows[["trainings", "reference_trainings"]].iloc[0].tolist()
        said.append(
            f"Over {numbers[0]} training{'' if numbers[0] == 1 else 's'} of {pretty(network)} and {numbers[1]} of "
            f"{pretty(reference)}: {'; '.join(parts)}."
        )
    return said


def _of_blocks(rows: pd.DataFrame) -> Iterator[str]:
    others = at_other_depths(rows)
    yield from without_claim(others)
    rows = rows.drop(others.index)
    if not len(rows):
        return
    if rows["trainings"].min() < LEAST or rows["reference_trainings"].min() < LEAST:
        yield f"no claim (it takes {LEAST} trainings of each network)"
        return
    known = rows[rows["low"].notna() & (rows["fewest_units"] >= FEWEST_UNITS)]
    sure, why = covered(known)
    if len(sure):
        short = sure.assign(gap=sure["mean"])
        yield "block by block, each interval by itself: " + "; ".join(gap_parts(short, "trainings and images"))
    yield from why
    if len(rest := rows.drop(known.index)):
        yield f"no claim about {joined_blocks(rest)} (too few images or units, or no standard errors)"


def _growth(claims: pd.DataFrame, network: str, reference: str) -> Iterator[str]:
    """The answer to the one question that has a p."""
    if not len(claims):
        return
    mine = claims[(claims["network"] == network) & (claims["reference"] == reference)]
    for row in mine[mine["low"].notna()].to_dict("records"):
        if "cover" in row and not row["cover"] >= LEAST_COVER:
            yield f"no claim about its change with depth ({held(row['cover'])})"
            continue
        ends = row["early"], row["late"], row["mean"], row["low"], row["high"]
        said = growth_part(*ends, "trainings and images", row["verdict"] != "not resolved")
        yield f"{said}, p = {row['p_holm']:.2g} after Holm's correction over networks"
