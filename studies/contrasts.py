"""Claims of a study about errors: sums of several networks' trainings, such as average pooling less maximum."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import gelens
from gelens.errors import UsageError, unknown
from gelens.statistics.trainings import LEVEL, contrast_of_trainings, with_holm

ON_IMAGES = "error"
"""Top-1 error in percent of the validation images, of the finished weights."""

OF_EPOCHS = {
    "error over epochs": lambda errors: errors.mean(),
    "error early less at the end": lambda errors: errors[: len(errors) // 2].mean() - errors[-1],
}
"""By name, a number of a training's curve: the top-1 errors in percent of the validation images, epoch by epoch."""


@dataclass(frozen=True)
class Contrast:
    """One number that answers a question about the errors of networks; it is below 0 where the paper is right.

    Args:
        claim: its name in the protocol.
        statistic: in words.
        of: ON_IMAGES, or one of OF_EPOCHS.
        weights: by network; they add to 0.
        measurement: the run that tells which images are right, for ON_IMAGES.
    """

    claim: str
    statistic: str
    of: str
    weights: Mapping[str, float]
    measurement: str | None = None

    def __post_init__(self):
        if self.of not in (ON_IMAGES, *OF_EPOCHS):
            raise unknown("quantity", self.of, (ON_IMAGES, *OF_EPOCHS))
        if not math.isclose(sum(self.weights.values()), 0, abs_tol=1e-9):
            raise UsageError(f"the weights of {self.claim} add to {sum(self.weights.values())}; they must add to 0")

    def of_images(self, run: Path, groups: Mapping[str, str]) -> pd.DataFrame:
        """The number, and its interval over trainings and images.

        Args:
            run: a folder of `gelens evaluate`.
            groups: by network, its group's label there.
        """
        recording = gelens.open_run(run).recording
        wrong = []
        for network in self.weights:
            labels = [label for label, card in recording.networks.items() if card.get("group") == groups[network]]
            found = [100.0 * (recording.array(label, "top_classes")[:, 0] != recording.labels) for label in labels]
            wrong.append(np.stack(found))
        each = [of.mean(0) for of in wrong]  # of each image, over the network's trainings
        error = stats.sem(np.sum([weight * of for weight, of in zip(self.weights.values(), each, strict=True)], axis=0))
        return self._row([of.mean(1) for of in wrong], error, wrong[0].shape[1])

    def of_epochs(self, curves: Mapping[str, Sequence[Path]]) -> pd.DataFrame:
        """The number, and its interval over trainings alone: curves do not tell which images were right.

        Args:
            curves: by network, the tables of its trainings' curves.
        """
        number, values = OF_EPOCHS[self.of], []
        for network in self.weights:
            tables = [pd.read_csv(path).query("split == 'val'").sort_values("epoch") for path in curves[network]]
            values.append(np.array([number(table["top1_error"].to_numpy()) for table in tables]))
        return self._row(values, 0.0, 2)

    def _row(self, values: Sequence[np.ndarray], error: float, images: int) -> pd.DataFrame:
        """The columns of `gelens.statistics.trainings.between_trainings`, with claim and statistic before them."""
        columns = [of[:, None] for of in values]
        table = contrast_of_trainings(columns, list(self.weights.values()), np.array([error]), images)
        table.insert(0, "claim", self.claim)
        table.insert(1, "statistic", self.statistic)
        sides = [[name for name, weight in self.weights.items() if sign * weight > 0] for sign in (1, -1)]
        named = dict(zip(("network", "reference"), (" + ".join(each) for each in sides), strict=True))
        return table.assign(**named)


def judged(rows: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows below each other, with p_holm (each question by itself: one network is asked) and verdict."""
    table = with_holm(pd.concat(rows, ignore_index=True), "claim")
    answer = np.where(table["mean"] < 0, "agree", "disagree")
    answer = np.where(table["p_holm"] < 1 - LEVEL, answer, "not resolved")
    return table.assign(verdict=np.where(table["p_holm"].isna(), "no claim", answer))
