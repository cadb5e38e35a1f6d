"""How important each feature map of a block is to an image: the scores by which maps are dropped."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ..anatomy.sites import gate_values
from ..choices import SCORES
from ..errors import UsageError
from ..randomness import hashes
from .engine import Ablation

MEAN_SCORES = tuple(score for score in SCORES if score not in ("random", "selectivity"))
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

    @property
    def fingerprint(self) -> str:
        """A hash of all values."""
        digest = hashlib.sha256()
        for name, values in {"branch": self.branch, **self.scores}.items():
            digest.update(name.encode() + (b"" if values is None else np.ascontiguousarray(values).tobytes()))
        return digest.hexdigest()[:16]


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

    def of(self, score: str, indices: torch.Tensor | None) -> list[torch.Tensor]:
        """For each site (N, C), greater is more important; gradients are `Settled.gradients`.

        Args:
            indices: of the images, for the random score.
        """
        if score == "random":
            if indices is None:
                raise UsageError("a random order needs the images' indices: watch(indices)")
            return [random_scores(self.seed, site.block, indices, site.channels) for site in self.ablation.sites]
        return [self._seen[score][number] for number in range(len(self.ablation.sites))]


def random_scores(seed: int, block: str, indices: torch.Tensor | Sequence[int], channels: int) -> torch.Tensor:
    """(N, C) int64 on the host, a hash of seed, block, image and channel."""
    places = np.asarray(indices).astype(np.int64)[:, None] * _CHANNELS + np.arange(channels)
    return torch.from_numpy((hashes(seed, f"drop order {block}", places) >> np.uint64(1)).astype(np.int64))
