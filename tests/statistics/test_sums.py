"""Class sums: the slow way, and equal to the bit however the rows are stored and the units are cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelens.statistics import Resampling, resampling, selectivity, sums, unit_statistics
from gelens.statistics.levels import level_statistics
from gelens.statistics.rarefaction import rarefied
from gelens.statistics.sums import class_sums, null_sums

from .conftest import activities


def test_sums_are_those_of_a_loop_over_images(drawn):
    activity, mine = drawn
    found = class_sums(activity, mine)
    memberships = mine.memberships.toarray()
    expected = np.zeros((mine.rows(mine.drawings).stop, activity.shape[1]))
    for image, row in enumerate(activity.astype(np.float64)):
        for drawing in np.flatnonzero(memberships[:, image]):
            expected[drawing] += memberships[drawing, image] * row
    assert np.array_equal(found.halves, expected[:10].reshape(2, 5, -1))
    assert np.array_equal(found.null, expected[10:30].reshape(4, 5, -1))
    assert np.array_equal(found.replicates, expected[30:].reshape(4, 2, 5, -1))
    squares = [(activity[mine.labels == label].astype(float) ** 2).sum(0) for label in range(5)]
    assert np.allclose(found.squares, squares, rtol=1e-12)
    own, permuted = null_sums(activity.astype(np.float64), mine)
    assert np.allclose(own, found.halves.sum(0)) and np.array_equal(permuted, found.null)


def test_sums_do_not_hang_on_how_many_drawings_are_made_at_a_time(drawn, monkeypatch):
    activity, mine = drawn
    monkeypatch.setattr(resampling, "ROWS", 64)
    mine = Resampling(mine.labels, mine.indices, 5, 2, 4, 4)
    assert len(mine.parts) == 5
    kinds = ("null", "replicates")
    expected = [getattr(class_sums(activity, mine), kind) for kind in kinds]
    monkeypatch.setattr(sums, "DRAWN_BYTES", 1)
    alone = [getattr(class_sums(activity, mine), kind) for kind in kinds]
    assert all(np.array_equal(*pair) for pair in zip(expected, alone, strict=True))


@pytest.mark.parametrize("rows", [64, 2**16])
def test_sums_do_not_hang_on_how_many_drawings_share_a_product(drawn, monkeypatch, rows):
    activity, mine = drawn
    monkeypatch.setattr(resampling, "ROWS", rows)
    mine = Resampling(mine.labels, mine.indices, 5, 2, 5, 10)
    assert [len(each) for each in mine.permutations_together] == [2, 2, 1]
    assert [len(each) for each in mine.replicates_together] == [4, 4, 2]
    together = class_sums(activity, mine)
    monkeypatch.setattr(resampling, "FEW_CLASSES", 4)
    alone = class_sums(activity, Resampling(mine.labels, mine.indices, 5, 2, 5, 10))
    both = alone.resampling.permutations_together + alone.resampling.replicates_together
    assert {len(each) for each in both} == {1}
    assert np.array_equal(together.null, alone.null) and np.array_equal(together.replicates, alone.replicates)


@given(st.integers(0, 2**32), st.integers(1, 35))
@settings(max_examples=20, deadline=None)
def test_a_units_sums_do_not_hang_on_its_neighbours(seed, units):
    rng = np.random.default_rng(seed)
    activity = rng.random((70, units), dtype=np.float32)
    mine = Resampling(rng.integers(0, 3, 70), np.arange(70), 3, seed, 2, 2)
    whole = class_sums(activity, mine)
    alone = class_sums(activity[:, -1:], mine)
    for kind in ("replicates", "null"):
        pairs = zip(getattr(whole, kind), getattr(alone, kind), strict=True)
        assert all(np.array_equal(sums[..., -1:], own) for sums, own in pairs)


@pytest.mark.parametrize("limit, threads", [(1, 1), (1, 4), (2**20, 1)])
def test_tables_are_equal_to_the_bit_however_rows_are_stored_and_units_cut(tmp_path, monkeypatch, limit, threads):
    activity, labels = activities(units=9)
    mine = Resampling(labels, np.arange(300), 5, 0, 3, 3)
    names = ("csi", "precision", "ccmas", "auc", "mi")
    expected = unit_statistics(activity, mine, names)
    monkeypatch.setattr(selectivity, "SUMS_BYTES", limit)
    monkeypatch.setattr(selectivity, "cores", lambda: threads)
    file = np.lib.format.open_memmap(tmp_path / "a.npy", mode="w+", dtype=np.float32, shape=activity.shape)
    for start in range(0, 300, 7):  # as a pass in small batches would write them
        file[start : start + 7] = activity[start : start + 7]
    file.flush()
    stored = np.load(tmp_path / "a.npy", mmap_mode="r")
    done = []
    for form in (stored, np.asfortranarray(activity), np.concatenate([activity[:11], activity[11:]])):
        result = unit_statistics(form, Resampling(labels, np.arange(300), 5, 0, 3, 3), names, progress=done.append)
        for name in ("table", "others", "top_images"):
            assert getattr(result, name).equals(getattr(expected, name))
        assert all(np.array_equal(result.samples[k], v, equal_nan=True) for k, v in expected.samples.items())
    assert sum(done) == 3 * 9


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_files_units_are_read_in_groups_to_the_same_bits(noted, monkeypatch, threads):
    """Whatever number of threads works on them, and however much is read at a time."""
    activity, labels = activities(units=23)
    mine = Resampling(labels, np.arange(300), 5, 0, 3, 3)
    expected = unit_statistics(activity, mine, ["ccmas", "auc", "mi"])
    monkeypatch.setattr(selectivity, "cores", lambda: threads)
    monkeypatch.setattr(selectivity, "MOST_THREADS", threads)
    monkeypatch.setattr(selectivity, "TOGETHER", 3)
    monkeypatch.setattr(selectivity, "READ_BYTES", 4 * 300 * 6)
    stored = noted(activity)
    done = unit_statistics(stored, mine, ["ccmas", "auc", "mi"])
    for name in ("table", "others", "top_images"):
        assert getattr(done, name).equals(getattr(expected, name))
    assert all(np.array_equal(done.samples[k], v, equal_nan=True) for k, v in expected.samples.items())
    assert max(stored.columns) <= 6 and sum(stored.columns) == 23


def test_whole_numbers_are_activities_too_and_what_float32_cannot_hold_is_not():
    activity, labels = np.arange(40).reshape(20, 2) % 7, np.arange(20) % 2
    mine = Resampling(labels, np.arange(20), 2, 0, 2, 2)
    assert unit_statistics(activity, mine).table.equals(unit_statistics(activity.astype(np.float32), mine).table)
    with pytest.raises(ValueError, match="1 activities that are NaN or infinite in float32, the first in row 1"):
        unit_statistics(np.where(np.arange(40).reshape(20, 2) == 3, 1e39, 1.0), mine)
    with pytest.raises(ValueError, match="negative activities"):
        unit_statistics(np.where(np.arange(40).reshape(20, 2) == 3, -1e-50, 1.0), mine)


def test_a_file_is_read_once_where_all_of_it_may_be_read_at_a_time(noted, monkeypatch):
    activity, labels = activities(images=90)
    mine = Resampling(labels, np.arange(90), 5, 0, 2, 2)
    for of in (
        lambda stored: unit_statistics(stored, mine, ["auc"]),
        lambda stored: level_statistics(stored, mine, {"two": np.arange(5) // 3}, 2),
        lambda stored: rarefied(stored, labels, np.arange(90), 2),
    ):
        stored = noted(activity)
        of(stored)
        assert stored.rows == 90 and not stored.columns
    monkeypatch.setattr(selectivity, "READ_BYTES", 4 * activity.size - 1)
    assert selectivity.checked(stored, "a") is stored


def test_what_is_checked_at_a_time_does_not_grow_with_units(monkeypatch):
    monkeypatch.setattr(selectivity, "CHECKED", 100)
    activity = np.ones((90, 30), np.float32)
    activity[71, 3] = np.nan
    with pytest.raises(
        ValueError, match=r"1 activities that are NaN or infinite in float32, the first in row 71 of 90"
    ):
        selectivity.checked(activity, "a")
