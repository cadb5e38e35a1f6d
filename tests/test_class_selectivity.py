"""The index by hand, by a slow double loop, by invariances, and against simulation."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.probes.class_selectivity import ClassSelectivity, block_means, crossfitted_index, selectivity_index
from analysis.randomness import permuted_labels, poisson_weights, stratified_halves
from analysis.statistics import comparison
from studies import selectivity_bias


def measured(features, labels, batch=7, device="cpu", classes=None, order=None, **settings) -> ClassSelectivity:
    """The metric over features in batches, with null labels and stratified halves."""
    features, labels = np.asarray(features, dtype=np.float32), np.asarray(labels)
    indices = np.arange(len(labels))
    metric = ClassSelectivity(classes or int(labels.max()) + 1, features.shape[1], **settings).to(device)
    null = torch.from_numpy(permuted_labels(metric.seed, labels, indices, metric.permutations))
    halves = torch.from_numpy(stratified_halves(metric.seed, labels, indices))
    order = np.arange(len(labels)) if order is None else order
    for at in np.split(order, range(batch, len(order), batch)):
        metric.update(
            torch.from_numpy(features[at]).to(device),
            torch.from_numpy(labels[at]).to(device),
            torch.from_numpy(indices[at]),
            null[:, at],
            halves[at],
        )
    return metric


def slow_index(features, labels) -> list[float]:
    """The definition as two loops."""
    result = []
    for unit in range(features.shape[1]):
        means = {}
        for label in sorted(set(labels)):
            values = [float(features[image, unit]) for image in range(len(labels)) if labels[image] == label]
            means[label] = sum(values) / len(values)
        best = max(means, key=lambda label: means[label])
        rest = [means[label] for label in means if label != best]
        low = sum(rest) / len(rest)
        total = means[best] + low
        result.append((means[best] - low) / total if total else float("nan"))
    return result


def test_by_hand():
    """Unit 0 prefers class 2; 1 is dead; 2 has two equal best classes; 3 answers to one class alone."""
    features = [[1, 0, 2, 0], [3, 0, 2, 0], [2, 0, 2, 5], [4, 0, 0, 0], [8, 0, 0, 0], [6, 0, 0, 0]]
    labels = [0, 0, 1, 2, 2, 2]  # unequal class sizes: means of unit 0 are 2, 2, 6
    table = measured(features, labels).compute()
    assert table["csi"].to_numpy() == pytest.approx([0.5, np.nan, 1 / 3, 1.0], nan_ok=True)
    assert table["mu_max"].tolist() == [6, 0, 2, 5]
    assert table["mu_rest"].tolist() == [2, 0, 1, 0]
    assert table["top_class"].tolist() == [2, -1, 0, 1]
    assert table["active_fraction"].to_numpy() == pytest.approx([1, 0, 0.5, 1 / 6])


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_equals_a_slow_double_loop(classes, seed, activity):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, 20)])
    features = (rng.random((len(labels), 3)) * (rng.random((len(labels), 3)) < activity)).astype(np.float32)
    table = measured(features, labels, permutations=0, replicates=0).compute()
    # sums of float32 in float64: the same numbers but for the order of additions
    assert table["csi"].to_numpy() == pytest.approx(slow_index(features, labels), rel=1e-12, nan_ok=True)


def test_on_every_device_and_in_any_order_and_batching(device):
    rng = np.random.default_rng(0)
    features, labels = rng.random((90, 5)), rng.integers(0, 4, 90)
    expected = measured(features, labels).compute()
    place = "cpu" if device == "mps" else device
    for batch, order in ((90, None), (1, None), (13, rng.permutation(90))):
        table = measured(features, labels, batch, place, order=order).compute()
        pd.testing.assert_frame_equal(table, expected, rtol=1e-12)


def test_merging_two_halves_of_the_data_is_measuring_it_whole():
    rng = np.random.default_rng(0)
    features, labels = rng.random((60, 4)), rng.integers(0, 3, 60)
    whole = measured(features, labels)
    parts = [measured(features, labels, order=part) for part in (np.arange(25), np.arange(25, 60))]
    parts[0].merge_state(parts[1])
    pd.testing.assert_frame_equal(parts[0].compute(), whole.compute(), rtol=1e-12)


def test_state_is_saved_and_restored():
    rng = np.random.default_rng(0)
    metric = measured(rng.random((30, 4)), np.arange(30) % 3)
    again = ClassSelectivity(3, 4)
    again.load_state_dict(metric.state_dict())
    pd.testing.assert_frame_equal(again.compute(), metric.compute())


def test_the_slow_way_of_null_crossfit_and_bootstrap():
    rng = np.random.default_rng(5)
    features, labels = rng.random((80, 3)).astype(np.float32), rng.integers(0, 4, 80)
    metric = measured(features, labels, permutations=3, replicates=4, seed=9)
    table, indices = metric.compute(), np.arange(80)
    nulls = [slow_index(features, row) for row in permuted_labels(9, labels, indices, 3)]
    assert table["csi_null"].to_numpy() == pytest.approx(np.mean(nulls, 0))
    assert table["csi_null_sd"].to_numpy() == pytest.approx(np.std(nulls, 0, ddof=1))
    halves = stratified_halves(9, labels, indices)
    means = np.array(
        [[features[(halves == half) & (labels == label)].mean(0) for label in range(4)] for half in (0, 1)]
    )
    for unit in range(3):
        high = low = 0.0
        for chosen, other in ((0, 1), (1, 0)):
            best = int(means[chosen, :, unit].argmax())
            high += means[other, best, unit] / 2
            low += np.delete(means[other, :, unit], best).mean() / 2
        assert table["csi_crossfit"][unit] == pytest.approx((high - low) / (high + low), rel=1e-5)
    replicates = []
    for weights in poisson_weights(9, indices, 4):
        repeated = np.repeat(indices, weights)
        replicates.append(slow_index(features[repeated], labels[repeated]))
    assert table["csi_se"].to_numpy() == pytest.approx(np.std(replicates, 0, ddof=1))


def test_classes_without_images_are_left_out():
    features, labels = np.random.default_rng(0).random((40, 2)), np.arange(40) % 2 * 3
    table = measured(features, labels, classes=5).compute()
    assert table["csi"].to_numpy() == pytest.approx(slow_index(np.float32(features), labels))
    assert set(table["top_class"]) <= {0, 3}


def test_one_image_a_class_has_no_null_and_no_error():
    table = measured(np.random.default_rng(0).random((6, 2)), np.arange(6)).compute()
    assert table["csi"].notna().all()
    assert table[["csi_null", "csi_se"]].isna().all(axis=None)


def test_negative_activities_are_refused_with_layer_and_minimum_unless_rectified():
    features, labels = [[1.0], [-2.5], [2.0], [3.0]], [0, 0, 1, 1]
    with pytest.raises(ValueError, match=r"`layer3\.1`.*minimum -2\.5"):
        measured(features, labels, name="layer3.1").compute()
    assert measured(features, labels, rectify=True).compute()["csi"][0] == pytest.approx((2.5 - 0.5) / 3)


def test_activities_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="1 activities that are NaN or infinite"):
        measured([[1.0], [float("nan")]], [0, 1]).compute()


def test_one_class_is_an_error():
    with pytest.raises(ValueError, match="1 classes with images"):
        measured([[1.0], [2.0]], [0, 0]).compute()


def test_scaling_and_relabelling_change_nothing():
    rng = np.random.default_rng(1)
    features, labels = rng.random((50, 3)), rng.integers(0, 5, 50)
    table = measured(features, labels).compute()
    scaled = measured(features * 4, labels).compute()  # a power of two: exact in floating point
    assert np.array_equal(scaled["csi"], table["csi"])
    swap = np.array([3, 0, 4, 1, 2])
    relabelled = measured(features, swap[labels], permutations=0, replicates=0).compute()
    assert relabelled["csi"].to_numpy() == pytest.approx(table["csi"].to_numpy(), rel=1e-12)
    assert np.array_equal(relabelled["top_class"], swap[table["top_class"]])


@pytest.mark.parametrize("active, index, crossfit", [(0.5, 0.27, -0.01), (0.16, 0.48, -0.05)])
def test_units_without_a_class_have_no_excess(active, index, crossfit):
    """1000 classes × 50 images of half-normal activity: the index is all bias, and the null knows it.

    The expected values are the project's specification's, simulated apart from this code.
    """
    rng = np.random.default_rng(0)
    units = 200
    features = np.abs(rng.standard_normal((50_000, units))) * (rng.random((50_000, units)) < active)
    labels = np.repeat(np.arange(1000), 50)
    table = measured(features, labels, batch=5000, permutations=4, replicates=0).compute()
    assert table["csi"].mean() == pytest.approx(index, abs=0.04)
    assert (table["csi"] - table["csi_null"]).mean() == pytest.approx(0, abs=0.02)
    assert table["csi_crossfit"].mean() == pytest.approx(crossfit, abs=0.04)


@pytest.mark.parametrize("strength", [0.0, 0.3, 2.0], ids=["none", "weak", "strong"])
def test_bootstrap_errors_match_the_spread_over_data_sets(strength):
    """A block's mean and single units over 60 data sets of 400 images: mean bootstrap error / spread, within a third.

    Ten replicates leave an error of 24 % on one s.e.; over 60 data sets and 8 units it averages out. Without a signal
    the maximum moves less from one data set to another than from one resampling to another.
    """
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(8), 50)
    signal = strength * rng.random((8, 8))
    means, errors, units, unit_errors = [], [], [], []
    for seed in range(60):
        features = np.abs(signal[labels] + 0.7 * rng.standard_normal((400, 8)))
        metric = measured(features, labels, batch=400, permutations=0, seed=seed)
        table = metric.compute()
        summary = block_means(table, metric.samples())
        means.append(summary["mean_csi"])
        errors.append(summary["mean_csi_se"])
        units.append(table["csi"])
        unit_errors.append(table["csi_se"])
    of_mean = np.mean(errors) / np.std(means, ddof=1)
    of_unit = np.mean(unit_errors) / np.std(units, 0, ddof=1).mean()
    print(strength, of_mean, of_unit)
    assert 0.67 < of_mean < 1.5 and 0.67 < of_unit < 1.5


@pytest.mark.parametrize("active, preference", [(0.5, 1), (0.2, 1), (0.5, 2), (0.2, 3), (0.2, 5)])
def test_index_and_crossfitted_index_bracket_the_truth(active, preference):
    """40 classes × 50 images, means over 100 units: index ≥ truth ≥ cross-fitted, and the null is all there is of
    units that know no class."""
    row = selectivity_bias.simulate(active, preference, classes=40, images=50, units=400)
    # standard errors of these means are 0.004; where the signal is strong, the index is a concave function of a noisy
    # mean and errs low by 0.009 (half its second derivative times the variance of the mean)
    assert row["index"] + 0.02 >= row["truth"] >= row["cross-fitted"] - 0.02
    if preference == 1:
        assert row["excess"] == pytest.approx(0, abs=0.01) and row["index"] > 0.1


def test_the_mean_null_is_the_index_of_simulated_units_without_a_class():
    """Shuffled labels make of a unit with a class what a unit of the same activities without one would be."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), 30)
    signal = np.abs(rng.standard_normal((600, 50))) * (1 + 3 * (labels[:, None] == np.arange(50) % 20))
    without = rng.permuted(signal, axis=0)
    null = measured(signal, labels, batch=600, replicates=0).compute()["csi_null"]
    simulated = measured(without, labels, batch=600, permutations=0, replicates=0).compute()["csi"]
    error = np.hypot(null.std() / np.sqrt(50), simulated.std() / np.sqrt(50))
    assert abs(null.mean() - simulated.mean()) < 4 * error


def test_gap_of_a_network_with_itself_is_nothing_and_of_others_is_the_difference():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 4
    tables, samples = [], {}
    for network, block, strength in (
        ("a", "one", 0.2),
        ("a", "two", 0.2),
        ("b", "one", 0.2),
        ("b", "two", 2.0),
        ("c", "one", 0.2),
        ("c", "two", 0.2),
    ):
        noise = np.random.default_rng(3).random((200, 6)) if network != "b" else rng.random((200, 6))
        features = noise + strength * (labels[:, None] == 1)
        metric = measured(features, labels, batch=50)
        table = metric.compute()
        table.insert(0, "block", block)
        table.insert(0, "network", network)
        tables.append(table)
        samples[network, block] = metric.samples()
    blocks = pd.DataFrame(
        [{"network": network, "block": block, "depth": 1 + (block == "two")} for network, block in samples]
    )
    gaps, trends = comparison.selectivity_gaps(pd.concat(tables), blocks, samples, "a")
    same = gaps[gaps["network"] == "c"]
    assert (same[["mean_gap", "mean_gap_se", "excess_gap", "wasserstein", "ks"]] == 0).all(axis=None)
    row = gaps[(gaps["network"] == "b") & (gaps["block"] == "two")].iloc[0]
    expected = tables[3]["csi"].mean() - tables[1]["csi"].mean()
    assert row["mean_gap"] == pytest.approx(expected) and row["mean_gap"] > 5 * row["mean_gap_se"] > 0
    first = gaps[(gaps["network"] == "b") & (gaps["block"] == "one")].iloc[0]
    slope = trends[(trends["network"] == "b") & (trends["gap"] == "mean")].iloc[0]
    assert slope["slope"] == pytest.approx(row["mean_gap"] - first["mean_gap"])  # two blocks, one apart


def test_crossfit_needs_two_classes_in_both_halves():
    means = np.ones((2, 3, 1))
    present = np.array([[True, True, False], [False, True, True]])
    assert np.isnan(crossfitted_index(means, present)).all()
    assert selectivity_index(np.array([[0.0], [0.0]]))[3].tolist() == [-1]


@pytest.mark.parametrize("label", [-1, 12])
def test_labels_outside_the_classes_are_refused_and_enter_no_other_class(label):
    metric = ClassSelectivity(4, 1, permutations=0, replicates=0)
    features = torch.ones(5, 1)
    metric.update(features, torch.tensor([0, 1, 2, 3, label]), torch.arange(5))
    with pytest.raises(ValueError, match=r"1 labels are outside 0 … 3"):
        metric.compute()


def test_the_crossfitted_index_does_not_hang_on_the_numbering_of_classes():
    """A unit silent in one half: its preferred class is undecided there, whatever the classes are called."""
    means = np.zeros((2, 4, 4))
    for unit in range(4):
        means[0, unit, unit] = 1.0  # unit u is active for class u in the first half only
    index = crossfitted_index(means)
    assert np.allclose(index, index[0])


def test_sparse_numbering_simulation_of_crossfit_is_unchanged_by_relabelling():
    rng = np.random.default_rng(0)
    features = rng.random((60, 5)) * (rng.random((60, 5)) < 0.03)
    labels = np.arange(60) % 6
    swap = np.array([5, 3, 1, 0, 2, 4])
    halves = torch.from_numpy(stratified_halves(0, labels, np.arange(60)))
    tables = []
    for numbering in (labels, swap[labels]):
        metric = ClassSelectivity(6, 5, permutations=0, replicates=0)
        tensors = torch.from_numpy(features), torch.from_numpy(numbering), torch.arange(60)
        metric.update(*tensors, halves=halves)
        tables.append(metric.compute()["csi_crossfit"].to_numpy())
    assert np.allclose(*tables, equal_nan=True)


@pytest.mark.parametrize(
    "gaps, errors, said",
    [
        ((0.1, 0.05, 0.04), (0.01, 0.01, 0.01), "units are more class selective"),
        ((-0.1, -0.05, -0.04), (0.01, 0.01, 0.01), "units are less class selective"),
        ((0.1, 0.05, 0.01), (0.01, 0.01, 0.01), "the index is higher, but not by every measure"),
        ((0.1, -0.05, -0.04), (0.01, 0.01, 0.01), "the index is higher, but not by every measure"),
        ((0.02, 0.05, 0.04), (0.01, 0.01, 0.01), "no difference beyond the sampling of images"),
        ((0.1, 0.05, 0.04), (float("nan"), float("nan"), float("nan")), "no standard errors"),
        ((0.1, float("nan"), 0.04), (0.01, float("nan"), 0.01), "no null or no cross-fitted index"),
    ],
)
def test_findings_claim_no_more_than_the_numbers(gaps, errors, said):
    """95 % intervals of 10 replicates reach 2.262 standard errors."""
    kinds = ("mean", "excess", "crossfit")
    row = {"block": "layer3.0", "network": "a", "reference": "b"}
    row |= {f"{kind}_gap": gap for kind, gap in zip(kinds, gaps, strict=True)}
    row |= {f"{kind}_gap_se": error for kind, error in zip(kinds, errors, strict=True)}
    (line,) = comparison.sentences(pd.DataFrame([row]), 10)
    assert line.startswith(f"layer3.0: a against b: {said}")


def test_shared_weights_are_the_metrics_own():
    """Weights drawn once for several metrics change nothing."""
    rng = np.random.default_rng(0)
    features, labels = torch.from_numpy(rng.random((50, 4))).float(), torch.from_numpy(rng.integers(0, 5, 50))
    indices = torch.arange(50) * 3
    own, shared = (ClassSelectivity(5, 4, permutations=0, replicates=3, seed=2) for _ in range(2))
    own.update(features, labels, indices)
    shared.update(features, labels, indices, weights=torch.from_numpy(poisson_weights(2, indices.numpy(), 3)))
    assert torch.equal(own.boot_sums, shared.boot_sums) and torch.equal(own.boot_counts, shared.boot_counts)
