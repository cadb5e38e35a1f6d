"""Figures from tables, without torch: one file a figure, and `draw` for all that a run's folder allows.

Each function takes tables and returns a figure and its axes; it neither shows nor saves them.
"""

from ..names import pretty
from ..statistics.top_images import most_selective
from .drawing import draw, save
from .drawn import Drawn
from .fig1_optimisation import optimisation
from .fig2_gap import selectivity_gap
from .fig2_null import selectivity_against_null
from .fig2_selectivity import selectivity
from .fig2_trainings import selectivity_gap_over_trainings
from .fig2_units import contact_sheet
from .fig2_violin import selectivity_by_depth
from .fig3_area import pruning_areas
from .fig3_networks import pruning_by_network
from .fig3_pruning import pruning
from .fig3_random import pruning_against_random
from .fig4_operators import operators
from .fig_epochs import selectivity_over_training
from .fig_gates import gate_variance
from .fig_gates_classes import gates_by_class
from .fig_gates_depth import gates_by_depth
from .fig_gates_distribution import gate_distributions
from .fig_gates_static import static_gates
from .fig_lesions import lesion_agreement
from .fig_lesions_targeted import targeted_lesions
from .fig_levels import selectivity_by_level
from .fig_match import block_similarity
from .fig_match_units import unit_matches
from .fig_rarefaction import rarefaction
from .fig_taps import selectivity_by_tap
from .pruning_curves import curve_scores
from .table1_pooling import pooling_table

__all__ = [
    "Drawn",
    "block_similarity",
    "contact_sheet",
    "curve_scores",
    "draw",
    "gate_distributions",
    "gate_variance",
    "gates_by_class",
    "gates_by_depth",
    "lesion_agreement",
    "most_selective",
    "operators",
    "optimisation",
    "pooling_table",
    "pretty",
    "pruning",
    "pruning_against_random",
    "pruning_areas",
    "pruning_by_network",
    "rarefaction",
    "save",
    "selectivity",
    "selectivity_against_null",
    "selectivity_by_depth",
    "selectivity_by_level",
    "selectivity_by_tap",
    "selectivity_gap",
    "selectivity_gap_over_trainings",
    "selectivity_over_training",
    "static_gates",
    "targeted_lesions",
    "unit_matches",
]
