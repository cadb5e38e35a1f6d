"""Weights published by timm and torchvision, by name: `resnet50@a1_in1k`, `resnet50_se@legacy_seresnet50.in1k`.

And networks of the Hugging Face hub as timm names them, `timm/hf-hub:REPO`: they say themselves what they are.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from ..errors import RunError, UsageError, unknown
from . import shipped
from .checkpoint_series import SUFFIXES, file_and_part
from .checkpoints import Checkpoint, recognise
from .preprocessing import Preprocessing, from_config, from_torchvision
from .references import Reference

log = logging.getLogger(__name__)

TIMM_NETWORKS = {
    "resnet50": ("resnet50",),
    "resnet101": ("resnet101",),
    "resnet50_se": ("seresnet50", "legacy_seresnet50"),
    "resnet101_se": ("legacy_seresnet101",),
}
"""timm's names of the catalogue's networks."""
TORCHVISION_NETWORKS = {"resnet50": "resnet50", "resnet101": "resnet101"}


def is_tag(weights: str) -> bool:
    """Whether weights are a published name rather than a file.

    >>> is_tag("a1_in1k"), is_tag("legacy_seresnet50.in1k"), is_tag("runs/se/weights.safetensors")
    (True, True, False)
    """
    path = Path(file_and_part(weights)[0])
    return not (path.exists() or path.suffix in SUFFIXES or len(path.parts) > 1)


def choices(reference: Reference) -> dict[str, tuple[str, str]]:
    """The published names of a network's weights: name to (library, the library's full name)."""
    import timm
    import torchvision

    library, _, name = reference.name.partition("/")
    result: dict[str, tuple[str, str]] = {}
    for network in (name,) if library == "timm" else TIMM_NETWORKS.get(reference.name, ()):
        for full in timm.list_pretrained(f"{network}.*"):
            result[full] = ("timm", full)
            result.setdefault(full.partition(".")[2], ("timm", full))
    theirs = name if library == "torchvision" else TORCHVISION_NETWORKS.get(reference.name)
    if theirs:
        for weights in torchvision.models.get_model_weights(theirs).__members__:  # DEFAULT is another name of one
            result[weights] = ("torchvision", theirs)
    return result


def fetch(reference: Reference) -> Checkpoint:
    """Fetch published weights, with the preprocessing that they were trained with.

    Raises:
        UsageError: no weights of that name, or no file.
        RunError: they cannot be fetched; the message says what to fetch by hand and where to name it.
    """
    known = choices(reference)
    if reference.weights not in known:
        ours = [each.weights for each in shipped.everything() if each.fits(reference)]
        kind = f"weights file or published weights of {reference.name} called"
        if not (ours or known):
            names = dict.fromkeys(each.reference.name for each in shipped.everything())
            raise UsageError(f"no {kind} `{reference.weights}`; weights of {', '.join(names)} come with gelens")
        raise unknown(kind, reference.weights, [*ours, *known])
    library, full = known[reference.weights]
    return (_from_timm if library == "timm" else _from_torchvision)(reference, full)


def _from_timm(reference: Reference, full: str) -> Checkpoint:
    import timm
    from timm.data import resolve_data_config

    config = timm.get_pretrained_cfg(full)
    assert config is not None  # the name is of timm's own list
    address = str(config.url or f"https://huggingface.co/{config.hf_hub_id}/resolve/main/model.safetensors")
    preprocessing = from_config(resolve_data_config(config.to_dict()))
    log.info("fetching %s", address)
    try:
        with _hub_once():
            network = timm.create_model(full, pretrained=True)
    except Exception as error:  # hubs raise their own errors for no network, no file, no space …
        raise _unreachable(reference, address, preprocessing, error) from error
    checkpoint = recognise(network.state_dict())
    checkpoint.preprocessing, checkpoint.published = preprocessing, True
    checkpoint.settings.setdefault("stride_in", "3x3")
    checkpoint.notes.append(f"weights {full} from timm")
    return checkpoint


def from_hub(reference: Reference) -> nn.Module:
    """A network of the hub, `timm/hf-hub:REPO[@REVISION]`, or of a folder in its layout, as timm loads it.

    Raises:
        RunError: it cannot be fetched, or is not of timm.
    """
    import timm

    place = reference.name.partition(":")[2]
    local = Path(place).is_dir()
    address = place if local else f"https://huggingface.co/{place}"
    log.info("fetching %s", address)
    try:
        with _hub_once():
            return timm.create_model(f"{'local-dir' if local else 'hf-hub'}:{place}", pretrained=True)
    except Exception as error:  # whatever the hub, its files and timm raise
        raise RunError(
            f"cannot fetch `{reference}` ({_first_line(error)}): {address} should have config.json and "
            f"model.safetensors, as timm writes them"
        ) from error


@contextmanager
def _hub_once() -> Iterator[None]:
    """The hub does not tell each of its many retries; our one line comes when it has given up."""
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        hub.setLevel(level)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _from_torchvision(reference: Reference, network: str) -> Checkpoint:
    import torchvision

    weights = torchvision.models.get_model_weights(network)[reference.weights]
    preprocessing = from_torchvision(weights)
    try:
        state = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:
        raise _unreachable(reference, weights.url, preprocessing, error) from error
    checkpoint = recognise(state)
    checkpoint.preprocessing, checkpoint.published = preprocessing, True
    checkpoint.settings["stride_in"] = "3x3"
    checkpoint.notes.append(f"weights {network} {weights.name} from torchvision")
    return checkpoint


def _unreachable(reference: Reference, address: str, preprocessing: Preprocessing, error: Exception) -> RunError:
    return RunError(
        f"cannot fetch `{reference}` ({_first_line(error)}): download {address} and name the file as "
        f"{reference.architecture}@FILE --image-size {preprocessing.size} --crop-pct {preprocessing.crop_pct:.4g} "
        f"--interpolation {preprocessing.interpolation}"
    )
