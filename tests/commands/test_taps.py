"""`gelens taps`: selectivity from tap to tap, against indices computed of the recorded arrays by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import gelens
from cli import main
from gelens.networks import load_network, save_weights
from gelens.statistics.class_means import selectivity_index
from gelens.tables.selectivity import Statistics
from gelens.tables.taps import WAY, tap_tables

FEW = ("--limit", "60", "--permutations", "3", "--replicates", "4")


def run(*arguments) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Two trainings that nobody did of SE, and a plain network."""
    folder = tmp_path_factory.mktemp("taps")
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_weights(load_network("mini_resnet_se"), folder / f"se-{seed}.safetensors", seed=str(seed))
    networks = (f"mini_resnet_se@{folder}/se-*", "mini_resnet")
    code, output = run("taps", *networks, "--untrained", *FEW, "--out", folder / "run")
    assert code == 0, output
    return folder / "run"


def test_every_tap_is_that_of_the_recorded_activities(measured):
    blocks = pd.read_csv(measured / "taps_blocks.csv")
    assert set(blocks[blocks["network"] == "mini_resnet"]["tap"]) == {"branch", "sum", "output"}
    assert set(blocks[blocks["network"] == "mini_resnet_se#0"]["tap"]) == set(WAY)
    recording = gelens.open_recording(measured / "recording")
    means = {}
    for tap in WAY:
        activity = np.asarray(recording.matrix("mini_resnet_se#1", "layer3.2", tap), dtype=float)
        labels = recording.labels
        index, *_ = selectivity_index(np.stack([activity[labels == label].mean(0) for label in np.unique(labels)]))
        means[tap] = np.nanmean(index)
        row = blocks[
            (blocks["network"] == "mini_resnet_se#1") & (blocks["block"] == "layer3.2") & (blocks["tap"] == tap)
        ]
        assert row["mean_csi"].iloc[0] == pytest.approx(means[tap], rel=1e-4)
    gaps = pd.read_csv(measured / "taps_gap.csv")
    mine = gaps[(gaps["network"] == "mini_resnet_se#1") & (gaps["block"] == "layer3.2")].set_index("to")
    assert mine["from"].to_dict() == {"gated": "branch", "sum": "gated", "output": "sum"}
    for after, before in mine["from"].items():
        assert mine.loc[after, "mean_gap"] == pytest.approx(means[after] - means[before], abs=1e-6)
    assert (gaps[gaps["to"] == "output"]["mean_gap"].abs() < 1e-6).all(), "after a ReLU the positive part is all"


def test_groups_are_compared_over_trainings(measured):
    table = pd.read_csv(measured / "taps_gap_trainings.csv")
    assert set(table["network"]) == {"mini_resnet_se"} and (table["trainings"] == 2).all()
    each = pd.read_csv(measured / "taps_gap.csv")
    where = (table["block"] == "layer3.4") & (table["to"] == "gated") & (table["gap"] == "mean")
    mine = each[
        each["network"].str.startswith("mini_resnet_se") & (each["block"] == "layer3.4") & (each["to"] == "gated")
    ]
    assert table[where]["mean"].iloc[0] == pytest.approx(mine["mean_gap"].mean(), rel=1e-4)
    assert (measured / "figures" / "fig_taps.png").is_file()


def test_a_run_gives_the_same_without_networks(measured, tmp_path):
    code, output = run("taps", measured, *FEW[2:], "--out", tmp_path / "again")
    assert code == 0, output
    for name in ("blocks", "gap", "gap_trainings"):
        pd.testing.assert_frame_equal(
            *(pd.read_csv(each / f"taps_{name}.csv") for each in (measured, tmp_path / "again"))
        )


def test_blocks_without_an_activation_at_their_end_have_no_sum(tmp_path):
    arguments = ("--blocks", "blocks.3.1", "--limit", "12", "--permutations", "2", "--replicates", "2", "--rectify")
    code, output = run("taps", "timm/mobilenetv3_small_050", "--untrained", *arguments, "--out", tmp_path / "run")
    assert code == 0, output
    assert set(pd.read_csv(tmp_path / "run" / "taps_blocks.csv")["tap"]) == {"branch", "gated", "output"}


def test_one_tap_is_not_enough(tmp_path):
    code, _ = run("selectivity", "mini_resnet", "--untrained", *FEW, "--out", tmp_path / "run")
    assert code == 0
    code, output = run("taps", tmp_path / "run", "--out", tmp_path / "taps")
    assert code == 2 and "selectivity at two taps at least" in output
    recording = gelens.open_recording(tmp_path / "run" / "recording")
    with pytest.raises(gelens.errors.UsageError, match="two taps"):
        tap_tables(recording, Statistics(permutations=1, replicates=1))
