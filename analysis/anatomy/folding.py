"""A copy of a network for inference alone: batch norm folded into the convolutions before it, blocks compiled."""

import logging
from collections.abc import Sequence

import torch
from timm.layers import BatchNormAct2d
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..networks.modes import evaluating
from .compiling import compile_blocks
from .hooks import hooked, unwatched_copy

log = logging.getLogger(__name__)

TOLERANCE = {"fp32": 1e-3, "tf32": 2e-2, "fp16": 5e-2, "bf16": 0.3}
"""How far logits of the copy may be from the network's, in standard deviations of its logits, by precision."""


class Folding:
    """A network's copy with batch norm folded, made when it is first asked for.

    Args:
        network: on its device.
        images: that it takes, to see which batch norm follows which convolution.
        compiled: whether the copy's blocks are compiled.
    """

    def __init__(self, network: nn.Module, images: torch.Tensor, compiled: bool = False):
        self.network, self.compiled = network, compiled
        self.pairs = batch_norm_pairs(network, images)
        self._copy: tuple[tuple, nn.Module] | None = None

    def copy(self) -> nn.Module:
        """The copy, for the autocast at hand; made anew when the network's weights have changed."""
        weights = _version(self.network)
        if self._copy is None or self._copy[0] != weights:
            first = next(self.network.parameters(), None)
            kind = "cpu" if first is None else first.device.type
            dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
            self._copy = (weights, self._made(dtype))
        return self._copy[1]

    def _made(self, dtype: torch.dtype | None) -> nn.Module:
        try:
            with torch.inference_mode(False), torch.no_grad():  # the compiler takes no tensors of inference mode
                fast = folded(self.network, self.pairs, dtype)
        except Exception as error:  # of any kind: what somebody's module holds may not be copied
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            log.warning("%s runs itself, for it cannot be copied: %s", type(self.network).__name__, reason)
            return self.network
        return compile_blocks(fast) if self.compiled else fast

    def forget_other_weights(self) -> bool:
        """Let the copy go if the network's weights have changed since; whether they have."""
        changed = self._copy is not None and self._copy[0] != _version(self.network)
        if changed:
            self._copy = None
        return changed


def _version(network: nn.Module) -> tuple:
    """What changes whenever a weight does, in place or by another tensor."""
    state = [*network.parameters(), *network.buffers()]
    return tuple((id(each), None if each.is_inference() else each._version) for each in state)


def batch_norm_pairs(network: nn.Module, images: torch.Tensor) -> list[tuple[str, str]]:
    """Names of convolutions and of the batch norms that take their outputs, each called once in a forward pass."""
    outputs: dict[str, torch.Tensor] = {}
    called: list[str] = []
    taken: dict[str, torch.Tensor] = {}

    def note_convolution(name: str):
        def hook(module, args, output):
            called.append(name)
            outputs[name] = output

        return hook

    def note_norm(name: str):
        def hook(module, args):
            called.append(name)
            taken[name] = args[0]

        return hook

    modules = dict(network.named_modules())
    convolutions = [
        (each, note_convolution(name))
        for name, each in modules.items()
        if isinstance(each, nn.Conv2d) and "weight" in each._parameters  # as is not what a weight norm makes anew
    ]
    norms = [(each, note_norm(name)) for name, each in modules.items() if _folds(each)]
    with evaluating(network), torch.inference_mode(), hooked(*convolutions, before=norms):
        network(images)
    makers = {id(output): name for name, output in outputs.items()}
    pairs = [(makers[id(x)], norm) for norm, x in taken.items() if id(x) in makers]
    return [pair for pair in pairs if all(called.count(name) == 1 for name in pair)]


def _folds(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.BatchNorm2d)
        and type(module) in (nn.BatchNorm2d, BatchNormAct2d)
        and module.track_running_stats
        and not module._forward_hooks  # somebody's, which would be lost with it
    )


def folded(network: nn.Module, pairs: Sequence[tuple[str, str]], dtype: torch.dtype | None = None) -> nn.Module:
    """A copy with each batch norm folded into its convolution; where it was, its activation function or nothing.

    Args:
        dtype: of convolutions and linear layers where autocast would cast them at every call anyway.
    """
    fast = unwatched_copy(network)
    for convolution, norm in pairs:
        before, module = fast.get_submodule(convolution), fast.get_submodule(norm)
        assert isinstance(before, nn.Conv2d) and isinstance(module, nn.BatchNorm2d)
        fast.set_submodule(convolution, fuse_conv_bn_eval(before, module))
        activation = nn.Sequential(module.drop, module.act) if isinstance(module, BatchNormAct2d) else nn.Identity()
        fast.set_submodule(norm, activation.eval())
    for module in fast.modules():
        if dtype is not None and type(module) in (nn.Conv2d, nn.Linear):
            module.to(dtype)
    return fast
