"""A reference to a network: built by the catalogue, a library or a user's factory, with weights loaded strictly."""

import importlib.util
import json
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from analysis.errors import RunError, UsageError, unknown
from analysis.networks import catalogue
from analysis.networks.preprocessing import HALF, IMAGENET_MEAN, IMAGENET_STD, Preprocessing, from_timm
from analysis.references import Reference, parse


def load_network(reference: str | Reference | nn.Module, **defaults) -> nn.Module:
    """Build the network that a reference names and load its weights.

    Args:
        reference: `NAME[:key=value,…][@WEIGHTS]`, see `analysis.references`; a module is returned as it is.
        defaults: settings for a catalogue network that the reference and its weights may override, such as `classes`.

    Returns:
        The network in evaluation mode; its attributes `reference` (the text, with every setting) and `preprocessing`
        say what it is.

    Raises:
        UsageError: an unknown name or setting, or a weights file of another architecture.
        RunError: a weights file that cannot be read.

    >>> load_network("mini_resnet_se:classes=7").fc.out_features
    7
    """
    if isinstance(reference, nn.Module):
        return reference
    reference = parse(reference)
    state, metadata = read_weights(reference.weights) if reference.weights else (None, {})
    library, _, name = reference.name.partition("/")
    if library in ("timm", "torchvision") and name:
        network = _library_network(library, name, reference)
    elif ".py:" in reference.name:
        network = _factory_network(reference)
    else:
        network = _catalogue_network(reference, metadata, defaults)
    if state is not None:
        _load_strictly(network, state, reference)
    return network.eval()


def _catalogue_network(reference: Reference, metadata: dict, defaults: dict) -> nn.Module:
    trained = parse(metadata["reference"]) if "reference" in metadata else None
    if trained:
        if trained.name != reference.name:
            raise UsageError(f"weights `{reference.weights}` are of {trained.name}, not of {reference.name}")
        own = dict(reference.settings)
        for key, value in trained.settings:
            if own.setdefault(key, value) != value:
                raise UsageError(
                    f"weights `{reference.weights}` were trained with {key}={value}, but {key}={own[key]} is asked for"
                )
        reference = Reference(reference.name, tuple(own.items()), reference.weights)
    settings = catalogue.resolve(reference, **defaults)
    network = catalogue.build(reference, **defaults)
    full = Reference(reference.name, tuple((key, str(value).lower()) for key, value in settings.items()))
    network.reference = str(full)
    if "preprocessing" in metadata:
        values = json.loads(metadata["preprocessing"])
        network.preprocessing = Preprocessing(**values | {key: tuple(values[key]) for key in ("mean", "std")})
    elif catalogue.NAMES[reference.name][0].startswith("mini"):
        network.preprocessing = Preprocessing(settings["size"], 1.0, "bilinear", HALF, HALF)
    else:
        network.preprocessing = Preprocessing(settings["size"], 0.875, "bilinear", IMAGENET_MEAN, IMAGENET_STD)
    return network


def _library_network(library: str, name: str, reference: Reference) -> nn.Module:
    if reference.settings:
        raise UsageError(f"`{reference}`: a {library} network takes no settings here, only weights after @")
    if library == "timm":
        import timm

        if name not in timm.list_models():
            raise unknown("timm network", name, timm.list_models())
        network = timm.create_model(name)
        network.preprocessing = from_timm(network)
    else:
        import torchvision

        if name not in torchvision.models.list_models(module=torchvision.models):
            raise unknown("torchvision network", name, torchvision.models.list_models(module=torchvision.models))
        network = torchvision.models.get_model(name)
        network.preprocessing = Preprocessing(224, 224 / 256, "bilinear", IMAGENET_MEAN, IMAGENET_STD)
    network.reference = reference.name
    return network


def _factory_network(reference: Reference) -> nn.Module:
    file, _, function = reference.name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"no file `{file}` to take the factory `{function}` from")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, function, None)):
        raise unknown(f"function in {file} called", function, [n for n in vars(module) if callable(vars(module)[n])])
    network = getattr(module, function)(**dict(reference.settings))
    if not isinstance(network, nn.Module):
        raise UsageError(f"`{reference.name}` returned a {type(network).__name__}; expected a torch.nn.Module")
    network.reference = reference.architecture
    return network


def save_weights(network: nn.Module, path: Path, **metadata: str) -> None:
    """Write a network's state as safetensors, its reference and preprocessing in the metadata."""
    metadata = {
        "reference": network.reference,
        "preprocessing": json.dumps(network.preprocessing.as_dict()),
        **metadata,
    }
    # safetensors writes dense row-major tensors; channels-last ones are copied to that order
    save_file({key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}, path, metadata)


def read_weights(file: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """A weights file's tensors and metadata. Nothing is unpickled but tensors and plain containers.

    Raises:
        UsageError: there is no such file.
        RunError: it is damaged, or holds something else.
    """
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"no weights file `{file}`")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as opened:
                return {key: opened.get_tensor(key) for key in opened.keys()}, opened.metadata() or {}  # noqa: SIM118
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if isinstance(error, pickle.UnpicklingError):  # torch's own text advises to load it all the same
            reason = "it holds something other than tensors and plain containers, which is never unpickled"
        raise RunError(f"cannot read weights `{file}`: {reason}") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not (isinstance(state, dict) and state and all(isinstance(value, torch.Tensor) for value in state.values())):
        raise RunError(f"weights `{file}` hold no mapping of names to tensors")
    return state, {}


def _load_strictly(network: nn.Module, state: dict, reference: Reference) -> None:
    own = network.state_dict()
    problems = [f"{key} missing" for key in own if key not in state]
    problems += [f"{key} left over" for key in state if key not in own]
    problems += [
        f"{key} is {tuple(state[key].shape)}, expected {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UsageError(
            f"weights `{reference.weights}` are not of {reference.architecture}: {'; '.join(problems[:3])}{more}"
        )
    network.load_state_dict(state)
