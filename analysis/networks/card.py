"""What is known of a network beside its weights.

People write it as attributes of their module, and find it there on networks that were loaded. Here it is read and
written, and nowhere else.
"""

from dataclasses import dataclass, field
from typing import TypedDict, Unpack

from torch import nn

from ..names import UNTRAINED
from .preprocessing import Preprocessing, Stated, stated_by

INPUT = "input"
"""What somebody calls the block's own input, where it is the shortcut."""


@dataclass(frozen=True)
class StatedParts:
    """What somebody says of the blocks of a network: names of modules below a block, in which * stands for any part.

    It is verified like what is read off, and holds for the blocks that have such modules.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 1))
    >>> network.anatomy = StatedParts(branch="conv3", shortcut="input")

    Args:
        branch: the module that the branch ends in.
        shortcut: the module that gives the shortcut, or "input", the block's own input.
        gate: the module that holds the gate.
    """

    branch: str | None = None
    shortcut: str | None = None
    gate: str | None = None


@dataclass(frozen=True)
class Card:
    """What is known of a network beside its weights; the fields are called as the module's attributes are.

    Args:
        reference: the text that names it, with every setting, or the name of its class.
        preprocessing: what it says of how images are shown to it; nothing may be said.
        notes: what was assumed of it when it was loaded, a sentence each.
        layout: whose names its weights had.
        training_seed: of the training that made its weights, where it is known.
        group: the label of the several trainings that it is one of.
        class_names: of the classes that it was trained to tell apart, in the order of its outputs, where known.
        anatomy: what somebody says of its blocks' parts.
    """

    reference: str
    preprocessing: Stated = field(default_factory=Stated)
    notes: tuple[str, ...] = ()
    layout: str | None = None
    training_seed: int | str | None = None
    group: str | None = None
    class_names: tuple[str, ...] = ()
    anatomy: StatedParts = field(default_factory=StatedParts)

    @property
    def untrained(self) -> bool:
        """Whether it was loaded without weights."""
        return UNTRAINED in self.notes


class Known(TypedDict, total=False):
    """Attributes of a module that its card is read off, as they are written."""

    reference: str
    preprocessing: Preprocessing
    notes: list[str]
    layout: str
    training_seed: int | str | None
    group: str
    class_names: tuple[str, ...]
    anatomy: StatedParts


def write_card(network: nn.Module, **known: Unpack[Known]) -> None:
    """Leave on a module, as attributes, what is found out of it or said by a person."""
    for name, value in known.items():
        setattr(network, name, value)


def card_of(network: nn.Module) -> Card:
    """The card of any module; a module that nothing is said of has its class's name as its reference.

    >>> card_of(nn.Linear(3, 2)).reference
    'Linear'
    """
    own = {name: getattr(network, name, None) for name in Known.__annotations__}
    reference, notes, classes, anatomy = (own[name] for name in ("reference", "notes", "class_names", "anatomy"))
    layout, seed, group = (own[name] for name in ("layout", "training_seed", "group"))
    return Card(
        reference=reference if isinstance(reference, str) else type(network).__name__,
        preprocessing=stated_by(network),
        notes=tuple(map(str, notes)) if isinstance(notes, list | tuple) else (),
        layout=layout if isinstance(layout, str) else None,
        training_seed=seed if isinstance(seed, int | str) else None,
        group=group if isinstance(group, str) else None,
        class_names=tuple(map(str, classes)) if isinstance(classes, list | tuple) else (),
        anatomy=anatomy if isinstance(anatomy, StatedParts) else StatedParts(),
    )
