"""Data by reference: labelled images with stable identifiers, and their batches for one or several networks."""

from analysis.data.adapting import Images, adapted
from analysis.data.checking import checked
from analysis.data.datasets import ImageData
from analysis.data.forms import load_data
from analysis.data.loading import Batch, batches
from analysis.data.showing import preprocessing_for

__all__ = ["Batch", "ImageData", "Images", "adapted", "batches", "checked", "load_data", "preprocessing_for"]
