"""Groups of trainings: which files they are of, and their seeds."""

from pathlib import Path

import pytest

from gelens.errors import UsageError
from gelens.networks import load_network, save_weights
from gelens.networks.groups import is_group, trainings_of, weights_files
from gelens.networks.references import parse


@pytest.fixture
def files(tmp_path):
    network = load_network("mini_resnet")
    for name, seed in (("a", "7"), ("b", "3")):
        (tmp_path / name).mkdir()
        save_weights(network, tmp_path / name / "weights.safetensors", seed=seed)
    return tmp_path


def test_seeds_are_those_of_the_files(files):
    for text in (f"{files}/*/weights.safetensors", f"{files}/a/weights.safetensors,{files}/b/weights.safetensors"):
        group = trainings_of(parse(f"mini_resnet@{text}"))
        assert [(seed, str(each.weights).split("/")[-2]) for seed, each in group.items()] == [(3, "b"), (7, "a")]


def test_names_tell_seeds_where_files_do_not(tmp_path):
    for seed in (2, 10):
        (tmp_path / f"seed-{seed}.pth").touch()
    assert list(trainings_of(parse(f"mini_resnet@{tmp_path}/seed-*.pth"))) == [2, 10]
    (tmp_path / "other.pth").touch()
    assert list(trainings_of(parse(f"mini_resnet@{tmp_path}/*.pth"))) == [0, 1, 2], "places, where some have no seed"


def test_one_file_is_no_group(tmp_path):
    odd = tmp_path / "a,b[1].pth"
    odd.touch()
    assert not is_group(parse(f"mini_resnet@{odd}")) and trainings_of(parse(f"mini_resnet@{odd}")) == {}
    assert weights_files(parse("mini_resnet")) == {}
    assert weights_files(parse("mini_resnet@w.pth")) == {"w.pth": Path("w.pth")}


def test_what_cannot_be_a_group(files):
    with pytest.raises(UsageError, match="no file matches `nowhere/"):
        trainings_of(parse("mini_resnet@nowhere/*.pth"))
    network = load_network("mini_resnet")
    save_weights(network, files / "c.safetensors", seed="7")
    with pytest.raises(UsageError, match="have both the seed 7"):
        trainings_of(parse(f"mini_resnet@{files}/a/weights.safetensors,{files}/c.safetensors"))
