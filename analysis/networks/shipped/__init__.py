"""Weights that come with gelens, by name: `thin_resnet50_se@cifar10`, and its other seeds as `@cifar10/1`.

A folder here is a collection: weights in half precision at COLLECTION/NETWORK/seed-SEED.safetensors, with the curves of
their training (.csv) and their card (.json) beside them. A clone of the repository has every finished training of its
studies here; an installed package has those that setup.cfg names.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError, unknown
from .. import catalogue
from ..checkpoint_series import file_and_part
from ..references import Reference, parse

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).parent
IMPLIED = ("classes", "size")
"""Settings that follow from a collection's data, so that a reference to its weights need not give them."""
_NAME = re.compile(r"([a-z][a-z0-9_]*)(?:/(\d+|\*))?")
EVERY = "*"


@dataclass(frozen=True)
class Shipped:
    """A training whose weights come with gelens.

    Args:
        collection: the data that they were trained on, as their name says it.
        seed: of the training.
        path: the weights' file.
        card: what is told of them: network, data, recipe, precision, accuracy, hash, licence.
    """

    collection: str
    seed: int
    path: Path
    card: dict

    @property
    def weights(self) -> str:
        """Their name, as it follows the @ of a reference."""
        return f"{self.collection}/{self.seed}" if self.seed else self.collection

    @property
    def reference(self) -> Reference:
        """The network with them, as short as it can be."""
        return self.architecture.without(IMPLIED).with_weights(self.weights)

    @property
    def architecture(self) -> Reference:
        """The network, with every setting that tells it from others."""
        return parse(self.card["network"])

    def listed_as(self, row: str) -> bool:
        """Whether it is of a row of the catalogue: of that name, for images of that size and so many classes."""
        own, listed = catalogue.resolve(self.architecture), catalogue.resolve(parse(row))
        return parse(row).name == self.architecture.name and all(own[key] == listed[key] for key in IMPLIED)

    def fits(self, reference: Reference) -> bool:
        """Whether a reference is of this network, in whatever order and detail its settings are given.

        Raises:
            UsageError: the reference has a setting that its network does not take.
        """
        if reference.name != self.architecture.name:
            return False
        own = catalogue.resolve(self.architecture)
        return catalogue.resolve(reference, **{key: own[key] for key in IMPLIED}) == own


@cache
def everything() -> tuple[Shipped, ...]:
    """All trainings that come with gelens, by collection, then as the catalogue has the networks, then by seed."""
    found = []
    for path in FOLDER.glob("*/*/seed-*.json"):
        card = json.loads(path.read_text())
        found.append(Shipped(path.parents[1].name, card["seed"], path.with_suffix(".safetensors"), card))
    names = list(catalogue.NAMES)
    order = lambda each: (each.collection, names.index(each.reference.name), each.card["network"], each.seed)
    return tuple(sorted(found, key=order))


def is_shipped(reference: Reference) -> bool:
    """Whether its weights are named as a collection's; a file of that name goes before.

    >>> is_shipped(parse("mini_resnet@runs/w.pth")), is_shipped(parse("mini_resnet"))
    (False, False)
    """
    match = _NAME.fullmatch(reference.weights or "")
    return match is not None and match[1] in _collections() and not Path(str(reference.weights)).is_file()


def find(reference: Reference) -> Shipped | None:
    """The training that a reference names; None where its weights are not of a collection.

    Raises:
        UsageError: the collection has none of this network, or of this seed.
    """
    if not is_shipped(reference):
        return None
    seed = str(reference.weights).partition("/")[2]
    of_network = trainings(reference)
    for each in of_network:
        if each.seed == int(seed or 0):
            return each
    known = [each.weights for each in of_network]
    raise unknown(f"weights of {reference.architecture} that come with gelens called", reference.weights, known)


def has(reference: Reference) -> bool:
    """Whether weights of the network that a reference names, in the collection that it names, come with gelens."""
    return any(each.fits(reference) for each in _of_collection(reference))


def trainings(reference: Reference) -> list[Shipped]:
    """Every training of a reference's network in the collection that it names, by seed.

    Raises:
        UsageError: there is none.
    """
    mine = _of_collection(reference)
    of_network = [each for each in mine if each.fits(reference)]
    if not of_network:
        known = ", ".join(dict.fromkeys(each.reference.architecture for each in mine))
        raise UsageError(f"`{reference}`: no weights of {reference.architecture} come with gelens; of {known} they do")
    return of_network


def weights_path(reference: Reference) -> Path | None:
    """Where a reference's weights lie: those that come with gelens, or a file; None where it names none."""
    found = find(reference)
    if found is not None:
        return found.path
    return Path(file_and_part(reference.weights)[0]) if reference.weights else None


def shipped_table() -> "pd.DataFrame":
    """A row for each training that comes with gelens, from its card."""
    import pandas as pd

    rows = [
        {
            "reference": str(each.reference),
            "top1_accuracy": each.card["top1_accuracy"],
            "data": each.card["data"]["name"],
            "recipe": each.card["recipe"],
            "epochs": each.card["settings"]["epochs"],
            "seed": each.seed,
            "hash": each.card["weights"],
            "note": each.card["data"].get("note", ""),
            "licence": each.card["licence"],
        }
        for each in everything()
    ]
    return pd.DataFrame(rows)


def _of_collection(reference: Reference) -> list[Shipped]:
    collection = str(reference.weights).partition("/")[0]
    return [each for each in everything() if each.collection == collection]


def _collections() -> set[str]:
    return {each.collection for each in everything()}
