"""Tiny seeded networks and data, and every device of this machine as a parameter."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import analysis  # noqa: F401 — so that gelens is that of this clone, whatever is installed
from gelens.ablation.engine import Settled
from gelens.api import Request, record_requests
from gelens.data.datasets import ImageData
from gelens.networks import load_network
from gelens.recording import Recording
from gelens.sweep.passing import SweepOptions
from gelens.tables.evaluation import evaluation_table
from gelens.tables.pruning import pruning_table
from gelens.tables.selectivity import Selectivity, Statistics, selectivity_tables

DEVICES = ["cpu", "cuda", "mps", "xpu"]

if not torch.accelerator.is_available():
    with suppress(ImportError):  # old versions of torch have no devices that are written in Python
        from tests.devices.pretended import register

        register()


def pytest_configure() -> None:
    """Tests send Ctrl-C, which a shell makes whatever it starts in the background ignore."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def level_of_the_log() -> Iterator[None]:
    """A command, such as one with -q, sets it for the whole process."""
    logger = logging.getLogger("gelens")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(params=DEVICES)
def device(request) -> str:
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    available["xpu"] = torch.xpu.is_available()
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


@contextmanager
def spied(kind: type, name: str) -> Iterator[list[list]]:
    """What a method gives inside the with-block, a list for each call."""
    given: list[list] = []
    inner = getattr(kind, name)

    def spy(*arguments):
        given.append(list(inner(*arguments)))
        return given[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, name, spy)
        yield given


@contextmanager
def spied_logits() -> Iterator[list[list[torch.Tensor]]]:
    """The logits of each variant that are run inside the with-block, a list for each call of `Settled.logits`."""
    given: list[list[torch.Tensor]] = []
    inner = Settled.logits

    def spy(settled, variants, source, reduced=lambda logits: logits):
        given.append(list(inner(settled, variants, source)))
        return [reduced(each) for each in given[-1]]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Settled, "logits", spy)
        yield given


def count_hooks(network: nn.Module) -> int:
    return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in network.modules())


FEW = Statistics(permutations=5, replicates=5)
"""Enough to tell whether two ways give the same."""


@dataclass
class Measured:
    """A recording and every table that it allows; None where nothing of the kind was requested."""

    recording: Recording
    evaluation: pd.DataFrame
    selectivity: Selectivity | None
    pruning: pd.DataFrame | None

    def equals(self, other: "Measured") -> None:
        """Raise an AssertionError where a table is another."""
        pd.testing.assert_frame_equal(self.evaluation, other.evaluation)
        if self.selectivity:
            for name in ("units", "blocks", "images"):
                pd.testing.assert_frame_equal(getattr(self.selectivity, name), getattr(other.selectivity, name))
        if self.pruning is not None:
            pd.testing.assert_frame_equal(self.pruning, other.pruning)


def measure(
    requests: dict[str, Request],
    data,
    options: SweepOptions | None = None,
    folder: Path | None = None,
    resume: bool = False,
    statistics: Statistics = FEW,
) -> Measured:
    """Record what is requested, and compute every table."""
    recording = record_requests(requests, data, options or SweepOptions("cpu", progress=False), folder, resume)
    return tables_of(recording, statistics)


def tables_of(recording: Recording, statistics: Statistics = FEW) -> Measured:
    units = any(recording.described["taps"].values())
    dropped = any("dropping" in settings for settings in recording.described["settings"].values())
    return Measured(
        recording,
        evaluation_table(recording),
        selectivity_tables(recording, statistics) if units else None,
        pruning_table(recording) if dropped else None,
    )
