"""The size of a network: learnable parameters and multiply–accumulates."""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from . import catalogue
from .gather_excite import MapConv2d
from .loading import load_network
from .modes import evaluating
from .preprocessing import preprocessing_of


def count_parameters(network: nn.Module) -> int:
    """Learnable parameters.

    >>> count_parameters(nn.Linear(3, 2))
    8
    """
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def count_gmacs(network: nn.Module, shape: Sequence[int] | None = None) -> float:
    """Multiply–accumulates for one image, in 10⁹: convolutions and matrix products, as torch's FlopCounterMode counts.

    Args:
        shape: (C, H, W) of the input; by default three channels of the network's own size.
    """
    if not shape:
        size = preprocessing_of(network).size
        shape = 3, size, size
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    unfused = sdpa_kernel(SDPBackend.MATH)  # the counter knows no fused attention of the CPU
    with evaluating(network), unfused, torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, *shape, device=device))
    # a map-sized depthwise convolution is computed as a product and a sum, which the counter does not see
    map_convolutions = sum(module.weight.numel() for module in network.modules() if isinstance(module, MapConv2d))
    return (counter.get_total_flops() / 2 + map_convolutions) / 1e9


def write_sizes() -> None:
    """Count every network that the catalogue lists anew, for `catalogue.SIZES`."""
    rows = []
    for name in catalogue.COUNTED:
        with torch.device("meta"):  # sizes alone: nothing is initialised
            network = load_network(name)
        rows.append((name, count_parameters(network), count_gmacs(network)))
    table = pd.DataFrame(rows, columns=["name", "parameters", "gmacs"])
    table.to_csv(catalogue.SIZES, index=False)


if __name__ == "__main__":
    write_sizes()
