"""The studies' runner: what it trains, in which order, and that killing it changes nothing."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from safetensors.torch import load_file

from gelens.errors import UsageError
from gelens.networks import load_network
from gelens.training import RECIPES
from studies.networks import FIRST, OTHERS, PAIR
from studies.train import main, unfinished
from studies.trainings import HERE, Study, check_finished, studies, study_named

PHOTOGRAPHS = study_named("tinyimagenet100")


@pytest.mark.parametrize("name", studies())
def test_every_training_is_there_once_and_can_be_built(name):
    study = study_named(name)
    assert len({each.name for each in study.trainings}) == len(study.trainings)
    assert study.precision in ("fp32", "bf16") and study.recipe in RECIPES
    for network in {study.reference(each) for each in study.trainings}:
        load_network(network)


def test_photographs_come_in_the_order_of_what_they_are_for():
    """The four networks of figures 2 and 3 with three seeds, the pooling table's, figure 1's pair, two more seeds."""
    found = [(each.network, each.seed) for each in PHOTOGRAPHS.trainings]
    assert found[:12] == [(network, seed) for seed in (0, 1, 2) for network in FIRST]
    assert sorted(found[12:21]) == sorted((network, seed) for network in OTHERS for seed in (0, 1, 2))
    assert found[21:27] == [(network, seed) for seed in (0, 1, 2) for network in PAIR]
    assert found[27:39] == [(network, seed) for seed in (3, 4, 5) for network in FIRST]
    assert sorted(found[39:]) == sorted((network, seed) for network in (*OTHERS, *PAIR) for seed in (3, 4, 5))
    assert [each.name for each in PHOTOGRAPHS.trainings if each.keep] == [f"{name}/seed-0" for name in FIRST[:3]]


def test_cifar10_is_finished():
    study = study_named("cifar10")
    assert len(study.trainings) == 13 and not list(unfinished(study, study.weights, Path("nowhere")))


def test_runners_share_the_list(tmp_path):
    """What one has under way is not taken by another, and what is finished by none."""
    first, second = (unfinished(PHOTOGRAPHS, tmp_path / "weights", tmp_path / "locks") for _ in range(2))
    taken = [next(first), next(second)]
    assert taken == list(PHOTOGRAPHS.trainings[:2])
    for training in taken:
        card = tmp_path / "weights" / f"{training.name}.json"
        card.parent.mkdir(parents=True, exist_ok=True)
        card.write_text("{}")
    first.close()  # a runner that is killed half-way through the next
    assert next(second) == PHOTOGRAPHS.trainings[2]
    assert next(unfinished(PHOTOGRAPHS, tmp_path / "weights", tmp_path / "locks")) == PHOTOGRAPHS.trainings[3]


@pytest.mark.parametrize("name", studies())
def test_finished_weights_are_what_their_cards_and_the_study_say(name):
    check_finished(study_named(name), study_named(name).weights)


def small_study(folder: Path, **changes) -> Study:
    """A study of two networks on digits."""
    stated = {"recipe": '"cifar"', "precision": '"fp32"', "licence": '"none"', "note": '"scans"'}
    stated |= {"epochs": "2", "limit": "300", "compiled": "false"} | changes
    folder.mkdir(parents=True, exist_ok=True)
    trainings = 'networks = ["mini_resnet", "mini_resnet_se"]\nseeds = [0]\nkeep = [0.125, 2, 9]\n'
    lines = [f"{key} = {value}" for key, value in stated.items()]
    (folder / "study.toml").write_text("\n".join([*lines, "[[trainings]]", trainings]))
    return Study.read(folder)


def test_trainings_of_another_recipe_or_with_other_weights_are_not_added_to(tmp_path):
    """CIFAR-10's own weights pass; a copy is refused with other epochs or another precision, or once a byte differs."""
    study = study_named("cifar10")
    copied = tmp_path / "weights" / "thin_resnet50"
    shutil.copytree(study.weights / "thin_resnet50", copied)
    check_finished(study, copied.parent)
    text = (HERE / "cifar10" / "study.toml").read_text()
    for change, message in (("\nepochs = 2", "epochs 24 instead of 2"), ("", "precision bf16 instead of fp32")):
        other = tmp_path / f"other{len(change)}"
        other.mkdir()
        edited = text if change else text.replace('"bf16"', '"fp32"')
        (other / "study.toml").write_text(edited.replace('recipe = "cifar"', f'recipe = "cifar"{change}'))
        with pytest.raises(UsageError, match=rf"trained otherwise .{message}"):
            check_finished(Study.read(other), copied.parent)
    with (copied / "seed-1.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(UsageError, match=r"seed-1\.safetensors` is not what `seed-1\.json` is of"):
        check_finished(study, copied.parent)


@pytest.mark.parametrize(
    "text, message",
    [
        ("recipe = ", "cannot be read as a study: TOMLDecodeError"),
        ('recipe = "cifar"', "KeyError: 'trainings'"),
        ("trainings = []\nspeed = 3", "unexpected keyword argument 'speed'"),
        (None, "no study.toml"),
    ],
)
def test_what_is_no_study(tmp_path, text, message):
    if text is not None:
        (tmp_path / "study.toml").write_text(text)
    result = CliRunner().invoke(main, [str(tmp_path), "--data", "digits"])
    assert result.exit_code == 1 and message in result.output


def test_a_name_of_no_study():
    result = CliRunner().invoke(main, ["tinyimagenet", "--data", "digits"])
    assert result.exit_code == 1 and "tinyimagenet100" in result.output


def runner(study: Path, folder: Path) -> list[str]:
    places = ["--runs", folder / "runs", "--out", folder / "weights", "--early", folder / "early"]
    arguments = [study, "--data", "digits", *places, "--most", "1", "--no-progress"]
    return [sys.executable, "-m", "studies.train", *map(str, arguments)]


@pytest.mark.slow
def test_a_runner_that_is_killed_goes_on_to_the_same_weights(tmp_path):
    small_study(tmp_path / "small")
    command = lambda folder: runner(tmp_path / "small", tmp_path / folder)
    run = lambda folder: subprocess.run(command(folder), cwd=HERE.parent, check=True, capture_output=True, text=True)
    assert "epoch 2 of 2" in run("whole").stderr
    killed = subprocess.Popen(command("parts"), cwd=HERE.parent, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    checkpoint = tmp_path / "parts" / "runs" / "mini_resnet" / "seed-0" / "checkpoint.pt"
    deadline = time.monotonic() + 300
    while not checkpoint.exists() and killed.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    seed = Path("weights") / "mini_resnet" / "seed-0"
    assert not (tmp_path / "parts" / seed.with_suffix(".json")).exists()
    run("parts")
    whole, parts = (load_file(tmp_path / name / seed.with_suffix(".safetensors")) for name in ("whole", "parts"))
    assert all(whole[key].equal(parts[key]) for key in whole)
    card = json.loads((tmp_path / "whole" / seed.with_suffix(".json")).read_text())
    assert card["precision"] == "fp32" and card["settings"]["epochs"] == 2
    assert card["licence"] == "none" and card["data"]["note"] == "scans"
    early = pd.read_csv(tmp_path / "whole" / "early" / "mini_resnet" / "seed-0.csv")
    assert set(early["epoch"]) == {0.125, 2}
    (tmp_path / "whole" / "early" / "mini_resnet" / "seed-0.csv").unlink()  # as if it had been stopped before
    run("whole")
    again = pd.read_csv(tmp_path / "whole" / "early" / "mini_resnet" / "seed-0.csv")
    pd.testing.assert_frame_equal(again, early)
