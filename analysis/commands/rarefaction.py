"""`gelens rarefaction`: the index on fewer images a class, from a finished recording."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import figures
from ..analyses.recorded import add_recorded, recording_for, recording_hash
from ..results.run import Run
from ..statistics.rarefaction import DRAWS
from ..tables.rarefaction import rarefaction_tables


@dataclass(frozen=True)
class Rarefaction:
    """The index on a growing number of images a class.

    Args:
        recording: its folder, or that of a run which kept one.
        networks: labels; all by default.
        tap: whose activity is taken.
        draws: of images, at each number of them.
        seed: of all that is drawn.
    """

    recording: Path
    networks: Sequence[str] = ()
    tap: str = "output"
    draws: int = DRAWS
    seed: int = 0

    def arguments(self) -> dict:
        chosen = {name: getattr(self, name) for name in ("networks", "tap", "draws", "seed")}
        return chosen | {"from": recording_hash(self.recording)}

    def run(self, run: Run) -> list[Path]:
        """Compute and write every table.

        Raises:
            Recorded: another process does.
        """
        recording = recording_for(self.recording, self.networks)
        with run.timed("statistics"):
            table, ends = rarefaction_tables(recording, self.networks, self.tap, self.draws, self.seed)
        add_recorded(run, recording, self.networks, self.seed)
        run.write_table("selectivity_rarefaction.csv", table)
        run.write_table("selectivity_rarefaction_limits.csv", ends)
        return figures.draw(run.folder)
