"""A recording made in somebody's own loop, in a line or two."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np
import pandas as pd
import torch
from torch import nn

from analysis.anatomy.hooks import capture, channel_means, layout_of
from analysis.errors import UsageError
from analysis.recording import Kept, Recording
from analysis.statistics import PERMUTATIONS, REPLICATES
from analysis.tables.selectivity import Statistics, selectivity_tables


class ActivityRecorder:
    """Keeps what blocks' units do on every image of a loop, plain or Lightning's, for statistics afterwards.

    Memory: 4 bytes an image and unit.

    Args:
        network: any.
        blocks: names of its modules.
        rectify: take the positive part of signed activities.

    >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    >>> recorder = ActivityRecorder(network, ["1"])
    >>> with recorder.watch():
    ...     _ = network(torch.rand(8, 3, 5, 5))
    >>> recorder.add(torch.arange(8) % 2, torch.arange(8))
    >>> len(recorder.selectivity(permutations=5, replicates=5))
    4
    """

    def __init__(self, network: nn.Module, blocks: Sequence[str], rectify: bool = False):
        self.network, self.rectify = network, rectify
        self.blocks = [blocks] if isinstance(blocks, str) else list(blocks)
        self._features: dict[str, torch.Tensor] = {}
        self._minima: dict[str, torch.Tensor] = {}
        self._rows: list[tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]] = []

    def watch(self) -> AbstractContextManager:
        """A context around the forward pass of a batch."""
        return capture(self.network, self.blocks, self._reduced, self._features)

    def _reduced(self, block: str, maps: torch.Tensor) -> torch.Tensor:
        maps = maps.detach()
        self._minima[f"{block}.output.minimum"] = maps.amin(tuple(range(1, maps.ndim))).float()
        return channel_means(maps.clamp(min=0) if self.rectify else maps, layout_of(self.network))

    def add(self, labels: torch.Tensor, indices: torch.Tensor) -> None:
        """Keep the batch that was just watched.

        Args:
            labels: (N,) classes.
            indices: (N,) any number that is the image's own, such as its position in the data.

        Raises:
            UsageError: no pass was watched, or one of other images.
        """
        if not self._features:
            raise UsageError("no forward pass was watched: `with recorder.watch():` goes around it")
        named = {f"{block}.output": features for block, features in self._features.items()}
        rows = {name: values.cpu().numpy() for name, values in {**named, **self._minima}.items()}
        labels, indices = (np.asarray(each.cpu() if hasattr(each, "cpu") else each) for each in (labels, indices))
        for name, values in rows.items():
            if not len(values) == len(labels) == len(indices):
                raise UsageError(
                    f"{len(values)} images passed through {name}, but {len(labels)} labels and {len(indices)} indices "
                    f"are given"
                )
        self._rows.append((labels.astype(np.int64), indices.astype(np.int64), rows))
        self._features.clear()

    def recording(self, classes: Sequence[str] = ()) -> Recording:
        """What was kept, in the order of the images' indices.

        Args:
            classes: names, by label.

        Raises:
            UsageError: nothing was added, an image twice, or a label below 0.
        """
        if not self._rows:
            raise UsageError("nothing was recorded: `recorder.add(labels, indices)` keeps a batch")
        labels, indices = (np.concatenate([part[at] for part in self._rows]) for at in (0, 1))
        order = np.argsort(indices, kind="stable")
        if (twice := np.flatnonzero(np.diff(indices[order]) == 0)).size:
            raise UsageError(
                f"{twice.size} images were added twice, such as that of index {indices[order][twice[0]]}: what a "
                f"sampler repeats, such as a distributed one's padding, is to be left out"
            )
        if labels.min() < 0:
            raise UsageError(f"a label is {labels.min()}; expected 0 or more")
        names = list(classes) + [str(label) for label in range(len(classes), int(labels.max()) + 1)]
        kept = [Kept(name, values.shape[1:]) for name, values in self._rows[0][2].items()]
        images = pd.DataFrame(
            {
                "index": indices[order],
                "identifier": [str(index) for index in indices[order]],
                "label": labels[order],
                "class": [names[label] for label in labels[order]],
                "bytes": -1,
            }
        )
        facts = {
            "networks": {"network": {}},
            "taps": {"network": {block: ["output"] for block in self.blocks}},
            "settings": {"network": {"rectified": self.rectify}},
            "depths": {"network": {block: depth for depth, block in enumerate(self.blocks, 1)}},
            "classes": names,
        }
        recording = Recording.create({"network": kept}, images, facts)
        arrays = {}
        for each in kept:
            arrays["network", each.name] = np.concatenate([part[2][each.name] for part in self._rows])[order]
        recording.write(0, arrays, len(order))
        recording.finish()
        return recording

    def selectivity(
        self, seed: int = 0, permutations: int = PERMUTATIONS, replicates: int = REPLICATES
    ) -> pd.DataFrame:
        """The columns of `selectivity.csv`: index, null, corrected index, errors.

        Args:
            seed: of all that is drawn.
            permutations: of the labels, for the null.
            replicates: of the bootstrap over images.
        """
        return selectivity_tables(self.recording(), Statistics(seed, permutations, replicates)).units
