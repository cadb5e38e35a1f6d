"""The precision that trains a network fastest on a device."""

import copy
import logging
import time

import torch
from torch import nn

from ..devices import PRECISIONS, float32_as, has_bfloat16

log = logging.getLogger(__name__)

_STEPS = 3
_WORTH = 1.05
"""How much faster bfloat16 must be to be taken."""


def faster_precision(network: nn.Module, batch_size: int, size: int, device: torch.device) -> str:
    """ "bf16" where the device computes in bfloat16 and some steps of this network show it to be faster, else "fp32".

    Args:
        network: any; a copy of it is trained.
        batch_size: images in a step.
        size: height and width of an image in pixels.
    """
    if not has_bfloat16(device) or device.type == "mps":
        return "fp32"
    images = torch.rand(batch_size, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    seconds = {name: _seconds(network, images, PRECISIONS[name]) for name in ("fp32", "bf16")}
    chosen = "bf16" if seconds["fp32"] > _WORTH * seconds["bf16"] else "fp32"
    log.info("%s: a step takes %.3g s in float32 and %.3g s in bfloat16", chosen, seconds["fp32"], seconds["bf16"])
    return chosen


def _seconds(network: nn.Module, images: torch.Tensor, dtype: torch.dtype | None) -> float:
    """The least time of a few training steps."""
    copied = copy.deepcopy(network).to(images.device, memory_format=torch.channels_last).train()
    least = float("inf")
    for _ in range(_STEPS + 1):  # the first pays for the choice of kernels
        begun = time.perf_counter()
        with float32_as("fp32"), torch.autocast(images.device.type, dtype, enabled=dtype is not None):
            loss = copied(images).float().logsumexp(1).mean()
        loss.backward()
        loss.item()  # waits for the device
        least = min(least, time.perf_counter() - begun)
    return least
