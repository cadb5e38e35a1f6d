"""The images that drive a unit most: streamed, for contact sheets and for the precision of its top images."""

from functools import partial

import numpy as np
import pandas as pd
import torch

from analysis.metric import SavedMetric
from analysis.randomness import hashes

KEPT = 9
"""Images kept of a unit where nobody asks for more."""
_FIELDS = ("activity", "tie", "label", "index")


def _strongest(entries: torch.Tensor, images: int) -> torch.Tensor:
    """The first (U, images, 4) of (U, M, 4) entries by activity; of equals, those that their hash puts first."""
    for column, descending in ((1, False), (0, True)):
        order = entries[..., column].argsort(dim=1, descending=descending, stable=True)
        entries = entries.gather(1, order[..., None].expand_as(entries))
    return entries[:, :images]


def _merged(several: torch.Tensor, images: int) -> torch.Tensor:
    """(P, U, images, 4) of P processes to one."""
    return _strongest(several.transpose(0, 1).flatten(1, 2), images)


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

    double = True

    def __init__(self, units: int, images: int = KEPT, seed: int = 0):
        super().__init__()
        self.units, self.images, self.seed = units, images, seed
        nothing = torch.tensor([0.0, 0.0, -1.0, -1.0], dtype=torch.float64).expand(units, images, 4).clone()
        self.add_state("kept", nothing, dist_reduce_fx=partial(_merged, images=images), persistent=True)

    def update(self, features: torch.Tensor, labels: torch.Tensor, indices: torch.Tensor) -> None:
        device = self.kept.device
        ties = torch.from_numpy(hashes(self.seed, "tie", indices.cpu().numpy()) / 2.0**64)
        described = torch.stack([ties, torch.zeros_like(ties), indices.cpu().double()], 1).to(device, non_blocking=True)
        described[:, 1] = labels.to(device, torch.float64, non_blocking=True)
        activity = features.to(device, torch.float64).T[..., None]
        described = described.expand(self.units, -1, -1)
        entries = torch.cat([activity, described], 2).where(activity > 0, self.kept.new_tensor([0, 0, -1, -1]))
        self.kept = _strongest(torch.cat([self.kept, entries], 1), self.images)

    def compute(self, images: int | None = None) -> pd.DataFrame:
        values = self.kept[:, :images].cpu().numpy()
        unit, rank = np.nonzero(values[..., 3] >= 0)
        chosen = {name: values[unit, rank, column] for column, name in enumerate(_FIELDS)}
        table = {"unit": unit, "rank": rank + 1, "index": chosen["index"].astype(np.int64)}
        return pd.DataFrame(table | {"label": chosen["label"].astype(np.int64), "activity": chosen["activity"]})

    def indices(self) -> np.ndarray:
        """(U, images) indices of the images, the most active first; −1 where a unit is active on fewer."""
        return self.kept[..., 3].cpu().numpy().astype(np.int64)

    def labels(self) -> np.ndarray:
        """(U, images) labels, as `indices`."""
        return self.kept[..., 2].cpu().numpy().astype(np.int64)
