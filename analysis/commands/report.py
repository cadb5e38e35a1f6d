"""`gelens report RUN…`: finished runs as one HTML page, from their folders alone."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError, need
from ..report import REPORT, write_report

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """Which runs, and where the page goes; arguments as of `gelens.report.write_report`."""

    runs: Sequence[Path]
    out: Path | None = None

    def write(self) -> Path:
        """The file written."""
        return write_report(self.runs, self.out)


def report_beside(run: Path, drawn: Sequence[Path] = ()) -> None:
    """Write the page into a finished run's folder unless it is there; a warning where it cannot be made here.

    Args:
        drawn: files of all the run's figures, of which SVG is taken; without any they are drawn.
    """
    if (Path(run) / REPORT).exists():
        return
    try:
        need("bokeh", "report")
    except UsageError as error:
        log.warning("no report is written: %s; then `gelens report %s`", error, run)
        return
    write_report([run], drawn=drawn)
