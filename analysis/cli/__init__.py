"""The command line, `gelens` or `python -m gelens`: it parses and calls."""

from . import analyses, finished, looking, making, recording
from .program import main

__all__ = ["analyses", "finished", "looking", "main", "making", "recording"]
