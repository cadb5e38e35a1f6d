"""What is known of a network beside its weights.

People write it as attributes of their module, and find it there on networks that were loaded. Here it is read and
written, and nowhere else.
"""

from dataclasses import dataclass, field, fields

from torch import nn

from ..names import UNTRAINED
from .preprocessing import ASSUMED, Stated, stated_by

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


ATTRIBUTES = tuple(each.name for each in fields(Card))
"""Of a module, that its card is read off."""


def card_of(network: nn.Module) -> Card:
    """The card of any module; a module that nothing is said of has its class's name as its reference.

    >>> card_of(nn.Linear(3, 2)).reference
    'Linear'
    """
    own = {name: getattr(network, name, None) for name in ATTRIBUTES}
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


def write_card(network: nn.Module, card: Card) -> None:
    """Leave on a module what a card says, as attributes; `card_of` reads it again."""
    before = card_of(network)
    written = vars(card) | {"notes": list(card.notes), "preprocessing": card.preprocessing.completed(ASSUMED)}
    if card.preprocessing == Stated():
        del written["preprocessing"]
    for name, value in written.items():
        # an attribute that says the same already may be the network's own, of another kind
        if getattr(card, name) != getattr(before, name) or not hasattr(network, name):
            setattr(network, name, value)
