"""`gelens lesions`: each unit of a block dropped alone, and whether indices of units predict the damage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from ..analyses.inputs import Inputs
from ..analyses.measuring import OF_OTHERS, Measuring, record_others
from ..analyses.requests import Request, shown_in
from ..anatomy.sites import resolve_blocks
from ..data import ImageData
from ..errors import UsageError
from ..networks import preprocessing_of
from ..probes.lesions import ClassLesions, Lesions
from ..randomness import hashes
from ..recording.store import discard
from ..results.run import Run
from ..statistics.trainings import groups_of
from ..subjects import image_shape, outputs_and_units
from ..tables.lesions import class_orders_of, lesion_sentences, lesions_of, targeted_of, targeted_over_trainings
from ..tables.selectivity import check_classes

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Of a class's most selective units, dropped together, up to half of a block's."""


@dataclass(frozen=True)
class MeasureLesions:
    """Lesions of single units.

    Args:
        units: of each block, drawn by hash; all where it has no more.
        blocks: module names, instead of a stage.
        seed: of which units are drawn, of the halves of the images, and of other classes.
        means_from: data of other images, which tell the units that are selective for each class: they are dropped
            together, those of an image's own class and those of another.
    """

    inputs: Inputs
    measuring: Measuring
    units: int = 128
    stage: int | None = None
    blocks: Sequence[str] = ()
    seed: int = 0
    means_from: str | None = None

    def arguments(self) -> dict:
        if self.units < 4:
            raise UsageError(f"{self.units} units of a block tell no correlation; expected at least 4")
        chosen = {"stage": self.stage, "blocks": self.blocks, "units": self.units, "seed": self.seed}
        chosen |= {"means_from": self.means_from}
        return self.inputs.as_arguments() | self.measuring.arguments() | chosen

    def run(self, run: Run) -> list[Path]:
        labelled = self.inputs.load_networks()
        images = self.inputs.load_data(labelled)
        check_classes(images.labels)
        requests = {label: self._request(network, images) for label, network in labelled.items()}
        others = run.path(OF_OTHERS)
        if self.means_from is not None:
            requests = self._targeted(requests, self.means_from, images, others)
        recording = self.measuring.measure(run, requests, images, self.seed)
        with run.timed("statistics"):
            units, agreement = lesions_of(recording, self.seed)
        run.write_table("lesions_units.csv", units)
        run.write_table("lesions_agreement.csv", agreement)
        targeted, groups = targeted_of(recording), groups_of(run.record["networks"])
        run.write_tables(
            {
                "lesions_targeted.csv": targeted,
                "lesions_targeted_trainings.csv": targeted_over_trainings(targeted, groups, len(recording.labels)),
            }
        )
        run.find(lesion_sentences(agreement))
        if self.means_from is not None and not self.measuring.keep:
            discard(others)
        return self.measuring.finish(run)

    def _targeted(
        self, requests: Mapping[str, Request], data: str, images: ImageData, folder: Path
    ) -> dict[str, Request]:
        """The requests with lesions of the units that other images show to be selective for a class."""
        wanted = {label: Request(each.network, each.blocks) for label, each in requests.items()}
        skip = self.inputs.skip_unreadable
        known = record_others(wanted, data, images, self.measuring.options, folder, skip)
        found = {}
        for label, request in requests.items():
            orders = class_orders_of(known, label)
            classes = len(next(iter(orders.values())))
            if classes <= images.labels.max():
                raise UsageError(
                    f"the images of `{data}` are of {classes} classes, those measured have the label "
                    f"{images.labels.max()}: expected other images of the same classes, for --means-from"
                )
            fewest = min(order.shape[1] for order in orders.values())
            counts = [count for count in COUNTS if count <= fewest // 2]
            lesions = ClassLesions(request.network, orders, counts, self.seed)
            found[label] = replace(request, probes=[*request.probes, lesions], apart_from=shown_in(known))
        return found

    def _request(self, network: nn.Module, images) -> Request:
        blocks = resolve_blocks(network, self.stage, self.blocks)
        shape = image_shape(images, preprocessing_of(network))
        _, widths = outputs_and_units(network, blocks, shape)
        chosen = {}
        for block in blocks:
            order = np.argsort(hashes(self.seed, "lesioned unit", np.arange(widths[block])), kind="stable")
            chosen[block] = sorted(order[: self.units].tolist())
        return Request(network, blocks, probes=[Lesions(network, chosen, widths, shape)])
