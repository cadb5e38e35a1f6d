"""`gelens selectivity`: class selectivity of every unit, figure 2 and its like."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import ImageOps

from .. import figures, processes
from ..analyses.inputs import Inputs
from ..analyses.measuring import Measuring, Recorded
from ..analyses.recorded import add_recorded, recording_for, recording_hash
from ..analyses.requests import Request
from ..anatomy.sites import resolve_blocks
from ..data import ImageData
from ..data.cached import CachedData
from ..data.contents import content_of
from ..errors import RunError, UsageError
from ..names import blocks_as_in_papers
from ..networks import card_of
from ..networks.checkpoint_series import checkpoint_files, stem_of
from ..networks.references import parse
from ..networks.weights import weights_file_hash
from ..recording import Recording, open_recording
from ..results.following import open_run
from ..results.run import Run, read_table
from ..statistics.comparison import selectivity_gaps, sentences
from ..statistics.trainings import groups_of, training_gaps, training_sentences
from ..tables.evaluation import evaluation_table
from ..tables.selectivity import (
    DEFAULT_STATISTICS,
    Selectivity,
    Statistics,
    blocks_over_trainings,
    check_classes,
    selectivity_tables,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MeasureSelectivity:
    """Class selectivity of networks.

    Args:
        blocks: module names, instead of a stage.
        rectify: take the positive part of signed activities.
        tap: whose activity is taken.
        reference: label of the network that the others are compared with; the first by default.
        save_means: also write the class-conditional means, `selectivity_means.npz`.
    """

    inputs: Inputs
    measuring: Measuring
    statistics: Statistics = DEFAULT_STATISTICS
    stage: int | None = None
    blocks: Sequence[str] = ()
    rectify: bool = False
    tap: str = "output"
    reference: str | None = None
    save_means: bool = False

    def arguments(self) -> dict:
        names = ("stage", "blocks", "rectify", "tap", "reference", "save_means")
        chosen = {name: getattr(self, name) for name in names}
        return self.inputs.as_arguments() | self.measuring.arguments() | vars(self.statistics) | chosen

    def run(self, run: Run) -> list[Path]:
        labelled = self.inputs.load_networks()
        images = self.inputs.load_data(labelled)
        reference = reference_label(
            self.reference, {label: card_of(network).group for label, network in labelled.items()}
        )
        check_classes(images.labels)  # before the pass, not after it
        requests = {
            label: Request(network, resolve_blocks(network, self.stage, self.blocks), (self.tap,), self.rectify)
            for label, network in labelled.items()
        }
        recording = self.measuring.measure(run, requests, images, self.statistics.seed)
        with run.timed("statistics"):
            tables = selectivity_tables(recording, self.statistics, self.tap)
        write_selectivity(run, tables, reference, self.statistics, self.save_means)
        write_thumbnails(run, tables, images, recording)
        return self.measuring.finish(run)


@dataclass(frozen=True)
class SelectivityFrom:
    """Class selectivity from a finished recording: no network is run.

    Args:
        recording: its folder, or that of a run which kept one.
        networks: labels; all by default.
        tap: whose activity is taken.
        reference, save_means: as of `MeasureSelectivity`.
    """

    recording: Path
    networks: Sequence[str] = ()
    statistics: Statistics = DEFAULT_STATISTICS
    tap: str = "output"
    reference: str | None = None
    save_means: bool = False

    def arguments(self) -> dict:
        chosen = {name: getattr(self, name) for name in ("networks", "tap", "reference", "save_means")}
        chosen |= {"from": recording_hash(self.recording), "rectify": _rectified(open_recording(self.recording))}
        return vars(self.statistics) | chosen

    def run(self, run: Run) -> list[Path]:
        """Compute and write every table.

        Raises:
            Recorded: another process does.
        """
        recording = recording_for(self.recording, self.networks)
        kept = self.networks or list(recording.networks)
        reference = reference_label(self.reference, {label: recording.networks[label].get("group") for label in kept})
        with run.timed("statistics"):  # before anything is written: what was not recorded is refused here
            tables = selectivity_tables(recording, self.statistics, self.tap, kept)
        add_recorded(run, recording, kept, self.statistics.seed)
        evaluation = evaluation_table(recording)
        run.write_table("evaluation.csv", evaluation[evaluation["network"].isin(kept)])
        write_selectivity(run, tables, reference, self.statistics, self.save_means)
        log.info("contact sheets need the images themselves, which a recording does not hold: none is drawn")
        return figures.draw(run.folder)


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


def _rectified(recording: Recording) -> bool:
    return any(settings.get("rectified") for settings in recording.described.get("settings", {}).values())


def write_selectivity(
    run: Run, tables: Selectivity, reference: str | None, statistics: Statistics, save_means: bool = False
) -> None:
    """Write every table of selectivity, the comparison with a reference network, and what they say in words."""
    if not len(tables.units):
        raise RunError("no network has blocks whose selectivity could be computed")
    run.write_table("selectivity.csv", tables.units)
    run.write_table("selectivity_blocks.csv", tables.blocks)
    run.write_table("selectivity_images.csv", tables.images)
    if len(tables.indices):
        run.write_table("selectivity_indices.csv", tables.indices)
    arrays = {
        f"{network}/{block}/{kind}": values
        for (network, block), samples in tables.samples.items()
        for kind, values in samples.items()
    }
    run.write_arrays("selectivity_replicates.npz", arrays)
    if save_means:
        means = {"classes": np.array(tables.classes)}
        for (network, block), (values, counts) in tables.means.items():
            means |= {f"{network}/{block}/means": values, f"{network}/{block}/images": counts}
        run.write_arrays("selectivity_means.npz", means)
    chosen = reference or tables.units["network"].iloc[0]
    write_comparison(run, tables.units, tables.blocks, tables.samples, chosen, statistics.replicates)


def write_comparison(
    run: Run, units: pd.DataFrame, blocks: pd.DataFrame, samples: dict, reference: str, replicates: int
) -> None:
    """Write means over groups, gaps to the reference and their trends with depth, where there are any, and findings."""
    run.save(reference=reference, replicates=replicates)
    means = blocks_over_trainings(blocks, ("block", "depth"), groups_of(run.record["networks"]), replicates)
    run.write_tables({"selectivity_blocks_trainings.csv": means})
    if units["network"].nunique() < 2:
        return
    gaps, trends = selectivity_gaps(units, blocks, samples, reference)
    if not len(gaps):
        return
    run.write_table("selectivity_gap.csv", gaps)
    run.write_table("selectivity_trend.csv", trends)
    known = all(card.get("resnet_stages", True) for card in run.record["networks"].values())
    with blocks_as_in_papers(known):
        said = _compare_trainings(run, units, blocks, samples, reference)
        grouped = {label for trainings in groups_of(run.record["networks"]).values() for label in trainings.values()}
        alone = gaps[~gaps["network"].isin(grouped) | ~gaps["reference"].isin(grouped)] if said else gaps
        run.find([*said, *(sentences(alone, replicates, trends) if len(alone) else [])])


def _compare_trainings(run: Run, units: pd.DataFrame, blocks: pd.DataFrame, samples: dict, reference: str) -> list[str]:
    """Write the gaps between groups of trainings, where there are several, and say what they are."""
    groups = groups_of(run.record["networks"])
    if len(groups) < 2:
        return []
    chosen = run.record["networks"][reference].get("group") or next(iter(groups))
    gaps, trends, seeds = training_gaps(units, blocks, samples, groups, chosen)
    run.write_tables(
        {
            "selectivity_gap_trainings.csv": gaps,
            "selectivity_trend_trainings.csv": trends,
            "selectivity_gap_seeds.csv": seeds,
        }
    )
    return training_sentences(gaps, trends)


def write_thumbnails(run: Run, tables: Selectivity, images: ImageData, recording: Recording) -> None:
    """Write 64-pixel squares of the images that drive the most selective units of each network's deepest block.

    An image that shows something else by now than what was recorded has none.
    """
    if not isinstance(images, ImageData):
        return
    wanted: list[str] = []
    for network, rows in tables.units.dropna(subset="csi").groupby("network", sort=False):
        deepest = rows["block"].iloc[-1]
        top = tables.images[(tables.images["network"] == network) & (tables.images["block"] == deepest)]
        units = figures.most_selective(rows[rows["block"] == deepest])["unit"]
        wanted += top.loc[top["unit"].isin(units), "identifier"].tolist()
    names = list(dict.fromkeys(wanted))
    if not names:
        return
    positions = {name: position for position, name in enumerate(images.identifiers)}
    shown = dict(zip(recording.images["identifier"], recording.contents, strict=True))
    squares = {}
    for name in names:
        image = images[positions[name]][0]
        if shown[name] and not isinstance(images, CachedData) and content_of(image).hex() != shown[name]:
            log.warning("image `%s` is another than was measured: no contact sheet shows it", name)
            continue
        squares[name] = np.asarray(ImageOps.fit(image, (64, 64)))
    if squares:
        arrays = {"identifiers": np.array(list(squares), dtype=str), "images": np.stack(list(squares.values()))}
        run.write_arrays("selectivity_thumbnails.npz", arrays)


@dataclass(frozen=True)
class SelectivityOverTraining:
    """Class selectivity of a network at every checkpoint of a training: `selectivity_epochs.csv` and its figure.

    Every checkpoint has a run of its own in `checkpoints/`, which is not measured again once it is finished.

    Args:
        each: what is measured at every checkpoint, of one network without weights.
        folder: of checkpoints with epochs in their names.
    """

    each: MeasureSelectivity
    folder: Path

    def __post_init__(self):
        networks = list(self.each.inputs.networks)
        if len(networks) > 1 or parse(networks[0]).weights:
            raise UsageError(f"--checkpoints takes one NETWORK without @WEIGHTS, but got {' '.join(networks)}")
        if self.each.measuring.options.shard:
            raise UsageError("--checkpoints takes no --shard: name the checkpoints as networks, or use --processes")
        if self.each.reference:
            raise UsageError(f"--checkpoints compares nothing, so takes no --reference, but got {self.each.reference}")

    def arguments(self) -> dict:
        return self.each.arguments() | {"checkpoints": str(self.folder)}

    def is_whole(self, run: Run) -> bool:
        """Whether a finished run over a training's checkpoints has all that there are by now."""
        return set(read_table(run.folder, "selectivity_epochs.csv")["epoch"]) == set(checkpoint_files(self.folder))

    def run(self, run: Run) -> list[Path]:
        """Measure what is not measured yet, and write the tables.

        Raises:
            Recorded: that is all for this process to do.
        """
        (network,) = self.each.inputs.networks
        label = parse(network).label or parse(network).short
        tables, others, data = [], [], {}
        for epoch, path in checkpoint_files(self.folder).items():
            part = self._measure(run, network, epoch, path)
            if not processes.is_first():
                continue
            error = read_table(part.folder, "evaluation.csv")["top1_error"].iloc[0]
            table = read_table(part.folder, "selectivity_blocks.csv").assign(network=label, top1_error=error)
            table.insert(1, "epoch", epoch)
            tables.append(table)
            if self.each.statistics.indices:
                means = read_table(part.folder, "selectivity_indices.csv").groupby(["block", "index"], sort=False)
                others.append(means[["value", "null"]].mean().reset_index().assign(network=label, epoch=epoch))
            run.record["networks"] |= part.record["networks"]
            data = part.record["data"]
        if not processes.is_first():
            raise Recorded
        run.save(data=data)
        run.write_table("selectivity_epochs.csv", pd.concat(tables, ignore_index=True))
        if others:
            run.write_table("selectivity_indices_epochs.csv", pd.concat(others, ignore_index=True))
        return figures.draw(run.folder)

    def _measure(self, run: Run, network: str, epoch: float, path: Path) -> Run:
        stem = stem_of(path.name)
        inputs = replace(self.each.inputs, networks={stem: str(parse(network).with_weights(path))})
        arguments = run.record["arguments"] | {"checkpoint": path.name, "weights": weights_file_hash(path)}
        with open_run(run.path("checkpoints") / stem, "selectivity", arguments, resume=True) as part:
            if not part.finished:
                log.info("epoch %g: %s", epoch, path.name)
                try:
                    replace(self.each, inputs=inputs).run(part)
                except Recorded:
                    return part
                except (UsageError, RunError):
                    part.discard_if_empty()
                    raise
                part.finish()
        return part
