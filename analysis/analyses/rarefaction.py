"""The index on fewer images a class."""

from dataclasses import dataclass
from typing import ClassVar

from .analysis import OWN, Activities, Results, option


@dataclass(frozen=True, kw_only=True)
class Rarefaction(Activities):
    """Class selectivity for 2, 5, 10 … images per class: how the index depends on the number of images.

    A RUN is a folder with a recording of the tap; no network is run.
    """

    name: ClassVar = "rarefaction"
    example: ClassVar = "gelens rarefaction runs/selectivity"
    table: ClassVar = "selectivity_rarefaction"
    claims: ClassVar = ("selectivity_rarefaction_limits",)
    figure: ClassVar = "fig_rarefaction"

    draws: int = option(10, "Random draws of images at each number.", least=1, section=OWN)

    def results(self, recording) -> Results:
        from ..tables.rarefaction import rarefaction_tables

        table, ends = rarefaction_tables(recording, (), self.tap, self.draws, self.seed)
        return {"selectivity_rarefaction.csv": table, "selectivity_rarefaction_limits.csv": ends}

    def sentences(self, results, cards):
        from ..tables.rarefaction import rarefaction_sentences

        return rarefaction_sentences(results["selectivity_rarefaction.csv"])
