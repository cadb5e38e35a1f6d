"""How important each feature map of a block is to an image: the scores by which maps are dropped."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from analysis.ablation.engine import Ablation
from analysis.anatomy.sites import find_sites, gate_values
from analysis.errors import UsageError
from analysis.probes.metric import SavedMetric
from analysis.randomness import hashes

SCORES = ("gate", "random", "activation", "selectivity", "gradient")
"""The gate's value (the paper's); a hash of seed, image and channel; the mean of |gated branch|; the class selectivity
index of another run; the sum over positions of gated branch × gradient of the predicted logit, the first-order estimate
of how far that logit falls when the map is set to zero (as Molchanov et al., ICLR 2017, but of a logit and signed)."""

MEAN_SCORES = ("gate", "activation", "gradient")
"""Scores of an image, which have a mean over images."""

_CHANNELS = 2**24


@dataclass
class Prior:
    """What is known of one block's branch from other images than those measured.

    Args:
        branch: (C,) mean of the gated branch over images and positions.
        scores: (C,) by score: its mean over images, or for "selectivity" the index.
    """

    branch: np.ndarray | None = None
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)


class Importance:
    """The scores of an ablation's feature maps, in the intact forward pass that is going on.

    Args:
        ablation: whose `watch` calls `enter` and `leave`.
        scores: those that are wanted for each image.
        seed: of the random score.
    """

    def __init__(self, ablation: Ablation, scores: Sequence[str], seed: int = 0):
        self.ablation, self.scores, self.seed = ablation, scores, seed
        self._seen: dict[str, dict[int, torch.Tensor]] = {}

    def enter(self, number: int, x: torch.Tensor) -> None:
        if number == 0:
            self._seen.clear()  # what is left of another batch
        site = self.ablation.sites[number]
        if "gate" in self.scores and site.gate:
            self._seen.setdefault("gate", {})[number] = gate_values(self.ablation.network, site, x)

    def leave(self, number: int, branch: torch.Tensor) -> None:
        if "activation" in self.scores:
            values = branch.abs().mean((2, 3), dtype=torch.float32)
            self._seen.setdefault("activation", {})[number] = values

    def of(self, score: str, indices: torch.Tensor | None, images: torch.Tensor | None = None) -> list[torch.Tensor]:
        """For each site (N, C), greater is more important.

        Args:
            indices: of the images, for the random score.
            images: where the ablation runs the whole network.
        """
        if score == "gradient":
            return self.ablation.gradients(images)
        if score == "random":
            if indices is None:
                raise UsageError("a random order needs the images' indices: watch(indices)")
            return [random_scores(self.seed, site.block, indices, site.channels) for site in self.ablation.sites]
        return [self._seen[score][number] for number in range(len(self.ablation.sites))]


def random_scores(seed: int, block: str, indices: torch.Tensor, channels: int) -> torch.Tensor:
    """(N, C) int64 on the host, a hash of seed, block, image and channel."""
    places = np.asarray(indices).astype(np.int64)[:, None] * _CHANNELS + np.arange(channels)
    return torch.from_numpy((hashes(seed, f"drop order {block}", places) >> np.uint64(1)).astype(np.int64))


class BranchMeans(SavedMetric):
    """What other images tell of blocks' branches: the mean gated branch, and the mean of scores over images.

    `update(images, logits)` follows an intact pass made under `watch()`; `compute()` gives a `Prior` by block.

    Args:
        network: on its device, in evaluation mode by the first update.
        blocks: their names.
        scores: "gate", "activation" or "gradient"; a block without a gate has no mean gate.
        shape: of one image (3, H, W); by the network's preprocessing where not given.
    """

    double = True

    def __init__(
        self, network: nn.Module, blocks: Sequence[str], scores: Sequence[str] = (), shape: Sequence[int] | None = None
    ):
        super().__init__()
        self._blocks = []
        for site in find_sites(network, blocks, shape):
            ablation = Ablation(network, [site], [torch.zeros(())])
            mine = [score for score in scores if site.gate or score != "gate"]
            self._blocks.append((site, Importance(ablation, mine)))
        for number, (site, importance) in enumerate(self._blocks):
            for name in ("branch", *importance.scores):
                zeros = torch.zeros(site.channels, dtype=torch.float64)
                self.add_state(f"{name}_{number}", zeros, dist_reduce_fx="sum", persistent=True)
        self.add_state("images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum", persistent=True)
        self._means: dict[tuple[int, str], torch.Tensor] = {}

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Look at the intact forward pass inside the with-block."""
        with ExitStack() as stack:
            for number, (_, importance) in enumerate(self._blocks):
                stack.enter_context(self._watch(number, importance))
            yield

    def _watch(self, number: int, importance: Importance):
        def leave(site: int, branch: torch.Tensor) -> None:
            self._means[number, "branch"] = branch.mean((2, 3), dtype=torch.float32)
            importance.leave(site, branch)

        def ready() -> None:
            importance.ablation.settle()
            for score in importance.scores:
                if score != "gradient" or importance.ablation.way != "passes":
                    self._means[number, score] = importance.of(score, None)[0]

        return importance.ablation.watch(importance.enter, leave, ready)

    def update(self, images: torch.Tensor, logits: torch.Tensor) -> None:
        self.images += len(images)
        for number, (_, importance) in enumerate(self._blocks):
            if not importance.ablation.keep_promise(logits) and "gradient" in importance.scores:
                self._means[number, "gradient"] = importance.of("gradient", None, images)[0]
            for name in ("branch", *importance.scores):
                sums = getattr(self, f"{name}_{number}")
                sums += self._means[number, name].to(sums.device, torch.float64).sum(0)
        self._means.clear()

    def compute(self) -> dict[str, Prior]:
        def mean(number: int, name: str) -> np.ndarray:
            return (getattr(self, f"{name}_{number}") / self.images).cpu().numpy()

        return {
            site.block: Prior(mean(number, "branch"), {score: mean(number, score) for score in importance.scores})
            for number, (site, importance) in enumerate(self._blocks)
        }
