"""The class selectivity index (Morcos et al., ICLR 2018) of units, with its null, cross-fitted index and errors."""

import math

import numpy as np
import pandas as pd
import torch

from analysis.probes.metric import SavedMetric
from analysis.randomness import hashes, poisson_weights

PERMUTATIONS = 10
REPLICATES = 10


def selectivity_index(means: np.ndarray, present: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """The index from class-conditional means: (μ_max − μ_rest) / (μ_max + μ_rest), equation 1 of Morcos et al.

    μ_rest is the unweighted mean of the other classes' means.

    Args:
        means: (K, U) class-conditional mean activities, not negative.
        present: (K,) bool, classes with images; others are left out.

    Returns:
        index, μ_max, μ_rest, and the preferred class (the lowest of equals), each (U,). A dead unit has index NaN
        and preferred class −1.

    >>> index, *_ = selectivity_index(np.array([[3.0, 0.0], [1.0, 0.0], [1.0, 0.0]]))
    >>> index
    array([0.5, nan])
    """
    kept, classes = _kept(means, present)
    maximum, rest = _highest_and_rest(kept)
    return _contrast(maximum, rest), maximum, rest, np.where(maximum > 0, classes[kept.argmax(0)], -1)


def _index_alone(means: np.ndarray, present: np.ndarray) -> np.ndarray:
    """`selectivity_index` without the preferred class, which takes as long to find as the rest."""
    return _contrast(*_highest_and_rest(_kept(means, present)[0]))


def _kept(means: np.ndarray, present: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The rows of classes with images, and which they are."""
    if present is None or present.all():
        return means, np.arange(len(means))
    classes = np.flatnonzero(present)
    return means[classes], classes


def _highest_and_rest(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    maximum = means.max(0)
    return maximum, (means.sum(0) - maximum) / (len(means) - 1)


def crossfitted_index(means: np.ndarray, present: np.ndarray | None = None) -> np.ndarray:
    """The cross-fitted index from the class-conditional means of two halves of the images.

    The preferred class is chosen on one half; its mean and the rest's are taken from the other; the two directions'
    means are averaged, then the ratio is taken. It errs low where the index errs high.

    Args:
        means: (2, K, U) means of each half.
        present: (2, K) bool, classes with images; only classes present in both halves are used.

    Returns:
        (U,), NaN for dead units and where fewer than two classes are in both halves.
    """
    both = np.ones(means.shape[1], bool) if present is None else present.all(0)
    if both.sum() < 2:
        return np.full(means.shape[2], np.nan)
    kept = means if both.all() else means[:, both]
    preferred, rest = np.zeros(means.shape[2]), np.zeros(means.shape[2])
    for chosen, measured in ((kept[0], kept[1]), (kept[1], kept[0])):
        # of equally preferred classes (all of them, where a unit is silent in this half) the mean, not the first:
        # else the index would hang on how classes are numbered
        best = chosen == chosen.max(0)
        value = np.where(best, measured, 0).sum(0) / best.sum(0)
        preferred += value / 2
        rest += (measured.sum(0) - value) / (len(measured) - 1) / 2
    return _contrast(preferred, rest)


def _contrast(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    total = high + low
    return np.divide(high - low, total, out=np.full(total.shape, np.nan), where=total > 0)


def _means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(…, K, U) sums by (…, K) counts or weights; classes without images get 0 and are to be left out by `present`."""
    counts = counts[..., None]
    return np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)


class ClassSelectivity(SavedMetric):
    """Class selectivity of U units from streamed sums: memory is classes × units, never images.

    In the same pass: the null (the index under permutations of the whole data set's labels), the cross-fitted index,
    and Poisson(1) bootstrap errors over images. Sums are float64. Definitions: Morcos et al. (ICLR 2018) for the
    index; null, cross-fitting and errors are this project's, since the maximum over noisy class means biases the
    index up.

    Args:
        classes: K, the number of classes.
        units: U, the number of units (channels).
        permutations: how many permutations of the labels `update` is given; 0 leaves the null out.
        replicates: bootstrap replicates; 0 leaves the standard errors out.
        seed: of the bootstrap weights and the unstratified halves.
        rectify: take the positive part of negative activities instead of refusing them. Of means over positions that
            is too late: rectify the maps before they are averaged, as `analysis.selectivity` does.
        name: of the layer, for messages.

    `update(features, labels, indices, null_labels=None, halves=None, weights=None)` takes (N, U) mean activities, (N,)
    labels, (N,) image indices, (permutations, N) permuted labels, (N,) halves 0 or 1 (by the hash of the index where
    not given; `analysis.randomness.stratified_halves` gives balanced ones), and (replicates, N) bootstrap weights (by
    the hash where not given; several metrics can share them). `compute()` gives a table with a row per unit;
    `samples()` what errors and comparisons are computed from.

    Raises:
        ValueError: on compute, activities that are negative or not finite, or fewer than two classes with images.

    It is a torchmetrics metric: `merge_state` adds another's sums, `sync` and `compute` add up over the processes of a
    distributed run, `state_dict` and `load_state_dict` keep them. In a loop of your own, plain or Lightning's (a
    metric that is an attribute of a LightningModule is moved, synchronised and reset with it):

        self.selectivity = analysis.ClassSelectivity(classes=1000, units=1024, permutations=0)  # in __init__
        ...
        with analysis.capture(self.network, ["layer3.5"], reduce="mean") as features:  # in validation_step
            logits = self.network(images)
        self.selectivity.update(features["layer3.5"], labels, indices)
        ...
        table = self.selectivity.compute()  # in on_validation_epoch_end, then self.selectivity.reset()

    The index of an image is any number that is the image's own; a loader that does not give one, but goes through
    the data in order, has its position.

    >>> metric = ClassSelectivity(classes=2, units=1, permutations=0, replicates=0)
    >>> metric.update(torch.tensor([[3.0], [1.0]]), torch.tensor([0, 1]), torch.tensor([0, 1]))
    >>> metric.compute()["csi"].tolist()
    [0.5]
    """

    double = True

    def __init__(
        self,
        classes: int,
        units: int,
        permutations: int = PERMUTATIONS,
        replicates: int = REPLICATES,
        seed: int = 0,
        rectify: bool = False,
        name: str = "features",
    ):
        super().__init__()
        for argument, value, least in (
            ("classes", classes, 1),
            ("units", units, 1),
            ("permutations", permutations, 0),
            ("replicates", replicates, 0),
        ):
            if not isinstance(value, int) or value < least:
                raise ValueError(f"Expected argument `{argument}` to be an int of at least {least}, but got {value}")
        self.classes, self.units, self.permutations, self.replicates = classes, units, permutations, replicates
        self.seed, self.rectify, self.name = seed, rectify, name
        double, whole = torch.float64, torch.int64
        for state, shape, dtype in (
            ("sums", (2, classes, units), double),
            ("counts", (2, classes), whole),
            ("null_sums", (permutations, classes, units), double),
            ("null_counts", (permutations, classes), whole),
            ("boot_sums", (replicates, 2, classes, units), double),
            ("boot_counts", (replicates, 2, classes), whole),
            ("active", (units,), whole),
            ("not_finite", (), whole),
            ("strange_labels", (), whole),
        ):
            zero = torch.zeros((), dtype=dtype).expand(shape)
            self.add_state(state, zero, dist_reduce_fx="sum", persistent=True)
            self._defaults[state] = zero  # torchmetrics keeps a full copy of every default; an expanded zero is none
        self.add_state("minimum", torch.zeros((), dtype=torch.float32), dist_reduce_fx="min", persistent=True)
        self.reset()

    def reset(self) -> None:
        super().reset()
        for state in self._defaults:
            setattr(self, state, getattr(self, state).contiguous())

    def update(
        self,
        features: torch.Tensor,
        labels: torch.Tensor,
        indices: torch.Tensor,
        null_labels: torch.Tensor | None = None,
        halves: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
    ) -> None:
        if features.ndim != 2 or features.shape[1] != self.units:
            raise ValueError(
                f"Expected argument `features` to be (images, {self.units}), but got {tuple(features.shape)}"
            )
        if not len(features) == len(labels) == len(indices):
            raise ValueError(
                f"Expected arguments `features`, `labels` and `indices` to be of the same images, but got "
                f"{len(features)}, {len(labels)} and {len(indices)}"
            )
        if not len(features):
            return
        device = self.sums.device
        self.note_minimum(features.min())
        self.not_finite += (~features.isfinite()).sum().to(device)
        if self.rectify:
            features = features.clamp(min=0)
        self.active += (features > 0).sum(0).to(device)
        features = features.to(device, torch.float64)
        labels, host = labels.to(device, non_blocking=True), indices.cpu().numpy()
        self.strange_labels += ((labels < 0) | (labels >= self.classes)).sum()
        labels = labels.clamp(0, self.classes - 1)  # an error in the end, but never another class's row
        if halves is None:
            halves = torch.from_numpy((hashes(self.seed, "half", host) & np.uint64(1)).astype(np.int64))
        rows = halves.to(device, non_blocking=True) * self.classes + labels
        self._add(self.sums.view(-1, self.units), self.counts.view(-1), rows, features)
        if null_labels is not None:
            null_labels = null_labels.to(device, non_blocking=True)
            for permutation in range(self.permutations):
                self._add(
                    self.null_sums[permutation], self.null_counts[permutation], null_labels[permutation], features
                )
        if self.replicates:
            if weights is None:
                weights = torch.from_numpy(poisson_weights(self.seed, host, self.replicates))
            weights = weights.to(device, non_blocking=True)
            for replicate in range(self.replicates):
                sums, counts = self.boot_sums[replicate], self.boot_counts[replicate]
                self._add(sums.view(-1, self.units), counts.view(-1), rows, features, weights[replicate])

    def note_minimum(self, value: torch.Tensor) -> None:
        """Take notice of the least activity of a batch, where features are means and could hide a negative one."""
        self.minimum = torch.minimum(self.minimum, value.to(self.minimum.device, torch.float32))

    @staticmethod
    def _add(sums, counts, rows, features, weights=None) -> None:
        """Add each image's features to its row, deterministically: index_add_ is not so on CUDA, a product is."""
        ones = torch.ones_like(rows) if weights is None else weights
        if sums.is_cuda:
            membership = torch.zeros(len(sums), len(rows), dtype=torch.float64, device=sums.device)
            membership.scatter_(0, rows[None], ones[None].to(torch.float64))
            sums.addmm_(membership, features)
            counts += membership.sum(1).to(counts.dtype)
        else:
            sums.index_add_(0, rows, features if weights is None else features * weights[:, None].to(features.dtype))
            counts.index_add_(0, rows, ones)

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """The class-conditional mean activities (K, U), 0 for classes without images, and images of each class (K,)."""
        state = self.state_numpy("sums", "counts")
        counts = state["counts"].sum(0)
        return _means(state["sums"].sum(0), counts), counts

    def check(self) -> None:
        """Raise where activities seen so far cannot have an index; reads flags from the device, so not in a loop."""
        if int(self.strange_labels):
            raise ValueError(f"{int(self.strange_labels)} labels are outside 0 … {self.classes - 1}")
        if int(self.not_finite):
            raise ValueError(f"layer `{self.name}` has {int(self.not_finite)} activities that are NaN or infinite")
        if float(self.minimum) < 0 and not self.rectify:
            raise ValueError(
                f"layer `{self.name}` has negative activities (minimum {float(self.minimum):.4g}): the index is "
                f"defined for activities ≥ 0; measure after the ReLU, or rectify"
            )

    def state_numpy(self, *names: str) -> dict[str, np.ndarray]:
        """States on the host, all of them where none is named: from a GPU all of them are gigabytes."""
        return {state: getattr(self, state).cpu().numpy() for state in names or self._defaults}

    def compute(self) -> pd.DataFrame:
        """A row per unit, the columns of `selectivity.csv` from `unit` on.

        Where activities were rectified, a column `rectified` says so. A dead unit's indices are NaN and its top_class
        −1. `csi_null` is NaN without null labels and where no class
        has two images (the null would equal the index); `csi_se` where a class has only one image.
        """
        return self.table(self.samples())

    def table(self, samples: dict[str, np.ndarray]) -> pd.DataFrame:
        """What `compute` gives, from what `samples` gave."""
        self.check()
        state = self.state_numpy("sums", "counts", "active")
        counts = state["counts"].sum(0)
        if (counts > 0).sum() < 2:
            raise ValueError(f"{int((counts > 0).sum())} classes with images; the index needs at least two")
        index, maximum, rest, top = selectivity_index(_means(state["sums"].sum(0), counts), counts > 0)
        with np.errstate(invalid="ignore"):
            table = {
                "unit": np.arange(self.units),
                "csi": index,
                "csi_se": spread(samples["csi"]),
                "csi_null": mean(samples["null"]),
                "csi_null_sd": spread(samples["null"]),
                "csi_crossfit": crossfitted_index(_means(state["sums"], state["counts"]), state["counts"] > 0),
                "active_fraction": state["active"] / counts.sum(),
                "mu_max": maximum,
                "mu_rest": rest,
                "top_class": top,
            }
        return pd.DataFrame(table | {"rectified": True} if self.rectify else table)

    def samples(self) -> dict[str, np.ndarray]:
        """What errors and comparisons are computed from, each (…, U).

        `csi` and `crossfit` of every bootstrap replicate, `null` of every permutation, `halves` the index of each
        half of the images.
        """
        return self._samples(self.state_numpy())

    def _samples(self, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        counts = state["counts"].sum(0)
        once = (counts == 1).any()
        result = {"csi": [], "crossfit": [], "null": [], "halves": []}
        for sums, weights in zip(state["boot_sums"], state["boot_counts"], strict=True):
            total = weights.sum(0)
            enough = (total > 0).sum() >= 2 and not once
            nothing = np.full(self.units, np.nan)
            result["csi"].append(_index_alone(_means(sums.sum(0), total), total > 0) if enough else nothing)
            result["crossfit"].append(crossfitted_index(_means(sums, weights), weights > 0) if enough else nothing)
        for sums, null_counts in zip(state["null_sums"], state["null_counts"], strict=True):
            # an image that could not be read leaves its label, but not its activity, to others: sizes differ by it
            usable = counts.max() > 1 and (null_counts > 0).sum() >= 2 and null_counts.sum() == counts.sum()
            result["null"].append(
                _index_alone(_means(sums, null_counts), null_counts > 0) if usable else np.full(self.units, np.nan)
            )
        for sums, half in zip(state["sums"], state["counts"], strict=True):
            enough = (half > 0).sum() >= 2
            result["halves"].append(
                _index_alone(_means(sums, half), half > 0) if enough else np.full(self.units, np.nan)
            )
        return {name: np.array(values).reshape(-1, self.units) for name, values in result.items()}


def spread(samples: np.ndarray) -> np.ndarray:
    """Standard deviation over the first axis (n − 1), NaN where there are fewer than two samples or any is NaN."""
    if len(samples) < 2:
        return np.full(samples.shape[1:], np.nan)
    return samples.std(0, ddof=1)


def mean(samples: np.ndarray) -> np.ndarray:
    """Mean over the first axis, NaN where there are no samples."""
    return samples.mean(0) if len(samples) else np.full(samples.shape[1:], math.nan)


def block_means(table: pd.DataFrame, samples: dict[str, np.ndarray]) -> dict[str, float]:
    """A block's summary over its living units: columns of `selectivity_blocks.csv` from `units` and `dead` on.

    `mean_csi_se` is the standard deviation of the block's mean over bootstrap replicates of the images.
    """
    alive = table["csi"].notna().to_numpy()
    with np.errstate(invalid="ignore"):
        return {
            "units": len(table),
            "dead": int((~alive).sum()),
            "mean_csi": table["csi"].mean(),
            "mean_csi_se": float(spread(over_units(samples["csi"], alive))),
            "mean_null": table["csi_null"].mean(),
            "mean_excess": (table["csi"] - table["csi_null"]).mean(),
            "mean_crossfit": table["csi_crossfit"].mean(),
        }


def over_units(samples: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """Mean over living units of each sample; a unit that is dead in one replicate only is left out of that one."""
    kept = samples[:, alive]
    some = ~np.isnan(kept)
    total = np.where(some, kept, 0).sum(1)
    return np.divide(total, some.sum(1), out=np.full(len(kept), np.nan), where=some.any(1))
