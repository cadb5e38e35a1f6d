"""Blocks of a network compiled, each by itself, for what runs many images and doesn't look into them."""

import logging
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch import nn
from torch.overrides import _get_current_function_mode_stack

from ..devices import is_out_of_memory
from .sites import block_names

log = logging.getLogger(__name__)

FREEZING: dict[str, Any] = {"freezing": True}
"""Weights are constants to the compiler, which lays them out for its products."""


def compile_blocks(network: nn.Module) -> nn.Module:
    """Compile each block of the network's stages, in place, where it is first run.

    Blocks keep their names, hooks on them are called as before, and torch.fx takes them for what they were. Where a
    block cannot be compiled, as without a C++ compiler, one line says so and all run as they were.

    Args:
        network: of one's own, such as a copy that `folded` makes: its weights must not change.
    """
    blocks = [network.get_submodule(name) for names in block_names(network).values() for name in names]
    if not blocks:
        log.warning("%s has no stages whose blocks could be compiled: it runs as it is", type(network).__name__)
    compiler = _Compiler()
    for block in blocks:
        block.forward = _Forward(block, compiler)
    return network


class _Compiler:
    """What all blocks of a network share: whether compiling has failed."""

    def __init__(self) -> None:
        self.failed = False

    def fail(self, error: Exception) -> None:
        """Say, once, that nothing is compiled."""
        if not self.failed:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            log.warning("torch.compile failed, so that blocks run as they are: %s", reason)
        self.failed = True


class _Forward:
    """A block's forward: compiled for tensors as the first that it gets, and as it was for all other arguments.

    It runs as it was, too, where hooks or modes look into the block, for compiled code passes them by in silence, and
    where gradients are wanted, for which nothing is frozen.
    """

    def __init__(self, block: nn.Module, compiler: _Compiler):
        self.plain: Callable[..., torch.Tensor] = block.forward
        self.compiled = torch.compile(_of_its_own(self.plain), dynamic=False, options=FREEZING)
        self.compiler = compiler
        self.inside = [module for module in block.modules() if module is not block]
        self.known: tuple | None = None

    def __call__(self, *inputs, **named) -> torch.Tensor:
        others = named or not all(isinstance(each, torch.Tensor) for each in inputs)
        if others or self.compiler.failed or self._looked_into():
            return self.plain(*inputs, **named)
        now = tuple((each.shape, each.stride(), each.dtype) for each in inputs)
        if self.known is None:
            self.known = now
        if now != self.known:
            return self.plain(*inputs)
        try:
            return self.compiled(*inputs)
        except Exception as error:  # whatever the compiler raises, which calls others
            if is_out_of_memory(error):
                raise
            self.compiler.fail(error)
        return self.plain(*inputs)

    def _looked_into(self) -> bool:
        hooks = any(module._forward_hooks or module._forward_pre_hooks for module in self.inside)
        return hooks or torch.is_grad_enabled() or bool(_get_current_function_mode_stack())


def _of_its_own(forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The same with code of its own: what is compiled is kept by code, which blocks share, and only little for each."""

    def run(*inputs):
        return forward(*inputs)

    return FunctionType(run.__code__.replace(), run.__globals__, run.__name__, run.__defaults__, run.__closure__)
