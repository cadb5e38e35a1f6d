"""Lesions of single units: what each image loses when one unit of a block's output is set to zero."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

from ..ablation.engine import Ablation, Settled, Source, Variant
from ..anatomy.folding import Folding
from ..anatomy.sites import Site, example_images
from ..data.loading import Batch
from ..devices import to_device
from ..errors import UsageError
from ..randomness import hashes
from ..recording import Kept
from .chunked import Chunked, Target
from .probe import Moment

MEASURES = ("loss", "logit", "right")


class Lesions(Chunked):
    """Keeps, for each unit that is lesioned, by how much an image's loss grows and its label's logit falls (BLOCK.loss
    and BLOCK.logit of `lesion`, float32), and whether it is right then (BLOCK.right, uint8): (units,).

    A unit is a channel of the block's output, after the shortcut and the last ReLU, where its index is measured; all of
    its positions are set to zero. What follows the block is run with batch norm folded. A lesion is held against the
    same with no unit dropped, so that folding is in both; whether an image is right then is BLOCK.intact, uint8.

    Args:
        network: on its device, in evaluation mode by the first pass.
        units: by block, in the network's order, the channels of its output that are lesioned one at a time.
        widths: by block, how many channels its output has.
        shape: of one image (3, H, W); by the network's preprocessing where not given.

    Raises:
        UsageError: a channel that a block does not have, or none.
    """

    tuned = "lesion rows"

    def __init__(
        self,
        network: nn.Module,
        units: Mapping[str, Sequence[int]],
        widths: Mapping[str, int],
        shape: Sequence[int] | None = None,
    ):
        self.network = network
        self.folding = Folding(network, example_images(network, shape))
        faster = self.folding.copy if self.folding.pairs else None
        self._units = {block: list(map(int, channels)) for block, channels in units.items()}
        self._targets: list[_Target] = []
        for block, channels in self._units.items():
            if not len(channels) or min(channels) < 0 or max(channels) >= widths[block]:
                raise UsageError(
                    f"block `{block}` has the units 0 … {widths[block] - 1}; asked for {list(channels)[:5]}"
                )
            variants = partial(_one_at_a_time, channels, widths[block])
            site = Site(block, block, widths[block])
            self._targets.append(_Target(network, site, variants, 1 + len(channels), faster))

    def arrays(self) -> list[Kept]:
        kept = []
        for block, channels in self._units.items():
            kept += [Kept(f"{block}.lesion.{measure}", (len(channels),)) for measure in ("loss", "logit")]
            kept.append(Kept(f"{block}.lesion.right", (len(channels),), "uint8"))
            kept.append(Kept(f"{block}.lesion.intact", (), "uint8"))
        return kept

    def settings(self) -> dict:
        return {"lesions": self._units}

    def rows(self, moment: Moment) -> dict[str, torch.Tensor]:
        rows: dict[str, torch.Tensor] = {}
        for target in self._targets:
            loss, logit, right = target.take(moment.batch, moment.images, moment.logits)
            rows[f"{target.name}.lesion.loss"] = loss[:, 1:] - loss[:, :1]
            rows[f"{target.name}.lesion.logit"] = logit[:, :1] - logit[:, 1:]
            rows[f"{target.name}.lesion.right"] = right[:, 1:].to(torch.uint8)
            rows[f"{target.name}.lesion.intact"] = right[:, 0].to(torch.uint8)
        return rows


class ClassLesions(Chunked):
    """Keeps whether each image is right without the k units that are most selective for its own class, and without as
    many of another class's, drawn by hash: BLOCK.targeted.right, uint8 (2 · counts,), the own ones first.

    Args:
        network: on its device, in evaluation mode by the first pass.
        orders: by block, in the network's order, (K, units) for each class the units of the block's output, the most
            selective for it first, as other images have it.
        counts: how many units are dropped together.
        seed: of which other class an image gets.

    Raises:
        UsageError: more units than a block has.
    """

    tuned = "targeted rows"

    def __init__(self, network: nn.Module, orders: Mapping[str, np.ndarray], counts: Sequence[int], seed: int = 0):
        self.network, self.counts, self.seed = network, list(counts), seed
        self._orders = {block: np.asarray(order) for block, order in orders.items()}
        self._targets: list[_Target] = []
        for block, order in self._orders.items():
            classes, width = order.shape
            if max(counts) > width or min(counts) < 1:
                raise UsageError(f"block `{block}` has {width} units; {list(counts)} cannot be dropped together")
            # when each unit is dropped for a class
            ranks = torch.from_numpy(np.argsort(order, axis=1))
            site = Site(block, block, width)
            self._targets.append(_Target(network, site, partial(self._variants, ranks, classes), 2 * len(self.counts)))

    def _variants(
        self, ranks: torch.Tensor, classes: int, labels: torch.Tensor, indices: torch.Tensor, device: torch.device
    ) -> list[Variant]:
        step = hashes(self.seed, "another class", indices.numpy()) % np.uint64(classes - 1)
        others = (labels + 1 + torch.from_numpy(step.astype(np.int64))) % classes
        of = [to_device(ranks[chosen], device) for chosen in (labels, others)]
        return [Variant([each], [count]) for each in of for count in self.counts]

    def arrays(self) -> list[Kept]:
        return [Kept(f"{target.name}.targeted.right", (2 * len(self.counts),), "uint8") for target in self._targets]

    def settings(self) -> dict:
        known = {block: hashlib.sha256(order.tobytes()).hexdigest()[:16] for block, order in self._orders.items()}
        return {"targeted": {"counts": self.counts, "seed": self.seed, "orders": known}}

    def rows(self, moment: Moment) -> dict[str, torch.Tensor]:
        found = {each.name: each.take(moment.batch, moment.images, moment.logits) for each in self._targets}
        return {f"{name}.targeted.right": right.to(torch.uint8) for name, (_, _, right) in found.items()}


class _Target(Target[torch.Tensor]):
    """A block whose units are lesioned.

    Args:
        variants: of a batch's labels and indices, on the host, and the device: what is dropped.
        number: of variants.
        faster: as of `Ablation`.
    """

    def __init__(
        self,
        network: nn.Module,
        site: Site,
        variants: Callable[..., list[Variant]],
        number: int,
        faster: Callable[[], nn.Module] | None = None,
    ):
        super().__init__(site.block, Ablation(network, [site], [torch.zeros(())], faster=faster), variants=number)
        self.lesions_of = variants

    def measure(self, settled: Settled, source: Source, known: Batch) -> torch.Tensor:
        """(`MEASURES`, N, variants): the loss, the label's logit, whether it is right."""
        device = source.device
        labels = to_device(known.labels, device)
        found = torch.empty(len(MEASURES), len(source), self.variants, device=device)
        variants = self.lesions_of(known.labels, known.indices, device)
        for place, values in enumerate(settled.logits(variants, source, lambda logits: _measured(logits, labels))):
            found[:, :, place] = values.T
        return found


def _one_at_a_time(
    channels: Sequence[int], width: int, labels: torch.Tensor, indices: torch.Tensor, device: torch.device
) -> list[Variant]:
    """No unit, then each of the channels."""
    ranks = torch.ones(1 + len(channels), width, dtype=torch.int64)
    ranks[range(1, len(ranks)), channels] = 0
    return [Variant([each.expand(len(labels), -1)], [1]) for each in to_device(ranks, device)]


def _measured(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(V·N, `MEASURES`): the cross-entropy, the label's logit, and 1 where the label has the highest.

    Args:
        logits: (V·N, K), of V variants of the images.
        labels: (N,).
    """
    logits, labels = logits.float(), labels.repeat(len(logits) // len(labels))
    loss = nn.functional.cross_entropy(logits, labels, reduction="none")
    return torch.stack([loss, logits.gather(1, labels[:, None])[:, 0], (logits.argmax(1) == labels).float()], 1)
