"""Feature importance: which images are right after dropping a ratio of their feature maps, by the gate or else."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import torch
from torch import nn

from ..ablation.engine import Ablation, Settled, Source, Variant
from ..ablation.importance import MEAN_SCORES, Prior, random_scores
from ..anatomy.folding import Folding
from ..anatomy.sites import Site, common_name, example_images, find_sites
from ..choices import FILLS, ORDERS, RATIOS, SCOPES, SCORES
from ..data.loading import Batch
from ..devices import to_device
from ..errors import UsageError, unknown
from ..recording import Kept
from ..statistics.curve_table import check_ratios
from .chunked import Chunked, Target
from .probe import Moment

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Point:
    """A point of a curve: `ratio` of the maps dropped, "most" or "least" important first; "none" at 0 and 1.

    `block` is a block's name, or that of what holds all blocks that are dropped together.
    """

    block: str
    score: str
    order: str
    ratio: float


@dataclass(frozen=True)
class Dropping:
    """Which feature maps are dropped, and how; the paper's way by default.

    Args:
        ratios: in [0, 1].
        orders: "most" and "least" important first.
        scores: what importance is, of `gelens.ablation.importance.SCORES`; a random order has one curve, the first
            order's.
        per_image: each image's own order, or one order for all, by the mean score of other images.
        fill: "zero", or "mean": that of the gated branch over other images.
        scope: "block", each alone, or "stage": all at once, of each the same ratio, ranked by the intact pass.
        priors: for each block what is known from other images; needed for one order for all, for the mean, and for
            the score "selectivity", which is one order for all by nature.
        seed: of the random score.
        exact: leave batch norm as it is, so that logits equal those of a plain loop bit for bit at equal batch shapes.
        rows: images × variants that go through the rest of the network at a time; by the device where not given.
        compiled: whether the blocks that are run are compiled.
    """

    ratios: Sequence[float] = RATIOS
    orders: Sequence[str] = ORDERS
    scores: Sequence[str] = ("gate",)
    per_image: bool = True
    fill: str = "zero"
    scope: str = "block"
    priors: Mapping[str, Prior] = field(default_factory=dict)
    seed: int = 0
    exact: bool = False
    rows: int | None = None
    compiled: bool = False

    def check(self) -> None:
        """Raise a UsageError where a value is outside of what there is."""
        check_ratios(self.ratios)
        for what, values, choices in (
            ("order", self.orders, ORDERS),
            ("score", self.scores, SCORES),
            ("fill", (self.fill,), FILLS),
            ("scope", (self.scope,), SCOPES),
        ):
            if isinstance(values, str):
                raise UsageError(
                    f'Expected argument `{what}s` to be a list of names, but got {values!r}: write ["{values}"]'
                )
            for value in values:
                if value not in choices:
                    raise unknown(what, value, choices)

    def is_per_image(self, score: str) -> bool:
        return self.per_image and score != "selectivity"

    def needs_means(self) -> bool:
        """Whether means over other images are needed."""
        return self.fill == "mean" or (not self.per_image and any(score in MEAN_SCORES for score in self.scores))


_BY_DEFAULT = Dropping()


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


def dropping_at(
    blocks: Sequence[str], dropping: "Dropping" = _BY_DEFAULT
) -> Callable[[nn.Module, Sequence[int]], "DroppedMaps"]:
    """What makes `DroppedMaps` of a network and the shape (3, H, W) of its images, for `Request.probes`."""
    return lambda network, shape: DroppedMaps(network, blocks, dropping, shape)


class DroppedMaps(Chunked):
    """Keeps `dropping.top1` and `dropping.top5`, uint8 (points,): whether each image is right at each point.

    For each image, n = ⌊ratio·C + ½⌋ maps of the block's branch are set to zero after gating and before the shortcut
    is added; then the network goes on. Which maps: by that image's gate values, most or least important first (Hu et
    al. 2018, main paper section 5 and supplementary figure 3). Ratio 0 is the intact network, ratio 1 leaves the
    shortcut alone; both once, with order "none". A block without a gate has, for the score "gate", these two points
    only: the figure's stars.

    Args:
        network: on its device, in evaluation mode by the first pass.
        blocks: names of blocks, in the network's order.
        dropping: which maps are dropped, and how.
        shape: of one image (3, H, W); by the network's preprocessing where not given.

    Raises:
        UsageError: a ratio outside [0, 1], an unknown order, score, fill or scope, a block that is not there, or a
            prior that is missing or of another number of channels.
    """

    tuned = "rows"

    def __init__(
        self, network: nn.Module, blocks: Sequence[str], dropping: Dropping, shape: Sequence[int] | None = None
    ):
        dropping.check()
        self.network, self.dropping = network, dropping
        sites = find_sites(network, blocks, shape)
        targets = [[site] for site in sites] if dropping.scope == "block" else [sites]
        self.folding = None if dropping.exact else Folding(network, example_images(network, shape))
        self._targets: list[_Target] = [_Target(self, target) for target in targets]
        self.points = [point for target in self._targets for point in target.points]
        if dropping.compiled:
            self.compile()
        ungated = [site.block for site in sites if site.gate is None]
        if ungated and "gate" in dropping.scores:
            log.info(
                "%s has no gate with a value for each channel in %s: by the score gate only the ratios 0 and 1 are "
                "measured there (`gelens inspect` shows what was found)",
                type(network).__name__,
                ", ".join(ungated),
            )
        if not self.points:
            raise UsageError(
                f"no point to measure: {type(network).__name__} has no gates in {', '.join(blocks)}, so that only the "
                f"ratios 0 and 1 can be; other scores ({', '.join(SCORES[1:])}) need none"
            )

    @property
    def sites(self) -> list[Site]:
        return [site for target in self._targets for site in target.ablation.sites]

    def arrays(self) -> list[Kept]:
        return [Kept(f"dropping.{name}", (len(self.points),), "uint8") for name in ("top1", "top5")]

    def settings(self) -> dict:
        dropping = self.dropping
        chosen = {name: getattr(dropping, name) for name in ("per_image", "fill", "scope", "seed", "exact")}
        priors = {block: prior.fingerprint for block, prior in sorted(dropping.priors.items())}
        return {"dropping": chosen | {"priors": priors, "points": self.described()}}

    def described(self) -> list[dict]:
        """For each point the columns of `pruning.csv` up to `dropped`, and `dropped_at`, where maps are dropped."""
        kinds = {target.name: {site.dropped_at for site in target.ablation.sites} for target in self._targets}
        places = {name: "+".join(sorted(found)) for name, found in kinds.items()}
        channels = {target.name: [site.channels for site in target.ablation.sites] for target in self._targets}
        return [
            {
                "block": point.block,
                "score": point.score,
                "order": point.order,
                "scope": self.dropping.scope,
                "fill": self.dropping.fill,
                "per_image": self.dropping.is_per_image(point.score),
                "ratio": point.ratio,
                "dropped": sum(dropped_maps(point.ratio, each) for each in channels[point.block]),
                "dropped_at": places[point.block],
            }
            for point in self.points
        ]

    def compile(self) -> None:
        if self.dropping.exact:
            raise UsageError("exact curves run the network as it is, uncompiled: leave out --exact or --compile")
        super().compile()

    @contextmanager
    def watch(self, batch: Batch | None = None, indices: torch.Tensor | None = None) -> Iterator[None]:
        """Measure in the intact forward pass inside the with-block, where each block ends.

        Args:
            batch: whose images pass.
            indices: of the images, on the host, where there is no batch; a random order needs them.
        """
        if self.network.training:
            raise UsageError("the network is in training mode; expected evaluation mode: network.eval()")
        if self.folding is not None and self.folding.forget_other_weights():
            for target in self._targets:
                target.ablation.settled = None  # found anew
        with super().watch(indices if batch is None else batch.indices):
            yield

    def rows(self, moment: Moment) -> dict[str, torch.Tensor]:
        right = self.right(moment.images, moment.labels, moment.batch.indices, moment.logits)
        return {"dropping.top1": right[..., 0].to(torch.uint8), "dropping.top5": right.any(2).to(torch.uint8)}

    def right(
        self, images: torch.Tensor, labels: torch.Tensor, indices: torch.Tensor, logits: torch.Tensor
    ) -> torch.Tensor:
        """Which of the five best classes at each point is the label, bool (N, points, ≤ 5), after a watched pass."""
        best, intact = [], _best(logits)
        for target in self._targets:
            measured = iter(target.take(indices, images, logits))
            best += [intact if point.ratio == 0 else next(measured) for point in target.points]
        return torch.stack(best, 1) == labels[:, None, None]


class _Target(Target[Sequence[torch.Tensor]]):
    """What is dropped together, a block or a stage, with its points."""

    def __init__(self, probe: DroppedMaps, sites: Sequence[Site]):
        self.dropping = dropping = probe.dropping
        fills = [torch.zeros(()) for _ in sites]
        if dropping.fill == "mean":
            fills = [self._prior(site, "mean", prior.branch) for site, prior in self._priors(sites)]
        faster = probe.folding.copy if probe.folding is not None and probe.folding.pairs else None
        ablation = Ablation(probe.network, sites, fills, dropping.rows, faster)
        name = sites[0].block if dropping.scope == "block" else common_name(sites)
        self.points = self._points(name, all(site.gate for site in sites))
        scores = list(dict.fromkeys(point.score for point in self.points if point.order != "none"))
        variants = sum(point.ratio > 0 for point in self.points)
        super().__init__(name, ablation, list(filter(dropping.is_per_image, scores)), dropping.seed, variants)
        self._fixed = {
            score: [
                # a dead unit has no selectivity: it counts as least important
                self._prior(site, score, prior.scores.get(score)).nan_to_num(nan=-torch.inf)
                for site, prior in self._priors(sites)
            ]
            for score in scores
            if not dropping.is_per_image(score) and score != "random"
        }
        if "random" in scores and not dropping.per_image:  # all images are ranked as one that is none of them
            self._fixed["random"] = [random_scores(dropping.seed, site.block, [-1], site.channels)[0] for site in sites]

    def _points(self, name: str, gated: bool) -> list[Point]:
        """The two ends once, under the first score; for each score and order what lies between."""
        dropping = self.dropping
        scores = [score for score in dict.fromkeys(dropping.scores) if gated or score != "gate"]
        orders = list(dict.fromkeys(dropping.orders))
        curves = [(score, order) for score in scores for order in (orders[:1] if score == "random" else orders)]
        points = []
        for ratio in check_ratios(dropping.ratios):
            ends = [(scores[0] if scores else "none", "none")]
            points += [Point(name, *each, ratio) for each in (ends if ratio in (0, 1) else curves)]
        return points

    def _priors(self, sites: Sequence[Site]) -> list[tuple[Site, Prior]]:
        return [(site, self.dropping.priors.get(site.block, Prior())) for site in sites]

    def _prior(self, site: Site, what: str, values: np.ndarray | None) -> torch.Tensor:
        if values is None:
            raise UsageError(f"block `{site.block}`: nothing is known of its {what} on other images")
        if np.shape(values) != (site.channels,):
            raise UsageError(
                f"block `{site.block}`: its branch has {site.channels} channels, but {len(values)} values of {what} "
                f"are given"
            )
        return torch.from_numpy(np.asarray(values, dtype=np.float32))

    def measure(self, settled: Settled, source: Source, known: torch.Tensor | None) -> Sequence[torch.Tensor]:
        """The best classes (N, ≤ 5) at every point but the intact ones, in the points' order."""
        variants = self._variants(settled, source, known)
        results = None
        for number, best in enumerate(settled.logits(variants, source, _best)):
            if results is None:  # in one piece: small tensors here and there would keep large chunks from being reused
                results = best.new_empty(len(variants), *best.shape)
            results[number] = best
        return () if results is None else results.unbind()

    def _variants(self, settled: Settled, source: Source, indices: torch.Tensor | None) -> list[Variant]:
        rows = len(source)
        ranks: dict[tuple[str, str], list[torch.Tensor]] = {}
        for score in dict.fromkeys(point.score for point in self.points if point.order != "none"):
            values = self._values(score, settled, source, indices)
            for order in {point.order for point in self.points if point.score == score} - {"none"}:
                ranks[score, order] = [drop_ranks(each, order).expand(rows, -1) for each in values]
        zero = torch.zeros((), dtype=torch.int64, device=source.device)
        nothing = [zero.expand(rows, site.channels) for site in self.ablation.sites]
        variants = []
        for point in self.points:
            if point.ratio > 0:
                counts = [dropped_maps(point.ratio, site.channels) for site in self.ablation.sites]
                variants.append(Variant(nothing if point.ratio == 1 else ranks[point.score, point.order], counts))
        return variants

    def _values(self, score: str, settled: Settled, source: Source, indices: torch.Tensor | None) -> list[torch.Tensor]:
        """For each site (N, C) on the device, or (1, C) where all images have one order."""
        device = source.device
        if score not in self._fixed:
            return [to_device(each, device) for each in self.scored(score, settled, source, indices)]
        if self._fixed[score][0].device != device:  # once, not at every batch
            self._fixed[score] = [to_device(each, device) for each in self._fixed[score]]
        return [each[None] for each in self._fixed[score]]


def _best(logits: torch.Tensor) -> torch.Tensor:
    """The five best classes (all, where there are fewer), the best first: (N, ≤ 5)."""
    return logits.topk(min(5, logits.shape[1]), dim=1).indices
