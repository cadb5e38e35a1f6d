"""Arrays in, tables out: no torch, no network."""

from .class_means import corrected_index, crossfitted_index, noise_of_means, selectivity_index
from .registry import INDICES, check_indices
from .resampling import PERMUTATIONS, REPLICATES, Resampling
from .selectivity import UnitStatistics, block_means, unit_statistics

__all__ = [
    "INDICES",
    "PERMUTATIONS",
    "REPLICATES",
    "Resampling",
    "UnitStatistics",
    "block_means",
    "check_indices",
    "corrected_index",
    "crossfitted_index",
    "noise_of_means",
    "selectivity_index",
    "unit_statistics",
]
