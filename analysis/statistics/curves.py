"""Statistics of pruning curves from stored per-image correctness: nothing is run again."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import overload

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

IMAGES = 65_536
"""Images whose correctness is looked at a time; a multiple of 8, since it is kept as bits."""

COLUMNS = 128
"""Curves whose means are drawn at a time, or up to twice as many."""

ONE_IMAGE = slice(0, 1)
"""Of the images, where it is only asked which curves there are."""


class Bits:
    """Correctness (points, images) as bits, which take an eighth; indexed by a point, or by `[:, images]` for a part.

    Args:
        packed: (points, bytes) of `np.packbits`.
        images: how many there are.

    >>> bits = Bits(np.packbits(np.eye(3, 9, dtype=bool), axis=1), 9)
    >>> bits[1].tolist()[:3], bits[:, 0:8][1].shape
    ([False, True, False], (8,))
    """

    def __init__(self, packed: np.ndarray, images: int):
        self._packed = packed
        self.shape = (len(packed), images)

    @overload
    def __getitem__(self, key: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, key: tuple[slice, slice]) -> "Bits": ...

    def __getitem__(self, key):
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            return np.unpackbits(self._packed[key], count=self.shape[1]).astype(bool)
        points, images = key if isinstance(key, tuple) and len(key) == 2 else (None, None)
        if not isinstance(points, slice) or not isinstance(images, slice) or images.step not in (None, 1):
            raise TypeError(f"Expected a point, or slices of points and of images without a step, but got {key}")
        start, stop, _ = images.indices(self.shape[1])
        if start % 8:
            raise ValueError(f"Expected images to begin at a multiple of 8, but got {start}")
        return Bits(self._packed[points, start // 8 : -(-stop // 8)], max(stop - start, 0))


@dataclass(frozen=True)
class Curves:
    """Pruning curves of one or several networks on the same images.

    Args:
        table: rows of `pruning.csv`.
        correct: by network, bool (points, images) or `Bits`, points in the order of the table's rows of that network.
        indices: (images,) of the images, increasing.
        labels: (images,) their classes.
        classes: names of the classes.
    """

    table: pd.DataFrame
    correct: Mapping[str, np.ndarray | Bits]
    indices: np.ndarray
    labels: np.ndarray
    classes: Sequence[str]

    def of_images(self, part: slice) -> "Curves":
        """The same curves, of some of the images."""
        correct = {network: right[:, part] for network, right in self.correct.items()}
        return replace(self, correct=correct, indices=self.indices[part], labels=self.labels[part])

    def of_networks(self, labels: Iterable[str]) -> "Curves":
        """The curves of those of some networks that have any."""
        if self.table.empty:  # it may have no columns
            return self
        table = self.table[self.table["network"].isin(list(labels))]
        return replace(self, table=table, correct={each: self.correct[each] for each in table["network"].unique()})

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
        Network by network: network, block, scope, fill, score, per_image, images, drop_all (accuracy at ratio 0 less
        that at ratio 1), area, area_se, area_low, area_high, area_random, area_random_se, area_random_low,
        area_random_high.
    """
    images = len(curves.indices)
    lost = [
        [_drop_all(ends, len(some.indices)).sum() for _, _, ends in _pairs(some)]
        for some in map(curves.of_images, parts(images))
    ]
    rows = [
        dict(zip(CURVE, key, strict=True)) | {"images": images, "drop_all": float(whole)}
        for (key, _, _), whole in zip(_pairs(curves.of_images(ONE_IMAGE)), np.sum(lost, axis=0) / images, strict=True)
    ]
    if not rows:
        return pd.DataFrame()

    def values(part: slice) -> Iterator[np.ndarray]:
        for _, each in quantities(curves.of_images(part)):
            yield from (each["area"], each["area_random"])

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
                "drop_all": _drop_all(ends, len(curves.indices)),
                "area": under["least"] - under["most"] if "least" in under else nothing,
                "area_random": under["random"] - under["most"] if "random" in under else nothing,
            },
        )


def differences(curves: Curves, seed: int = 0, replicates: int = BOOTSTRAP) -> pd.DataFrame:
    """Paired differences between curves at each ratio: the columns of `pruning_differences.csv`.

    Returns:
        Network by network: network, block, scope, fill, score, per_image, ratio, versus ("least" or "random": that
        order's accuracy less the one with the most important maps dropped first), difference, difference_se,
        difference_low, difference_high; errors as of `areas`.
    """
    rows = [
        dict(zip(CURVE, key, strict=True)) | {"ratio": ratio, "versus": order}
        for key, lines, _ in _pairs(curves.of_images(ONE_IMAGE))
        for order, ratio in _versus(lines)
    ]
    if not rows:
        return pd.DataFrame()

    def values(part: slice) -> Iterator[np.ndarray]:
        for _, lines, _ in _pairs(curves.of_images(part)):
            for order, ratio in _versus(lines):
                yield lines[order][ratio].astype(float) - lines["most"][ratio]

    spread = bootstrapped(values, curves.indices, seed, replicates)
    for row, estimates in zip(rows, spread, strict=True):
        row |= {f"difference{suffix}": value for suffix, value in estimates.items()}
    return pd.DataFrame(rows)


def _pairs(curves: Curves) -> Iterator[tuple[tuple, dict[str, dict[float, np.ndarray]], dict[float, np.ndarray]]]:
    """For each score with a curve "most": what it is of, its curves and the random one, and their common ends.

    A curve is correctness, bool (images,), by ratio. Those of one network are looked at after those of another.
    """
    for network in curves.table["network"].unique() if len(curves.table) else ():
        yield from _pairs_of_one(curves.of_networks([network]))


def _pairs_of_one(
    curves: Curves,
) -> Iterator[tuple[tuple, dict[str, dict[float, np.ndarray]], dict[float, np.ndarray]]]:
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


def _versus(lines: Mapping[str, Mapping[float, np.ndarray]]) -> Iterator[tuple[str, float]]:
    """The orders and ratios at which there is one to compare with the most important first."""
    for order in ("least", "random"):
        for ratio in sorted(lines["most"].keys() & lines.get(order, {}).keys()):
            yield order, ratio


def _drop_all(ends: Mapping[float, np.ndarray], images: int) -> np.ndarray:
    """Each image's correctness at ratio 0 less that at 1, NaN where one of them was not measured."""
    return ends[0.0].astype(float) - ends[1.0] if {0.0, 1.0} <= ends.keys() else np.full(images, np.nan)


def _area(line: Mapping[float, np.ndarray]) -> np.ndarray:
    """Each image's integral of correctness over the ratio."""
    ratios = sorted(line)
    return integrate.trapezoid(np.stack([line[ratio].astype(float) for ratio in ratios]), ratios, axis=0)


def bootstrapped(
    values: Callable[[slice], Iterable[np.ndarray]], indices: np.ndarray, seed: int, replicates: int
) -> list[dict[str, float]]:
    """Means over images, and each mean's standard error and 95 % interval over the bootstrap.

    Images are taken in parts: each replicate's weights are drawn once for all means, and no more is kept than its sums.
    Sums of several parts differ in the last bits from those of all images at once.

    Args:
        values: of some images, each (images,) whose mean is asked for; the same ones, in the same order, of each part.
        indices: of all images.
    """
    chunks = [slice(first, min(first + _CHUNK, replicates)) for first in range(0, replicates, _CHUNK)]
    sums: np.ndarray | float = 0.0
    totals: np.ndarray | float = 0.0
    weighed = np.zeros(replicates)
    for part in parts(len(indices)):
        weights = [_weights(seed, indices[part], chunk) for chunk in chunks]
        drawn, total = [], []
        for some in _together(values(part)):
            table = np.stack(some, 1)
            total.append(table.sum(0))
            drawn.append(np.concatenate([each.astype(np.float64) @ table for each in weights]))
        sums = sums + np.concatenate(drawn, 1)
        totals = totals + np.concatenate(total)
        weighed = weighed + np.concatenate([each.sum(1, dtype=np.float64) for each in weights])
    weighty = weighed > 0  # of very few images, a replicate may have none
    drawn_means = np.asarray(sums)[weighty] / weighed[weighty, None]
    low, high = np.quantile(drawn_means, (0.025, 0.975), axis=0)
    columns = zip(np.asarray(totals) / len(indices), drawn_means.std(0, ddof=1), low, high, strict=True)
    return [dict(zip(("", "_se", "_low", "_high"), column, strict=True)) for column in columns]


def parts(images: int) -> Iterator[slice]:
    """`IMAGES` at a time."""
    for start in range(0, images, IMAGES):
        yield slice(start, min(start + IMAGES, images))


def _weights(seed: int, indices: np.ndarray, replicates: slice) -> np.ndarray:
    """(replicates, images) int8 of the bootstrap."""
    drawn = poisson_weights(seed, indices, replicates.stop - replicates.start, replicates.start)
    return drawn.astype(np.int8)


def _together(values: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """As many at a time as `COLUMNS`, the last ones with what is left."""
    waiting: list[np.ndarray] = []
    for each in values:
        if len(waiting) == 2 * COLUMNS:
            yield waiting[:COLUMNS]
            waiting = waiting[COLUMNS:]
        waiting.append(each)
    if waiting:
        yield waiting


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
