"""The formulas of the definitions page, written down as they stand there, against the code."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gelens.statistics import Resampling, unit_statistics
from gelens.statistics.calibration import Calibration, cover
from gelens.statistics.matching import matching_weights
from gelens.statistics.rarefaction import limits
from gelens.statistics.rotation import rotated
from gelens.statistics.trainings import between_trainings, over_trainings

LABELS = np.repeat(np.arange(4), 12)
CLASSES = range(4)


@pytest.fixture(scope="module")
def activity() -> np.ndarray:
    rng = np.random.default_rng(0)
    gains = rng.lognormal(0, 0.7, (4, 6))
    return np.maximum(rng.normal(0, 1, (48, 6)) * gains[LABELS], 0).astype(np.float32)


@pytest.fixture(scope="module")
def drawn() -> Resampling:
    return Resampling(LABELS, np.arange(48), classes=4, permutations=5, replicates=5)


@pytest.fixture(scope="module")
def found(activity, drawn):
    return unit_statistics(activity, drawn, ("csi", "ccmas", "auc", "mi", "precision"))


def index(means: np.ndarray) -> float:
    high = means.max()
    rest = np.delete(means, means.argmax()).mean()
    return (high - rest) / (high + rest)


def class_means(values: np.ndarray, labels: np.ndarray = LABELS) -> np.ndarray:
    return np.array([values[labels == k].astype(float).mean() for k in CLASSES])


@pytest.mark.parametrize("unit", range(6))
def test_index_null_and_correction(activity, drawn, found, unit):
    row, values = found.table.loc[unit], activity[:, unit]
    means = class_means(values)
    assert row["csi"] == pytest.approx(index(means))
    null = [index(class_means(values, permuted)) for permuted in drawn.null_labels]
    assert row["csi_null"] == pytest.approx(np.mean(null)) and row["csi_null_sd"] == pytest.approx(np.std(null, ddof=1))
    v = np.mean([values[k == LABELS].astype(float).var(ddof=1) / (k == LABELS).sum() for k in CLASSES])
    reliability = max(0, 1 - v / means.var(ddof=1))
    assert row["reliability"] == pytest.approx(reliability)
    assert row["csi_corrected"] == pytest.approx(index(means.mean() + np.sqrt(reliability) * (means - means.mean())))
    assert row["variation"] == pytest.approx(np.sqrt(v) / means.mean())


@pytest.mark.parametrize("unit", range(6))
def test_sparseness_of_class_means_and_where_it_is_refused(activity, found, unit):
    means = class_means(activity[:, unit])
    v = np.mean([activity[k == LABELS, unit].astype(float).var(ddof=1) / (k == LABELS).sum() for k in CLASSES])
    above, below = means.mean() ** 2 - v / 4, np.mean(means**2) - v
    expected = (1 - above / below) / (1 - 1 / 4), 4 * above / below
    c = v / means.mean() ** 2
    if (4 * c + 2 * c**2) / 4 > 0.03:
        expected = np.nan, np.nan
    row = found.table.loc[unit]
    assert (row["sparseness"], row["effective_classes"]) == pytest.approx(expected, nan_ok=True)


def test_sparseness_is_known_of_units_that_are_active_on_many_images():
    """Half of all images, 200 of each of four classes: c is 0.01."""
    labels = np.repeat(np.arange(4), 200)
    gains = np.array([3.0, 1.0, 1.0, 0.5])
    values = np.maximum(np.random.default_rng(1).normal(0, 1, 800) * gains[labels], 0).astype(np.float32)
    drawn = Resampling(labels, np.arange(800), classes=4, permutations=2, replicates=2)
    row = unit_statistics(values[:, None], drawn).table.loc[0]
    means = class_means(values, labels)
    v = np.mean([values[k == labels].astype(float).var(ddof=1) / 200 for k in CLASSES])
    above, below = means.mean() ** 2 - v / 4, np.mean(means**2) - v
    assert row["sparseness"] == pytest.approx((1 - above / below) / (1 - 1 / 4))
    assert row["effective_classes"] == pytest.approx(4 * above / below)


@pytest.mark.parametrize("unit", range(6))
def test_cross_fitted_index(activity, drawn, found, unit):
    values = activity[:, unit]
    first, second = (
        np.array([values[(k == LABELS) & (drawn.halves == half)].astype(float).mean() for k in CLASSES])
        for half in (0, 1)
    )
    high = (second[first.argmax()] + first[second.argmax()]) / 2
    rest = (np.delete(second, first.argmax()).mean() + np.delete(first, second.argmax()).mean()) / 2
    assert found.table["csi_crossfit"][unit] == pytest.approx((high - rest) / (high + rest))


@pytest.mark.parametrize("unit", range(6))
def test_other_indices(activity, found, unit):
    values = activity[:, unit].astype(float)
    named = found.others[found.others["unit"] == unit].set_index("index")["value"]
    best = class_means(values).argmax()
    inside, outside = values[best == LABELS].mean(), values[best != LABELS].mean()
    assert named["ccmas"] == pytest.approx((inside - outside) / (inside + outside))
    ranks = stats.rankdata(values)
    areas = [(ranks[k == LABELS].sum() - 12 * 13 / 2) / (12 * 36) for k in CLASSES]
    assert named["auc"] == pytest.approx(max(areas))
    groups = np.floor((ranks - 0.5) * 10 / 48).astype(int)
    joint = np.array([[((k == LABELS) & (groups == g)).mean() for g in range(10)] for k in CLASSES])
    apart = joint.sum(1, keepdims=True) * joint.sum(0)
    some = joint > 0
    assert named["mi"] == pytest.approx((joint[some] * np.log2(joint[some] / apart[some])).sum())
    # the largest class has 12 images; of the most active, at most 12, how many are of the commonest class
    first = np.argsort(-values, kind="stable")[: min(12, (values > 0).sum())]
    assert named["precision"] == pytest.approx(np.bincount(LABELS[first]).max() / len(first))


def test_matched_weights_are_the_lesser_share_of_each_bin():
    mine, theirs = np.array([0.1, 0.9, 0.9, 0.9]), np.array([0.1, 0.9])
    *weights, overlap = matching_weights(mine, theirs)
    p, q = np.array([1 / 4, 3 / 4]), np.array([1 / 2, 1 / 2])
    assert overlap == pytest.approx(np.minimum(p, q).sum())
    bins = np.minimum(p, q) / overlap
    np.testing.assert_allclose(weights[0], [bins[0], *[bins[1] / 3] * 3])
    np.testing.assert_allclose(weights[1], bins)


def test_errors_over_trainings():
    values, error, replicates = np.array([0.1, 0.3, 0.2]), 0.05, 100
    row = over_trainings(values[:, None], np.array([error]), replicates).iloc[0]
    variance = values.var(ddof=1) / 3 + error**2
    freedom = variance**2 / ((values.var(ddof=1) / 3) ** 2 / 2 + error**4 / (replicates - 1))
    seeds, images = (stats.t.ppf(0.975, each) for each in (2, replicates - 1))
    reach = np.sqrt(seeds**2 * values.var(ddof=1) / 3 + images**2 * error**2)
    assert (row["se"], row["df"]) == pytest.approx((np.sqrt(variance), freedom))
    assert (row["low"], row["high"]) == pytest.approx((values.mean() - reach, values.mean() + reach))


def test_errors_between_the_trainings_of_two_networks():
    mine, theirs, error, replicates = np.array([0.1, 0.3, 0.2]), np.array([0.4, 0.5, 0.7, 0.6]), 0.05, 100
    row = between_trainings((mine[:, None] - theirs)[:, :, None], np.array([error]), replicates).iloc[0]
    parts = mine.var(ddof=1) / 3, theirs.var(ddof=1) / 4
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 3)
    assert freedom == pytest.approx(stats.ttest_ind(mine, theirs, equal_var=False).df)
    reach = np.sqrt(stats.t.ppf(0.975, freedom) ** 2 * sum(parts) + stats.t.ppf(0.975, replicates - 1) ** 2 * error**2)
    mean = mine.mean() - theirs.mean()
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((mean, mean - reach, mean + reach))


def test_cover_of_a_biased_interval_is_that_of_the_worst_scale():
    biases, ratio, error, replicates = (0.01, -0.03, 0.02), 1.3, 0.02, 100
    nu = replicates - 1
    t = stats.t.ppf(0.975, nu)
    noncentral = [stats.nct(nu, b / (ratio * error)) for b in biases]
    held = [each.cdf(t / ratio) - each.cdf(-t / ratio) for each in noncentral]
    assert cover(Calibration(biases, ratio), error, nu) == pytest.approx(min(held))


def test_rotated_units_are_positive_parts_of_deviations_along_orthonormal_directions(activity):
    centred = activity - activity.mean(0)
    forwards, backwards = rotated(activity, 0, "block"), rotated(activity.mean(0) - centred, 0, "block")
    assert (forwards >= 0).all() and not (forwards * backwards).any()
    turned = forwards - backwards
    np.testing.assert_allclose(turned @ turned.T, centred @ centred.T, rtol=1e-4, atol=1e-4)
    assert np.abs(turned - centred).max() > 0.1


def test_limits_of_rarefaction():
    table = pd.DataFrame({"images_per_class": [20, 50], "mean_csi": [0.5, 0.4], "mean_corrected": [0.2, 0.2]})
    found = limits(table)
    for name, p in (("limit_in_n", 1), ("limit_in_root_n", 0.5)):
        assert found[name] == pytest.approx(0.4 - (0.5 - 0.4) / ((50 / 20) ** p - 1))
