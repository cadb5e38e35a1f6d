"""What other installed packages add: objects that they name as entry points."""

import logging
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

log = logging.getLogger(__name__)


@cache
def of_packages(group: str, is_one: Callable[[Any], bool]) -> list[Any]:
    """What packages name as entry points of a group; what cannot be loaded or is none is left out with a warning.

    Args:
        group: `gelens.analyses` or `gelens.figures`.
        is_one: tells what belongs there.
    """
    found = []
    for point in entry_points(group=group):
        try:
            each = point.load()
        except Exception as error:  # whatever somebody's module does as it is imported
            log.warning("`%s` of the entry points %s cannot be loaded: %s", point.value, group, error)
            continue
        if is_one(each):
            found.append(each)
        else:
            log.warning("`%s` of the entry points %s is of another kind than belongs there", point.value, group)
    return found
