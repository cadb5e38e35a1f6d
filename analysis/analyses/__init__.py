"""What a person may ask of networks: one file an analysis, and the one way in which all are run (`running`).

An analysis from elsewhere is a subclass of `gelens.analyses.analysis.Analysis` that an installed package names as an
entry point of the group `gelens.analyses`.
"""

import logging
from functools import cache

from ..plugins import of_packages
from .analysis import Analysis
from .evaluation import Evaluation
from .gates import Gates
from .lesions import Lesions
from .levels import Levels
from .match import Match
from .pruning import Pruning
from .rarefaction import Rarefaction
from .selectivity import Selectivity
from .taps import Taps

log = logging.getLogger(__name__)

OURS = (Evaluation, Selectivity, Pruning, Gates, Taps, Lesions, Levels, Rarefaction, Match)

GROUP = "gelens.analyses"
"""Of entry points."""


@cache
def analyses() -> dict[str, type[Analysis]]:
    """Every analysis by the name of its command, those of other installed packages last.

    One of a name that is taken is left out with a warning.
    """
    found: dict[str, type[Analysis]] = {each.name: each for each in OURS}
    for kind in of_packages(GROUP, _is_analysis):
        if kind.name in found:
            log.warning("the analysis `%s` of %s has the name of another one", kind.name, kind.__module__)
        else:
            found[kind.name] = kind
    return found


def _is_analysis(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Analysis)
