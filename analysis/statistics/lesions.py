"""Do indices predict what a unit is for? Damage by lesions, and its agreement with indices against a noise ceiling."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike

from ..randomness import stratified_halves
from .registry import INDICES
from .resampling import Resampling
from .selectivity import unit_statistics

DAMAGES = ("loss", "loss_own", "loss_others", "logit_own", "accuracy", "accuracy_own")
"""What a lesion costs: growth of the loss on all images, on those of the unit's preferred class, on the others; fall of
the label's logit on its preferred class; accuracy on all, on its preferred class."""

OF_UNITS = ("csi", "csi_corrected", "active_fraction", "mu_max")
"""Columns of `selectivity.csv` that are held against damage, beside the other indices."""

BOOTSTRAP = 1000


def damages(lesions: Mapping[str, np.ndarray], right: np.ndarray, own: np.ndarray) -> pd.DataFrame:
    """(units, `DAMAGES`) means over images, positive where the lesion does harm.

    Args:
        lesions: `loss`, `logit` and `right`, (N, units), as `gelens.probes.lesions.Lesions` keeps them.
        right: (N,) whether the intact network is.
        own: (N, units) bool: whether an image is of the unit's preferred class. A unit without one has no damage there.
    """
    lost = right[:, None].astype(float) - lesions["right"]
    return pd.DataFrame(
        {
            "loss": lesions["loss"].mean(0, dtype=float),
            "loss_own": _mean_where(lesions["loss"], own),
            "loss_others": _mean_where(lesions["loss"], ~own),
            "logit_own": _mean_where(lesions["logit"], own),
            "accuracy": lost.mean(0),
            "accuracy_own": _mean_where(lost, own),
        }
    )


def _mean_where(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    number = chosen.sum(0)
    total = np.where(chosen, values, 0).sum(0, dtype=float)
    return np.divide(total, number, out=np.full(len(number), np.nan), where=number > 0)


def lesion_tables(
    activity: np.ndarray,
    lesions: Mapping[str, np.ndarray],
    right: np.ndarray,
    labels: np.ndarray,
    indices: np.ndarray,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Damage of each unit, and how far indices agree with it.

    Args:
        activity: (N, units) of the lesioned units.
        lesions, right: as of `damages`.
        labels, indices: (N,) of the images.

    Returns:
        A row for each unit: its place, top_class, csi, csi_corrected, and `DAMAGES` over all images. And a row for each
        index and damage: index, damage, units, images, correlation, low, high (95 % over units, by bootstrap), p (of 0,
        by the same bootstrap; NaN for damage on the own class), reliability_index, reliability_damage, ceiling,
        agreement.

        The correlation is Spearman's over units, of the index on one half of the images with the damage on the other,
        both ways averaged, so that no noise is shared. Reliabilities are the rank correlations of the two halves' index
        and of their damage; the ceiling is the root of their product, and agreement the correlation divided by it: 1
        where index and damage order units alike but for noise. NaN where a reliability is not above 0. The preferred
        class is that of the half that the index is of. Of a unit that is hardly selective it is often mistaken, and
        then the damage on it is small: that alone makes index and damage on the own class agree, by 0.07 to 0.6 in
        simulations where nothing else did, the more so the fewer images a class has. So that agreement has no p.
    """
    number = int(labels.max()) + 1
    whole = _table(activity, labels, indices, number, seed)
    own = labels[:, None] == whole["top_class"].to_numpy()
    units = whole[["unit", "top_class", "csi", "csi_corrected"]].join(damages(lesions, right, own))

    halves = stratified_halves(seed, labels, indices)
    one, other = halves == 0, halves == 1
    tables = [_table(activity[half], labels[half], indices[half], number, seed) for half in (one, other)]

    def damages_on(half: np.ndarray, preferred: pd.Series) -> pd.DataFrame:
        lesioned = {name: values[half] for name, values in lesions.items()}
        return damages(lesioned, right[half], labels[half][:, None] == preferred.to_numpy())

    # of each half, with the preferred class of the other, whose index it is held against
    crossed = [damages_on(other, tables[0]["top_class"]), damages_on(one, tables[1]["top_class"])]
    # for their own reliability the same units are asked for the same class
    same = [damages_on(half, whole["top_class"]) for half in (one, other)]
    rows = []
    for index in dict.fromkeys((*OF_UNITS, *INDICES)):
        if index not in tables[0]:
            continue
        values = [table[index].to_numpy() for table in tables]
        for damage in DAMAGES:
            held, again = ([each[damage].to_numpy() for each in both] for both in (crossed, same))
            row = {"index": index, "damage": damage, "units": len(units), "images": len(labels)}
            found = _agreement(values, held, again, seed)
            rows.append(row | found | ({"p": math.nan} if damage.endswith("_own") else {}))
    return units, pd.DataFrame(rows)


Halves = Sequence[np.ndarray]
"""Values of units, (U,), by each half of the images."""


def _agreement(index: Halves, damage: Halves, again: Halves, seed: int) -> dict[str, float]:
    """How far an index agrees with a damage, and how far the noise of both lets it.

    Args:
        damage: on the other half than the index beside it is of.
        again: the damages that its reliability is of.
    """
    pairs = list(zip(index, damage, strict=True))
    correlation = float(np.mean([_rank_correlation(*pair) for pair in pairs]))
    low, high, p = _over_units(pairs, seed)
    of_index, of_damage = _rank_correlation(*index), _rank_correlation(*again)
    ceiling = math.sqrt(of_index * of_damage) if min(of_index, of_damage) > 0 else math.nan
    return {
        "correlation": correlation,
        "low": low,
        "high": high,
        "p": p,
        "reliability_index": of_index,
        "reliability_damage": of_damage,
        "ceiling": ceiling,
        "agreement": correlation / ceiling,
    }


def class_orders(means: np.ndarray) -> np.ndarray:
    """(K, U) for each class the units, the one first whose activity is highest on it against the other classes.

    By (μ_k − the mean of the others' μ) / (their sum): for its preferred class that is a unit's index. Dead units last.

    Args:
        means: (K, U) class-conditional mean activities, not negative.
    """
    rest = (means.sum(0) - means) / (len(means) - 1)
    total = means + rest
    contrast = np.divide(means - rest, total, out=np.full(means.shape, -np.inf), where=total > 0)
    return np.argsort(-contrast, axis=1, kind="stable")


def targeted_table(targeted: np.ndarray, right: np.ndarray, counts: Sequence[int]) -> pd.DataFrame:
    """What it costs to drop k units that are selective for an image's own class, or for another one.

    Args:
        targeted: (N, 2 · counts) whether an image is right, without its own class's units first.
        right: (N,) whether the intact network is.

    Returns:
        k, own, own_low, own_high, own_se, and the same of another and of difference: accuracy lost, and how much more
        of it by the own class's units, with 95 % intervals and standard errors over images.
    """
    lost = right[:, None].astype(float) - targeted
    rows = []
    for at, count in enumerate(counts):
        own, another = lost[:, at], lost[:, len(counts) + at]
        row: dict[str, float] = {"k": count}
        for name, values in (("own", own), ("another", another), ("difference", own - another)):
            mean = values.mean()
            error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            row[name] = mean
            row[f"{name}_low"] = mean - 1.96 * error
            row[f"{name}_high"] = mean + 1.96 * error
            row[f"{name}_se"] = error
        rows.append(row)
    return pd.DataFrame(rows)


def _table(activity: np.ndarray, labels: np.ndarray, indices: np.ndarray, classes: int, seed: int) -> pd.DataFrame:
    """Of some images, each unit's indices."""
    found = unit_statistics(activity, Resampling(labels, indices, classes, seed, 0, 0), tuple(INDICES))
    others = found.others.pivot(index="unit", columns="index", values="value")
    return found.table.join(others.drop(columns=[name for name in others if name in found.table]), on="unit")


def _rank_correlation(one: ArrayLike, other: ArrayLike) -> float:
    """Spearman's, over units that have both; NaN of fewer than three or where one is constant."""
    first, second = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    known = ~np.isnan(first) & ~np.isnan(second)
    if known.sum() < 3 or np.ptp(first[known]) == 0 or np.ptp(second[known]) == 0:
        return float("nan")
    return float(scipy.stats.spearmanr(first[known], second[known]).statistic)


def _over_units(pairs: Sequence[tuple[np.ndarray, np.ndarray]], seed: int) -> tuple[float, float, float]:
    """95 % of the mean correlation over resamples of the units, ranked once, and the p of 0."""
    known = ~np.isnan(np.array(pairs)).any((0, 1))
    if known.sum() < 4:
        return float("nan"), float("nan"), float("nan")
    ranked = np.array([[scipy.stats.rankdata(values[known]) for values in pair] for pair in pairs])
    drawn = np.random.default_rng(seed).integers(0, known.sum(), (BOOTSTRAP, known.sum()))
    samples = ranked[:, :, drawn] - ranked[:, :, drawn].mean(-1, keepdims=True)
    scale = np.sqrt((samples**2).sum(-1).prod(1))
    with np.errstate(invalid="ignore"):
        each = (samples.prod(1).sum(-1) / scale).mean(0)
    each = each[np.isfinite(each)]
    if not len(each):
        return float("nan"), float("nan"), float("nan")
    low, high = np.quantile(each, (0.025, 0.975))
    beyond = min((each <= 0).sum(), (each >= 0).sum())
    return float(low), float(high), float(min(2 * (beyond + 1) / (len(each) + 1), 1))
