"""A handle on selectivity: the class selectivity index of a batch as a part of the loss."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from ..anatomy.hooks import capture, channel_means, layout_of
from ..anatomy.sites import resolve_blocks
from ..errors import UsageError

SMALL = 1e-7
"""Added to the index's denominator, so that a dead unit has index 0 and no gradient."""


@dataclass(frozen=True)
class Pressure:
    """How much selectivity counts in the loss.

    Args:
        alpha: α of the loss, cross-entropy − α · mean index: above 0 selectivity is promoted, below 0 it is held down
            (Leavitt and Morcos, 2020, arXiv 2003.01262, equation 3).
        of: modules whose units it is of: names, or a stage's name, such as layer3, for all of its blocks.
    """

    alpha: float = 0.0
    of: Sequence[str] = ("layer3",)

    def blocks_of(self, network: nn.Module) -> list[str]:
        """The names of the blocks.

        Raises:
            UsageError: no such module.
        """
        stages = {name for name, module in network.named_modules() if isinstance(module, nn.Sequential | nn.ModuleList)}
        return resolve_blocks(network, blocks=[f"{name}.*" if name in stages else name for name in self.of])


def batch_index(activity: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean over units of the class selectivity index of a batch, with its gradient.

    Args:
        activity: (N, U) mean activities, not negative.
        labels: (N,) classes of the images.

    Returns:
        A scalar; 0 where the batch has a single class. Of a few images a class the index is far above that of many:
        it is a force, not a measurement.

    >>> batch_index(torch.tensor([[3.0], [1.0], [1.0]]), torch.tensor([0, 4, 2]))
    tensor(0.5000)
    """
    present, own = labels.unique(return_inverse=True)
    if len(present) < 2:
        return activity.sum() * 0
    members = nn.functional.one_hot(own, len(present)).T.to(activity.dtype)
    means = members @ activity / members.sum(1, keepdim=True)
    highest = means.amax(0)
    rest = (means.sum(0) - highest) / (len(present) - 1)
    return ((highest - rest) / (highest + rest + SMALL)).mean()


class SelectivityTerm:
    """What a batch's selectivity adds to the loss.

    Args:
        network: whose blocks are watched.
        pressure: how much it counts, and of which blocks.

    Raises:
        UsageError: no such module, or outputs that may be negative.
    """

    def __init__(self, network: nn.Module, pressure: Pressure):
        self.network, self.pressure = network, pressure
        self.blocks = pressure.blocks_of(network)
        self._layout = layout_of(network)
        self._seen: dict[str, torch.Tensor] = {}

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Keep the activities of the forward pass inside the with-block."""
        with capture(self.network, self.blocks, self._mean, self._seen):
            yield

    def _mean(self, block: str, maps: torch.Tensor) -> torch.Tensor:
        return channel_means(maps, self._layout)

    def of(self, labels: torch.Tensor) -> torch.Tensor:
        """−α times the mean index over units and blocks, of the pass just watched."""
        for block, activity in self._seen.items():
            if activity.detach().amin() < 0:
                raise UsageError(
                    f"block `{block}` has negative activities: the index is defined for activities ≥ 0; name blocks "
                    f"that end in a ReLU"
                )
        indices = [batch_index(activity, labels) for activity in self._seen.values()]
        return -self.pressure.alpha * torch.stack(indices).mean()
