"""`gelens report RUN…`: finished runs as one HTML page, from their folders alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.report import write_report


@dataclass(frozen=True)
class Report:
    """Which runs, and where the page goes; arguments as of `analysis.report.write_report`."""

    runs: Sequence[Path]
    out: Path | None = None

    def write(self) -> Path:
        """The file written."""
        return write_report(self.runs, self.out)
