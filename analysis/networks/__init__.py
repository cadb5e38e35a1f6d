"""Networks by reference: built, loaded with weights, saved, described."""

import importlib

_HOMES = {
    "Card": "card",
    "Preprocessing": "preprocessing",
    "card_of": "card",
    "count_gmacs": "counting",
    "count_parameters": "counting",
    "load_network": "loading",
    "preprocessing_of": "preprocessing",
    "save_weights": "loading",
}
__all__ = [*_HOMES]


def __getattr__(name: str):
    """Import on first use: references and the catalogue are known without torch."""
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
