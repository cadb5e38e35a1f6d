"""Networks and images brought together: labels, what a network is shown, whose classes are whose."""

import logging
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from .anatomy.hooks import attempt, capture, logits_of
from .data import adapted, preprocessing_for
from .errors import UsageError
from .networks import card_of, load_network
from .networks.groups import with_trainings
from .networks.preprocessing import Preprocessing
from .networks.references import Reference, labelled, parse
from .networks.weights import weights_hash
from .sweep.passing import prepared

log = logging.getLogger(__name__)

Networks = (
    nn.Module | str | Reference | Sequence[nn.Module | str | Reference] | Mapping[str, nn.Module | str | Reference]
)


def label_networks(networks: Networks, **defaults) -> dict[str, nn.Module]:
    """Networks by a label unique among them: the mapping's own, the one before `=` in a reference, or a short one.

    Short ones are as `gelens.networks.references.labelled` makes them of references; a module is called as its
    reference, without settings. A group of trainings (`gelens.networks.groups`) gives a network for each, labelled
    GROUP#SEED, which knows its `group` and its `training_seed`.

    >>> list(label_networks(["mini_resnet", "mini_resnet", "ours=mini_resnet_se"]))
    ['mini_resnet', 'mini_resnet-2', 'ours']

    Raises:
        UsageError: a network is of another kind, or a label is given twice.
    """
    one = nn.Module | str | Reference
    if isinstance(networks, Mapping):
        return {label: load_network(network, **defaults) for label, network in networks.items()}
    several = list(networks) if isinstance(networks, Iterable) and not isinstance(networks, one) else [networks]
    for network in several:
        if not isinstance(network, one):
            raise UsageError(
                f"{type(network).__name__} {network!r:.60} is no network; expected a torch.nn.Module, a reference such "
                f"as mini_resnet@weights.pth, several of them, or a mapping from labels to them"
            )
    references = [
        Reference(parse(card_of(network).reference).name) if isinstance(network, nn.Module) else parse(network)
        for network in several
    ]
    given = dict(zip(labelled(references), several, strict=True))
    loaded = {
        label: load_network(given.get(label, reference), **defaults)
        for label, reference in with_trainings(labelled(references)).items()
    }
    check_trainings({label: (card_of(each).group, weights_hash(each)) for label, each in loaded.items()})
    return loaded


def check_trainings(known: Mapping[str, tuple[str | None, str | None]]) -> None:
    """Refuse a group that has the same weights twice, however their files are named.

    Args:
        known: by label, the group and the hash of the weights.

    Raises:
        UsageError: two of a group are one training.
    """
    first: dict[tuple[str, str], str] = {}
    for label, (group, weights) in known.items():
        if group is not None and weights is not None and (other := first.setdefault((group, weights), label)) != label:
            raise UsageError(
                f"`{other}` and `{label}` of the group `{group}` are the same weights (hash {weights}); expected "
                f"trainings that differ"
            )


def image_shape(data, preprocessing: Preprocessing) -> tuple[int, ...]:
    """(3, H, W) of an image as the network gets it; a tensor of somebody's data set has a shape of its own."""
    return adapted(data).shape or (3, preprocessing.size, preprocessing.size)


def fit_classes(networks: Iterable[nn.Module], data):
    """The data with labels as the networks have them: some of ImageNet's classes become ones of its 1000.

    Nothing else is changed: data of other classes, and networks of other outputs, stay as they are; of networks that
    were trained on other classes a warning tells.
    """
    networks = list(networks)
    for network in networks:
        _warn_of_other_classes(network, data)
    synsets = getattr(data, "synsets", ())
    if not synsets or len(synsets) == 1000:
        return data
    images = adapted(data)
    shapes = {network: image_shape(images, preprocessing_for(network, images)) for network in networks}
    outputs = {outputs_and_units(network, (), shape)[0] for network, shape in shapes.items()}
    if 1000 not in outputs:
        return data
    if len(outputs) > 1:
        raise UsageError(
            f"networks of {', '.join(map(str, sorted(outputs)))} outputs: {len(synsets)} of ImageNet's classes have "
            f"other labels for 1000 outputs than for others; measure them apart"
        )
    log.info("the %d classes of %s are taken as those of ImageNet's 1000, by their synsets", len(synsets), data)
    return data.as_imagenet()


def _warn_of_other_classes(network: nn.Module, data) -> None:
    trained, shown = card_of(network).class_names, tuple(getattr(data, "classes", None) or ())
    if not trained or shown == trained[: len(shown)] or getattr(data, "synsets", ()):
        return
    log.warning(
        "%s was trained on the classes %s, and these images are of %s: what it gets right means nothing",
        card_of(network).reference,
        _some(trained),
        _some(shown),
    )


def _some(names: Sequence[str]) -> str:
    """The first of many names."""
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def outputs_and_units(network: nn.Module, blocks: Sequence[str], shape: tuple[int, ...]) -> tuple[int, dict[str, int]]:
    """The number of outputs, and of units of each block, from one blank image."""
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    with prepared(network, device), torch.inference_mode(), capture(network, blocks, "mean") as features:
        outputs = attempt(network, torch.zeros(1, *shape, device=device))
    return logits_of(outputs).shape[1], {block: value.shape[1] for block, value in features.items()}
