"""`gelens report RUN…`: finished runs as one HTML page, from their folders alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..report import REPORT, write_report


@dataclass(frozen=True)
class Report:
    """Which runs, and where the page goes; arguments as of `gelens.report.write_report`."""

    runs: Sequence[Path]
    out: Path | None = None

    def write(self) -> Path:
        """The file written."""
        return write_report(self.runs, self.out)


def report_beside(run: Path) -> Path:
    """The page in a finished run's folder, written unless it is there."""
    page = Path(run) / REPORT
    return page if page.exists() else Report([run]).write()
