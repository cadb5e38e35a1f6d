"""Statistics of gates: worked out by hand, right where the truth is known, equal to scipy's."""

import numpy as np
import pytest
from scipy import stats

from gelens.statistics.gates import (
    GateValues,
    gate_histogram,
    gate_profiles,
    rank_correlations,
    shares,
)


def values_of(gates: np.ndarray, labels: np.ndarray, indices=None) -> GateValues:
    return GateValues(np.asarray(gates, np.float32), labels, np.arange(len(labels)) if indices is None else indices)


def made(rng, channel: float, of_class: float, image: float, classes: int, per_class: int, channels: int):
    """Values whose standard deviations over channels, classes and images are given, and their labels."""
    labels = np.repeat(np.arange(classes), per_class)
    values = 0.5 + channel * rng.normal(size=channels) + of_class * rng.normal(size=(classes, channels))[labels]
    return (values + image * rng.normal(size=values.shape)).astype(np.float32), labels


def test_variances_by_hand():
    """Two channels, two classes of two images: means 0.2 and 0.6 by channel; ± 0.1 by class; ± 0.05 within."""
    labels = np.array([0, 0, 1, 1])
    base = np.array([0.2, 0.6]) + np.array([0.1, 0.1, -0.1, -0.1])[:, None] + 0.05 * np.array([1, -1, 1, -1])[:, None]
    within = 2 * 0.05**2
    noise = within / 2
    of_class, channel = 0.1**2 - noise / 2, 0.2**2 - noise / 2 / 2
    found = values_of(base.astype(np.float32), labels).variance()
    total = channel + of_class + within
    assert found["variance"] == pytest.approx(total, rel=1e-5)
    assert found["share_class"] == pytest.approx(of_class / total, rel=1e-5)
    assert found["share_input"] == pytest.approx((of_class + within) / total, rel=1e-5)


def test_a_gate_that_is_a_constant_of_its_channel_has_nothing_of_its_input():
    labels = np.arange(40) % 4
    gates = np.tile(np.linspace(0.1, 0.9, 6, dtype=np.float32), (40, 1))
    found = values_of(gates, labels).variance()
    assert found["share_channel"] == 1 and found["share_input"] == 0 and found["share_input_se"] == 0
    same = values_of(np.full((40, 6), 0.5), labels).variance()
    assert np.isnan(same["share_channel"]), "nothing varies, so nothing has a share"


@pytest.mark.parametrize("per_class", [12, 40])
@pytest.mark.parametrize("of_class", [0.0, 0.02, 0.1])
def test_shares_are_unbiased_and_their_errors_right(of_class, per_class):
    """30 data sets from one network each. Standard errors over the spread, which is known to 13 %: 0.87 to 1.16 were
    seen, but of the classes' share with 12 images a class 1.35 to 1.6."""
    rng = np.random.default_rng(0)
    channels, classes = 40, 10
    profile = 0.5 + 0.1 * rng.normal(size=channels) + of_class * rng.normal(size=(classes, channels))
    labels = np.repeat(np.arange(classes), per_class)
    truth = np.array([profile.mean(0).var(), profile.var(0).mean(), 0.05**2])
    rows = []
    for _ in range(30):
        values = profile[labels] + 0.05 * rng.normal(size=(len(labels), channels))
        rows.append(values_of(values.astype(np.float32), labels).variance())
    for name, value in shares(truth).items():
        found = np.array([row[f"share_{name}"] for row in rows])
        errors = np.array([row[f"share_{name}_se"] for row in rows])
        assert abs(found.mean() - value) < 0.003 + 0.02 * value, name
        if of_class:
            assert 0.7 < errors.mean() / found.std(ddof=1) < 1.7, (name, errors.mean() / found.std(ddof=1))


def test_variances_do_not_depend_on_the_order_of_images():
    rng = np.random.default_rng(1)
    gates, labels = made(rng, 0.1, 0.05, 0.05, 5, 8, 6)
    order = rng.permutation(len(labels))
    moved = values_of(gates[order], labels[order], order).variance()
    assert moved == pytest.approx(values_of(gates, labels).variance(), nan_ok=True)


def test_reliability_is_what_a_second_data_set_agrees_by():
    """By simulation: the correlation of the profiles of two whole data sets, and 0 where classes do not differ."""
    rng, agreed, said = np.random.default_rng(2), [], []
    classes, channels, per_class = 10, 30, 10
    for _ in range(20):
        profile = 0.04 * rng.normal(size=(classes, channels))
        labels = np.repeat(np.arange(classes), per_class)
        means = []
        for _ in range(2):
            values = (0.5 + profile[labels] + 0.1 * rng.normal(size=(len(labels), channels))).astype(np.float32)
            by_class = values.reshape(classes, per_class, channels).mean(1)
            means.append((by_class - by_class.mean(0)).ravel())
        agreed.append(np.corrcoef(*means)[0, 1])
        said.append(values_of(values, labels).profile_reliability())
    assert np.mean(said) == pytest.approx(np.mean(agreed), abs=0.05) and 0.4 < np.mean(agreed) < 0.8
    nothing, labels = made(rng, 0.1, 0.0, 0.1, 10, 10, 200)
    assert abs(values_of(nothing, labels).profile_reliability()) < 0.15


def test_rank_correlations_are_scipys():
    rng = np.random.default_rng(3)
    gates = rng.random((60, 3)).astype(np.float32)
    activity = np.stack([gates[:, 0] ** 3, -gates[:, 1], np.ones(60)], 1).astype(np.float32)
    labels = np.arange(60) % 3
    whole, within = rank_correlations(gates, activity, labels)
    assert whole[:2] == pytest.approx([1, -1]) and within[:2] == pytest.approx([1, -1]) and np.isnan(whole[2])
    other = rng.random((60, 3)).astype(np.float32)
    whole, _ = rank_correlations(gates, other, labels)
    assert whole == pytest.approx([stats.spearmanr(gates[:, at], other[:, at]).statistic for at in range(3)])


def test_what_classes_share_is_not_within_them():
    """Gate and activity that are both high on one class and unrelated within: together 0.6, within about 0."""
    rng = np.random.default_rng(4)
    labels = np.arange(2000) % 2
    gates, activity = (3 * labels[:, None] + rng.normal(size=(2000, 4)) for _ in range(2))
    whole, within = rank_correlations(gates, activity, labels)
    assert whole.min() > 0.5 and np.abs(within).max() < 0.12


def test_units_histogram_and_profiles():
    rng = np.random.default_rng(5)
    gates, labels = made(rng, 0.1, 0.0, 0.03, 4, 10, 5)
    gates[:, 0] = 0.3 + 0.2 * (labels == 1)  # of its class alone
    units = values_of(gates, labels).units(np.ones_like(gates))
    assert units["class_share"][0] == pytest.approx(1) and units["class_share"][1:].max() < 0.4
    assert units["mean"].to_numpy() == pytest.approx(gates.mean(0), rel=1e-5) and units["rank_correlation"].isna().all()
    assert "rank_correlation" not in values_of(gates, labels).units()
    histogram = gate_histogram(gates)
    assert histogram["share"].sum() == pytest.approx(1) and histogram["high"].iloc[-1] == 1
    profiles = gate_profiles(gates, labels, np.array([0, 3]), np.array([1, 2]))
    one = profiles[(profiles["unit"] == 0) & (profiles["class"] == 1)].iloc[0]
    assert one["mean"] == pytest.approx(0.5) and one["images"] == 10 and set(profiles["class"]) == {-1, 1, 2}
