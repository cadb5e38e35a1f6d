"""Networks and data in, tables out: accuracy, selectivity and feature importance, in one reading of the data."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from torch import nn

from analysis.ablation.importance import MEAN_SCORES, BranchMeans, Prior
from analysis.anatomy.hooks import capture, channel_means, layout_of
from analysis.anatomy.sites import block_depths, resolve_blocks, signed_blocks
from analysis.data import ImageData, adapted, checked, load_data, preprocessing_for
from analysis.data.adapting import known_classes, known_indices, known_labels
from analysis.errors import RunError, UsageError
from analysis.networks import catalogue, count_parameters
from analysis.networks.references import parse
from analysis.probes.accuracy import Accuracy
from analysis.probes.class_selectivity import PERMUTATIONS, REPLICATES, ClassSelectivity, block_means
from analysis.probes.dropping import Dropping, FeatureImportance
from analysis.probes.top_images import KEPT
from analysis.randomness import permuted_labels, poisson_weights, stratified_halves
from analysis.statistics.indices import BlockMetrics, check_indices, index_table
from analysis.subjects import Networks, fit_classes, gmacs_of, image_shape, label_networks, probe
from analysis.sweep.passing import Subject, SweepOptions, sweep

log = logging.getLogger(__name__)


@dataclass
class Request:
    """What to measure of one network.

    Args:
        network: in any mode.
        selectivity: blocks whose units' class selectivity is measured.
        pruning: blocks whose feature maps are dropped.
        dropping: which of them, and how.
    """

    network: nn.Module
    selectivity: Sequence[str] = ()
    pruning: Sequence[str] = ()
    dropping: Dropping = field(default_factory=Dropping)


@dataclass
class Measured:
    """Tidy tables of one pass, columns as in `run.json`'s folder, and what further statistics are computed from.

    `samples` maps (network, block) to the arrays of `ClassSelectivity.samples`, and `means` to its class-conditional
    means and images of each class; `correctness` maps a network to its bool (points, images), points in the order of
    `pruning`. `top_images` has a row for each of the images on which a unit is most active, `selectivity_indices` for
    each unit and other index.
    """

    images: int
    evaluation: pd.DataFrame
    selectivity: pd.DataFrame = field(default_factory=pd.DataFrame)
    selectivity_blocks: pd.DataFrame = field(default_factory=pd.DataFrame)
    selectivity_indices: pd.DataFrame = field(default_factory=pd.DataFrame)
    top_images: pd.DataFrame = field(default_factory=pd.DataFrame)
    samples: dict[tuple[str, str], dict[str, np.ndarray]] = field(default_factory=dict)
    means: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    pruning: pd.DataFrame = field(default_factory=pd.DataFrame)
    correctness: dict[str, np.ndarray] = field(default_factory=dict)


class _Watched:
    """A metric as the sweep feeds it: what it watches, and what it takes of a batch."""

    def __init__(self, metrics: nn.ModuleList, watch: Callable, observe: Callable):
        self.metrics, self.watch, self.observe = metrics, watch, observe
        self.state_dict, self.load_state_dict = metrics.state_dict, metrics.load_state_dict

    def to(self, device: torch.device) -> None:
        for metric in self.metrics:
            metric.to("cpu" if device.type == "mps" and metric.double else device)


def measure(
    requests: Mapping[str, Request],
    data,
    options: SweepOptions | None = None,
    seed: int = 0,
    permutations: int = PERMUTATIONS,
    replicates: int = REPLICATES,
    rectify: bool = False,
    indices: Sequence[str] = (),
) -> Measured:
    """Measure all that is requested of all networks in one reading of the data.

    Args:
        indices: names of indices of selectivity for `selectivity_indices`; csi is always in `selectivity`.

    Raises:
        UsageError: a block that is not there, data that fits no network, classes that do not fit.
        RunError: activities that have no index, or fewer than two classes with images.
    """
    options = options or SweepOptions()
    options.check()
    indices = [indices] if isinstance(indices, str) else list(dict.fromkeys(indices))
    check_indices(indices)
    for name, value in (("permutations", permutations), ("replicates", replicates)):
        if value < 0:
            raise UsageError(f"{value} {name} cannot be; expected at least 0")
    data = checked(data, progress=options.progress)
    labels, known = known_labels(data), known_indices(data)
    images = adapted(data)
    if len(known) == 0:
        raise RunError(f"no images in {data}")
    wanted = any(request.selectivity for request in requests.values())
    if wanted and labels is not None and len(np.unique(labels)) < 2:
        raise RunError(f"{len(np.unique(labels))} classes with images in {data}; the index needs at least two")
    if wanted:
        _say_what_is_missing(data, labels)
    resampling = _Resampling(seed, labels, known, permutations, replicates)
    subjects, metrics = [], {}
    for label, request in requests.items():
        network = request.network
        preprocessing = preprocessing_for(network, images, name=label)
        shape = image_shape(images, preprocessing)
        outputs, units = probe(network, request.selectivity, shape)
        gmacs = gmacs_of(network, shape)
        if not rectify:
            _refuse_signed(network, request.selectivity, shape)
        classes = int(labels.max()) + 1 if labels is not None else outputs
        named = len(getattr(data, "classes", ())) or classes
        if named < outputs:
            text = "%s has %d outputs, the data %d classes: label k is compared with output k"
            log.warning(text, label, outputs, named)
        if labels is not None and labels.min() < 0:
            position = int(labels.argmin())
            raise UsageError(f"image {position} of the data has the label {labels[position]}; expected 0 or more")
        if classes > outputs:
            raise UsageError(f"`{label}` has {outputs} outputs, but the data has labels up to {classes - 1}")
        accuracy = Accuracy()
        selective = {
            block: BlockMetrics.needed(
                ClassSelectivity(
                    outputs, units[block], resampling.permutations, replicates, seed, rectify, f"{label} {block}"
                ),
                indices,
            )
            for block in request.selectivity
        }
        pruned = (
            FeatureImportance(network, request.pruning, known, request.dropping, shape) if request.pruning else None
        )
        metrics[label] = (accuracy, selective, pruned, gmacs)
        subjects.append(
            Subject(label, network, preprocessing, _watched(network, accuracy, selective, pruned, resampling, rectify))
        )
    images = sweep(subjects, data, options)
    return _tables(requests, metrics, images, indices, resampling, known_classes(data))


def _watched(
    network: nn.Module, accuracy: Accuracy, selective: dict, pruned, resampling: "_Resampling", rectify: bool
) -> list[_Watched]:
    watched = [
        _Watched(
            nn.ModuleList([accuracy]),
            lambda batch: nullcontext(),
            lambda images, batch, labels, logits: accuracy.update(logits, labels),
        )
    ]
    if selective:
        features: dict[str, torch.Tensor] = {}
        layout = layout_of(network)

        def reduce(block: str, maps: torch.Tensor) -> torch.Tensor:
            selective[block].selectivity.note_minimum(maps.amin())
            return channel_means(maps.clamp(min=0) if rectify else maps, layout)

        def watch(batch):
            return capture(network, list(selective), reduce, features)

        def observe(images, batch, labels, logits):
            drawn = resampling.of(batch)
            for block, metrics in selective.items():
                metrics.update(features[block], labels, batch.indices, **drawn)

        every = nn.ModuleList(metric for metrics in selective.values() for metric in metrics.all)
        watched.append(_Watched(every, watch, observe))
    if pruned:
        watched.append(
            _Watched(
                nn.ModuleList([pruned]),
                lambda batch: pruned.watch(batch.indices),
                lambda images, batch, labels, logits: pruned.update(images, labels, batch.indices, logits),
            )
        )
    return watched


class _Resampling:
    """What is drawn for the whole data set: bootstrap weights; permuted labels and halves where labels are known."""

    def __init__(self, seed: int, labels: np.ndarray | None, indices: np.ndarray, permutations: int, replicates: int):
        known = labels is not None
        self.seed, self.replicates, self.indices = seed, replicates, indices
        self.permutations = permutations if known else 0
        self._last: tuple | None = None
        self.null = torch.from_numpy(permuted_labels(seed, labels, indices, permutations)) if known else None
        self.halves = torch.from_numpy(stratified_halves(seed, labels, indices)) if known else None

    def relabel(self, indices: np.ndarray) -> np.ndarray:
        """The permuted labels (permutations, …) of images by their indices (…); −1 for −1."""
        order = np.argsort(self.indices)
        positions = order[np.searchsorted(self.indices, indices, sorter=order).clip(max=len(order) - 1)]
        return np.where(indices < 0, -1, self.null.numpy()[:, positions])

    def of(self, batch) -> dict[str, torch.Tensor]:
        """Arguments of `ClassSelectivity.update`, drawn once for all blocks and networks."""
        if self._last is None or self._last[0] is not batch:
            drawn = {"weights": torch.from_numpy(poisson_weights(self.seed, batch.indices.numpy(), self.replicates))}
            if self.halves is not None:
                drawn |= {"null_labels": self.null[:, batch.positions], "halves": self.halves[batch.positions]}
            self._last = (batch, drawn)
        return self._last[1]


def _refuse_signed(network: nn.Module, blocks: Sequence[str], shape: tuple[int, ...]) -> None:
    """Tell before the pass, not after it, that a block's activities are signed, and which layer's would do."""
    for block, (minimum, instead) in signed_blocks(network, blocks, shape).items():
        way_out = f"`{instead}` follows it and is not; " if instead else ""
        raise UsageError(
            f"layer `{block}` has negative activities (minimum {minimum:.4g} on noise): the index is defined for "
            f"activities ≥ 0; {way_out}--rectify (rectify=True) takes their positive part"
        )


def _say_what_is_missing(data, labels: np.ndarray | None) -> None:
    """What the tables will lack, and why, once."""
    if labels is None:
        kind = type(getattr(data, "dataset", data)).__name__
        text = "the labels of %s are not known before it is read: no null, and halves not stratified; an attribute "
        text += "`targets`, a whole number for every image, tells them (and `classes` their names)"
        log.warning(text, kind)
        return
    counts = np.bincount(labels[labels >= 0])
    names = known_classes(data) or range(len(counts))
    empty = [str(name) for name, count in zip(names, counts, strict=False) if not count]
    empty += [str(name) for name in list(names)[len(counts) :]]
    if empty:
        log.warning("%d classes without images are left out: %s", len(empty), ", ".join(empty[:10]))
    if counts.max() == 1:
        log.warning("one image a class: the null would equal the index, so there is none, and no standard errors")
    elif (counts == 1).any():
        log.warning("%d classes with one image: no standard errors", (counts == 1).sum())


def _tables(
    requests: Mapping[str, Request],
    metrics: Mapping[str, tuple],
    images: int,
    names: Sequence[str],
    resampling: _Resampling,
    classes: Sequence[str],
) -> Measured:
    evaluation, units, blocks, curves, indices, top_images = [], [], [], [], [], []
    measured = Measured(images, pd.DataFrame())
    for label, (accuracy, selective, pruned, gmacs) in metrics.items():
        evaluation.append(_evaluation_row(label, requests[label].network, accuracy, gmacs))
        depths = block_depths(requests[label].network, list(selective))
        for depth, (block, several) in zip(depths, selective.items(), strict=True):
            metric = several.selectivity
            samples = metric.samples()
            try:
                table = metric.table(samples)
            except ValueError as error:
                raise RunError(str(error)) from error
            counts = metric.counts.sum(0)
            measured.samples[label, block], measured.means[label, block] = samples, metric.means()
            where = {"network": label, "block": block}
            units.append(_labelled(table.assign(top_class_name=_named(table["top_class"], classes)), **where))
            top = several.top_images.compute(KEPT)
            top_images.append(_labelled(top.assign(class_name=_named(top["label"], classes)), **where))
            if names:
                more = index_table(names, several, resampling.relabel if resampling.permutations else None)
                indices.append(_labelled(more.assign(top_class_name=_named(more["top_class"], classes)), **where))
            summary = {"network": label, "block": block, "depth": depth} | block_means(table, samples)
            summary |= {"classes": int((counts > 0).sum()), "images": int(counts.sum())}
            order = ("network", "block", "depth", "units", "dead", "classes", "images")
            blocks.append({key: summary[key] for key in order} | summary)
        if pruned:
            curves.append(_labelled(pruned.compute(), network=label))
            measured.correctness[label] = pruned.correctness()
    measured.evaluation = pd.DataFrame(evaluation)
    if units:
        measured.selectivity, measured.selectivity_blocks = pd.concat(units, ignore_index=True), pd.DataFrame(blocks)
        measured.top_images = pd.concat(top_images, ignore_index=True)
    if indices:
        measured.selectivity_indices = pd.concat(indices, ignore_index=True)
    if curves:
        measured.pruning = pd.concat(curves, ignore_index=True)
    return measured


def _named(labels: pd.Series, classes: Sequence[str]) -> list[str]:
    """Class names, empty for no class; a label that the data has no name for is its own."""
    return ["" if label < 0 else str(classes[label]) if label < len(classes) else str(label) for label in labels]


def _labelled(table: pd.DataFrame, **labels: str) -> pd.DataFrame:
    for at, (name, value) in enumerate(labels.items()):
        table.insert(at, name, value)
    return table


def _evaluation_row(label: str, network: nn.Module, accuracy: Accuracy, gmacs: float) -> dict:
    counts = accuracy.compute()
    reference = parse(getattr(network, "reference", type(network).__name__))
    settings = catalogue.resolve(reference) if reference.name in catalogue.NAMES else {}
    published = catalogue.published_errors(reference) or (np.nan, np.nan)
    return {
        "network": label,
        "extent": str(settings["extent"]) if "extent" in settings else None,
        "pool": settings.get("pool"),
        "parameters": count_parameters(network),
        "gmacs": gmacs,
        "images": counts["images"],
        "top1_error": 100 * (1 - counts["top1"]),
        "top5_error": 100 * (1 - counts["top5"]),
        "published_top1_error": published[0],
        "published_top5_error": published[1],
        "published_gmacs": catalogue.published_gmacs(reference) or np.nan,
    }


def evaluate(networks: Networks, data, options: SweepOptions | None = None) -> pd.DataFrame:
    """Top-1 and top-5 error of networks on data: the columns of `evaluation.csv`, errors in percent.

    Args:
        networks: a network or reference, several, or a mapping from labels.
        data: a reference, or a torch Dataset or sequential DataLoader of (image, label).
    """
    labelled = label_networks(networks)
    data = fit_classes(labelled.values(), load_data(data))
    return measure({label: Request(each) for label, each in labelled.items()}, data, options).evaluation


def selectivity(
    networks: Networks,
    data,
    stage: int | None = 4,
    blocks: Sequence[str] | None = None,
    options: SweepOptions | None = None,
    indices: Sequence[str] = (),
    **settings,
) -> pd.DataFrame:
    """Class selectivity of every unit of a stage's blocks: the columns of `selectivity.csv`.

    With `indices`, those of `selectivity_indices.csv`: a row for each unit and each named index.

    Args:
        networks: a network or reference, several, or a mapping from labels.
        data: a reference, or a torch Dataset or sequential DataLoader of (image, label).
        stage: 4 is conv4_x, `layer3`.
        blocks: module names, instead of a stage.
        indices: names of other indices, of `analysis.statistics.indices.INDICES`.
        settings: `seed`, `permutations`, `replicates`, `rectify` of `measure`.
    """
    labelled = label_networks(networks)
    data = fit_classes(labelled.values(), load_data(data))
    requests = {
        label: Request(network, selectivity=resolve_blocks(network, stage, blocks))
        for label, network in labelled.items()
    }
    measured = measure(requests, data, options, indices=indices, **settings)
    return measured.selectivity_indices if indices else measured.selectivity


def pruning(
    networks: Networks,
    data,
    stage: int | None = 4,
    blocks: Sequence[str] | None = None,
    options: SweepOptions | None = None,
    means_from=None,
    selectivity: pd.DataFrame | None = None,
    **settings,
) -> pd.DataFrame:
    """Accuracy after dropping feature maps: the columns of `pruning.csv`, accuracies as fractions.

    Networks without gates are measured at ratio 0 and 1 only (the stars of figure 3), unless another score than the
    gate is asked for. Arguments as of `selectivity`.

    Args:
        means_from: other images than `data`, for the fill "mean" and for one order for all (`per_image=False`).
        selectivity: a table of `analysis.selectivity` of these networks on other images, for the score "selectivity".
        settings: fields of `analysis.probes.dropping.Dropping`: ratios, orders, scores, fill, scope …
    """
    labelled = label_networks(networks)
    data = fit_classes(labelled.values(), load_data(data))
    requests = {
        label: Request(network, pruning=resolve_blocks(network, stage, blocks), dropping=Dropping(**settings))
        for label, network in labelled.items()
    }
    add_priors(requests, data, options, means_from, selectivity)
    return measure(requests, data, options).pruning


def add_priors(
    requests: Mapping[str, Request],
    data,
    options: SweepOptions | None = None,
    means_from=None,
    selectivity: pd.DataFrame | None = None,
) -> None:
    """Give the requests' `dropping` what it needs to know from other images than those that are to be measured.

    Raises:
        UsageError: they need something that is not given, or the images are the same ones.
    """
    wanting = {label: request for label, request in requests.items() if request.dropping.needs_means()}
    means: dict[str, dict[str, Prior]] = {}
    if wanting:
        if means_from is None:
            raise UsageError(
                "the mean fill, and one order for all images, need other images for their means, such as digits#train: "
                "means_from, on the command line --means-from"
            )
        others = load_data(means_from)
        if shared := _shared_images(others, data):
            raise UsageError(f"{shared} images of {others}, which means are taken from, are measured; expected others")
        means = _branch_means(wanting, others, options or SweepOptions())
    for label, request in requests.items():
        priors = means.get(label, {})
        if "selectivity" in request.dropping.scores:
            if selectivity is None:
                raise UsageError(
                    "the score `selectivity` needs a selectivity table of other images; on the command line "
                    "--selectivity-from RUN"
                )
            mine = selectivity[selectivity["network"] == label]
            for block in request.pruning:
                index = mine.loc[mine["block"] == block, "csi"].to_numpy()
                if not len(index):
                    raise UsageError(f"the selectivity table has no units of `{block}` of {label}")
                prior = priors.get(block, Prior())
                priors[block] = replace(prior, scores={**prior.scores, "selectivity": index})
        request.dropping = replace(request.dropping, priors=priors)


def _shared_images(first, second) -> int:
    """How many images two data sets share, as far as their names tell; foreign ones only if they are the same."""
    if not (isinstance(first, ImageData) and isinstance(second, ImageData)):
        return len(known_indices(first)) if first is second else 0
    if str(first) != str(second):
        return 0
    return len(set(first.identifiers) & set(second.identifiers))


def _branch_means(requests: Mapping[str, Request], data, options: SweepOptions) -> dict[str, dict[str, Prior]]:
    subjects, metrics = [], {}
    for label, request in requests.items():
        preprocessing = preprocessing_for(request.network, data, name=label)
        scores = [] if request.dropping.per_image else [s for s in request.dropping.scores if s in MEAN_SCORES]
        metric = BranchMeans(request.network, request.pruning, scores, image_shape(data, preprocessing))
        metrics[label] = metric
        watched = _Watched(
            nn.ModuleList([metric]),
            lambda batch, metric=metric: metric.watch(),
            lambda images, batch, labels, logits, metric=metric: metric.update(images, logits),
        )
        subjects.append(Subject(label, request.network, preprocessing, [watched]))
    sweep(subjects, data, replace(options, checkpoint=None))
    return {label: metric.compute() for label, metric in metrics.items()}
