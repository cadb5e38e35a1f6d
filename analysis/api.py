"""For people: networks and images in, a recording or tables out."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from torch import nn

from .analyses import Evaluation, Gates, Lesions, Levels, Match, Pruning, Rarefaction, Selectivity, Taps
from .analyses.asking import ask, function_of, made, of_analysis, with_options
from .analyses.requests import Request, record_requests
from .analyses.result import Result, open_run
from .anatomy.listing import layer_table
from .anatomy.sites import resolve_blocks
from .choices import ACTIVITIES, ORDERS, RATIOS
from .commands.compare import Compare
from .data import load_data, preprocessing_for
from .data.loading import batches
from .devices import resolve_device
from .networks import load_network, preprocessing_of
from .networks.facts import network_facts
from .networks.weights import network_card
from .recording import Recording
from .results.run import Run
from .statistics import PERMUTATIONS, REPLICATES
from .subjects import Networks, fit_classes, label_networks, trained_networks
from .sweep.formats import network_input, prepared, settle_format
from .sweep.passing import SweepOptions
from .tables.evaluation import chance_sentences

log = logging.getLogger(__name__)


@with_options
def record(
    networks: Networks,
    data,
    stage: int | None = None,
    blocks: Sequence[str] | None = None,
    taps: Sequence[str] = ("output",),
    out: Path | str | None = None,
    rectify: bool = False,
    options: SweepOptions | None = None,
    resume: bool = False,
    classes_by_position: bool = False,
    untrained: bool = False,
    activities: str = ACTIVITIES[0],
) -> Recording:
    """Record what networks do with every image: predictions, and the activity of blocks' units at some taps.

    Args:
        networks: a network or reference, several, or a mapping from labels.
        data: a reference, or a torch Dataset or sequential DataLoader of (image, label).
        stage: 4 is conv4_x, `layer3`, which is the default; else the last but one.
        blocks: module names, instead of a stage.
        taps: of each block, of output, branch, gate, gated and sum.
        out: the recording's folder; in memory where none is given.
        rectify: take the positive part of outputs.
        options: how the pass is run.
        resume: go on with an unfinished recording in `out`.
        classes_by_position: class k of the images is output k, whatever it is called.
        untrained: measure references without weights, with random ones.
        activities: what they are kept in: "float32", or "float16" in half the space (`gelens.probes.activity`).
    """
    labelled = trained_networks(networks, untrained)
    data = fit_classes(labelled.values(), load_data(data), classes_by_position)
    requests = {
        label: Request(network, resolve_blocks(network, stage, blocks), taps, rectify, activities=activities)
        for label, network in labelled.items()
    }
    return record_requests(requests, data, options, out, resume)


@of_analysis(Evaluation)
def evaluate(
    networks: Networks | Recording | Path,
    data: Any = None,
    options: SweepOptions | None = None,
    classes_by_position: bool = False,
    untrained: bool = False,
    **more: Any,
) -> pd.DataFrame:
    """Top-1 and top-5 error of networks on data: the columns of `evaluation.csv`, errors in percent.

    Args:
        networks: a network or reference, several, or a mapping from labels; or a recording, or its folder's Path.
        data: a reference, or a torch Dataset or sequential DataLoader of (image, label).
        options: how the pass is run; its fields, such as `device`, can be given as they are, too.
        classes_by_position: class k of the images is output k, whatever it is called.
        untrained: measure references without weights, with random ones.
    """
    result = ask(made(Evaluation, more), networks, data, options, classes_by_position, untrained)
    assert result.recording is not None
    for sentence in chance_sentences(result.recording, result["evaluation"]):
        log.warning("%s", sentence)
    return result["evaluation"]


@of_analysis(Selectivity)
def selectivity(
    networks: Networks | Recording | Path,
    data: Any = None,
    stage: int | None = None,
    blocks: Sequence[str] | None = None,
    options: SweepOptions | None = None,
    indices: str | Sequence[str] = (),
    seed: int = 0,
    permutations: int = PERMUTATIONS,
    replicates: int = REPLICATES,
    rectify: bool = False,
    classes_by_position: bool = False,
    untrained: bool = False,
    **more: Any,
) -> pd.DataFrame:
    """Class selectivity of every unit of a stage's blocks: the columns of `selectivity.csv`.

    With `indices`, those of `selectivity_indices.csv`: a row for each unit and each named index. All tables, findings
    and figures are those of `gelens.ask("selectivity", …)`.

    Args:
        networks: a network or reference, several, or a mapping from labels; or a recording, or its folder's Path.
        data: a reference, or a torch Dataset or sequential DataLoader of (image, label).
        stage: 4 is conv4_x, `layer3`, which is the default; else the last but one.
        blocks: module names, instead of a stage.
        options: how the pass is run.
        indices: names of other indices, of `gelens.statistics.INDICES`.
        seed: of all that is drawn.
        permutations: of the labels, for the null.
        replicates: of the bootstrap over images.
        rectify: take the positive part of signed activities.
        classes_by_position: class k of the images is output k, whatever it is called.
        untrained: measure references without weights, with random ones.
    """
    chosen = {"stage": stage, "blocks": blocks or (), "rectify": rectify, "indices": indices, "seed": seed}
    chosen |= {"permutations": permutations, "replicates": replicates}
    analysis = made(Selectivity, chosen | more)
    assert isinstance(analysis, Selectivity)
    result = ask(analysis, networks, data, options, classes_by_position, untrained)
    return result["selectivity_indices" if analysis.indices else "selectivity"]


@of_analysis(Pruning)
def pruning(
    networks: Networks | Recording | Path,
    data: Any = None,
    stage: int | None = None,
    blocks: Sequence[str] | None = None,
    options: SweepOptions | None = None,
    means_from: Any = None,
    selectivity: pd.DataFrame | None = None,
    ratios: Sequence[float] = RATIOS,
    orders: Sequence[str] = ORDERS,
    scores: str | Sequence[str] = ("gate",),
    per_image: bool = True,
    fill: str = "zero",
    scope: str = "block",
    seed: int = 0,
    exact: bool = False,
    rows: int | None = None,
    classes_by_position: bool = False,
    untrained: bool = False,
    **more: Any,
) -> pd.DataFrame:
    """Accuracy after dropping feature maps: the columns of `pruning.csv`, accuracies as fractions.

    Networks without gates are measured at ratio 0 and 1 only (the stars of figure 3), unless another score than the
    gate is asked for. Arguments as of `selectivity`, and as of `gelens.probes.dropping.Dropping`. All tables, findings
    and figures are those of `gelens.ask("pruning", …)`.

    Args:
        means_from: other images than `data`, for the fill "mean" and for one order for all (`per_image=False`).
        selectivity: a table of `gelens.selectivity` of these networks on other images, for the score "selectivity".
        classes_by_position: class k of the images is output k, whatever it is called.
        untrained: measure references without weights, with random ones.
    """
    names = ("stage", "means_from", "ratios", "orders", "scores", "fill", "scope", "seed", "exact", "rows")
    given = locals()
    chosen = {name: given[name] for name in names} | {"blocks": blocks or (), "selectivity_from": selectivity}
    analysis = made(Pruning, chosen | {"one_order": not per_image} | more)
    return ask(analysis, networks, data, options, classes_by_position, untrained)["pruning"]


def compare(runs: Sequence[Path | str], reference: str | None = None) -> Result:
    """Compare the selectivity of networks in finished runs on the same images, from their folders alone.

    Args:
        runs: folders; `GROUP=PATTERN`, with those of several trainings of one network, makes a group of them.
        reference: label of the network that the others are compared with; the first by default.
    """
    comparison = Compare(runs, reference)
    with TemporaryDirectory() as folder:
        with Run(folder, "compare", comparison.arguments()) as run:
            comparison.run(run)
            run.finish()
        return replace(open_run(folder), folder=None)


def layers(network: nn.Module | str, image_size: int | None = None) -> pd.DataFrame:
    """The names to measure in a network, with units, map sizes, branch, gate, and whether they are signed.

    Args:
        network: or its reference.
        image_size: pixels, instead of the network's own.
    """
    return layer_table(load_network(network), image_size)


def describe(network: nn.Module | str) -> pd.Series:
    """What a network is: reference, sizes, what was published of it, how images are shown to it, what was assumed.

    >>> describe("mini_resnet_se")["parameters"]
    246042
    """
    ((label, loaded),) = label_networks(network).items()
    card = network_card(loaded)
    size = preprocessing_of(loaded).size
    told = {name: card[name] for name in ("reference", "training_seed", "layout", "notes", "weights_hash")}
    return pd.Series(
        told | {"preprocessing": str(preprocessing_of(loaded))} | network_facts(loaded, (3, size, size)), name=label
    )


def images_for(
    network: nn.Module | str, data, batch_size: int = 64, device: str = "auto"
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches as a network gets them in a pass: resized, cropped and normalised its way.

    Args:
        data: images, or their reference.
        device: where they are put.

    Yields:
        (N, 3, H, W) float32 images and (N,) labels.

    >>> images, labels = next(images_for("mini_resnet", "digits#val", 8, "cpu"))
    >>> images.shape, labels.shape
    (torch.Size([8, 3, 32, 32]), torch.Size([8]))
    """
    where, images = resolve_device(device), load_data(data)
    (loaded,) = label_networks(network).values()
    shown = preprocessing_for(loaded, images)
    memory_format = None
    for batch in batches(images, [shown.geometry], batch_size):
        pixels = network_input(batch, shown, where)
        if memory_format is None:
            with prepared(loaded, where):
                memory_format = settle_format(loaded, pixels[:2])
        yield pixels.contiguous(memory_format=memory_format), batch.labels.to(where)


gates = function_of(Gates, __name__)
taps = function_of(Taps, __name__)
lesions = function_of(Lesions, __name__)
levels = function_of(Levels, __name__)
rarefaction = function_of(Rarefaction, __name__)
match = function_of(Match, __name__)
