"""The mode that a network is in while it is looked at."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(network: nn.Module) -> Iterator[nn.Module]:
    """The network in evaluation mode; each module is given back in the mode that it came in.

    What `module.compile()` compiled runs uncompiled, since hooks are compiled with it, anew for every one.
    """
    training = {module: module.training for module in network.modules()}
    compiled = {module: module._compiled_call_impl for module in network.modules() if module._compiled_call_impl}
    try:
        for module in compiled:
            module._compiled_call_impl = None
        network.eval()  # somebody's own may return nothing
        yield network
    finally:
        for module, mode in training.items():
            module.training = mode
        for module, call in compiled.items():
            module._compiled_call_impl = call
