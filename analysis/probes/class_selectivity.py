"""The class selectivity index (Morcos et al., ICLR 2018) as a metric for other people's loops."""

import numpy as np
import pandas as pd
import torch

from ..randomness import hashes
from ..statistics import crossfitted_index, selectivity_index
from ..statistics.class_means import means_of
from .metric import SavedMetric


class ClassSelectivity(SavedMetric):
    """Class selectivity of U units from streamed sums in two halves: memory is classes × units, never images.

    `update(features, labels, indices)` takes (N, U) mean activities, (N,) labels and (N,) image indices: any number
    that is the image's own; a loader that gives none, but goes through the data in order, has its position. The half
    that an image is in is a hash of (seed, index). `compute()` gives a table with a row per unit: unit, csi,
    csi_crossfit, active_fraction, mu_max, mu_rest, top_class, and `rectified` where activities were. A dead unit's
    indices are NaN and its top_class −1.

    It is a torchmetrics metric: `merge_state` adds another's sums, `sync` and `compute` add up over the processes of a
    distributed run, `state_dict` and `load_state_dict` keep them. An image that a distributed sampler repeats to fill
    up the last batch counts twice in such sums: leave it out, or use an `ActivityRecorder`, which knows it. In a loop
    of your own, plain or Lightning's (a metric that is an attribute of a LightningModule is moved, synchronised and
    reset with it)::

        self.selectivity = gelens.ClassSelectivity(classes=1000, units=1024)  # in __init__
        ...
        with gelens.capture(self.network, ["layer3.5"], reduce="mean") as features:  # in validation_step
            logits = self.network(images)
        self.selectivity.update(features["layer3.5"], labels, indices)
        ...
        table = self.selectivity.compute()  # in on_validation_epoch_end, then self.selectivity.reset()

    The maximum of noisy class means is biased up. Null, corrected index and standard errors need what every image did,
    which an `ActivityRecorder` keeps::

        recorder = gelens.ActivityRecorder(self.network, ["layer3.5"])  # before the loop
        ...
        with recorder.watch():  # in the loop
            logits = self.network(images)
        recorder.add(labels, indices)
        ...
        table = recorder.selectivity()  # after it: all columns of selectivity.csv

    Args:
        classes: K, the number of classes.
        units: U, the number of units (channels).
        seed: of the halves.
        rectify: take the positive part of negative activities instead of refusing them. Of means over positions that
            is too late: rectify the maps before they are averaged, as `gelens.selectivity` does.
        name: of the layer, for messages.

    Raises:
        ValueError: on compute, activities that are negative or not finite, labels outside 0 … K − 1, or fewer than two
            classes with images.

    >>> metric = ClassSelectivity(classes=2, units=1)
    >>> metric.update(torch.tensor([[3.0], [1.0]]), torch.tensor([0, 1]), torch.tensor([0, 1]))
    >>> metric.compute()["csi"].tolist()
    [0.5]
    """

    sums: torch.Tensor
    counts: torch.Tensor
    active: torch.Tensor
    not_finite: torch.Tensor
    strange_labels: torch.Tensor
    minimum: torch.Tensor

    def __init__(self, classes: int, units: int, seed: int = 0, rectify: bool = False, name: str = "features"):
        super().__init__()
        for argument, value in (("classes", classes), ("units", units)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"Expected argument `{argument}` to be an int of at least 1, but got {value}")
        self.classes, self.units = classes, units
        self.seed, self.rectify, self.name = seed, rectify, name
        for state, shape, dtype in (
            ("sums", (2, classes, units), torch.float64),
            ("counts", (2, classes), torch.int64),
            ("active", (units,), torch.int64),
            ("not_finite", (), torch.int64),
            ("strange_labels", (), torch.int64),
        ):
            self.add_state(state, torch.zeros(shape, dtype=dtype), dist_reduce_fx="sum", persistent=True)
        self.add_state("minimum", torch.zeros((), dtype=torch.float32), dist_reduce_fx="min", persistent=True)

    def update(self, features: torch.Tensor, labels: torch.Tensor, indices: torch.Tensor) -> None:
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
        self.minimum = torch.minimum(self.minimum, features.min().to(device, torch.float32))
        self.not_finite += (~features.isfinite()).sum().to(device)
        if self.rectify:
            features = features.clamp(min=0)
        self.active += (features > 0).sum(0).to(device)
        labels = labels.to(device, non_blocking=True)
        self.strange_labels += ((labels < 0) | (labels >= self.classes)).sum()
        labels = labels.clamp(0, self.classes - 1)  # an error in the end, but never another class's row
        halves = (hashes(self.seed, "half", indices.cpu().numpy()) & np.uint64(1)).astype(np.int64)
        rows = torch.from_numpy(halves).to(device, non_blocking=True) * self.classes + labels
        self._add(rows, features.to(device).to(torch.float64))

    def _add(self, rows: torch.Tensor, features: torch.Tensor) -> None:
        """Add each image's features to its row, deterministically: index_add_ is not so on CUDA, a product is."""
        sums, counts = self.sums.view(-1, self.units), self.counts.view(-1)
        if sums.is_cuda:
            membership = torch.zeros(len(sums), len(rows), dtype=torch.float64, device=sums.device)
            membership.scatter_(0, rows[None], 1)
            sums.addmm_(membership, features)
            counts += membership.sum(1).to(counts.dtype)
        else:
            sums.index_add_(0, rows, features)
            counts.index_add_(0, rows, torch.ones_like(rows))

    def _check(self) -> None:
        if int(self.strange_labels):
            raise ValueError(f"{int(self.strange_labels)} labels are outside 0 … {self.classes - 1}")
        if int(self.not_finite):
            raise ValueError(f"layer `{self.name}` has {int(self.not_finite)} activities that are NaN or infinite")
        if float(self.minimum) < 0 and not self.rectify:
            raise ValueError(
                f"layer `{self.name}` has negative activities (minimum {float(self.minimum):.4g}): the index is "
                f"defined for activities ≥ 0; measure after the ReLU, or rectify"
            )

    def measures(self) -> str:
        return f" of {self.units} units over {self.classes} classes"

    def compute(self) -> pd.DataFrame:
        self._check()
        sums, counts = self.sums.cpu().numpy(), self.counts.cpu().numpy()
        whole = counts.sum(0)
        if (whole > 0).sum() < 2:
            raise ValueError(f"{int((whole > 0).sum())} classes with images; the index needs at least two")
        index, maximum, rest, top = selectivity_index(means_of(sums.sum(0), whole), whole > 0)
        table = {
            "unit": np.arange(self.units),
            "csi": index,
            "csi_crossfit": crossfitted_index(means_of(sums, counts), counts > 0),
            "active_fraction": self.active.cpu().numpy() / whole.sum(),
            "mu_max": maximum,
            "mu_rest": rest,
            "top_class": top,
        }
        return pd.DataFrame(table | {"rectified": True} if self.rectify else table)
