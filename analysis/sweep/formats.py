"""A network on its device, in the memory format that it runs fastest in, and images as it gets them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from torch import nn

from ..anatomy.folding import TOLERANCE
from ..anatomy.hooks import aside, logits_of
from ..data.loading import Batch
from ..devices import precision_in_use
from ..networks.modes import evaluating
from ..networks.preprocessing import Preprocessing


@contextmanager
def prepared(network: nn.Module, device: torch.device) -> Iterator[nn.Module]:
    """The network on the device, in evaluation mode; given back in the mode, the place and the format it came in."""
    state = [*network.parameters(), *network.buffers()]
    home = state[0].device if state else torch.device("cpu")
    maps = [(each, each.stride()) for each in state if each.ndim == 4 and each.is_contiguous()]
    elsewhere = any(each.device != device for each in state)
    try:
        if elsewhere:
            with _weights_moved():
                network.to(device)
        with evaluating(network):
            yield network
    finally:
        with _weights_moved():
            if elsewhere:
                network.to(home)
            for each, stride in maps:  # kernels of 1×1 are contiguous in either format, and round by their strides
                if each.stride() != stride:
                    each.data = each.data.contiguous().as_strided(each.shape, stride)


@contextmanager
def _weights_moved() -> Iterator[None]:
    """Weights that are moved here can be trained afterwards, whatever mode the caller is in."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def settle_format(network: nn.Module, images: torch.Tensor) -> torch.memory_format:
    """Bring a prepared network's weights to the memory format that its images are to have, and say which.

    Channels-last is faster. Where a network fails on it, as one that flattens maps by `.view`, or gives other logits,
    as one that reads memory by strides, they are contiguous.

    Args:
        images: some that the network takes, on its device.
    """
    given: dict[torch.memory_format, torch.Tensor] = {}
    for memory_format in (torch.contiguous_format, torch.channels_last):
        with suppress(Exception):  # whatever a network raises: who shows it the images says what is wrong
            with _weights_moved():
                network.to(memory_format=memory_format)
            with torch.inference_mode(), aside():
                outputs = network(images.clone(memory_format=memory_format))  # it may overwrite its input
            given[memory_format] = logits_of(outputs).float()
    plain, fast = given.get(torch.contiguous_format), given.get(torch.channels_last)
    if fast is not None and (plain is None or _alike(plain, fast, precision_in_use(images.device))):
        return torch.channels_last
    with _weights_moved():
        network.to(memory_format=torch.contiguous_format)
    return torch.contiguous_format


def _alike(plain: torch.Tensor, other: torch.Tensor, precision: str) -> bool:
    """Whether logits differ by no more than a precision rounds; such as are not finite are told elsewhere."""
    off = (other - plain).abs().max() / plain.std().clamp(min=1e-6)
    return not bool(off.isfinite()) or float(off) <= TOLERANCE[precision]


def network_input(batch: Batch, preprocessing: Preprocessing, device: torch.device) -> torch.Tensor:
    """Images of a batch as the network gets them, (N, 3, H, W) float32, channels-last.

    A foreign data set's float images are taken as they are: who made them has normalised them.
    """
    images = batch.images[preprocessing.geometry].to(device, non_blocking=True)
    if images.dtype == torch.uint8:
        images = preprocessing.normalize(images)
    return images.to(torch.float32).contiguous(memory_format=torch.channels_last)
