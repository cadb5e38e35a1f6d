"""The index on fewer images: by hand, that of the whole where all are taken, by simulation, invariances, complaints."""

import numpy as np
import pytest

from gelens.errors import UsageError
from gelens.statistics import Resampling, selectivity, selectivity_index, unit_statistics
from gelens.statistics import rarefaction as module
from gelens.statistics.rarefaction import limits, rarefied, rarefied_sizes


def scene(rng, classes: int, images: int, units: int, active: float, spread: float):
    """Activities (images × classes, units), their labels, and each unit's true index."""
    gains = np.exp(spread * rng.standard_normal((classes, units)))
    labels = np.arange(classes * images) % classes
    shape = len(labels), units
    activity = (rng.random(shape) < active) * np.abs(rng.standard_normal(shape)) * gains[labels]
    return activity.astype(np.float32), labels, selectivity_index(gains)[0]


def of(activity, labels, draws: int = 3, seed: int = 0):
    return rarefied(activity, np.asarray(labels), np.arange(len(labels)), draws, seed)


def test_by_hand():
    """Two classes of two images: all are taken. Means 3 and 1; no variance within classes, so nothing is corrected."""
    table = of(np.array([[3.0], [1.0], [3.0], [1.0]]), [0, 1, 0, 1])
    assert table["images_per_class"].tolist() == [2] and table["units"].item() == 1
    assert table["mean_csi"].item() == 0.5 and table["mean_corrected"].item() == pytest.approx(0.5)
    assert table["mean_reliability"].item() == 1


def test_all_images_give_the_index_of_all_images():
    activity, labels, _ = scene(np.random.default_rng(0), 5, 12, 8, 0.3, 0.5)
    last = of(activity, labels).iloc[-1]
    whole = unit_statistics(activity, Resampling(labels, np.arange(60), 5, 0, 4, 0)).table
    assert last["images_per_class"] == 12
    assert last["mean_csi"] == pytest.approx(whole["csi"].mean(), rel=1e-12)
    assert last["mean_corrected"] == pytest.approx(whole["csi_corrected"].mean(), rel=1e-12)
    assert last["mean_csi_sd"] == 0 and last["mean_null_sd"] > 0


def test_a_unit_that_tells_classes_apart_without_noise_has_the_same_index_on_any_number():
    labels = np.arange(60) % 3
    table = of(np.array([4.0, 1, 1])[labels][:, None], labels)
    assert table["images_per_class"].tolist() == [2, 5, 10, 20]
    assert table["mean_csi"].to_numpy() == pytest.approx(0.6) and table["mean_corrected"].to_numpy() == pytest.approx(
        0.6
    )


def test_order_of_rows_and_parts_of_units_change_nothing(monkeypatch):
    activity, labels, _ = scene(np.random.default_rng(1), 4, 10, 6, 0.5, 0.5)
    first, order = of(activity, labels), np.random.default_rng(2).permutation(40)
    shuffled = rarefied(activity[order], labels[order], order, 3)
    np.testing.assert_allclose(first, shuffled, rtol=1e-9, atol=1e-12)
    monkeypatch.setattr(module, "ACTIVITY_BYTES", 8 * 40 * 2)
    np.testing.assert_array_equal(first, of(activity, labels))
    assert not np.allclose(first["mean_csi"].iloc[0], of(activity, labels, seed=1)["mean_csi"].iloc[0])


def test_a_files_units_are_read_in_groups_to_the_same_table(monkeypatch, noted):
    activity, labels, _ = scene(np.random.default_rng(1), 4, 10, 9, 0.5, 0.5)
    whole = of(activity, labels)
    monkeypatch.setattr(module, "ACTIVITY_BYTES", 8 * 40 * 2)
    monkeypatch.setattr(selectivity, "READ_BYTES", 4 * 40 * 4)
    stored = noted(activity)
    np.testing.assert_array_equal(of(stored, labels), whole)
    assert stored.columns == [4, 4, 1]


def test_classes_of_unequal_size_are_taken_equally_up_to_the_smallest():
    labels = np.repeat([0, 7], [30, 6])  # labels need not follow each other
    table = of(np.random.default_rng(3).random((36, 2)), labels)
    assert table["images_per_class"].tolist() == [2, 5, 6] and (table["mean_csi_sd"] > 0).all()


@pytest.mark.parametrize(("active", "spread"), [(0.5, 0.306), (0.5, 0.114), (0.16, 0.472)])
def test_the_corrected_index_is_near_the_truth_and_the_plain_one_falls_to_it(active, spread):
    """200 classes × 50 images, three scenes of the definitions page; 30 units: the mean itself is off by hundredths."""
    activity, labels, truth = scene(np.random.default_rng(4), 200, 50, 30, active, spread)
    table = of(activity, labels, 2)
    assert (np.diff(table["mean_csi"]) < 0).all() and table["mean_csi"].iloc[-1] > truth.mean() + 0.03
    assert table["mean_corrected"].iloc[-2:].to_numpy() == pytest.approx(truth.mean(), abs=0.05)
    found = limits(table)
    away = {name: abs(found[name] - truth.mean()) for name in ("mean_csi", "limit_in_n", "limit_in_root_n")}
    assert away["limit_in_root_n"] < 0.05 and away["limit_in_n"] < away["mean_csi"]


def test_without_class_information_the_index_is_its_null():
    activity, labels, _ = scene(np.random.default_rng(5), 50, 20, 30, 0.5, 0)
    table = of(activity, labels, 4)
    assert table["mean_csi"].to_numpy() == pytest.approx(table["mean_null"].to_numpy(), abs=0.02)


def test_limits_are_exact_where_their_law_holds():
    import pandas as pd

    sizes = np.array([2, 5, 10, 20, 50, 60])
    for name, power in (("limit_in_n", 1), ("limit_in_root_n", 0.5)):
        table = pd.DataFrame({"images_per_class": sizes, "mean_csi": 0.2 + 0.5 / sizes**power, "mean_corrected": 0.2})
        assert limits(table)[name] == pytest.approx(0.2)
    assert np.isnan(limits(table.iloc[:1])["limit_in_n"])


def test_sizes():
    assert rarefied_sizes(2) == [2] and rarefied_sizes(200) == [2, 5, 10, 20, 50, 100, 200]


def test_complaints():
    activity = np.ones((4, 1))
    with pytest.raises(UsageError, match="3 classes, the smallest with 1 images"):
        of(activity, [0, 0, 1, 2])
    with pytest.raises(UsageError, match="1 classes"):
        of(activity, [0, 0, 0, 0])
    with pytest.raises(UsageError, match="0 draws"):
        of(activity, [0, 0, 1, 1], 0)
    with pytest.raises(ValueError, match="negative activities"):
        of(-activity, [0, 0, 1, 1])
