"""Data by reference: labelled images with stable identifiers, and their batches for one or several networks."""

from .adapting import Images, adapted
from .checking import checked
from .datasets import ImageData
from .forms import load_data
from .loading import Batch, batches
from .showing import preprocessing_for

__all__ = ["Batch", "ImageData", "Images", "adapted", "batches", "checked", "load_data", "preprocessing_for"]
