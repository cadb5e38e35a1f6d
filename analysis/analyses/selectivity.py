"""Class selectivity of every unit: figure 2 and its like."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..choices import INDICES
from ..errors import RunError, UsageError
from .analysis import MEASURED, STATISTIC, Activities, Results, Selective, option


@dataclass(frozen=True, kw_only=True)
class Selectivity(Activities, Selective):
    """Class selectivity of every unit, block by block (figure 2 and the gap against depth).

    A RUN is a folder with a recording of the tap; no network is run.
    """

    name: ClassVar = "selectivity"
    example: ClassVar = "gelens selectivity thin_resnet50@cifar10 thin_resnet50_se@cifar10 --data cifar10 --index auc"
    table: ClassVar = "selectivity"
    claims: ClassVar = ("selectivity_gap", "selectivity_trend", "selectivity_gap_trainings", "selectivity_claims")
    figure: ClassVar = "fig2_selectivity"
    tells_accuracy: ClassVar = True

    groups: Path | Mapping[str, str] | None = option(
        None, "CSV file of class and group: measure the index of groups.", kind="file", section=MEASURED
    )
    indices: tuple[str, ...] = option(
        (),
        "Additional index; repeatable. `gelens indices` defines them.",
        "--index",
        choices=INDICES,
        several=True,
        section=MEASURED,
    )
    rotate: int | None = option(
        None,
        "Measure random directions of each block instead of its units, rotated by this seed: a control of the basis.",
        least=0,
        metavar="SEED",
        section=MEASURED,
    )
    save_means: bool = option(False, "Also write the class means (npz).", section=MEASURED)
    no_calibration: bool = option(
        False,
        "Skip the simulation that finds bias and cover of block means (a minute for 50,000 images).",
        section=STATISTIC,
    )
    reference: str | None = option(
        None,
        "Network to compare the others with; the first by default.",
        metavar="LABEL",
        section=STATISTIC,
    )

    @property
    def statistics(self):
        from ..tables.selectivity import Statistics, read_groups

        groups = self.groups if self.groups is None or isinstance(self.groups, Mapping) else read_groups(self.groups)
        calibrated = not self.no_calibration and groups is None
        return Statistics(self.seed, self.permutations, self.replicates, self.indices, groups, calibrated, self.rotate)

    def arguments(self) -> dict:
        return super().arguments() | vars(self.statistics)

    def check(self, networks, images) -> None:
        from ..networks import card_of

        super().check(networks, images)
        reference_label(self.reference, {label: card_of(network).group for label, network in networks.items()})

    def results(self, recording) -> Results:
        import numpy as np

        from ..tables.comparison import comparison
        from ..tables.selectivity import selectivity_tables

        reference = self._reference(recording)
        tables = selectivity_tables(recording, self.statistics, self.tap)
        if not len(tables.units):
            raise RunError("no network has blocks whose selectivity could be computed")
        results: Results = {
            "selectivity.csv": tables.units,
            "selectivity_blocks.csv": tables.blocks,
            "selectivity_images.csv": tables.images,
        }
        if len(tables.indices):
            results["selectivity_indices.csv"] = tables.indices
        results["selectivity_replicates.npz"] = {
            f"{network}/{block}/{kind}": values
            for (network, block), samples in tables.samples.items()
            for kind, values in samples.items()
        }
        if self.save_means:
            means = {"classes": np.array(tables.classes)}
            for (network, block), (values, counts) in tables.means.items():
                means |= {f"{network}/{block}/means": values, f"{network}/{block}/images": counts}
            results["selectivity_means.npz"] = means
        compared = reference or tables.units["network"].iloc[0]
        parts = tables.units, tables.blocks, tables.samples
        return results | comparison(*parts, recording.networks, compared, self.replicates)

    def _reference(self, recording) -> str | None:
        return reference_label(self.reference, {label: card.get("group") for label, card in recording.networks.items()})

    def facts(self, recording) -> dict:
        first = next((label for label in recording.networks if recording.blocks(label, self.tap)), None)
        return {"reference": self._reference(recording) or first, "replicates": self.replicates}

    def pictures(self, results, images, recording) -> Results:
        from .thumbnails import thumbnails

        return thumbnails(results["selectivity.csv"], results["selectivity_images.csv"], images, recording)

    def sentences(self, results, cards):
        from ..tables.comparison import comparison_sentences

        if self.rotate is not None:
            what = "These are random directions of each block, not its units"
            how = "compare their auc or mi with that of the units (a run without --rotate)"
            return [f"{what}: {how}; nothing is said of S, which changes with what is subtracted from activities."]
        return comparison_sentences(results, cards, self.replicates)


def reference_label(asked: str | None, groups: Mapping[str, str | None]) -> str | None:
    """The label of the network that others are compared with: of a group, its first training.

    Args:
        asked: a label, or a group's.
        groups: by label, the group that it is in.
    """
    if asked is None or asked in groups:
        return asked
    if (first := next((label for label, group in groups.items() if group == asked), None)) is None:
        raise UsageError(f"no network `{asked}` to compare with; labels: {', '.join(groups)}")
    return first
