"""`gelens match`: two networks compared, block with block and unit with unit, from recordings of the same images."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import figures, processes
from ..analyses.measuring import Recorded
from ..analyses.recorded import recording_hash
from ..errors import UsageError
from ..names import unique_label
from ..recording import open_recording
from ..results.run import Run
from ..tables.similarity import RecordedNetwork, similarity_tables

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Match:
    """Two networks of one recording, or one of each of two.

    Args:
        recordings: one or two folders of recordings, or of runs that kept one.
        networks: two labels, the first of the first recording; none where there are just two networks.
        tap: whose activity is taken.
        seed: of the halves of the images.
    """

    recordings: Sequence[Path]
    networks: Sequence[str] = ()
    tap: str = "output"
    seed: int = 0

    def __post_init__(self):
        if len(self.recordings) not in (1, 2):
            raise UsageError(f"{len(self.recordings)} recordings; expected one or two")
        if len(self.networks) not in (0, 2):
            raise UsageError(f"--network is given {len(self.networks)} times; expected twice, or never")

    def arguments(self) -> dict:
        made = [recording_hash(each) for each in self.recordings]
        return {"from": made, "networks": list(self.networks), "tap": self.tap, "seed": self.seed}

    def run(self, run: Run) -> list[Path]:
        """Compare, and write every table.

        Raises:
            Recorded: another process does.
        """
        if not processes.is_first():
            raise Recorded
        one, other = self._pair()
        with run.timed("statistics"):
            tables = similarity_tables(one, other, self.tap, self.seed)
        for each in (one, other):
            run.add_network(each.label, each.recording.networks[each.network])
        data = one.recording.described.get("data", {})
        run.save(data=data | {"read": len(one.recording.images)}, seed=self.seed)
        run.write_table("match_blocks.csv", tables.blocks)
        if len(tables.units):
            run.write_table("match_units.csv", tables.units)
            run.write_table("match_means.csv", tables.means)
        return figures.draw(run.folder)

    def _pair(self) -> tuple[RecordedNetwork, RecordedNetwork]:
        opened = [open_recording(folder) for folder in self.recordings]
        first, second = opened[0], opened[-1]
        names = list(self.networks) or self._only_two(first, second)
        for recording, name in ((first, names[0]), (second, names[1])):
            recording.names(name)  # an error where there is none
        if first is second and names[0] == names[1]:
            raise UsageError(f"`{names[0]}` would be compared with itself; expected two networks")
        one = RecordedNetwork(first, names[0], names[0])
        return one, RecordedNetwork(second, names[1], unique_label(names[1], [names[0]]))

    def _only_two(self, first, second) -> list[str]:
        known = list(first.networks) if first is second else [*first.networks, *second.networks]
        if len(known) != 2:
            raise UsageError(
                f"the recordings have {len(known)} networks, {', '.join(known)}; expected two, or --network twice"
            )
        return known
