"""Probes that run variants of a network in chunks: the chunks' sizes are kept, so that a pass goes on with the same."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..ablation.chunks import ChunkSize
from ..ablation.engine import Ablation


class _Target(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def ablation(self) -> Ablation: ...


class Chunked:
    """A `Tuned` probe of targets that each have an ablation.

    `tuned` is the name of what it chose; `_targets` are what is run together, each with a name.
    """

    tuned: str
    _targets: Sequence[_Target]

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
