"""Each unit of a block dropped alone, and whether indices of units predict the damage."""

from dataclasses import dataclass
from typing import ClassVar

from ..errors import UsageError
from .analysis import Analysis, OfBlocks, Results, check_labels, option, with_rows

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Of a class's most selective units, dropped together, up to half of a block's."""


@dataclass(frozen=True, kw_only=True)
class Lesions(OfBlocks, Analysis):
    """Do selectivity indices predict importance? Drop each unit alone and compare the damage with every index.

    Every dropped unit costs a pass through the layers after its block, so start with a thousand images (--limit).
    A RUN is a folder with recorded lesions; no network is run.
    """

    name: ClassVar = "lesions"
    example: ClassVar = "gelens lesions thin_resnet50_se@cifar10 --data cifar10 --limit 1000 --units 64"
    table: ClassVar = "lesions_agreement"
    claims: ClassVar = ("lesions_agreement",)
    figure: ClassVar = "fig_lesions"

    units: int = option(128, "Units of each block, chosen at random (see --seed).", of_a_pass=True)
    means_from: str | None = option(
        None,
        "Also drop each image's own class's most selective units, by these other images, against another class's.",
        kind="data",
        of_a_pass=True,
    )

    def __post_init__(self):
        if self.units < 4:
            raise UsageError(f"{self.units} units of a block tell no correlation; expected at least 4")

    def check(self, networks, images) -> None:
        check_labels(images)

    def others(self) -> str | None:
        return self.means_from

    def requests_of_others(self, networks, images):
        from .requests import Request

        return {label: Request(network, self.blocks_of(network)) for label, network in networks.items()}

    def requests(self, networks, images, others=None):
        from .requests import Request

        requests = {}
        for label, network in networks.items():
            probes = [self._of_units(network, images)]
            if others is not None:
                probes.append(self._targeted(network, label, images, others))
            requests[label] = Request(network, self.blocks_of(network), probes=probes)
        return requests

    def _of_units(self, network, images):
        import numpy as np

        from ..networks import preprocessing_of
        from ..probes.lesions import Lesions as Probe
        from ..randomness import hashes
        from ..subjects import image_shape, outputs_and_units

        shape = image_shape(images, preprocessing_of(network))
        _, widths = outputs_and_units(network, self.blocks_of(network), shape)
        orders = {
            block: np.argsort(hashes(self.seed, "lesioned unit", np.arange(width)), kind="stable")
            for block, width in widths.items()
        }
        chosen = {block: sorted(order[: self.units].tolist()) for block, order in orders.items()}
        return Probe(network, chosen, widths, shape)

    def _targeted(self, network, label: str, images, others):
        """Lesions of the units that other images show to be selective for a class."""
        from ..probes.lesions import ClassLesions
        from ..tables.lesions import class_orders_of

        orders = class_orders_of(others, label)
        classes = len(next(iter(orders.values())))
        if classes <= images.labels.max():
            raise UsageError(
                f"the images of `{self.means_from}` are of {classes} classes, those measured have the label "
                f"{images.labels.max()}: expected other images of the same classes, for --means-from"
            )
        fewest = min(order.shape[1] for order in orders.values())
        return ClassLesions(network, orders, [count for count in COUNTS if count <= fewest // 2], self.seed)

    def results(self, recording) -> Results:
        from ..statistics.trainings import groups_of
        from ..tables.lesions import lesions_of, targeted_of, targeted_over_trainings

        units, agreement = lesions_of(recording, self.seed)
        targeted, groups = targeted_of(recording), groups_of(recording.networks)
        of_trainings = targeted_over_trainings(targeted, groups, len(recording.labels))
        return {"lesions_units.csv": units, "lesions_agreement.csv": agreement} | with_rows(
            {"lesions_targeted.csv": targeted, "lesions_targeted_trainings.csv": of_trainings}
        )

    def sentences(self, results, cards):
        from ..tables.lesions import lesion_sentences

        return lesion_sentences(results["lesions_agreement.csv"])
