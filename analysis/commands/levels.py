"""`gelens levels`: the index of groups of classes at the levels of a hierarchy, from a finished recording."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import figures
from ..analyses.recorded import add_recorded, recording_for, recording_hash
from ..data import imagenet
from ..errors import UsageError
from ..files import file_hash
from ..recording import Recording
from ..results.run import Run
from ..statistics import PERMUTATIONS, REPLICATES
from ..tables.levels import Hierarchy, level_tables, read_levels, wordnet_levels


@dataclass(frozen=True)
class Levels:
    """The index at every level of a hierarchy of classes.

    Args:
        recording: its folder, or that of a run which kept one.
        groups: a csv of class and a column for each level.
        wordnet: WordNet's is_a list, instead, for ImageNet's classes.
        networks: labels; all by default.
        tap: whose activity is taken.
        permutations: of classes in the hierarchy, and of labels of images.
        replicates: of the bootstrap over images.
        seed: of all that is drawn.
    """

    recording: Path
    groups: Path | None = None
    wordnet: Path | None = None
    networks: Sequence[str] = ()
    tap: str = "output"
    permutations: int = PERMUTATIONS
    replicates: int = REPLICATES
    seed: int = 0

    def __post_init__(self):
        if (self.groups is None) == (self.wordnet is None):
            raise UsageError("--groups and --wordnet each name a hierarchy; expected one of them")
        if not self.file.is_file():
            raise UsageError(f"`{self.file}` is no file")

    @property
    def file(self) -> Path:
        """What the hierarchy is read from."""
        chosen = self.groups or self.wordnet
        assert chosen is not None  # one of them is given
        return chosen

    def arguments(self) -> dict:
        chosen = {name: getattr(self, name) for name in ("networks", "tap", "permutations", "replicates", "seed")}
        chosen |= {"hierarchy": file_hash(self.file), "wordnet": self.wordnet is not None}
        return chosen | {"from": recording_hash(self.recording)}

    def run(self, run: Run) -> list[Path]:
        """Compute and write every table.

        Raises:
            Recorded: another process does.
        """
        recording = recording_for(self.recording, self.networks)
        hierarchy = self._hierarchy(recording)
        drawn = (self.permutations, self.replicates, self.seed)
        with run.timed("statistics"):
            blocks, units = level_tables(recording, hierarchy, self.networks, self.tap, *drawn)
        add_recorded(run, recording, self.networks, self.seed)
        run.write_table("selectivity_levels.csv", blocks)
        run.write_table("selectivity_levels_units.csv", units)
        return figures.draw(run.folder)

    def _hierarchy(self, recording: Recording) -> Hierarchy:
        if self.wordnet is None:
            return read_levels(self.file)
        known = dict(zip(imagenet.class_names(), imagenet.synsets(), strict=True))
        known |= {synset: synset for synset in imagenet.synsets()}
        shown = set(recording.images["class"])
        if strange := sorted(shown - known.keys()):
            raise UsageError(
                f"{len(strange)} classes are not among ImageNet's 1000, such as `{strange[0]}`: --groups takes a csv "
                f"of any classes"
            )
        return wordnet_levels(self.file, {name: known[name] for name in sorted(shown)})
