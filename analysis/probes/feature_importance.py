"""Accuracy after dropping feature maps as a torchmetrics metric, for a loop of one's own.

A file of its own: a measurement needs no torchmetrics.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..anatomy.sites import Site
from ..devices import to_device
from ..statistics.curve_table import curve_table
from .dropping import DroppedMaps, Dropping, Point
from .metric import SavedMetric


class FeatureImportance(SavedMetric):
    """Top-1 and top-5 accuracy of a network after dropping feature maps of one block, or of a stage, at a time.

    The torchmetrics metric of what `DroppedMaps` keeps of each image, for a loop of your own.

    Args:
        network: on its device, in evaluation mode by the first update.
        blocks: names of blocks, in the network's order.
        indices: the indices of all images to come; with them the top-1 correctness of every image at every point is
            kept (`correctness`).
        dropping: which maps are dropped, and how.
        shape: of one image (3, H, W); by the network's preprocessing where not given.
        settings: fields of `Dropping`, instead.

    `update(images, labels, indices, logits=None)` takes prepared images (N, 3, H, W) and runs, for every point, what
    follows the block. `compute()` gives a table with a row per point: block, score, order, scope, fill, per_image,
    ratio, dropped, images, top1, top1_low, top1_high (Wilson 95 %), top5.

    Raises:
        UsageError: as of `DroppedMaps`.
    """

    images: torch.Tensor
    top1: torch.Tensor
    top5: torch.Tensor
    correct: torch.Tensor

    def __init__(
        self,
        network: nn.Module,
        blocks: Sequence[str],
        indices: np.ndarray | None = None,
        dropping: Dropping | None = None,
        shape: Sequence[int] | None = None,
        **settings,
    ):
        super().__init__()
        # in a tuple: the network's state is not the metric's
        self._probe = (DroppedMaps(network, blocks, replace(dropping or Dropping(), **settings), shape),)
        self.indices = None if indices is None else np.sort(np.asarray(indices))
        stored, points = 0 if indices is None else len(indices), len(self.points)
        for state, size, dtype in (
            ("images", (), torch.int64),
            ("top1", (points,), torch.int64),
            ("top5", (points,), torch.int64),
            ("correct", (points, stored), torch.uint8),
        ):
            self.add_state(state, torch.zeros(size, dtype=dtype), dist_reduce_fx="sum", persistent=True)

    def measures(self) -> str:
        return f" at {len(self.points)} points"

    @property
    def probe(self) -> DroppedMaps:
        return self._probe[0]

    @property
    def network(self) -> nn.Module:
        return self.probe.network

    @property
    def dropping(self) -> Dropping:
        return self.probe.dropping

    @property
    def points(self) -> list[Point]:
        return self.probe.points

    @property
    def sites(self) -> list[Site]:
        return self.probe.sites

    def watch(self, indices: torch.Tensor | None = None):
        """Measure in the intact forward pass inside the with-block, where each block ends.

        Args:
            indices: of the batch's images, on the host; a random order needs them.
        """
        return self.probe.watch(indices=indices)

    def update(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        indices: torch.Tensor,
        logits: torch.Tensor | None = None,
    ) -> None:
        """Count a batch; `logits` are those of an intact pass just made under `watch`, if there was one."""
        if logits is None:
            with self.watch(indices):
                logits = self.network(images)
        right = self.probe.right(images, labels, indices, logits)
        self.images += len(labels)
        self.top1 += right[..., 0].sum(0)
        self.top5 += right.sum((0, 2))
        if self.indices is not None:
            places = torch.from_numpy(np.searchsorted(self.indices, indices.cpu().numpy()))
            self.correct[:, to_device(places, self.correct.device)] = right[..., 0].T.to(torch.uint8)

    def compute(self) -> pd.DataFrame:
        images = int(self.images)
        if not images:
            raise ValueError("no images were measured")
        return curve_table(self.probe.described(), images, self.top1.cpu().numpy(), self.top5.cpu().numpy())

    def correctness(self) -> np.ndarray:
        """Top-1 correctness, bool (points, images): points in the table's order, images by increasing index."""
        if self.indices is None:
            raise ValueError("correctness is kept only where the metric is given the `indices` of all images")
        return self.correct.cpu().numpy().astype(bool)
