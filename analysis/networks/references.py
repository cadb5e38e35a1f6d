"""Network references as text: `NAME[:key=value,…][@WEIGHTS]`, on the command line and in Python alike."""

import re
from dataclasses import dataclass, replace

from analysis.errors import UsageError


@dataclass(frozen=True)
class Reference:
    """A parsed network reference.

    >>> parse("resnet50_ge_theta_minus:extent=4,pool=max@e4max.safetensors")
    Reference(name='resnet50_ge_theta_minus', settings=(('extent', '4'), ('pool', 'max')), weights='e4max.safetensors')
    >>> parse("lab/mine.py:build@w.pth").name
    'lab/mine.py:build'
    """

    name: str
    settings: tuple[tuple[str, str], ...] = ()
    weights: str | None = None

    @property
    def architecture(self) -> str:
        """The reference without its weights: what was built, not what was learned."""
        settings = ",".join(f"{key}={value}" for key, value in self.settings)
        return f"{self.name}:{settings}" if settings else self.name

    def with_weights(self, weights) -> "Reference":
        return replace(self, weights=str(weights))

    def __str__(self) -> str:
        return f"{self.architecture}@{self.weights}" if self.weights else self.architecture


def parse(text: "str | Reference") -> Reference:
    """Parse a reference.

    Raises:
        UsageError: a setting is not `key=value`, is given twice, or the name or weights are empty.
    """
    if isinstance(text, Reference):
        return text
    head, at, weights = text.partition("@")
    if at and not weights:
        raise UsageError(f"network reference `{text}` ends in @; expected a file or a published name after it")
    factory = re.fullmatch(r"(.+?\.py:\w+)(?::(.*))?", head)
    name, _, rest = (factory[1], ":", factory[2] or "") if factory else head.partition(":")
    if not name:
        raise UsageError(f"network reference `{text}` has no name; expected NAME[:key=value,…][@WEIGHTS]")
    settings = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value):
            raise UsageError(f"setting `{part}` of `{text}` is not of the form key=value")
        if key in settings:
            raise UsageError(f"setting `{key}` of `{text}` is given twice")
        settings[key] = value
    return Reference(name, tuple(settings.items()), weights or None)
