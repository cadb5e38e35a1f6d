"""How networks of the catalogue are built."""

from collections.abc import Callable
from functools import partial
from typing import Any

from timm.layers import SEModule
from torch import nn

from ..errors import UsageError
from .catalogue import FAMILIES, NAMES, resolve
from .gather_excite import VARIANTS, GatherExcite
from .references import Reference
from .resnet import residual_network
from .shufflenet import ShuffleNet

_small_resnet = partial(residual_network, widths=(8, 16, 32, 64))

BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "resnet50": partial(residual_network, depths=(3, 4, 6, 3)),
    "resnet101": partial(residual_network, depths=(3, 4, 23, 3)),
    "mini_resnet": partial(_small_resnet, depths=(1, 1, 6, 1)),
    # ResNet-50's layout at an eighth of its width, for CIFAR-10 and its like
    "thin_resnet50": partial(_small_resnet, depths=(3, 4, 6, 3), stem=16),
    "shufflenet": ShuffleNet,
    "mini_shufflenet": partial(ShuffleNet, depths=(2, 4, 2), widths=(60, 120, 240)),
    # ShuffleNet's layout at half its width
    "thin_shufflenet": partial(ShuffleNet, widths=(120, 240, 480)),
}
"""By family, what builds its networks with a gate."""

MODULES: dict[str, Callable[..., nn.Module | None]] = {
    "": lambda channels, map_size: None,
    "se": lambda channels, map_size, bias: SEModule(channels, bias=bias),
    **{f"ge_{variant}": partial(GatherExcite, variant=variant) for variant in VARIANTS},
}
"""By gate, what makes its module of a branch's channels, its map's (height, width) and the gate's settings."""


def build(reference: Reference, **defaults) -> nn.Module:
    """Build a catalogue network with fresh weights; `defaults` are settings that the reference may override."""
    settings = resolve(reference, **defaults)
    family, gate = NAMES[reference.name]
    backbone: dict[str, Any] = {key: settings.pop(key) for key in ("classes", "size", "stride_in") if key in settings}
    if FAMILIES[family].small_images:
        backbone["small_stem"] = FAMILIES[family].small_stem(backbone["size"])
    if settings.get("port") == "mindspore" and backbone["stride_in"] != "3x3":
        raise UsageError(f"`{reference}`: port=mindspore has its strides in the 3x3 convolution")
    if "port" in settings:
        settings["port"] = backbone["port"] = "" if settings["port"] == "none" else settings["port"]
    try:
        return BUILDERS[family](partial(MODULES[gate], **settings), **backbone)
    except ValueError as error:  # settings that exclude each other
        raise UsageError(f"`{reference}`: {error}") from error
