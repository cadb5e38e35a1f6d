"""Hashes: the published generator's numbers, and independence of order."""

import numpy as np
from scipy import stats

from gelens.randomness import _mix, _order_of, hashes, permuted_labels, poisson_weights, stratified_halves


def test_the_mixing_function_is_splitmix64():
    """The first three outputs of SplitMix64 seeded with 0, as published with java.util.SplittableRandom's."""
    states = (np.arange(1, 4, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    assert [hex(value) for value in _mix(states)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]


def test_hashes_look_uniform_and_differ_by_purpose_and_replicate():
    indices = np.arange(20_000)
    first = hashes(1, "a", indices) / 2**64
    assert stats.kstest(first, "uniform").pvalue > 1e-3
    for other in (hashes(1, "b", indices), hashes(2, "a", indices), hashes(1, "a", indices, 1)):
        assert abs(np.corrcoef(first, other / 2**64)[0, 1]) < 0.03


def test_poisson_weights_have_the_distribution_and_ignore_order():
    weights = poisson_weights(0, np.arange(20_000), 3)
    assert weights.shape == (3, 20_000)
    assert abs(weights.mean() - 1) < 0.02 and abs(weights.var() - 1) < 0.03
    shuffled = np.random.default_rng(0).permutation(20_000)
    assert np.array_equal(poisson_weights(0, shuffled, 3), weights[:, shuffled])


def test_permuted_labels_keep_the_counts_and_belong_to_the_index():
    labels, indices = np.repeat([0, 1, 2], [5, 10, 15]), np.arange(100, 130)
    permuted = permuted_labels(0, labels, indices, 4)
    assert all(np.array_equal(np.bincount(row), [5, 10, 15]) for row in permuted)
    assert not np.array_equal(permuted[0], permuted[1])
    order = np.random.default_rng(1).permutation(30)
    assert np.array_equal(permuted_labels(0, labels[order], indices[order], 4), permuted[:, order])


def test_halves_are_balanced_within_every_class_and_ignore_order():
    labels = np.repeat(np.arange(50), 7)
    halves = stratified_halves(3, labels, np.arange(350))
    ones = np.bincount(labels, halves)
    assert set(ones) == {3, 4}
    order = np.random.default_rng(2).permutation(350)
    assert np.array_equal(stratified_halves(3, labels[order], order), halves[order])


def test_keys_that_carry_their_places_are_sorted_stably():
    """Some alike in all the bits that are left to them, and some alike altogether."""
    rng = np.random.default_rng(0)
    for number in (0, 1, 2, 3, 1000, 70_000):
        keys = rng.integers(0, 2**64, number, dtype=np.uint64)
        for each in (keys, keys >> np.uint64(40), keys // np.uint64(2**50), np.repeat(keys, 2)[:number]):
            assert np.array_equal(_order_of(each), np.argsort(each, kind="stable"))
