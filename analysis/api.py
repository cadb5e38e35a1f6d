"""For people: networks and images in, a recording or tables out."""

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from .ablation.importance import MEAN_SCORES, Prior
from .anatomy.hooks import attempt, evaluating, logits_of
from .anatomy.sites import block_depths, example_images, resolve_blocks, signed_blocks
from .data import ImageData, adapted, checked, load_data, preprocessing_for
from .data.adapting import known_classes, known_indices, known_labels
from .data.contents import sampled_contents
from .data.loading import batches
from .devices import resolve_device
from .errors import RunError, UsageError
from .networks import preprocessing_of
from .networks.facts import network_facts
from .networks.weights import network_card
from .probes.activity import Activity
from .probes.branch_means import BranchMeans, priors
from .probes.dropping import ORDERS, RATIOS, DroppedMaps, Dropping
from .probes.predictions import Predictions
from .probes.probe import Probe
from .recording import Recording
from .results.run import versions
from .statistics import PERMUTATIONS, REPLICATES
from .subjects import Networks, fit_classes, image_shape, label_networks, order_unknown, outputs_and_units
from .sweep.passing import Subject, SweepOptions, network_input, prepared, settle_format
from .sweep.passing import record as run_pass
from .tables.evaluation import chance_sentences, evaluation_table
from .tables.pruning import pruning_table
from .tables.selectivity import Statistics, selectivity_tables

log = logging.getLogger(__name__)


@dataclass
class Request:
    """What to keep of one network, beside its predictions where its outputs are the data's classes.

    Args:
        network: in any mode.
        blocks: whose units' activity is kept.
        taps: of those blocks, of `gelens.probes.activity.TAPS`.
        rectify: take the positive part of outputs.
        pruning: blocks whose feature maps are dropped.
        dropping: which of them, and how.
        probes: others of your own.
        apart_from: contents (`Recording.contents`) of other images that what is asked for was found on: a pass that
            would measure them is refused.
    """

    network: nn.Module
    blocks: Sequence[str] = ()
    taps: Sequence[str] = ("output",)
    rectify: bool = False
    pruning: Sequence[str] = ()
    dropping: Dropping = field(default_factory=Dropping)
    probes: Sequence[Probe] = ()
    apart_from: frozenset[str] = frozenset()

    @property
    def needs_outputs(self) -> bool:
        """Whether labels have to be numbers of outputs: not where the activity of units is all that is asked for."""
        return not self.blocks or bool(self.pruning or self.probes)


def record_requests(
    requests: Mapping[str, Request],
    data,
    options: SweepOptions | None = None,
    folder: Path | str | None = None,
    resume: bool = False,
) -> Recording:
    """Record all that is requested of all networks in one reading of the data.

    In the processes of an initialised process group every one must call; each reads a share of the data, and all have
    the whole recording in the end (`SweepOptions.together`).

    Args:
        requests: by label.
        data: images whose labels are as the networks have them (`gelens.subjects.fit_classes`).
        folder: where the recording goes; None keeps it in memory.
        resume: go on with an unfinished one.

    Raises:
        UsageError: a block that is not there, data that fits no network, classes that do not fit.
        RunError: an image that cannot be read, or no space for the recording.
    """
    options = options or SweepOptions()
    options.check()
    data = checked(data, progress=options.progress)
    if len(known_indices(data)) == 0:
        raise RunError(f"no images in {data}")
    labels = known_labels(data)
    if labels is None and any(request.blocks for request in requests.values()):
        kind = type(getattr(data, "dataset", data)).__name__
        text = "the labels of %s are taken as they are read; an attribute `targets`, a whole number for every image, "
        log.info(text + "tells them before (and `classes` their names)", kind)
    subjects = [_subject(label, request, data, labels) for label, request in requests.items()]
    facts = {
        "classes": _class_names(data, labels, subjects),
        "depths": {label: _depths(request) for label, request in requests.items()},
        "data": description(data),
        "versions": versions(),
        "answers": {each.label: _answers(each.network, image_shape(data, each.preprocessing)) for each in subjects},
        "sample": {} if folder is None else sampled_contents(data),
    }
    return run_pass(subjects, data, options, folder, resume, facts)


def _subject(label: str, request: Request, data, labels: np.ndarray | None) -> Subject:
    network, images = request.network, adapted(data)
    preprocessing = preprocessing_for(network, images, name=label)
    shape = image_shape(images, preprocessing)
    outputs, units = outputs_and_units(network, request.blocks, shape)
    told = _has_outputs_for(label, data, labels, outputs, request.needs_outputs)
    if told and (why := order_unknown(network, data, outputs)):
        if request.needs_outputs:
            raise UsageError(
                f"nothing tells which output of {label} is which class: {why}. A factory can say it "
                f"(network.class_names = [...], in the order of outputs); --classes-by-position "
                f"(classes_by_position=True) takes class k for output k"
            )
        text = "what %s gets right is not told: %s; --classes-by-position (classes_by_position=True) takes class k for "
        log.warning(text + "output k", label, why)
        told = False
    probes: list[Probe] = [Predictions(outputs)] if told else []
    if request.blocks:
        if "output" in request.taps and not request.rectify:
            _refuse_signed(network, request.blocks, shape)
        chosen = {block: units[block] for block in request.blocks}
        probes.append(Activity(network, chosen, request.taps, request.rectify, shape))
    if request.pruning:
        probes.append(DroppedMaps(network, request.pruning, request.dropping, shape))
    card = network_card(network, preprocessing) | {"facts": network_facts(network, shape)}
    return Subject(label, network, preprocessing, [*probes, *request.probes], card, request.apart_from)


def _answers(network: nn.Module, shape: tuple[int, ...]) -> list[float]:
    """Some logits for images of noise, by which a network is known whatever makes it what it is; finite ones."""
    with evaluating(network), torch.inference_mode():
        logits = logits_of(attempt(network, example_images(network, shape))).float()[:, :8]
    return logits.flatten().tolist() if bool(logits.isfinite().all()) else []


def _has_outputs_for(label: str, data, labels: np.ndarray | None, outputs: int, needed: bool) -> bool:
    """Whether every label is the number of an output, so that what the network gets right can be told."""
    if labels is None:
        return True
    if labels.min() < 0:
        position = int(labels.argmin())
        raise UsageError(f"image {position} of the data has the label {labels[position]}; expected 0 or more")
    classes = int(labels.max()) + 1
    if classes > outputs:
        if needed:
            raise UsageError(f"`{label}` has {outputs} outputs, but the data has labels up to {classes - 1}")
        text = "%s has %d outputs, and the data labels up to %d: what it gets right is not told, what its units do is"
        log.warning(text, label, outputs, classes - 1)
        return False
    named = len(known_classes(data)) or classes
    if named < outputs:
        text = "%s has %d outputs, the data %d classes: label k is compared with output k"
        log.warning(text, label, outputs, named)
    return True


def _refuse_signed(network: nn.Module, blocks: Sequence[str], shape: tuple[int, ...]) -> None:
    """Tell before the pass, not after it, that a block's activities are signed, and which layer's would do."""
    for block, (minimum, instead) in signed_blocks(network, blocks, shape).items():
        way_out = f"`{instead}` follows it and is not; " if instead else ""
        raise UsageError(
            f"layer `{block}` has negative activities (minimum {minimum:.4g} on noise): the index is defined for "
            f"activities ≥ 0; {way_out}--rectify (rectify=True) takes their positive part"
        )


def _depths(request: Request) -> dict[str, int]:
    return dict(zip(request.blocks, block_depths(request.network, list(request.blocks)), strict=True))


def _class_names(data, labels: np.ndarray | None, subjects: Sequence[Subject]) -> list[str]:
    """A name for each label; its number where the data has none."""
    names = known_classes(data)
    number = int(labels.max()) + 1 if labels is not None else 0
    return names + [str(label) for label in range(len(names), number)]


def description(data) -> dict:
    """What run.json and recording.json say of the images."""
    if not isinstance(data, ImageData):
        return {"name": type(getattr(data, "dataset", data)).__name__, "images": len(known_indices(data))}
    described: dict = {
        "name": str(data),
        "title": data.title,
        "note": data.note,
        "fingerprint": data.fingerprint,
        "parts": data.parts,
    }
    described |= {"classes": data.classes, "images": len(data), "left_out": len(data.skipped)}
    return described | {"skipped": data.skipped}


def _takes_options(function: Callable) -> Callable:
    """An argument that belongs into `options` is refused with the way to give it."""
    own = {each.name for each in fields(SweepOptions)}

    @wraps(function)
    def checked_call(*args, **arguments):
        if misplaced := [name for name in arguments if name in own - inspect.signature(function).parameters.keys()]:
            given = ", ".join(f"{name}={arguments[name]!r}" for name in misplaced)
            raise TypeError(
                f"{function.__name__}() takes {', '.join(misplaced)} in its options: "
                f"options=gelens.SweepOptions({given})"
            )
        return function(*args, **arguments)

    return checked_call


@_takes_options
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
    """
    labelled = label_networks(networks)
    data = fit_classes(labelled.values(), load_data(data), classes_by_position)
    requests = {
        label: Request(network, resolve_blocks(network, stage, blocks), taps, rectify)
        for label, network in labelled.items()
    }
    return record_requests(requests, data, options, out, resume)


@_takes_options
def evaluate(
    networks: Networks, data, options: SweepOptions | None = None, classes_by_position: bool = False
) -> pd.DataFrame:
    """Top-1 and top-5 error of networks on data: the columns of `evaluation.csv`, errors in percent.

    Args:
        networks: a network or reference, several, or a mapping from labels.
        data: a reference, or a torch Dataset or sequential DataLoader of (image, label).
        options: how the pass is run.
        classes_by_position: class k of the images is output k, whatever it is called.
    """
    labelled = label_networks(networks)
    data = fit_classes(labelled.values(), load_data(data), classes_by_position)
    recording = record_requests({label: Request(each) for label, each in labelled.items()}, data, options)
    table = evaluation_table(recording)
    for sentence in chance_sentences(recording, table):
        log.warning("%s", sentence)
    return table


@_takes_options
def selectivity(
    networks: Networks,
    data,
    stage: int | None = None,
    blocks: Sequence[str] | None = None,
    options: SweepOptions | None = None,
    indices: Sequence[str] = (),
    seed: int = 0,
    permutations: int = PERMUTATIONS,
    replicates: int = REPLICATES,
    rectify: bool = False,
) -> pd.DataFrame:
    """Class selectivity of every unit of a stage's blocks: the columns of `selectivity.csv`.

    With `indices`, those of `selectivity_indices.csv`: a row for each unit and each named index. To compute it again
    in other ways without another pass, `record` and `gelens.tables.selectivity.selectivity_tables`.

    Args:
        networks: a network or reference, several, or a mapping from labels.
        data: a reference, or a torch Dataset or sequential DataLoader of (image, label).
        stage: 4 is conv4_x, `layer3`, which is the default; else the last but one.
        blocks: module names, instead of a stage.
        options: how the pass is run.
        indices: names of other indices, of `gelens.statistics.INDICES`.
        seed: of all that is drawn.
        permutations: of the labels, for the null.
        replicates: of the bootstrap over images.
        rectify: take the positive part of signed activities.
    """
    names = [indices] if isinstance(indices, str) else list(dict.fromkeys(indices))
    statistics = Statistics(seed, permutations, replicates, names)
    recording = record(networks, data, stage, blocks, rectify=rectify, options=options)
    tables = selectivity_tables(recording, statistics)
    return tables.indices if names else tables.units


@_takes_options
def pruning(
    networks: Networks,
    data,
    stage: int | None = None,
    blocks: Sequence[str] | None = None,
    options: SweepOptions | None = None,
    means_from=None,
    selectivity: pd.DataFrame | None = None,
    ratios: Sequence[float] = RATIOS,
    orders: Sequence[str] = ORDERS,
    scores: Sequence[str] = ("gate",),
    per_image: bool = True,
    fill: str = "zero",
    scope: str = "block",
    seed: int = 0,
    exact: bool = False,
    rows: int | None = None,
    compiled: bool = False,
    classes_by_position: bool = False,
) -> pd.DataFrame:
    """Accuracy after dropping feature maps: the columns of `pruning.csv`, accuracies as fractions.

    Networks without gates are measured at ratio 0 and 1 only (the stars of figure 3), unless another score than the
    gate is asked for. Arguments as of `selectivity`, and as of `gelens.probes.dropping.Dropping`.

    Args:
        means_from: other images than `data`, for the fill "mean" and for one order for all (`per_image=False`).
        selectivity: a table of `gelens.selectivity` of these networks on other images, for the score "selectivity".
        classes_by_position: class k of the images is output k, whatever it is called.
    """
    labelled = label_networks(networks)
    data = fit_classes(labelled.values(), load_data(data), classes_by_position)
    dropping = Dropping(
        ratios, orders, scores, per_image, fill, scope, seed=seed, exact=exact, rows=rows, compiled=compiled
    )
    requests = {
        label: Request(network, pruning=resolve_blocks(network, stage, blocks), dropping=dropping)
        for label, network in labelled.items()
    }
    requests = with_priors(requests, data, options, means_from, selectivity)
    return pruning_table(record_requests(requests, data, options))


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


def with_priors(
    requests: Mapping[str, Request],
    data,
    options: SweepOptions | None = None,
    means_from=None,
    selectivity: pd.DataFrame | None = None,
    folder: Path | None = None,
) -> dict[str, Request]:
    """The requests, with what their `dropping` needs to know from other images than those that are to be measured.

    Args:
        folder: where the other images' branches are recorded; an unfinished recording there goes on.

    Raises:
        UsageError: they need something that is not given, or the images are the same ones.
    """
    wanting = {label: request for label, request in requests.items() if request.dropping.needs_means()}
    means, shown = _branch_means(wanting, data, options, means_from, folder) if wanting else ({}, frozenset())
    done = {}
    for label, request in requests.items():
        known = dict(means.get(label, {}))
        if "selectivity" in request.dropping.scores:
            for block, index in _indices_of(label, request, selectivity).items():
                prior = known.get(block, Prior())
                known[block] = replace(prior, scores={**prior.scores, "selectivity": index})
        apart_from = request.apart_from | (shown if label in means else frozenset())
        done[label] = replace(request, dropping=replace(request.dropping, priors=known), apart_from=apart_from)
    return done


def _indices_of(label: str, request: Request, selectivity: pd.DataFrame | None) -> dict[str, np.ndarray]:
    """By block, the index of each unit in a selectivity table."""
    if selectivity is None:
        raise UsageError(
            "the score `selectivity` needs a selectivity table of other images; on the command line "
            "--selectivity-from RUN"
        )
    mine = selectivity[selectivity["network"] == label]
    indices = {block: mine.loc[mine["block"] == block, "csi"].to_numpy() for block in request.pruning}
    for block, index in indices.items():
        if not len(index):
            raise UsageError(f"the selectivity table has no units of `{block}` of {label}")
    return indices


def shown_in(recording: Recording) -> frozenset[str]:
    """What the images of a recording show, as far as it is known: `Request.apart_from` of what they tell."""
    return frozenset(recording.contents) - {""}


def shared_images(first, second) -> int:
    """How many images two data sets share, as far as their names tell; foreign ones only if they are the same."""
    if not (isinstance(first, ImageData) and isinstance(second, ImageData)):
        return len(known_indices(first)) if first is second else 0
    if str(first) != str(second):
        return 0
    return len(set(first.identifiers) & set(second.identifiers))


def _branch_means(
    requests: Mapping[str, Request], data, options: SweepOptions | None, means_from, folder: Path | None
) -> tuple[dict[str, dict[str, Prior]], frozenset[str]]:
    """By label and block, what other images tell; and what those images show."""
    if means_from is None:
        raise UsageError(
            "the mean fill, and one order for all images, need other images for their means, such as digits#train: "
            "means_from, on the command line --means-from"
        )
    others = load_data(means_from)
    if isinstance(others, ImageData):
        others = others.as_outputs()  # whose labels nobody reads
    if shared := shared_images(others, data):
        raise UsageError(f"{shared} images of {others}, which means are taken from, are measured; expected others")
    measured = {}
    for label, request in requests.items():
        shape = image_shape(others, preprocessing_for(request.network, adapted(others), name=label))
        branches = BranchMeans(request.network, request.pruning, _mean_scores(request.dropping), shape)
        measured[label] = Request(request.network, probes=[branches])
    options = options and replace(options, shard=None)  # means are of all of these images, whatever is measured then
    recording = record_requests(measured, others, options, folder, resume=True)
    found = {label: priors(recording, label, _mean_scores(request.dropping)) for label, request in requests.items()}
    return found, shown_in(recording)


def _mean_scores(dropping: Dropping) -> list[str]:
    """The scores whose mean over other images is needed."""
    return [] if dropping.per_image else [score for score in dropping.scores if score in MEAN_SCORES]
