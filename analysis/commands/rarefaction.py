"""`gelens rarefaction`: the index on fewer images a class, from a finished recording."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis import figures, processes
from analysis.commands.measuring import Recorded
from analysis.files import file_hash
from analysis.recording import open_recording
from analysis.results.run import Run
from analysis.statistics.rarefaction import DRAWS
from analysis.tables.rarefaction import rarefaction_tables


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
        return chosen | {"from": file_hash(open_recording(self.recording).path("recording.json"))}

    def run(self, run: Run) -> list[Path]:
        """Compute and write every table.

        Raises:
            Recorded: another process does.
        """
        if not processes.is_first():
            raise Recorded
        recording = open_recording(self.recording)
        for label in self.networks:
            recording.names(label)  # an error where there is none
        with run.timed("statistics"):
            table, ends = rarefaction_tables(recording, self.networks, self.tap, self.draws, self.seed)
        for label in self.networks or recording.networks:
            run.add_network(label, recording.networks[label])
        run.save(data=recording.described.get("data", {}) | {"read": len(recording.images)}, seed=self.seed)
        run.write_table("selectivity_rarefaction.csv", table)
        run.write_table("selectivity_rarefaction_limits.csv", ends)
        return figures.draw(run.folder)
