"""A recording made in somebody's own loop, in a line or two."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import nn

from . import processes
from .anatomy.hooks import capture, channel_means, layout_of
from .errors import UsageError
from .recording import Kept, Recording
from .statistics import PERMUTATIONS, REPLICATES
from .tables.selectivity import Statistics, selectivity_tables


class ActivityRecorder:
    """Keeps what blocks' units do on every image of a loop, plain or Lightning's, for statistics afterwards.

    Memory: 4 bytes an image and unit. In the processes of a distributed loop each keeps its own images, and statistics
    are of all of them: every process must then ask for them. What a distributed sampler repeats counts once.

    Args:
        network: any.
        blocks: names of its modules.
        rectify: take the positive part of signed activities.
        together: False measures in each process of a distributed program by itself.

    >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    >>> recorder = ActivityRecorder(network, ["1"])
    >>> with recorder.watch():
    ...     _ = network(torch.rand(8, 3, 5, 5))
    >>> recorder.add(torch.arange(8) % 2, torch.arange(8))
    >>> len(recorder.selectivity(permutations=5, replicates=5))
    4
    """

    def __init__(self, network: nn.Module, blocks: Sequence[str], rectify: bool = False, together: bool = True):
        self.network, self.rectify, self.together = network, rectify, together
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
        classes, images = (np.asarray(each.cpu() if hasattr(each, "cpu") else each) for each in (labels, indices))
        for name, values in rows.items():
            if not len(values) == len(classes) == len(images):
                raise UsageError(
                    f"{len(values)} images passed through {name}, but {len(classes)} labels and {len(images)} indices "
                    f"are given"
                )
        self._rows.append((classes.astype(np.int64), images.astype(np.int64), rows))
        self._features.clear()

    def recording(self, classes: Sequence[str] = ()) -> Recording:
        """What was kept, in the order of the images' indices.

        Args:
            classes: names, by label.

        Raises:
            UsageError: nothing was added, an image twice, or a label below 0.
        """
        labels, indices, arrays = self._everyones() if self.together else self._own()
        if not len(labels):
            raise UsageError("nothing was recorded: `recorder.add(labels, indices)` keeps a batch")
        order = np.argsort(indices, kind="stable")
        if (twice := np.flatnonzero(np.diff(indices[order]) == 0)).size:
            raise UsageError(
                f"{twice.size} images were added twice, such as that of index {indices[order][twice[0]]}: what a "
                f"loop repeats is to be left out"
            )
        if labels.min() < 0:
            raise UsageError(f"a label is {labels.min()}; expected 0 or more")
        names = list(classes) + [str(label) for label in range(len(classes), int(labels.max()) + 1)]
        kept = [Kept(name, values.shape[1:]) for name, values in arrays.items()]
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
        rows = {("network", name): values[order] for name, values in arrays.items()}
        recording.write(0, rows, len(order))
        recording.finish()
        return recording

    def _own(self) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Labels, indices and arrays of what this process has added."""
        if not self._rows:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), {}
        labels, indices = (np.concatenate([part[at] for part in self._rows]) for at in (0, 1))
        names = self._rows[0][2]
        return labels, indices, {name: np.concatenate([part[2][name] for part in self._rows]) for name in names}

    def _everyones(self) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """The same of all processes: an image that several have, as a sampler fills up the last batch, once."""
        labels, indices, own = self._own()
        if processes.number() == 1:
            return labels, indices, own
        shapes = {name: (values.shape[1:], values.dtype) for name, values in own.items()}
        told = processes.collect((labels, indices, shapes))
        ends = np.cumsum([0, *(len(each[0]) for each in told)]).tolist()
        runs = [range(start, stop) for start, stop in pairwise(ends)]
        mine = runs[processes.rank()]
        arrays = {}
        for name, (shape, dtype) in next((each[2] for each in told if each[2]), {}).items():
            arrays[name] = np.zeros((ends[-1], *shape), dtype)
            arrays[name][mine.start : mine.stop] = own.get(name, 0)
            processes.exchange(arrays[name], [[run] for run in runs])
        labels, indices = (np.concatenate([each[at] for each in told]) for at in (0, 1))
        kept = _first_of_each(indices, runs)
        return labels[kept], indices[kept], {name: values[kept] for name, values in arrays.items()}

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


def _first_of_each(indices: np.ndarray, runs: Sequence[range]) -> np.ndarray:
    """Positions of images that no earlier process has; what a process has twice stays.

    >>> _first_of_each(np.array([0, 2, 2, 1, 0]), [range(0, 3), range(3, 5)]).tolist()
    [0, 1, 2, 3]
    """
    kept = [np.zeros(0, np.int64)]
    for run in runs:
        mine = np.arange(run.start, run.stop)
        kept.append(mine[~np.isin(indices[mine], indices[: run.start])])
    return np.concatenate(kept)
