"""Units matched by how many images they are active on: by hand, by simulation where the truth is known, invariances."""

import numpy as np
import pandas as pd
import pytest

from gelens.statistics.comparison import selectivity_gaps
from gelens.statistics.matching import matching_weights
from gelens.statistics.resampling import Resampling
from gelens.statistics.selectivity import unit_statistics


def test_both_have_one_distribution_then():
    rng = np.random.default_rng(0)
    mine, theirs = rng.beta(2, 5, 400), rng.beta(4, 4, 300)
    weights = matching_weights(mine, theirs)
    assert [each.sum() for each in weights[:2]] == pytest.approx([1, 1])
    means = [values @ each for values, each in zip((mine, theirs), weights, strict=False)]
    assert abs(means[0] - means[1]) < 0.01 < 0.15 < theirs.mean() - mine.mean()
    swapped = matching_weights(theirs, mine)
    assert np.allclose(swapped[0], weights[1]) and swapped[2] == pytest.approx(weights[2])


def test_equal_distributions_are_left_as_they_are():
    values = np.random.default_rng(1).random(100)
    first, second, overlap = matching_weights(values, values[::-1])
    assert np.allclose(first, 0.01) and np.allclose(second, 0.01) and overlap == pytest.approx(1)
    constant = matching_weights(np.ones(4), np.ones(8))
    assert constant[0].tolist() == [0.25] * 4 and constant[1].tolist() == [0.125] * 8


def test_what_has_nothing_in_common_has_no_weights():
    first, second, overlap = matching_weights(np.array([0.1, 0.1]), np.array([0.9, np.nan]))
    assert not first.any() and not second.any() and overlap == 0
    first, second, overlap = matching_weights(np.array([np.nan]), np.array([0.5]))
    assert not first.any() and not second.any() and overlap == 0


def test_units_left_out_weigh_nothing():
    first, _, _ = matching_weights(np.array([0.5, np.nan, 0.5]), np.array([0.5]))
    assert first.tolist() == [0.5, 0, 0.5]


def network(rng, active: np.ndarray, images: int, classes: int, gain_of) -> np.ndarray:
    """Activities of units with given chances to be active, whose classes differ by a gain that may depend on these."""
    labels = np.arange(images) % classes
    gain = np.exp(gain_of(active) * rng.normal(size=(classes, len(active))))
    on = rng.random((images, len(active))) < active
    return (on * np.abs(rng.normal(size=on.shape)) * gain[labels]).astype(np.float32)


def measured(first: np.ndarray, second: np.ndarray, classes: int) -> pd.Series:
    drawn = Resampling(np.arange(len(first)) % classes, np.arange(len(first)), classes, 3, 10)
    tables, samples = [], {}
    for name, activity in (("a", first), ("b", second)):
        done = unit_statistics(activity, drawn)
        tables.append(done.table.assign(network=name, block="layer3.0"))
        samples[name, "layer3.0"] = done.samples
    units = pd.concat(tables, ignore_index=True)
    blocks = units[["network", "block"]].drop_duplicates().assign(depth=1)
    return selectivity_gaps(units, blocks, samples, "a")[0].iloc[0]


def test_a_gap_by_activity_alone_vanishes_and_a_gap_at_equal_activity_stays():
    """Selectivity that falls with activity in the same way in both networks, which differ in how active they are; then
    a second network that is more selective at every activity."""
    rng = np.random.default_rng(2)
    shared, offset = lambda active: 0.2 + 0.8 * (1 - active), lambda active: 0.4 + 0.8 * (1 - active)
    gaps = {"same": [], "more": []}
    for _ in range(12):
        few, many = rng.uniform(0.2, 0.7, 200), rng.uniform(0.4, 0.9, 200)
        activity = network(rng, many, 600, 10, shared)
        gaps["same"].append(measured(activity, network(rng, few, 600, 10, shared), 10))
        gaps["more"].append(measured(activity, network(rng, few, 600, 10, offset), 10))
    same, more = (pd.DataFrame(each).mean(numeric_only=True) for each in gaps.values())
    assert same["corrected_gap"] > 0.05 > 0.015 > abs(same["matched_gap"])
    assert more["matched_gap"] > 0.05 and more["corrected_gap"] > more["matched_gap"]
    assert 0.4 < same["matched_overlap"] < 0.8


def test_its_standard_error_is_its_spread_over_images():
    """Two networks that stay as they are, shown other images again and again: 1.13 to 1.56 in eight pairs of networks,
    where the corrected index's own was 1.08 to 1.55, so rather too large than too small."""
    rng = np.random.default_rng(3)
    active = {"a": rng.uniform(0.4, 0.9, 60), "b": rng.uniform(0.2, 0.7, 60)}
    gains = {name: np.exp(0.5 * rng.normal(size=(10, 60))) for name in active}
    labels, rows = np.arange(400) % 10, []
    for _ in range(40):
        shown = []
        for name, chance in active.items():
            on = rng.random((400, 60)) < chance
            shown.append((on * np.abs(rng.normal(size=on.shape)) * gains[name][labels]).astype(np.float32))
        rows.append(measured(*shown, 10))
    gaps = pd.DataFrame(rows)
    ratio = gaps["matched_gap_se"].astype(float).mean() / gaps["matched_gap"].astype(float).std()
    assert 0.75 < ratio < 1.9
