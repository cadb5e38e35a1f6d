"""Networks compared by selectivity, on the same images: gap by block, distances of distributions, trend with depth."""

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from analysis.errors import UsageError
from analysis.probes.class_selectivity import over_units, spread

log = logging.getLogger(__name__)

KINDS = ("mean", "excess", "crossfit")
"""The index as it is, less its null, and cross-fitted."""

Samples = Mapping[tuple[str, str], Mapping[str, np.ndarray]]
"""By (network, block): what `ClassSelectivity.samples` gives."""


def selectivity_gaps(
    selectivity: pd.DataFrame, blocks: pd.DataFrame, samples: Samples, reference: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The gaps of every other network to `reference`, block by block, and their trends with depth.

    A gap is the mean over units of the network less that of the reference. Standard errors are over bootstrap
    replicates of the images, drawn alike for both networks; that of an excess gap adds the variance of the mean null
    over its permutations. They cover the sampling of images, not of trainings. Wasserstein-1 and Kolmogorov–Smirnov
    distances describe the two distributions of units, without p-values, since units are not independent; the columns
    ending in `_halves` hold the same distance between two halves of the network's own images.

    Args:
        selectivity: rows of `selectivity.csv`.
        blocks: rows of `selectivity_blocks.csv`, for each block's depth.
        samples: by (network, block).
        reference: label of the network that the others are compared with.

    Returns:
        `selectivity_gap.csv`: block, depth, network, reference, mean_gap, mean_gap_se, excess_gap, excess_gap_se,
        crossfit_gap, crossfit_gap_se, wasserstein, wasserstein_halves, ks, ks_halves.
        `selectivity_trend.csv`: network, reference, gap, slope (per block of depth), slope_se, slope_low, slope_high
        (95 %, by t).

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
        values = {kind: np.empty(len(depths)) for kind in KINDS}
        draws = {kind: [] for kind in (*KINDS, "null")}
        for at, (block, depth) in enumerate(depths.items()):
            mine, theirs = (_summary(units[name, block], samples[name, block]) for name in (network, reference))
            row = {"block": block, "depth": depth, "network": network, "reference": reference}
            for kind in KINDS:
                values[kind][at] = mine[kind] - theirs[kind]
            for kind in ("mean", "crossfit", "null"):
                draws[kind].append(mine["draws"][kind] - theirs["draws"][kind])
            draws["excess"].append(draws["mean"][-1])
            for kind in KINDS:
                row[f"{kind}_gap"] = values[kind][at]
                row[f"{kind}_gap_se"] = _error(draws[kind][-1], draws["null"][-1] if kind == "excess" else None)
            gaps.append(row | _distances(units[network, block], units[reference, block], samples[network, block]))
        trends += [
            _trend(network, reference, kind, np.array(list(depths.values())), values[kind], draws)
            for kind in KINDS
            if len(depths) > 1
        ]
    return pd.DataFrame(gaps), pd.DataFrame(trends)


def sentences(gaps: pd.DataFrame, replicates: int) -> list[str]:
    """What the gaps say, a line for each network and block, claiming no more than the numbers do.

    A direction is named only where the 95 % intervals of the gap as it is, in excess of the null and cross-fitted all
    leave out 0 on the same side: the index errs high and the cross-fitted one low, so that the two bracket the truth.

    Args:
        gaps: rows of `selectivity_gap.csv`.
        replicates: of the bootstrap.
    """
    reach = half_width(replicates)
    lines = []
    for row in gaps.to_dict("records"):
        ends = {kind: (row[f"{kind}_gap"], reach * row[f"{kind}_gap_se"]) for kind in KINDS}
        sides = [np.sign(gap) if abs(gap) > half else 0 for gap, half in ends.values()]
        gap, half = ends["mean"]
        numbers = f"gap {gap:+.3f}"
        if np.isnan(half):
            said = "no standard errors (too few images a class, or no replicates), so no claim"
        elif np.isnan([value for pair in ends.values() for value in pair]).any():
            known = {"cross-fitted": ends["crossfit"], "in excess of the null": ends["excess"]}
            numbers += f" ± {half:.3f}" + "".join(
                f", {name} {value:+.3f} ± {reach:.3f}" for name, (value, reach) in known.items() if not np.isnan(reach)
            )
            said = "no null or no cross-fitted index to compare as well, so no claim"
        else:
            numbers += (
                f" ± {half:.3f}, in excess of the null {ends['excess'][0]:+.3f} ± {ends['excess'][1]:.3f}, "
                f"cross-fitted {ends['crossfit'][0]:+.3f} ± {ends['crossfit'][1]:.3f}"
            )
            if len(set(sides)) == 1 and sides[0]:
                direction = "more" if sides[0] > 0 else "less"
                said = f"units are {direction} class selective on average, by all three measures"
            elif sides[0]:
                direction = "higher" if sides[0] > 0 else "lower"
                said = f"the index is {direction}, but not by every measure: sparsity or noise may be why"
            else:
                said = "no difference beyond the sampling of images"
        lines.append(f"{row['block']}: {row['network']} against {row['reference']}: {said} ({numbers})")
    return lines


def _summary(units: pd.DataFrame, samples: Mapping[str, np.ndarray]) -> dict:
    alive = units["csi"].notna().to_numpy()
    return {
        "mean": units["csi"].mean(),
        "excess": (units["csi"] - units["csi_null"]).mean(),
        "crossfit": units["csi_crossfit"].mean(),
        "draws": {
            "mean": over_units(samples["csi"], alive),
            "crossfit": over_units(samples["crossfit"], alive),
            "null": over_units(samples["null"], alive),
        },
    }


def _error(replicates: np.ndarray, null: np.ndarray | None) -> float:
    variance = float(spread(replicates)) ** 2
    if null is not None:
        variance += float(spread(null)) ** 2 / max(len(null), 1)
    return float(np.sqrt(variance))


def _distances(mine: pd.DataFrame, theirs: pd.DataFrame, samples: Mapping[str, np.ndarray]) -> dict[str, float]:
    pairs = {"": (mine["csi"], theirs["csi"]), "_halves": samples["halves"]}
    row = {}
    for suffix, (first, second) in pairs.items():
        first, second = (values[~np.isnan(values)] for values in (np.asarray(first), np.asarray(second)))
        measurable = len(first) and len(second)
        row[f"wasserstein{suffix}"] = stats.wasserstein_distance(first, second) if measurable else np.nan
        row[f"ks{suffix}"] = stats.ks_2samp(first, second).statistic if measurable else np.nan
    order = ("wasserstein", "wasserstein_halves", "ks", "ks_halves")
    return {name: row[name] for name in order}


def _trend(network: str, reference: str, kind: str, depth: np.ndarray, values: np.ndarray, draws: dict) -> dict:
    centred = depth - depth.mean()
    weights = centred / (centred**2).sum()  # the least-squares slope is linear in the gaps
    slope = float(values @ weights)
    null = np.stack(draws["null"], 1) @ weights if kind == "excess" else None
    error = _error(np.stack(draws[kind], 1) @ weights, null)
    reach = error * half_width(len(draws[kind][0]))
    return {
        "network": network,
        "reference": reference,
        "gap": kind,
        "slope": slope,
        "slope_se": error,
        "slope_low": slope - reach,
        "slope_high": slope + reach,
    }


def half_width(replicates: int, level: float = 0.95) -> float:
    """Half the width of an interval in standard errors, by t with replicates − 1 degrees of freedom.

    >>> round(half_width(10), 3)
    2.262
    """
    return float(stats.t.ppf((1 + level) / 2, max(replicates - 1, 1)))
