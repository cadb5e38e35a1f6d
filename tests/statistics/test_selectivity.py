"""Unit statistics: by hand, against the streamed metric and its numbers of before, and what has no index."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gelens.errors import UsageError
from gelens.randomness import hashes
from gelens.statistics import (
    INDICES,
    Resampling,
    block_means,
    corrected_index,
    selectivity,
    selectivity_index,
    unit_statistics,
)

from .conftest import activities

BEFORE = ["unit", "csi", "csi_se", "csi_null", "csi_null_sd", "csi_crossfit", "active_fraction", "mu_max", "mu_rest"]
SPARSENESS = ["sparseness", "sparseness_se", "sparseness_null", "sparseness_null_sd", "effective_classes"]
COLUMNS = [*BEFORE, "top_class", "csi_corrected", "csi_corrected_se", "reliability", "variation", *SPARSENESS]


def test_by_hand():
    """Classes 0 (4, 2), 1 (1, 1) and 2 (0, 2): means 3, 1, 1; noise (2/2 + 0 + 2/2) / 3, variance 4/3, B = 1/2."""
    activity = np.array([[4.0], [2], [1], [1], [0], [2]], dtype=np.float32)
    drawn = Resampling(np.repeat([0, 1, 2], 2), np.arange(6), 3, permutations=0, replicates=0)
    done = unit_statistics(activity, drawn)
    row = done.table.iloc[0]
    assert list(done.table) == COLUMNS
    assert row["csi"] == 0.5 and row["top_class"] == 0 and row["active_fraction"] == pytest.approx(5 / 6)
    assert (row["mu_max"], row["mu_rest"]) == (3, 1)
    assert row["reliability"] == pytest.approx(0.5)
    high, low = 5 / 3 + np.sqrt(0.5) * 4 / 3, 5 / 3 - np.sqrt(0.5) * 2 / 3
    assert row["csi_corrected"] == pytest.approx((high - low) / (high + low))
    assert row["variation"] == pytest.approx(np.sqrt(2 / 3) / (5 / 3))
    assert done.means[:, 0].tolist() == [3, 1, 1] and done.counts.tolist() == [2, 2, 2]
    assert row[["csi_se", "csi_null", "csi_null_sd", "csi_corrected_se"]].isna().all()


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """Made by the metric that streamed its sums, before there were recordings."""
    with np.load(Path(__file__).with_name("golden.npz")) as stored:
        return dict(stored)


def test_numbers_are_those_of_the_streamed_metric(golden):
    drawings = (int(golden[name]) for name in ("classes", "seed", "permutations", "replicates"))
    done = unit_statistics(golden["activity"], Resampling(golden["labels"], golden["indices"], *drawings))
    summary = block_means(done.table, done.samples)
    found = {f"table/{name}": done.table[name].to_numpy() for name in done.table}
    found |= {f"samples/{kind}": values for kind, values in done.samples.items()}
    found |= {f"block/{name}": value for name, value in summary.items()} | {"means": done.means, "counts": done.counts}
    compared = golden.keys() & found.keys()
    assert len(compared) == len(golden) - 7, "all but the activities and what they were resampled with"
    for name in compared:
        np.testing.assert_allclose(found[name], golden[name], rtol=0, atol=1e-12, err_msg=name)


def test_the_streamed_metric_gives_the_same():
    """But for its halves, which are not stratified."""
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("gelens.probes.class_selectivity")
    activity, labels = activities(images=200, units=7, seed=4)
    drawn = Resampling(labels, np.arange(200) * 3, 5, 1, 3, 3)
    metric = metrics.ClassSelectivity(5, 7, seed=1)
    metric.update(*(torch.from_numpy(each) for each in (activity, labels, drawn.indices)))
    theirs = metric.compute().drop(columns="csi_crossfit")
    mine = unit_statistics(activity, drawn).table
    pd.testing.assert_frame_equal(mine[list(theirs)], theirs, atol=1e-12, rtol=0, check_dtype=False)


def test_samples_are_the_index_of_drawn_images(drawn):
    """Replicate by replicate the slow way: every image as often as its weight, its noise counted twice."""
    activity, mine = drawn
    done = unit_statistics(activity, mine)
    noise = np.array([activity[mine.labels == k].var(0, ddof=1, dtype=float) / mine.counts[k] for k in range(5)]).mean(
        0
    )
    for number, weights in enumerate(mine.weights):
        means = [np.repeat(activity, weights * (mine.labels == k), 0).mean(0, dtype=float) for k in range(5)]
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(done.samples["csi"][number], selectivity_index(np.array(means))[0], atol=1e-12)
            corrected, _ = corrected_index(np.array(means), 2 * noise)
        np.testing.assert_allclose(done.samples["corrected"][number], corrected, atol=1e-9)
    for number, labels in enumerate(mine.null_labels):
        means = np.array([activity[labels == k].mean(0, dtype=float) for k in range(5)])
        np.testing.assert_allclose(done.samples["null"][number], selectivity_index(means)[0], atol=1e-12)
    alive = done.table["csi"].notna()
    for column, kind in (("csi_se", "csi"), ("csi_corrected_se", "corrected"), ("csi_null_sd", "null")):
        np.testing.assert_allclose(done.table[column][alive], done.samples[kind][:, alive].std(0, ddof=1))


def test_the_order_of_the_images_changes_nothing(drawn):
    activity, mine = drawn
    order = np.random.default_rng(5).permutation(mine.images)
    other = Resampling(mine.labels[order], mine.indices[order], 5, 2, 4, 4)
    first, second = (unit_statistics(*each, list(INDICES)) for each in ((activity, mine), (activity[order], other)))
    pd.testing.assert_frame_equal(first.table, second.table, rtol=0, atol=1e-12)
    pd.testing.assert_frame_equal(first.others, second.others, rtol=0, atol=1e-12)
    pd.testing.assert_frame_equal(first.top_images, second.top_images)


def test_dead_units_have_no_index_and_only_they(drawn):
    activity, mine = drawn
    done = unit_statistics(activity, mine, ["auc", "mi", "precision", "ccmas"])
    assert done.table["csi"].isna().tolist() == [False] * 5 + [True]
    assert done.table["top_class"].iloc[-1] == -1 and done.table["reliability"].isna().iloc[-1]
    dead = done.others[done.others["unit"] == 5]
    assert dead[["value", "se", "null", "null_sd"]].isna().all(axis=None) and (dead["top_class"] == -1).all()
    assert 5 not in set(done.top_images["unit"])
    summary = block_means(done.table, done.samples)
    assert (summary["units"], summary["dead"]) == (6, 1)
    assert summary["mean_corrected"] == pytest.approx(done.table["csi_corrected"].mean())
    assert summary["mean_corrected_se"] == pytest.approx(done.samples["corrected"][:, :5].mean(1).std(ddof=1))


def test_a_layer_that_is_dead_as_a_whole_has_a_table_all_the_same():
    labels = np.arange(20) % 4
    done = unit_statistics(np.zeros((20, 3), dtype=np.float32), Resampling(labels, np.arange(20), 4), INDICES)
    assert done.table["csi"].isna().all() and done.others["value"].isna().all() and done.top_images.empty
    summary = block_means(done.table, done.samples)
    assert summary["dead"] == 3 and np.isnan(summary["mean_corrected"]) and np.isnan(summary["mean_corrected_se"])


def test_classes_without_images_change_no_index():
    """Ten classes of which five have images, or the five alone."""
    activity, labels = activities()
    few = unit_statistics(activity, Resampling(labels, np.arange(300), 5, 0, 3, 3), INDICES)
    many = unit_statistics(activity, Resampling(2 * labels, np.arange(300), 10, 0, 3, 3), INDICES)
    for name in ("table", "others"):
        first, second = (getattr(each, name).drop(columns="top_class") for each in (few, many))
        # which half has the odd image of a class is a hash of the class
        first, second = (each.drop(columns="csi_crossfit", errors="ignore") for each in (first, second))
        pd.testing.assert_frame_equal(first, second, rtol=0, atol=1e-12)


def test_an_interruption_does_not_wait_for_what_is_left(drawn, monkeypatch):
    """What is told of progress raises: no further block of units is begun."""
    activity, mine = drawn
    begun = []
    monkeypatch.setattr(selectivity, "SUMS_BYTES", 1)
    monkeypatch.setattr(selectivity, "cores", lambda: 1)
    honest = selectivity._block_statistics

    def counted(*arguments):
        begun.append(arguments[-1])
        return honest(*arguments)

    def interrupt(units):
        raise KeyboardInterrupt

    monkeypatch.setattr(selectivity, "_block_statistics", counted)
    with pytest.raises(KeyboardInterrupt):
        unit_statistics(np.tile(activity, 20), mine, progress=interrupt)
    assert len(begun) < 120


def test_one_image_a_class_has_neither_null_nor_error_nor_correction():
    activity = np.random.default_rng(0).random((4, 3), dtype=np.float32)
    done = unit_statistics(activity, Resampling(np.arange(4), np.arange(4), 4, 0, 3, 3), list(INDICES))
    missing = ["csi_se", "csi_null", "csi_null_sd", "csi_crossfit", "csi_corrected", "csi_corrected_se", "reliability"]
    assert done.table[missing].isna().all(axis=None) and done.table["csi"].notna().all()
    assert done.others[["se", "null", "null_sd"]].isna().all(axis=None)


def test_a_single_image_in_one_class_leaves_the_null_but_no_errors():
    labels = np.array([0, 0, 0, 1, 1, 1, 2])
    activity = np.random.default_rng(0).random((7, 2), dtype=np.float32)
    done = unit_statistics(activity, Resampling(labels, np.arange(7), 3, 0, 3, 3), list(INDICES))
    assert done.table[["csi_se", "csi_corrected_se"]].isna().all(axis=None)
    assert done.table[["csi_null", "csi_corrected"]].notna().all(axis=None)
    assert done.others["se"].isna().all()
    resolved = done.others["index"] != "sparseness"  # seven images are too few for it
    assert done.others["null"][resolved].notna().all() and done.others["null"][~resolved].isna().all()


def test_a_class_of_weight_zero_is_left_out_of_that_replicate():
    labels, indices = np.repeat(np.arange(6), 2), np.arange(12)
    activity = np.random.default_rng(0).random((12, 2), dtype=np.float32) + 1
    mine = Resampling(labels, indices, 6, 0, 0, 30)
    total = mine.replicate_weights.sum(1)
    assert (total == 0).any(1).sum() > 3
    done = unit_statistics(activity, mine)
    for number, weights in enumerate(total):
        sums = np.array([(mine.weights[number][:, None] * activity)[labels == k].sum(0, dtype=float) for k in range(6)])
        kept = weights > 0
        expected, *_ = selectivity_index(sums[kept] / weights[kept, None])
        np.testing.assert_allclose(done.samples["csi"][number], expected, atol=1e-7)


def test_what_has_no_index_is_said():
    mine = Resampling(np.array([0, 1, 1]), np.arange(3), 2, 0, 0, 0)
    good = np.ones((3, 2), dtype=np.float32)
    with pytest.raises(ValueError, match=r"layer `b` has negative activities \(minimum -0.5\)"):
        unit_statistics(np.where([[0, 0], [0, 1], [0, 0]], -0.5, good), mine, name="b")
    for value in (np.nan, np.inf):
        with pytest.raises(
            ValueError, match="layer `b` has 1 activities that are NaN or infinite in float32, the first in row 1"
        ):
            unit_statistics(np.where([[0, 0], [0, 1], [0, 0]], value, good), mine, name="b")
    with pytest.raises(ValueError, match="1 classes with images; the index needs at least two"):
        unit_statistics(good, Resampling(np.ones(3, int), np.arange(3), 2, 0, 0, 0))
    with pytest.raises(ValueError, match=r"to be \(3, units\)"):
        unit_statistics(good[:2], mine)
    with pytest.raises(UsageError, match="no index `acu`; did you mean `auc`"):
        unit_statistics(good, mine, ["acu"])


def test_rectified_is_recorded_in_the_last_column(drawn):
    activity, mine = drawn
    done = unit_statistics(activity, mine, ["mi"], rectified=True)
    assert list(done.table) == [*COLUMNS, "rectified"] and done.table["rectified"].all()
    assert done.others["rectified"].all()


def test_top_images_are_the_most_active_ones_ties_by_hash(drawn):
    activity, mine = drawn
    done = unit_statistics(activity, mine)
    ties = hashes(mine.seed, "tie", mine.indices) >> np.uint64(33)
    for unit in range(5):
        order = sorted(range(mine.images), key=lambda row: (activity[row, unit], ties[row]), reverse=True)[:9]
        rows = done.top_images[done.top_images["unit"] == unit]
        assert rows["index"].tolist() == mine.indices[order].tolist()
        assert rows["label"].tolist() == mine.labels[order].tolist()
        assert rows["activity"].tolist() == activity[order, unit].tolist()
        assert rows["rank"].tolist() == list(range(1, 10))


def test_silent_images_are_never_top_images():
    activity = np.zeros((30, 1), dtype=np.float32)
    activity[[4, 20]] = 1
    done = unit_statistics(activity, Resampling(np.arange(30) % 3, np.arange(30), 3, 0, 0, 0))
    assert sorted(done.top_images["index"]) == [4, 20]


def test_groups_of_classes_are_labels_like_others(drawn):
    """Classes 0 to 2 and 3 to 4 as two: the sums of a group are the sums of its classes."""
    activity, mine = drawn
    groups = np.array([0, 0, 0, 1, 1])
    done = unit_statistics(activity, mine)
    grouped = unit_statistics(activity, Resampling(groups[mine.labels], mine.indices, 2, 2, 4, 4))
    sums = done.means * done.counts[:, None]
    for group in (0, 1):
        own = groups == group
        np.testing.assert_allclose(grouped.means[group], sums[own].sum(0) / done.counts[own].sum())
