"""Probes that run variants of a network in chunks, while an intact pass goes through it or after it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, TypeVar

import torch

from ..ablation.chunks import ChunkSize
from ..ablation.engine import Ablation, AtHand, Settled, Source
from ..ablation.importance import Importance
from ..anatomy.folding import Folding
from ..errors import UsageError

Found = TypeVar("Found")


class Target(ABC, Generic[Found]):
    """What is changed together, and what came of it in the batch at hand.

    It is measured where the intact pass leaves its last block, or after the pass where the whole network has to be run.

    Args:
        name: of the block, or of what holds all of the blocks.
        scores: of the feature maps, that are wanted for each image.
        seed: of the random score.
        variants: how often what follows is run for an image.
    """

    def __init__(self, name: str, ablation: Ablation, scores: Sequence[str] = (), seed: int = 0, variants: int = 0):
        self.name, self.ablation, self.variants = name, ablation, variants
        self.importance = Importance(ablation, scores, seed)
        self._found: Found | None = None

    def watch(self, known: Any):
        """A context around the intact pass of a batch.

        Args:
            known: of its images: what `measure` needs.
        """

        def ready(settled: Settled, at_hand: AtHand) -> None:
            if settled.way != "passes":
                self._found = self.measure(settled, at_hand, known)

        return self.ablation.watch(self.importance.enter, self.leave, ready)

    def take(self, known: Any, images: torch.Tensor, logits: torch.Tensor) -> Found:
        """What came of it, once.

        Args:
            images: the batch, as the network gets it.
            logits: of the intact pass.

        Raises:
            UsageError: the blocks were not run in a pass that was watched.
        """
        settled, found = self.ablation.settled, self._found
        self._found = None
        if settled is None or (found is None and settled.way != "passes"):
            raise UsageError(f"`{self.name}` was not run in a pass that was watched: expected one in `watch` before")
        settled = self.ablation.hold(settled, logits)
        return self.measure(settled, images, known) if found is None or settled.way == "passes" else found

    def leave(self, number: int, branch: torch.Tensor) -> None:
        """As of `Ablation.watch`."""
        self.importance.leave(number, branch)

    def scored(
        self, score: str, settled: Settled, source: Source, indices: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        """For each site (N, C), greater is more important; a random score needs the images' indices."""
        return settled.gradients(source) if score == "gradient" else self.importance.of(score, indices)

    @abstractmethod
    def measure(self, settled: Settled, source: Source, known: Any) -> Found:
        """What comes of the batch's variants."""


class OfTargets:
    """A probe of targets, `_targets`, that keeps no activity."""

    _targets: Sequence[Target]

    def taps(self) -> dict[str, list[str]]:
        return {}

    @contextmanager
    def watch(self, batch: Any) -> Iterator[None]:
        """All targets measure in the intact forward pass inside the with-block.

        Args:
            batch: whose images pass, or what the targets need to know of it.
        """
        with ExitStack() as stack:
            for target in self._targets:
                stack.enter_context(target.watch(batch))
            yield


class Chunked(OfTargets):
    """A `Tuned` probe of targets: the sizes of their chunks are kept, so that a pass goes on with the same.

    `tuned` is the name of what it chose, `folding` the copy of the network that is run; None where it is the network.
    """

    tuned: str
    folding: Folding | None = None

    def passes(self) -> int:
        return sum(target.variants for target in self._targets) if self.folding else 0

    def compile(self) -> None:
        if self.folding is not None:
            self.folding.compiled = True
            for target in self._targets:
                target.ablation.compile(self.folding.copy)

    def chosen(self) -> dict:
        """By target, the images × variants that go through at a time, where they are known."""
        chunks = {target.name: target.ablation.chunk.rows for target in self._targets}
        return {self.tuned: {name: rows for name, rows in chunks.items() if rows is not None}}

    def choose(self, chosen: Mapping) -> None:
        """Go on with sizes that were chosen before; what the person gave stays."""
        before = chosen.get(self.tuned, {})
        for target in self._targets:
            if target.ablation.chunk.rows is None and target.name in before:
                target.ablation.chunk = ChunkSize(before[target.name])
