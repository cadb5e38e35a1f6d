"""`gelens try`: somebody's network, its checkpoint and photographs, and what is said of the stated accuracy."""

import json
import shlex
from functools import partial
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from sklearn.datasets import load_digits
from torch.nn.functional import one_hot
from torchvision.transforms.functional import to_tensor

from gelens import figures
from gelens.cli import main
from gelens.commands import report, trying
from gelens.data import load_data
from gelens.networks import load_network
from tests.docs.blocks import check

CODE = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, width, gated):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1), nn.Sigmoid()) if gated else None

    def forward(self, maps):
        branch = self.conv(maps)
        return torch.relu(maps + (branch * self.gate(branch) if self.gate else branch))

class Net(nn.Module):
    def __init__(self, gated, blocks):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 8, stride=8), nn.ReLU())
        setattr(self, blocks, nn.Sequential(Block(24, gated)))
        self.blocks = getattr(self, blocks)
        self.flat = nn.Flatten()
        self.head = nn.Linear(384, 10)

    def features(self, images):
        return self.flat(self.blocks(self.stem(images)))

    def forward(self, images):
        return self.head(self.features(images))

def build(gated=True, blocks="layer3"):
    return Net(gated, blocks)
"""
SHOWN = ["--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25"]


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    """A folder with code, a checkpoint whose last layer was fitted, and scans of digits."""
    monkeypatch.chdir(tmp_path)
    Path("my.py").write_text(CODE)
    digits = load_digits()
    for number, (scan, label) in enumerate(zip(digits.images[:200], digits.target, strict=False)):
        folder = Path("photos", f"digit-{label}")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((scan * 15).astype("uint8")).resize((32, 32)).save(folder / f"{number}.png")
    return tmp_path


def fitted(order=range(10), reference: str = "my.py:build") -> None:
    """Write my.pth, whose outputs tell digits apart: class k has the output order[k]."""
    torch.manual_seed(0)
    network = load_network(reference)
    scans = [(to_tensor(image), label) for image, label, _ in load_data("folder:photos")]
    images = torch.stack([(pixels.expand(3, -1, -1) - 0.5) / 0.25 for pixels, _ in scans])
    wanted = one_hot(torch.tensor(order)[[label for _, label in scans]], 10).float()
    with torch.no_grad():
        known = torch.cat([network.features(images), torch.ones(len(images), 1)], 1)
        solved = torch.linalg.solve(known.T @ known + 0.01 * torch.eye(known.shape[1]), known.T @ wanted)
        network.head.weight.copy_(solved[:-1].T)
        network.head.bias.copy_(solved[-1])
    torch.save({"epoch": 3, "net": {"model_ema": network.state_dict()}}, "my.pth")


def tried(*more: str, reference: str = "my.py:build@my.pth") -> tuple[int, str]:
    done = CliRunner().invoke(
        main, ["try", reference, "--data", "folder:photos", "--device", "cpu", "--out", "run", *more]
    )
    return done.exit_code, done.output


@pytest.fixture
def measured_only(monkeypatch) -> None:
    """What follows the pass is left out."""
    monkeypatch.setattr(trying, "write_together", lambda *arguments: None)
    monkeypatch.setattr(figures, "draw", lambda *_, **__: [])
    monkeypatch.setattr(report, "report_beside", lambda *_: None)


def outcome(output: str) -> dict:
    return json.loads(output[output.index("{\n") :])


def test_the_stated_accuracy_is_found_and_everything_is_said_and_drawn(mine, monkeypatch):
    monkeypatch.setattr(figures, "draw", partial(figures.draw, formats=("png",)))
    few = {"no_calibration": True, "permutations": 5, "replicates": 5}
    monkeypatch.setattr(trying, "Selectivity", partial(trying.Selectivity, **few))
    fitted()
    code, output = tried("--expect", "100", "--classes-by-position", "--limit", "40", *SHOWN)
    assert code == 0 and "as expected (100 %)." in output
    assert "blocks: stage 4, layer3.0" in output and "mean 0.5, 0.5, 0.5" in output
    assert "took `model_ema` of the checkpoint, a running average" in output and "does not say" not in output
    drawn = {path.stem for path in Path("run", "figures").glob("*.png")}
    assert {"fig2_selectivity", "fig3_pruning"} <= drawn and Path("run", "report.html").is_file()
    commands = [line.strip() for line in output.partition("The same, one by one:")[2].splitlines() if line]
    assert [shlex.split(each)[1] for each in commands] == ["evaluate", "selectivity", "pruning", "report"]
    assert ["--stage 4" in each for each in commands] == [False, True, True, False]
    for each in commands:
        assert "--mean 0.5,0.5,0.5 --std 0.25,0.25,0.25" in each or "gelens report" in each
        check(shlex.split(each)[1:])


@pytest.mark.slow
def test_the_commands_that_it_prints_give_the_same_tables(mine):
    fitted()
    told = outcome(tried("--classes-by-position", "--limit", "60", "--json", *SHOWN)[1])
    for each in told["commands"]:
        done = CliRunner().invoke(main, shlex.split(each)[1:])
        assert done.exit_code == 0, done.output
    for name in ("selectivity", "pruning", "evaluation"):
        single = Path(f"run-{'evaluate' if name == 'evaluation' else name}", f"{name}.csv")
        assert single.read_bytes() == Path("run", f"{name}.csv").read_bytes()


@pytest.mark.parametrize(
    ("order", "options", "why"),
    [
        (range(10), [*SHOWN, "--expect", "50"], "probably other images than the number's"),
        (range(9, -1, -1), [*SHOWN, "--expect", "99.5"], "probably the order of labels, since 100.00 %"),
        (
            range(10),
            ["--mean", "1,0,0", "--expect", "99.5"],
            "probably another preprocessing, since it does not say the std",
        ),
        (
            range(10),
            ["--mean", "1,0,0", "--std", "1,1,1", "--expect", "99.5"],
            "probably another preprocessing than in its",
        ),
    ],
)
def test_what_is_probably_wrong_where_accuracy_is_another(order, options, why, mine, measured_only):
    fitted(order)
    code, output = tried("--classes-by-position", "--json", *options)
    told = outcome(output)
    assert code == 1 and not told["expected"]["met"]
    (said,) = (each for each in told["findings"] if "not as expected" in each)
    assert why in said
    assert (told["expected"]["low"] <= told["expected"]["top1_accuracy"] <= told["expected"]["high"]) is False
    again = tried("--classes-by-position", "--resume", *options)
    assert again[0] == 1 and said in again[1]


def test_without_gates_maps_are_ranked_by_activity(mine, measured_only):
    fitted(reference="my.py:build:gated=false")
    told = outcome(tried("--classes-by-position", "--json", *SHOWN, reference="my.py:build:gated=false@my.pth")[1])
    assert "expected" not in told and "--score activation" in told["commands"][2]
    assert "feature maps: no gate, so ranked by their activity (--score activation)" in told["worked_out"]


def test_what_is_not_known_is_refused_with_the_option_that_states_it(mine):
    fitted()
    code, output = tried(*SHOWN)
    assert code == 2 and "--classes-by-position" in output and not Path("run").exists()
    fitted(reference="my.py:build:blocks=middle")
    code, output = tried("--classes-by-position", *SHOWN, reference="my.py:build:blocks=middle@my.pth")
    assert code == 2 and "name the blocks, as `gelens layers` lists them" in output
    done = CliRunner().invoke(main, ["try", "my.py:build@my.pth", "--data", "photos"])
    assert done.exit_code == 2 and "`photos` is a folder: write folder:photos" in done.output
    done = CliRunner().invoke(main, ["try", "my.py:build@my.pth"])
    assert done.exit_code == 2 and "no images are named: --data folder:DIR" in done.output
