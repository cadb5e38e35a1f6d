"""Figure 4 from modules: their steps as a table, and the table drawn."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import figures
from .networks.gather_excite import GatherExcite
from .networks.operators import operator_name, operator_steps, operator_table, paper_operators

__all__ = ["operator_name", "operator_steps", "operator_table", "operators", "paper_operators"]


def operators(
    modules: Mapping[str, GatherExcite] | None = None, size: tuple[int, int] = (14, 14)
) -> tuple[Figure, list[Axes]]:
    """Figure 4: a diagram of each operator, from input map to output map.

    Args:
        modules: by title; the paper's four by default.
        size: (H, W) of the input map.
    """
    return figures.operators(operator_table(modules, size))
