"""Networks in the wrappers that training leaves them in, and those that cannot be measured as they are."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ..errors import UsageError
from .card import Known

_INSIDE = ((nn.DataParallel, "module"), (nn.parallel.DistributedDataParallel, "module"), (AveragedModel, "module"))


def unwrapped(network: nn.Module) -> nn.Module:
    """The network inside of what trains, averages or compiles it, so that its modules have their own names.

    What a wrapper says of its network, such as `preprocessing`, is said of the network then.

    >>> unwrapped(nn.DataParallel(nn.Linear(3, 2)))
    Linear(in_features=3, out_features=2, bias=True)

    Raises:
        UsageError: it cannot be measured as it is; the message says what to give instead.
    """
    inside = getattr(network, "_orig_mod", None)  # of torch.compile
    for kind, name in _INSIDE:
        if isinstance(network, kind):
            inside = getattr(network, name)
    if isinstance(inside, nn.Module):
        for name, value in vars(network).items():
            if name in Known.__annotations__ and name not in vars(inside):
                setattr(inside, name, value)
        return unwrapped(inside)
    _check(network)
    return network


def _check(network: nn.Module) -> None:
    name = type(network).__name__
    instead = f"measure the network that it was made of instead of {name}"
    if isinstance(network, torch.jit.ScriptModule) and not hasattr(network, "training"):
        raise UsageError(f"its weights are constants of frozen TorchScript: {instead}")
    if isinstance(network, torch.fx.GraphModule) and "eval" in vars(network):  # torch.export's
        raise UsageError(f"it is exported for one mode: {instead}")
    for inner, module in network.named_modules():
        if type(module).__module__.startswith(("torch.ao.nn.", "torch.nn.quantized", "torch.nn.intrinsic")):
            raise UsageError(f"`{inner}` is quantised: {instead}, before torch.ao.quantization.convert")
        if inner and isinstance(getattr(module, "_orig_mod", None), nn.Module):
            raise UsageError(f"`{inner}` is compiled by itself: give the network before torch.compile")
    for inner, values in network.named_parameters():
        if values.is_floating_point() and values.dtype != torch.float32:
            raise UsageError(
                f"parameter `{inner}` of {name} is {values.dtype}; expected torch.float32: network.float() makes it so "
                f"(--precision computes in less)"
            )
