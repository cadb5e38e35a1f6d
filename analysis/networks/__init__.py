"""Networks by reference: built, loaded with weights, saved, described."""

from .card import Card, card_of
from .counting import count_gmacs, count_parameters
from .loading import load_network, save_weights
from .preprocessing import Preprocessing, preprocessing_of

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
