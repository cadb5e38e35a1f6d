"""The other indices, exactly: scipy's U, scikit-learn's information, and images repeated as often as they weigh."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import mannwhitneyu, rankdata
from sklearn.metrics import mutual_info_score

from gelens.statistics import INDICES, Resampling, unit_statistics
from gelens.statistics.ranks import Ranking, information, joint_counts, quantile_groups
from gelens.statistics.registry import OF_SUMS, ccmas
from gelens.statistics.top_images import first_of, precision
from gelens.statistics.units import Units

from .conftest import activities

ACTIVITY = arrays.arrays(np.float32, st.integers(1, 60), elements=st.sampled_from([0, -0.0, 0.5, 1, 2, 1e-30, 3e5]))


@pytest.fixture(scope="module")
def done():
    activity, labels = activities(seed=3)
    mine = Resampling(labels, np.arange(300), 5, 1, 3, 3)
    return activity, mine, unit_statistics(activity, mine, list(INDICES)).others


def rows_of(others, name):
    return others[others["index"] == name].set_index("unit").drop(index=5)  # the dead one


def area(activity: np.ndarray, labels: np.ndarray, classes: int = 5) -> np.ndarray:
    """(K,) by scipy's Mann–Whitney U, which computes in the precision that it is given."""
    activity = activity.astype(float)
    parts = [(activity[labels == k], activity[labels != k]) for k in range(classes)]
    return np.array([mannwhitneyu(own, rest).statistic / len(own) / len(rest) for own, rest in parts])


def test_every_index_says_what_it_is():
    for index in INDICES.values():
        assert index.definition and index.source and index.range


@given(ACTIVITY)
@settings(max_examples=60, deadline=None)
def test_mid_ranks_are_scipys(activity):
    assert (Ranking(activity).mid_ranks() == rankdata(activity)).all()


def test_areas_are_mann_whitneys(done):
    activity, mine, others = done
    rows = rows_of(others, "auc")
    for unit, row in rows.iterrows():
        areas = area(activity[:, unit], mine.labels)
        assert row["value"] == pytest.approx(areas.max(), abs=1e-12) and row["top_class"] == areas.argmax()
        null = [area(activity[:, unit], labels).max() for labels in mine.null_labels]
        assert row["null"] == pytest.approx(np.mean(null)) and row["null_sd"] == pytest.approx(np.std(null, ddof=1))
        again = [area(np.repeat(activity[:, unit], w), np.repeat(mine.labels, w)).max() for w in mine.weights]
        assert row["se"] == pytest.approx(np.std(again, ddof=1))
    assert rows["resolution"].isna().all()


@given(ACTIVITY, st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_weighted_areas_are_those_of_repeated_images(activity, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, len(activity))
    weights = rng.integers(0, 3, len(activity))
    sizes = np.bincount(labels, weights=weights, minlength=3)
    (found,) = Ranking(activity).weighted_areas(weights[None], labels, sizes[None])
    repeated, classes = np.repeat(activity.astype(float), weights), np.repeat(labels, weights)
    for k in range(3):
        own, rest = repeated[classes == k], repeated[classes != k]
        if len(own) and len(rest):
            assert found[k] == pytest.approx(mannwhitneyu(own, rest).statistic / len(own) / len(rest))
        else:
            assert np.isnan(found[k])


def areas_by_a_loop(activity: np.ndarray, weights: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """(R, K), one replicate after the other: cumulated weights in the order of activity, equals half."""
    order = np.argsort(activity, kind="stable")
    ordered = activity[order]
    first, last = np.searchsorted(ordered, ordered, "left"), np.searchsorted(ordered, ordered, "right")
    found = np.full((len(weights), classes), np.nan)
    for row, own in enumerate(weights[:, order]):
        cumulated = np.append(0, np.cumsum(own))
        wins = np.bincount(labels[order], own * (cumulated[first] + cumulated[last]) / 2, classes)
        sizes = np.bincount(labels[order], own, classes)
        pairs = sizes * (own.sum() - sizes)
        np.divide(wins - sizes**2 / 2, pairs, out=found[row], where=pairs > 0)
    return found


@given(st.integers(1, 400), st.integers(1, 6), st.integers(1, 40), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_weighted_areas_are_those_of_a_loop_to_the_bit(images, classes, values, seed):
    """Few values make long runs of equals, the lowest among them; parts of places end anywhere in them."""
    rng = np.random.default_rng(seed)
    activity = rng.integers(0, values, images).astype(np.float32)
    labels = rng.integers(0, classes, images)
    weights = rng.poisson(1, (11, images)).astype(np.int8)
    sizes = np.array([np.bincount(labels, row, classes) for row in weights])
    found = Ranking(activity).weighted_areas(weights, labels, sizes)
    np.testing.assert_array_equal(found, areas_by_a_loop(activity, weights, labels, classes))


def test_the_greatest_weights_do_not_overflow():
    rng = np.random.default_rng(0)
    activity, labels = rng.random(1000, dtype=np.float32), rng.integers(0, 2, 1000)
    weights = np.full((9, 1000), 127, dtype=np.int8)
    sizes = np.array([np.bincount(labels, row, 2) for row in weights])
    found = Ranking(activity).weighted_areas(weights, labels, sizes)
    np.testing.assert_array_equal(found, areas_by_a_loop(activity, weights, labels, 2))


def information_by_a_loop(labels: np.ndarray, groups: np.ndarray, weights: np.ndarray) -> float:
    """Bits, Σ p ln(p / (q r)) over cells."""
    total = weights.sum()
    bits = 0.0
    for label in np.unique(labels):
        for group in np.unique(groups):
            joint = weights[(labels == label) & (groups == group)].sum() / total
            apart = weights[labels == label].sum() * weights[groups == group].sum() / total**2
            bits += joint * np.log2(joint / apart) if joint > 0 else 0
    return bits


def test_information_is_that_of_a_loop_over_cells(done):
    activity, mine, _ = done
    measured = INDICES["mi"].measure(Units(activity, mine))
    everyone = np.ones(300, dtype=np.int64)
    for unit in range(activity.shape[1]):
        groups = quantile_groups(rankdata(activity[:, unit]))
        own = information_by_a_loop(mine.labels, groups, everyone)
        null = [information_by_a_loop(labels, groups, everyone) for labels in mine.null_labels]
        again = [information_by_a_loop(mine.labels, groups, weights.astype(np.int64)) for weights in mine.weights]
        assert measured.value[unit] == pytest.approx(own, abs=1e-12)
        np.testing.assert_allclose(measured.null[:, unit], null, atol=1e-12)
        np.testing.assert_allclose(measured.replicates[:, unit], again, atol=1e-12)


def test_information_is_scikit_learns_over_quantile_groups(done):
    activity, mine, others = done
    for unit, row in rows_of(others, "mi").iterrows():
        groups = np.floor((rankdata(activity[:, unit]) - 0.5) / 30).astype(int)
        bits = mutual_info_score(mine.labels, groups) / np.log(2)
        assert row["value"] == pytest.approx(bits, abs=1e-12) and row["top_class"] == -1
        null = [mutual_info_score(labels, groups) / np.log(2) for labels in mine.null_labels]
        assert row["null"] == pytest.approx(np.mean(null))
        again = [mutual_info_score(np.repeat(mine.labels, w), np.repeat(groups, w)) / np.log(2) for w in mine.weights]
        assert row["se"] == pytest.approx(np.std(again, ddof=1))


def test_groups_without_ties_are_equal_and_ties_stay_together():
    assert (np.bincount(quantile_groups(rankdata(np.random.default_rng(0).random(200)))) == 20).all()
    groups = quantile_groups(rankdata([0.0] * 84 + list(range(1, 17))))
    assert len(set(groups[:84])) == 1 and set(groups[84:]) == {8, 9}


@given(st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_information_lies_between_0_and_what_there_is(seed):
    rng = np.random.default_rng(seed)
    labels, activity = rng.integers(0, 4, 80), rng.integers(0, 6, 80).astype(np.float32)
    bits = information(joint_counts(labels, quantile_groups(Ranking(activity).mid_ranks()), 4))
    assert 0 <= bits <= np.log2(4) + 1e-12
    assert bits <= mutual_info_score(labels, activity) / np.log(2) + 1e-9, "groups cannot tell more than activity"


def test_precision_by_hand():
    """Three of the four most active images are of class 0."""
    share, top = precision(np.array([0, 1, 0, 0]), np.ones((1, 4), int))
    assert (share.tolist(), top.tolist()) == ([0.75], [0])
    share, top = precision(np.array([[4, 1, 4, 1]]), np.ones((1, 4), int))
    assert (share.tolist(), top.tolist()) == ([0.5], [1]), "the lowest of equals"


def test_precision_of_permuted_labels_and_of_drawn_images(done):
    activity, mine, others = done
    largest = min(60, int(mine.counts.max()))
    for unit, row in rows_of(others, "precision").iterrows():
        order = np.argsort(-activity[:, unit], kind="stable")
        order = order[activity[order, unit] > 0]
        if len(np.unique(activity[order[: largest + 1], unit])) <= largest:
            continue  # equals at the border, where a hash decides
        counts = np.bincount(mine.labels[order[:largest]], minlength=5)
        assert row["value"] == pytest.approx(counts.max() / largest) and row["top_class"] == counts.argmax()
        null = [np.bincount(labels[order[:largest]]).max() / largest for labels in mine.null_labels]
        assert row["null"] == pytest.approx(np.mean(null))
        drawn = [np.repeat(mine.labels[order], weights[order])[:largest] for weights in mine.weights]
        again = [np.bincount(labels).max() / len(labels) for labels in drawn]
        assert row["se"] == pytest.approx(np.std(again, ddof=1))
        assert row["resolution"] == pytest.approx(1 / largest)


@given(arrays.arrays(np.int64, (3, 12), elements=st.integers(0, 4)), st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_the_first_images_weigh_so_much_and_come_first(weights, images):
    kept = first_of(weights, images)
    for row, own in zip(weights, kept, strict=True):
        assert np.repeat(np.arange(12), own).tolist() == np.repeat(np.arange(12), row)[:images].tolist()


def test_equally_active_images_are_not_taken_in_the_order_of_classes():
    """A unit that is always as active: whatever the classes' order, its top images are a random handful."""
    drawn = Resampling(np.arange(1000) // 100, np.arange(1000), 10, 0, 0, 0)
    others = unit_statistics(np.ones((1000, 1), dtype=np.float32), drawn, ["precision", "auc", "mi"]).others
    assert others["value"].iloc[0] < 0.4, "ten classes in order would give 1.0"
    assert others["value"].iloc[1] == 0.5 and others["value"].iloc[2] == pytest.approx(0)


def test_ccmas_is_csi_where_classes_are_of_equal_size():
    activity, _ = activities()
    drawn = Resampling(np.arange(300) % 5, np.arange(300), 5, 0, 3, 0)
    done = unit_statistics(activity, drawn, ["ccmas", "csi"])
    first, second = (rows_of(done.others, name) for name in ("ccmas", "csi"))
    for column in ("value", "null", "null_sd", "top_class"):
        np.testing.assert_allclose(first[column], second[column])
    assert (rows_of(done.others, "csi")["value"] == done.table["csi"][:5]).all()


def test_others_come_index_by_index_as_asked():
    activity, labels = activities()
    drawn = Resampling(labels, np.arange(300), 5, 0, 0, 0)
    others = unit_statistics(activity, drawn, ["mi", "csi"]).others
    columns = ["index", "unit", "value", "se", "null", "null_sd", "top_class", "resolution"]
    assert list(others) == columns and others["index"].tolist() == ["mi"] * 6 + ["csi"] * 6
    assert others["unit"].tolist() == [*range(6), *range(6)]
    assert unit_statistics(activity, drawn).others.empty


def test_null_of_an_indifferent_unit_is_its_index():
    """Permuting labels of units that do not know them changes nothing but chance."""
    rng = np.random.default_rng(0)
    activity = np.maximum(rng.standard_normal((400, 40)), 0).astype(np.float32)
    drawn = Resampling(np.arange(400) % 8, np.arange(400), 8, 0, 10, 0)
    others = unit_statistics(activity, drawn, list(INDICES)).others
    for name, rows in others.groupby("index"):
        away = (rows["value"] - rows["null"]).mean() / (rows["value"].std() / np.sqrt(40))
        assert abs(away) < 4, name


def test_a_class_conditional_activity_is_that_of_a_loop_over_drawings(drawn):
    """It is found as the sums of each drawing are made: with the others of a block, and by itself."""
    activity, mine = drawn
    alone = INDICES["ccmas"].measure(Units(activity, mine))
    beside = INDICES["ccmas"].measure(Units(activity, mine, [OF_SUMS["ccmas"]]))
    for number, labels in enumerate(mine.null_labels):
        sums = np.stack([activity[labels == k].sum(0, dtype=float) for k in range(5)])
        for each in (alone, beside):
            np.testing.assert_array_equal(each.null[number], ccmas(sums, mine.counts)[0])
    np.testing.assert_array_equal(alone.replicates, beside.replicates)


def test_areas_are_the_same_in_float32_and_float64():
    """Whole numbers below 2**24 are exact in both; beyond, float32 is not taken."""
    rng = np.random.default_rng(0)
    activity = np.round(rng.random(4000), 3).astype(np.float32) * (rng.random(4000) < 0.6)
    labels = rng.integers(0, 4, 4000)
    weights = rng.poisson(1, (3, 4000)).astype(np.int8)
    sizes = np.stack([np.bincount(labels, each, 4) for each in weights])
    assert 2 * sizes.max() * sizes.sum(1).max() < 2**24
    found = Ranking(activity).weighted_areas(weights, labels, sizes)
    many = Ranking(np.tile(activity, 8)).weighted_areas(np.tile(weights, 8), np.tile(labels, 8), 8 * sizes)
    assert 2 * 8 * sizes.max() * 8 * sizes.sum(1).max() > 2**24
    np.testing.assert_allclose(found, many, rtol=1e-14)
