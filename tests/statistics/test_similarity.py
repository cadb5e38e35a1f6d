"""Two networks compared: by hand, the slow way, by simulation where the truth is known, invariances, complaints."""

import numpy as np
import pytest

from gelens.errors import UsageError
from gelens.statistics import similarity
from gelens.statistics.similarity import Centred, best_matches, cka, hsic


def slow_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. (2012), equation 5, from matrices of images × images."""
    n = len(x)
    k, m, ones = x @ x.T, y @ y.T, np.ones(n)
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    sums = (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
    return (np.trace(k @ m) + sums - 2 / (n - 2) * (ones @ k @ m @ ones)) / (n * (n - 3))


def alike(x: np.ndarray, y: np.ndarray) -> similarity.Alikeness:
    return cka(Centred(x), Centred(y))


def match(x: np.ndarray, y: np.ndarray, seed: int = 0):
    return best_matches(x, y, np.arange(len(x)) % 10, np.arange(len(x)), seed)


def test_hsic_is_the_slow_one_whole_and_without_each_image(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.random((12, 4)) + 5
    y = rng.random((12, 3)) + x[:, :3] ** 2
    for rows in (4096, 5):
        monkeypatch.setattr(similarity, "ROWS", rows)
        found = hsic(Centred(x), Centred(y))
        assert found.debiased == pytest.approx(slow_hsic(x, y), rel=1e-9)
        without = [slow_hsic(np.delete(x, row, 0), np.delete(y, row, 0)) for row in range(12)]
        np.testing.assert_allclose(found.without, without, rtol=1e-8)


def test_by_hand():
    """Two units of which the other network has one: ‖XᵀY‖² = 4², ‖XᵀX‖ = √(4² + 4²), ‖YᵀY‖ = 4."""
    x = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0], [0, 0]])
    assert alike(x, x[:, :1]).biased == pytest.approx(1 / np.sqrt(2))


def test_rotation_shift_and_one_scale_change_nothing():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 5)), rng.normal(size=(60, 7))
    y[:, :5] += x
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    order = rng.permutation(60)
    first, other = alike(x, y), alike((3 * x @ rotation + 2)[order], y[order])
    assert vars(other) == pytest.approx(vars(first), rel=1e-6)
    assert vars(alike(y, x)) == pytest.approx(vars(first), rel=1e-6)


def test_debiased_is_zero_on_average_where_nothing_is_shared_and_biased_is_not():
    """100 images × 80 and 60 units: biased 0.41, debiased 0.001 with a spread of 0.015 over 100 pairs."""
    rng = np.random.default_rng(2)
    found = [alike(rng.normal(size=(100, 80)), rng.normal(size=(100, 60))) for _ in range(60)]
    values = np.array([each.cka for each in found])
    assert abs(values.mean()) < 3.5 * values.std() / np.sqrt(60) < 0.01
    assert np.mean([each.biased for each in found]) > 0.35


def test_debiased_is_that_of_many_images_and_its_error_its_spread():
    """200 images against 20,000: 0.541 for 0.545, biased 0.566; standard error 0.0252 for a spread of 0.0249."""
    rng = np.random.default_rng(3)
    mixing, scale = rng.normal(size=(20, 20)), np.linspace(2, 0.3, 20)

    def pair(images):
        z = rng.normal(size=(images, 20)) * scale
        return alike(np.maximum(z, 0), np.maximum(z @ mixing, 0) + rng.normal(size=z.shape))

    truth, found = pair(20_000).cka, [pair(200) for _ in range(100)]
    values = np.array([each.cka for each in found])
    assert abs(values.mean() - truth) < 0.012 < np.mean([each.biased for each in found]) - truth
    assert 0.75 < np.mean([each.se for each in found]) / values.std() < 1.35


def test_blocks_that_do_not_vary_have_no_cka():
    flat = alike(np.ones((10, 2)), np.random.default_rng(0).random((10, 2)))
    assert np.isnan([flat.cka, flat.biased, flat.se]).all()


def test_the_same_units_in_another_order_are_found():
    rng = np.random.default_rng(4)
    x, order = rng.random((50, 8)), rng.permutation(8)
    table, error = match(x, 2 * x[:, order] + 1)
    assert order[table["match"]].tolist() == list(range(8))
    assert table["correlation"].to_numpy() == pytest.approx(1) and error == pytest.approx(0, abs=1e-9)


def test_correlation_by_hand():
    """Of two units with one each, there is no choice: the mean of two halves' correlations."""
    x = np.arange(8.0)[:, None]
    y = np.array([1.0, 0, 3, 2, 4, 7, 6, 5])[:, None]
    halves = similarity.stratified_halves(0, np.arange(8) % 10, np.arange(8))
    each = [np.corrcoef(x[halves == half, 0], y[halves == half, 0])[0, 1] for half in (0, 1)]
    table, _ = match(x, y)
    assert table["correlation"].item() == pytest.approx(np.mean(each))
    assert table["correlation_chosen"].item() == pytest.approx(np.corrcoef(x[:, 0], y[:, 0])[0, 1])


@pytest.mark.parametrize("active", [1.0, 0.1])
def test_it_is_zero_on_average_where_units_have_nothing_to_do_with_each_other(active):
    """400 images, the best of 80: 0.0006 ± 0.0009 and −0.0006 ± 0.0011; where it was chosen 0.12 and 0.16."""
    rng = np.random.default_rng(5)
    means, errors, chosen = [], [], []
    for seed in range(40):
        x, y = ((rng.random((400, u)) < active) * np.abs(rng.normal(size=(400, u))) for u in (60, 80))
        table, error = match(x, y, seed)
        means.append(table["correlation"].mean())
        chosen.append(table["correlation_chosen"].mean())
        errors.append(error)
    assert abs(np.mean(means)) < 3.5 * np.std(means) / np.sqrt(40) < 0.005
    assert np.mean(chosen) > 0.1
    assert 0.6 < np.mean(errors) / np.std(means, ddof=1) < 1.6


def test_it_is_the_true_correlation_where_each_unit_has_a_partner():
    """0.608 for 0.610 at 400 images, spread 0.0053, standard error 0.0053; every partner is found."""
    rng = np.random.default_rng(6)
    means, errors = [], []
    for seed in range(60):
        shared, order = np.abs(rng.normal(size=(400, 40))), rng.permutation(40)
        x, y = (shared + 0.8 * np.abs(rng.normal(size=shared.shape)) for _ in range(2))
        table, error = match(x, y[:, order], seed)
        assert (order[table["match"]] == table["unit"]).all()
        means.append(table["correlation"].mean())
        errors.append(error)
    assert np.mean(means) == pytest.approx(1 / 1.64, abs=0.006)
    assert 0.7 < np.mean(errors) / np.std(means, ddof=1) < 1.4


def test_units_that_do_not_vary():
    rng = np.random.default_rng(7)
    x, y = rng.random((40, 3)), rng.random((40, 2))
    x[:, 1] = 3.7
    y[:, 0] = 0
    table, _ = match(x, y)
    assert table["match"].tolist() == [1, -1, 1]
    assert np.isnan(table["correlation"]).tolist() == [False, True, False]
    dead, error = match(x, np.zeros((40, 2)))
    assert dead["correlation"].isna().all() and np.isnan(error)


def test_complaints():
    with pytest.raises(UsageError, match="at least 5 images"):
        Centred(np.ones((4, 2)), "layer3.0")
    with pytest.raises(UsageError, match=r"layer `layer3\.0` has activities that are NaN or infinite"):
        Centred(np.full((6, 2), np.nan), "layer3.0")
    with pytest.raises(UsageError, match="6 and 7 images"):
        hsic(Centred(np.eye(6)), Centred(np.eye(7)))
    with pytest.raises(UsageError, match="6 and 7 images"):
        match(np.eye(6), np.eye(7))
