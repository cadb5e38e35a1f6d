"""Feature importance: accuracy after dropping a ratio of each image's feature maps, by the gate's values."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest
from torch import nn

from analysis.ablation import Ablation
from analysis.accuracy import correct_at
from analysis.errors import UsageError, unknown
from analysis.metric import SavedMetric
from analysis.sites import Site, find_site

RATIOS = tuple(step / 10 for step in range(11))
ORDERS = ("most", "least")


@dataclass(frozen=True)
class Point:
    """A point of a curve: `ratio` of the block's maps dropped, "most" or "least" important first; "none" at 0 and 1."""

    block: str
    order: str
    ratio: float


def dropped_maps(ratio: float, channels: int) -> int:
    """How many of a block's feature maps a ratio drops: ⌊ratio·C + ½⌋.

    >>> dropped_maps(0.1, 1024), dropped_maps(0.7, 45)
    (102, 32)
    """
    # the ratio as it is written: 0.7 × 45 + ½ is 32 exactly, and a little less in floating point
    return math.floor(Fraction(str(ratio)) * channels + Fraction(1, 2))


def drop_ranks(importance: torch.Tensor, order: str) -> torch.Tensor:
    """When each channel of each image is dropped: 0 first. Among equals the lower channel goes first in both orders.

    Args:
        importance: (N, C).
        order: "most" or "least" important first.

    >>> drop_ranks(torch.tensor([[0.2, 0.9, 0.2]]), "most"), drop_ranks(torch.tensor([[0.2, 0.9, 0.2]]), "least")
    (tensor([[1, 0, 2]]), tensor([[0, 2, 1]]))
    """
    sequence = importance.sort(dim=1, descending=order == "most", stable=True).indices
    places = torch.arange(importance.shape[1], device=importance.device).expand_as(sequence)
    return torch.empty_like(sequence).scatter_(1, sequence, places)


def check_ratios(ratios: Sequence[float]) -> list[float]:
    """The ratios in increasing order, once each.

    Raises:
        UsageError: a ratio outside [0, 1], or none.
    """
    for ratio in ratios:
        if not 0 <= ratio <= 1:
            raise UsageError(f"drop ratio {ratio} is outside [0, 1]")
    if not ratios:
        raise UsageError("no drop ratios; expected at least one in [0, 1]")
    return sorted(set(ratios))


class FeatureImportance(SavedMetric):
    """Top-1 and top-5 accuracy of a network after dropping feature maps of one block at a time.

    For each image, n = ⌊ratio·C + ½⌋ maps of the block's branch are set to zero after gating and before the shortcut
    is added; then the network goes on. Which maps: by that image's gate values, most or least important first (Hu et
    al. 2018, main paper section 5 and supplementary figure 3). Ratio 0 is the intact network, ratio 1 leaves the
    shortcut alone; both once, with order "none". A block without a gate has these two points only: the figure's stars.

    Args:
        network: in evaluation mode.
        blocks: names of residual blocks.
        ratios: drop ratios in [0, 1].
        orders: "most" and "least".
        indices: the indices of all images to come; with them the top-1 correctness of every image at every point is
            kept (`correctness`).
        rows: images × variants that go through the rest of the network at a time; by the device where not given.

    `update(images, labels, indices, logits=None)` takes prepared images (N, 3, H, W) and runs, for every point, what
    follows the block. `compute()` gives a table with a row per point: block, score, order, scope, fill, per_image,
    ratio, dropped, images, top1, top1_low, top1_high (Wilson 95 %), top5.

    Raises:
        UsageError: a ratio outside [0, 1], an unknown order, or a block whose branch is not known.
    """

    def __init__(
        self,
        network: nn.Module,
        blocks: Sequence[str],
        ratios: Sequence[float] = RATIOS,
        orders: Sequence[str] = ORDERS,
        indices: np.ndarray | None = None,
        rows: int | None = None,
    ):
        super().__init__()
        for order in orders:
            if order not in ORDERS:
                raise unknown("order", order, ORDERS)
        ratios, orders = check_ratios(ratios), list(dict.fromkeys(orders))
        self._network = (network,)  # in a tuple: the network's state is not the metric's
        self.sites: list[Site] = [find_site(network, block) for block in blocks]
        self.points = [
            Point(site.block, order, ratio)
            for site in self.sites
            for ratio in ratios
            for order in (("none",) if ratio in (0, 1) else orders)
            if site.gate or ratio in (0, 1)
        ]
        if not self.points:
            raise UsageError("no point to measure: without a gate only the ratios 0 and 1 can be")
        self._ablations = [Ablation(network, site, rows) for site in self.sites]
        self.indices = None if indices is None else np.sort(np.asarray(indices))
        stored = 0 if indices is None else len(indices)
        for state, shape, dtype in (
            ("images", (), torch.int64),
            ("top1", (len(self.points),), torch.int64),
            ("top5", (len(self.points),), torch.int64),
            ("channels", (len(self.sites),), torch.int64),
            ("correct", (len(self.points), stored), torch.uint8),
        ):
            merged = "max" if state == "channels" else "sum"
            self.add_state(state, torch.zeros(shape, dtype=dtype), dist_reduce_fx=merged, persistent=True)

    @property
    def network(self) -> nn.Module:
        return self._network[0]

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Look at every block in the intact forward pass inside the with-block."""
        with ExitStack() as stack:
            for ablation in self._ablations:
                stack.enter_context(ablation.watch())
            yield

    def update(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        indices: torch.Tensor,
        logits: torch.Tensor | None = None,
    ) -> None:
        """Measure a batch; `logits` are those of an intact pass just made under `watch`, if there was one."""
        if logits is None:
            with self.watch():
                logits = self.network(images)
        places = None
        if self.indices is not None:
            places = torch.from_numpy(np.searchsorted(self.indices, indices.cpu().numpy())).to(self.correct.device)
        self.images += len(labels)
        for number, ablation in enumerate(self._ablations):
            self.channels[number] = ablation.channels
            mine = [at for at, point in enumerate(self.points) if point.block == ablation.site.block]
            dropping = [at for at in mine if self.points[at].ratio > 0]
            for at in set(mine) - set(dropping):
                self._count(at, logits, labels, places)
            kept = self._kept([self.points[at] for at in dropping], ablation, len(labels))
            for at, result in zip(dropping, ablation.logits(images, logits, kept), strict=True):
                self._count(at, result, labels, places)

    def _kept(self, points: Sequence[Point], ablation: Ablation, images: int) -> list[torch.Tensor]:
        """For each point bool (images, channels): the feature maps that are kept."""
        ranks = {
            order: drop_ranks(ablation.importance, order) for order in {point.order for point in points} - {"none"}
        }
        none = torch.zeros(images, ablation.channels, dtype=torch.bool, device=ablation.whole.device)
        return [
            none if point.ratio == 1 else ranks[point.order] >= dropped_maps(point.ratio, ablation.channels)
            for point in points
        ]

    def _count(self, at: int, logits: torch.Tensor, labels: torch.Tensor, places: torch.Tensor | None) -> None:
        right = correct_at(logits, labels, 1)
        self.top1[at] += right.sum()
        self.top5[at] += correct_at(logits, labels, 5).sum()
        if places is not None:
            self.correct[at, places] = right.to(torch.uint8)

    def compute(self) -> pd.DataFrame:
        images = int(self.images)
        if not images:
            raise ValueError("no images were measured")
        gated = {site.block: site.gate is not None for site in self.sites}
        channels = dict(zip(gated, self.channels.tolist(), strict=True))
        rows = []
        for point, top1, top5 in zip(self.points, self.top1.tolist(), self.top5.tolist(), strict=True):
            interval = binomtest(top1, images).proportion_ci(0.95, method="wilson")
            rows.append(
                {
                    "block": point.block,
                    "score": "gate" if gated[point.block] else "none",
                    "order": point.order,
                    "scope": "block",
                    "fill": "zero",
                    "per_image": True,
                    "ratio": point.ratio,
                    "dropped": dropped_maps(point.ratio, channels[point.block]),
                    "images": images,
                    "top1": top1 / images,
                    "top1_low": interval.low,
                    "top1_high": interval.high,
                    "top5": top5 / images,
                }
            )
        return pd.DataFrame(rows)

    def correctness(self) -> np.ndarray:
        """Top-1 correctness, bool (points, images): points in the table's order, images by increasing index."""
        if self.indices is None:
            raise ValueError("correctness is kept only where the metric is given the `indices` of all images")
        return self.correct.cpu().numpy().astype(bool)
