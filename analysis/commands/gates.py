"""`gelens gates`: what gates do, from the taps gate and output of each block."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from .. import figures
from ..analyses.inputs import Inputs
from ..analyses.measuring import OF_OTHERS, Measuring, record_others
from ..analyses.recorded import add_recorded, recording_for, recording_hash
from ..analyses.requests import Request, shown_in
from ..anatomy.sites import find_sites, resolve_blocks
from ..errors import UsageError
from ..networks import card_of
from ..probes.static_gates import KnownGates, StaticGates
from ..recording import Recording
from ..recording.store import discard
from ..results.run import Run
from ..statistics.trainings import groups_of
from ..tables.gates import (
    gate_sentences,
    gate_tables,
    shares_over_trainings,
    static_of,
    static_over_trainings,
    static_table,
)
from ..tables.selectivity import DEFAULT_STATISTICS, Statistics, check_classes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MeasureGates:
    """Gates of networks.

    Args:
        blocks: module names, instead of a stage.
        means_from: data of other images, whose gates replace those of the images measured: accuracy with static gates
            is measured as well.
    """

    inputs: Inputs
    measuring: Measuring
    statistics: Statistics = DEFAULT_STATISTICS
    stage: int | None = None
    blocks: Sequence[str] = ()
    means_from: str | None = None

    def arguments(self) -> dict:
        chosen = {"stage": self.stage, "blocks": self.blocks, "means_from": self.means_from}
        return self.inputs.as_arguments() | self.measuring.arguments() | vars(self.statistics) | chosen

    def run(self, run: Run) -> list[Path]:
        labelled = self.inputs.load_networks()
        images = self.inputs.load_data(labelled)
        check_classes(images.labels)
        gated = {label: self._gated(network) for label, network in labelled.items()}
        _say_ungated(labelled, gated)
        requests = {
            label: Request(labelled[label], blocks, ("gate", "output"), rectify=True)
            for label, blocks in gated.items()
            if blocks
        }
        others = run.path(OF_OTHERS)
        if self.means_from is not None:
            wanted = {label: Request(each.network, each.blocks, ("gate",)) for label, each in requests.items()}
            skip = self.inputs.skip_unreadable
            known = record_others(wanted, self.means_from, images, self.measuring.options, others, skip)
            requests = {
                label: replace(
                    each, probes=[_static(label, each, known, self.statistics.seed)], apart_from=shown_in(known)
                )
                for label, each in requests.items()
            }
        recording = self.measuring.measure(run, requests, images, self.statistics.seed)
        write_gates(run, recording, self.statistics)
        if self.means_from is not None and not self.measuring.keep:
            discard(others)
        return self.measuring.finish(run)

    def _gated(self, network: nn.Module) -> list[str]:
        """The blocks that have a gate."""
        sites = find_sites(network, resolve_blocks(network, self.stage, self.blocks))
        return [site.block for site in sites if site.gate is not None]


def _static(label: str, request: Request, others: Recording, seed: int) -> StaticGates:
    gates = {block: KnownGates(others.matrix(label, block, "gate"), others.labels) for block in request.blocks}
    classes = max(len(others.described["classes"]), int(others.labels.max()) + 1)
    return StaticGates(request.network, request.blocks, gates, classes, seed)


@dataclass(frozen=True)
class GatesFrom:
    """Gates from a finished recording: no network is run.

    Args:
        recording: its folder, or that of a run which kept one.
    """

    recording: Path
    statistics: Statistics = DEFAULT_STATISTICS

    def arguments(self) -> dict:
        return vars(self.statistics) | {"from": recording_hash(self.recording)}

    def run(self, run: Run) -> list[Path]:
        """Compute and write every table.

        Raises:
            Recorded: another process does.
        """
        recording = recording_for(self.recording)
        add_recorded(run, recording, (), self.statistics.seed)
        write_gates(run, recording, self.statistics)
        return figures.draw(run.folder)


def write_gates(run: Run, recording: Recording, statistics: Statistics) -> None:
    """Write every table of gates, and what they say in words."""
    with run.timed("statistics"):
        tables = gate_tables(recording, statistics)
    for name, table in vars(tables).items():
        run.write_table(f"gates_{name}.csv", table)
    static, groups = static_of(recording), groups_of(run.record["networks"])
    run.write_tables(
        {
            "gates_static.csv": static_table(static),
            "gates_static_trainings.csv": static_over_trainings(static, groups),
            "gates_blocks_trainings.csv": shares_over_trainings(tables.blocks, groups),
        }
    )
    run.find(gate_sentences(tables.blocks))


def _say_ungated(labelled: Mapping[str, nn.Module], gated: Mapping[str, Sequence[str]]) -> None:
    without = [label for label, blocks in gated.items() if not blocks]
    if len(without) == len(gated):
        names = ", ".join(card_of(labelled[label]).reference for label in without)
        raise UsageError(f"no block measured of {names} has a gate; `gelens layers NETWORK` shows which modules do")
    if without:
        log.warning("left out, since no block measured has a gate: %s", ", ".join(without))
