"""Logits of a network whose gates have other values than their own: the engine's passes with gates replaced."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ..anatomy.operations import at_places
from ..anatomy.sites import Site
from .engine import Ablation, AtHand, Settled, Tail


@dataclass(frozen=True)
class Substitute:
    """For each site, the values that its gate is given, (N, C)."""

    values: Sequence[torch.Tensor]

    def rows(self) -> Sequence[torch.Tensor]:
        return self.values


class GateTail(Tail):
    """A network from some blocks on, run with the values of their gates replaced, the same at every position.

    What the ways of `Tail` call kept are here the values, (R, C) for each site. The module that gives a gate's values
    runs and its output is replaced, so that the gate multiplies as it always does.
    """

    def __init__(self, network: nn.Module, sites: Sequence[Site]):
        super().__init__(network, sites, [torch.zeros(()) for _ in sites])
        self.gates = [str(site.values) for site in sites]

    def _dropping(self, kept: Sequence[torch.Tensor]):
        def replace(values: torch.Tensor):
            def change(own: torch.Tensor) -> torch.Tensor:
                if own.ndim == 4:
                    return values[:, :, None, None].to(own.dtype).expand_as(own)
                return values.to(own.dtype).reshape(own.shape)

            return change

        return at_places(self.network, [(gate, replace(values)) for gate, values in zip(self.gates, kept, strict=True)])


class GateAblation(Ablation):
    """Some gated blocks of a network, run again from their input with other values of their gates."""

    def __init__(self, network: nn.Module, sites: Sequence[Site], rows: int | None = None):
        super().__init__(network, sites, [torch.zeros(()) for _ in sites], rows)

    def settle(self, first: AtHand) -> Settled:
        """On the first batch, find out whether what follows the blocks can be run alone."""
        self.chunk.start(first.whole)
        tail = GateTail(self.network, self.sites)
        if tail.start is None or first.arriving is None:
            return Settled("passes", tail, tail, self.chunk)
        return Settled("replay", tail, tail, self.chunk, promised=tail.start(first.arriving.clone()))
