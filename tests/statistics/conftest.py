"""Small activities of known kinds."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from gelens.recording.matrix import Matrix
from gelens.statistics import Resampling
from gelens.untrusted import StoredRows


class Noted(Matrix):
    """Activities in a file; `rows` are how many were read whole, `columns` how many units each other reading took."""

    def __init__(self, file: Path):
        super().__init__(StoredRows(file), nullcontext)
        self.rows = 0
        self.columns: list[int] = []

    def __getitem__(self, key):
        found = super().__getitem__(key)
        if isinstance(key, tuple):
            self.columns.append(found.shape[1])
        else:
            self.rows += len(found)
        return found


@pytest.fixture
def noted(tmp_path) -> Callable[[np.ndarray], Noted]:
    """Writes activities (N, U) to a file."""

    def stored(activity: np.ndarray) -> Noted:
        np.save(tmp_path / "activity.npy", activity)
        return Noted(tmp_path / "activity.npy")

    return stored


def activities(images: int = 300, classes: int = 5, units: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Units from indifferent to selective, two fifths of their activity silent, with ties; the last one dead."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    strength = np.linspace(0, 3, units)
    features = np.abs(rng.standard_normal((images, units))) + strength * (labels[:, None] == 2)
    features = np.round(features, 2) * (rng.random((images, units)) < 0.6)
    features[:, -1] = 0
    return features.astype(np.float32), labels


@pytest.fixture
def drawn() -> tuple[np.ndarray, Resampling]:
    """Activities and their resampling, images numbered otherwise than they are ordered."""
    activity, labels = activities()
    indices = np.random.default_rng(1).permutation(1000)[: len(labels)]
    return activity, Resampling(labels, indices, 5, seed=2, permutations=4, replicates=4)
