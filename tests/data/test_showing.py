"""How images are shown to a network that does not say: their own size, ImageNet's mean and std, and a warning."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import gelens
from gelens.data import adapted, load_data, preprocessing_for
from gelens.data.cached import write_cache
from gelens.networks import Preprocessing, load_network
from gelens.networks.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Stated
from tests.commands.test_cli import run
from tests.conftest import make_data

FACTORY = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
"""


@pytest.fixture
def said(caplog):
    """What was warned of, so far."""
    caplog.set_level(logging.WARNING, "gelens")
    return lambda: [record.getMessage() for record in caplog.records]


def silent() -> nn.Module:
    """A network that says nothing of its preprocessing."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


def test_images_of_one_size_are_shown_as_they_are_and_the_mean_is_said_once(said):
    network = silent()
    for _ in range(2):
        shown = preprocessing_for(network, make_data(size=32))
        assert shown == Preprocessing(32, 1.0, "bilinear", IMAGENET_MEAN, IMAGENET_STD)
    (text,) = said()
    assert "Sequential does not say the mean and std of its images" in text and "--mean" in text
    assert len(text) < 150 and "network.preprocessing" in text


def test_images_of_many_sizes_or_of_large_ones_are_taken_as_of_imagenet(said, tmp_path):
    for number in range(6):
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.new("RGB", (300 + number, 280)).save(tmp_path / "a" / f"{number}.png")
    assert preprocessing_for(silent(), load_data(f"folder:{tmp_path}")).geometry == (224, 0.875, "bicubic")
    assert preprocessing_for(silent(), make_data(size=300)).geometry == (224, 0.875, "bicubic")
    assert all(
        "does not say the size of its images: taken to be 224 px, with ImageNet's mean" in text for text in said()
    )


def test_what_is_said_is_taken_and_nothing_is_warned_of(said):
    network = silent()
    options = Stated(mean=(0.4, 0.4, 0.4), std=(0.2, 0.2, 0.2))
    shown = preprocessing_for(network, make_data(size=32), options)
    assert (shown.size, shown.mean, shown.std) == (32, options.mean, options.std)
    network.preprocessing = Preprocessing(48)
    assert preprocessing_for(network, make_data(size=32)) == Preprocessing(48)
    assert preprocessing_for(network, make_data(size=32), Stated(size=32)) == Preprocessing(32)
    assert said() == []


def test_half_of_what_is_needed_is_asked_for_by_name(said):
    preprocessing_for(silent(), make_data(), Stated(mean=(0.4, 0.4, 0.4)))
    assert "does not say the std of its images" in said()[0]


def test_enlarging_several_times_is_a_warning(said):
    network = load_network("torchvision/resnet18")
    preprocessing_for(network, make_data(size=32))
    assert "is shown images of 32 px enlarged 8 times, to 256 px" in said()[0] and "--image-size 32" in said()[0]
    preprocessing_for(load_network("mini_resnet"), make_data(size=32))
    assert len(said()) == 1


def test_tensors_are_taken_as_they_come(said):
    data = torch.utils.data.TensorDataset(torch.randn(4, 3, 20, 20), torch.arange(4))
    assert adapted(data).shape == (3, 20, 20) and adapted(data).normalised
    preprocessing_for(load_network("torchvision/resnet18"), data)
    preprocessing_for(silent(), data)
    assert said() == []
    levels = [(torch.zeros(3, 20, 20, dtype=torch.uint8), 0)]
    assert preprocessing_for(silent(), levels).size == 20
    assert "mean and std" in said()[0], "bytes are normalised here"


def test_a_cache_is_shown_as_it_was_made(tmp_path, said):
    write_cache(make_data(12), (24, 0.8, "bicubic"), tmp_path / "c.npy", progress=False)
    assert preprocessing_for(silent(), load_data(f"cache:{tmp_path}/c.npy")).geometry == (24, 0.8, "bicubic")


def test_the_python_way_gives_the_same_numbers_as_stating_it(quiet, said):
    """A network that says nothing is measured as one that says the images' size and ImageNet's mean and std."""
    torch.manual_seed(0)
    network, stated = silent(), silent()
    stated.load_state_dict(network.state_dict())
    stated.preprocessing = Preprocessing(32, 1.0, "bilinear", IMAGENET_MEAN, IMAGENET_STD)
    by_default, by_statement = (
        gelens.selectivity(each, make_data(), blocks=["1"], options=quiet) for each in (network, stated)
    )
    assert np.array_equal(by_default["mu_max"], by_statement["mu_max"])
    assert [text for text in said() if "does not say the mean" in text]
    assert not hasattr(network, "preprocessing"), "somebody's network is left as it was"


def test_the_command_line_says_it_too(tmp_path):
    (tmp_path / "mine.py").write_text(FACTORY)
    command = ("evaluate", f"ours={tmp_path}/mine.py:build", "--untrained", "--limit", "20", "--device", "cpu")
    code, output = run(*command, "--out", str(tmp_path / "a"))
    assert code == 0 and "note: ours does not say the mean and std of its images" in output
    assert output.count("does not say") == 1 and "ours: 32 px, crop 1, bilinear" in output
    stated = ("--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5")
    code, output = run(*command, *stated, "--out", str(tmp_path / "b"))
    assert code == 0 and "does not say" not in output and "std 0.5, 0.5, 0.5" in output
    code, output = run(*command, "--image-size", "224", "--out", str(tmp_path / "c"))
    assert code == 0 and "enlarged 7 times" in output


@pytest.mark.parametrize(
    "value, message",
    [
        ("0.5", "is not three comma-separated numbers"),
        ("a,b,c", "is not three comma-separated numbers"),
        ("123,117,104", "divide by 255"),
    ],
)
def test_a_mean_that_cannot_be_meant(value, message, tmp_path):
    code, output = run("evaluate", "mini_resnet", "--mean", value, "--out", str(tmp_path / "a"))
    assert code == 2 and message in output and "Traceback" not in output
