"""The catalogue of networks by name: which settings each takes, how it is built, what was published of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from timm.layers import SEModule
from torch import nn

from ..errors import UsageError, unknown
from ..paper import PORTED_ERRORS, PUBLISHED_ERRORS, PUBLISHED_GMACS
from .gather_excite import EXTENTS, POOLS, GatherExcite
from .references import Reference
from .resnet import residual_network
from .shufflenet import ShuffleNet


@dataclass(frozen=True)
class Family:
    """A backbone: how to build it with a gate, its default classes and size, its gates, and settings of its own.

    Families of small images take pixels between −1 and 1, whole; the others are normalised and cropped as for ImageNet.
    """

    build: Callable[..., nn.Module]
    classes: int
    size: int
    gates: tuple[str, ...]
    settings: tuple[tuple[str, object], ...] = ()

    @property
    def small_images(self) -> bool:
        return self.size < 64


GATES = ("", "se", "ge_theta_minus", "ge_theta", "ge_theta_plus")
_SHUFFLE_GATES = ("", "ge_theta_minus", "ge_theta", "ge_theta_plus")
_STRIDE = (("stride_in", "3x3"),)

FAMILIES = {
    "resnet50": Family(partial(residual_network, depths=(3, 4, 6, 3)), 1000, 224, GATES, _STRIDE),
    "resnet101": Family(partial(residual_network, depths=(3, 4, 23, 3)), 1000, 224, GATES, _STRIDE),
    "mini_resnet": Family(
        partial(residual_network, depths=(1, 1, 6, 1), widths=(8, 16, 32, 64), small_images=True), 10, 32, GATES
    ),
    # ResNet-50's layout at an eighth of its width, for CIFAR-10 and its like
    "thin_resnet50": Family(
        partial(residual_network, depths=(3, 4, 6, 3), widths=(8, 16, 32, 64), small_images=True, stem=16),
        10,
        32,
        GATES,
    ),
    "shufflenet": Family(ShuffleNet, 1000, 224, _SHUFFLE_GATES),
    "mini_shufflenet": Family(
        partial(ShuffleNet, depths=(2, 4, 2), widths=(60, 120, 240), small_images=True), 10, 32, _SHUFFLE_GATES
    ),
    # ShuffleNet's layout at half its width
    "thin_shufflenet": Family(partial(ShuffleNet, widths=(120, 240, 480), small_images=True), 10, 32, _SHUFFLE_GATES),
}

NAMES = {
    f"{family}_{gate}" if gate else family: (family, gate) for family, entry in FAMILIES.items() for gate in entry.gates
}
"""Every catalogue name: (family, gate)."""


LARGEST_SIZE, MOST_CLASSES = 2048, 100_000
"""What a network is built for at most: beyond, its weights alone would take gigabytes."""


def _whole(most: int, key: str, value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value[:20]) <= most:
        raise UsageError(f"setting `{key}={value[:40]}` is not a whole number above 0 and up to {most}")
    return int(value)


def _choice(valid: tuple, key: str, value: str):
    by_name = {str(choice): choice for choice in valid}
    if value not in by_name:
        raise unknown(f"{key}", value, by_name)
    return by_name[value]


def _flag(key: str, value: str) -> bool:
    return _choice(("true", "false"), key, value) == "true"


def settings_of(name: str) -> dict[str, object]:
    """The settings that a catalogue name takes, with their defaults.

    >>> settings_of("mini_resnet_ge_theta_minus")
    {'classes': 10, 'size': 32, 'extent': 'global', 'pool': 'avg', 'count_padding': False}

    Raises:
        UsageError: no such name.
    """
    if name not in NAMES:
        raise unknown("network", name, NAMES)
    family, gate = NAMES[name]
    settings: dict[str, object] = {"classes": FAMILIES[family].classes, "size": FAMILIES[family].size}
    settings |= dict(FAMILIES[family].settings)
    if gate == "se":
        settings["bias"] = True
    if gate.startswith("ge_"):
        settings["extent"] = "global"
        if "stride_in" in settings:
            settings["port"] = "none"
    if gate == "ge_theta_minus":
        settings |= {"pool": "avg", "count_padding": False}
    return settings


_PARSERS = {
    "classes": partial(_whole, MOST_CLASSES),
    "size": partial(_whole, LARGEST_SIZE),
    "extent": partial(_choice, EXTENTS),
    "pool": partial(_choice, POOLS),
    "count_padding": _flag,
    "bias": _flag,
    "stride_in": partial(_choice, ("3x3", "1x1")),
    "port": partial(_choice, ("none", "mindspore")),
}


def resolve(reference: Reference, **defaults) -> dict[str, object]:
    """Every setting of a reference, parsed: the reference's own over `defaults` over the catalogue's.

    Raises:
        UsageError: an unknown name, a setting that the network does not take, or a bad value.
    """
    settings = settings_of(reference.name) | defaults
    for key, value in reference.settings:
        if key not in settings:
            raise unknown(f"setting of {reference.name} called", key, settings)
        settings[key] = _PARSERS[key](key, value)
    return settings


def build(reference: Reference, **defaults) -> nn.Module:
    """Build a catalogue network with fresh weights; `defaults` are settings that the reference may override."""
    settings = resolve(reference, **defaults)
    family, gate = NAMES[reference.name]
    backbone = {key: settings.pop(key) for key in ("classes", "size", "stride_in") if key in settings}
    if settings.get("port") == "mindspore" and backbone["stride_in"] != "3x3":
        raise UsageError(f"`{reference}`: port=mindspore has its strides in the 3x3 convolution")
    if "port" in settings:
        settings["port"] = backbone["port"] = "" if settings["port"] == "none" else settings["port"]
    if not gate:
        make_gate = lambda channels, map_size: None
    elif gate == "se":
        make_gate = lambda channels, map_size: SEModule(channels, bias=settings["bias"])
    else:
        make_gate = partial(GatherExcite, variant=gate.removeprefix("ge_"), **settings)
    try:
        return FAMILIES[family].build(make_gate, **backbone)
    except ValueError as error:  # settings that exclude each other
        raise UsageError(f"`{reference}`: {error}") from error


def published_errors(reference: Reference) -> tuple[float, float] | None:
    """Published ImageNet (top-1, top-5) error in percent of this very network, or None."""
    settings = _as_published(reference)
    if settings is None:
        return None
    if settings.get("port") == "mindspore":
        return PORTED_ERRORS.get(reference.name)
    return PUBLISHED_ERRORS.get((reference.name, settings.get("extent"), settings.get("pool")))


def published_gmacs(reference: Reference) -> float | None:
    """The paper's count of 10⁹ multiply–accumulates of this very network, or None."""
    settings = _as_published(reference)
    ported = settings is not None and settings.get("port") == "mindspore"
    whole = settings is not None and settings.get("extent", "global") == "global"
    return PUBLISHED_GMACS.get(reference.name) if whole and not ported else None


def _as_published(reference: Reference) -> dict[str, object] | None:
    """A network's settings where it is of its family's own classes and size."""
    if reference.name not in NAMES:
        return None
    settings, own = resolve(reference), settings_of(reference.name)
    return settings if all(settings[key] == own[key] for key in ("classes", "size")) else None
