"""The index at levels of a hierarchy: by hand, the slow way, by simulation, invariances, complaints."""

import numpy as np
import pandas as pd
import pytest

from gelens.errors import UsageError
from gelens.statistics import Resampling, unit_statistics
from gelens.statistics import selectivity as columns
from gelens.statistics.levels import Levels, level_statistics

FAMILY, ORDER = np.arange(32) // 4, np.arange(32) // 16


def found(activity, labels, levels, maps=19, permutations=0, replicates=0, seed=0) -> Levels:
    labels = np.asarray(labels)
    number = len(next(iter(levels.values())))
    drawn = Resampling(labels, np.arange(len(labels)), number, seed, permutations, replicates)
    return level_statistics(np.asarray(activity, np.float32), drawn, levels, maps)


def scene(rng, images: int, families: float, units: int = 20):
    """32 classes, in families of four that differ by so much; labels by row."""
    labels = np.arange(32 * images) % 32
    gains = 0.4 * rng.standard_normal((32, units)) + families * rng.standard_normal((8, units))[FAMILY]
    shape = len(labels), units
    activity = (rng.random(shape) < 0.5) * np.abs(rng.standard_normal(shape)) * np.exp(gains)[labels]
    return activity.astype(np.float32), labels


def test_by_hand():
    """Classes of means 5, 1, 2, 0 in groups {5, 1}, {2, 0}: means 3 and 1. Otherwise 3.5 and 0.5, or 2.5 and 1.5."""
    activity = np.array([5.0, 1, 2, 0])[:, None]
    levels = found(activity, [0, 1, 2, 3], {"pair": np.array([0, 0, 1, 1])}, maps=200)
    assert levels.blocks["level"].tolist() == ["class", "pair"] and levels.blocks["groups"].tolist() == [4, 2]
    assert levels.blocks["mean_csi"].tolist() == pytest.approx([4 / 6, 2 / 4])
    unit = levels.units.iloc[1]
    assert unit["null"] == pytest.approx(np.mean([0.5, 0.75, 0.25]), abs=0.06)
    assert unit["excess"] == pytest.approx(unit["csi"] - unit["null"])
    assert unit["p"] == pytest.approx(2 / 3, abs=0.12)  # of three placings one is as high, another higher
    assert np.isnan(levels.units.iloc[0][["null", "excess", "p"]].to_numpy(float)).all()


def test_each_class_weighs_the_same_whatever_its_number_of_images():
    activity = np.array([4.0, 4, 4, 0, 1, 1])[:, None]  # 4 thrice and 0 once: a mean of 2, not of 3
    levels = found(activity, [0, 0, 0, 1, 2, 3], {"pair": np.array([0, 0, 1, 1])})
    assert levels.blocks["mean_csi"].iloc[1] == pytest.approx(1 / 3)


def test_classes_are_those_of_the_plain_index_with_its_null_and_error():
    activity, labels = scene(np.random.default_rng(0), 6, 0.3)
    blocks = found(activity, labels, {"family": FAMILY}, 5, 6, 7).blocks
    whole = unit_statistics(activity, Resampling(labels, np.arange(len(labels)), 32, 0, 6, 7))
    assert blocks["mean_csi"].iloc[0] == pytest.approx(whole.table["csi"].mean(), rel=1e-9)
    assert blocks["mean_label_null"].iloc[0] == pytest.approx(whole.table["csi_null"].mean(), rel=1e-9)
    se = np.nanmean(whole.samples["csi"], 1).std(ddof=1)
    assert blocks["mean_csi_se"].iloc[0] == pytest.approx(se, rel=1e-9)


def test_numbers_of_groups_and_parts_of_units_change_nothing(monkeypatch):
    activity, labels = scene(np.random.default_rng(1), 3, 0.3)
    first = found(activity, labels, {"family": FAMILY}, 9, 3, 3)
    other = found(activity, labels, {"family": 7 - FAMILY}, 9, 3, 3)
    np.testing.assert_allclose(first.units["csi"], other.units["csi"], rtol=1e-9)
    monkeypatch.setattr(columns, "SUMS_BYTES", 1)
    again = found(activity, labels, {"family": FAMILY}, 9, 3, 3)
    ours, theirs = (each.units.drop(columns="level") for each in (first, again))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_a_files_units_are_read_in_groups_to_the_same_table(monkeypatch, noted):
    activity, labels = scene(np.random.default_rng(1), 3, 0.3)
    whole = found(activity, labels, {"family": FAMILY}, 9, 3, 3)
    monkeypatch.setattr(columns, "TOGETHER", 3)
    monkeypatch.setattr(columns, "READ_BYTES", 4 * len(labels) * 6)
    stored = noted(activity)
    drawn = Resampling(labels, np.arange(len(labels)), 32, 0, 3, 3)
    again = level_statistics(stored, drawn, {"family": FAMILY}, 9)
    for table, expected in ((again.units, whole.units), (again.blocks, whole.blocks)):
        pd.testing.assert_frame_equal(table, expected, rtol=1e-9, atol=1e-12)  # a product's bits depend on its columns
    assert max(stored.columns) <= 6 and sum(stored.columns) == 20


def test_classes_without_images_are_in_no_group():
    activity, labels = scene(np.random.default_rng(2), 2, 0.3)
    some = labels < 16
    whole = found(activity[some], labels[some], {"family": np.where(np.arange(32) < 16, FAMILY, -1)})
    alone = found(activity[some], labels[some], {"family": FAMILY[:16]})
    np.testing.assert_allclose(whole.blocks["mean_csi"], alone.blocks["mean_csi"], rtol=1e-12)
    assert whole.blocks["groups"].tolist() == [16, 4]


@pytest.mark.parametrize("images", [1, 6])
def test_groups_that_mean_nothing_are_as_random_ones_and_families_are_above(images):
    """Of 1,000 units about 5 % have p ≤ 0.05 where groups mean nothing; where they do 11 % with one image a class."""
    rng = np.random.default_rng(3)
    shares, excess = {0.0: [], 0.6: []}, {0.0: [], 0.6: []}
    for families in shares:
        for seed in range(10):
            activity, labels = scene(rng, images, families, 100)
            levels = found(activity, labels, {"family": FAMILY, "order": ORDER}, 39, seed=seed)
            shares[families].append(levels.blocks["share_above"].iloc[1])
            excess[families].append((levels.blocks["mean_csi"] - levels.blocks["mean_null"]).iloc[1])
    assert np.mean(shares[0.0]) == pytest.approx(0.05, abs=0.025)
    assert abs(np.mean(excess[0.0])) < 0.01 < 0.03 < np.mean(excess[0.6])
    assert np.mean(shares[0.6]) > (0.08 if images == 1 else 0.25)


def test_one_image_a_class_has_random_groups_alone():
    activity, labels = scene(np.random.default_rng(4), 1, 0.3)
    blocks = found(activity, labels, {"family": FAMILY}, 9, 3, 3).blocks
    assert blocks[["mean_label_null", "mean_csi_se"]].isna().all(axis=None)
    assert blocks["null_low"].iloc[1] < blocks["mean_null"].iloc[1] < blocks["null_high"].iloc[1]


def test_dead_units_are_left_out():
    activity, labels = scene(np.random.default_rng(5), 2, 0.3, 3)
    activity[:, 1] = 0
    levels = found(activity, labels, {"family": FAMILY})
    assert levels.blocks["units"].tolist() == [2, 2]
    assert levels.units.set_index(["level", "unit"]).loc[("family", 1), ["csi", "p"]].isna().all()


def test_complaints():
    activity, labels = np.ones((4, 1)), [0, 1, 2, 3]
    with pytest.raises(UsageError, match="level one has all classes in one group"):
        found(activity, labels, {"one": np.zeros(4, int)})
    with pytest.raises(UsageError, match="level short places 3 classes; expected 4"):
        drawn = Resampling(np.arange(4), np.arange(4), 4, 0, 0, 0)
        level_statistics(activity, drawn, {"short": np.array([0, 0, 1])})
    with pytest.raises(UsageError, match="no level of groups"):
        level_statistics(activity, drawn, {})
    with pytest.raises(ValueError, match="negative activities"):
        found(-activity, labels, {"pair": np.array([0, 0, 1, 1])})
