"""Networks and images brought together: labels, what a network is shown, whose classes are whose."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from .anatomy.hooks import attempt, capture, logits_of
from .data import ImageData, adapted, imagenet, preprocessing_for
from .data.adapting import known_classes
from .data.classes import whole_numbers
from .errors import UsageError
from .networks import Card, card_of, load_network
from .networks.groups import check_trainings, with_trainings
from .networks.preprocessing import Preprocessing
from .networks.references import Reference, labelled, parse
from .networks.shipped import everything
from .networks.weights import weights_hash
from .networks.wrappers import unwrapped
from .sweep.formats import prepared

log = logging.getLogger(__name__)

_IMAGENET = "as those of ImageNet's 1000, by their {}"

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
    several = _several(networks)
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


def trained_networks(networks: Networks, untrained: bool = False) -> dict[str, nn.Module]:
    """Networks by label, to be measured: `label_networks`, and no reference without weights unless that is wanted.

    Args:
        untrained: random weights are meant. Of a module without weights, which somebody built, a warning tells.

    Raises:
        UsageError: as of `label_networks`, or a reference names no weights.
    """
    given = networks if isinstance(networks, Mapping) else _several(networks)
    loaded = label_networks(given)
    several = given.values() if isinstance(given, Mapping) else given
    built = {id(unwrapped(each)) for each in several if isinstance(each, nn.Module)}
    for label, network in loaded.items():
        card = card_of(network)
        if untrained or not card.untrained:
            continue
        if id(network) in built:
            log.warning("%s has random weights", label)
        elif ".py:" in card.reference:
            raise UsageError(
                f"`{label}` has random weights: {card.notes[-1]}; write {card.reference}@FILE, or let the factory load "
                f"all of them; --untrained measures random weights (untrained=True in Python)"
            )
        else:
            shipped = [each.weights for each in everything() if each.fits(parse(card.reference))]
            known = f"{label}@{shipped[0]}, which comes with gelens, or " if shipped else ""
            raise UsageError(
                f"`{label}` has no weights: write {known}{label}@FILE, or @ and a name that timm or torchvision "
                f"publish; --untrained measures random weights (untrained=True in Python)"
            )
    return loaded


def _several(networks) -> list:
    one = nn.Module | str | Reference
    return list(networks) if isinstance(networks, Iterable) and not isinstance(networks, one) else [networks]


def image_shape(data, preprocessing: Preprocessing) -> tuple[int, ...]:
    """(3, H, W) of an image as the network gets it; a tensor of somebody's data set has a shape of its own."""
    return adapted(data).shape or (3, preprocessing.size, preprocessing.size)


def fit_classes(networks: Iterable[nn.Module], data, by_position: bool = False):
    """The data with labels as the networks have them, by the classes' names.

    Classes that a network was trained on, in another order or some of them, get its labels; else some of ImageNet's
    classes become ones of its 1000 where a network has so many outputs, and class names that are numbers are labels
    where it has so many. Nothing else is changed; of networks that were trained on other classes a warning tells.

    Args:
        by_position: a person says that class k is output k, whatever it is called.

    Raises:
        UsageError: labels cannot be known, or are others for one network than for another.
    """
    networks = list(networks)
    if not isinstance(data, ImageData):
        for network in networks:
            _check_classes_of_ones_own(card_of(network), data)
        return data
    if by_position:
        return data.as_outputs()
    fitted = [_fitted(network, data) for network in networks]
    if not fitted:
        return data
    if any(not np.array_equal(each.labels, fitted[0].labels) for each in fitted):
        outputs = sorted({_outputs(network, data) for network in networks})
        raise UsageError(
            f"networks of {', '.join(map(str, outputs))} outputs: the {len(data.classes)} classes of {data} have other "
            f"labels for {card_of(networks[0]).reference} than for others; measure them apart"
        )
    if fitted[0].why:
        log.info("the %d classes of %s are taken %s", len(data.classes), data, fitted[0].why)
        return data.relabelled(fitted[0].labels, fitted[0].classes)
    return data


def order_unknown(network: nn.Module, data, outputs: int) -> str:
    """Why nothing tells which class is which output, in words; empty where it is known, or weights are random.

    It is known where the network names its classes, or some source numbered those of the images: the data set itself,
    their names (numbers from 0 on, or ImageNet's where there are 1000 outputs), somebody's own data set, or a person
    who says so. Alphabetical order is none.

    Args:
        data: as `fit_classes` gives it.
        outputs: of the network.
    """
    card = card_of(network)
    if not isinstance(data, ImageData) or data.by_position or card.untrained:
        return ""
    shown, trained = data.classes, _trained_classes(card)
    if trained:
        others = shown != trained[: len(shown)] and len(shown) == outputs
        return f"it was trained on {_some(trained)}, but these images are of {_some(shown)}" if others else ""
    numbered = list(whole_numbers(shown).values()) == list(range(len(shown)))
    if not data.by_name or numbered or (data.synsets and outputs == 1000):
        return ""
    return f"it does not name its classes, and {_some(shown)} are in alphabetical order"


class _Fitted(NamedTuple):
    """The label that a network has for each class of some data, the names of its classes, and how that is known."""

    labels: Sequence[int] | np.ndarray
    classes: Sequence[str] = ()
    why: str = ""


def _fitted(network: nn.Module, data: ImageData) -> _Fitted:
    as_it_is = _Fitted(range(len(data.classes)))
    card = card_of(network)
    trained = _trained_classes(card)
    if data.classes == trained[: len(data.classes)]:
        return as_it_is
    places = {name: label for label, name in enumerate(trained)}
    if len(places) == len(trained) and places.keys() >= set(data.classes):
        return _Fitted([places[name] for name in data.classes], trained, f"by name, as those of {card.reference}")
    if data.synsets:
        if len(data.synsets) == 1000 or _outputs(network, data) != 1000:
            _warn_of_other_classes(card, data.classes)
            return as_it_is
        return _Fitted(imagenet.labels_of(data.synsets, data.name), imagenet.synsets(), _IMAGENET.format("synsets"))
    if not imagenet.is_whole(trained):
        _warn_of_other_classes(card, data.classes)
        if trained:
            return as_it_is
    if values := whole_numbers(data.classes):
        return (_by_number(network, data, list(values.values())) if data.by_name else None) or as_it_is
    meant = imagenet.candidates(data.classes)
    if any(meant) and (data.by_name or all(meant)) and _outputs(network, data) == 1000:
        labels = imagenet.labels_by_name(data.classes, data.name)
        return _Fitted(labels, imagenet.synsets(), _IMAGENET.format("names"))
    return as_it_is


def _by_number(network: nn.Module, data: ImageData, numbers: list[int]) -> _Fitted | None:
    """Labels of classes that are called by numbers, in order; None where their places are the labels.

    Raises:
        UsageError: some numbers are missing, and the outputs tell neither that all are labels nor in which order.
    """
    classes, highest = len(numbers), numbers[-1]
    if highest < classes:
        return None
    outputs = _outputs(network, data)
    if outputs > highest:
        return _Fitted(numbers, [str(label) for label in range(outputs)], f"as labels among 0 … {outputs - 1}")
    if outputs == classes and data.classes == sorted(data.classes):
        return None
    raise UsageError(
        f"the {classes} classes of {data} are called {data.classes[0]} … {data.classes[-1]}, and "
        f"{card_of(network).reference} has {outputs} outputs: nothing tells which is whose; call each class by the "
        f"number of its output, 0 … {outputs - 1}"
    )


def _outputs(network: nn.Module, data: ImageData) -> int:
    images = adapted(data)
    return outputs_and_units(network, (), image_shape(images, preprocessing_for(network, images)))[0]


def _check_classes_of_ones_own(card: Card, data) -> None:
    """Somebody's own data set tells its labels itself: they cannot be changed here.

    Raises:
        UsageError: it has the classes that the network was trained on, with other labels.
    """
    trained, shown = _trained_classes(card), known_classes(data)
    if shown and set(shown) <= set(trained) and shown != trained[: len(shown)]:
        raise UsageError(
            f"{card.reference} was trained on the classes {_some(trained)}, and these images have other "
            f"labels for them: {_some(shown)}; let the data set number them as the network does"
        )
    _warn_of_other_classes(card, shown)


def _trained_classes(card: Card) -> list[str]:
    """The classes that a network was trained on, where known, as data name them."""
    return imagenet.recognised(card.class_names)[0]


def _warn_of_other_classes(card: Card, shown: Sequence[str]) -> None:
    trained = _trained_classes(card)
    if not trained or list(shown) == trained[: len(shown)]:
        return
    log.warning(
        "%s was trained on the classes %s, but these images are of %s: its accuracy means nothing",
        card.reference,
        _some(trained),
        _some(shown),
    )


def _some(names: Sequence[str]) -> str:
    """The first of many names."""
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def outputs_and_units(network: nn.Module, blocks: Sequence[str], shape: tuple[int, ...]) -> tuple[int, dict[str, int]]:
    """The number of outputs, and of units of each block, from two blank images.

    Raises:
        UsageError: the network does not take them, or a block is not called.
    """
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    images = torch.zeros(2, *shape, device=device)
    with prepared(network, device), capture(network, blocks, "mean") as features, torch.inference_mode():
        outputs = attempt(network, images)
    if silent := [block for block in blocks if block not in features]:
        raise UsageError(
            f"block `{silent[0]}` of {card_of(network).reference} is not called as a module when images pass through: "
            f"it is unused, or the network was traced; `gelens layers NETWORK` lists those that are"
        )
    return logits_of(outputs).shape[1], {block: features[block].shape[1] for block in blocks}
