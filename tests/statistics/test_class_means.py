"""The index, cross-fitted and corrected, from class means: worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gelens.statistics import corrected_index, crossfitted_index, noise_of_means, selectivity_index
from gelens.statistics.class_means import variance_over_classes

MEANS = arrays.arrays(float, (5, 3), elements=st.floats(0, 100).map(lambda value: round(value, 3)))


def test_index_by_hand():
    index, high, rest, top = selectivity_index(np.array([[3.0, 0.0, 2.0], [1.0, 0.0, 2.0], [0.0, 0.0, 2.0]]))
    assert index[0] == pytest.approx((3 - 0.5) / (3 + 0.5)) and np.isnan(index[1]) and index[2] == 0
    assert (high.tolist(), rest.tolist(), top.tolist()) == ([3, 0, 2], [0.5, 0, 2], [0, -1, 0])


def test_a_class_without_images_is_left_out():
    means = np.array([[0.0], [3.0], [1.0]])
    index, _, _, top = selectivity_index(means, np.array([False, True, True]))
    assert (index.tolist(), top.tolist()) == ([0.5], [1])


def test_crossfitted_by_hand():
    """Half one prefers class 0, half two class 1: measured on the other half each."""
    means = np.array([[[4.0], [1.0], [1.0]], [[2.0], [3.0], [1.0]]])
    preferred, rest = (2 + 1) / 2, ((3 + 1) / 2 + (4 + 1) / 2) / 2
    assert crossfitted_index(means)[0] == pytest.approx((preferred - rest) / (preferred + rest))


def test_crossfitted_needs_two_classes_in_both_halves():
    present = np.array([[True, True, False], [False, True, True]])
    assert np.isnan(crossfitted_index(np.ones((2, 3, 1)), present)).all()


def test_crossfitted_does_not_hang_on_the_numbering_of_classes():
    """A unit silent in one half: its preferred class is undecided there, whatever the classes are called."""
    means = np.zeros((2, 4, 4))
    for unit in range(4):
        means[0, unit, unit] = 1.0
    assert np.allclose(crossfitted_index(means), crossfitted_index(means)[0])


def test_corrected_by_hand():
    """Means 7, 3, 2 (variance 7) with noise 5.25: B = 1/4, so 5.5, 3.5, 3 about their mean, 4."""
    index, reliability = corrected_index(np.array([[7.0], [3.0], [2.0]]), np.array([5.25]))
    assert reliability[0] == pytest.approx(0.25) and index[0] == pytest.approx((5.5 - 3.25) / (5.5 + 3.25))


def test_noise_by_hand():
    """Class 0: 1, 3 (s² = 2); class 1: 5 alone; class 2: 0, 0, 3 (s² = 3); none of class 3. Pooled: 8 / 3."""
    values = [np.array([1.0, 3.0]), np.array([5.0]), np.array([0.0, 0.0, 3.0])]
    sums = np.array([[each.sum()] for each in values] + [[0.0]])
    squares = np.array([[(each**2).sum()] for each in values] + [[0.0]])
    noise = noise_of_means(sums, squares, np.array([2, 1, 3, 0]))
    assert noise[0] == pytest.approx((2 / 2 + 8 / 3 / 1 + 3 / 3) / 3)


def test_noise_of_one_image_a_class_is_not_known():
    assert np.isnan(noise_of_means(np.ones((3, 2)), np.ones((3, 2)), np.ones(3, int))).all()
    index, reliability = corrected_index(np.array([[1.0], [2.0]]), np.array([np.nan]))
    assert np.isnan(index).all() and np.isnan(reliability).all()


@given(MEANS, st.floats(0, 1e4))
@settings(max_examples=60, deadline=None)
def test_the_corrected_index_lies_between_0_and_the_index(means, noise):
    index, *_ = selectivity_index(means)
    corrected, reliability = corrected_index(means, np.full(3, noise))
    dead = np.isnan(index)
    assert (np.isnan(corrected) == dead).all() and (np.isnan(reliability) == dead).all()
    assert (corrected[~dead] >= -1e-9).all() and (corrected[~dead] <= index[~dead] + 1e-9).all()
    swamped = ~dead & (noise >= variance_over_classes(means))
    assert np.allclose(corrected[swamped], 0, atol=1e-9), "all of the variance is noise"
    exact, whole = corrected_index(means, np.zeros(3))
    some = ~dead & (variance_over_classes(means) > 0)
    assert np.allclose(exact[some], index[some]) and (whole[some] == 1).all()


@given(MEANS, st.floats(0.01, 10), st.permutations(range(5)))
@settings(max_examples=60, deadline=None)
def test_scale_and_numbering_of_classes_change_nothing(means, scale, order):
    noise = means.mean(0) / 10
    for estimate in (lambda m, s: selectivity_index(m)[0], lambda m, s: corrected_index(m, noise * s**2)[0]):
        expected = estimate(means, 1)
        assert np.allclose(estimate(means * scale, scale), expected, atol=1e-7, equal_nan=True)
        assert np.allclose(estimate(means[list(order)], 1), expected, atol=1e-7, equal_nan=True)
