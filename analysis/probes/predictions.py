"""The classes that a network finds most likely for each image, and where the label is among all."""

from contextlib import nullcontext

import torch
from torch import nn

from ..recording import Kept
from .probe import Moment

TOP = 5


class Predictions:
    """Keeps `top_classes` (≤ 5, the most likely first) and `rank`, how many logits are above the label's.

    A rank is −1 where logits are not finite. Labels have to be numbers of outputs.

    Args:
        outputs: of the network.
    """

    def __init__(self, outputs: int):
        self.kept = min(TOP, outputs)

    def arrays(self) -> list[Kept]:
        return [Kept("top_classes", (self.kept,), "int32"), Kept("rank", (), "int32")]

    def settings(self) -> dict:
        return {}

    def taps(self) -> dict[str, list[str]]:
        return {}

    def look_at(self, network: nn.Module) -> None:
        """It sees logits alone."""

    def watch(self, batch):
        return nullcontext()

    def rows(self, moment: Moment) -> dict[str, torch.Tensor]:
        logits = moment.logits
        own = logits.gather(1, moment.labels[:, None])
        rank = (logits > own).sum(1, dtype=torch.int32)
        return {
            "top_classes": logits.topk(self.kept, dim=1).indices.to(torch.int32),
            "rank": torch.where(logits.isfinite().all(1), rank, -1),
        }
