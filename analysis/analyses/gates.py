"""What gates do, from the taps gate and output of each block."""

import logging
from dataclasses import dataclass
from typing import ClassVar

from ..errors import UsageError
from .analysis import OfBlocks, Results, Selective, option, with_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Gates(Selective, OfBlocks):
    """Analyse gate values: variance by channel, class and image, class selectivity, correlation with activity.

    A RUN is a folder with a recording of the taps gate and output; no network is run.
    """

    name: ClassVar = "gates"
    example: ClassVar = "gelens gates thin_resnet50_se@cifar10 --data cifar10 --means-from cifar10#train"
    table: ClassVar = "gates_blocks"
    claims: ClassVar = ("gates_blocks",)
    figure: ClassVar = "fig_gates_variance"
    states_parts: ClassVar = True

    means_from: str | None = option(
        None,
        "Also accuracy with static gates: values from these other images, such as digits#train, instead of their own.",
        kind="data",
        of_a_pass=True,
    )

    def others(self) -> str | None:
        return self.means_from

    def requests_of_others(self, networks, images):
        from .requests import Request

        return {label: Request(networks[label], gated, ("gate",)) for label, gated in self._gated(networks).items()}

    def requests(self, networks, images, others=None):
        from .requests import Request

        requests = {}
        for label, blocks in self._gated(networks).items():
            probes = [] if others is None else [self._static(networks[label], label, blocks, others)]
            requests[label] = Request(networks[label], blocks, ("gate", "output"), rectify=True, probes=probes)
        if without := [label for label in networks if label not in requests]:
            log.warning("left out, since no block measured has a gate: %s", ", ".join(without))
        return requests

    def _gated(self, networks) -> dict[str, list[str]]:
        """By label, the blocks that have a gate, of networks that have any."""
        from ..anatomy.sites import find_sites
        from ..networks import card_of

        found = {
            label: [site.block for site in find_sites(network, self.blocks_of(network)) if site.gate is not None]
            for label, network in networks.items()
        }
        if not any(found.values()):
            names = ", ".join(card_of(network).reference for network in networks.values())
            raise UsageError(f"no block measured of {names} has a gate; `gelens layers NETWORK` shows which modules do")
        return {label: blocks for label, blocks in found.items() if blocks}

    def _static(self, network, label: str, blocks, others):
        from ..probes.static_gates import KnownGates, StaticGates

        gates = {block: KnownGates(others.matrix(label, block, "gate"), others.labels) for block in blocks}
        classes = max(len(others.described["classes"]), int(others.labels.max()) + 1)
        return StaticGates(network, blocks, gates, classes, self.seed)

    def results(self, recording) -> Results:
        from ..statistics.trainings import groups_of
        from ..tables.gates import gate_tables, shares_over_trainings, static_of, static_over_trainings, static_table

        tables = gate_tables(recording, self.statistics)
        static, groups = static_of(recording), groups_of(recording.networks)
        of_trainings = {
            "gates_static.csv": static_table(static),
            "gates_static_trainings.csv": static_over_trainings(static, groups),
            "gates_blocks_trainings.csv": shares_over_trainings(tables.blocks, groups),
        }
        return {f"gates_{name}.csv": table for name, table in vars(tables).items()} | with_rows(of_trainings)

    def sentences(self, results, cards):
        from ..tables.gates import gate_sentences

        return gate_sentences(results["gates_blocks.csv"])
