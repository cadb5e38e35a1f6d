"""What the command line asks for, tells as JSON, and shows in its help."""

import json

import pytest
from click.testing import CliRunner

from gelens.cli import main


@pytest.mark.parametrize("command", ["selectivity", "evaluate", "record"])
@pytest.mark.parametrize("weights", ["cifar10", "cifar10/*"])
def test_weights_of_other_images_than_the_default_ones_ask_for_data(command, weights, tmp_path):
    told = CliRunner().invoke(main, [command, f"thin_resnet50_se@{weights}", "--out", str(tmp_path / "run")])
    assert told.exit_code == 2 and "was trained on cifar10, and no data is named: give --data cifar10" in told.output
    assert not (tmp_path / "run").exists()


def test_findings_are_told_as_fields_too(tmp_path):
    command = ["gates", "mini_resnet_se", "--untrained", "--limit", "40", "--blocks", "layer3.0", "--device", "cpu"]
    command += ["--permutations", "4", "--replicates", "4", "--out", str(tmp_path / "run"), "-q", "--json"]
    told = CliRunner().invoke(main, command)
    outcome = json.loads(told.stdout)
    assert all(isinstance(sentence, str) for sentence in outcome["findings"])
    (row,) = outcome["claims"]["gates_blocks"]
    assert row["network"] == "mini_resnet_se" and row["block"] == "layer3.0" and 0 <= row["share_class"] <= 1


def test_help_shows_no_types_of_click():
    for name, command in main.commands.items():
        shown = CliRunner().invoke(main, [name, "--help"]).output
        assert " RANGE" not in shown and "INTEGER" not in shown and "FLOAT" not in shown, name
        assert command.help
