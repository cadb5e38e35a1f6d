"""Figures from tables, without torch: one file a figure, and `draw` for all that a run's folder allows.

Each function takes tables and returns a figure and its axes; it neither shows nor saves them.
"""

from analysis.figures.drawing import draw, save
from analysis.figures.fig1_optimisation import optimisation
from analysis.figures.fig2_gap import selectivity_gap
from analysis.figures.fig2_null import selectivity_against_null
from analysis.figures.fig2_selectivity import selectivity
from analysis.figures.fig2_trainings import selectivity_gap_over_trainings
from analysis.figures.fig2_units import contact_sheet, most_selective
from analysis.figures.fig2_violin import selectivity_by_depth
from analysis.figures.fig3_area import pruning_areas
from analysis.figures.fig3_networks import pruning_by_network
from analysis.figures.fig3_pruning import pruning
from analysis.figures.fig3_random import pruning_against_random
from analysis.figures.fig4_operators import operators
from analysis.figures.fig_epochs import selectivity_over_training
from analysis.figures.fig_gates import gate_distributions, gate_variance, gates_by_depth
from analysis.figures.fig_gates_classes import gates_by_class
from analysis.figures.fig_gates_static import static_gates
from analysis.figures.fig_lesions import lesion_agreement
from analysis.figures.fig_lesions_targeted import targeted_lesions
from analysis.figures.fig_levels import selectivity_by_level
from analysis.figures.fig_match import block_similarity, unit_matches
from analysis.figures.fig_rarefaction import rarefaction
from analysis.figures.fig_taps import selectivity_by_tap
from analysis.figures.pruning_curves import curve_scores
from analysis.figures.table1_pooling import pooling_table
from analysis.names import pretty

__all__ = [
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
