"""A run's folder, or several compared, as one HTML page: made from the folders alone, opened without a network."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from .page import REPORT, write_report

__all__ = ["REPORT", "write_report"]


class _Room(ModuleType):
    """`gelens.report(runs)` is the command's name in Python, and this room has that name already."""

    def __call__(self, runs: Path | str | Sequence[Path | str], out: Path | str | None = None) -> Path:
        """One HTML page of a finished run, or of several compared; arguments as of `write_report`."""
        return write_report([runs] if isinstance(runs, str | Path) else runs, out)


sys.modules[__name__].__class__ = _Room
