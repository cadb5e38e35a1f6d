"""Gaps and trends of networks, and sentences that claim no more than the numbers do."""

import numpy as np
import pandas as pd
import pytest

from gelens.errors import UsageError
from gelens.statistics import Resampling, unit_statistics
from gelens.statistics.comparison import GAPS, selectivity_gaps, sentences
from gelens.statistics.samples import half_width

NETWORKS = {"a": (0.2, 0.2), "b": (0.2, 2.0), "c": (0.2, 0.2)}
"""Strength of class 1 in two blocks; a and c have the same noise."""


@pytest.fixture(scope="module")
def measured() -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    labels = np.arange(200) % 4
    drawn = Resampling(labels, np.arange(200), 4, 0, 10, 10)
    tables, depths, samples = [], [], {}
    for network, strengths in NETWORKS.items():
        rng = np.random.default_rng(3 if network != "b" else 4)
        for block, strength in enumerate(strengths):
            activity = rng.random((200, 12)) + strength * (labels[:, None] == 1)
            done = unit_statistics(activity.astype(np.float32), drawn)
            tables.append(done.table.assign(network=network, block=f"layer3.{block}"))
            depths.append({"network": network, "block": f"layer3.{block}", "depth": block + 1})
            samples[network, f"layer3.{block}"] = done.samples
    return pd.concat(tables, ignore_index=True), pd.DataFrame(depths), samples


def test_columns_are_those_of_before_and_then_the_corrected_ones(measured):
    gaps, trends = selectivity_gaps(*measured, "a")
    before = [f"{kind}_gap{suffix}" for kind in ("mean", "excess", "crossfit") for suffix in ("", "_se")]
    distances = ["wasserstein", "wasserstein_halves", "ks", "ks_halves"]
    corrected = ["corrected_gap", "corrected_gap_se", "corrected_low", "corrected_high"]
    matched = ["matched_gap", "matched_gap_se", "matched_overlap"]
    sizes = ["stage_blocks", "reference_stage_blocks"]
    sparse = ["sparseness_gap", "sparseness_gap_se", "sparseness_low", "sparseness_high", "fewest_units"]
    first = ["block", "depth", "network", "reference"]
    assert list(gaps) == [*first, *before, *distances, *corrected, *matched, *sparse, *sizes]
    slope, growth = ([name, f"{name}_se", f"{name}_low", f"{name}_high"] for name in ("slope", "growth"))
    assert list(trends) == ["network", "reference", "gap", *slope, "early", "late", *growth]
    assert trends["gap"].tolist() == [*GAPS, *GAPS]


def test_gap_of_a_network_with_itself_is_nothing_and_of_others_is_the_difference(measured):
    units, _, samples = measured
    gaps, trends = selectivity_gaps(*measured, "a")
    same = gaps[gaps["network"] == "c"]
    nothing = ["mean_gap", "mean_gap_se", "excess_gap", "corrected_gap", "corrected_gap_se", "wasserstein", "ks"]
    assert (same[nothing] == 0).all(axis=None)
    means = units.groupby(["network", "block"])[["csi", "csi_corrected", "sparseness"]].mean()
    row = gaps[(gaps["network"] == "b") & (gaps["block"] == "layer3.1")].iloc[0]
    for column, kind in (("csi", "mean"), ("csi_corrected", "corrected"), ("sparseness", "sparseness")):
        expected = means[column]["b", "layer3.1"] - means[column]["a", "layer3.1"]
        assert row[f"{kind}_gap"] == pytest.approx(expected) and row[f"{kind}_gap"] > 5 * row[f"{kind}_gap_se"] > 0
    for kind in ("corrected", "sparseness"):
        draws = samples["b", "layer3.1"][kind].mean(1) - samples["a", "layer3.1"][kind].mean(1)
        assert row[f"{kind}_gap_se"] == pytest.approx(draws.std(ddof=1))
        assert row[f"{kind}_high"] - row[f"{kind}_gap"] == pytest.approx(half_width(10) * draws.std(ddof=1))
    first = gaps[(gaps["network"] == "b") & (gaps["block"] == "layer3.0")].iloc[0]
    for kind in GAPS:
        trend = trends[(trends["network"] == "b") & (trends["gap"] == kind)].iloc[0]
        for change in ("slope", "growth"):
            assert trend[change] == pytest.approx(row[f"{kind}_gap"] - first[f"{kind}_gap"]), "two blocks, one apart"
        assert trend[["early", "late"]].tolist() == pytest.approx([first[f"{kind}_gap"], row[f"{kind}_gap"]])


def test_tables_of_before_sparseness_can_be_compared(measured):
    units, blocks, samples = measured
    older = {key: {kind: each[kind] for kind in each if kind != "sparseness"} for key, each in samples.items()}
    gaps, _ = selectivity_gaps(units.drop(columns="sparseness"), blocks, older, "a")
    assert gaps[["sparseness_gap", "sparseness_gap_se", "sparseness_low"]].isna().all(axis=None)
    assert gaps["corrected_gap_se"].notna().all()
    for said in (sentences(gaps, 10), sentences(gaps.drop(columns=[c for c in gaps if "sparse" in c]), 10)):
        assert all("no claim" in line and "sparseness" in line for line in said)


def test_a_network_that_was_not_measured_is_named(measured):
    with pytest.raises(UsageError, match="no network `d` among those measured: a, b, c"):
        selectivity_gaps(*measured, "d")


def row(block: int, gap: float, half: float, **others) -> dict:
    name = {"block": f"layer3.{block}", "depth": block + 1, "network": "thin_resnet50_se", "reference": "thin_resnet50"}
    ends = {"sparseness_gap": gap, "sparseness_low": gap - half, "sparseness_high": gap + half, "mean_gap": 0.1}
    return name | ends | {"fewest_units": 16, "stage_blocks": 6, "reference_stage_blocks": 6} | others


RESTS = (
    "In these two networks, thin ResNet-50 SE against thin ResNet-50 (one training each, so nothing about the "
    "architecture): "
)


def test_sentences_say_what_they_rest_on_then_numbers_of_named_blocks():
    blocks = [row(block, 0.005, 0.0125) for block in range(4)] + [row(4, 0.031, 0.011), row(5, 0.04, 0.01)]
    assert sentences(pd.DataFrame(blocks), 100) == [
        RESTS + "higher sparseness of class means (S) in conv4-5, conv4-6: +0.031 in conv4-5 (95 % over images +0.020 "
        "… +0.042) to +0.040 in conv4-6 (95 % over images +0.030 … +0.050); no difference of S resolved in conv4-1 … "
        "conv4-4 (it is below 0.018 there)."
    ]
    (line,) = sentences(pd.DataFrame([row(2, -0.2, 0.1), row(3, 0.2, 0.1)]), 100)
    assert "higher sparseness of class means (S) in conv4-4: +0.200 in conv4-4" in line
    assert "lower sparseness of class means (S) in conv4-3: -0.200 in conv4-3" in line


@pytest.mark.parametrize(
    "early, late, low, high, said",
    [
        (-0.03, -0.01, 0.01, 0.03, "the gap closes with depth, from -0.030"),
        (-0.01, -0.03, -0.03, -0.01, "the gap grows with depth, from -0.010"),
        (0.01, -0.01, -0.03, -0.01, "the gap changes with depth, from +0.010"),
        (0.01, 0.02, -0.01, 0.03, "no change of the gap with depth is resolved"),
    ],
)
def test_a_gap_is_said_to_grow_or_to_close_with_its_ends(early, late, low, high, said):
    trend = {"network": "thin_resnet50_se", "reference": "thin_resnet50", "gap": "sparseness", "early": early}
    trend |= {"late": late, "growth": late - early, "growth_low": low, "growth_high": high}
    (line,) = sentences(pd.DataFrame([row(0, early, 0.01), row(1, late, 0.01)]), 100, pd.DataFrame([trend]))
    assert said in line and f"95 % over images {low:+.3f} … {high:+.3f}" in line


def test_sentences_say_why_nothing_is_known():
    unknown = [row(0, np.nan, 0.1), row(1, 0.1, np.nan)]
    (line,) = sentences(pd.DataFrame(unknown), 100)
    assert "no standard errors (some class has a single image" in line
    assert line.endswith("no claim about conv4-1, conv4-2.")
    assert "no standard errors with 0 bootstrap replicates" in sentences(pd.DataFrame(unknown[1:]), 0)[0]
    assert "too few images" in sentences(pd.DataFrame(unknown[:1]), 10)[0]
    assert "no living units" in sentences(pd.DataFrame([row(0, np.nan, 0.1, mean_gap=np.nan)]), 10)[0]
    (few,) = sentences(pd.DataFrame([row(0, 0.9, 0.01, fewest_units=4)]), 100)
    assert "fewer than 10 living units, so no claim about conv4-1" in few and "0.9" not in few


def test_blocks_of_networks_of_other_depths_are_said_not_claimed_about():
    deep = [row(block, 0.5, 0.01, stage_blocks=9, reference_stage_blocks=3) for block in range(3)]
    (line,) = sentences(pd.DataFrame(deep), 100)
    assert "conv4 has 9 blocks against 3" in line and "no claim about conv4-1 … conv4-3" in line
    assert "higher" not in line


@pytest.mark.parametrize("gap, half", [(0.5, 0.1), (-0.5, 0.1), (0.01, 0.1)])
def test_no_sentence_says_anything_of_an_architecture_after_one_training(gap, half):
    (line,) = sentences(pd.DataFrame([row(0, gap, half)]), 100)
    assert line.startswith(RESTS) and "selective" not in line


def test_networks_of_other_depths_have_no_trend(measured):
    """Also where only the reference's stage has more blocks than those that both have."""
    units, blocks, samples = measured
    more = units[(units["network"] == "a") & (units["block"] == "layer3.1")].assign(block="layer3.2")
    deeper = pd.concat([units, more], ignore_index=True)
    samples = {**samples, ("a", "layer3.2"): samples["a", "layer3.1"]}
    gaps, trends = selectivity_gaps(deeper, blocks, samples, "a")
    assert len(gaps) == 4 and not len(trends)
    assert all("no claim" in line and "with depth" not in line for line in sentences(gaps, 10, trends))
    _, trends = selectivity_gaps(deeper, blocks, samples, "c")
    assert set(trends["network"]) == {"b"}, "b and c are as deep as each other"
