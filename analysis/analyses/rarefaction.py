"""The index on fewer images a class."""

from dataclasses import dataclass
from typing import ClassVar

from .analysis import OWN, Activities, Results, option


@dataclass(frozen=True, kw_only=True)
class Rarefaction(Activities):
    """Class selectivity on 2, 5, 10 … images of each class: how much of the index is owed to their number.

    A RUN is a folder with a recording of the tap: no network is run then.
    """

    name: ClassVar = "rarefaction"
    example: ClassVar = "gelens rarefaction runs/selectivity"

    draws: int = option(10, "Of images, at each number of them.", least=1, section=OWN)

    def results(self, recording) -> Results:
        from ..tables.rarefaction import rarefaction_tables

        table, ends = rarefaction_tables(recording, (), self.tap, self.draws, self.seed)
        return {"selectivity_rarefaction.csv": table, "selectivity_rarefaction_limits.csv": ends}

    def sentences(self, results, cards):
        from ..tables.rarefaction import rarefaction_sentences

        return rarefaction_sentences(results["selectivity_rarefaction.csv"])
