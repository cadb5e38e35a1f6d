"""Whatever a command makes of a recording or of a finished run needs no torch: none can be imported here."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gelens.analyses import OURS, Gates, Lesions, Pruning
from gelens.analyses.inputs import Inputs
from gelens.analyses.requests import Request, record_requests
from gelens.analyses.running import asked
from gelens.choices import TAPS
from gelens.data import imagenet
from gelens.sweep.passing import SweepOptions
from tests.commands.recordings import recorded

ROOT = Path(__file__).parents[2]
FEW = ["--permutations", "3", "--replicates", "3"]
PROGRAM = """
import json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "timm", "torchmetrics", "accelerate"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import analysis
from gelens.cli import main

for arguments in json.loads(sys.argv[1]):
    print(*arguments, file=sys.stderr)
    main(arguments, standalone_mode=False)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """One pass with what every analysis asks for, and a recording of six of ImageNet's classes."""
    folder = tmp_path_factory.mktemp("made")
    inputs = Inputs(["mini_resnet_se", "mini_resnet_ge_theta_minus"], "digits", limit=40, untrained=True)
    networks = inputs.load_networks()
    images = inputs.load_data(networks)
    options = SweepOptions(device="cpu", progress=False)
    blocks = ["layer3.0"]
    requests = {label: Request(network, blocks, TAPS) for label, network in networks.items()}
    for analysis in (Gates(blocks=blocks), Lesions(blocks=blocks), Pruning(blocks=blocks, ratios=[0, 0.5])):
        for label, request in asked(analysis, networks, images, options).items():
            requests[label] = requests[label].with_(request)
    record_requests(requests, images, options, folder / "r")
    labels = (0, 1, 2, 980, 981, 982)
    activity = np.random.default_rng(0).random((6, 5))
    names = [imagenet.class_names()[label] for label in labels]
    recorded(folder / "imagenet", {"net": {"layer3.0": activity}}, np.arange(6), names)
    lines = [f"{'fish' if label < 980 else 'other'} {imagenet.synsets()[label]}" for label in labels]
    (folder / "is_a.txt").write_text("\n".join(["root fish", "root other", *lines]))
    return folder


def run_each(commands: list[list]) -> None:
    """Commands in one process."""
    arguments = json.dumps([[str(word) for word in command] for command in commands])
    done = subprocess.run([sys.executable, "-c", PROGRAM, arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_a_recording_is_read_without_torch(made, tmp_path):
    run_each([["rarefaction", made / "r", "--out", tmp_path / "run"], ["verify", tmp_path / "run"]])
    assert (tmp_path / "run" / "selectivity_rarefaction.csv").is_file()


@pytest.mark.slow
def test_every_command_that_only_reads(made, tmp_path):
    asked_of = {each.name: [made / "r", "--network", "mini_resnet_se"] for each in OURS}
    asked_of["match"] = [made / "r"]
    asked_of["selectivity"] += [*FEW, "--index", "auc"]
    asked_of["taps"] += FEW
    asked_of["levels"] = [made / "imagenet", "--wordnet", made / "is_a.txt", *FEW]
    commands = [[name, *arguments, "--out", tmp_path / name] for name, arguments in asked_of.items()]
    run = tmp_path / "selectivity"
    commands += [["compare", run, run, "--out", tmp_path / "compare"]]
    commands += [[name, run] for name in ("figures", "report", "verify")]
    run_each(commands)
    for name in (*asked_of, "compare"):
        assert list((tmp_path / name).glob("*.csv")), name
