"""Areas, differences and tests of pruning curves against statsmodels, scipy's bootstrap, and hand-worked numbers."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from gelens.errors import UsageError
from gelens.randomness import poisson_weights
from gelens.statistics import curves as module
from gelens.statistics.curve_sentences import curve_sentences, training_curve_sentences
from gelens.statistics.curves import Bits, Curves, areas, class_curves, differences, point_tests
from gelens.statistics.significance import holm
from gelens.tables.pruning import read_curves

RATIOS = (0.0, 0.25, 0.5, 1.0)


def make_curves(images: int = 200, seed: int = 0, networks=("a",), random: bool = True) -> Curves:
    """Correctness that falls with the ratio, faster for the most important first."""
    rng = np.random.default_rng(seed)
    rows, correct = [], {network: [] for network in networks}
    for network in networks:
        difficulty = rng.random(images)
        for block in ("layer3.0", "layer3.1"):
            for ratio in RATIOS:
                ends = ratio in (0, 1)
                curves = [("gate", "none")] if ends else [("gate", "most"), ("gate", "least")]
                curves += [("random", "most")] if random and not ends else []
                for score, order in curves:
                    slope = {"most": 0.9, "least": 0.3, "none": 0.8}[order] if score == "gate" else 0.6
                    bits = rng.random(images) > np.clip(difficulty * 0.4 + slope * ratio, 0, 1)
                    correct[network].append(bits)
                    point = {"network": network, "block": block, "score": score, "order": order, "scope": "block"}
                    rows.append(point | {"fill": "zero", "per_image": True, "ratio": ratio, "top1": bits.mean()})
    labels = rng.integers(0, 3, images)
    bits = {network: np.array(each) for network, each in correct.items()}
    return Curves(pd.DataFrame(rows), bits, np.arange(images) * 7, labels, ["x", "y", "z"])


def test_area_by_hand():
    """One image, wrong from ratio 0.25 on if the most important go first, right until 1 otherwise."""
    rows = [("none", 0.0, 1), ("most", 0.25, 0), ("least", 0.25, 1), ("most", 0.5, 0), ("least", 0.5, 1)]
    rows.append(("none", 1.0, 0))
    table = pd.DataFrame(rows, columns=["order", "ratio", "top1"])
    table = table.assign(network="a", block="b", score="gate", scope="block", fill="zero", per_image=True)
    bits = np.array([[bool(right)] * 4 for *_, right in rows])
    summary = areas(Curves(table, {"a": bits}, np.arange(4), np.zeros(4, int), ["x"]))
    # least: 0.25 + 0.25 + 0.25; most: 0.125 + 0 + 0
    assert summary["area"].tolist() == [0.75 - 0.125] and summary["drop_all"].tolist() == [1.0]
    assert summary["area_se"].tolist() == [0.0] and np.isnan(summary["area_random"][0])


def test_errors_and_intervals_against_scipys_bootstrap():
    """Poisson weights against resampling by scipy: equal to the noise of 1,000 replicates, 5 %."""
    curves = make_curves(400)
    summary = areas(curves)
    table = curves.table.assign(at=range(len(curves.table)))
    for row in summary.itertuples():
        mine = table[(table["block"] == row.block) & (table["score"] == "gate")]
        lines = {
            order: mine[mine["order"].isin([order, "none"])].sort_values("ratio")["at"] for order in ("most", "least")
        }
        each = {
            order: np.trapezoid(curves.correct["a"][at].astype(float), RATIOS, axis=0) for order, at in lines.items()
        }
        values = each["least"] - each["most"]
        assert row.area == pytest.approx(values.mean(), abs=1e-12)
        theirs = stats.bootstrap((values,), np.mean, n_resamples=5000, method="percentile", random_state=0)
        assert row.area_se == pytest.approx(theirs.standard_error, rel=0.1)
        assert row.area_low == pytest.approx(theirs.confidence_interval.low, abs=0.3 * theirs.standard_error)
        assert row.area_high == pytest.approx(theirs.confidence_interval.high, abs=0.3 * theirs.standard_error)


def test_differences_at_each_ratio():
    curves = make_curves()
    table = differences(curves)
    assert set(table["versus"]) == {"least", "random"} and set(table["ratio"]) == {0.25, 0.5}
    accuracy = curves.table.set_index(["block", "score", "order", "ratio"])["top1"]
    for row in table.itertuples():
        other = ("gate", "least") if row.versus == "least" else ("random", "most")
        expected = accuracy[(row.block, *other, row.ratio)] - accuracy[row.block, "gate", "most", row.ratio]
        assert row.difference == pytest.approx(expected, abs=1e-12)
        assert row.difference_low <= row.difference <= row.difference_high


def test_the_same_weights_for_every_network():
    """Networks of equal correctness have equal errors, so that their difference has none."""
    curves = make_curves()
    rows = pd.concat([curves.table, curves.table.assign(network="b")], ignore_index=True)
    both = Curves(rows, curves.correct | {"b": curves.correct["a"]}, curves.indices, curves.labels, curves.classes)
    summary = areas(both)
    first, second = (summary[summary["network"] == name].iloc[:, 1:].reset_index(drop=True) for name in "ab")
    pd.testing.assert_frame_equal(first, second)


def test_mcnemar_and_holm_against_statsmodels():
    curves = make_curves(networks=("a", "b"))
    tests = point_tests(curves)
    assert len(tests) == 2 * 2 * (2 * 3 + 1)
    correct = {name: iter(bits) for name, bits in curves.correct.items()}
    rows = [(row, next(correct[row.network])) for row in curves.table.itertuples()]
    whole = {row.network: bits for row, bits in rows if row.ratio == 0 and row.block == "layer3.0"}
    expected = []
    for row, bits in rows:
        if row.ratio > 0:
            before = whole[row.network]
            table = [
                [(before & bits).sum(), (before & ~bits).sum()],
                [(~before & bits).sum(), (~before & ~bits).sum()],
            ]
            expected.append(mcnemar(table, exact=True).pvalue)
    assert tests["p"].to_numpy() == pytest.approx(np.minimum(expected, 1))
    # over all points, whatever their score and network: a reader sees them all
    assert set(tests["score"]) == {"gate", "random"} and set(tests["network"]) == {"a", "b"}
    assert tests["p_holm"].to_numpy() == pytest.approx(multipletests(tests["p"], method="holm")[1])


def test_holm_is_a_correction():
    p = np.random.default_rng(0).random(20) ** 3
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_sentences_by_hand():
    """What they rest on, then both orders, block by block; what is not measured is not told."""
    about = {"network": "se", "scope": "block", "fill": "zero", "score": "gate", "per_image": True}
    rows = [
        about | {"block": block, "area": area, "area_low": area - 0.1, "area_high": area + 0.1, "area_random": np.nan}
        for block, area in (("a", 0.2), ("b", 0.05), ("c", -0.3))
    ]
    (said,) = curve_sentences(pd.DataFrame(rows).assign(area_random_low=np.nan, area_random_high=np.nan))
    assert said == (
        "In this network (one training, so nothing about the architecture), se, maps dropped by gate: least important "
        "first leaves, against most important first, more images right in a (area between the curves up to +0.200 in "
        "a, 95 % over images +0.100 … +0.300), fewer in c (area between the curves up to -0.300 in c, 95 % over images "
        "-0.400 … -0.200), no difference resolved in b."
    )


def test_sentences_over_trainings_by_hand():
    about = {"network": "se", "scope": "block", "fill": "zero", "score": "gate", "per_image": True, "blocks": 6}
    found = {"trainings": 3, "mean": 0.02, "low": 0.01, "high": 0.03, "p_holm": 0.004, "verdict": "agree"}
    statistic = "a random order less most important first, mean over blocks"
    open_ = found | {"mean": 0.001, "low": -0.01, "p_holm": 0.5, "verdict": "not resolved", "statistic": "another"}
    (said,) = training_curve_sentences(pd.DataFrame([about | found | {"statistic": statistic}, about | open_]))
    assert said == (
        "Over 3 trainings of se, maps dropped by gate in one block at a time (6 blocks), share of images right over "
        "all ratios: a random order less most important first +0.0200 (95 % over trainings and images +0.0100 … "
        "+0.0300, p = 0.004); another not resolved: +0.0010 (95 % over trainings and images -0.0100 … +0.0300, "
        "p = 0.5); p after Holm's correction."
    )
    (few,) = training_curve_sentences(
        pd.DataFrame([about | found | {"low": np.nan, "trainings": 2, "statistic": statistic}])
    )
    assert "Over 2 trainings of se" in few and "no claim (it takes 3 trainings)" in few and "0.02" not in few


def test_orders_that_are_alike_are_told_apart_as_seldom_as_intervals_say():
    """Images are right by chance, whatever is dropped: 5 % of areas leave zero out. Of 400 the standard error is 1.1 %;
    on 200 images bootstrap intervals are a little short."""
    random, blocks = np.random.default_rng(0), [f"layer3.{at}" for at in range(400)]
    orders = [("none", 0.0), ("most", 0.25), ("least", 0.25), ("most", 0.5), ("least", 0.5), ("none", 1.0)]
    about = {"network": "a", "score": "gate", "scope": "block", "fill": "zero", "per_image": True}
    rows = [about | {"block": block, "order": order, "ratio": ratio} for block in blocks for order, ratio in orders]
    bits = random.random((len(rows), 200)) < 0.7
    table = pd.DataFrame(rows).assign(top1=bits.mean(1))
    summary = areas(Curves(table, {"a": bits}, np.arange(200), np.zeros(200, int), ["x"]), replicates=400)
    apart = (summary["area_low"] > 0) | (summary["area_high"] < 0)
    assert 0.02 < apart.mean() < 0.09


def test_class_curves():
    curves = make_curves()
    table = class_curves(curves)
    assert len(table) == len(curves.table) * 3
    row = table[(table["block"] == "layer3.1") & (table["order"] == "least") & (table["ratio"] == 0.5)].iloc[1]
    at = curves.table.index[
        (curves.table["block"] == "layer3.1") & (curves.table["order"] == "least") & (curves.table["ratio"] == 0.5)
    ][0]
    assert row["name"] == "y" and row["top1"] == curves.correct["a"][at][curves.labels == 1].mean()


def test_curves_without_both_orders_or_ratio_0():
    curves = make_curves(random=False)
    keep = (curves.table["order"] == "most").to_numpy()
    only = Curves(curves.table[keep], {"a": curves.correct["a"][keep]}, curves.indices, curves.labels, curves.classes)
    assert areas(only)["area"].isna().all() and differences(only).empty and point_tests(only).empty
    none = Curves(curves.table[:0], {}, curves.indices, curves.labels, curves.classes)
    assert areas(none).empty and differences(none).empty


def test_an_area_needs_both_ends():
    curves = make_curves()
    inner = (curves.table["ratio"] < 1).to_numpy()
    part = Curves(curves.table[inner], {"a": curves.correct["a"][inner]}, curves.indices, curves.labels, curves.classes)
    assert areas(part)["area"].isna().all() and areas(part)["drop_all"].isna().all()
    assert differences(part)["difference"].notna().all()


@pytest.mark.parametrize("images", [1, 3])
def test_very_few_images(images):
    summary = areas(make_curves(images))
    assert summary[["area", "area_se", "area_low", "area_high"]].notna().all(axis=None)


def test_a_folder_without_curves(tmp_path):
    with pytest.raises(UsageError, match=r"has no correctness\.npz"):
        read_curves(tmp_path)


def test_holm_is_over_all_points_whatever_their_score_and_network():
    rng = np.random.default_rng(0)
    rows, correct = [], {}
    for network in ("a", "b"):
        bits = []
        for score, order, ratio in [("gate", "none", 0.0)] + [
            (score, order, ratio) for score in ("gate", "random") for order in ("most", "least") for ratio in (0.5, 0.9)
        ]:
            rows.append((network, "layer3.0", "block", "zero", score, True, order, ratio))
            bits.append(rng.random(200) < 0.8 - 0.15 * ratio)
        correct[network] = np.stack(bits)
    columns = ["network", "block", "scope", "fill", "score", "per_image", "order", "ratio"]
    curves = Curves(pd.DataFrame(rows, columns=columns), correct, np.arange(200), np.zeros(200, int), ["x"])
    tests = point_tests(curves)
    assert len(tests) == 16
    np.testing.assert_allclose(tests["p_holm"], multipletests(tests["p"], method="holm")[1])


def test_images_in_parts_and_packed_give_the_same(monkeypatch):
    """Differences are whole numbers, exact however they are added up; areas differ by the rounding of 1,000 sums."""
    curves = make_curves(1003, 4, ("a", "b"))
    whole = areas(curves, replicates=60), differences(curves, replicates=60)
    packed = {name: Bits(np.packbits(right, axis=1), 1003) for name, right in curves.correct.items()}
    monkeypatch.setattr(module, "IMAGES", 64)
    monkeypatch.setattr(module, "COLUMNS", 3)
    again = Curves(curves.table, packed, curves.indices, curves.labels, curves.classes)
    pd.testing.assert_frame_equal(areas(again, replicates=60), whole[0], rtol=1e-12, atol=1e-15)
    pd.testing.assert_frame_equal(differences(again, replicates=60), whole[1], check_exact=True)
    pd.testing.assert_frame_equal(point_tests(again), point_tests(curves), check_exact=True)
    pd.testing.assert_frame_equal(class_curves(again), class_curves(curves), check_exact=True)


def test_weights_are_drawn_once_for_all_curves(monkeypatch):
    drawn = []

    def counted(seed, indices, replicates, first=0):
        drawn.append(replicates * len(indices))
        return poisson_weights(seed, indices, replicates, first)

    monkeypatch.setattr(module, "poisson_weights", counted)
    monkeypatch.setattr(module, "COLUMNS", 2)
    differences(make_curves(200, 0, ("a", "b", "c")), replicates=70)
    assert sum(drawn) == 70 * 200


def test_bits_begin_at_a_byte():
    with pytest.raises(ValueError, match="a multiple of 8, but got 3"):
        Bits(np.zeros((2, 2), np.uint8), 16)[:, 3:8]


@pytest.mark.parametrize(
    "key", [(0, slice(8)), (slice(None), 3), (slice(None), slice(0, 8, 2)), slice(0, 2), [0, 1], True, (0,)]
)
def test_bits_of_images_are_slices(key):
    with pytest.raises(TypeError, match="Expected a point, or slices of points and of images"):
        Bits(np.zeros((2, 2), np.uint8), 16)[key]


def test_bits_of_an_empty_part_are_none():
    assert Bits(np.zeros((2, 2), np.uint8), 16)[:, 16:8].shape == (2, 0)


def test_no_curves_have_no_rows():
    none = Curves(pd.DataFrame(), {}, np.arange(3), np.zeros(3, int), ["x"])
    assert none.of_networks(["a"]).correct == {}
    assert not len(areas(none)) and not len(differences(none))
