"""Damage and its agreement with indices: by hand, and by simulation where the truth is known."""

import numpy as np
import pytest
from scipy import stats

from gelens.statistics.lesions import class_orders, damages, lesion_tables, targeted_table


def test_damage_by_hand():
    """Three images, two units: the first is of class 0's image alone, the second of nobody."""
    lesions = {
        "loss": np.array([[3.0, 0.0], [0.0, 1.0], [0.0, 2.0]]),
        "logit": np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0]]),
        "right": np.array([[0, 1], [1, 1], [0, 0]]),
    }
    own = np.array([[True, False], [False, False], [False, False]])
    found = damages(lesions, np.array([True, True, False]), own)
    assert found["loss"].tolist() == [1, 1] and found["loss_own"][0] == 3 and np.isnan(found["loss_own"][1])
    assert found["loss_others"].tolist() == [0, 1] and found["logit_own"][0] == 2
    assert found["accuracy"].tolist() == pytest.approx([1 / 3, 0]) and found["accuracy_own"][0] == 1


def made(rng, tie: float, images: int = 400, units: int = 40):
    """Units that prefer a class by some strength, and whose lesion costs their own class `tie` times that strength."""
    labels = np.arange(images) % 5
    strength, preferred = rng.uniform(0.05, 1, units), rng.integers(0, 5, units)
    own = labels[:, None] == preferred
    activity = (np.abs(rng.normal(size=(images, units))) + 0.3) * (1 + strength * own)
    cost = tie * strength + (1 - tie) * rng.permutation(strength)
    loss = own * cost + 0.5 * rng.normal(size=(images, units))
    lesions = {"loss": loss.astype(np.float32), "logit": loss.astype(np.float32), "right": np.ones((images, units))}
    return activity.astype(np.float32), lesions, np.ones(images, bool), labels, np.arange(images)


def agreement_of(rng, tie: float, repeats: int, damage: str = "loss_own") -> list[dict]:
    rows = []
    for repeat in range(repeats):
        _, agreed = lesion_tables(*made(rng, tie), seed=repeat)
        mine = agreed[(agreed["index"] == "csi") & (agreed["damage"] == damage)]
        rows.append(mine.iloc[0].to_dict())
    return rows


@pytest.mark.slow
def test_agreement_is_one_where_index_and_damage_order_units_alike_but_for_noise():
    """The raw correlation falls short by noise; divided by the ceiling it comes near 1 (0.9 … 1.1 in the mean)."""
    rows = agreement_of(np.random.default_rng(0), 1.0, 15)
    raw, agreement = (np.mean([row[name] for row in rows]) for name in ("correlation", "agreement"))
    assert raw < 0.9 < agreement < 1.1 and raw < agreement
    assert all(row["low"] <= row["correlation"] <= row["high"] for row in rows)


@pytest.mark.slow
def test_no_relation_is_claimed_rarely_where_there_is_none():
    """Damage that knows nothing of the index: the mean correlation is about 0, and 95 % intervals over units leave 0
    out in at most 15 % of 40 repeats."""
    rows = agreement_of(np.random.default_rng(1), 0.0, 40, "loss")
    assert abs(np.mean([row["correlation"] for row in rows])) < 0.08
    assert np.mean([row["low"] > 0 or row["high"] < 0 for row in rows]) <= 0.15


@pytest.mark.slow
def test_a_mistaken_class_alone_makes_index_and_own_damage_agree():
    """As the docstring warns: the same units' damage on their own class, whose size knows nothing of the index."""
    rows = agreement_of(np.random.default_rng(1), 0.0, 40)
    assert 0.08 < np.mean([row["correlation"] for row in rows]) < 0.3


def test_the_order_of_images_does_not_matter():
    rng = np.random.default_rng(2)
    activity, lesions, right, labels, indices = made(rng, 0.7, 100, 12)
    units, agreed = lesion_tables(activity, lesions, right, labels, indices)
    order = rng.permutation(100)
    moved = {name: values[order] for name, values in lesions.items()}
    again = lesion_tables(activity[order], moved, right[order], labels[order], indices[order])
    assert np.allclose(units["loss_own"], again[0]["loss_own"])
    assert np.allclose(agreed["correlation"], again[1]["correlation"], equal_nan=True)


def test_a_classs_units_by_hand():
    """Three classes, three units: one of class 0 alone, one that is higher on class 0 than on others, a dead one."""
    means = np.array([[2.0, 3.0, 0.0], [0.0, 1.0, 0.0], [0.0, 2.0, 0.0]])
    assert class_orders(means).tolist() == [[0, 1, 2], [1, 0, 2], [1, 0, 2]]


def test_targeted_lesions_by_hand():
    right = np.array([True, True, True, False])
    targeted = np.array([[1, 0, 1, 1], [0, 0, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0]])
    found = targeted_table(targeted, right, [2, 8])
    assert found["k"].tolist() == [2, 8] and found["own"].tolist() == [0.25, 0.75]
    assert found["another"].tolist() == [0, 0.25] and found["difference"].tolist() == [0.25, 0.5]
    lost = np.array([[0, 1, 0, 0], [1, 1, 0, 1]])
    np.testing.assert_allclose(found["own_se"], stats.sem(lost, axis=1))
    np.testing.assert_allclose(found["own_high"] - found["own"], 1.96 * stats.sem(lost, axis=1))
