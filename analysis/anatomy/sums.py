"""Where a block's branch and shortcut have been added, and its last activation function has not been applied yet."""

from collections.abc import Sequence

import torch
from torch import nn

from ..errors import UsageError
from .hooks import evaluating, find_module, hooked
from .sites import example_images


def sum_modules(
    network: nn.Module, blocks: Sequence[str], shape: Sequence[int] | None = None
) -> dict[str, tuple[str, int]]:
    """By block, the module that turns the sum into the block's output, and which of its calls does so, from 0.

    A module may be called several times in a block: torchvision's ReLUs are.

    Args:
        shape: of one image (3, H, W); by the network's preprocessing where not given.

    Raises:
        UsageError: a block whose output is that of no module within it, as where its last ReLU is a function.
    """
    found: dict[str, tuple[str, int]] = {}
    calls: dict[str, list[tuple[str, torch.Tensor]]] = {block: [] for block in blocks}

    def inside(block: str, name: str):
        return lambda module, args, output: calls[block].append((name, output)) if _is_map(output) else None

    def ends(block: str):
        def hook(module, args, output):
            names = [name for name, _ in calls[block]]
            for at in reversed(range(len(names))):
                if _is_map(output) and torch.equal(calls[block][at][1], output):
                    found[block] = names[at], names[:at].count(names[at])
                    break
            calls[block].clear()

        return hook

    hooks = []
    for block in blocks:
        module = find_module(network, block)
        hooks += [(each, inside(block, f"{block}.{name}")) for name, each in module.named_modules() if _is_leaf(each)]
        hooks.append((module, ends(block)))
    with evaluating(network), torch.inference_mode(), hooked(*hooks):
        network(example_images(network, shape))
    for block in blocks:
        if block not in found:
            raise UsageError(
                f"block `{block}` of {type(network).__name__} ends in no module of its own, so its sum cannot be told "
                f"from its output; it has the tap output"
            )
    return found


def _is_leaf(module: nn.Module) -> bool:
    return not any(True for _ in module.children())


def _is_map(output) -> bool:
    return isinstance(output, torch.Tensor) and output.ndim == 4
