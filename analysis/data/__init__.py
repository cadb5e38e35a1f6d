"""Data by reference: labelled images with stable identifiers, and their batches for one or several networks."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .adapting import Images, adapted
    from .checking import checked
    from .datasets import ImageData
    from .forms import load_data
    from .loading import Batch, batches
    from .showing import preprocessing_for

_HOMES = {
    "Batch": "loading",
    "ImageData": "datasets",
    "Images": "adapting",
    "adapted": "adapting",
    "batches": "loading",
    "checked": "checking",
    "load_data": "forms",
    "preprocessing_for": "showing",
}
__all__ = ["Batch", "ImageData", "Images", "adapted", "batches", "checked", "load_data", "preprocessing_for"]


def __getattr__(name: str):
    """Import on first use: ImageNet's classes are known without torch."""
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
