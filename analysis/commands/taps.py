"""`gelens taps`: where selectivity arises within blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from .. import figures
from ..analyses.inputs import Inputs
from ..analyses.measuring import Measuring
from ..analyses.recorded import add_recorded, recording_for, recording_hash
from ..analyses.requests import Request
from ..anatomy.sites import find_sites, resolve_blocks
from ..errors import UsageError
from ..networks import preprocessing_of
from ..probes.activity import Activity
from ..recording import Recording
from ..results.run import Run
from ..subjects import image_shape, outputs_and_units
from ..tables.selectivity import DEFAULT_STATISTICS, Statistics, check_classes
from ..tables.taps import WAY, tap_sentences, tap_tables


@dataclass(frozen=True)
class MeasureTaps:
    """Selectivity at every tap of networks' blocks.

    Args:
        blocks: module names, instead of a stage.
        rectify: take the positive part of signed outputs.
    """

    inputs: Inputs
    measuring: Measuring
    statistics: Statistics = DEFAULT_STATISTICS
    stage: int | None = None
    blocks: Sequence[str] = ()
    rectify: bool = False

    def arguments(self) -> dict:
        chosen = {"stage": self.stage, "blocks": self.blocks, "rectify": self.rectify}
        return self.inputs.as_arguments() | self.measuring.arguments() | vars(self.statistics) | chosen

    def run(self, run: Run) -> list[Path]:
        labelled = self.inputs.load_networks()
        images = self.inputs.load_data(labelled)
        check_classes(images.labels)
        requests = {}
        for label, network in labelled.items():
            blocks = resolve_blocks(network, self.stage, self.blocks)
            requests[label] = Request(network, blocks, self._taps(network, blocks, images), self.rectify)
        recording = self.measuring.measure(run, requests, images, self.statistics.seed)
        write_taps(run, recording, self.statistics)
        return self.measuring.finish(run)

    def _taps(self, network: nn.Module, blocks: Sequence[str], images) -> list[str]:
        """Those of `WAY` that all of the blocks have."""
        shape = image_shape(images, preprocessing_of(network))
        gated = all(site.gate is not None for site in find_sites(network, blocks, shape))
        taps = [tap for tap in WAY if gated or tap != "gated"]
        _, units = outputs_and_units(network, blocks, shape)
        try:
            Activity(network, units, taps, self.rectify, shape)
        except UsageError:  # blocks that end in no activation function
            taps.remove("sum")
        return taps


@dataclass(frozen=True)
class TapsFrom:
    """The same from a finished recording: no network is run.

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
        write_taps(run, recording, self.statistics)
        return figures.draw(run.folder)


def write_taps(run: Run, recording: Recording, statistics: Statistics) -> None:
    """Write every table, and what they say in words."""
    with run.timed("statistics"):
        tables = tap_tables(recording, statistics)
    run.write_tables({f"taps_{name}.csv": table for name, table in vars(tables).items()})
    run.find(tap_sentences(tables.gap))
