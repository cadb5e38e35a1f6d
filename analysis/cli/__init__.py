"""The command line, `gelens` or `python -m gelens`: it parses and calls."""

from . import finished, looking, making, measuring
from .program import main

__all__ = ["finished", "looking", "main", "making", "measuring"]
