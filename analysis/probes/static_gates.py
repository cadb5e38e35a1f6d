"""What a gate's own values are worth: which images are right when gates have others."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ..ablation.engine import Settled, Source
from ..ablation.substitutes import GateAblation, Substitute
from ..anatomy.sites import Site, common_name, find_sites
from ..data.loading import Batch
from ..devices import to_device
from ..errors import UsageError
from ..randomness import hashes
from ..recording import Kept
from .chunked import Chunked, Target
from .probe import Moment

INTACT = "own"
SUBSTITUTES = ("mean", "class", "other", "one")
"""What a gate's value is replaced by: its mean over other images; over other images of the image's own class, which
only somebody knows who knows the label; its value on another image, drawn by hash; 1, as if there were no gate."""


@dataclass(frozen=True)
class KnownGates:
    """The gate values of one block on other images than those measured.

    Args:
        values: (M, C) float32.
        labels: (M,) their classes.
    """

    values: np.ndarray
    labels: np.ndarray

    @property
    def fingerprint(self) -> str:
        """A hash of all values and labels."""
        digest = hashlib.sha256(np.ascontiguousarray(self.values).tobytes())
        digest.update(np.ascontiguousarray(self.labels).tobytes())
        return digest.hexdigest()[:16]

    def class_means(self, classes: int) -> np.ndarray:
        """(classes, C); a class without images has the mean over all."""
        means = np.tile(self.values.mean(0, dtype=float), (classes, 1))
        for label in np.unique(self.labels):
            means[label] = self.values[self.labels == label].mean(0, dtype=float)
        return means.astype(np.float32)


class StaticGates(Chunked):
    """Keeps `static.top1`, uint8 (points,): whether each image is right with substitutes for gates.

    A point is a block, or all blocks at once, and one of `SUBSTITUTES`; the first is the intact network. A substitute
    is the same at every position of a channel's map.

    Args:
        network: on its device, in evaluation mode by the first pass.
        blocks: names of gated blocks, in the network's order.
        known: by block, its gate on other images.
        classes: of the labels.
        seed: of whose gate another image gets.
        shape: of one image (3, H, W); by the network's preprocessing where not given.

    Raises:
        UsageError: a block without a gate, or nothing known of it.
    """

    tuned = "static rows"

    def __init__(
        self,
        network: nn.Module,
        blocks: Sequence[str],
        known: Mapping[str, KnownGates],
        classes: int,
        seed: int = 0,
        shape: Sequence[int] | None = None,
    ):
        self.network, self.seed = network, seed
        sites = find_sites(network, blocks, shape)
        for site in sites:
            if site.gate is None:
                raise UsageError(f"block `{site.block}` of {type(network).__name__} has no gate")
            if site.block not in known:
                raise UsageError(f"block `{site.block}`: nothing is known of its gate on other images")
        every = [sites] if len(sites) > 1 else []
        groups = [[site] for site in sites] + every
        self._targets: list[_Target] = [_Target(network, each, known, classes, seed) for each in groups]
        self.points = [("", INTACT)] + [(target.name, kind) for target in self._targets for kind in SUBSTITUTES]
        self._known = {site.block: known[site.block].fingerprint for site in sites}

    def arrays(self) -> list[Kept]:
        return [Kept("static.top1", (len(self.points),), "uint8")]

    def settings(self) -> dict:
        points = [list(point) for point in self.points]
        return {"static": {"seed": self.seed, "points": points, "known": self._known}}

    def rows(self, moment: Moment) -> dict[str, torch.Tensor]:
        best = [moment.logits.argmax(1)]
        for target in self._targets:
            best += target.take(moment.batch, moment.images, moment.logits)
        return {"static.top1": (torch.stack(best, 1) == moment.labels[:, None]).to(torch.uint8)}


class _Target(Target[list[torch.Tensor]]):
    """Blocks whose gates are replaced together."""

    def __init__(
        self, network: nn.Module, sites: Sequence[Site], known: Mapping[str, KnownGates], classes: int, seed: int
    ):
        name = sites[0].block if len(sites) == 1 else common_name(sites)
        super().__init__(name, GateAblation(network, sites))
        mine = [known[site.block] for site in sites]
        self.means = [torch.from_numpy(each.values.mean(0, dtype=float).astype(np.float32)) for each in mine]
        self.class_means = [torch.from_numpy(each.class_means(classes)) for each in mine]
        self.others = [each.values for each in mine]
        self.seed = seed

    def measure(self, settled: Settled, source: Source, known: Batch) -> list[torch.Tensor]:
        """The best class (N,) with each substitute."""
        # one other image for all blocks, so that all together have the gates of one image
        drawn = hashes(self.seed, "another image's gate", known.indices.numpy()) % np.uint64(len(self.others[0]))
        whose = drawn.astype(np.int64)
        by_kind = {
            "mean": [each.expand(len(source), -1) for each in self.means],
            "class": [each[known.labels.cpu()] for each in self.class_means],
            "other": [torch.from_numpy(np.asarray(each[whose])) for each in self.others],
            "one": [torch.ones(len(source), each.shape[-1]) for each in self.means],
        }
        variants = [Substitute([to_device(each, source.device) for each in by_kind[kind]]) for kind in SUBSTITUTES]
        return list(settled.logits(variants, source, lambda logits: logits.argmax(1)))
