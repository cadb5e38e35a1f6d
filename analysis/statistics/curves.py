"""Statistics of pruning curves from stored per-image correctness: nothing is run again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import integrate

from ..randomness import poisson_weights
from .significance import holm, mcnemar

CURVE = ["network", "block", "scope", "fill", "score", "per_image"]
"""What a pair of curves is of; `order` tells the two apart."""

POINT = [*CURVE, "order", "ratio"]

BOOTSTRAP = 1000
_CHUNK = 50


@dataclass(frozen=True)
class Curves:
    """Pruning curves of one or several networks on the same images.

    Args:
        table: rows of `pruning.csv`.
        correct: by network, bool (points, images), points in the order of the table's rows of that network.
        indices: (images,) of the images, increasing.
        labels: (images,) their classes.
        classes: names of the classes.
    """

    table: pd.DataFrame
    correct: Mapping[str, np.ndarray]
    indices: np.ndarray
    labels: np.ndarray
    classes: Sequence[str]

    def bits(self) -> Iterator[tuple[pd.Series, np.ndarray]]:
        """Each row of the table with its images' correctness."""
        places = dict.fromkeys(self.correct, 0)
        for _, row in self.table.iterrows():
            yield row, self.correct[row["network"]][places[row["network"]]]
            places[row["network"]] += 1


def areas(curves: Curves, seed: int = 0, replicates: int = BOOTSTRAP) -> pd.DataFrame:
    """The area between curves, block by block: the columns of `pruning_summary.csv`.

    `area` is the integral over the drop ratio from 0 to 1 of accuracy with the least important maps dropped first less
    accuracy with the most important first, by the trapezoid rule over the ratios measured: what knowing the order is
    worth. NaN where 0 or 1 was not measured.
    `area_random` is the same of a random order less most important first, where that was measured. Errors and 95 %
    intervals are of a paired Poisson bootstrap over images, with the same weights for every network: they cover the
    sampling of images, not that of trainings.

    Args:
        seed: of the bootstrap.
        replicates: of the bootstrap.

    Returns:
        network, block, scope, fill, score, per_image, images, drop_all (accuracy at ratio 0 less that at ratio 1),
        area, area_se, area_low, area_high, area_random, area_random_se, area_random_low, area_random_high.
    """
    rows, values = [], []
    for key, each in quantities(curves):
        whole = float(each["drop_all"].mean())
        rows.append(dict(zip(CURVE, key, strict=True)) | {"images": len(curves.indices), "drop_all": whole})
        values += [each["area"], each["area_random"]]
    if not rows:
        return pd.DataFrame()
    spread = iter(bootstrapped(values, curves.indices, seed, replicates))
    for row in rows:
        for name in ("area", "area_random"):
            estimates = next(spread)
            row |= {f"{name}{suffix}": value for suffix, value in estimates.items()}
    return pd.DataFrame(rows)


def quantities(curves: Curves) -> Iterator[tuple[tuple, dict[str, np.ndarray]]]:
    """For each score with a curve "most": what it is of, and each image's share in each number of `areas`, (images,).

    NaN where it was not measured.
    """
    nothing = np.full(len(curves.indices), np.nan)
    for key, lines, ends in _pairs(curves):
        whole = {0.0, 1.0} <= ends.keys()
        under = {order: _area(line | ends) for order, line in lines.items()} if whole else {}
        yield (
            key,
            {
                "drop_all": ends[0.0].astype(float) - ends[1.0] if whole else nothing,
                "area": under["least"] - under["most"] if "least" in under else nothing,
                "area_random": under["random"] - under["most"] if "random" in under else nothing,
            },
        )


def differences(curves: Curves, seed: int = 0, replicates: int = BOOTSTRAP) -> pd.DataFrame:
    """Paired differences between curves at each ratio: the columns of `pruning_differences.csv`.

    Returns:
        network, block, scope, fill, score, per_image, ratio, versus ("least" or "random": that order's accuracy less
        the one with the most important maps dropped first), difference, difference_se, difference_low,
        difference_high; errors as of `areas`.
    """
    rows, values = [], []
    for key, lines, _ in _pairs(curves):
        for order in ("least", "random"):
            for ratio in sorted(lines["most"].keys() & lines.get(order, {}).keys()):
                rows.append(dict(zip(CURVE, key, strict=True)) | {"ratio": ratio, "versus": order})
                values.append(lines[order][ratio].astype(float) - lines["most"][ratio])
    if not rows:
        return pd.DataFrame()
    spread = bootstrapped(values, curves.indices, seed, replicates)
    for row, estimates in zip(rows, spread, strict=True):
        row |= {f"difference{suffix}": value for suffix, value in estimates.items()}
    return pd.DataFrame(rows)


def _pairs(curves: Curves) -> Iterator[tuple[tuple, dict[str, dict[float, np.ndarray]], dict[float, np.ndarray]]]:
    """For each score with a curve "most": what it is of, its curves and the random one, and their common ends.

    A curve is correctness, bool (images,), by ratio.
    """
    ends: dict[tuple, dict[float, np.ndarray]] = {}
    lines: dict[tuple, dict[str, dict[float, np.ndarray]]] = {}
    for row, bits in curves.bits():
        key = tuple(row[name] for name in CURVE)
        if row["order"] == "none":
            ends.setdefault(key[:2], {})[row["ratio"]] = bits
        else:
            lines.setdefault(key, {}).setdefault(row["order"], {})[row["ratio"]] = bits
    random = {key[:2]: next(iter(orders.values())) for key, orders in lines.items() if key[4] == "random"}
    for key, orders in lines.items():
        if key[4] != "random" and "most" in orders:
            chance = {"random": random[key[:2]]} if key[:2] in random else {}
            yield key, orders | chance, ends.get(key[:2], {})


def _area(line: Mapping[float, np.ndarray]) -> np.ndarray:
    """Each image's integral of correctness over the ratio."""
    ratios = sorted(line)
    return integrate.trapezoid(np.stack([line[ratio].astype(float) for ratio in ratios]), ratios, axis=0)


def bootstrapped(
    values: Sequence[np.ndarray], indices: np.ndarray, seed: int, replicates: int
) -> list[dict[str, float]]:
    """For each (images,) its mean, and the mean's standard error and 95 % interval over the bootstrap."""
    table = np.stack(values, 1)
    draws = []
    for first in range(0, replicates, _CHUNK):
        weights = poisson_weights(seed, indices, min(_CHUNK, replicates - first), first).astype(np.float64)
        weights = weights[weights.any(1)]  # of very few images, a replicate may have none
        draws.append(weights @ table / weights.sum(1, keepdims=True))
    drawn = np.concatenate(draws)
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    columns = zip(table.mean(0), drawn.std(0, ddof=1), low, high, strict=True)
    return [dict(zip(("", "_se", "_low", "_high"), column, strict=True)) for column in columns]


def point_tests(curves: Curves) -> pd.DataFrame:
    """Each point against ratio 0 of the same network: the columns of `pruning_tests.csv`.

    McNemar's exact test on the images that are right at one of the two only, with Holm's correction over all points
    of all networks, blocks and scores: whichever of them a reader picks out, he has looked at all.

    Returns:
        network, block, scope, fill, score, per_image, order, ratio, lost (images right at ratio 0 only), gained (right
        at this point only), difference (accuracy less that at ratio 0), p, p_holm. Empty where ratio 0 was not
        measured.
    """
    rows: list[dict] = []
    intact: dict[str, np.ndarray] = {}
    for row, bits in curves.bits():
        if row["ratio"] == 0:
            intact.setdefault(row["network"], bits)
    for row, bits in curves.bits():
        if row["ratio"] > 0 and row["network"] in intact:
            lost, gained, p = mcnemar(intact[row["network"]], bits)
            tested = {"lost": lost, "gained": gained, "difference": (gained - lost) / len(bits), "p": p}
            rows.append({name: row[name] for name in POINT} | tested)
    table = pd.DataFrame(rows)
    if len(table):
        table["p_holm"] = holm(table["p"].to_numpy())
    return table


def class_curves(curves: Curves) -> pd.DataFrame:
    """The curves of each class by itself: the columns of `POINT`, then class, name, images, top1."""
    classes, members = np.unique(curves.labels, return_inverse=True)
    counts = np.bincount(members)
    rows = []
    for row, bits in curves.bits():
        right = np.bincount(members, weights=bits)
        rows.append(
            pd.DataFrame(
                {name: row[name] for name in POINT}
                | {
                    "class": classes,
                    "name": [str(curves.classes[label]) for label in classes],
                    "images": counts,
                    "top1": right / counts,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)
