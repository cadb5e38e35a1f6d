"""A stranger's networks: what they say of their preprocessing, what they are called, and what is said of both."""

import logging

import pytest
import torch
from torch import nn

import gelens
from gelens.errors import RunError, UsageError
from gelens.networks import Preprocessing, card_of, load_network, preprocessing_of, save_weights
from gelens.networks.preprocessing import Stated, stated_by
from gelens.networks.references import labelled, parse
from gelens.networks.weights import network_card
from gelens.subjects import label_networks

MINE = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.features, self.fc = nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU()), nn.Linear(width, 10)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))

def build(width="4"):
    return Net(int(width))

def other():
    return Net(5)
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def test_what_a_network_says_of_its_preprocessing():
    network = nn.Linear(2, 2)
    assert stated_by(network) == Stated()
    network.default_cfg = {"input_size": (3, 32, 32), "mean": [0.1, 0.2, 0.3], "num_classes": 10}
    assert stated_by(network).known() == {"size": 32, "mean": (0.1, 0.2, 0.3)}
    network.preprocessing = {"std": [1, 1, 1]}
    assert stated_by(network).known() == {"std": (1.0, 1.0, 1.0)}, "its own attribute before timm's"
    network.preprocessing = Preprocessing(48)
    assert preprocessing_of(network) == Preprocessing(48)


@pytest.mark.parametrize(
    "value, message",
    [("32", "is a str; expected gelens.networks.Preprocessing"), ({"means": 1}, "has `means`; expe")],
)
def test_preprocessing_that_cannot_be_meant(value, message):
    network = nn.Linear(2, 2)
    network.preprocessing = value
    with pytest.raises(UsageError, match=message):
        stated_by(network)


def test_a_card_is_what_the_attributes_say(file):
    card = card_of(load_network("mini_resnet:classes=7"))
    assert card.reference == "mini_resnet:classes=7,size=32" and card.untrained
    assert card.preprocessing.size == 32 and card.training_seed is None
    written = network_card(load_network(f"{file}:build"))
    assert written["preprocessing"] is None and written["reference"] == f"{file}:build"
    shown = network_card(load_network(f"{file}:build"), Preprocessing(32))
    assert shown["preprocessing_hash"] == Preprocessing(32).fingerprint


def test_preprocessing_travels_with_the_weights_of_a_factory(file, tmp_path):
    network = load_network(f"{file}:build")
    network.preprocessing = Preprocessing(32, mean=(0.4, 0.4, 0.4))
    save_weights(network, tmp_path / "w.safetensors")
    again = load_network(f"{file}:build@{tmp_path}/w.safetensors")
    assert again.preprocessing == network.preprocessing


@pytest.mark.parametrize(
    "texts, labels",
    [
        (["lab/mine.py:build", "lab/mine.py:other"], ["build", "other"]),
        (["lab/mine.py:build", "old/mine.py:build"], ["build", "build-2"]),
        (["lab/mine.py:build:width=5", "lab/mine.py:build"], ["build:width=5", "build"]),
        (["mini_resnet@x/a.pth", "mini_resnet@y/b.pth.tar"], ["a", "b"]),
        (["mini_resnet@x/w.pth", "mini_resnet@y/w.pth"], ["mini_resnet", "mini_resnet-2"]),
        (["mini_resnet@x/w.pth", "mini_resnet"], ["mini_resnet", "mini_resnet-2"]),
        (["timm/resnet50@a1_in1k", "timm/resnet50@a2_in1k"], ["a1_in1k", "a2_in1k"]),
        (["mine=mini_resnet:size=48@w.pth", "mini_resnet"], ["mine", "mini_resnet"]),
        (["mini_resnet_se", "mini_resnet_se=mini_resnet"], ["mini_resnet_se-2", "mini_resnet_se"]),
        (["mini_resnet_ge_theta:extent=4"], ["mini_resnet_ge_theta:extent=4"]),
    ],
)
def test_labels_are_chosen_or_short_and_differ(texts, labels):
    assert list(labelled(texts)) == labels
    assert list(labelled(texts).values()) == [parse(text) for text in texts]


@pytest.mark.parametrize("text", ["=mini_resnet", "mine="])
def test_half_a_label(text):
    with pytest.raises(UsageError, match="not of the form LABEL=REFERENCE"):
        parse(text)


def test_a_label_given_twice_and_what_is_no_network():
    with pytest.raises(UsageError, match="two networks are labelled `a`"):
        labelled(["a=mini_resnet", "a=mini_resnet_se"])
    for wrong in (3, None, ["mini_resnet", 3]):
        with pytest.raises(UsageError, match=r"is no network; expected a torch\.nn\.Module"):
            label_networks(wrong)


def test_labels_in_a_table_are_those_chosen(file, quiet):
    data = torch.utils.data.TensorDataset(torch.randn(8, 3, 12, 12), torch.arange(8))
    references = [f"first={file}:build", f"{file}:build", f"{file}:other"]
    table = gelens.evaluate(references, data, quiet, untrained=True)
    assert list(table["network"]) == ["first", "build", "other"]


def test_a_note_of_the_file_says_every_option(tmp_path, caplog):
    network = load_network("mini_resnet")
    torch.save(network.state_dict(), tmp_path / "w.pth")
    with caplog.at_level(logging.WARNING, "gelens"):
        load_network(f"mini_resnet@{tmp_path}/w.pth")
    assert "(--image-size, --crop-pct, --interpolation, --mean, --std)" in caplog.text


def test_a_read_that_a_signal_disturbed_changes_no_hash(tmp_path, monkeypatch):
    """Compiled code may make an error of the file of it: the file is read again."""
    from gelens.networks import weights

    save_weights(load_network("mini_resnet"), tmp_path / "w.safetensors")
    expected, read, calls = weights.weights_file_hash(tmp_path / "w.safetensors"), weights.read_checkpoint, []

    def disturbed(path):
        calls.append(path)
        if len(calls) == 1:
            raise RunError("cannot read weights")
        return read(path)

    monkeypatch.setattr(weights, "read_checkpoint", disturbed)
    assert weights.weights_file_hash(tmp_path / "w.safetensors") == expected and len(calls) == 2
