"""Tiny seeded networks and data, and every device of this machine as a parameter."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from analysis.data.datasets import ImageData
from analysis.networks import load_network
from analysis.sweep.passing import SweepOptions

DEVICES = ["cpu", "cuda", "mps"]


@pytest.fixture(params=DEVICES)
def device(request) -> str:
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available[request.param]:
        pytest.skip(f"no {request.param} on this machine")
    return request.param


@pytest.fixture
def quiet(device) -> SweepOptions:
    return SweepOptions(device=device, batch_size=16, progress=False)


def shake(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random batch-norm statistics and scales, so that nothing about a network is special."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.3, generator=generator)
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


def make_network(reference: str, seed: int = 0) -> nn.Module:
    """A random network whose predictions differ from image to image: each logit is standardised over some images."""
    torch.manual_seed(seed)
    network = shake(load_network(reference), seed)
    size = network.preprocessing.size
    with torch.no_grad():
        logits = network(torch.randn(32, 3, size, size))
        network.fc.weight /= logits.std(0)[:, None]
        network.fc.bias.copy_((network.fc.bias - logits.mean(0)) / logits.std(0))
    return network


def make_data(images: int = 40, classes: int = 4, size: int = 32, seed: int = 0) -> ImageData:
    """Images of noise around a level that their class sets."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    pixels = rng.integers(0, 120, (images, size, size, 3)) + labels[:, None, None, None] * 30
    pixels = pixels.astype(np.uint8)
    return ImageData(
        "noise",
        "val",
        [f"class {label}" for label in range(classes)],
        labels,
        [f"noise-{position}" for position in range(images)],
        lambda position: Image.fromarray(pixels[position]),
    )


def count_hooks(network: nn.Module) -> int:
    return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in network.modules())
