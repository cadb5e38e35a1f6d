"""What a probe is: the contract between a pass and what it keeps of each image."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from ..data.loading import Batch
from ..recording import Kept


@dataclass(frozen=True)
class Moment:
    """A batch just after its intact forward pass.

    Args:
        batch: on the host: indices, positions and labels of the images.
        images: prepared, (N, 3, H, W), on the device.
        labels: (N,), on the device.
        logits: (N, K), on the device.
    """

    batch: Batch
    images: torch.Tensor
    labels: torch.Tensor
    logits: torch.Tensor


@runtime_checkable
class Probe(Protocol):
    """What is kept of each image of one network.

    A probe computes no statistic: it gives rows. What it keeps of an image must not depend on the others of its batch.
    """

    def arrays(self) -> list[Kept]:
        """The arrays that it keeps: name, shape of a row, dtype."""

    def settings(self) -> dict:
        """What its rows depend on beside network and images, as JSON has it; a recording is resumed only by equals."""

    def taps(self) -> dict[str, list[str]]:
        """By block, the taps whose activity is among the arrays, as BLOCK.TAP."""

    def watch(self, batch: Batch) -> AbstractContextManager:
        """A context around the intact forward pass of a batch."""

    def rows(self, moment: Moment) -> dict[str, torch.Tensor]:
        """By array, (N, …) on the device."""


@runtime_checkable
class Onlooker(Protocol):
    """A probe that only looks at what modules give, so that a copy of the network, folded or compiled, will do."""

    def look_at(self, network: nn.Module) -> None:
        """Look at this network from now on, whose modules have the same names."""


@runtime_checkable
class Compilable(Protocol):
    """A probe that runs parts of the network itself."""

    def passes(self) -> int:
        """How often it runs a part of the network for an image; 0 where that has to stay as it is."""

    def compile(self) -> None:
        """Compile what it runs, before the first batch; a UsageError where that was asked to stay as it is."""


@runtime_checkable
class Tuned(Protocol):
    """A probe that chooses how it is run by the device and its memory: last bits of its rows may hang on that."""

    def chosen(self) -> dict:
        """What is chosen so far, as JSON has it, under a name that no other probe has."""

    def choose(self, chosen: Mapping) -> None:
        """Take what was chosen before."""
