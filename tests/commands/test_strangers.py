"""Commands with networks that were not made for the images at hand: other classes, other depths, fewer stages."""

import json

import pandas as pd
import pytest

import gelens
from tests.commands.test_cli import run
from tests.networks.test_factories import NET

FEW = ("--limit", "60", "--device", "cpu")
DRAWN = ("--permutations", "3", "--replicates", "4")
FOUR = "mini_resnet_se:classes=4"
"""A network of fewer outputs than the digits have classes."""


@pytest.mark.parametrize(
    "command, others, table",
    [
        ("taps", (), "taps_blocks"),
        pytest.param("gates", (), "gates_units", marks=pytest.mark.slow),
        pytest.param("selectivity", ("mini_resnet_se",), "selectivity", marks=pytest.mark.slow),
    ],
)
def test_units_are_measured_on_classes_that_a_network_has_no_outputs_for(command, others, table, tmp_path):
    networks, folder = [FOUR, *others], tmp_path / "run"
    code, output = run(
        command, *networks, "--untrained", *FEW, *DRAWN, "--blocks", "layer3.0", "--no-keep", "--out", folder
    )
    assert code == 0, output
    assert "has 4 outputs, and the data labels up to 9: its accuracy is not reported" in output
    evaluation = pd.read_csv(folder / "evaluation.csv")
    assert evaluation["top1_error"].isna().tolist() == [True, *(False for _ in others)]
    assert (evaluation["images"] == 60).all() and " nan " not in output
    assert set(pd.read_csv(folder / f"{table}.csv")["network"]) == set(networks)
    assert run("report", folder)[0] == 0
    assert "nan %" not in (folder / "report.html").read_text()


def test_match_takes_recordings_of_networks_with_other_outputs(tmp_path):
    options = ["--untrained", *FEW, "--blocks", "layer3.0"]
    code, output = run("record", FOUR, "mini_resnet_se", *options, "--out", tmp_path / "recording")
    assert code == 0, output
    assert "top_classes" not in gelens.open_recording(tmp_path / "recording").names(FOUR)
    assert run("match", tmp_path / "recording", "--out", tmp_path / "match")[0] == 0
    assert pd.read_csv(tmp_path / "match" / "match_blocks.csv")["cka"].notna().all()


@pytest.mark.parametrize("command", ["evaluate", "pruning", "lesions"])
def test_what_is_right_needs_outputs_for_the_classes(command, tmp_path):
    code, output = run(command, FOUR, "--untrained", *FEW, "--out", tmp_path / "run")
    assert code == 2 and "has 4 outputs, but the data has labels up to 9" in output


STAGES = f"""{NET}
class Net(nn.Module):
    def __init__(self, deep=1):
        super().__init__()
        block = lambda width: nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Conv2d(width, 3, 1), nn.ReLU())
        self.layer1 = nn.Sequential(*(block(4) for _ in range(deep)))
        self.layer2 = nn.Sequential(block(4), block(4))
        self.fc = nn.Linear(3, 10)

    def forward(self, x):
        return self.fc(self.layer2(self.layer1(x)).mean((2, 3)))
"""


def test_networks_of_two_stages_and_of_other_depths(tmp_path):
    (tmp_path / "mine.py").write_text(STAGES)
    networks = [f"{tmp_path}/mine.py:Net:deep={deep}" for deep in (2, 3)]
    options = ["--no-keep", "--untrained", *FEW, *DRAWN, "--image-size", "32"]
    code, output = run("selectivity", *networks, *options, "--out", tmp_path / "run")
    assert code == 0, output
    assert "has no stage 4, of 2, 3: stage 2 is taken" in output
    blocks = pd.read_csv(tmp_path / "run" / "selectivity_blocks.csv").groupby("network")["block"].apply(list)
    assert blocks.tolist() == [["layer1.0", "layer1.1"], ["layer1.0", "layer1.1", "layer1.2"]]
    findings = json.loads((tmp_path / "run" / "run.json").read_text())["findings"]
    assert "has 3 blocks against 2, so blocks of equal name are at other depths: no claim" in " ".join(findings)
    assert "trend" not in " ".join(findings) and "a block of depth" not in " ".join(findings)
    assert not (tmp_path / "run" / "selectivity_trend.csv").read_text().strip()
    assert (tmp_path / "run" / "figures" / "fig2_gap.png").exists()


def test_a_factory_s_random_weights_are_refused_as_the_catalogue_s_are(tmp_path):
    (tmp_path / "mine.py").write_text(NET)
    code, output = run("evaluate", f"{tmp_path}/mine.py:build", *FEW, "--out", tmp_path / "run")
    assert code == 2 and "`build` has random weights: `0.weight` is another one when its factory" in output
    assert f"write {tmp_path}/mine.py:build@FILE, or let the factory load all of them; --untrained" in output
    assert not (tmp_path / "run").exists()
