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


def report_beside(run: Path, drawn: Sequence[Path] = ()) -> Path:
    """The page in a finished run's folder, written unless it is there, with figures that were just drawn as they are.

    Args:
        drawn: files of all the run's figures, of which SVG is taken; without any they are drawn.
    """
    page = Path(run) / REPORT
    return page if page.exists() else write_report([run], drawn=drawn)
