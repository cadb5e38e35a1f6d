"""Accuracy after dropping feature maps: figure 3."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..choices import FILLS, ORDERS, RATIOS, SCOPES, SCORES
from ..errors import UsageError
from ..files import file_hash
from .analysis import Analysis, OfBlocks, Results, option, with_rows

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from ..ablation.importance import Prior
    from ..probes.dropping import Dropping


@dataclass(frozen=True, kw_only=True)
class Pruning(OfBlocks, Analysis):
    """Accuracy after dropping feature maps by their gates' values (figure 3).

    Networks without gates are measured intact and with each block's shortcut alone: the stars of the figure. Scores
    other than the gate give curves for every network. A RUN is a folder with the recorded points of curves; no network
    is run.
    """

    name: ClassVar = "pruning"
    example: ClassVar = "gelens pruning thin_resnet50_se@cifar10 --data cifar10 --score gate --score random"
    table: ClassVar = "pruning"
    claims: ClassVar = ("pruning_summary", "pruning_claims")
    figure: ClassVar = "fig3_pruning"
    states_parts: ClassVar = True
    tells_accuracy: ClassVar = True

    ratios: Sequence[float] = option(
        RATIOS,
        "Drop ratio; repeatable.  [default: 0, 0.1 … 1]",
        "--ratio",
        several=True,
        of_a_pass=True,
    )
    orders: Sequence[str] = option(
        ORDERS,
        "Drop the most or the least important maps first; both by default.",
        "--order",
        choices=ORDERS,
        several=True,
        of_a_pass=True,
    )
    scores: Sequence[str] = option(
        ("gate",),
        "Importance score; gate (the paper's) by default; repeatable.",
        "--score",
        choices=SCORES,
        several=True,
        of_a_pass=True,
    )
    one_order: bool = option(
        False, "Use one order for all images: that of the mean score over --means-from.", of_a_pass=True
    )
    fill: str = option(
        "zero", "Value of dropped maps; mean is the branch's mean over --means-from.", choices=FILLS, of_a_pass=True
    )
    scope: str = option(
        "block", "Drop maps in one block at a time, or in all blocks of the stage.", choices=SCOPES, of_a_pass=True
    )
    means_from: Any = option(
        None, "Images other than those measured, such as digits#train.", kind="data", of_a_pass=True
    )
    selectivity_from: "Path | pd.DataFrame | None" = option(
        None, "Run whose index --score selectivity uses.", kind="file", metavar="RUN", of_a_pass=True
    )
    per_class: bool = option(False, "Also write curves for each class.", "--class-curves")
    exact: bool = option(
        False, "Do not fold batch norm: bit-identical to a plain loop with the same batch shapes.", of_a_pass=True
    )
    rows: int | None = option(
        None, "Images × variants per forward pass; by default chosen for the device.", least=1, of_a_pass=True
    )

    def __post_init__(self):
        from ..statistics.curve_table import check_ratios

        check_ratios(self.ratios)

    @property
    def dropping(self) -> "Dropping":
        """Which maps are dropped, and how."""
        from ..probes.dropping import Dropping

        names = ("ratios", "orders", "scores", "fill", "scope", "seed", "exact", "rows")
        return Dropping(**{name: getattr(self, name) for name in names}, per_image=not self.one_order)

    def arguments(self) -> dict:
        chosen = {name: value for name, value in super().arguments().items() if name != "rows"}
        chosen["ratios"] = sorted(set(self.ratios))
        if isinstance(self.selectivity_from, Path):
            table = self.selectivity_from / "selectivity.csv"
            known = file_hash(table) if table.is_file() else ""
            chosen["selectivity_from"] = {"run": str(self.selectivity_from), "table": known}
        return chosen

    def check(self, networks, images) -> None:
        self.dropping.check()

    def others(self):
        if self.dropping.needs_means() and self.means_from is None:
            raise UsageError(
                "the mean fill, and one order for all images, need other images for their means, such as "
                "digits#train: means_from, on the command line --means-from"
            )
        return self.means_from if self.dropping.needs_means() else None

    def requests_of_others(self, networks, images):
        from ..probes.branch_means import means_at
        from .requests import Request

        return {
            label: Request(network, probes=[means_at(self.blocks_of(network), self._mean_scores)])
            for label, network in networks.items()
        }

    def requests(self, networks, images, others=None):
        from ..probes.branch_means import priors
        from ..probes.dropping import dropping_at
        from .index_of_run import index_of
        from .requests import Request

        index, apart_from = index_of(self.selectivity_from, networks, images)
        requests = {}
        for label, network in networks.items():
            blocks = self.blocks_of(network)
            known = priors(others, label, self._mean_scores) if others is not None else {}
            if "selectivity" in self.scores:
                known = _with_index(known, label, blocks, index)
            probes = [dropping_at(blocks, replace(self.dropping, priors=known))]
            requests[label] = Request(network, probes=probes, apart_from=apart_from)
        return requests

    @property
    def _mean_scores(self) -> list[str]:
        """The scores whose mean over other images is needed."""
        from ..ablation.importance import MEAN_SCORES

        return [score for score in self.scores if score in MEAN_SCORES] if self.one_order else []

    def results(self, recording) -> Results:
        from ..statistics.curves import areas, class_curves, differences, point_tests
        from ..statistics.trainings import curve_claims, groups_of, training_areas
        from ..tables.pruning import CORRECTNESS, correctness, curves_of, pruning_table

        table = pruning_table(recording)
        if not len(table):
            raise UsageError("no feature maps were dropped: `gelens pruning NETWORK…` does it")
        curves = curves_of(recording)
        groups = groups_of(recording.networks)
        results = {"pruning.csv": table, CORRECTNESS: correctness(recording)} | with_rows(
            {
                "pruning_tests.csv": point_tests(curves),
                "pruning_summary.csv": areas(curves, self.seed),
                "pruning_differences.csv": differences(curves, self.seed),
                "pruning_summary_trainings.csv": training_areas(curves, groups, self.seed),
                "pruning_claims.csv": curve_claims(curves, groups, self.seed),
            }
        )
        return results | ({"pruning_classes.csv": class_curves(curves)} if self.per_class else {})

    def sentences(self, results, cards):
        from ..statistics.curve_sentences import curve_sentences, dropped_elsewhere, training_curve_sentences
        from ..statistics.trainings import groups_of

        yield from (f"{sentence}." for sentence in dropped_elsewhere(results["pruning.csv"]))
        if "pruning_claims.csv" in results:
            yield from training_curve_sentences(results["pruning_claims.csv"])
        if "pruning_summary.csv" in results:
            grouped = {label for trainings in groups_of(cards).values() for label in trainings.values()}
            alone = results["pruning_summary.csv"]
            yield from curve_sentences(alone[~alone["network"].isin(grouped)])


def _with_index(
    known: "Mapping[str, Prior]", label: str, blocks: list[str], selectivity: "pd.DataFrame | None"
) -> "dict[str, Prior]":
    """What is known of each block, and the index of each of its units."""
    from ..ablation.importance import Prior

    if selectivity is None:
        raise UsageError(
            "the score `selectivity` needs a selectivity table of other images; on the command line "
            "--selectivity-from RUN"
        )
    mine, found = selectivity[selectivity["network"] == label], dict(known)
    for block in blocks:
        index: np.ndarray = mine.loc[mine["block"] == block, "csi"].to_numpy()
        if not len(index):
            raise UsageError(f"the selectivity table has no units of `{block}` of {label}")
        prior = found.get(block, Prior())
        found[block] = replace(prior, scores={**prior.scores, "selectivity": index})
    return found
