"""Hashes that tell networks apart: by weights, by how they are built, and by the code that uses the weights."""

import numpy as np
import torch

from gelens.analyses.inputs import Inputs
from gelens.networks import load_network
from gelens.networks.weights import code_hash, network_card
from tests.conftest import make_network

LAB = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 10)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))

def build():
    torch.manual_seed(0)
    return Net()
"""


def test_code_that_uses_the_same_weights_otherwise_is_told(tmp_path):
    """As a factory's, edited between two runs: in the network's card, and in what `--resume` compares."""
    path, cards, arguments = tmp_path / "lab.py", [], []
    for source in (LAB, LAB, LAB.replace(".relu()", ".abs()")):
        path.write_text(source)
        cards.append(network_card(load_network(f"{path}:build")))
        arguments.append(Inputs([f"{path}:build"], "digits").as_arguments()["code"])
    assert len({card["weights_hash"] for card in cards}) == 1
    assert cards[0]["code"] == cards[1]["code"] != cards[2]["code"]
    assert arguments[0] == arguments[1] != arguments[2] and list(arguments[0]) == [str(path)]


def test_settings_that_are_no_weights_are_told():
    one, two = (make_network("mini_resnet:classes=4") for _ in range(2))
    assert code_hash(one) == code_hash(two)
    two.layer3[0].conv2.stride = (1, 1) if two.layer3[0].conv2.stride == (2, 2) else (2, 2)
    assert code_hash(one) != code_hash(two)
    assert np.isfinite(one(torch.zeros(1, 3, 32, 32)).detach().numpy()).all(), "it is left as it was"
