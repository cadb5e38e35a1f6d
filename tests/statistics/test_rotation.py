"""Rotated units keep what a block knows, and lose what its basis has."""

import numpy as np

from gelens.statistics import Resampling, unit_statistics
from gelens.statistics.rotation import rotated

LABELS = np.repeat(np.arange(10), 40)


def test_it_is_the_positive_part_of_a_rotation_of_deviations():
    activity = np.random.default_rng(0).random((50, 6)).astype(np.float32)
    away = activity.astype(float) - activity.mean(0, dtype=float)
    found = rotated(activity, 3, "layer3.0")
    # a rotation and its opposite: positive parts of both make the whole, whose Gram matrix is that of the deviations
    both = found.astype(float) - np.maximum(-(away @ basis_of(away, found)), 0)
    np.testing.assert_allclose(both @ both.T, away @ away.T, atol=1e-5)


def basis_of(away: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The rotation, from images on which a direction is positive: least squares, which is exact."""
    columns = []
    for direction in found.T:
        on = direction > 0
        columns.append(np.linalg.lstsq(away[on], direction[on], rcond=None)[0])
    return np.stack(columns, 1)


def test_blocks_and_seeds_have_rotations_of_their_own_that_rows_do_not_change():
    activity = np.random.default_rng(1).random((50, 6)).astype(np.float32)
    one = rotated(activity, 0, "a")
    assert not np.allclose(one, rotated(activity, 0, "b")) and not np.allclose(one, rotated(activity, 1, "a"))
    np.testing.assert_allclose(rotated(activity[::-1], 0, "a"), one[::-1], atol=1e-6)


def test_units_that_know_one_class_each_lose_it_to_the_rotation():
    """By the area under the curve, which ranks images and does not hang on what is subtracted from an activity."""
    rng = np.random.default_rng(2)
    activity = (rng.random((400, 10)) * (0.1 + (LABELS[:, None] == np.arange(10)))).astype(np.float32)
    drawn = Resampling(LABELS, np.arange(400), 10, 0, 0, 0)
    units = unit_statistics(activity, drawn, ["auc"]).others["value"].mean()
    directions = unit_statistics(rotated(activity, 0, "a"), drawn, ["auc"]).others["value"].mean()
    assert units > 0.93 and directions < units - 0.03
