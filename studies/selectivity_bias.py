"""How far estimates of class selectivity are from the truth, by simulation: python -m studies.selectivity_bias

Units of known truth, as many images as ImageNet's validation set. An activity is half-normal, silent on all but a share
of the images, times the gain of the image's class for the unit: the true index is that of the gains. Gains are
log-normal over classes, all equal (no class information: the true index is 0), or equal but for one class's. So noise
grows with the mean, and is greatest in the preferred class.

Printed, as markdown: bias and root mean square error of every estimate; the gap of two networks of equal truth and
unequal sparsity; how often intervals over images hold the truth; and how often a gap is claimed where there is none.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import click
import numpy as np
import pandas as pd

from gelens.statistics import Resampling, corrected_index, selectivity_index, unit_statistics
from gelens.statistics.class_means import means_of, variance_over_classes
from gelens.statistics.samples import half_width, over_units, spread
from gelens.statistics.sums import null_sums

DRAWN = 10
"""Permutations and replicates of each simulated network."""

ESTIMATES = ("index", "excess", "cross-fitted", "corrected", "corrected by null")
"""The last takes its noise from permuted labels instead of from the variance within classes."""


@dataclass(frozen=True)
class Scene:
    """Units of one kind.

    Args:
        active: share of images on which a unit is active.
        spread: standard deviation over classes of the gain's logarithm.
        peak: how many times as high as the others' the gain of one class is.
        unequal: classes have from a fifth to nine fifths of the images.
        twin: share of active images of another network of the same gains.
    """

    active: float
    spread: float = 0.0
    peak: float = 1.0
    unequal: bool = False
    twin: float | None = None

    @property
    def kind(self) -> str:
        if self.spread:
            return "all classes differ" + (", of unequal size" if self.unequal else "")
        return "one class differs" if self.peak > 1 else "none differs"

    def gains(self, classes: int, units: int, rng: np.random.Generator) -> np.ndarray:
        """(K, U)."""
        gains = np.exp(self.spread * rng.standard_normal((classes, units)))
        gains[rng.integers(0, classes, units), np.arange(units)] *= self.peak
        return gains

    def labels(self, classes: int, images: int) -> np.ndarray:
        """(N,) with so many images a class on average."""
        sizes = np.full(classes, images)
        if self.unequal:
            sizes = np.rint(images * np.linspace(0.2, 1.8, classes)).astype(int)
        return np.repeat(np.arange(classes), sizes)


SCENES = (
    Scene(0.5, spread=0.114, twin=0.16),
    Scene(0.16, spread=0.183, twin=0.02),
    Scene(0.02, spread=0.257, twin=0.5),
    Scene(0.5, spread=0.306, twin=0.16),
    Scene(0.16, spread=0.472, twin=0.02),
    Scene(0.02, spread=0.687, twin=0.5),
    Scene(0.5, spread=0.306, unequal=True),
    Scene(0.16, spread=0.472, unequal=True),
    Scene(0.5, peak=2),
    Scene(0.16, peak=4),
    Scene(0.02, peak=10),
    Scene(0.5),
    Scene(0.16),
    Scene(0.02),
)
"""Spreads give true indices of about 0.18, 0.28, 0.38, 0.44, 0.61 and 0.76 with a thousand classes."""


@dataclass(frozen=True)
class Network:
    """What is estimated of one simulated network.

    Args:
        estimates: by name of `ESTIMATES`, (U,).
        draws: of the mean over units, by estimate, one of each bootstrap replicate.
        variation: mean over units.
    """

    estimates: dict[str, np.ndarray]
    draws: dict[str, np.ndarray]
    variation: float


def simulated(active: float, gains: np.ndarray, labels: np.ndarray, rng: np.random.Generator, seed: int) -> Network:
    """A network whose units have these gains (K, U), shown images of these labels."""
    shape = len(labels), gains.shape[1]
    activity = np.abs(rng.standard_normal(shape, dtype=np.float32))
    activity *= rng.random(shape, dtype=np.float32) < active
    activity *= gains.astype(np.float32)[labels]
    drawn = Resampling(labels, np.arange(len(labels)), len(gains), seed, DRAWN, DRAWN)
    statistics = unit_statistics(activity, drawn)
    table = statistics.table
    by_null, _ = corrected_index(statistics.means, _noise_by_null(activity, drawn), drawn.counts > 0)
    values = (table["csi"], table["csi"] - table["csi_null"], table["csi_crossfit"], table["csi_corrected"], by_null)
    alive = table["csi"].notna().to_numpy()
    return Network(
        {name: np.asarray(each) for name, each in zip(ESTIMATES, values, strict=True)},
        {
            "index": over_units(statistics.samples["csi"], alive),
            "corrected": over_units(statistics.samples["corrected"], alive),
        },
        float(table["variation"].mean()),
    )


def _noise_by_null(activity: np.ndarray, drawn: Resampling) -> np.ndarray:
    """The variance over classes of the means under permuted labels."""
    _, permuted = null_sums(activity.astype(np.float64), drawn)
    return np.mean([variance_over_classes(means_of(sums, drawn.counts)) for sums in permuted], 0)


@dataclass(frozen=True)
class Trial:
    """One simulation of a scene: its true index of each unit, its network, and others of the same gains.

    Args:
        again: shown the same images, as often active, with other noise.
        twin: with another share of active images, where the scene has one.
    """

    truth: np.ndarray
    network: Network
    again: Network | None
    twin: Network | None


def trials(scene: Scene, classes: int, images: int, units: int, repeats: int, seed: int = 0) -> Iterator[Trial]:
    labels = scene.labels(classes, images)
    for repeat in range(repeats):
        rng = np.random.default_rng([repeat, seed])
        gains = scene.gains(classes, units, rng)
        truth, *_ = selectivity_index(gains)
        shares = (scene.active, scene.active, scene.twin) if scene.twin else (scene.active,)
        networks = [simulated(share, gains, labels, rng, repeat) for share in shares]
        yield Trial(truth, *networks, *[None] * (3 - len(networks)))


def errors_of(scene: Scene, done: list[Trial]) -> dict:
    """Bias and, in brackets, root mean square error over units and repeats."""
    row = {
        "units": scene.kind,
        "active": scene.active,
        "variation": np.mean([trial.network.variation for trial in done]),
        "truth": np.mean([trial.truth.mean() for trial in done]),
    }
    for name in ESTIMATES:
        away = np.concatenate([trial.network.estimates[name] - trial.truth for trial in done])
        row[name] = f"{np.nanmean(away):+.3f} ({np.sqrt(np.nanmean(away**2)):.3f})"
    return row


def gaps_of(scene: Scene, done: list[Trial]) -> dict:
    """The gap of two networks of equal truth, mean over repeats: of each estimate's mean over units."""
    row = {"active": f"{scene.twin} against {scene.active}", "truth": np.mean([trial.truth.mean() for trial in done])}
    for name in ESTIMATES:
        gaps = [np.nanmean(t.twin.estimates[name]) - np.nanmean(t.network.estimates[name]) for t in done]
        row[name] = f"{np.mean(gaps):+.3f}"
    return row


def cover_of(scene: Scene, done: list[Trial]) -> dict:
    """How often the 95 % interval over images holds the true mean over units, and how often a gap's leaves out 0."""
    row = {"units": scene.kind, "active": scene.active, "truth": np.mean([trial.truth.mean() for trial in done])}
    for name in ("index", "corrected"):
        means = np.array([np.nanmean(trial.network.estimates[name]) for trial in done])
        errors = np.array([spread(trial.network.draws[name]) for trial in done])
        away = means - [trial.truth.mean() for trial in done]
        row[f"{name}: cover"] = np.mean(np.abs(away) <= half_width(DRAWN) * errors)
        row[f"{name}: s.e. / sd"] = errors.mean() / away.std(ddof=1) if len(done) > 1 else np.nan
        for kind in ("again", "twin"):
            others = [getattr(trial, kind) for trial in done]
            if None not in others:
                row[f"{name}: claimed, {'equal' if kind == 'again' else 'other'} sparsity"] = np.mean(
                    [_is_claimed(name, trial.network, other) for trial, other in zip(done, others, strict=True)]
                )
    return row


def _is_claimed(name: str, one: Network, other: Network) -> bool:
    gap = np.nanmean(other.estimates[name]) - np.nanmean(one.estimates[name])
    return bool(abs(gap) > half_width(DRAWN) * spread(other.draws[name] - one.draws[name]))


def markdown(table: pd.DataFrame) -> str:
    """A table as markdown, numbers to three digits.

    >>> print(markdown(pd.DataFrame({"a": ["x"], "b": [0.5]})))
    | a | b |
    |---|---|
    | x | 0.500 |
    """
    rows = [list(table.columns), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    shown = [[_shown(value) for value in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in shown]
    lines[1] = "|" + "|".join(shown[1]) + "|"
    return "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.3f}"
    return str(value)


def tables(classes: int, images: int, units: int, repeats: int) -> dict[str, pd.DataFrame]:
    """The three tables by title."""
    errors, gaps, covers = [], [], []
    for seed, scene in enumerate(SCENES):
        done = list(trials(scene, classes, images, units, repeats, seed))
        errors.append(errors_of(scene, done))
        covers.append(cover_of(scene, done))
        if scene.twin:
            gaps.append(gaps_of(scene, done))
    return {
        "Bias (root mean square error)": pd.DataFrame(errors),
        "Gap of two networks of equal truth and unequal sparsity": pd.DataFrame(gaps),
        "95 % intervals over images, of the mean over units": pd.DataFrame(covers),
    }


@click.command()
@click.option("--classes", default=1000, show_default=True)
@click.option("--images", default=50, show_default=True, help="Of each class, on average.")
@click.option("--units", default=50, show_default=True)
@click.option("--repeats", default=40, show_default=True)
def main(classes: int, images: int, units: int, repeats: int) -> None:
    """How far estimates of class selectivity are from the truth, as markdown."""
    click.echo(f"{classes} classes × {images} images, {units} units, {repeats} repeats, {DRAWN} replicates.")
    for title, table in tables(classes, images, units, repeats).items():
        click.echo(f"\n{title}\n\n{markdown(table)}")


if __name__ == "__main__":
    main()
