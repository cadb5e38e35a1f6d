"""What public codes call the class selectivity index, each computed of the same activities.

    python -m studies.strangers_indices NETWORK --data DATA [--limit N] [--out FILE.md]

The network is run once; of the last block of stage four the maps are kept at three sites. Every definition is told by
its own few lines here and by nobody's code. It is applied to these maps and compared with ours unit by unit. Where a
public code takes another layer, the nearest of the three sites stands for it.

Repositories are named where they could be told, the other codes by what they are.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import nn

import gelens
from gelens.anatomy.hooks import capture
from gelens.anatomy.operations import at_places
from gelens.anatomy.sites import example_images, find_sites, resolve_blocks
from gelens.api import Request, record_requests
from gelens.data import adapted, preprocessing_for
from gelens.networks.modes import evaluating
from gelens.probes.probe import Moment
from gelens.recording import Kept
from gelens.statistics import Resampling, unit_statistics
from gelens.subjects import fit_classes, image_shape
from gelens.sweep.passing import SweepOptions
from gelens.tables.evaluation import evaluation_table

SITES = ("branch", "sum", "output")
"""After the branch's last batch norm; after the shortcut is added; after the last ReLU."""

LABEL = "network"

ROUNDING = 1e-12
"""Differences below it are of float64's last bits."""


@dataclass(frozen=True)
class Activities:
    """What units did.

    Args:
        branch, sum, output: maps at the three sites, (N, C, P) of P positions, float32.
        labels: (N,).
    """

    branch: np.ndarray
    sum: np.ndarray
    output: np.ndarray
    labels: np.ndarray


class Maps:
    """A probe that keeps the whole maps of a block at the three sites, as (C, P) of P positions.

    Args:
        network: with a block that ends in an activation function after a sum.
        block: its name.
        shape: of one image (3, H, W).
    """

    def __init__(self, network: nn.Module, block: str, shape: tuple[int, ...]):
        self.network, self.block = network, block
        (self.site,) = find_sites(network, [block], shape)
        self._seen: dict[str, torch.Tensor] = {}
        with evaluating(network), torch.inference_mode(), self.watch(None):
            network(example_images(network, shape))
        self._shapes = {site: tuple(maps.shape[1:]) for site, maps in self._seen.items()}

    def arrays(self) -> list[Kept]:
        return [Kept(site, self._shapes[site]) for site in SITES]

    def settings(self) -> dict:
        return {}

    def taps(self) -> dict[str, list[str]]:
        return {}

    @contextmanager
    def watch(self, batch) -> Iterator[None]:
        self._seen.clear()
        places = {"branch": self.site.ungated or self.site.branch, "sum": self.site.total}
        looks = [(str(place), partial(self._keep, site)) for site, place in places.items()]
        with capture(self.network, [self.block], self._output), at_places(self.network, looks):
            yield

    def _output(self, block: str, maps: torch.Tensor) -> torch.Tensor:
        self._keep("output", maps)
        return self._seen["output"]

    def _keep(self, site: str, maps: torch.Tensor) -> None:
        self._seen[site] = maps.flatten(2).to(torch.float32, copy=True)

    def rows(self, moment: Moment) -> dict[str, torch.Tensor]:
        return dict(self._seen)


def class_sums(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K, …) sums of (N, …) values over the images of each class that has some, in float64."""
    return np.stack([values[labels == label].sum(0, dtype=np.float64) for label in np.unique(labels)])


def class_means(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K, …)."""
    counts = np.unique(labels, return_counts=True)[1]
    return class_sums(values, labels) / counts.reshape(-1, *[1] * (values.ndim - 1))


def ratio(high: np.ndarray, low: np.ndarray, epsilon: float = 0.0) -> np.ndarray:
    """(high − low) / (high + low + ε), NaN for 0/0."""
    with np.errstate(invalid="ignore"):
        return (high - low) / (high + low + epsilon)


def index_of(classes: np.ndarray, epsilon: float = 0.0) -> np.ndarray:
    """Of (K, …) numbers of classes: the highest against the mean of the others; NaN of a single class."""
    if len(classes) < 2:
        return np.full(classes.shape[1:], np.nan)
    high = classes.max(0)
    return ratio(high, (classes.sum(0) - high) / (len(classes) - 1), epsilon)


def or_zero(index: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(index), 0, index)


def ours(activities: Activities) -> np.ndarray:
    """What gelens gives."""
    labels = activities.labels
    drawn = Resampling(labels, np.arange(len(labels)), int(labels.max()) + 1, 0, 1, 1)
    return unit_statistics(activities.output.mean(-1), drawn).table["csi"].to_numpy()


def channel_index(activities: Activities) -> np.ndarray:
    return index_of(class_means(activities.output.mean(-1), activities.labels))


def zero_if_dead(activities: Activities) -> np.ndarray:
    return or_zero(channel_index(activities))


def with_epsilon(activities: Activities) -> np.ndarray:
    return index_of(class_means(activities.output.mean(-1), activities.labels), 1e-8)


def of_class_sums(activities: Activities) -> np.ndarray:
    return index_of(class_sums(activities.output.mean(-1), activities.labels), 1e-6)


def one_class_too_many(activities: Activities) -> np.ndarray:
    sums = class_sums(activities.output.mean(-1), activities.labels)
    high = sums.max(0)
    return ratio(high, (sums.sum(0) - high) / len(sums), 1e-6)


def of_sums_over_positions(activities: Activities) -> np.ndarray:
    return index_of(class_sums(activities.output.sum(-1), activities.labels), 1e-7)


def mean_over_batches(activities: Activities, size: int = 128) -> np.ndarray:
    """The batches are drawn as a training draws them; a batch of one class has no index."""
    activity = activities.output.sum(-1)
    order = np.random.default_rng(0).permutation(len(activity))
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    several = [batch for batch in batches if len(np.unique(activities.labels[batch])) > 1]
    return np.mean([index_of(class_means(activity[batch], activities.labels[batch]), 1e-7) for batch in several], 0)


def batches_for_classes(activities: Activities, size: int = 50) -> np.ndarray:
    order = np.argsort(activities.labels, kind="stable")
    number = np.arange(len(order)) // size
    return index_of(class_means(activities.output.mean(-1)[order], number), 1e-8)


def position_index(activities: Activities) -> np.ndarray:
    return or_zero(index_of(class_means(activities.output, activities.labels))).mean(-1)


def live_position_index(activities: Activities) -> np.ndarray:
    index = index_of(class_means(np.abs(activities.output), activities.labels), 1e-6)
    counted = index != 0
    total = index.sum(-1, where=counted)
    return np.divide(total, counted.sum(-1), out=np.full(total.shape, np.nan), where=counted.any(-1))


def against_all_other_images(activities: Activities) -> np.ndarray:
    activity, labels = activities.output.mean(-1), activities.labels
    sums, counts = class_sums(activity, labels), np.unique(labels, return_counts=True)[1]
    means = sums / counts[:, None]
    best = means.argmax(0)
    units = np.arange(means.shape[1])
    others = (sums.sum(0) - sums[best, units]) / (len(labels) - counts[best])
    return or_zero(ratio(means[best, units], others))


def against_all_classes(activities: Activities) -> np.ndarray:
    means = class_means(activities.output.mean(-1), activities.labels)
    return ratio(means.max(0), means.mean(0), 1e-10)


def rectified_mean(activities: Activities) -> np.ndarray:
    return index_of(class_means(np.maximum(activities.sum.mean(-1), 0), activities.labels), 1e-12)


def of_magnitudes(activities: Activities) -> np.ndarray:
    return index_of(class_means(np.abs(activities.branch).mean(-1), activities.labels), 1e-12)


def of_some_magnitudes(activities: Activities, images: int = 1024) -> np.ndarray:
    magnitudes = np.abs(activities.branch[:images]).mean(-1)
    return index_of(class_means(magnitudes, activities.labels[:images]), 1e-12)


def clipped(activities: Activities) -> np.ndarray:
    return np.clip(index_of(class_sums(activities.branch.mean(-1), activities.labels), 1e-6), 0, 1)


def sums_of_top_images(activities: Activities, images: int) -> np.ndarray:
    """(K, C): what each class has of the highest activities of each unit, an image's being that of its best position.

    Activities are divided by the highest. A dead unit has 0 everywhere.
    """
    peaks = activities.output.max(-1)
    top = np.argsort(-peaks, 0, kind="stable")[:images]
    values = np.take_along_axis(peaks, top, 0).astype(np.float64)
    shares = np.divide(values, values[0], out=np.zeros_like(values), where=values[0] > 0)
    labels = activities.labels[top]
    return np.stack([shares.sum(0, where=labels == label) for label in np.unique(activities.labels)])


def few_classes_on_top(activities: Activities, images: int = 100) -> np.ndarray:
    images = min(images, len(activities.labels))
    shares = sums_of_top_images(activities, images)
    classes = (shares > 0).sum(0)
    return np.where(classes > 0, np.round((images - classes) / (images - 1), 2), 0)


def slip_on_top(activities: Activities, images: int = 100) -> np.ndarray:
    shares = sums_of_top_images(activities, images)
    high, total = shares.max(0), shares.sum(0)
    others = len(shares) - 1
    index = (high - (total - high) / others) / (high + (total + high) / others + 1e-7)
    return np.where(high > 0, index, np.nan)


@dataclass(frozen=True)
class Definition:
    """One definition, and the codes that share it.

    Args:
        name: short.
        sources: repositories, or what a code is that cannot be told.
        unit, site, rectified, rest, dead: the choices; `rest` is what the preferred class is set against, and what
            is added to the divisor.
        note: what else is to be known.
        index: (C,); of units that are positions the channel's mean.
        of_top_images: whether it is another index by the same name, of the images of highest activity.
    """

    name: str
    sources: tuple[str, ...]
    unit: str
    site: str
    rectified: str
    rest: str
    dead: str
    note: str
    index: Callable[[Activities], np.ndarray]
    of_top_images: bool = False


BLOCK_OUTPUT = "block output, after the ReLU"
OTHER_MEANS = "mean of the other classes' means"

DEFINITIONS = (
    Definition(
        "channel means",
        ("eminorhan/baby-vision `selectivities.py`",),
        "channel, mean over positions",
        "after ReLU6 (MobileNetV2)",
        "by the ReLU",
        OTHER_MEANS,
        "NaN (0/0)",
        "Ours by another hand; written for 26 classes.",
        channel_index,
    ),
    Definition(
        "dead is 0",
        (
            "yashsmehta/visreps `class_selectivity_index.py`, `interpretability_index.py`",
            "an analysis of a hidden layer trained on digits, `selectivity_index(M)`",
        ),
        "channel, mean over positions; hidden unit",
        "conv or the ReLU after it, by the version of visreps' extractor; hidden layer",
        "where the site is",
        OTHER_MEANS + "; classes without images left out (visreps)",
        "0 (divisor below 1e-10; not above 0)",
        "A mean or histogram over units counts the dead as unselective.",
        zero_if_dead,
    ),
    Definition(
        "ε in the divisor",
        (
            "Sparse Oja representation geometry, `feature_health`",
            "evolution strategies against gradient descent, `si` of `fc1`",
            "SAE on EEG, `compute_class_selectivity`",
        ),
        "feature",
        "pixels, Oja units, hidden layers; `fc1` after the ReLU; sparse code",
        "where the site is",
        OTHER_MEANS + "; ε 1e-8 (1e-9 on EEG)",
        "0 (0/ε)",
        "`fc1`: a class without images has mean 0 and counts. Here ε is 1e-8.",
        with_epsilon,
    ),
    Definition(
        "class sums",
        ("Omkar-Ranadive/Class-Selective-Neurons `class_selectivity.py`, `_reg`, `_v3` (Ranadive et al. 2023)",),
        "channel, mean over positions",
        BLOCK_OUTPUT + " (ResNet); ReLU (VGG, `_v3`)",
        "by the ReLU",
        "sum of the other classes' sums / (K − 1); ε 1e-6",
        "0 (0/ε)",
        "Sums over a class's images, never divided by their number: right for classes of equal size only.",
        of_class_sums,
    ),
    Definition(
        "one class too many",
        ("Omkar-Ranadive/Class-Selective-Neurons, first version of `class_selectivity.py`",),
        "channel, mean over positions",
        BLOCK_OUTPUT,
        "by the ReLU",
        "sum of the other classes' sums / K; ε 1e-6",
        "0 (0/ε)",
        "The rest is too low by the factor (K − 1)/K: a unit without preference has 1/(2K − 1). Classes are joined in "
        "order of arrival, and anew at class 0. Later versions mend both.",
        one_class_too_many,
    ),
    Definition(
        "sums over positions",
        ("akshaybadola/class_specific_cnn `selectivity.py`, `resnet.py`",),
        "channel, sum over positions",
        "last block of each stage, its `relu1` or else its `relu`",
        "by the ReLU",
        "mean of the other classes' sums; ε 1e-7 (none in `resnet.py`)",
        "0 (0/ε; set so in `resnet.py`)",
        "Class sums again: `finetune.py` hands them on undivided (`calculate_selectivity_torch_new` divides). The sum "
        "over positions by itself changes nothing.",
        of_sums_over_positions,
    ),
    Definition(
        "mean over batches",
        ("akshaybadola/class_specific_cnn, the regulariser",),
        "channel, sum over positions",
        "as above, in training mode",
        "by the ReLU",
        OTHER_MEANS + " in the batch, of classes in it; ε 1e-7",
        "0 (0/ε)",
        "The index of each training batch of 128; here in evaluation mode, averaged over batches drawn at random.",
        mean_over_batches,
    ),
    Definition(
        "batches for classes",
        ("CVC-CIC/nefesi `Model_generation/VGG16_class.py`",),
        "channel, mean over positions and batch",
        "after the ReLU (VGG-16)",
        "by the ReLU",
        "mean of the other batches' means; ε 1e-8",
        "0 (0/ε)",
        "Each batch of 50 in order of folders is taken for a class: right where every class has 50 images. A later "
        "version runs every batch twice, so that the rest holds the maximum's copy; one takes a whole layer as a unit.",
        batches_for_classes,
    ),
    Definition(
        "positions, dead is 0",
        ("1Konny/class_selectivity_index `vgg11.ipynb`, `resnets.ipynb`",),
        "every position of every channel",
        BLOCK_OUTPUT + ", last of each stage; ReLU (VGG)",
        "by the ReLU",
        OTHER_MEANS + "; needs as many images of each class",
        "0",
        "Here the channel's mean over its positions.",
        position_index,
    ),
    Definition(
        "positions, dead left out",
        ("statistics of compressibility and spurious features, `csi` and `bsi` with `get_max_and_rest_avg`",),
        "every position of every channel",
        "average pool, last batch norm, ReLU or block, as asked",
        "absolute value of each position",
        OTHER_MEANS + "; ε 1e-6",
        "left out of the mean, as is all that has index 0",
        "Taken in training mode unless asked otherwise, so that batch norm goes by the batch. Its weighted index, "
        "times the share of the class's images that are active, is another.",
        live_position_index,
    ),
    Definition(
        "all other images",
        (
            "Alex-Bishka/SAE-ception-2.0 `interpretability.py`",
            "a sparsity toolkit's `compute_class_selectivity` by class, of which the highest",
        ),
        "sparse feature; channel, mean over positions",
        "SAE code; any layer",
        "not stated",
        "mean of all images of other classes; ε 1e-6 (toolkit)",
        "0 (divisor not above 1e-8; 0/ε)",
        "Classes of unequal size weigh unequally in the rest.",
        against_all_other_images,
    ),
    Definition(
        "all classes",
        ("the package repviz, `neuron_selectivity_index`",),
        "feature",
        "any layer",
        "no; absolute values in the divisor",
        "mean of all classes' means, the preferred among them; ε 1e-10",
        "0 (0/ε)",
        "Cannot reach 1: a unit of one class has (K − 1)/(K + 1).",
        against_all_classes,
    ),
    Definition(
        "rectified mean",
        ("an evaluation of sparse autoencoders on `EdgeDataset`, `standard CSI`",),
        "feature",
        "linear layer or SAE code",
        "of the unit's activity on an image",
        OTHER_MEANS + "; ε 1e-12",
        "0 (0/ε)",
        "A linear layer has no positions; here the mean over positions of the sum before the ReLU is rectified. "
        "Another version does not rectify, and has no ε.",
        rectified_mean,
    ),
    Definition(
        "magnitudes",
        ("a channel pruning toolkit's `compute_class_selectivity`, without its limit",),
        "channel, mean over positions",
        "after the batch norm, before the ReLU",
        "absolute value of each position",
        OTHER_MEANS + "; ε 1e-12",
        "0 (0/ε)",
        "Inhibition counts as activity. Here the branch's last batch norm.",
        of_magnitudes,
    ),
    Definition(
        "magnitudes of 1,024 images",
        ("a channel pruning toolkit's `compute_class_selectivity`, as it is",),
        "channel, mean over positions",
        "after the batch norm, before the ReLU",
        "absolute value of each position",
        OTHER_MEANS + "; ε 1e-12",
        "0 (0/ε)",
        "Only the first 1,024 images. The number of classes is the first batch's highest label + 1, and classes "
        "without images count as 0.",
        of_some_magnitudes,
    ),
    Definition(
        "signed and clipped",
        ("`get_class_selectivity` after Ranadive's, for VGG, ResNet, `Fully_connected` and `Convnet`",),
        "channel, mean over positions",
        "in ResNet conv, before batch norm and ReLU, and `fc`",
        "no; the index is clipped to 0 … 1",
        "sum of the other classes' sums / (K − 1); ε 1e-6",
        "0 (0/ε)",
        "Means of both signs make the divisor small or negative: an index is then 1 or 0 by clipping. Here after the "
        "batch norm, so not their numbers.",
        clipped,
    ),
    Definition(
        "classes among top images",
        ("CVC-CIC/nefesi `class_index.py` (Rafegas et al.), first version",),
        "channel, maximum over positions",
        "any layer",
        "not stated",
        "(N − m)/(N − 1), m the classes among the N = 100 images of highest activity",
        "0",
        "Another index of the same name, rounded to two digits, of a network in training mode (`K.learning_phase` 1). "
        "A later version gives the shares of classes above 0.1.",
        few_classes_on_top,
        of_top_images=True,
    ),
    Definition(
        "top images, slip in the divisor",
        ("CVC-CIC/nefesi `Model_generation/VGG16_class_selective.py`",),
        "channel, maximum over positions",
        "after the ReLU (VGG-16)",
        "by the ReLU",
        "sum of the other classes' sums / (K − 1) above, (all + maximum) / (K − 1) below; ε 1e-7",
        "left out",
        "Of the normalised activities of the 100 top images. The divisor adds the maximum where it should take it "
        "away: a unit of one class has (K − 1)/(K + 1).",
        slip_on_top,
        of_top_images=True,
    ),
)

NOT_COMPUTED = (
    "vontran2021/Learnable-series-linear-units-LSLU `class_selectivity_index.py`: of **weights**, not of activities: "
    "the highest weight over input channels less their mean, scaled to 0 … 1 over the layer. No images, no classes.",
    "Omkar-Ranadive/Class-Selective-Neurons `class_selectivity_vit.py`: reshapes (images, tokens, features) as if it "
    "were (images, channels, positions), so a unit is a **token**, its activity the absolute value of the mean over "
    "all features.",
    "ConvNeXt V2 (arXiv 2301.00808), appendix: the output of every residual block, which ends in no ReLU there; "
    "rectification, positions and dead units are not stated. No code of it was found.",
    "ANFR (channel attention in federated learning): the formula only. No code of it was found.",
    "Morcos et al. 2018, Leavitt and Morcos 2020, and Gale et al. 2020 (CCMAS): no code of theirs was found. Others' "
    "notes quote the first as “the mean activity across all other classes”, which may be read as a mean "
    "of class means or of images.",
    "Other indices under the name of class selectivity, left aside: 1 − entropy / log K, the share of variance between "
    "classes, and z-scores of class means.",
)


def compared(activities: Activities, definitions: tuple[Definition, ...] = DEFINITIONS) -> pd.DataFrame:
    """A row for each definition after ours; differences are theirs − ours over units that both define."""
    reference = ours(activities)
    rows = [_row("ours", reference, reference)]
    rows += [_row(each.name, each.index(activities), reference) for each in definitions]
    return pd.DataFrame(rows)


def _row(name: str, index: np.ndarray, reference: np.ndarray) -> dict:
    both = ~np.isnan(index) & ~np.isnan(reference)
    away = index[both] - reference[both]
    varies = both.sum() > 1 and np.ptp(index[both]) > 0 and np.ptp(reference[both]) > 0
    return {
        "definition": name,
        "mean index": np.nanmean(index) if both.any() else np.nan,
        "mean difference": away.mean() if both.any() else np.nan,
        "largest difference": np.abs(away).max() if both.any() else np.nan,
        "rank correlation": spearmanr(index[both], reference[both]).statistic if varies else np.nan,
        "undefined units": int(np.isnan(index).sum()),
    }


def numbers_table(table: pd.DataFrame) -> str:
    shown = pd.DataFrame(
        {
            "definition": table["definition"],
            "mean index": [f"{value:.3f}" for value in table["mean index"]],
            "mean difference": [_difference(value, "+") for value in table["mean difference"]],
            "largest difference": [_difference(value) for value in table["largest difference"]],
            "rank correlation": [f"{value:.3f}" for value in table["rank correlation"]],
            "undefined units": table["undefined units"].astype(str),
        }
    )
    return markdown(shown)


def _difference(value: float, sign: str = "") -> str:
    """Three digits, or the power of ten of what they would hide; rounding is no difference.

    >>> _difference(0.0312, "+"), _difference(2e-7), _difference(2e-16)
    ('+0.031', '2e-07', '0')
    """
    if abs(value) < ROUNDING:
        return "0"
    return f"{value:{sign}.3f}" if abs(value) >= 0.0005 else f"{value:{sign}.0e}"


def definitions_table(definitions: tuple[Definition, ...] = DEFINITIONS) -> str:
    columns = {
        "definition": [each.name for each in definitions],
        "in": ["; ".join(each.sources) for each in definitions],
        "unit": [each.unit for each in definitions],
        "site": [each.site for each in definitions],
        "rectified": [each.rectified for each in definitions],
        "set against": [each.rest for each in definitions],
        "dead units": [each.dead for each in definitions],
        "to know": [each.note for each in definitions],
    }
    return markdown(pd.DataFrame(columns))


def markdown(table: pd.DataFrame) -> str:
    """A table of text.

    >>> print(markdown(pd.DataFrame({"a": ["x"], "b": ["y"]})))
    | a | b |
    |---|---|
    | x | y |
    """
    rows = [list(table.columns), *table.to_numpy().tolist()]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * table.shape[1], *lines[1:]])


def findings(table: pd.DataFrame, activities: Activities) -> str:
    """What moves the number, from the numbers."""
    theirs = table.set_index("definition")

    def told(name: str) -> str:
        row = theirs.loc[name]
        return f"{row['mean difference']:+.3f} ({row['rank correlation']:.2f})"

    kin = theirs.loc[[each.name for each in DEFINITIONS if not each.of_top_images]]
    moved = kin["mean difference"].abs().idxmax()
    same = kin.loc[["dead is 0", "ε in the divisor", "class sums", "sums over positions", "all other images"]]
    counts = np.unique(activities.labels, return_counts=True)[1]
    sizes = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    dead = activities.output.max(0) == 0
    sentences = (
        f"Differences of the mean index from ours, and in brackets the rank correlation of units; the mean is moved "
        f"most by *{moved}*.",
        f"**Site and rectification**: at the branch's last batch norm, signed means with the index clipped "
        f"{told('signed and clipped')}, magnitudes {told('magnitudes')}; of the sum before the ReLU, the mean over "
        f"positions rectified instead of each position {told('rectified mean')}.",
        f"**Unit**: every position instead of the channel {told('positions, dead is 0')}.",
        f"**What the preferred class is set against**: all classes, itself among them, {told('all classes')}; a "
        f"divisor of K instead of K − 1 {told('one class too many')}.",
        f"**Averaging**: the index of batches of 128, averaged, {told('mean over batches')}; batches of 50 taken for "
        f"classes {told('batches for classes')}.",
        f"**Top images**, another index by the same name: {told('classes among top images')}.",
        f"**No difference here** (at most {_difference(same['largest difference'].max())} in any unit): 0 for dead "
        f"units, ε, sums instead of means, all other images instead of the other classes' means. That is so because "
        f"{dead.all(-1).sum()} of {len(dead)} units and {dead.sum()} of {dead.size} positions are dead, and every "
        f"class has {sizes} images.",
    )
    return " ".join(sentences)


def report(activities: Activities, facts: list[str]) -> str:
    table = compared(activities)
    others = "\n".join(f"- {text}" for text in NOT_COMPUTED)
    return (
        "# A stranger's numbers: public definitions of the class selectivity index\n\n"
        + "\n".join(f"- {fact}" for fact in facts)
        + f"\n\n## What moves the number\n\n{findings(table, activities)}\n\n"
        + "## Numbers\n\nOf the same activities. Differences are theirs − ours, over units that both define; rank "
        + f"correlations are Spearman's, with ours, over the same units.\n\n{numbers_table(table)}\n\n"
        + "## Definitions\n\nOurs: a unit is a channel, its activity the mean over positions of the block's output "
        + "after the last ReLU; class means; the highest against the unweighted mean of the others; NaN for dead "
        + "units. Nothing here is anyone's code: each definition is told anew in `studies/strangers_indices.py`. "
        + "The codes are those that a search of a stored selection of public repositories found in November 2026; "
        + "there will be others.\n\n"
        + f"{definitions_table()}\n\n## Not computed\n\n{others}\n"
    )


def measured(network: nn.Module, data) -> tuple[Activities, str, float]:
    """The maps of the last block of stage four, its name, and the top-1 error in percent."""
    block = resolve_blocks(network, 4)[-1]
    images = adapted(data)
    probe = Maps(network, block, image_shape(images, preprocessing_for(network, images)))
    recording = record_requests({LABEL: Request(network, probes=[probe])}, data, SweepOptions(progress=False))
    maps = {site: recording.array(LABEL, site) for site in SITES}
    error = float(evaluation_table(recording)["top1_error"].iloc[0])
    return Activities(**maps, labels=recording.labels), block, error


def without_folders(reference: str) -> str:
    """A reference whose absolute paths have lost their folders, which are this machine's.

    >>> without_folders("parquet:/data/cifar10#val"), without_folders("mini_resnet@runs/w.pth")
    ('parquet:cifar10#val', 'mini_resnet@runs/w.pth')
    """
    return re.sub(r"(^|[:@=,])/[^:@#=,]*/([^/:@#=,]+)", r"\1\2", reference)


@click.command()
@click.argument("network")
@click.option("--data", required=True, help="Images, such as digits or parquet:DIR#val.")
@click.option("--limit", type=int, help="A class-balanced subset of so many images.")
@click.option("--out", type=click.Path(path_type=Path), help="A Markdown file, instead of printing.")
def main(network: str, data: str, limit: int | None, out: Path | None) -> None:
    """What public codes call the class selectivity index, each computed of the same activities, as markdown."""
    torch.manual_seed(0)
    loaded = gelens.load_network(network)
    images = gelens.load_data(data)
    images = fit_classes([loaded], images if limit is None else images.limited(limit))
    activities, block, error = measured(loaded, images)
    number, units, positions = activities.output.shape
    shown_network, shown_data = without_folders(network), without_folders(data)
    limited = f" --limit {limit}" if limit is not None else ""
    facts = [
        f"Network: `{shown_network}`, top-1 error {error:.2f} % on these images",
        f"Block: `{block}`, the last of stage four, {units} units of {positions} positions",
        f"Data: `{shown_data}`, {number:,} images of {len(np.unique(activities.labels))} classes",
        f"Command: `python -m studies.strangers_indices {shown_network} --data {shown_data}{limited}`",
    ]
    text = report(activities, facts)
    if out is None:
        click.echo(text)
    else:
        out.write_text(text)


if __name__ == "__main__":
    main()
