"""Networks compared by selectivity, on the same images: gap by block, distances of distributions, trend with depth."""

import logging
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from ..errors import UsageError
from ..names import paper_name, pretty
from .matching import matching_weights
from .samples import half_width, over_units, spread

log = logging.getLogger(__name__)

COLUMNS = {"mean": "csi", "crossfit": "csi_crossfit", "corrected": "csi_corrected", "null": "csi_null"}
"""Of selectivity.csv, by kind."""

SAMPLES = {"mean": "csi", "crossfit": "crossfit", "corrected": "corrected", "null": "null"}
"""Of `UnitStatistics.samples`, by kind."""

GAPS = ("mean", "excess", "crossfit", "corrected", "matched")
"""The index as it is, less its null, cross-fitted, corrected for noise, which is the one that is spoken of, and that of
units which are active on as many images."""

Samples = Mapping[tuple[str, str], Mapping[str, np.ndarray]]
"""By (network, block): `UnitStatistics.samples`."""


def selectivity_gaps(
    selectivity: pd.DataFrame, blocks: pd.DataFrame, samples: Samples, reference: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The gaps of every other network to `reference`, block by block, and their trends with depth.

    A gap is the mean over units of the network less that of the reference. Standard errors are over bootstrap
    replicates of the images, drawn alike for both networks; that of an excess gap adds the variance of the mean null
    over its permutations. They cover the sampling of images, not of trainings. The gap of the corrected index is the
    one to go by: that of the index itself grows with the sparsity of units, and that of the excess shrinks with it. The
    matched gap is that of the corrected index over units weighted so that both networks' are active on as many images
    (`matching_weights`); matched_overlap says how much of the two the weights can match.
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
        stage_blocks, reference_stage_blocks (how many blocks of this one's stage were measured of each network: other
        numbers mean other depths).
        `selectivity_trend.csv`: network, reference, gap (of `GAPS`), slope (per block of depth), slope_se, slope_low,
        slope_high (95 %, by t); nothing of networks that have blocks of equal name at other depths.

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
            pair = Pair(*((units[name, block], samples[name, block]) for name in (network, reference)))
            row = {"block": block, "depth": depth, "network": network, "reference": reference}
            gaps.append(row | pair.columns() | stage_sizes(units, block, network, reference))
            pairs.append(pair)
        if len(pairs) > 1 and not len(at_other_depths(pd.DataFrame(gaps[-len(pairs) :]))):
            place = np.array(list(depths.values()))
            trends += [{"network": network, "reference": reference} | _trend(kind, place, pairs) for kind in GAPS]
    return pd.DataFrame(gaps), pd.DataFrame(trends)


class Pair:
    """A block of two networks: their gap of each kind, and what it is under every replicate and permutation.

    Args:
        mine, theirs: rows of units, and their samples.
    """

    def __init__(self, mine: tuple[pd.DataFrame, Mapping], theirs: tuple[pd.DataFrame, Mapping]):
        self._both = (mine, theirs)
        self.gaps = {kind: self._gap(column) for kind, column in COLUMNS.items()}
        self.gaps["excess"] = self.gaps["mean"] - self.gaps["null"]
        self.draws = {kind: self._draws(sample) for kind, sample in SAMPLES.items()}
        self.draws["excess"] = self.draws["mean"]
        *weights, self.overlap = matching_weights(*(_activity(rows) for rows, _ in self._both))
        self.gaps["matched"] = self._weighted(lambda rows, _: np.atleast_2d(_column(rows, "csi_corrected")), weights)[0]
        self.draws["matched"] = self._weighted(self._sampled("corrected"), weights)

    def columns(self) -> dict[str, float]:
        row: dict[str, float] = {}
        for kind in ("mean", "excess", "crossfit"):
            row |= self._estimate(kind)
        row |= self._distances()
        row |= self._estimate("corrected")
        reach = half_width(len(self.draws["corrected"])) * row["corrected_gap_se"]
        row |= {"corrected_low": row["corrected_gap"] - reach, "corrected_high": row["corrected_gap"] + reach}
        return row | self._estimate("matched") | {"matched_overlap": self.overlap}

    def _estimate(self, kind: str) -> dict[str, float]:
        null = self.draws["null"] if kind == "excess" else None
        return {f"{kind}_gap": self.gaps[kind], f"{kind}_gap_se": error_of(self.draws[kind], null)}

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
    return stats.wasserstein_distance(first, second), stats.ks_2samp(first, second).statistic


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


def _trend(kind: str, depth: np.ndarray, pairs: Sequence[Pair]) -> dict:
    weights = slope_weights(depth)
    slope = float(np.array([pair.gaps[kind] for pair in pairs]) @ weights)
    draws = {name: np.stack([pair.draws[name] for pair in pairs], 1) @ weights for name in (kind, "null")}
    error = error_of(draws[kind], draws["null"] if kind == "excess" else None)
    reach = error * half_width(len(draws[kind]))
    return {
        "gap": kind,
        "slope": slope,
        "slope_se": error,
        "slope_low": slope - reach,
        "slope_high": slope + reach,
    }


def sentences(gaps: pd.DataFrame, replicates: int, trends: pd.DataFrame | None = None) -> list[str]:
    """What the gaps say, a line for each network, claiming no more than the numbers do.

    They are of two trained networks: how far two trainings of one architecture are apart is not in them, and that is
    more than what the sampling of images does. So no direction is claimed of an architecture.

    Args:
        gaps: rows of `selectivity_gap.csv`.
        replicates: of the bootstrap.
        trends: rows of `selectivity_trend.csv`.
    """
    return [
        f"{pretty(network)} against {pretty(reference)}: "
        + "; ".join([*_said(rows, replicates), *_trend_said(network, reference, trends)])
        + "."
        + (" One training each, so nothing about the architecture." if rows["corrected_low"].notna().any() else "")
        for (network, reference), rows in gaps.groupby(["network", "reference"], sort=False)
    ]


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
    known = rows[rows["corrected_low"].notna()]
    higher = known[known["corrected_low"] > 0]
    lower = known[known["corrected_high"] < 0]
    for some in (higher, lower):
        if len(some):
            yield f"corrected gap {_range(some)} in {joined_blocks(some)}"
    if len(open_ := known.drop(higher.index).drop(lower.index)):
        reach = np.abs(open_[["corrected_low", "corrected_high"]]).to_numpy().max()
        yield f"not resolved (|gap| below {rounded_up(reach)}) in {joined_blocks(open_)}"
    if len(unknown := rows.drop(known.index)):
        yield f"{_why_unknown(unknown, replicates)}, so no claim about {joined_blocks(unknown)}"


def _trend_said(network: str, reference: str, trends: pd.DataFrame | None) -> Iterator[str]:
    """How the corrected gap changes with depth, if that is known."""
    if trends is None or not len(trends):
        return
    mine = trends[(trends["network"] == network) & (trends["reference"] == reference) & (trends["gap"] == "corrected")]
    for row in mine.dropna(subset=["slope_low", "slope_high"]).itertuples():
        interval = f"95 % over images {row.slope_low:+.4f} … {row.slope_high:+.4f}"
        if row.slope_low <= 0 <= row.slope_high:
            yield f"no trend with depth is resolved ({interval} a block)"
        else:
            yield f"it changes by {row.slope:+.4f} a block of depth ({interval})"


def _range(rows: pd.DataFrame) -> str:
    """The gaps of some blocks, and what their intervals span."""
    low, high = rows["corrected_low"].min(), rows["corrected_high"].max()
    least, most = rows["corrected_gap"].min(), rows["corrected_gap"].max()
    if len(rows) == 1:
        return f"{least:+.3f} (95 % over images {low:+.3f} … {high:+.3f})"
    return f"{least:+.3f} … {most:+.3f} (95 % intervals over images, each by itself, within {low:+.3f} … {high:+.3f})"


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
    if rows["corrected_gap"].isna().all():
        return "no corrected index (it needs two images of a class, and a run that measured it)"
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
