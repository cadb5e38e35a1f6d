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
            activity = rng.random((200, 6)) + strength * (labels[:, None] == 1)
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
    assert list(gaps) == ["block", "depth", "network", "reference", *before, *distances, *corrected, *matched, *sizes]
    assert list(trends) == ["network", "reference", "gap", "slope", "slope_se", "slope_low", "slope_high"]
    assert trends["gap"].tolist() == [*GAPS, *GAPS]


def test_gap_of_a_network_with_itself_is_nothing_and_of_others_is_the_difference(measured):
    units, _, samples = measured
    gaps, trends = selectivity_gaps(*measured, "a")
    same = gaps[gaps["network"] == "c"]
    nothing = ["mean_gap", "mean_gap_se", "excess_gap", "corrected_gap", "corrected_gap_se", "wasserstein", "ks"]
    assert (same[nothing] == 0).all(axis=None)
    means = units.groupby(["network", "block"])[["csi", "csi_corrected"]].mean()
    row = gaps[(gaps["network"] == "b") & (gaps["block"] == "layer3.1")].iloc[0]
    for column, kind in (("csi", "mean"), ("csi_corrected", "corrected")):
        expected = means[column]["b", "layer3.1"] - means[column]["a", "layer3.1"]
        assert row[f"{kind}_gap"] == pytest.approx(expected) and row[f"{kind}_gap"] > 5 * row[f"{kind}_gap_se"] > 0
    draws = samples["b", "layer3.1"]["corrected"].mean(1) - samples["a", "layer3.1"]["corrected"].mean(1)
    assert row["corrected_gap_se"] == pytest.approx(draws.std(ddof=1))
    assert row["corrected_high"] - row["corrected_gap"] == pytest.approx(half_width(10) * draws.std(ddof=1))
    first = gaps[(gaps["network"] == "b") & (gaps["block"] == "layer3.0")].iloc[0]
    for kind in GAPS:
        slope = trends[(trends["network"] == "b") & (trends["gap"] == kind)].iloc[0]["slope"]
        assert slope == pytest.approx(row[f"{kind}_gap"] - first[f"{kind}_gap"]), "two blocks, one apart"


def test_tables_of_before_the_corrected_index_can_be_compared(measured):
    units, blocks, samples = measured
    older = {key: {kind: each[kind] for kind in each if kind != "corrected"} for key, each in samples.items()}
    gaps, _ = selectivity_gaps(units.drop(columns="csi_corrected"), blocks, older, "a")
    assert gaps[["corrected_gap", "corrected_gap_se", "corrected_low"]].isna().all(axis=None)
    assert gaps["mean_gap_se"].notna().all()
    assert all("no corrected index" in line and "no claim" in line for line in sentences(gaps, 10))


def test_a_network_that_was_not_measured_is_named(measured):
    with pytest.raises(UsageError, match="no network `d` among those measured: a, b, c"):
        selectivity_gaps(*measured, "d")


def row(block: int, gap: float, half: float, **others) -> dict:
    name = {"block": f"layer3.{block}", "depth": block + 1, "network": "thin_resnet50_se", "reference": "thin_resnet50"}
    ends = {"corrected_gap": gap, "corrected_low": gap - half, "corrected_high": gap + half, "mean_gap": 0.1}
    return name | ends | {"stage_blocks": 6, "reference_stage_blocks": 6} | others


def test_sentences_name_numbers_intervals_and_limits_in_one_line_a_network():
    blocks = [row(block, 0.005, 0.0125) for block in range(4)] + [row(4, 0.031, 0.011), row(5, 0.04, 0.01)]
    assert sentences(pd.DataFrame(blocks), 100) == [
        "thin ResNet-50 SE against thin ResNet-50: corrected gap +0.031 … +0.040 (95 % intervals over images, "
        "each by itself, within "
        "+0.020 … +0.050) in conv4-5, conv4-6; not resolved (|gap| below 0.018) in conv4-1 … conv4-4. One training "
        "each, so nothing about the architecture."
    ]
    (line,) = sentences(pd.DataFrame([row(2, -0.2, 0.1), row(3, 0.2, 0.1)]), 100)
    assert "gap +0.200 (95 % over images +0.100 … +0.300) in conv4-4" in line
    assert "gap -0.200 (95 % over images -0.300 … -0.100) in conv4-3" in line


def test_sentences_say_why_nothing_is_known():
    unknown = [row(0, np.nan, 0.1), row(1, 0.1, np.nan)]
    (line,) = sentences(pd.DataFrame(unknown), 100)
    assert "no corrected index" not in line and "no standard errors (some class has a single image" in line
    assert line.endswith("no claim about conv4-1, conv4-2.")
    assert "no standard errors with 0 bootstrap replicates" in sentences(pd.DataFrame(unknown[1:]), 0)[0]
    assert "no corrected index" in sentences(pd.DataFrame(unknown[:1]), 10)[0]
    assert "no living units" in sentences(pd.DataFrame([row(0, np.nan, 0.1, mean_gap=np.nan)]), 10)[0]


def test_blocks_of_networks_of_other_depths_are_said_not_claimed_about():
    deep = [row(block, 0.5, 0.01, stage_blocks=9, reference_stage_blocks=3) for block in range(3)]
    (line,) = sentences(pd.DataFrame(deep), 100)
    assert "conv4 has 9 blocks against 3" in line and "no claim about conv4-1 … conv4-3" in line
    assert "corrected gap" not in line


@pytest.mark.parametrize("gap, half", [(0.5, 0.1), (-0.5, 0.1), (0.01, 0.1)])
def test_no_sentence_claims_more_or_less_selective_of_one_training(gap, half):
    (line,) = sentences(pd.DataFrame([row(0, gap, half)]), 100)
    assert line.endswith("One training each, so nothing about the architecture.")
    assert " more " not in line and " less " not in line


def test_networks_of_other_depths_have_no_trend(measured):
    """Also where only the reference's stage has more blocks than those that both have."""
    units, blocks, samples = measured
    more = units[(units["network"] == "a") & (units["block"] == "layer3.1")].assign(block="layer3.2")
    deeper = pd.concat([units, more], ignore_index=True)
    samples = {**samples, ("a", "layer3.2"): samples["a", "layer3.1"]}
    gaps, trends = selectivity_gaps(deeper, blocks, samples, "a")
    assert len(gaps) == 4 and not len(trends)
    assert all("no claim" in line and "trend" not in line for line in sentences(gaps, 10, trends))
    _, trends = selectivity_gaps(deeper, blocks, samples, "c")
    assert set(trends["network"]) == {"b"}, "b and c are as deep as each other"
