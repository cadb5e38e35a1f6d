"""`gelens figures RUN`: a finished run's figures again, from its tables alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..figures.drawing import DEFAULT_FORMATS, draw


@dataclass(frozen=True)
class Figures:
    """What to draw again, and how; arguments as of `gelens.figures.draw`."""

    run: Path
    formats: Sequence[str] = DEFAULT_FORMATS
    width: float | None = None
    blocks: Sequence[str] = ()
    bins: int | None = None
    out: Path | None = None

    def draw(self) -> list[Path]:
        """The files written."""
        return draw(self.run, self.formats, self.width, self.blocks, self.bins, self.out)
