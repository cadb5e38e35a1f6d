"""The catalogue of networks by name: which settings each takes, and what was published of it. No torch is needed."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError, unknown
from ..paper import PORTED_ERRORS, PUBLISHED_ERRORS, PUBLISHED_GMACS
from .checkpoint_series import SUFFIXES
from .references import Reference, parse

if TYPE_CHECKING:
    import pandas as pd

SIZES = Path(__file__).with_name("sizes.csv")
"""Parameters and 10⁹ multiply–accumulates of all in `COUNTED`, as `python -m gelens.networks.counting` counted them."""

EXTENTS = (2, 4, 8, "global")
POOLS = ("avg", "max", "avgmax")


@dataclass(frozen=True)
class Family:
    """A backbone: its default classes and size, its gates, and settings of its own.

    Families of small images take pixels between −1 and 1, whole; the others are normalised and cropped as for ImageNet.

    Args:
        halves_from: the size in pixels from which a family of small images has a stem of stride 2, if any.
    """

    classes: int
    size: int
    gates: tuple[str, ...]
    settings: tuple[tuple[str, object], ...] = ()
    halves_from: int | None = None

    @property
    def small_images(self) -> bool:
        return self.size < 64

    def small_stem(self, size: int) -> int:
        """The stride of a small-image family's stem, for images of this size.

        >>> FAMILIES["thin_resnet50"].small_stem(32), FAMILIES["thin_resnet50"].small_stem(64)
        (1, 2)
        """
        return 2 if self.halves_from and size >= self.halves_from else 1


_GATHER_EXCITE = {"extent": "global", "port": "none"}
GATES: dict[str, dict[str, Any]] = {
    "": {},
    "se": {"bias": True},
    "ge_theta_minus": _GATHER_EXCITE | {"pool": "avg", "count_padding": False},
    "ge_theta": _GATHER_EXCITE,
    "ge_theta_plus": _GATHER_EXCITE,
}
"""The settings that each gate takes, with their defaults; ports are of families with `stride_in` alone."""
_RESNET_GATES = tuple(GATES)
_SHUFFLE_GATES = tuple(gate for gate in GATES if gate != "se")
_STRIDE = (("stride_in", "3x3"),)

FAMILIES = {
    "resnet50": Family(1000, 224, _RESNET_GATES, _STRIDE),
    "resnet101": Family(1000, 224, _RESNET_GATES, _STRIDE),
    "mini_resnet": Family(10, 32, _RESNET_GATES),
    "thin_resnet50": Family(10, 32, _RESNET_GATES, halves_from=64),
    "shufflenet": Family(1000, 224, _SHUFFLE_GATES),
    "mini_shufflenet": Family(10, 32, _SHUFFLE_GATES),
    "thin_shufflenet": Family(10, 32, _SHUFFLE_GATES, halves_from=64),
}

NAMES = {
    f"{family}_{gate}" if gate else family: (family, gate) for family, entry in FAMILIES.items() for gate in entry.gates
}
"""Every catalogue name: (family, gate)."""


PHOTOGRAPHS = "size=64,classes=100"
"""The settings in which networks for small images take Tiny ImageNet's photographs."""

COUNTED = (
    *NAMES,
    *(f"{name}:{PHOTOGRAPHS}" for name, (family, gate) in NAMES.items() if FAMILIES[family].halves_from),
)
"""What the catalogue lists: every name, and those for photographs of 64 px once more."""

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


def check_name(reference: Reference) -> None:
    """Raise a UsageError where a reference's name is neither of the catalogue, nor of a library, nor a factory's."""
    name = reference.name
    if name in NAMES or name.partition("/")[0] in ("timm", "torchvision") or ".py:" in name:
        return
    if name.endswith(".py"):
        raise UsageError(f"`{name}` is a file of code: name its function that builds the network, as {name}:build")
    if Path(name).suffix in SUFFIXES:
        raise UsageError(f"`{name}` is a file of weights: write before it whose they are, as resnet50@{name}")
    raise unknown("network", name, NAMES)


def settings_of(name: str) -> dict[str, Any]:
    """The settings that a catalogue name takes, with their defaults.

    >>> settings_of("mini_resnet_ge_theta_minus")
    {'classes': 10, 'size': 32, 'extent': 'global', 'pool': 'avg', 'count_padding': False}

    Raises:
        UsageError: no such name.
    """
    check_name(Reference(name))
    family, gate = NAMES[name]
    settings: dict[str, Any] = {"classes": FAMILIES[family].classes, "size": FAMILIES[family].size}
    settings |= dict(FAMILIES[family].settings)
    of_gate = {key: value for key, value in GATES[gate].items() if key != "port" or "stride_in" in settings}
    return settings | of_gate


def default_settings() -> dict[str, list[tuple[str, object]]]:
    """The defaults of settings: by families, then of gates, in words: `resnet50, resnet101`, `…_se`.

    >>> default_settings()["…_se"]
    [('bias', 'true')]
    """
    families: dict[tuple, list[str]] = {}
    for name, family in FAMILIES.items():
        families.setdefault((("classes", family.classes), ("size", family.size), *family.settings), []).append(name)
    found: dict[str, list[tuple[str, object]]] = {", ".join(names): list(own) for own, names in families.items()}
    for gate, settings in GATES.items():
        if gate:
            found[f"…_{gate}"] = [(key, str(value).lower()) for key, value in settings.items()]
    return found


_PARSERS: dict[str, Callable[[str, str], object]] = {
    "classes": partial(_whole, MOST_CLASSES),
    "size": partial(_whole, LARGEST_SIZE),
    "extent": partial(_choice, EXTENTS),
    "pool": partial(_choice, POOLS),
    "count_padding": _flag,
    "bias": _flag,
    "stride_in": partial(_choice, ("3x3", "1x1")),
    "port": partial(_choice, ("none", "mindspore")),
}


def resolve(reference: Reference, **defaults) -> dict[str, Any]:
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


def _as_published(reference: Reference) -> dict[str, Any] | None:
    """A network's settings where it is of its family's own classes and size."""
    if reference.name not in NAMES:
        return None
    settings, own = resolve(reference), settings_of(reference.name)
    return settings if all(settings[key] == own[key] for key in ("classes", "size")) else None


def catalogue_table() -> "pd.DataFrame":
    """A row for each of `COUNTED`: what it takes, how large it is, and what was published of it."""
    import pandas as pd

    table = pd.read_csv(SIZES)
    references = [parse(name) for name in table["name"]]
    settings = [resolve(each).items() for each in references]
    table.insert(1, "settings", [",".join(f"{key}={value}" for key, value in each) for each in settings])
    table["published_gmacs"] = [published_gmacs(each) for each in references]
    table[["published_top1_error", "published_top5_error"]] = [
        published_errors(each) or (math.nan, math.nan) for each in references
    ]
    return table
