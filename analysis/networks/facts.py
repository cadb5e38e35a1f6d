"""What a table of errors says of a network beside its errors: gate, size, cost, published numbers."""

import math
from collections.abc import Sequence

from torch import nn

from . import catalogue
from .counting import count_gmacs, count_parameters
from .references import parse


def network_facts(network: nn.Module, shape: Sequence[int]) -> dict:
    """Columns of `evaluation.csv` by name; None for what is not known.

    Args:
        shape: of one image, (3, H, W).
    """
    reference = parse(getattr(network, "reference", type(network).__name__))
    settings = catalogue.resolve(reference) if reference.name in catalogue.NAMES else {}
    published = catalogue.published_errors(reference) or (math.nan, math.nan)
    facts = {
        "extent": str(settings["extent"]) if "extent" in settings else None,
        "pool": settings.get("pool"),
        "parameters": count_parameters(network),
        "gmacs": _gmacs(network, shape),
        "published_top1_error": published[0],
        "published_top5_error": published[1],
        "published_gmacs": catalogue.published_gmacs(reference),
    }
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in facts.items()}


def _gmacs(network: nn.Module, shape: Sequence[int]) -> float:
    """10⁹ multiply–accumulates of an image."""
    try:
        return count_gmacs(network, tuple(shape))
    except Exception:  # a count is no reason to fail
        return math.nan
