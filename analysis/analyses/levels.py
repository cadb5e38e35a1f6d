"""The index of groups of classes at the levels of a hierarchy."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..errors import UsageError
from ..files import file_hash
from .analysis import STATISTIC, Activities, Results, option


@dataclass(frozen=True, kw_only=True)
class Levels(Activities):
    """Class selectivity for groups of classes at each level of a hierarchy, and for random groups of the same size.

    A RUN is a folder with a recording of the tap; no network is run. One image per class is enough.
    """

    name: ClassVar = "levels"
    example: ClassVar = "gelens levels runs/selectivity --groups groups.csv"
    table: ClassVar = "selectivity_levels"
    claims: ClassVar = ("selectivity_levels",)
    figure: ClassVar = "fig_levels"

    groups: Path | None = option(None, "CSV file: class, then a column for each level, finest first.", kind="file")
    wordnet: Path | None = option(None, "WordNet's is_a list, for ImageNet's classes.", kind="file")
    permutations: int = option(
        100, "Number of permutations of classes, and of image labels.", least=1, metavar="N", section=STATISTIC
    )
    replicates: int = option(100, "Number of bootstrap replicates.", least=0, metavar="N", section=STATISTIC)

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
        return Path(chosen)

    def arguments(self) -> dict:
        chosen = {name: value for name, value in super().arguments().items() if name != "groups"}
        return chosen | {"hierarchy": file_hash(self.file), "wordnet": self.wordnet is not None}

    def results(self, recording) -> Results:
        from ..tables.levels import level_tables

        drawn = (self.permutations, self.replicates, self.seed)
        blocks, units = level_tables(recording, self._hierarchy(recording), (), self.tap, *drawn)
        return {"selectivity_levels.csv": blocks, "selectivity_levels_units.csv": units}

    def sentences(self, results, cards):
        from ..tables.levels import level_sentences

        return level_sentences(results["selectivity_levels.csv"])

    def _hierarchy(self, recording):
        from ..data import imagenet
        from ..tables.levels import read_levels, wordnet_levels

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
