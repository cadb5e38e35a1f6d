"""Parts of blocks that somebody states, and what the commands say of blocks that are not as in the paper."""

import json

import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import cli
from gelens import StatedParts, figures
from gelens.anatomy.sites import anatomies, find_sites
from gelens.errors import UsageError
from gelens.figures import pruning_curves
from gelens.networks import load_network, save_weights
from tests.anatomy.zoo import Plain, RepVGG, SEModuleBlock, network_of
from tests.conftest import shake

SHAPE = (3, 12, 12)


def built(block, **parts):
    torch.manual_seed(0)
    network = shake(network_of(block))
    network.anatomy = StatedParts(**parts)
    return network


@pytest.mark.parametrize("parts", [{"branch": "b"}, {"shortcut": "a"}, {"branch": "b", "shortcut": "a"}])
def test_what_is_ambiguous_can_be_stated_and_is_verified(parts):
    network = built(RepVGG(), **parts)
    (found,) = anatomies(network, ["1"], SHAPE)
    assert found.site.branch == "1.b" and found.shortcut == "1.a"
    assert found.branch_status == found.shortcut_status == "stated" and found.site.dropped_at == "branch"


@pytest.mark.parametrize(
    "block, parts, message",
    [
        (Plain, {"branch": "a"}, "the branch `a` is none of the two maps that are added"),
        (Plain, {"shortcut": "a"}, "the shortcut `a` is none of the two maps"),
        (Plain, {"branch": "*"}, "has 6 modules `\\*` for its branch; expected one of"),
        (SEModuleBlock, {"gate": "a"}, r"`a` multiplies no map of the branch, \(N, C, H, W\)"),
    ],
)
def test_what_is_stated_must_hold(block, parts, message):
    with pytest.raises(UsageError, match=message):
        find_sites(built(block(), **parts), ["1"], SHAPE)


def test_a_stated_gate_and_the_blocks_own_input():
    network = built(SEModuleBlock(), gate="att", shortcut="input")
    (found,) = anatomies(network, ["1"], SHAPE)
    assert (found.gate, found.gate_status, found.shortcut) == ("1.att", "stated", "input 0")


def test_blocks_without_such_modules_are_read_as_ever():
    (found,) = anatomies(built(Plain(), gate="att"), ["1"], SHAPE)
    assert found.gate_status == "none" and found.branch_status == "proved"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A factory of a user's own, two of whose blocks are not as in the paper, with weights; figures as PNG alone."""
    monkeypatch.setattr(figures, "draw", lambda folder, **more: [])
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "from tests.anatomy.zoo import NamedShort, NoShortcut, RepVGG, SEFunctional\n"
        "def build():\n"
        "    blocks = nn.Sequential(SEFunctional(), NoShortcut(), NamedShort('residual'))\n"
        "    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3), blocks, RepVGG(), *head)\n"
    )
    torch.manual_seed(0)
    network = shake(load_network(f"{tmp_path}/mine.py:build"))
    save_weights(network, tmp_path / "w.safetensors")
    return f"{tmp_path}/mine.py:build@{tmp_path}/w.safetensors"


def run(*arguments) -> tuple[int, str]:
    result = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_inspect_shows_what_is_known(mine):
    code, output = run("inspect", mine, "--blocks", "1.*", "--blocks", "2", "--image-size", 32, "--json")
    assert code == 0, output
    rows = {row["block"]: row for row in json.loads(output[output.index("[\n") :])}
    assert rows["1.0"]["gate"].startswith("1.0::mul") and rows["1.0"]["gate_status"] == "proved"
    assert rows["1.0"]["shortcut"] == "1.0.short" and rows["1.2"]["shortcut"] == "1.2.residual"
    assert rows["1.1"]["branch_status"] == "none" and rows["1.1"]["dropped_at"] == "output"
    assert rows["2"]["branch_status"] == "not found" and "could be the branch" in rows["2"]["why"]
    _, output = run("inspect", mine, "--blocks", "2", "--image-size", 32, "--branch", "a", "--json")
    assert json.loads(output[output.index("[\n") :])[0]["branch_status"] == "stated"


def test_pruning_says_where_it_is_another_experiment(mine, tmp_path):
    arguments = [mine, "--limit", 20, "--device", "cpu", "--image-size", 32, "--ratio", 0, "--ratio", 1]
    code, output = run("pruning", *arguments, "--blocks", "1.*", "--out", tmp_path / "run")
    assert code == 0, output
    table = pd.read_csv(tmp_path / "run" / "pruning.csv", dtype={"block": str})
    places = table.drop_duplicates("block").set_index("block")["dropped_at"]
    assert places.to_dict() == {"1.0": "branch", "1.1": "output", "1.2": "branch"}
    findings = json.loads((tmp_path / "run" / "run.json").read_text())["findings"]
    assert any("1.1: not as in the paper: the block's whole output is dropped" in said for said in findings)
    assert "has no gate with a value for each channel in 1.1, 1.2" in output
    assert "not as in the paper" in pruning_curves.places_said(table)


def test_pruning_refuses_what_is_not_known_and_says_what_helps(mine, tmp_path):
    arguments = ["pruning", mine, "--limit", 20, "--device", "cpu", "--image-size", 32, "--blocks", "2"]
    code, output = run(*arguments, "--out", tmp_path / "run")
    assert code == 2 and "could be the branch; state them" in output and "--branch" in output
    code, output = run(*arguments, "--branch", "b", "--out", tmp_path / "run")
    assert code == 0, output
    code, output = run(*arguments, "--branch", "nothing", "--out", tmp_path / "other")
    assert code == 2 and "no network has a module `nothing` below a block, which --branch names" in output
