"""Where selectivity arises within blocks."""

from dataclasses import dataclass
from typing import ClassVar

from .analysis import OfBlocks, Rectified, Results, Selective


@dataclass(frozen=True, kw_only=True)
class Taps(Rectified, Selective, OfBlocks):
    """Where in a block selectivity arises: the index at the branch, after the gate, at the sum and at the output.

    A RUN is a folder with a recording of at least two of these taps; no network is run.
    """

    name: ClassVar = "taps"
    example: ClassVar = "gelens taps thin_resnet50_se@cifar10 --data cifar10"
    table: ClassVar = "taps_blocks"
    claims: ClassVar = ("taps_gap",)
    figure: ClassVar = "fig_taps"
    states_parts: ClassVar = True

    def requests(self, networks, images, others=None):
        from .requests import Request

        found = {}
        for label, network in networks.items():
            blocks = self.blocks_of(network)
            found[label] = Request(network, blocks, self._taps(network, blocks, images), self.rectify)
        return found

    def _taps(self, network, blocks, images) -> list[str]:
        """Those of `WAY` that all of the blocks have."""
        from ..anatomy.sites import find_sites
        from ..errors import UsageError
        from ..networks import preprocessing_of
        from ..probes.activity import Activity
        from ..subjects import image_shape, outputs_and_units
        from ..tables.taps import WAY

        shape = image_shape(images, preprocessing_of(network))
        gated = all(site.gate is not None for site in find_sites(network, blocks, shape))
        taps = [tap for tap in WAY if gated or tap != "gated"]
        _, units = outputs_and_units(network, blocks, shape)
        try:
            Activity(network, units, taps, self.rectify, shape)
        except UsageError:  # blocks that end in no activation function
            taps.remove("sum")
        return taps

    def results(self, recording) -> Results:
        from ..tables.taps import tap_tables

        tables = vars(tap_tables(recording, self.statistics))
        return {f"taps_{name}.csv": table for name, table in tables.items() if len(table)}

    def sentences(self, results, cards):
        from ..tables.taps import tap_sentences

        return tap_sentences(results["taps_gap.csv"])
