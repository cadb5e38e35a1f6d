"""Networks and images brought together: labels, what a network is shown, whose classes are whose."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn
from torch.utils.data import DataLoader

from analysis.anatomy.hooks import capture, logits_of
from analysis.data import ImageData
from analysis.errors import UsageError
from analysis.names import unique_label
from analysis.networks import count_gmacs, load_network, preprocessing_of
from analysis.networks.preprocessing import Preprocessing
from analysis.networks.references import Reference, parse
from analysis.sweep.passing import prepared

log = logging.getLogger(__name__)

Networks = nn.Module | str | Sequence[nn.Module | str] | Mapping[str, nn.Module | str]


def label_networks(networks: Networks, **defaults) -> dict[str, nn.Module]:
    """Networks by a label unique among them: the mapping's own, or the reference without its weights.

    >>> list(label_networks(["mini_resnet", "mini_resnet", "mini_resnet_se"]))
    ['mini_resnet', 'mini_resnet-2', 'mini_resnet_se']
    """
    if isinstance(networks, Mapping):
        return {label: load_network(network, **defaults) for label, network in networks.items()}
    several = [networks] if isinstance(networks, nn.Module | str | Reference) else list(networks)
    labelled: dict[str, nn.Module] = {}
    for network in several:
        if isinstance(network, nn.Module):
            base = parse(getattr(network, "reference", type(network).__name__)).name
        else:
            base = parse(network).architecture
        labelled[unique_label(base, labelled)] = load_network(network, **defaults)
    return labelled


def image_shape(data, preprocessing: Preprocessing) -> tuple[int, ...]:
    """(3, H, W) of an image as the network gets it."""
    if not isinstance(data, ImageData):  # a foreign data set may give tensors of a shape of its own
        first = (data.dataset if isinstance(data, DataLoader) else data)[0][0]
        if isinstance(first, torch.Tensor):
            return tuple(first.shape)
    return 3, preprocessing.size, preprocessing.size


def fit_classes(networks: Iterable[nn.Module], data):
    """The data with labels as the networks have them: some of ImageNet's classes become ones of its 1000.

    Nothing else is changed: data of other classes, and networks of other outputs, stay as they are.
    """
    synsets = getattr(data, "synsets", ())
    if not synsets or len(synsets) == 1000:
        return data
    outputs = {probe(network, (), image_shape(data, preprocessing_of(network)))[0] for network in networks}
    if 1000 not in outputs:
        return data
    if len(outputs) > 1:
        raise UsageError(
            f"networks of {', '.join(map(str, sorted(outputs)))} outputs: {len(synsets)} of ImageNet's classes have "
            f"other labels for 1000 outputs than for others; measure them apart"
        )
    log.info("the %d classes of %s are taken as those of ImageNet's 1000, by their synsets", len(synsets), data)
    return data.as_imagenet()


def probe(network: nn.Module, blocks: Sequence[str], shape: tuple[int, ...]) -> tuple[int, dict[str, int]]:
    """The number of outputs, and of units of each block, from one blank image."""
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    with prepared(network, device), torch.inference_mode(), capture(network, blocks, "mean") as features:
        try:
            outputs = network(torch.zeros(1, *shape, device=device))
        except (RuntimeError, ValueError) as error:
            if isinstance(error, UsageError):
                raise
            size = "×".join(map(str, shape))
            raise UsageError(f"{type(network).__name__} does not take images of {size}: {error}") from error
    return logits_of(outputs).shape[1], {block: value.shape[1] for block, value in features.items()}


def gmacs_of(network: nn.Module, shape: tuple[int, ...]) -> float:
    """10⁹ multiply–accumulates of an image."""
    try:
        return count_gmacs(network, shape)
    except Exception:  # a count is no reason to fail: a network may branch on its values, which meta tensors lack
        return math.nan
