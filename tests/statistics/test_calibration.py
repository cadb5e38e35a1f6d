"""Calibration of a run: it finds the bias that there is, and the cover that is counted."""

import numpy as np
import pytest
from scipy import stats

from gelens.statistics import Resampling, block_means, unit_statistics
from gelens.statistics.calibration import SCALES, Calibration, World, calibrations, combined, cover, stored, told
from gelens.statistics.samples import half_width
from gelens.statistics.sparseness import sparseness

CLASSES, IMAGES, UNITS = 40, 25, 40
LABELS = np.repeat(np.arange(CLASSES), IMAGES)


def drawn(seed: int, replicates: int = 0) -> Resampling:
    return Resampling(LABELS, np.arange(len(LABELS)), CLASSES, seed, 0, replicates)


def activities(active: float, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, U) gamma activities, and the units' true class means (K, U)."""
    rng = np.random.default_rng(seed)
    gains = np.exp(spread * np.random.default_rng(5).standard_normal((CLASSES, UNITS)))
    values = rng.standard_gamma(1.0, (len(LABELS), UNITS)) * (rng.random((len(LABELS), UNITS)) < active)
    return (values * gains[LABELS]).astype(np.float32), gains


@pytest.fixture(scope="module")
def blocks() -> list[dict]:
    """Of 40 blocks with half of the images active: what S and the corrected index err by, and their standard errors."""
    found = []
    for seed in range(40):
        values, gains = activities(0.5, 0.3, seed)
        done = unit_statistics(values, drawn(seed, 20))
        row = block_means(done.table, done.samples)
        truth = {"sparseness": sparseness(gains, np.zeros(UNITS))[0].mean()}
        rest = (gains.sum(0) - gains.max(0)) / (CLASSES - 1)
        truth["corrected"] = ((gains.max(0) - rest) / (gains.max(0) + rest)).mean()
        found.append({kind: (row[f"mean_{kind}"] - truth[kind], row[f"mean_{kind}_se"]) for kind in truth})
    return found


@pytest.mark.parametrize("kind, within", [("sparseness", 0.004), ("corrected", 0.02)])
def test_it_finds_the_bias_that_blocks_have(blocks, kind, within):
    errors = np.array([block[kind][0] for block in blocks])
    found = calibrations(activities(0.5, 0.3, 99)[0], drawn(0), "a block")[kind]
    assert found.bias[0] == pytest.approx(errors.mean(), abs=within + 3 * errors.std() / np.sqrt(len(errors)))


@pytest.mark.parametrize("kind", ["sparseness", "corrected"])
def test_its_cover_is_what_is_counted(blocks, kind):
    errors, spreads = np.array([block[kind] for block in blocks]).T
    counted = (np.abs(errors) <= half_width(20) * spreads).mean()
    own = Calibration((errors.mean(), np.nan, np.nan), errors.std(ddof=1) / np.sqrt((spreads**2).mean()))
    assert cover(own, spreads.mean(), 19) == pytest.approx(counted, abs=0.15)


def test_fewer_active_images_have_more_bias_and_at_last_none_is_told():
    values, _ = activities(0.3, 0.4, 1)
    found = calibrations(values, drawn(0), "a")["sparseness"]
    assert SCALES == (1.0, 0.5, 2.0)
    assert abs(found.bias[2]) < abs(found.bias[0]) or np.isnan(found.bias[1]) or abs(found.bias[1]) > abs(found.bias[0])
    seldom = calibrations(activities(0.01, 0.4, 1)[0], drawn(0), "a")["sparseness"]
    assert np.isnan(seldom.bias[0]) and np.isnan(cover(seldom, 0.01, 19))


def test_a_simulated_world_has_the_measured_shares_and_profiles():
    values, gains = activities(0.3, 0.6, 2)
    world = World.like(values, drawn(0))
    again = world.drawn(1.0, np.repeat(LABELS, 20), np.random.default_rng(0))
    assert (again > 0).mean(0) == pytest.approx((values > 0).mean(0), rel=0.15)
    means = np.array([again[np.repeat(LABELS, 20) == k].mean(0) for k in range(CLASSES)])
    assert np.corrcoef(means.ravel(), world.profile.ravel())[0, 1] > 0.95
    assert np.corrcoef(world.profile.ravel(), (gains / gains.mean(0)).ravel())[0, 1] > 0.65
    half = world.drawn(0.5, LABELS, np.random.default_rng(0))
    assert (half > 0).mean() == pytest.approx((values > 0).mean() / 2, rel=0.1)
    dense = World.like(values + 1, drawn(0))
    assert (dense.drawn(0.5, LABELS, np.random.default_rng(0)) > 0).all(), "as often active, more variable"


def test_it_is_the_same_whenever_and_wherever_it_is_made():
    values, _ = activities(0.3, 0.4, 3)
    one, other = (
        calibrations(form, drawn(0, replicates), "a") for form, replicates in ((values, 0), (values.copy(), 7))
    )
    assert one == other and one != calibrations(values, drawn(0), "b")


def test_nothing_is_told_of_dead_blocks_and_of_single_images():
    assert calibrations(np.zeros((len(LABELS), 3), dtype=np.float32), drawn(0), "a") == {}
    single = Resampling(np.arange(4), np.arange(4), 4, 0, 0, 0)
    assert calibrations(np.ones((4, 2), dtype=np.float32), single, "a") == {}


def test_what_is_stored_is_read_again_and_combined():
    found = {"sparseness": Calibration((0.01, 0.02, 0.005), 1.1)}
    row = told(found, {"mean_sparseness_se": 0.01, "mean_corrected_se": 0.01}, 100)
    assert stored(row, "sparseness") == found["sparseness"] and stored({}, "sparseness") is None
    assert row["sparseness_cover"] < 0.6 and np.isnan(row["corrected_cover"])
    assert np.isnan(stored(row, "corrected").bias).all(), "simulation could not tell: that is not the same as none"
    gap = combined([found["sparseness"], Calibration((0.01, 0.02, np.nan), 0.9)], [1, -1])
    assert gap.bias[:2] == (0, 0) and np.isnan(gap.bias[2]) and gap.ratio == pytest.approx(np.sqrt((1.21 + 0.81) / 2))
    assert cover(gap, 0.01, 100) > 0.9
    growth = combined([found["sparseness"], Calibration((np.nan,) * 3, np.nan), found["sparseness"]], [-1, 0, 1])
    assert growth.bias == (0, 0, 0), "what has no weight may be unknown"


@pytest.mark.parametrize("freedom, bias", [(2, 0.0), (2, 1.0), (4, 1.0), (99, 0.5), (99, 2.0)])
def test_cover_is_that_of_an_interval_whose_error_is_estimated(freedom, bias):
    """Against 200,000 simulated intervals; their standard error is 0.001."""
    rng = np.random.default_rng(freedom)
    estimate = bias + 0.8 * rng.standard_normal(200_000)
    error = np.sqrt(rng.chisquare(freedom, 200_000) / freedom)
    counted = (np.abs(estimate) <= stats.t.ppf(0.975, freedom) * error).mean()
    assert cover(Calibration((bias, np.nan, np.nan), 0.8), 1.0, freedom) == pytest.approx(counted, abs=0.004)


@pytest.mark.parametrize("active, spread", [(1.0, 0.8), (0.5, 0.8), (0.1, 1.2), (0.3, 0.1)])
def test_simulated_units_are_as_noisy_and_as_often_active_as_measured(active, spread):
    values, _ = activities(active, spread, 7)
    world = World.like(values, drawn(0))
    labels = np.repeat(LABELS, 10)
    again = world.drawn(1.0, labels, np.random.default_rng(0))

    def relative_noise(rows: np.ndarray, of: np.ndarray) -> np.ndarray:
        return np.mean([rows[of == k].var(0) for k in range(CLASSES)], 0) / rows.mean(0) ** 2

    assert (again > 0).mean() == pytest.approx((values > 0).mean(), rel=0.03)
    assert np.median(relative_noise(again, labels) / relative_noise(values, LABELS)) == pytest.approx(1, abs=0.15)
