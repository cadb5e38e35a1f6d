"""Networks compared by selectivity, on the same images: gap by block, distances of distributions, trend with depth."""

import logging
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import scipy

from ..errors import UsageError
from ..names import paper_name, pretty
from .calibration import LEAST_COVER, STATISTICS, Calibration, combined, cover, stored
from .matching import matching_weights
from .samples import half_width, over_units, spread
from .sparseness import mean_sparseness

log = logging.getLogger(__name__)

COLUMNS = {"mean": "csi", "crossfit": "csi_crossfit", "corrected": "csi_corrected", "null": "csi_null"}
"""Of selectivity.csv, by kind."""

SAMPLES = {
    "mean": "csi",
    "crossfit": "crossfit",
    "corrected": "corrected",
    "null": "null",
    "sparseness": "sparseness",
}
"""Of `UnitStatistics.samples`, by kind."""

GAPS = ("mean", "excess", "crossfit", "corrected", "matched", "sparseness")
"""The index as it is, less its null, cross-fitted, corrected for noise, and that of units which are active on as many
images; and the sparseness of class means, which is the one that is spoken of."""

FEWEST_UNITS = 10
"""With fewer in a block nothing is said of its mean."""

NOT_CALIBRATED: Mapping[str, Calibration] = {}

Samples = Mapping[tuple[str, str], Mapping[str, np.ndarray]]
"""By (network, block): `UnitStatistics.samples`."""


def selectivity_gaps(
    selectivity: pd.DataFrame, blocks: pd.DataFrame, samples: Samples, reference: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The gaps of every other network to `reference`, block by block, and their trends with depth.

    A gap is the mean over units of the network less that of the reference. Standard errors are over bootstrap
    replicates of the images, drawn alike for both networks; that of an excess gap adds the variance of the mean null
    over its permutations. They cover the sampling of images, not of trainings. The gap of sparseness is the one to
    go by: that of the index itself grows with the sparsity of units, that of the excess shrinks with it, and that of
    the corrected index has a bias that no number of units cures. The matched gap is that of the corrected index over
    units weighted so that both networks' are active on as many images (`matching_weights`); matched_overlap says how
    much of the two the weights can match.
    Wasserstein-1 and Kolmogorov–Smirnov distances describe the two distributions of units, without p-values, since
    units are not independent; the columns ending in `_halves` hold the same distance between two halves of the
    network's own images, a floor that is too low: two trainings of one architecture are about three times as far apart.

    Args:
        selectivity: rows of `selectivity.csv`; without `csi_corrected`, as older runs have it, that gap is NaN.
        blocks: rows of `selectivity_blocks.csv`, for each block's depth.
        samples: by (network, block).
        reference: label of the network that the others are compared with.

    Returns:
        `selectivity_gap.csv`: block, depth, network, reference, mean_gap, mean_gap_se, excess_gap, excess_gap_se,
        crossfit_gap, crossfit_gap_se, wasserstein, wasserstein_halves, ks, ks_halves, corrected_gap, corrected_gap_se,
        corrected_low, corrected_high (95 % over images, by t), matched_gap, matched_gap_se, matched_overlap,
        sparseness_gap, sparseness_gap_se, sparseness_low, sparseness_high, fewest_units (that are alive, of the two),
        sparseness_bias, sparseness_cover, corrected_bias, corrected_cover (by `gelens.statistics.calibration`, of runs
        that are calibrated), stage_blocks, reference_stage_blocks (how many blocks of this one's stage were measured of
        each network: other numbers mean other depths).
        `selectivity_trend.csv`: network, reference, gap (of `GAPS`), slope (per block of depth), slope_se, slope_low,
        slope_high (95 %, by t), early and late (mean gap of the earlier and the later half of the blocks, without the
        middle one of an odd number), growth (late − early), growth_se, growth_low, growth_high, slope_bias,
        slope_cover, growth_bias, growth_cover; nothing of networks that have blocks of equal name at other depths.

    Raises:
        UsageError: the reference was not measured.
    """
    if reference not in set(selectivity["network"]):
        raise UsageError(f"no network `{reference}` among those measured: {', '.join(selectivity['network'].unique())}")
    units = {key: rows.reset_index() for key, rows in selectivity.groupby(["network", "block"], sort=False)}
    gaps, trends = [], []
    for network in selectivity["network"].unique():
        if network == reference:
            continue
        mine = blocks[blocks["network"] == network]
        depths = {row.block: row.depth for row in mine.itertuples() if (reference, row.block) in units}
        if not depths:
            log.warning("%s and %s have no block in common: no gap", network, reference)
            continue
        pairs = []
        for block, depth in depths.items():
            mine, theirs = ((units[name, block], samples[name, block]) for name in (network, reference))
            pair = Pair(mine, theirs, gap_calibrations(blocks, block, network, reference))
            row = {"block": block, "depth": depth, "network": network, "reference": reference}
            gaps.append(row | pair.columns() | stage_sizes(units, block, network, reference))
            pairs.append(pair)
        if len(pairs) > 1 and not len(at_other_depths(pd.DataFrame(gaps[-len(pairs) :]))):
            place = np.array(list(depths.values()))
            trends += [{"network": network, "reference": reference} | _trend(kind, place, pairs) for kind in GAPS]
    return pd.DataFrame(gaps), pd.DataFrame(trends)


def gap_calibrations(blocks: pd.DataFrame, block: str, network: str, reference: str) -> dict[str, Calibration]:
    """By kind of gap, that of a block of two networks; nothing where one was not calibrated."""
    rows = [blocks[(blocks["network"] == name) & (blocks["block"] == block)] for name in (network, reference)]
    if not all(map(len, rows)):
        return {}
    found = {kind: [stored(each.iloc[0].to_dict(), kind) for each in rows] for kind in STATISTICS}
    return {
        kind: combined([mine, theirs], [1, -1])
        for kind, (mine, theirs) in found.items()
        if mine is not None and theirs is not None
    }


class Pair:
    """A block of two networks: their gap of each kind, and what it is under every replicate and permutation.

    Args:
        mine, theirs: rows of units, and their samples.
        calibrations: by kind of gap, where the blocks are calibrated.
    """

    def __init__(
        self,
        mine: tuple[pd.DataFrame, Mapping],
        theirs: tuple[pd.DataFrame, Mapping],
        calibrations: Mapping[str, Calibration] = NOT_CALIBRATED,
    ):
        self._both = (mine, theirs)
        self.calibrations = calibrations
        self.gaps = {kind: self._gap(column) for kind, column in COLUMNS.items()}
        self.gaps["excess"] = self.gaps["mean"] - self.gaps["null"]
        self.gaps["sparseness"] = mean_sparseness(mine[0]) - mean_sparseness(theirs[0])
        self.draws = {kind: self._draws(sample) for kind, sample in SAMPLES.items()}
        self.draws["excess"] = self.draws["mean"]
        *weights, self.overlap = matching_weights(*(_activity(rows) for rows, _ in self._both))
        self.gaps["matched"] = self._weighted(lambda rows, _: np.atleast_2d(_column(rows, "csi_corrected")), weights)[0]
        self.draws["matched"] = self._weighted(self._sampled("corrected"), weights)

    @property
    def fewest_units(self) -> int:
        """That are alive, in the network with the fewer."""
        return min(int(rows["csi"].notna().sum()) for rows, _ in self._both)

    def columns(self) -> dict[str, float]:
        row: dict[str, float] = {}
        for kind in ("mean", "excess", "crossfit"):
            row |= self._estimate(kind)
        row |= self._distances()
        row |= self._estimate("corrected") | self._interval("corrected")
        row |= self._estimate("matched") | {"matched_overlap": self.overlap}
        row |= self._estimate("sparseness") | self._interval("sparseness")
        row["fewest_units"] = self.fewest_units
        for kind, found in self.calibrations.items():
            row[f"{kind}_bias"] = found.bias[0]
            row[f"{kind}_cover"] = cover(found, row[f"{kind}_gap_se"], len(self.draws[kind]) - 1)
        return row

    def _estimate(self, kind: str) -> dict[str, float]:
        null = self.draws["null"] if kind == "excess" else None
        return {f"{kind}_gap": self.gaps[kind], f"{kind}_gap_se": error_of(self.draws[kind], null)}

    def _interval(self, kind: str) -> dict[str, float]:
        gap, error = self._estimate(kind).values()
        reach = half_width(len(self.draws[kind])) * error
        return {f"{kind}_low": gap - reach, f"{kind}_high": gap + reach}

    def _gap(self, column: str) -> float:
        mine, theirs = (rows[column].mean() if column in rows else np.nan for rows, _ in self._both)
        return mine - theirs

    def _draws(self, sample: str) -> np.ndarray:
        """Of each replicate or permutation that both have."""
        return self._weighted(self._sampled(sample), [rows["csi"].notna().to_numpy() for rows, _ in self._both])

    @staticmethod
    def _sampled(sample: str):
        return lambda rows, samples: samples.get(sample, np.empty((0, len(rows))))

    def _weighted(self, values, weights) -> np.ndarray:
        """The difference of the two networks' weighted means of `values(rows, samples)`, (draws, units)."""
        means = [over_units(values(*each), weight) for each, weight in zip(self._both, weights, strict=True)]
        both = min(map(len, means))
        return means[0][:both] - means[1][:both]

    def _distances(self) -> dict[str, float]:
        (mine, own), (theirs, _) = self._both
        between = _distance(mine["csi"], theirs["csi"])
        within = _distance(*own["halves"])
        return {
            "wasserstein": between[0],
            "wasserstein_halves": within[0],
            "ks": between[1],
            "ks_halves": within[1],
        }


def _column(rows: pd.DataFrame, name: str) -> np.ndarray:
    return rows[name].to_numpy(dtype=float) if name in rows else np.full(len(rows), np.nan)


def _activity(rows: pd.DataFrame) -> np.ndarray:
    """On which share of images living units are active."""
    return np.where(rows["csi"].notna(), _column(rows, "active_fraction"), np.nan)


def _distance(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Wasserstein-1 and Kolmogorov–Smirnov distance of two sets of indices, of living units."""
    first, second = (np.asarray(values)[~np.isnan(values)] for values in (first, second))
    if not len(first) or not len(second):
        return np.nan, np.nan
    return scipy.stats.wasserstein_distance(first, second), scipy.stats.ks_2samp(first, second).statistic


def error_of(replicates: np.ndarray, null: np.ndarray | None) -> float:
    variance = float(spread(replicates)) ** 2
    if null is not None:
        variance += float(spread(null)) ** 2 / max(len(null), 1)
    return float(np.sqrt(variance))


def stage_sizes(units: Mapping[tuple[str, str], pd.DataFrame], block: str, network: str, reference: str) -> dict:
    """How many blocks of a block's stage were measured of each of two networks."""
    measured = [label for label, name in units if _stage(name) == _stage(block)]
    return {"stage_blocks": measured.count(network), "reference_stage_blocks": measured.count(reference)}


def _stage(block: str) -> str:
    """The module that a block is in."""
    return block.rpartition(".")[0]


def slope_weights(depth: np.ndarray) -> np.ndarray:
    """What the gaps are weighted by in their least-squares slope on depth, which is linear in them."""
    centred = depth - depth.mean()
    return centred / (centred**2).sum()


def half_weights(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What gaps are weighted by in the mean of the earlier half of the blocks, and of the later half.

    >>> early, late = half_weights(np.array([1, 2, 3]))
    >>> early.tolist(), late.tolist()
    ([1.0, 0.0, 0.0], [0.0, 0.0, 1.0])
    """
    order = np.argsort(depth)
    half = len(depth) // 2
    early, late = np.zeros(len(depth)), np.zeros(len(depth))
    early[order[:half]] = 1 / half
    late[order[len(depth) - half :]] = 1 / half
    return early, late


def _trend(kind: str, depth: np.ndarray, pairs: Sequence[Pair]) -> dict:
    gaps = np.array([pair.gaps[kind] for pair in pairs])
    draws = {name: np.stack([pair.draws[name] for pair in pairs], 1) for name in (kind, "null")}

    def contrast(name: str, weights: np.ndarray) -> dict[str, float]:
        value = float(gaps @ weights)
        error = error_of(draws[kind] @ weights, draws["null"] @ weights if kind == "excess" else None)
        reach = error * half_width(len(draws[kind]))
        row = {name: value, f"{name}_se": error, f"{name}_low": value - reach, f"{name}_high": value + reach}
        if all(kind in pair.calibrations for pair in pairs):
            found = combined([pair.calibrations[kind] for pair in pairs], weights.tolist())
            row |= {f"{name}_bias": found.bias[0], f"{name}_cover": cover(found, error, len(draws[kind]) - 1)}
        return row

    early, late = half_weights(depth)
    row = {"gap": kind} | contrast("slope", slope_weights(depth))
    row |= {"early": float(gaps @ early), "late": float(gaps @ late)}
    return row | contrast("growth", late - early)


def sentences(gaps: pd.DataFrame, replicates: int, trends: pd.DataFrame | None = None) -> list[str]:
    """What the gaps say, a line for each network, claiming no more than the numbers do.

    They are of two trained networks: how far two trainings of one architecture are apart is not in them, and that is
    more than what the sampling of images does. So no direction is claimed of an architecture.

    Args:
        gaps: rows of `selectivity_gap.csv`.
        replicates: of the bootstrap.
        trends: rows of `selectivity_trend.csv`.
    """
    said = []
    for (network, reference), rows in gaps.groupby(["network", "reference"], sort=False):
        parts = [*_said(rows, replicates), *_growth_said(rows, trends)]
        said.append(
            f"In these two networks, {pretty(network)} against {pretty(reference)} (one training each, so nothing "
            f"about the architecture): {'; '.join(parts)}."
        )
    return said


def at_other_depths(gaps: pd.DataFrame) -> pd.DataFrame:
    """Of the gaps those of blocks whose stages have other numbers of blocks in the two networks."""
    return gaps[gaps["stage_blocks"] != gaps["reference_stage_blocks"]]


def without_claim(others: pd.DataFrame) -> Iterator[str]:
    """What is said instead of gaps `at_other_depths`."""
    for stage, its in others.groupby(others["block"].map(_stage), sort=False):
        mine, theirs = its["stage_blocks"].iloc[0], its["reference_stage_blocks"].iloc[0]
        yield (
            f"{paper_name(stage)} has {mine} blocks against {theirs}, so blocks of equal name are at other depths: no "
            f"claim about {joined_blocks(its)}"
        )


def _said(rows: pd.DataFrame, replicates: int) -> Iterator[str]:
    others = at_other_depths(rows)
    yield from without_claim(others)
    rows = rows.drop(others.index)
    known = rows[:0]
    if "sparseness_low" in rows:
        known = rows[rows["sparseness_low"].notna() & (rows["fewest_units"] >= FEWEST_UNITS)]
        sure, why = covered(known.rename(columns={"sparseness_cover": "cover"}))
        yield from gap_parts(sure.rename(columns=SHORT), "images")
        yield from why
    if len(unknown := rows.drop(known.index)):
        yield f"{_why_unknown(unknown, replicates)}, so no claim about {joined_blocks(unknown)}"


SHORT = {f"sparseness_{end}": end for end in ("gap", "low", "high")}


def gap_parts(rows: pd.DataFrame, over: str) -> Iterator[str]:
    """What is said of gaps of sparseness: where they are resolved and in which direction, then where they are not.

    Args:
        rows: block, depth, gap, low, high.
        over: what the intervals are over.
    """
    higher, lower = rows[rows["low"] > 0], rows[rows["high"] < 0]
    for word, some in (("higher", higher), ("lower", lower)):
        if len(some):
            yield f"{word} sparseness of class means (S) in {joined_blocks(some)}: {_from_to(some, over)}"
    if len(open_ := rows.drop(higher.index).drop(lower.index)):
        reach = np.abs(open_[["low", "high"]]).to_numpy().max()
        yield f"no difference of S resolved in {joined_blocks(open_)} (it is below {rounded_up(reach)} there)"


def covered(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows whose intervals hold the truth often enough, all where none was calibrated; and a word on the rest.

    Args:
        rows: block, depth, and cover where it is known.
    """
    if "cover" not in rows:
        return rows, []
    sure = rows["cover"] >= LEAST_COVER
    rest = rows[~sure]
    return rows[sure], [f"no claim about {joined_blocks(rest)} ({held(rest['cover'].min())})"] if len(rest) else []


def held(cover: float) -> str:
    """Why nothing is said."""
    if np.isnan(cover):
        return "the bias of networks like these could not be told by simulation"
    return f"intervals of networks simulated like these hold the truth in {cover:.0%} of cases instead of 95 %"


def _from_to(rows: pd.DataFrame, over: str) -> str:
    """The gap of the one block, or the least and the greatest with their own intervals."""
    by_size = rows.loc[rows["gap"].abs().sort_values(kind="stable").index]
    ends = [by_size.iloc[0]] if len(rows) == 1 else [by_size.iloc[0], by_size.iloc[-1]]
    words = [
        f"{end['gap']:+.3f} in {paper_name(end['block'])} (95 % over {over} {end['low']:+.3f} … {end['high']:+.3f})"
        for end in ends
    ]
    return " to ".join(words)


def _growth_said(rows: pd.DataFrame, trends: pd.DataFrame | None) -> Iterator[str]:
    """How the gap of sparseness changes with depth, or why that is not said; nothing where there is no trend."""
    if trends is None or "growth_low" not in trends or not len(trends):
        return
    network, reference = rows[["network", "reference"]].iloc[0]
    mine = trends[(trends["network"] == network) & (trends["reference"] == reference) & (trends["gap"] == "sparseness")]
    for row in mine.to_dict("records"):
        if np.isnan(row["growth_low"]) or (rows["fewest_units"] < FEWEST_UNITS).any():
            yield "no claim about its change with depth (the gap of some block is not known)"
        elif "growth_cover" in row and not row["growth_cover"] >= LEAST_COVER:
            yield f"no claim about its change with depth ({held(row['growth_cover'])})"
        else:
            change = row["growth"], row["growth_low"], row["growth_high"]
            yield growth_part(row["early"], row["late"], *change, "images")


def growth_part(
    early: float, late: float, growth: float, low: float, high: float, over: str, resolved: bool | None = None
) -> str:
    """How a gap changes from the earlier to the later half of the blocks, in words, with both ends.

    Args:
        early, late: mean gaps.
        growth, low, high: late − early and its 95 % interval.
        over: what the interval is over.
        resolved: whether the change is; by the interval where not given.

    >>> growth_part(-0.03, -0.01, 0.02, 0.015, 0.025, "images").partition(" in the later half")[0]
    'the gap closes with depth, from -0.030 in the earlier half of the blocks to -0.010'
    """
    change = f"change {growth:+.3f}, 95 % over {over} {low:+.3f} … {high:+.3f}"
    if resolved is None:
        resolved = not low <= 0 <= high
    if not resolved:
        return f"no change of the gap with depth is resolved ({change})"
    verb = "grows" if abs(late) > abs(early) else "closes"
    if early * late < 0:  # whether both ends differ from 0 is another question
        verb = "changes"
    halves = f"from {early:+.3f} in the earlier half of the blocks to {late:+.3f} in the later half"
    return f"the gap {verb} with depth, {halves} ({change})"


def rounded_up(value: float) -> str:
    """To two digits, never down: a bound.

    >>> rounded_up(0.0231), rounded_up(0.12), rounded_up(0.0)
    ('0.024', '0.12', '0.001')
    """
    if value < 0.001:
        return "0.001"
    digits = 1 - int(np.floor(np.log10(value)))
    scale = 10.0**digits
    return f"{np.ceil(round(value * scale, 6)) / scale:.{max(digits, 0)}f}"


def _why_unknown(rows: pd.DataFrame, replicates: int) -> str:
    if rows["mean_gap"].isna().all():
        return "no living units to compare"
    if "sparseness_gap" not in rows:
        return "this run has no sparseness of class means (`gelens selectivity RUN` measures it from the recording)"
    if (rows["fewest_units"] < FEWEST_UNITS).all():
        return f"fewer than {FEWEST_UNITS} living units"
    if rows["sparseness_gap"].isna().all():
        return "too few images on which units are active for the sparseness of class means (more images a class help)"
    if replicates < 2:
        return f"no standard errors with {replicates} bootstrap replicates"
    return "no standard errors (some class has a single image, or a unit is dead in every replicate)"


def joined_blocks(rows: pd.DataFrame) -> str:
    """Names as in the figures, runs of neighbours in depth joined.

    >>> joined_blocks(pd.DataFrame({"block": ["layer3.0", "layer3.1", "layer3.2", "layer3.4"], "depth": [1, 2, 3, 5]}))
    'conv4-1 … conv4-3, conv4-5'
    """
    runs: list[list[str]] = []
    last = float("nan")
    for block, depth in zip(rows["block"], rows["depth"], strict=True):
        if runs and depth == last + 1:
            runs[-1].append(paper_name(block))
        else:
            runs.append([paper_name(block)])
        last = depth
    return ", ".join(f"{run[0]} … {run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)
