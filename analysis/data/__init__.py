"""Data by reference: labelled images with stable identifiers, and their batches for one or several networks."""

from analysis.data.checking import checked
from analysis.data.datasets import ImageData
from analysis.data.forms import load_data
from analysis.data.loading import Batch, batches

__all__ = ["Batch", "ImageData", "batches", "checked", "load_data"]
