"""Memberships are what the hashes say, whatever the images' order and however they are cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelens.randomness import permuted_labels, poisson_weights, stratified_halves
from gelens.statistics import Resampling, resampling
from gelens.statistics.sums import class_sums


def slow_memberships(labels, indices, classes, seed, permutations, replicates) -> np.ndarray:
    """Row by row from the public draws."""
    halves = stratified_halves(seed, labels, indices)
    one = np.arange(classes)[:, None]
    rows = [(labels == one) & (halves == half) for half in (0, 1)]
    rows += [permuted == one for permuted in permuted_labels(seed, labels, indices, permutations)]
    for weights in poisson_weights(seed, indices, replicates):
        rows += [weights * ((labels == one) & (halves == half)) for half in (0, 1)]
    return np.concatenate(rows).astype(float)


@given(st.integers(2, 150), st.integers(2, 90), st.integers(0, 2**32), st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_memberships_are_the_draws_row_by_row(images, classes, seed, permutations, replicates):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    indices = rng.permutation(3 * images)[:images]
    mine = Resampling(labels, indices, classes, seed, permutations, replicates)
    expected = slow_memberships(labels, indices, classes, seed, permutations, replicates)
    assert mine.memberships.shape == expected.shape == (mine.rows(mine.drawings).stop, images)
    assert (mine.memberships.toarray() == expected).all()
    assert (mine.replicate_weights.ravel() == expected[(2 + permutations) * classes :].sum(1)).all()
    assert (mine.counts == np.bincount(labels, minlength=classes)).all()


def test_images_in_another_order_belong_to_the_same_classes(drawn):
    _, first = drawn
    order = np.random.default_rng(0).permutation(first.images)
    second = Resampling(first.labels[order], first.indices[order], 5, 2, 4, 4)
    assert (second.memberships.toarray() == first.memberships.toarray()[:, order]).all()


def test_an_image_left_out_leaves_its_label_to_no_other(drawn):
    _, first = drawn
    rest = Resampling(first.labels[1:], first.indices[1:], 5, 2, 4, 4)
    for permuted in rest.null_labels:
        assert (np.bincount(permuted, minlength=5) == rest.counts).all()


def test_few_classes_and_many_are_sorted_alike():
    """Labels are kept in one byte, two or four: as many as 2 K needs."""
    for classes in (2, 63, 64, 65, 200, 17_000, 40_000):
        labels = np.array([classes - 1, 0, classes - 1, classes // 2])
        mine = Resampling(labels, np.arange(4), classes, permutations=1, replicates=1)
        sums = class_sums(np.ones((4, 1), dtype=np.float32), mine)
        assert (sums.halves.sum(0)[:, 0] == np.bincount(labels, minlength=classes)).all()
        assert (next(sums.each_null())[:, 0] == mine.counts).all()
        assert (next(sums.each_replicate()).sum(0)[:, 0] == mine.replicate_weights[0].sum(0)).all()


@pytest.mark.parametrize("label", [-1, 5, 300])
def test_labels_outside_the_classes_are_named(label):
    with pytest.raises(ValueError, match=rf"1 labels are outside 0 … 4: the first is {label}, of row 2"):
        Resampling(np.array([0, 1, label]), np.arange(3), 5)


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(ValueError, match="alike"):
        Resampling(np.zeros(3, int), np.arange(4), 2)
    with pytest.raises(ValueError, match="at least one image"):
        Resampling(np.zeros(0, int), np.arange(0), 2)
    with pytest.raises(ValueError, match="`replicates` to be at least 0"):
        Resampling(np.zeros(3, int), np.arange(3), 2, replicates=-1)


def test_weights_by_class_made_again_for_every_block_are_the_kept_ones(drawn, monkeypatch):
    activity, first = drawn
    monkeypatch.setattr(resampling, "ROWS", 64)
    kept = class_sums(activity, Resampling(first.labels, first.indices, 5, 2, 4, 4))
    monkeypatch.setattr(resampling, "KEPT_BYTES", 0)
    again = Resampling(first.labels, first.indices, 5, 2, 4, 4)
    assert not again._kept and {len(each) for each in again.replicates_together} == {1}
    made = class_sums(activity, again)
    assert all(np.array_equal(getattr(kept, name), getattr(made, name)) for name in ("halves", "squares"))
    for kind in ("null", "replicates"):
        assert np.array_equal(getattr(kept, kind), getattr(made, kind))
