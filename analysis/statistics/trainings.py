"""What is said of architectures: estimates over several trainings of each, with intervals over trainings and images."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import elementwise

from ..errors import UsageError
from ..names import pretty
from .comparison import (
    GAPS,
    Pair,
    Samples,
    at_other_depths,
    error_of,
    joined_blocks,
    rounded_up,
    slope_weights,
    stage_sizes,
    without_claim,
)
from .curves import BOOTSTRAP, CURVE, Curves, bootstrapped, quantities
from .significance import holm

Groups = Mapping[str, Mapping[int, str]]
"""By a group's label, by seed, the labels of its trainings in tables."""

LEVEL = 0.95


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
    """Means over trainings, with intervals over trainings and images.

    The variance of a mean is that over trainings, divided by their number, plus that of the mean over images, which all
    trainings share and which therefore does not get less with their number. The interval's reach is the root of the
    two reaches' squares, each with its own quantile of t (Zou and Donner, Statistics in Medicine, 2008), and p is the
    level at which it reaches 0.

    With Satterthwaite's degrees of freedom, which are told too, 95 % intervals are only a little short (cover 88 %
    with two trainings, 93 % with three), but the small p that Holm's correction asks for come far too often: where
    nothing differs and trainings vary ten times as much as images do, p < 0.001 in 5.5, 1.5, 0.4 % of cases with 2, 3,
    5 trainings. Here the share below p is at most p, to the simulation's accuracy (400,000 repeats, 2 to 10 trainings,
    ratios of the two standard deviations from 0.1 to 100, p from 0.05 to 0.001). The price is power where images matter
    as much as trainings or more: at ratios of 0.3 to 1, p < 0.05 in 1.4 to 1.8 % of cases with two trainings, 2.4 to
    4.1 % with three, 3.8 to 4.6 % with five, and smaller p rarer still.

    Args:
        values: (trainings, quantities), each training's estimate.
        image_errors: (quantities,), the standard error over images of the estimates' mean over trainings.
        replicates: of the bootstrap that the errors are of.

    Returns:
        A row for each quantity: trainings, mean, se, se_trainings, se_images, df (Satterthwaite's, of se), low, high
        (95 %), p (of 0). All but the mean are NaN with fewer than two trainings.
    """
    values, image_errors = np.asarray(values, dtype=float), np.asarray(image_errors, dtype=float)
    number, mean = len(values), values.mean(0)
    of_trainings = values.var(0, ddof=1) / number if number > 1 else np.full(values.shape[1], np.nan)
    of_images = np.where(np.isnan(of_trainings), np.nan, image_errors**2)
    freedoms = max(number - 1, 1), max(replicates - 1, 1)

    def reach(p: np.ndarray, of_trainings: np.ndarray, of_images: np.ndarray) -> np.ndarray:
        first, second = (stats.t.isf(p / 2, freedom) for freedom in freedoms)
        return np.sqrt(first**2 * of_trainings + second**2 * of_images)

    def beyond(exponent: np.ndarray, size: np.ndarray, *variances: np.ndarray) -> np.ndarray:
        return reach(10**exponent, *variances) - size

    interval = reach(np.array(1 - LEVEL), of_trainings, of_images)
    variance = of_trainings + of_images
    # where nothing varies there is no p; below 1e-100 it is 0
    found = elementwise.find_root(beyond, (-100, 0), args=(np.abs(mean), of_trainings, of_images))
    p = np.where(found.success, 10**found.x, np.where(variance > 0, 0, np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = variance**2 / (of_trainings**2 / freedoms[0] + of_images**2 / freedoms[1])
    return pd.DataFrame(
        {
            "trainings": number,
            "mean": mean,
            "se": np.sqrt(variance),
            "se_trainings": np.sqrt(of_trainings),
            "se_images": np.sqrt(of_images),
            "df": freedom,
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


def paired(groups: Groups, group: str, reference: str) -> list[tuple[int, str, str]]:
    """The trainings of two groups that have the same seed: (seed, label, reference's label).

    Raises:
        UsageError: no group of that name.
    """
    for each in (group, reference):
        if each not in groups:
            raise UsageError(f"no group `{each}` among those measured: {', '.join(groups)}")
    mine, theirs = groups[group], groups[reference]
    return [(seed, mine[seed], theirs[seed]) for seed in sorted(mine.keys() & theirs.keys())]


def training_gaps(
    selectivity: pd.DataFrame, blocks: pd.DataFrame, samples: Samples, groups: Groups, reference: str
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The gaps between groups of trainings, paired by seed, block by block, and their trends with depth.

    Args:
        selectivity: rows of `selectivity.csv`, of all trainings.
        blocks: rows of `selectivity_blocks.csv`.
        samples: by (network, block), as `selectivity_gaps` takes them.
        groups: the trainings of each group.
        reference: the group that others are compared with.

    Returns:
        `selectivity_gap_trainings.csv`: network, reference (groups), gap (of `GAPS`), block, depth, then the columns
        of `over_trainings`, stage_blocks, reference_stage_blocks (as of `selectivity_gaps`) and p_holm (over the blocks
        and networks of a kind of gap).
        `selectivity_trend_trainings.csv`: network, reference, gap, the same of the slope per block of depth; nothing
        of groups that have blocks of equal name at other depths.
        `selectivity_gap_seeds.csv`: network, reference, gap, block, depth, seed, value: each pair of trainings.
    """
    units = {key: rows.reset_index() for key, rows in selectivity.groupby(["network", "block"], sort=False)}
    gaps, trends, seeds = [], [], []
    for group in groups:
        if group == reference:
            continue
        couples = paired(groups, group, reference)
        depths = _depths(units, blocks, couples)
        if not depths:
            continue
        places = np.array(list(depths.values()))
        pairs = [
            [Pair(*((units[name, block], samples[name, block]) for name in both)) for block in depths]
            for _, *both in couples
        ]
        named = {"network": group, "reference": reference}
        for kind in GAPS:
            values, draws, null = _gathered(pairs, kind)
            about = pd.DataFrame({"block": list(depths), "depth": places})
            sizes = pd.DataFrame([stage_sizes(units, block, *couples[0][1:]) for block in depths])
            errors = np.array([error_of(draws[:, place], _of(null, place)) for place in range(len(places))])
            table = over_trainings(values, errors, len(draws))
            gaps.append(pd.concat([about, table, sizes], axis=1).assign(**named, gap=kind))
            each = zip(couples, values, strict=True)
            seeds += [about.assign(**named, gap=kind, seed=seed, value=mine) for (seed, *_), mine in each]
            if len(places) > 1 and not len(at_other_depths(sizes)):
                weights = slope_weights(places)
                error = error_of(draws @ weights, None if null is None else null @ weights)
                slope = over_trainings(values @ weights[:, None], np.array([error]), len(draws))
                trends.append(slope.assign(**named, gap=kind))
    first = ["network", "reference", "gap"]
    each = pd.concat(seeds, ignore_index=True)[[*first, "block", "depth", "seed", "value"]] if seeds else pd.DataFrame()
    return _finished(gaps, [*first, "block", "depth"]), _finished(trends, first), each


def _of(null: np.ndarray | None, place: int) -> np.ndarray | None:
    return None if null is None else null[:, place]


def _depths(units: Mapping, blocks: pd.DataFrame, couples: Sequence[tuple[int, str, str]]) -> dict[str, int]:
    """The blocks that every training has."""
    if not couples:
        return {}
    labels = [label for _, *both in couples for label in both]
    mine = blocks[blocks["network"] == labels[0]]
    return {row.block: row.depth for row in mine.itertuples() if all((label, row.block) in units for label in labels)}


def _gathered(pairs: Sequence[Sequence[Pair]], kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Each training's gaps (trainings, blocks), and the mean gap's replicates and permutations (draws, blocks)."""
    values = np.array([[pair.gaps[kind] for pair in several] for several in pairs])
    draws = _mean_draws(pairs, kind)
    return values, draws, _mean_draws(pairs, "null") if kind == "excess" else None


def _mean_draws(pairs: Sequence[Sequence[Pair]], name: str) -> np.ndarray:
    return np.mean([np.stack([pair.draws[name] for pair in several], 1) for several in pairs], axis=0)


def _finished(tables: Sequence[pd.DataFrame], first: Sequence[str]) -> pd.DataFrame:
    """The tables below each other, with Holm's correction over each kind of gap."""
    if not tables:
        return pd.DataFrame()
    return _first(with_holm(pd.concat(tables, ignore_index=True), "gap"), first)


def _first(table: pd.DataFrame, first: Sequence[str]) -> pd.DataFrame:
    """The table with these columns before the others."""
    return table[[*first, *(name for name in table if name not in first)]]


def with_holm(table: pd.DataFrame, family: str) -> pd.DataFrame:
    """The table with p_holm: p corrected over all rows that have the same value in the column `family`."""
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
        `areas`), then the columns of `over_trainings` and p_holm (over the blocks and networks of a quantity).
    """
    of = {label: group for group, trainings in groups.items() for label in trainings.values()}
    found: dict[tuple, list[np.ndarray]] = {}
    for (network, *about), each in quantities(curves):
        for name, values in each.items():
            if network in of and not np.isnan(values).any():
                found.setdefault((of[network], *about, name), []).append(values)
    if not found:
        return pd.DataFrame()
    means = [np.mean(trainings, axis=0) for trainings in found.values()]
    errors = [each["_se"] for each in bootstrapped(means, curves.indices, seed, replicates)]
    tables = [
        over_trainings(np.array([[values.mean()] for values in trainings]), np.array([error]), replicates)
        for trainings, error in zip(found.values(), errors, strict=True)
    ]
    about = pd.DataFrame(list(found), columns=[*CURVE, "quantity"])
    table = pd.concat([about, pd.concat(tables, ignore_index=True)], axis=1)
    return with_holm(table, "quantity")


def training_errors(right: Mapping[str, np.ndarray], groups: Groups, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """By how much the errors of groups of trainings differ, paired by seed, in percent of the images.

    Args:
        right: by training, bool (images,): whether it was right.
        groups: the trainings of each group.
        pairs: of groups: (one, the other that it is compared with).

    Returns:
        A row for each pair: network, reference, then the columns of `over_trainings` of the first one's error less the
        other's, and p_holm (over the pairs). The standard error over images is that of the mean over trainings of what
        they differ by on each image.
    """
    rows = []
    for network, reference in pairs:
        couples = paired(groups, network, reference)
        if not couples:
            continue
        # each image's error of the one less that of the other, for each seed
        differences = np.stack([right[theirs].astype(float) - right[mine] for _, mine, theirs in couples])
        images = differences.shape[1]
        error = 100 * differences.mean(0).std(ddof=1) / np.sqrt(images)
        table = over_trainings(100 * differences.mean(1, keepdims=True), np.array([error]), images)
        rows.append(table.assign(network=network, reference=reference))
    if not rows:
        return pd.DataFrame()
    table = pd.concat(rows, ignore_index=True).assign(p_holm=np.nan)
    known = table["p"].notna()
    table.loc[known, "p_holm"] = holm(table.loc[known, "p"].to_numpy())
    return _first(table, ["network", "reference"])


def training_sentences(gaps: pd.DataFrame, trends: pd.DataFrame) -> list[str]:
    """What the corrected gaps between groups say of architectures, a line for each group, no more than they do.

    Args:
        gaps: rows of `selectivity_gap_trainings.csv`.
        trends: rows of `selectivity_trend_trainings.csv`.
    """
    if not len(gaps):
        return []
    said = []
    for (network, reference), rows in gaps[gaps["gap"] == "corrected"].groupby(["network", "reference"], sort=False):
        parts = [*_of_blocks(rows), *_of_trend(trends, network, reference)]
        number = rows["trainings"].iloc[0]
        each = f"{number} training{'' if number == 1 else 's'} each"
        said.append(f"{pretty(network)} against {pretty(reference)}, {each}: {'; '.join(parts)}.")
    return said


def _of_blocks(rows: pd.DataFrame) -> Iterator[str]:
    others = at_other_depths(rows)
    yield from without_claim(others)
    rows = rows.drop(others.index)
    if not len(rows):
        return
    known = rows[rows["p_holm"].notna()]
    if not len(known):
        yield "no claim (it takes two trainings with the same seeds, and standard errors over images)"
        return
    for sign in (1, -1):
        found = known[(known["p_holm"] < 1 - LEVEL) & (np.sign(known["mean"]) == sign)]
        if len(found):
            values = " … ".join(f"{value:+.3f}" for value in sorted({found["mean"].min(), found["mean"].max()}))
            yield (
                f"corrected gap {values} in {joined_blocks(found)} (95 % intervals over trainings and images within "
                f"{found['low'].min():+.3f} … {found['high'].max():+.3f})"
            )
    open_ = known[known["p_holm"] >= 1 - LEVEL]
    if len(open_):
        reach = np.abs(open_[["low", "high"]]).to_numpy().max()
        yield f"not resolved (|gap| below {rounded_up(reach)}) in {joined_blocks(open_)}"


def _of_trend(trends: pd.DataFrame, network: str, reference: str) -> Iterator[str]:
    if not len(trends):
        return
    mine = trends[(trends["gap"] == "corrected") & (trends["network"] == network) & (trends["reference"] == reference)]
    for row in mine[mine["low"].notna()].itertuples():
        interval = f"{row.mean:+.4f} per block of depth (95 % {row.low:+.4f} … {row.high:+.4f})"
        yield f"trend {interval}" if row.p_holm < 1 - LEVEL else f"trend not resolved: {interval}"
