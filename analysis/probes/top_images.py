"""The images that drive a unit most: streamed, for contact sheets and for the precision of its top images."""

from functools import partial

import numpy as np
import pandas as pd
import torch

from analysis.probes.metric import SavedMetric
from analysis.randomness import hashes

KEPT = 9
"""Images kept of a unit where nobody asks for more."""


def _strongest(entries: torch.Tensor, images: int) -> torch.Tensor:
    """The first (3, U, images) of (3, U, M) keys, labels and indices, by key."""
    keys, places = entries[0].topk(images, dim=1)
    return torch.stack([keys, *(each.gather(1, places) for each in entries[1:])])


def _merged(several: torch.Tensor, images: int) -> torch.Tensor:
    """(P, 3, U, images) of P processes to one."""
    return _strongest(several.permute(1, 2, 0, 3).flatten(2), images)


class TopImages(SavedMetric):
    """The images on which each of U units is most active, by mean activity; images on which it is silent never count.

    Among equally active images a hash of (seed, index) decides, never the order of the data: images that are sorted
    by class must not look like a preference.

    Args:
        units: U.
        images: kept of each unit.
        seed: of the hash.

    `update(features, labels, indices)` takes (N, U) mean activities, (N,) labels and (N,) image indices. `compute()`
    gives a row for each unit and image (of the first so many, where a number is given): unit, rank (from 1), index,
    label, activity.

    >>> metric = TopImages(units=1, images=2)
    >>> metric.update(torch.tensor([[1.0], [3.0], [0.0], [2.0]]), torch.tensor([0, 1, 0, 1]), torch.arange(4))
    >>> metric.compute()[["rank", "index", "label", "activity"]].to_numpy().tolist()
    [[1.0, 1.0, 1.0, 3.0], [2.0, 3.0, 1.0, 2.0]]
    """

    def __init__(self, units: int, images: int = KEPT, seed: int = 0):
        super().__init__()
        self.units, self.images, self.seed = units, images, seed
        # a key is the activity's bits, which are in the order of its value, and below them the hash
        nothing = torch.tensor([0, -1, -1])[:, None, None].expand(3, units, images).clone()
        self.add_state("kept", nothing, dist_reduce_fx=partial(_merged, images=images), persistent=True)

    def update(self, features: torch.Tensor, labels: torch.Tensor, indices: torch.Tensor) -> None:
        device = self.kept.device
        ties = torch.from_numpy((hashes(self.seed, "tie", indices.cpu().numpy()) >> np.uint64(33)).astype(np.int64))
        activity = features.to(device, torch.float32).T.contiguous()
        keys = (activity.view(torch.int32).long() << 32) + ties.to(device, non_blocking=True)
        keys = keys.where(activity > 0, 0)
        described = (each.to(device, torch.int64, non_blocking=True).expand_as(keys) for each in (labels, indices))
        entries = torch.cat([self.kept, torch.stack([keys, *described])], 2)
        self.kept = _strongest(entries, self.images)

    def compute(self, images: int | None = None) -> pd.DataFrame:
        keys, labels, indices = self.kept[:, :, :images].cpu().numpy()
        unit, rank = np.nonzero(keys)
        chosen = {"index": indices[unit, rank], "label": labels[unit, rank]}
        activity = (keys[unit, rank] >> 32).astype(np.int32).view(np.float32).astype(float)
        return pd.DataFrame({"unit": unit, "rank": rank + 1} | chosen | {"activity": activity})

    def indices(self) -> np.ndarray:
        """(U, images) indices of the images, the most active first; −1 where a unit is active on fewer."""
        return self._known(2)

    def labels(self) -> np.ndarray:
        """(U, images) labels, as `indices`."""
        return self._known(1)

    def _known(self, row: int) -> np.ndarray:
        return self.kept[row].where(self.kept[0] > 0, -1).cpu().numpy()
