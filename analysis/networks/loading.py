"""A reference to a network: built by the catalogue, a library or a user's factory, with weights loaded strictly."""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from ..errors import RunError, UsageError, unknown
from . import building, catalogue, factories, published, shipped
from .card import UNTRAINED, Known, card_of, write_card
from .checkpoints import Checkpoint, State, read_checkpoint, spelled
from .preprocessing import (
    HALF,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Preprocessing,
    from_timm,
    from_torchvision,
)
from .references import Reference, parse
from .weights import is_what_was_written
from .wrappers import unwrapped

log = logging.getLogger(__name__)


def load_network(reference: str | Reference | nn.Module, *, pretrained: bool = False, **defaults: Any) -> nn.Module:
    """Build the network that a reference names and load its weights.

    Args:
        reference: `NAME[:key=value,…][@WEIGHTS]`, see `gelens.networks.references`; WEIGHTS is a file of any layout
            that `gelens.networks.checkpoints` knows, a name published by timm or torchvision, such as `a1_in1k`, or
            one of weights that come with gelens, `cifar10`. timm's own `timm/NAME.TAG` and `timm/hf-hub:REPO` do, too.
            A module is returned as it is, without what wraps it (`gelens.networks.wrappers`).
        pretrained: load the weights that timm or torchvision give by default, where the reference names none.
        defaults: settings for a catalogue network that the reference and its weights may override, such as `classes`.

    Returns:
        The network in evaluation mode; its attributes say what it is: `reference` (the text, with every setting),
        `preprocessing`, `layout` (whose names the weights had) and `notes` (what was assumed, a sentence each, also
        logged); `gelens.networks.card_of` reads them. The network of a factory has the preprocessing that the factory
        gives it as an attribute, see `gelens.networks.Preprocessing`, or that its weights were saved with.

    Raises:
        TypeError: an argument that is no setting of this network.
        UsageError: an unknown name or setting, or weights of another architecture.
        RunError: weights that cannot be read or fetched.

    >>> load_network("mini_resnet_se:classes=7").fc.out_features
    7
    """
    if isinstance(reference, nn.Module):
        _check_settings(type(reference).__name__, (), defaults)
        return unwrapped(reference)
    reference = parse(reference)
    library, _, name = reference.name.partition("/")
    foreign = library in ("timm", "torchvision") and name != ""
    of_catalogue = not foreign and ".py:" not in reference.name
    _check_settings(reference.name, catalogue.settings_of(reference.name) if of_catalogue else (), defaults)
    on_hub = foreign and ":" in reference.name
    if foreign and not on_hub:
        _check_library_name(library, name, reference)
    if pretrained and not on_hub and reference.weights is None:
        reference = reference.with_weights(_published_by_default(library, name, reference))
    checkpoint = _checkpoint(reference)
    if on_hub:
        network, known = _hub_network(reference)
    elif foreign:
        network, known = _library_network(library, name, reference)
    elif ".py:" in reference.name:
        network, known = _factory_network(reference)
        foreign = True
    else:
        network, known = _catalogue_network(reference, checkpoint, defaults)
    if checkpoint is not None:
        known |= _with_weights(network, known, checkpoint, reference, foreign)
    if "size" in dict(reference.settings) and not foreign:
        size = int(dict(reference.settings)["size"])
        known["preprocessing"] = replace(known["preprocessing"], size=size)
    if reference.group is not None:
        known |= {"group": reference.group, "training_seed": reference.seed}
    write_card(network, **known)
    network.eval()  # somebody's own may return nothing
    return network


def _check_settings(name: str, known: Iterable[str], given: Mapping[str, object]) -> None:
    if strange := [each for each in given if each not in known]:
        raise TypeError(f"load_network: {unknown(f'argument of {name} called', strange[0], [*known, 'pretrained'])}")


def _published_by_default(library: str, name: str, reference: Reference) -> str:
    """The weights that a library gives with `pretrained=True`, by name."""
    if library == "torchvision":
        return "DEFAULT"
    if library != "timm":
        raise UsageError(f"pretrained is of timm's and torchvision's networks: write {reference}@ and its weights")
    import timm

    if not timm.is_model_pretrained(name):
        raise UsageError(f"timm publishes no weights of {name}: write {reference}@FILE")
    config = timm.get_pretrained_cfg(name)
    assert config is not None and config.tag is not None  # it is pretrained
    return config.tag


def _with_weights(
    network: nn.Module, known: Known, checkpoint: Checkpoint, reference: Reference, foreign: bool
) -> Known:
    """Load the weights; what they tell of the network, and what was assumed of them."""
    state, layout = checkpoint.state, checkpoint.layout
    if foreign:
        # other libraries' networks have names of their own: no conversion, and no settings that they could not take
        trained = checkpoint.metadata.get("reference", reference.name)
        if not _same_network(parse(trained).name, reference.name):
            raise UsageError(f"weights `{reference.weights}` are of {trained}, not of {reference.name}")
        state, layout = spelled(checkpoint.raw, network.state_dict()), reference.name
    _load_strictly(network, state, layout, reference, hint=not foreign)
    found: Known = {"layout": layout, "training_seed": checkpoint.metadata.get("seed")}
    if checkpoint.class_names:  # else somebody's factory may have named them
        found["class_names"] = checkpoint.class_names
    notes = found["notes"] = [*checkpoint.notes, *known["notes"], *_halves(state, reference)]
    if checkpoint.preprocessing is not None:
        found["preprocessing"] = checkpoint.preprocessing
    elif not foreign or ".py:" not in reference.name:
        notes.append(
            f"the file does not tell its preprocessing: taken to be {known['preprocessing']} "
            f"(--image-size, --crop-pct, --interpolation, --mean, --std)"
        )
    log.info("%s: names of %s", reference, layout)
    for note in notes:
        log.warning("%s: %s", reference, note)
    return found


def _same_network(name: str, other: str) -> bool:
    """Whether two names are of one network; a factory's file may be in another folder by now.

    >>> _same_network("lab/mine.py:build", "/home/a/mine.py:build"), _same_network("timm/vit", "torchvision/vit")
    (True, False)
    """
    both_factories = ".py:" in name and ".py:" in other
    return name == other or (both_factories and PurePath(name).name == PurePath(other).name)


def _checkpoint(reference: Reference) -> Checkpoint | None:
    if reference.weights is None:
        return None
    if (known := shipped.find(reference)) is not None:
        checkpoint = read_checkpoint(str(known.path))
        if not is_what_was_written(known.path, known.card["weights"], checkpoint.state):
            raise RunError(
                f"`{known.path}` is not what its card is of: its weights have another hash than {known.card['weights']}"
            )
        checkpoint.published = True
        return checkpoint
    if published.is_tag(reference.weights):
        return published.fetch(reference)
    return read_checkpoint(reference.weights)


def _catalogue_network(reference: Reference, checkpoint: Checkpoint | None, defaults: dict) -> tuple[nn.Module, Known]:
    asked = reference
    if checkpoint is not None:
        reference = _with_settings_of(checkpoint, reference)
    settings = catalogue.resolve(reference, **defaults)
    network = building.build(reference, **defaults)
    full = Reference(reference.name, tuple((key, str(value).lower()) for key, value in settings.items()))
    if catalogue.FAMILIES[catalogue.NAMES[reference.name][0]].small_images:
        preprocessing = Preprocessing(settings["size"], 1.0, "bilinear", HALF, HALF)
    else:
        preprocessing = Preprocessing(settings["size"], 0.875, "bilinear", IMAGENET_MEAN, IMAGENET_STD)
    notes = [UNTRAINED] if checkpoint is None else []
    if checkpoint is not None and not checkpoint.published and "reference" not in checkpoint.metadata:
        own = dict(reference.settings)
        if "stride_in" in settings and "stride_in" not in own:
            notes.append(
                f"the names do not tell where stages have their stride: taken to be in the {settings['stride_in']} "
                f"convolution, as torchvision and timm do; write {asked.name}:stride_in=1x1 for the other"
            )
        family, gate = catalogue.NAMES[reference.name]
        if gate in ("", "ge_theta_minus") and "ge_theta_minus" in catalogue.FAMILIES[family].gates:
            gated = f"extent={settings['extent']}, pool={settings['pool']}" if gate else "none"
            notes.append(f"the names do not tell a gate without parameters: taken to be {gated}")
    return network, {"reference": str(full), "preprocessing": preprocessing, "notes": notes, "class_names": ()}


def _with_settings_of(checkpoint: Checkpoint, reference: Reference) -> Reference:
    """The reference with the settings that its weights were made with."""
    known = dict(checkpoint.settings)
    if "reference" in checkpoint.metadata:
        trained = parse(checkpoint.metadata["reference"])
        if trained.name != reference.name:
            raise UsageError(f"weights `{reference.weights}` are of {trained.name}, not of {reference.name}")
        known |= dict(trained.settings)
    takes = catalogue.settings_of(reference.name)
    own = dict(reference.settings)
    for key, value in known.items():
        if key not in takes:
            raise UsageError(
                f"weights `{reference.weights}` ({checkpoint.layout}) need {key}={value}, which {reference.name} does "
                f"not take"
            )
        if own.setdefault(key, value) != value:
            raise UsageError(
                f"weights `{reference.weights}` ({checkpoint.layout}) were trained with {key}={value}, but "
                f"{key}={own[key]} is asked for"
            )
    return Reference(reference.name, tuple(own.items()), reference.weights)


def _check_library_name(library: str, name: str, reference: Reference) -> None:
    if reference.settings:
        raise UsageError(f"`{reference}`: a {library} network takes no settings here, only weights after @")
    if library == "timm":
        import timm

        known = timm.list_models()
    else:
        import torchvision

        known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise unknown(f"{library} network", name, known)


def _library_network(library: str, name: str, reference: Reference) -> tuple[nn.Module, Known]:
    if library == "timm":
        import timm

        tagged = reference.weights is not None and published.is_tag(reference.weights)
        # named in full, so that its outputs are as the weights have them
        network = timm.create_model(published.choices(reference)[str(reference.weights)][1] if tagged else name)
        preprocessing = from_timm(network)
    else:
        import torchvision

        network = torchvision.models.get_model(name)
        first, *_ = torchvision.models.get_model_weights(name)  # the others' resizing differs, its crop rarely
        preprocessing = from_torchvision(first)
    notes = [UNTRAINED] if reference.weights is None else []
    return network, {"reference": reference.name, "preprocessing": preprocessing, "notes": notes, "class_names": ()}


def _hub_network(reference: Reference) -> tuple[nn.Module, Known]:
    network = published.from_hub(reference)
    names = getattr(network, "pretrained_cfg", {}).get("label_names") or ()
    notes = [f"weights {reference.name.partition(':')[2]} from the hub, by timm"]
    known: Known = {"reference": reference.name, "preprocessing": from_timm(network), "notes": notes}
    return network, known | {"class_names": tuple(map(str, names))}


def _factory_network(reference: Reference) -> tuple[nn.Module, Known]:
    network = factories.run_factory(reference)
    notes = []
    if reference.weights is None:
        why = factories.why_random(reference, network)
        notes = [factories.OWN_WEIGHTS] if why is None else [UNTRAINED, why]
    return network, {"reference": reference.architecture, "notes": notes}


def save_weights(network: nn.Module, path: Path, **metadata: str) -> None:
    """Write a network's state as safetensors; its reference, preprocessing and classes are in the metadata if known."""
    card = card_of(network)
    told = {"reference": card.reference}
    if shown := card.preprocessing.whole():
        told["preprocessing"] = json.dumps(shown.as_dict())
    if card.class_names:
        told["classes"] = json.dumps(card.class_names)
    metadata = told | metadata
    # safetensors writes dense row-major tensors; channels-last ones are copied to that order
    whole = network.state_dict()
    if strange := [key for key, value in whole.items() if not isinstance(value, torch.Tensor)]:
        raise UsageError(f"`{strange[0]}` is no tensor, and safetensors hold nothing else: torch.save the state_dict()")
    state = {key: value.detach().cpu().contiguous() for key, value in whole.items()}
    content = save(state, metadata)  # not save_file, which hides why a disk refused
    length = int.from_bytes(content[:8], "little")
    # the library writes the metadata in another order each time: the same network is to be the same file
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    path.write_bytes(content[:8] + header.encode().ljust(length) + content[8 + length :])


def _load_strictly(network: nn.Module, state: State, layout: str, reference: Reference, hint: bool) -> None:
    own = network.state_dict()
    # a count of training steps: absent from other frameworks' and old files, and without effect on inference
    counters = {key: value for key, value in own.items() if key.endswith(".num_batches_tracked")}
    state = counters | state
    problems = [f"{key} missing" for key in own if key not in state]
    problems += [f"{key} left over" for key in state if key not in own]
    problems += [
        f"{key} is {_form(state[key])}, expected {_form(own[key])}"
        for key in own
        if key in state and _form(state[key]) != _form(own[key])
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        way_out = ""
        if hint and "fc.weight" in own and "fc.weight" in state and len(state["fc.weight"]) != len(own["fc.weight"]):
            way_out = f"; for its number of classes write {reference.name}:classes={len(state['fc.weight'])}"
        raise UsageError(
            f"weights `{reference.weights}` ({layout} names) are not of {reference.architecture}: "
            f"{'; '.join(problems[:3])}{more}{way_out}"
        )
    for key, value in _tensors(state).items():
        if own[key].is_floating_point() and not value.is_floating_point():
            raise RunError(f"weights `{reference.weights}`: {key} is of {value.dtype}; expected floating point")
        if not value.isfinite().all():
            raise RunError(f"weights `{reference.weights}`: {key} has values that are not finite")
        if key.endswith("running_var") and (value < 0).any():
            raise RunError(f"weights `{reference.weights}`: {key} has variances below 0")
    network.load_state_dict(state)


def _halves(state: State, reference: Reference) -> list[str]:
    """A note on numbers of less than float32, of weights that somebody else wrote."""
    numbers = (value for value in _tensors(state).values() if value.is_floating_point())
    halves = {str(value.dtype) for value in numbers if value.itemsize < 4}
    known = not halves or shipped.is_shipped(reference)
    return [] if known else [f"its numbers are {', '.join(sorted(halves))}: taken to float32"]


def _tensors(state: State) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}


def _form(value: object) -> object:
    """The shape of a tensor; of what a module keeps beside tensors nothing is known."""
    return tuple(value.shape) if isinstance(value, torch.Tensor) else "no tensor"
