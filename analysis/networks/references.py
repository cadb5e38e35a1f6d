"""Network references as text: `[LABEL=]NAME[:key=value,…][@WEIGHTS]`, on the command line and in Python alike."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from ..errors import UsageError, plain
from ..names import unique_label
from .checkpoint_series import file_and_part, stem_of

_QUOTED = r"""=\s*'[^']*'|=\s*"[^"]*\""""
_HEAD = re.compile(rf"((?:{_QUOTED}|[^@])*)(@?)(.*)", re.DOTALL)
"""A reference before its weights, the @ if there is one, and the weights."""
_HUB = re.compile(r"timm/hf[-_]hub:\S+")
_TIMM = re.compile(r"(timm/\w+)\.([\w.-]+)")
"""timm's own names of a network of the hub, and of one with its weights."""
_PART = re.compile(rf"(?:{_QUOTED}|[^,])+", re.DOTALL)
"""One of several settings; a value in quotes may hold commas."""


@dataclass(frozen=True)
class Reference:
    """A parsed network reference.

    >>> parse("resnet50_ge_theta_minus:extent=4,pool=max@e4max.safetensors")
    Reference(name='resnet50_ge_theta_minus', settings=(('extent', '4'), ('pool', 'max')), weights='e4max.safetensors')
    >>> parse("lab/mine.py:build@w.pth").name
    'lab/mine.py:build'
    >>> parse("ours=lab/mine.py:build:depth=3@w.pth").label
    'ours'
    >>> parse("mine.py:build:name='a,b@c',depth=3@w.pth").settings
    (('name', "'a,b@c'"), ('depth', '3'))
    >>> parse("timm/seresnet50.ra2_in1k") == parse("timm/seresnet50@ra2_in1k")
    True
    >>> parse("timm/hf-hub:timm/resnet50.a1_in1k").name
    'timm/hf-hub:timm/resnet50.a1_in1k'

    Args:
        label: what a person calls it; no part of what it is.
        group, seed: the group of trainings that it is one of, and which; no part of what it is either.
    """

    name: str
    settings: tuple[tuple[str, str], ...] = ()
    weights: str | None = None
    label: str | None = field(default=None, compare=False, repr=False)
    group: str | None = field(default=None, compare=False, repr=False)
    seed: int | None = field(default=None, compare=False, repr=False)

    @property
    def architecture(self) -> str:
        """The reference without its weights: what was built, not what was learned."""
        return self._with_settings(self.name)

    @property
    def short(self) -> str:
        """The architecture as a table shows it: of a factory its function, without the file's path.

        >>> parse("lab/mine.py:build:depth=3@w.pth").short
        'build:depth=3'
        """
        return self._with_settings(self.name.rpartition(".py:")[2])

    def _with_settings(self, name: str) -> str:
        settings = ",".join(f"{key}={value}" for key, value in self.settings)
        return f"{name}:{settings}" if settings else name

    def with_weights(self, weights) -> "Reference":
        return replace(self, weights=str(weights))

    def without(self, keys: Iterable[str]) -> "Reference":
        """The reference without these settings.

        >>> str(parse("thin_resnet50:size=64,classes=100").without(["size", "classes"]))
        'thin_resnet50'
        """
        return replace(self, settings=tuple((key, value) for key, value in self.settings if key not in keys))

    def __str__(self) -> str:
        return f"{self.architecture}@{self.weights}" if self.weights else self.architecture


def split_label(text: str) -> tuple[str | None, str]:
    """The label that a person chose, None where there is none, and the reference after it.

    A label ends at the first `=` and has no `/`, `@` or `:`, so that settings, paths and weights are not taken for one.

    >>> split_label("ours=mini_resnet:size=48"), split_label("mini_resnet:size=48"), split_label("x@a=b.pth")
    (('ours', 'mini_resnet:size=48'), (None, 'mini_resnet:size=48'), (None, 'x@a=b.pth'))

    Raises:
        UsageError: the label or what is after it is empty.
    """
    label, equals, rest = text.partition("=")
    if not equals or set("/@:") & set(label):
        return None, text
    if not label.strip() or not rest.strip():
        raise UsageError(f"`{text}` is not of the form LABEL=REFERENCE, with a label before = and a reference after it")
    return label.strip(), rest.strip()


def parse(text: "str | Reference") -> Reference:
    """Parse a reference.

    Raises:
        UsageError: a setting is not `key=value`, is given twice, or the name or weights are empty.
    """
    if isinstance(text, Reference):
        return text
    label, text = split_label(text)
    chosen = label and plain(label)
    if _HUB.fullmatch(text):
        return Reference(text, label=chosen)
    parts = _HEAD.fullmatch(text)
    assert parts is not None  # it has room for any text
    head, at, weights = parts.groups()
    if at and not weights:
        raise UsageError(f"network reference `{text}` ends in @; expected a file or a published name after it")
    if tagged := _TIMM.fullmatch(head):
        if at:
            raise UsageError(f"`{text}` names weights twice, {tagged[2]} and {weights}; expected one of them")
        head, weights = tagged.groups()
    factory = re.fullmatch(r"(.+?\.py:\w+)(?::(.*))?", head)
    name, _, rest = (factory[1], ":", factory[2] or "") if factory else head.partition(":")
    if not name:
        raise UsageError(f"network reference `{text}` has no name; expected NAME[:key=value,…][@WEIGHTS]")
    settings = {}
    for part in filter(None, _PART.findall(rest)):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value):
            raise UsageError(f"setting `{part}` of `{text}` is not of the form key=value")
        if key in settings:
            raise UsageError(f"setting `{key}` of `{text}` is given twice")
        settings[key] = value
    return Reference(name, tuple(settings.items()), weights or None, chosen)


def labelled(references: Iterable["str | Reference"]) -> dict[str, Reference]:
    """References by a label unique among them: the one a person chose, else the shortest that tells them apart.

    That is the architecture; where several are of one architecture, the stems of their weights' files if those differ;
    else a number is added.

    >>> list(labelled(["mini_resnet", "mini_resnet", "ours=mini_resnet_se@w.pth"]))
    ['mini_resnet', 'mini_resnet-2', 'ours']
    >>> list(labelled(["lab/mine.py:build@a.pth", "lab/mine.py:build@b.pth", "lab/other.py:build"]))
    ['a', 'b', 'build']

    Raises:
        UsageError: two have the same chosen label.
    """
    parsed = [parse(reference) for reference in references]
    chosen = [reference.label for reference in parsed if reference.label]
    if twice := [label for label in chosen if chosen.count(label) > 1]:
        raise UsageError(f"two networks are labelled `{twice[0]}`; expected another LABEL= for one of them")
    groups: dict[str, list[str]] = {}
    for reference in parsed:
        if not reference.label:
            groups.setdefault(reference.architecture, []).append(_stem(reference))
    by_label: dict[str, Reference] = {}
    for reference in parsed:
        stems = groups.get(reference.architecture, [])
        told_apart = len(stems) > 1 and all(stems) and len(set(stems)) == len(stems)
        base = _stem(reference) if told_apart else reference.short
        by_label[reference.label or unique_label(plain(base), [*by_label, *chosen])] = reference
    return by_label


def _stem(reference: Reference) -> str:
    """The name of its weights, without folder and suffix, and of the part of them that is taken."""
    file, part = file_and_part(reference.weights or "")
    stem = stem_of(PurePath(file).name)
    return f"{stem}-{part}" if part else stem
