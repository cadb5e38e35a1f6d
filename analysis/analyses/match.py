"""Two networks compared, block with block and unit with unit."""

from dataclasses import dataclass
from typing import ClassVar

from ..errors import UsageError
from ..names import unique_label
from .analysis import Activities, Results, with_rows


@dataclass(frozen=True, kw_only=True)
class Match(Activities):
    """Compare two networks on the same images, block with block and unit with unit.

    A RUN is a folder with a recording of two networks, or give two RUNs of the same images; no network is run. Blocks
    are compared by linear CKA, and units of equally named blocks by the correlation with their best match.
    """

    name: ClassVar = "match"
    example: ClassVar = "gelens match runs/selectivity --network thin_resnet50 --network thin_resnet50_se"
    table: ClassVar = "match_blocks"
    claims: ClassVar = ("match_blocks",)
    figure: ClassVar = "fig_match_blocks"
    compared: ClassVar = 2

    def check(self, networks, images) -> None:
        super().check(networks, images)
        if len(networks) != 2:
            raise UsageError(f"{len(networks)} networks; expected the two that are compared")

    def results(self, recording, other=None) -> Results:
        from ..tables.similarity import RecordedNetwork, similarity_tables

        pairs = [(each, label) for each in (recording, other) if each is not None for label in each.networks]
        if len(pairs) != 2:
            known = ", ".join(label for _, label in pairs)
            raise UsageError(f"the recordings have {len(pairs)} networks, {known}; expected two, or --network twice")
        (first, one), (second, two) = pairs
        if one == two and first.folder == second.folder:
            raise UsageError(f"`{one}` would be compared with itself; expected two networks")
        named = RecordedNetwork(first, one, one), RecordedNetwork(second, two, unique_label(two, [one]))
        tables = similarity_tables(*named, self.tap, self.seed)
        return {"match_blocks.csv": tables.blocks} | with_rows(
            {"match_units.csv": tables.units, "match_means.csv": tables.means if len(tables.units) else tables.units}
        )

    def sentences(self, results, cards):
        from ..tables.similarity import match_sentences

        return match_sentences(results["match_blocks.csv"], results.get("match_means.csv"))
