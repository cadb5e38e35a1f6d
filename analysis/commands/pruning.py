"""`gelens pruning`: accuracy after dropping feature maps, and figure 3."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ..analyses.inputs import Inputs
from ..analyses.measuring import RECORDING, Measuring, shown_by
from ..analyses.priors import with_priors
from ..analyses.requests import Request
from ..anatomy.sites import resolve_blocks
from ..data import checked, load_data
from ..errors import UsageError
from ..files import file_hash
from ..networks.weights import network_card, network_differences
from ..probes.dropping import Dropping
from ..recording import Recording
from ..recording.store import discard
from ..results.run import Run, read_record, read_table
from ..statistics.curve_sentences import curve_sentences, dropped_elsewhere, training_curve_sentences
from ..statistics.curves import areas, class_curves, differences, point_tests
from ..statistics.trainings import groups_of, training_areas
from ..tables.pruning import CORRECTNESS, correctness, pruning_table, read_curves

log = logging.getLogger(__name__)

OF_MEANS = f"{RECORDING}-of-means"
"""The folder, in a run's, of what is recorded of the images that means are taken from."""


@dataclass(frozen=True)
class Pruning:
    """Feature-importance curves of networks.

    Args:
        blocks: module names, instead of a stage.
        means_from: data for means over other images, where `dropping` needs them.
        selectivity_from: folder of a selectivity run on other images, for the score "selectivity".
        per_class: also write each class's own curves.
    """

    inputs: Inputs
    measuring: Measuring
    dropping: Dropping
    stage: int | None = None
    blocks: Sequence[str] = ()
    means_from: str | None = None
    selectivity_from: Path | None = None
    per_class: bool = False

    def arguments(self) -> dict:
        dropping = self.dropping
        chosen = {name: getattr(dropping, name) for name in ("ratios", "orders", "scores", "per_image")}
        chosen |= {name: getattr(dropping, name) for name in ("fill", "scope", "exact", "seed")}
        chosen |= {"stage": self.stage, "blocks": self.blocks, "means_from": self.means_from}
        chosen |= {"per_class": self.per_class}
        chosen |= {"selectivity_from": self.selectivity_from and _table_of(self.selectivity_from)}
        return self.inputs.as_arguments() | self.measuring.arguments() | chosen

    def run(self, run: Run) -> list[Path]:
        labelled = self.inputs.load_networks()
        images = self.inputs.load_data(labelled)
        requests = {
            label: Request(network, pruning=resolve_blocks(network, self.stage, self.blocks), dropping=self.dropping)
            for label, network in labelled.items()
        }
        index = None if self.selectivity_from is None else _selectivity_of(self.selectivity_from, requests, images)
        others = run.path(OF_MEANS)
        means_from = self.means_from and checked(load_data(self.means_from), self.inputs.skip_unreadable)
        if self.selectivity_from is not None:
            requests = _apart_from(self.selectivity_from, requests)
        requests = with_priors(requests, images, self.measuring.options, means_from, index, others)
        recording = self.measuring.measure(run, requests, images, self.dropping.seed)
        write_pruning(run, recording, self.dropping.seed)
        if self.per_class:
            run.write_table("pruning_classes.csv", class_curves(read_curves(run.folder)))
        if not self.measuring.keep:
            discard(others)
        return self.measuring.finish(run)


def write_pruning(run: Run, recording: Recording, seed: int) -> None:
    """Write the curves, which images are right at every point, the curves' statistics, and what they say."""
    run.write_table("pruning.csv", pruning_table(recording))
    run.write_arrays(CORRECTNESS, correctness(recording))
    curves = read_curves(run.folder)
    groups = groups_of(run.record["networks"])
    alone, over_trainings = areas(curves, seed), training_areas(curves, groups, seed)
    run.write_tables(
        {
            "pruning_tests.csv": point_tests(curves),
            "pruning_summary.csv": alone,
            "pruning_differences.csv": differences(curves, seed),
            "pruning_summary_trainings.csv": over_trainings,
        }
    )
    grouped = {label for trainings in groups.values() for label in trainings.values()}
    run.find(f"{sentence}." for sentence in dropped_elsewhere(curves.table))
    if len(over_trainings):
        run.find(training_curve_sentences(over_trainings))
    if len(alone):
        run.find(curve_sentences(alone[~alone["network"].isin(grouped)]))


def _table_of(folder: Path) -> dict[str, str]:
    """A run's folder, and what its table of selectivity holds."""
    table = folder / "selectivity.csv"
    return {"run": str(folder), "table": file_hash(table) if table.is_file() else ""}


def _selectivity_of(folder: Path, requests: Mapping[str, Request], data) -> pd.DataFrame:
    """The selectivity table of another run, its networks known by their weights and named as here."""
    record, table = read_record(folder), read_table(folder, "selectivity.csv")
    if record["data"]["name"] == str(data):
        raise UsageError(f"the run in `{folder}` measured {data}, as this one would; expected a run on other images")
    of = record["arguments"]
    if of.get("groups") or of.get("tap", "output") != "output":
        raise UsageError(f"the run in `{folder}` is of groups of classes, or of another tap than output")
    tables = []
    for label, request in requests.items():
        theirs = _same_network(folder, record["networks"], label, network_card(request.network))
        tables.append(table[table["network"] == theirs].assign(network=label))
    return pd.concat(tables, ignore_index=True)


def _same_network(folder: Path, known: Mapping[str, Mapping], label: str, card: Mapping) -> str:
    """The label of a network in another run."""
    weights = card["weights_hash"]
    differing = {
        theirs: network_differences(each, card) for theirs, each in known.items() if each.get("weights_hash") == weights
    }
    if not differing:
        raise UsageError(f"the run in `{folder}` has no network with the weights of {label}: hash {weights}")
    for theirs, found in differing.items():
        if not found:
            return theirs
    theirs, found = next(iter(differing.items()))
    raise UsageError(
        f"`{theirs}` of the run in `{folder}` has the weights of {label}, but other {' and '.join(found)}: expected a "
        f"run of this very network"
    )


def _apart_from(folder: Path, requests: Mapping[str, Request]) -> dict[str, Request]:
    """The requests, of no image that the run measured whose index they drop by."""
    shown = shown_by(folder)
    if shown is None:
        log.warning("the run in %s does not tell what its images show: they are known by the data's name alone", folder)
        return dict(requests)
    return {label: replace(each, apart_from=each.apart_from | shown) for label, each in requests.items()}
