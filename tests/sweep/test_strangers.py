"""Strangers' networks as they come: measured as a plain loop measures them, or refused with what would do instead."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import gelens
from gelens.api import images_for
from gelens.errors import UsageError


class LeNet(nn.Module):
    """As tutorials have it: maps are flattened by `.view`, ReLUs and pools are functions."""

    def __init__(self, channels: int = 3):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, 6, 5), nn.Conv2d(6, 16, 5)
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        self.act2 = nn.ReLU()
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * 5 * 5, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.act2(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


def noise(channels: int = 3, size: int = 32, images: int = 40) -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(images, channels, size, size, generator=generator)
    return TensorDataset(pixels, torch.arange(images) % 10)


@pytest.fixture
def lenet() -> nn.Module:
    torch.manual_seed(0)
    return LeNet()


def test_a_network_that_flattens_by_view_is_measured_and_given_back_as_it_came(lenet, quiet):
    data = noise()
    before = {name: values.stride() for name, values in lenet.state_dict().items()}
    table = gelens.evaluate(lenet, data, quiet)
    images, labels = data.tensors
    with torch.no_grad():
        wrong = (lenet.eval()(images).argmax(1) != labels).float().mean()
    assert table["top1_error"].iloc[0] == pytest.approx(100 * float(wrong))
    assert {name: values.stride() for name, values in lenet.state_dict().items()} == before
    shown, _ = next(images_for(lenet, data, 8, quiet.device))
    lenet.to(quiet.device)(shown)  # takes them as they are shown


def test_other_networks_keep_their_format_too(quiet):
    network = gelens.load_network("mini_resnet")
    gelens.evaluate(network, noise(), quiet)
    assert all(parameter.is_contiguous() for parameter in network.parameters())


@pytest.mark.parametrize(
    "make, channels, size, message",
    [
        (LeNet, 3, 64, r"it takes 32 px \(--image-size 32, in Python its `preprocessing`\)$"),
        (lambda: LeNet(1), 3, 32, r"it takes images of 1 channel: put torchvision\.transforms\.Grayscale\(\)"),
        (LeNet, 1, 32, r"it takes images of 3 channels: give tensors \(3, H, W\)$"),
        (lambda: Broken(), 3, 32, r"fails on images of 3×32×32: nothing works here$"),
        (lambda: Gives("out"), 3, 32, r"gives dict of 'out'; expected logits .* called `logits`: wrap it"),
    ],
)
def test_what_would_do_instead_is_found_by_trying(make, channels, size, message, quiet):
    with pytest.raises(UsageError, match=message):
        gelens.evaluate(make(), noise(channels, size, 8), quiet)


class Broken(nn.Module):
    def forward(self, x):
        raise LookupError("nothing works here")


class Gives(nn.Module):
    def __init__(self, name: str):
        super().__init__()
        self.name, self.fc = name, nn.Linear(3, 10)

    def forward(self, x):
        return {self.name: self.fc(x.mean((2, 3)))}


def test_gray_images_as_tensors_are_measured(quiet):
    assert len(gelens.evaluate(LeNet(1), noise(1), quiet)) == 1
