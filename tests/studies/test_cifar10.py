"""The study's runner: what it trains, and that killing it changes nothing."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from gelens.errors import UsageError
from gelens.networks import load_network
from studies.cifar10.train import TRAININGS, check_finished, unfinished

ROOT = Path(__file__).parents[2]


def test_every_training_is_there_once_and_can_be_built():
    assert len({each.name for each in TRAININGS}) == len(TRAININGS) == 41
    assert [(each.network, each.seed) for each in TRAININGS[:2]] == [("thin_resnet50", 0), ("thin_resnet50_se", 0)]
    for network in {each.network for each in TRAININGS}:
        load_network(network)


def test_runners_share_the_list(tmp_path):
    """What one has under way is not taken by another, and what is finished by none."""
    first, second = (unfinished(tmp_path / "weights", tmp_path / "locks") for _ in range(2))
    taken = [next(first), next(second)]
    assert taken == list(TRAININGS[:2])
    for training in taken:
        facts = tmp_path / "weights" / f"{training.name}.json"
        facts.parent.mkdir(parents=True, exist_ok=True)
        facts.write_text("{}")
    first.close()  # a runner that is killed half-way through the next
    assert next(second) == TRAININGS[2]
    assert next(unfinished(tmp_path / "weights", tmp_path / "locks")) == TRAININGS[3]


def test_trainings_of_another_recipe_or_with_other_weights_are_not_added_to(tmp_path):
    """The study's own weights pass; a copy is refused with other epochs, or once a byte differs."""
    weights = ROOT / "studies" / "cifar10" / "weights"
    check_finished(weights, "cifar", None)
    copied = tmp_path / "weights" / "thin_resnet50"
    shutil.copytree(weights / "thin_resnet50", copied)
    with pytest.raises(UsageError, match=r"another recipe .epochs 24 instead of 2"):
        check_finished(copied.parent, "cifar", 2)
    with (copied / "seed-1.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(UsageError, match=r"seed-1\.safetensors` is not what `seed-1\.json` is of"):
        check_finished(copied.parent, "cifar", None)


def runner(folder: Path, *more: str) -> list[str]:
    arguments = ["--data", "digits", "--runs", folder / "runs", "--out", folder / "weights", "--limit", "300"]
    arguments += ["--epochs", "2", "--most", "1", "--precision", "fp32", "--no-compile", "--no-progress", *more]
    return [sys.executable, "-m", "studies.cifar10.train", *map(str, arguments)]


@pytest.mark.slow
def test_a_runner_that_is_killed_goes_on_to_the_same_weights(tmp_path):
    subprocess.run(runner(tmp_path / "whole"), cwd=ROOT, check=True, capture_output=True)
    killed = subprocess.Popen(runner(tmp_path / "parts"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    checkpoint = tmp_path / "parts" / "runs" / "thin_resnet50" / "seed-0" / "checkpoint.pt"
    deadline = time.monotonic() + 300
    while not checkpoint.exists() and killed.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    seed = Path("weights") / "thin_resnet50" / "seed-0"
    assert not (tmp_path / "parts" / seed.with_suffix(".json")).exists()
    subprocess.run(runner(tmp_path / "parts"), cwd=ROOT, check=True, capture_output=True)
    whole, parts = (load_file(tmp_path / name / seed.with_suffix(".safetensors")) for name in ("whole", "parts"))
    assert all(whole[key].equal(parts[key]) for key in whole)
    facts = json.loads((tmp_path / "whole" / seed.with_suffix(".json")).read_text())
    assert facts["precision"] == "fp32" and facts["settings"]["epochs"] == 2
    epochs = sorted(path.name for path in (tmp_path / "whole" / f"{seed}-epochs").iterdir())
    assert epochs[0] == "epoch-000.125.safetensors" and epochs[-1] == "epoch-002.safetensors"
