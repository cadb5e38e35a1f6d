"""Intervals over trainings: right by simulation, and equal to scipy's where only trainings vary."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gelens.errors import UsageError
from gelens.statistics import curves as module
from gelens.statistics.comparison import GAPS
from gelens.statistics.curves import Bits, Curves, areas
from gelens.statistics.trainings import (
    EMERGENCE,
    between_trainings,
    contrast_of_trainings,
    curve_claims,
    over_trainings,
    training_areas,
    training_errors,
    training_gaps,
    training_sentences,
    with_holm,
)
from tests.statistics.test_curves import make_curves


def nothing_differs(trainings: int, of_trainings: float, of_images: float, repeats: int, truth: float = 0.0):
    """Rows of quantities that scatter over trainings, where all trainings share what the images at hand do to them,
    whose size is estimated from 100 replicates."""
    random, replicates = np.random.default_rng(trainings), 100
    shared = truth + of_images * random.normal(size=repeats)
    values = shared + of_trainings * random.normal(size=(trainings, repeats))
    errors = of_images * np.sqrt(random.chisquare(replicates - 1, repeats) / (replicates - 1))
    return over_trainings(values, errors, replicates)


RATIOS = pytest.mark.parametrize("of_trainings,of_images", [(1.0, 0.1), (1.0, 0.3), (1.0, 1.0), (0.1, 1.0)])


@RATIOS
@pytest.mark.parametrize("trainings", [3, 5, 10])
def test_intervals_hold_the_truth(trainings, of_trainings, of_images):
    """Seen in 100,000 repeats: 0.949 to 0.952 where one of the two dominates, more where they are alike. Of 4,000
    repeats the standard error is 0.0034."""
    table = nothing_differs(trainings, of_trainings, of_images, 4000, truth=0.3)
    cover = ((table["low"] <= 0.3) & (table["high"] >= 0.3)).mean()
    assert 0.94 < cover < 0.99


@RATIOS
@pytest.mark.parametrize("trainings", [3, 5, 10])
def test_small_p_are_as_rare_as_they_say(trainings, of_trainings, of_images):
    """What Holm's correction asks for: tolerance, three standard errors of 20,000 repeats."""
    p = nothing_differs(trainings, of_trainings, of_images, 20_000)["p"]
    for level in (0.05, 0.01, 0.003):
        assert (p < level).mean() < level + 3 * np.sqrt(level / 20_000)


def test_satterthwaites_small_p_are_not():
    """Why they aren't used: with three trainings that vary more than images do, 1 % comes in over 2 % of cases."""
    table = nothing_differs(3, 1.0, 0.1, 20_000)
    p = 2 * stats.t.sf(np.abs(table["mean"]) / table["se"], table["df"])
    assert (p < 0.01).mean() > 0.02


def test_nothing_is_claimed_of_any_block_where_nothing_differs():
    """With Holm's correction over the twelve rows of a table at most 5 % of tables claim anything; Satterthwaite's p
    would do so in 23 %. Of 2,000 tables the standard error is 0.005."""
    tables, rows = 2000, 12
    table = nothing_differs(3, 1.0, 0.1, tables * rows)

    def claims(p: np.ndarray) -> float:
        each = with_holm(pd.DataFrame({"p": p, "table": np.repeat(range(tables), rows)}), "table")
        return (each["p_holm"] < 0.05).groupby(each["table"]).any().mean()

    assert claims(table["p"].to_numpy()) < 0.065
    assert claims(2 * stats.t.sf(np.abs(table["mean"]) / table["se"], table["df"])) > 0.15


def test_the_level_is_where_the_interval_ends_at_zero():
    table = nothing_differs(4, 1.0, 0.5, 500)
    assert ((table["p"] < 0.05) == ((table["low"] > 0) | (table["high"] < 0))).all()
    far = over_trainings(
        np.array([[1e60, 0.0, 5.0], [1e60 + 1, 0.0, 5.0], [1e60, 0.0, 5.0]]), np.array([1e-60, 1, 0]), 100
    )["p"]
    assert far[0] == 0 and far[1] == 1 and np.isnan(far[2]), "where nothing varies there is no p"


def test_without_an_error_over_images_it_is_scipys_t():
    values = np.random.default_rng(0).normal(0.5, size=(6, 3))
    table = over_trainings(values, np.zeros(3), 100)
    theirs = stats.ttest_1samp(values, 0)
    assert np.allclose(table["p"], theirs.pvalue)
    assert np.allclose(table[["low", "high"]].to_numpy().T, theirs.confidence_interval())
    assert np.allclose(table["df"], 5)


@pytest.mark.parametrize("trainings", [1, 2])
def test_one_or_two_trainings_have_no_interval(trainings):
    table = over_trainings(np.full((trainings, 2), 0.1), np.array([0.01, 0.01]), 100)
    assert table["mean"].tolist() == [0.1, 0.1] and table.drop(columns=["mean", "trainings"]).isna().all(axis=None)
    one = between_trainings(np.full((trainings, 3, 1), 0.1), np.array([0.01]), 100)
    other = between_trainings(np.full((3, trainings, 1), 0.1), np.array([0.01]), 100)
    assert one[["low", "p"]].isna().all(axis=None) and other[["low", "p"]].isna().all(axis=None)


def of_two(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Gaps of every training to every one of the other network: (N, M, quantities)."""
    return mine[:, None] - theirs[None]


def test_between_trainings_without_an_error_over_images_it_is_welchs_test():
    random = np.random.default_rng(0)
    mine, theirs = random.normal(0.5, 1, (6, 3)), random.normal(0, 3, (4, 3))
    table = between_trainings(of_two(mine, theirs), np.zeros(3), 100)
    welch = stats.ttest_ind(mine, theirs, equal_var=False)
    assert np.allclose(table["p"], welch.pvalue) and np.allclose(table["df"], welch.df)
    assert np.allclose(table[["low", "high"]].to_numpy().T, welch.confidence_interval())
    assert table[["trainings", "reference_trainings"]].to_numpy().tolist() == [[6, 4]] * 3


@pytest.mark.parametrize("ratio", [1.0, 5.0])
@pytest.mark.parametrize("of_images", [0.1, 1.0])
@pytest.mark.parametrize("trainings", [3, 5])
def test_level_and_cover_between_networks(trainings, of_images, ratio):
    """Networks of equal truth whose trainings scatter differently: rejected in at most 5 % of 4,000 repeats, up to
    three standard errors; what images do is shared. Power is that of a difference of three sd."""
    random, repeats, replicates = np.random.default_rng(trainings), 4000, 100
    shared = of_images * random.normal(size=repeats)
    mine = ratio * random.normal(size=(trainings, repeats)) + shared
    theirs = random.normal(size=(trainings, repeats))
    errors = of_images * np.sqrt(random.chisquare(replicates - 1, repeats) / (replicates - 1))
    table = between_trainings(of_two(mine, theirs), errors, replicates)
    level = (table["p"] < 0.05).mean()
    assert 0.01 < level < 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats) + 0.005
    far = between_trainings(of_two(mine + 5 * np.hypot(ratio, 1), theirs), errors, replicates)
    assert (far["p"] < 0.05).mean() > (0.55 if trainings == 3 else 0.95)


def test_a_contrast_of_two_networks_is_their_difference():
    random = np.random.default_rng(0)
    mine, theirs, errors = random.normal(0.5, 1, (6, 3)), random.normal(0, 3, (4, 3)), np.array([0.1, 1, 3])
    pd.testing.assert_frame_equal(
        contrast_of_trainings([mine, theirs], [1, -1], errors, 100),
        between_trainings(of_two(mine, theirs), errors, 100),
    )


@pytest.mark.parametrize("trainings", [3, 5])
@pytest.mark.parametrize("of_images", [0.0, 0.3])
def test_level_and_power_of_a_contrast_of_four_networks(trainings, of_images):
    """Means of two networks each, whose trainings scatter differently: as between two networks."""
    random, repeats, weights = np.random.default_rng(trainings), 4000, [0.5, 0.5, -0.5, -0.5]
    values = [spread * random.normal(size=(trainings, repeats)) for spread in (1.0, 2.0, 0.5, 4.0)]
    values[0] = values[0] + 2 * of_images * random.normal(size=repeats)
    errors = np.full(repeats, of_images)
    level = (contrast_of_trainings(values, weights, errors, 1000)["p"] < 0.05).mean()
    assert 0.01 < level < 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats) + 0.005
    values[1] = values[1] + 10
    found = contrast_of_trainings(values, weights, errors, 1000)
    assert (found["p"] < 0.05).mean() > (0.55 if trainings == 3 else 0.9)
    assert abs(found["mean"].mean() - 5) < 0.1


BLOCKS, UNITS, REPLICATES = ("layer3.0", "layer3.1", "layer3.2"), 12, 40


def made(gap: float, slope: float, scatter: float, seeds: int):
    """Tables and samples of two groups whose indices differ by gap + slope · depth, up to `scatter`."""
    random, rows, samples = np.random.default_rng(1), [], {}
    groups = {group: {seed: f"{group} {seed}" for seed in range(seeds)} for group in ("plain", "se")}
    for group, trainings in groups.items():
        for label in trainings.values():
            for depth, block in enumerate(BLOCKS, 1):
                index = 0.4 + (gap + slope * depth) * (group == "se") + scatter * random.normal()
                index = index + 0.01 * random.normal(size=UNITS)
                columns = dict.fromkeys(("csi", "csi_crossfit", "csi_corrected", "sparseness"), index)
                columns["csi_null"] = index / 2
                rows.append(pd.DataFrame({"network": label, "block": block, "unit": range(UNITS)} | columns))
                drawn = index + 0.002 * random.normal(size=(REPLICATES, UNITS))
                samples[label, block] = dict.fromkeys(("csi", "crossfit", "corrected", "sparseness"), drawn)
                samples[label, block]["null"] = drawn / 2
                samples[label, block]["halves"] = np.stack([index, index])
    units = pd.concat(rows, ignore_index=True)
    places = {block: depth for depth, block in enumerate(BLOCKS, 1)}
    blocks = units[["network", "block"]].drop_duplicates()
    return units, blocks.assign(depth=blocks["block"].map(places)), samples, groups


@pytest.mark.parametrize("kind, column", [("corrected", "csi_corrected"), ("sparseness", "sparseness")])
def test_gaps_are_those_of_the_obvious_loop(kind, column):
    units, blocks, samples, groups = made(0.1, 0.02, 0.005, 4)
    del groups["plain"][3]  # unequal numbers
    gaps, trends, seeds, claims = training_gaps(units, blocks, samples, groups, "plain").values()
    for row in gaps[gaps["gap"] == kind].itertuples():
        means = units[units["block"] == row.block].groupby("network")[column].mean()
        mine, theirs = ([means[label] for label in groups[group].values()] for group in ("se", "plain"))
        drawn = [
            np.mean([samples[f"se {seed}", row.block][kind][k].mean() for seed in range(4)])
            - np.mean([samples[f"plain {seed}", row.block][kind][k].mean() for seed in range(3)])
            for k in range(REPLICATES)
        ]
        variance = np.var(mine, ddof=1) / 4 + np.var(theirs, ddof=1) / 3
        assert np.allclose([row.mean, row.se_trainings], [np.mean(mine) - np.mean(theirs), np.sqrt(variance)])
        assert np.isclose(row.se_images, np.std(drawn, ddof=1))
        pairs = seeds[(seeds["gap"] == kind) & (seeds["block"] == row.block)].set_index("seed")["value"]
        assert np.allclose(pairs, np.subtract(mine[:3], theirs))
    assert (gaps["trainings"] == 4).all() and (gaps["reference_trainings"] == 3).all()
    assert set(gaps["gap"]) == set(GAPS)
    slope = trends.set_index("gap").loc[kind]
    by_depth = gaps[gaps["gap"] == kind].set_index("depth")["mean"]
    assert np.isclose(slope["mean"], np.polyfit(by_depth.index, by_depth, 1)[0])
    (claim,) = claims.itertuples()
    ends = by_depth if kind == "sparseness" else gaps[gaps["gap"] == "sparseness"].set_index("depth")["mean"]
    assert np.allclose([claim.early, claim.late, claim.mean], [ends[1], ends[3], ends[3] - ends[1]])
    assert claim.statistic == EMERGENCE and claim.p_holm == claim.p and claim.verdict == "agree"


def said_of(gap: float, slope: float, scatter: float, seeds: int) -> str:
    tables = training_gaps(*made(gap, slope, scatter, seeds), "plain")
    (line,) = training_sentences(tables["selectivity_gap_trainings.csv"], tables["selectivity_claims.csv"])
    return line


def test_sentences_claim_what_is_resolved_and_no_more():
    clear = said_of(0.1, 0.05, 0.002, 4)
    assert clear.startswith("Over 4 trainings of se and 4 of plain: the gap grows with depth, from +0.1")
    assert "after Holm's correction over networks; block by block, each interval by itself: higher sparseness" in clear
    assert "the gap closes with depth" in said_of(-0.3, 0.05, 0.002, 4)
    none = said_of(0.0, 0.0, 0.05, 3)
    assert "no change of the gap with depth is resolved" in none and "no difference of S resolved" in none
    assert "higher" not in none and "lower" not in none
    for few in (1, 2):
        tables = training_gaps(*made(0.1, 0.0, 0.0, few), "plain")
        assert (tables["selectivity_claims.csv"]["verdict"] == "no claim").all()
        alone = said_of(0.1, 0.0, 0.0, few)
        assert "no claim (it takes 3 trainings of each network)" in alone and "+0.1" not in alone


def test_groups_of_other_depths_have_no_trend_and_no_claim():
    units, blocks, samples, groups = made(0.3, 0.05, 0.002, 4)
    last = units[(units["block"] == "layer3.2") & units["network"].isin(groups["se"].values())]
    deeper = pd.concat([units, last.assign(block="layer3.3")], ignore_index=True)
    gaps, trends, _, claims = training_gaps(deeper, blocks, samples, groups, "plain").values()
    assert not len(trends) and not len(claims)
    assert set(gaps["stage_blocks"]) == {4} and set(gaps["reference_stage_blocks"]) == {3}
    (said,) = training_sentences(gaps, claims)
    assert "conv4 has 4 blocks against 3" in said and "no claim about conv4-1 … conv4-3" in said
    assert "higher" not in said and "with depth" not in said


def test_an_unknown_group_is_named():
    with pytest.raises(UsageError, match="no group `ge` among those measured: plain, se"):
        training_gaps(*made(0.1, 0.0, 0.0, 3), "ge")


def test_errors_over_trainings_are_those_of_a_plain_loop():
    random = np.random.default_rng(4)
    right = {f"{group} {seed}": random.random(500) < 0.6 for group in ("avg", "max") for seed in range(4)}
    groups = {group: {seed: f"{group} {seed}" for seed in range(4)} for group in ("avg", "max")}
    (row,) = training_errors(right, groups, [("max", "avg")]).itertuples()
    each = [100 * np.mean(~right[f"max {seed}"]) - 100 * np.mean(~right[f"avg {seed}"]) for seed in range(4)]
    on_images = [
        np.mean([int(right[f"avg {seed}"][i]) - int(right[f"max {seed}"][i]) for seed in range(4)]) for i in range(500)
    ]
    of_each = [[100 * np.mean(~right[f"{group} {seed}"]) for seed in range(4)] for group in ("avg", "max")]
    variance = sum(np.var(errors, ddof=1) / 4 for errors in of_each)
    assert np.allclose([row.mean, row.se_trainings], [np.mean(each), np.sqrt(variance)])
    assert np.isclose(row.se_images, 100 * stats.sem(on_images)) and row.p_holm == row.p
    (other,) = training_errors(right, groups, [("avg", "max")]).itertuples()
    assert np.isclose(other.mean, -row.mean) and np.isclose(other.low, -row.high)


def test_errors_that_do_not_differ_are_rarely_said_to():
    """Networks of one accuracy that are right on partly the same images: at most 5 % of 400 such pairs, up to noise."""
    random, claimed = np.random.default_rng(5), 0
    groups = {group: {seed: f"{group} {seed}" for seed in range(3)} for group in ("avg", "max")}
    for _ in range(400):
        chance = random.beta(1.5, 1, 300)
        skill = {label: 0.05 * random.normal() for each in groups.values() for label in each.values()}
        right = {label: random.random(300) < np.clip(chance + each, 0, 1) for label, each in skill.items()}
        (row,) = training_errors(right, groups, [("max", "avg")]).itertuples()
        claimed += row.p_holm < 0.05
    assert claimed / 400 < 0.085


def test_areas_over_trainings_are_those_of_each_training():
    curves = make_curves(300, networks=("se 0", "se 1", "se 2", "other"))
    table = training_areas(curves, {"se": {seed: f"se {seed}" for seed in range(3)}}, replicates=200)
    each = areas(curves, replicates=10)
    for row in table.itertuples():
        mine = each[(each["block"] == row.block) & each["network"].str.startswith("se")][row.quantity]
        assert row.mean == pytest.approx(mine.mean()) and row.se_trainings == pytest.approx(mine.std() / np.sqrt(3))
        assert 0 < row.se_images < 0.1 and row.p_holm >= row.p
    assert len(table) == 2 * 3 and set(table["network"]) == {"se"} and (table["trainings"] == 3).all()


def test_what_an_order_is_worth_is_one_number_of_all_blocks():
    curves = make_curves(300, networks=("se 0", "se 1", "se 2", "other"))
    claims = curve_claims(curves, {"se": {seed: f"se {seed}" for seed in range(3)}}, replicates=200)
    each = areas(curves, replicates=10)
    mine = each[each["network"].str.startswith("se")].groupby("network")[["area", "area_random"]].mean()
    expected = [mine["area"], mine["area_random"], mine["area"] - mine["area_random"]]
    assert claims["mean"].tolist() == pytest.approx([values.mean() for values in expected])
    assert claims["se_trainings"].tolist() == pytest.approx([values.std() / np.sqrt(3) for values in expected])
    assert (claims["blocks"] == 2).all() and (claims["claim"] == "F3").all()
    resolved = claims["p_holm"] < 0.05
    assert (claims["verdict"][~resolved] == "not resolved").all()
    assert (claims["verdict"][resolved] == np.where(claims["mean"] > 0, "agree", "disagree")[resolved]).all()


@pytest.mark.parametrize("of", [training_areas, curve_claims])
def test_images_in_parts_and_packed_give_the_same(monkeypatch, of):
    """Up to the rounding of sums."""
    names = ("plain 0", "se 0", "plain 1", "se 1", "se 2", "plain 2")
    groups = {group: {seed: f"{group} {seed}" for seed in range(3)} for group in ("plain", "se")}
    curves = make_curves(1003, 4, names)
    whole = of(curves, groups, replicates=60)
    packed = {name: Bits(np.packbits(right, axis=1), 1003) for name, right in curves.correct.items()}
    monkeypatch.setattr(module, "IMAGES", 64)
    again = of(Curves(curves.table, packed, curves.indices, curves.labels, curves.classes), groups, replicates=60)
    assert set(again["network"]) == {"plain", "se"}
    pd.testing.assert_frame_equal(again, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("of", [training_areas, curve_claims])
def test_a_training_may_be_in_two_groups(of):
    curves = make_curves(300, 4, ("a", "b", "c"))
    all_three = dict(enumerate("abc"))
    both = of(curves, {"all": all_three, "some": {0: "a", 1: "c"}}, replicates=60)
    for group, trainings in (("all", all_three), ("some", {0: "a", 1: "c"})):
        alone = of(curves, {group: trainings}, replicates=60)
        mine = both[both["network"] == group].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine.drop(columns="p_holm"), alone.drop(columns="p_holm"))


@pytest.mark.parametrize("ratios", [[1], [0.25, 0.5, 0.75], [0, 0.25, 0.5, 0.75, 1]])
@pytest.mark.parametrize("training", ["se 0", "se 1"])
def test_a_claim_is_withheld_where_a_training_lacks_one_of_its_blocks(training, ratios):
    names, groups = ("se 0", "se 1", "se 2"), {"se": {seed: f"se {seed}" for seed in range(3)}}
    curves = make_curves(300, 4, names)
    of_training = curves.table["network"] == training
    gone = of_training & (curves.table["block"] == "layer3.1") & curves.table["ratio"].isin(ratios)
    some = Curves(
        curves.table[~gone],
        curves.correct | {training: curves.correct[training][~gone[of_training].to_numpy()]},
        curves.indices,
        curves.labels,
        curves.classes,
    )
    assert set(curve_claims(curves, groups, replicates=20)["blocks"]) == {2}
    assert not len(curve_claims(some, groups, replicates=20))
    areas_of = training_areas(some, groups, replicates=20).groupby("block")["trainings"].min()
    assert areas_of["layer3.0"] == 3 and areas_of["layer3.1"] == 2


def test_areas_share_their_images():
    """Of one training three times over nothing varies but the images: its error is that of the training alone."""
    one = make_curves(300, networks=("se 0",))
    three = Curves(
        pd.concat([one.table.assign(network=f"se {seed}") for seed in range(3)], ignore_index=True),
        {f"se {seed}": one.correct["se 0"] for seed in range(3)},
        one.indices,
        one.labels,
        one.classes,
    )
    table = training_areas(three, {"se": {seed: f"se {seed}" for seed in range(3)}})
    alone = areas(one).set_index("block")["area_se"]
    for row in table[table["quantity"] == "area"].itertuples():
        assert row.se_trainings < 1e-12 and row.se_images == pytest.approx(alone[row.block])
        assert row.se == pytest.approx(row.se_images)
