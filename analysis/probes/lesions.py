"""Lesions of single units: what each image loses when one unit of a block's output is set to zero."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from analysis.ablation.engine import Ablation, Variant
from analysis.anatomy.sites import Site
from analysis.devices import to_device
from analysis.errors import UsageError
from analysis.probes.probe import Moment
from analysis.recording import Kept

MEASURES = ("loss", "logit", "right")


class Lesions:
    """Keeps, for each unit that is lesioned, by how much an image's loss grows and its label's logit falls (BLOCK.loss
    and BLOCK.logit of `lesion`, float32), and whether it is right then (BLOCK.right, uint8): (units,).

    A unit is a channel of the block's output, after the shortcut and the last ReLU, where its index is measured; all of
    its positions are set to zero.

    Args:
        network: on its device, in evaluation mode by the first pass.
        units: by block, in the network's order, the channels of its output that are lesioned one at a time.
        widths: by block, how many channels its output has.

    Raises:
        UsageError: a channel that a block does not have, or none.
    """

    def __init__(self, network: nn.Module, units: Mapping[str, Sequence[int]], widths: Mapping[str, int]):
        self.network = network
        self._targets = []
        for block, channels in units.items():
            if not len(channels) or min(channels) < 0 or max(channels) >= widths[block]:
                raise UsageError(
                    f"block `{block}` has the units 0 … {widths[block] - 1}; asked for {list(channels)[:5]}"
                )
            self._targets.append(_Target(network, Site(block, block, widths[block]), list(map(int, channels))))

    def arrays(self) -> list[Kept]:
        return [
            Kept(
                f"{target.block}.lesion.{measure}",
                (len(target.channels),),
                "uint8" if measure == "right" else "float32",
            )
            for target in self._targets
            for measure in MEASURES
        ]

    def settings(self) -> dict:
        return {"lesions": {target.block: target.channels for target in self._targets}}

    def taps(self) -> dict[str, list[str]]:
        return {}

    @contextmanager
    def watch(self, batch) -> Iterator[None]:
        with ExitStack() as stack:
            for target in self._targets:
                stack.enter_context(target.watch(batch.labels))
            yield

    def rows(self, moment: Moment) -> dict[str, torch.Tensor]:
        whole = _measured(moment.logits, moment.labels)
        rows: dict[str, torch.Tensor] = {}
        for target in self._targets:
            loss, logit, right = target.take(moment.images, moment.logits, moment.batch.labels)
            rows[f"{target.block}.lesion.loss"] = loss - whole[0][:, None]
            rows[f"{target.block}.lesion.logit"] = whole[1][:, None] - logit
            rows[f"{target.block}.lesion.right"] = right.to(torch.uint8)
        return rows


class _Target:
    """A block, and what came of its lesions in the batch at hand."""

    def __init__(self, network: nn.Module, site: Site, channels: list[int]):
        self.block, self.channels, self.site = site.block, channels, site
        self.ablation = Ablation(network, [site], [torch.zeros(())])
        self._found: list[torch.Tensor] = []

    def watch(self, labels: torch.Tensor):
        def ready() -> None:
            self.ablation.settle()
            if self.ablation.way != "passes":
                self._measure(labels)

        nothing = lambda number, maps: None
        return self.ablation.watch(nothing, nothing, ready)

    def take(self, images: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
        """(N, units) of the loss, of the label's logit, of whether it is right."""
        if not self.ablation.keep_promise(logits):
            self._measure(labels, images)
        found, self._found = self._found, []
        return found

    def _measure(self, labels: torch.Tensor, images: torch.Tensor | None = None) -> None:
        rows, device = self.ablation.batch(images)
        labels = to_device(labels, device)
        spared = torch.ones(self.site.channels, dtype=torch.int64, device=device)
        variants = []
        for channel in self.channels:
            ranks = spared.clone()
            ranks[channel : channel + 1] = 0
            variants.append(Variant([ranks.expand(rows, -1)], [1]))
        self._found = [torch.empty(rows, len(variants), device=device) for _ in MEASURES]
        for place, logits in enumerate(self.ablation.logits(variants, images)):
            for kept, values in zip(self._found, _measured(logits, labels), strict=True):
                kept[:, place] = values


def _measured(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of each image the cross-entropy, the label's logit, and 1 where the label has the highest."""
    logits = logits.float()
    loss = nn.functional.cross_entropy(logits, labels, reduction="none")
    return loss, logits.gather(1, labels[:, None])[:, 0], (logits.argmax(1) == labels).float()
