"""`gelens gates`: the same tables from networks and from a recording, and what networks without gates are told."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import gelens
from cli import main
from gelens.statistics.gates import GateValues

FEW = ("--limit", "60", "--permutations", "3", "--replicates", "3")


def run(*arguments) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gates") / "run"
    networks = ("mini_resnet_se", "mini_resnet", "mini_resnet_ge_theta_minus:extent=4")
    code, output = run("gates", *networks, "--untrained", *FEW, "--out", folder)
    assert code == 0, output
    return folder, output


def test_tables_are_those_of_the_gates_themselves(measured):
    folder, output = measured
    assert "left out, since no block measured has a gate: mini_resnet" in output
    blocks = pd.read_csv(folder / "gates_blocks.csv")
    assert len(blocks) == 12 and set(blocks["units"]) == {128} and (blocks["images"] == 60).all()
    assert np.allclose(blocks[["share_channel", "share_class", "share_image"]].sum(axis=1), 1)
    recording = gelens.open_recording(folder / "recording")
    gates = np.asarray(recording.matrix("mini_resnet_se", "layer3.5", "gate"))
    assert gates.shape == (60, 128) and ((gates > 0) & (gates < 1)).all()
    units = pd.read_csv(folder / "gates_units.csv")
    mine = units[(units["network"] == "mini_resnet_se") & (units["block"] == "layer3.5")]
    assert np.allclose(mine["mean"], gates.mean(0), atol=1e-5)
    row = blocks[(blocks["network"] == "mini_resnet_se") & (blocks["block"] == "layer3.5")].iloc[0]
    expected = GateValues(gates, recording.labels, recording.indices).variance()
    assert row["share_input"] == pytest.approx(expected["share_input"], rel=1e-4)
    drawn = {path.name for path in (folder / "figures").glob("*.png")}
    assert {"fig_gates_variance.png", "fig_gates_classes_2.png", "fig_gates_depth.png"} <= drawn


def test_a_run_gives_the_same_without_networks(measured, tmp_path):
    folder, _ = measured
    code, output = run("gates", folder, *FEW[2:], "--out", tmp_path / "again")
    assert code == 0, output
    for name in ("units", "blocks", "classes", "histogram"):
        first, second = (pd.read_csv(each / f"gates_{name}.csv") for each in (folder, tmp_path / "again"))
        pd.testing.assert_frame_equal(first, second)


def test_what_has_no_gates_is_told(tmp_path):
    code, output = run("gates", "mini_resnet", "--untrained", *FEW, "--out", tmp_path / "run")
    assert code == 2 and "has a gate" in output and not (tmp_path / "run").exists()
    code, _ = run("selectivity", "mini_resnet", "--untrained", *FEW, "--out", tmp_path / "other")
    assert code == 0
    code, output = run("gates", tmp_path / "other", "--out", tmp_path / "run")
    assert code == 2 and "no gate was recorded" in output
    code, output = run("gates", tmp_path / "other", "--limit", "3", "--out", tmp_path / "run")
    assert code == 2 and "--limit is of a pass" in output
