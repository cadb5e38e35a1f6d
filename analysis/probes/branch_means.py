"""What images tell of blocks' branches: their means and scores, for images other than those measured.

Dropped maps are filled with the mean over such images, and one order for all images is by their mean score.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..ablation.engine import Ablation, Settled, Source
from ..ablation.importance import Prior
from ..anatomy.sites import Site, find_sites
from ..recording import Kept, Recording
from .chunked import OfTargets, Target
from .probe import Moment

_ROWS = 4096


class BranchMeans(OfTargets):
    """Keeps BLOCK.gated.mean, the signed mean of the gated branch over positions, and BLOCK.SCORE; float32 (units,).

    Args:
        network: on its device, in evaluation mode by the first pass.
        blocks: their names.
        scores: "gate", "activation" or "gradient"; a block without a gate has no score "gate".
        shape: of one image (3, H, W); by the network's preprocessing where not given.
    """

    def __init__(
        self, network: nn.Module, blocks: Sequence[str], scores: Sequence[str] = (), shape: Sequence[int] | None = None
    ):
        sites = find_sites(network, blocks, shape)
        self._targets: list[_Target] = [_Target(network, site, scores) for site in sites]

    def arrays(self) -> list[Kept]:
        return [
            Kept(name, (target.channels,))
            for target in self._targets
            for name in (_mean_name(target.name), *(f"{target.name}.{score}" for score in target.scores))
        ]

    def settings(self) -> dict:
        return {}

    def rows(self, moment: Moment) -> dict[str, torch.Tensor]:
        rows: dict[str, torch.Tensor] = {}
        for target in self._targets:
            rows |= target.take(moment.batch, moment.images, moment.logits)
        return rows


class _Target(Target[dict[str, torch.Tensor]]):
    """A block, and the means of its branch in the batch at hand."""

    def __init__(self, network: nn.Module, site: Site, scores: Sequence[str]):
        self.channels = site.channels
        self.scores = [score for score in scores if site.gate or score != "gate"]
        super().__init__(site.block, Ablation(network, [site], [torch.zeros(())]), self.scores)

    def leave(self, number: int, branch: torch.Tensor) -> None:
        self.mean = branch.mean((2, 3), dtype=torch.float32)
        super().leave(number, branch)

    def measure(self, settled: Settled, source: Source, known: Any) -> dict[str, torch.Tensor]:
        """By array, a row for each image."""
        found = {_mean_name(self.name): self.mean}
        for score in self.scores:
            (found[f"{self.name}.{score}"],) = self.scored(score, settled, source)
        return found


def means_at(blocks: Sequence[str], scores: Sequence[str] = ()) -> Callable[[nn.Module, Sequence[int]], BranchMeans]:
    """What makes `BranchMeans` of a network and the shape (3, H, W) of its images, for `Request.probes`."""
    return lambda network, shape: BranchMeans(network, blocks, scores, shape)


def _mean_name(block: str) -> str:
    return f"{block}.gated.mean"


def priors(recording: Recording, network: str, scores: Sequence[str]) -> dict[str, Prior]:
    """What a recording of `BranchMeans` tells of each block: means over its images."""
    names = recording.names(network)
    blocks = [name.removesuffix(".gated.mean") for name in names if name.endswith(".gated.mean")]
    found = {}
    for block in blocks:
        known = [score for score in scores if f"{block}.{score}" in names]
        means = {score: _mean(recording.array(network, f"{block}.{score}")) for score in known}
        found[block] = Prior(_mean(recording.array(network, _mean_name(block))), means)
    return found


def _mean(rows: np.ndarray) -> np.ndarray:
    """The mean over images in float64, in their order."""
    total = np.zeros(rows.shape[1])
    for start in range(0, len(rows), _ROWS):
        total += rows[start : start + _ROWS].sum(0, dtype=np.float64)
    return total / len(rows)
