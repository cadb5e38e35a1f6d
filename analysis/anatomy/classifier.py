"""The linear layer that gives a network's logits, in float32 where autocast would round them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from .hooks import hooked, logits_of


class _Float32Linear(nn.Linear):
    """A linear layer that autocast leaves in float32."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


@contextmanager
def float32_logits(network: nn.Module, images: torch.Tensor) -> Iterator[None]:
    """Logits in float32 in the with-block: in bfloat16's eight bits they tie, and which is the largest is chance.

    Without effect where logits are not what one linear layer gives, as after a convolution or a softmax.

    Args:
        images: some that the network takes; they are sent through it to find the layer.
    """
    layer = _classifier(network, images)
    if layer is None:
        yield
        return
    layer.__class__ = _Float32Linear  # in its place: names, hooks, parameters and copies stay what they are
    try:
        yield
    finally:
        layer.__class__ = nn.Linear


def _classifier(network: nn.Module, images: torch.Tensor) -> nn.Linear | None:
    ended: list[tuple[nn.Linear, torch.Tensor]] = []

    def note(module, args, output):
        ended.append((module, output))

    layers = [module for module in network.modules() if type(module) is nn.Linear]
    with hooked(*((layer, note) for layer in layers)):
        logits = logits_of(network(images))
    return next((layer for layer, output in reversed(ended) if output is logits), None)
