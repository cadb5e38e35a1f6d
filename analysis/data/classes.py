"""Names of classes: their order, which of them are numbers, and two of one name."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise

from ..errors import UsageError

log = logging.getLogger(__name__)

_MOST_DIGITS = 18


def whole_numbers(names: Collection[str]) -> dict[str, int]:
    """The number of every name, where all are whole numbers; else none.

    >>> whole_numbers(["10", "007"]), whole_numbers(["10", "tench"])
    ({'10': 10, '007': 7}, {})
    """
    if all(name.isascii() and name.isdecimal() and len(name) <= _MOST_DIGITS for name in names):
        return {name: int(name) for name in names}
    return {}


def class_numbers(names: Collection[str]) -> tuple[list[str], dict[str, int]]:
    """Class names in order, and the number of each.

    The order is alphabetical, but by number where all names are numbers: 0, 1, 2 … 10 are then their own labels.

    Raises:
        UsageError: two names are the same number.

    >>> class_numbers(["10", "9"])[0], class_numbers(["10", "9", "x"])[0]
    (['9', '10'], ['10', '9', 'x'])
    """
    alphabetical, values = sorted(set(names)), whole_numbers(names)
    ordered = sorted(alphabetical, key=values.__getitem__) if values else alphabetical
    for one, other in pairwise(ordered):
        if values and values[one] == values[other]:
            raise UsageError(f"the classes `{one}` and `{other}` are the same number; expected one name for each class")
    if ordered != alphabetical:
        text = "the %d classes %s … %s are taken in the order of their numbers, not alphabetically as by torchvision"
        log.info(text, len(ordered), ordered[0], ordered[-1])
    return ordered, {name: number for number, name in enumerate(ordered)}


def distinct(names: Sequence[str]) -> list[str]:
    """The names, with its label where several classes have one: tables and figures tell classes by their names.

    >>> distinct(["crane", "tench", "crane"])
    ['crane (0)', 'tench', 'crane (2)']
    """
    names = list(names)
    while shared := {name for name, times in Counter(names).items() if times > 1}:
        names = [f"{name} ({label})" if name in shared else name for label, name in enumerate(names)]
    return names
