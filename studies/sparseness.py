"""How far the sparseness of class means is from the truth, by simulation: python -m studies.sparseness

Units of known truth. An activity is half-normal, silent on all but a share of the images, times the gain of the image's
class for the unit; where subclasses differ, times the gain of the image's subclass as well; where the rate differs, it
is the share of images on which a unit is active that the class scales, not the activity. The truth is that of the true
class means. Printed, as markdown: of S and of the plain index the bias and the root mean square error of a unit and the
bias of a block's mean, and how often a block's 95 % interval over images holds the truth, counted. The index's truth is
the index of the true class means.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import click
import numpy as np
import pandas as pd

from gelens.statistics import Resampling, block_means, selectivity_index, unit_statistics
from gelens.statistics.samples import half_width
from gelens.statistics.sparseness import sparseness

from .selectivity_bias import markdown

REPLICATES = 20
SUBCLASSES = 5
SIZES = ((10, 200), (100, 50), (1000, 50))
"""Classes, and images of each."""


@dataclass(frozen=True)
class Scene:
    """Units of one kind.

    Args:
        name: what differs.
        active: share of images on which a unit is active.
        spread: standard deviation over classes of the gain's logarithm.
        peak: how many times as high as the others' the gain of one class is.
        rate: whether classes scale how often a unit is active, instead of how much.
        within: standard deviation over subclasses of the logarithm of theirs.
    """

    name: str
    active: float
    spread: float = 0.0
    peak: float = 1.0
    rate: bool = False
    within: float = 0.0


SCENES = tuple(
    scene
    for active in (0.5, 0.16, 0.02)
    for scene in (
        Scene("no class", active),
        Scene("one class", active, peak=2),
        Scene("all classes", active, spread=0.3),
        Scene("rate", active, spread=0.3, rate=True),
        Scene("subclasses", active, spread=0.3, within=0.5),
    )
)


@dataclass(frozen=True)
class World:
    """What is true of some units: which gain or rate every class and subclass has.

    Args:
        gains: (K, subclasses, U).
        rates: (K, U) share of a class's images on which a unit is active.
    """

    gains: np.ndarray
    rates: np.ndarray

    @classmethod
    def of(cls, scene: Scene, classes: int, units: int, rng: np.random.Generator) -> "World":
        by_class = np.exp(scene.spread * rng.standard_normal((classes, units)))
        by_class[rng.integers(0, classes, units), np.arange(units)] *= scene.peak
        parts = np.exp(scene.within * rng.standard_normal((classes, SUBCLASSES, units)))
        rates = np.full((classes, units), scene.active)
        if scene.rate:
            return cls(parts, np.minimum(rates * by_class, 1))
        return cls(by_class[:, None] * parts, rates)

    @property
    def means(self) -> np.ndarray:
        """(K, U), but for a factor."""
        return self.gains.mean(1) * self.rates

    def activity(self, images: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(N, U) float32 activities of so many images of each class, and (N,) labels."""
        classes, _, units = self.gains.shape
        labels = np.repeat(np.arange(classes), images)
        values = np.abs(rng.standard_normal((len(labels), units), dtype=np.float32))
        values *= rng.random(values.shape, dtype=np.float32) < self.rates.astype(np.float32)[labels]
        values *= self.gains.astype(np.float32)[labels, rng.integers(0, SUBCLASSES, len(labels))]
        return values, labels


def estimates_of(scene: Scene, classes: int, images: int, units: int, repeats: int) -> Iterator[dict]:
    """Of each simulated block, and each statistic, its errors against the truth."""
    for seed in range(repeats):
        rng = np.random.default_rng([seed, classes, images, units])
        world = World.of(scene, classes, units, rng)
        values, labels = world.activity(images, rng)
        done = unit_statistics(values, Resampling(labels, np.arange(len(labels)), classes, seed, 0, REPLICATES))
        summary = block_means(done.table, done.samples)
        truths = {"S": sparseness(world.means, np.zeros(units))[0], "index": selectivity_index(world.means)[0]}
        for (statistic, truth), column in zip(truths.items(), ("sparseness", "csi"), strict=True):
            estimate = done.table[column].to_numpy()
            known = ~np.isnan(estimate)
            bias = summary[f"mean_{column}"] - truth[known].sum() / max(known.sum(), 1)
            reach = half_width(REPLICATES) * summary[f"mean_{column}_se"]
            yield {
                "statistic": statistic,
                "truth": truth.mean(),
                "resolved": known.mean(),
                "squared": ((estimate - truth)[known] ** 2).sum() / max(known.sum(), 1),
                "bias": bias,
                "cover": np.nan if np.isnan(bias) else float(abs(bias) <= reach),
            }


def row_of(scene: Scene, classes: int, images: int, units: int, repeats: int) -> dict:
    """Means over repeats."""
    means = pd.DataFrame(estimates_of(scene, classes, images, units, repeats)).groupby("statistic").mean()
    row: dict = {"differs": scene.name, "active": scene.active, "resolved": means.loc["S", "resolved"]}
    for statistic in ("S", "index"):
        mine = means.loc[statistic]
        known = not np.isnan(mine["bias"])
        row |= {f"{statistic}: truth": mine["truth"], f"{statistic}: bias": mine["bias"]}
        row |= {f"{statistic}: RMSE of a unit": np.sqrt(mine["squared"]) if known else np.nan}
        row |= {f"{statistic}: cover": mine["cover"]}
    return row


@click.command(help=__doc__)
@click.option(
    "--size", type=(int, int), multiple=True, default=SIZES, show_default=True, help="Classes, images of each."
)
@click.option("--units", type=int, multiple=True, default=(50, 512), show_default=True)
@click.option("--active", type=float, multiple=True, help="Only scenes with this share of active images.")
@click.option("--repeats", default=100, show_default=True, help="Of the smallest blocks, and fewer of larger ones.")
@click.option("--least", default=20, show_default=True, help="Repeats of the largest blocks.")
def main(size, units, active, repeats: int, least: int) -> None:
    scenes = [scene for scene in SCENES if not active or scene.active in active]
    for classes, images in size:
        for number in units:
            times = max(round(repeats * min(1, 500_000 / (classes * images * number))), least)
            table = pd.DataFrame([row_of(scene, classes, images, number, times) for scene in scenes])
            click.echo(f"{classes} classes × {images} images, {number} units, {times} repeats\n\n{markdown(table)}\n")


if __name__ == "__main__":
    main()
