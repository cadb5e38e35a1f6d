"""Figures from tables."""

from analysis.figures.drawing import *  # noqa: F403
from analysis.names import pretty  # noqa: F401
