"""What is known of a network beside its weights: read off a module here, once, and nowhere else."""

from dataclasses import dataclass, field
from typing import TypedDict, Unpack

from torch import nn

from ..names import UNTRAINED
from .preprocessing import Preprocessing, Stated, stated_by


@dataclass(frozen=True)
class Card:
    """What is known of a network beside its weights.

    Args:
        reference: the text that names it, with every setting, or the name of its class.
        preprocessing: what it says of how images are shown to it; nothing may be said.
        notes: what was assumed of it when it was loaded, a sentence each.
        layout: whose names its weights had.
        training_seed: of the training that made its weights, where it is known.
        group: the label of the several trainings that it is one of.
        class_names: of the classes that it was trained to tell apart, in the order of its outputs, where known.
    """

    reference: str
    preprocessing: Stated = field(default_factory=Stated)
    notes: tuple[str, ...] = ()
    layout: str | None = None
    training_seed: int | str | None = None
    group: str | None = None
    class_names: tuple[str, ...] = ()

    @property
    def untrained(self) -> bool:
        """Whether it was loaded without weights."""
        return UNTRAINED in self.notes


class Known(TypedDict, total=False):
    """Attributes of a network that its card is read off."""

    reference: str
    preprocessing: Preprocessing
    notes: list[str]
    layout: str
    training_seed: int | str | None
    group: str
    class_names: tuple[str, ...]


def write_card(network: nn.Module, **known: Unpack[Known]) -> None:
    """Set what `card_of` reads, as attributes of the network."""
    for name, value in known.items():
        setattr(network, name, value)


def card_of(network: nn.Module) -> Card:
    """The card of any module; a module that nothing is said of has its class's name as its reference.

    >>> card_of(nn.Linear(3, 2)).reference
    'Linear'
    """
    reference = getattr(network, "reference", None)
    notes = getattr(network, "notes", None)
    layout, seed, group = (getattr(network, name, None) for name in ("layout", "training_seed", "group"))
    classes = getattr(network, "class_names", None)
    return Card(
        reference=reference if isinstance(reference, str) else type(network).__name__,
        preprocessing=stated_by(network),
        notes=tuple(map(str, notes)) if isinstance(notes, list | tuple) else (),
        layout=layout if isinstance(layout, str) else None,
        training_seed=seed if isinstance(seed, int | str) else None,
        group=group if isinstance(group, str) else None,
        class_names=tuple(map(str, classes)) if isinstance(classes, list | tuple) else (),
    )
