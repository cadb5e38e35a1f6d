"""`gelens lesions`: each unit of a block dropped alone, and whether indices of units predict the damage."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from analysis.anatomy.sites import resolve_blocks
from analysis.api import Request
from analysis.commands.inputs import Inputs
from analysis.commands.measuring import Measuring
from analysis.errors import UsageError
from analysis.networks import preprocessing_of
from analysis.probes.lesions import Lesions
from analysis.randomness import hashes
from analysis.results.run import Run
from analysis.subjects import image_shape, outputs_and_units
from analysis.tables.lesions import lesion_sentences, lesions_of
from analysis.tables.selectivity import check_classes


@dataclass(frozen=True)
class MeasureLesions:
    """Lesions of single units.

    Args:
        units: of each block, drawn by hash; all where it has no more.
        blocks: module names, instead of a stage.
        seed: of which units are drawn, and of the halves of the images.
    """

    inputs: Inputs
    measuring: Measuring
    units: int = 128
    stage: int | None = 4
    blocks: Sequence[str] = ()
    seed: int = 0

    def arguments(self) -> dict:
        if self.units < 4:
            raise UsageError(f"{self.units} units of a block tell no correlation; expected at least 4")
        chosen = {"stage": self.stage, "blocks": self.blocks, "units": self.units, "seed": self.seed}
        return self.inputs.as_arguments() | self.measuring.arguments() | chosen

    def run(self, run: Run) -> list[Path]:
        labelled = self.inputs.load_networks()
        images = self.inputs.load_data(labelled)
        check_classes(images.labels)
        requests = {label: self._request(network, images) for label, network in labelled.items()}
        recording = self.measuring.measure(run, requests, images, self.seed)
        with run.timed("statistics"):
            units, agreement = lesions_of(recording, self.seed)
        run.write_table("lesions_units.csv", units)
        run.write_table("lesions_agreement.csv", agreement)
        run.save(findings=lesion_sentences(agreement))
        return self.measuring.finish(run)

    def _request(self, network: nn.Module, images) -> Request:
        blocks = resolve_blocks(network, self.stage, self.blocks)
        _, widths = outputs_and_units(network, blocks, image_shape(images, preprocessing_of(network)))
        chosen = {}
        for block in blocks:
            order = np.argsort(hashes(self.seed, "lesioned unit", np.arange(widths[block])), kind="stable")
            chosen[block] = sorted(order[: self.units].tolist())
        return Request(network, blocks, probes=[Lesions(network, chosen, widths)])
