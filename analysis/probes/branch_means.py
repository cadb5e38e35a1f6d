"""What images tell of blocks' branches: their means and scores, for images other than those measured.

Dropped maps are filled with the mean over such images, and one order for all images is by their mean score.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import nn

from ..ablation.engine import Ablation
from ..ablation.importance import Importance, Prior
from ..anatomy.sites import find_sites
from ..recording import Kept, Recording
from .probe import Moment

_ROWS = 4096


class BranchMeans:
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
        self._blocks = []
        for site in find_sites(network, blocks, shape):
            ablation = Ablation(network, [site], [torch.zeros(())])
            mine = [score for score in scores if site.gate or score != "gate"]
            self._blocks.append((site, Importance(ablation, mine)))
        self._seen: dict[str, torch.Tensor] = {}

    def arrays(self) -> list[Kept]:
        return [
            Kept(name, (site.channels,))
            for site, importance in self._blocks
            for name in (_mean_name(site.block), *(f"{site.block}.{score}" for score in importance.scores))
        ]

    def settings(self) -> dict:
        return {}

    def taps(self) -> dict[str, list[str]]:
        return {}

    @contextmanager
    def watch(self, batch) -> Iterator[None]:
        with ExitStack() as stack:
            for site, importance in self._blocks:
                stack.enter_context(self._watch(site.block, importance))
            yield

    def _watch(self, block: str, importance: Importance):
        def leave(site: int, branch: torch.Tensor) -> None:
            self._seen[_mean_name(block)] = branch.mean((2, 3), dtype=torch.float32)
            importance.leave(site, branch)

        def ready() -> None:
            importance.ablation.settle()
            for score in importance.scores:
                if score != "gradient" or importance.ablation.way != "passes":
                    self._seen[f"{block}.{score}"] = importance.of(score, None)[0]

        return importance.ablation.watch(importance.enter, leave, ready)

    def rows(self, moment: Moment) -> dict[str, torch.Tensor]:
        for site, importance in self._blocks:
            if not importance.ablation.keep_promise(moment.logits) and "gradient" in importance.scores:
                self._seen[f"{site.block}.gradient"] = importance.of("gradient", None, moment.images)[0]
        rows, self._seen = self._seen, {}
        return rows


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
