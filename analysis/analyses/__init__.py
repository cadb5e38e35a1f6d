"""What a person may ask of networks: one file an analysis, and the one way in which all are run (`running`).

An analysis from elsewhere is a subclass of `gelens.analyses.analysis.Analysis` that an installed package names as an
entry point of the group `gelens.analyses`.
"""

import logging
from functools import cache
from importlib.metadata import entry_points

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

    One that cannot be loaded, is no analysis, or has a name that is taken is left out, which a warning tells.
    """
    found: dict[str, type[Analysis]] = {each.name: each for each in OURS}
    for point in entry_points(group=GROUP):
        try:
            kind = point.load()
        except Exception as error:  # whatever somebody's module does as it is imported
            log.warning("the analysis `%s` of %s cannot be loaded: %s", point.name, point.value, error)
            continue
        if not (isinstance(kind, type) and issubclass(kind, Analysis)):
            log.warning("`%s` of the entry point `%s` is no gelens.analyses.analysis.Analysis", point.value, point.name)
        elif kind.name in found:
            log.warning("the analysis `%s` of %s has the name of another one", kind.name, point.value)
        else:
            found[kind.name] = kind
    return found
