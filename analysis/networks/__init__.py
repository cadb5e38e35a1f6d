"""Networks by reference: built, loaded with weights, saved, described."""

from analysis.networks.card import Card, card_of
from analysis.networks.counting import count_gmacs, count_parameters
from analysis.networks.loading import load_network, save_weights
from analysis.networks.preprocessing import Preprocessing, preprocessing_of

__all__ = [
    "Card",
    "Preprocessing",
    "card_of",
    "count_gmacs",
    "count_parameters",
    "load_network",
    "preprocessing_of",
    "save_weights",
]
