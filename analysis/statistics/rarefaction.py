"""The index on fewer images of each class than there are: how much of it is owed to their number."""

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import sparse

from ..errors import UsageError
from ..randomness import hashes, permuted_labels
from .activities import Activities
from .class_means import corrected_index, index_alone, means_of, noise_of_means
from .samples import mean, over_units, spread
from .selectivity import checked, read_together
from .sparseness import is_resolved, mean_resolved, sparseness

DRAWS = 10
"""Random draws of images at each number."""

ACTIVITY_BYTES = 2**27
"""What the activities of the units that are worked on at a time may take."""

_MEASURES = ("csi", "null", "corrected", "reliability", "sparseness")


def rarefied_sizes(fewest: int) -> list[int]:
    """Images a class: 2, 5, 10, 20, 50 … below those of the smallest class, and all that it has.

    >>> rarefied_sizes(50), rarefied_sizes(7)
    ([2, 5, 10, 20, 50], [2, 5, 7])
    """
    steps = [step * 10**power for power in range(10) for step in (1, 2, 5)]
    return [size for size in steps if 2 <= size < fewest] + [fewest]


def rarefied(
    activity: Activities,
    labels: np.ndarray,
    indices: np.ndarray,
    draws: int = DRAWS,
    seed: int = 0,
    name: str = "features",
) -> pd.DataFrame:
    """A block's mean index on equally many images of each class, for a growing number of them.

    Images are drawn by hash within each class, anew for each draw; those of a smaller number are among those of a
    larger one. Where all images of all classes are taken, draws differ in their permutation alone.

    Args:
        activity: (N, U) mean activities, not negative, in memory or in a file.
        labels, indices: (N,) of the images.
        draws: of images, and of permutations of their labels, at each number.
        seed: of all that is drawn.
        name: of the block, for messages.

    Returns:
        A row for each number of images: images_per_class; draws; units, how many had an index on average (a unit may
        be silent on few images); mean_csi, mean_null (the index under one permutation of the labels a draw),
        mean_corrected, mean_reliability and mean_sparseness (NaN where many units have none), means over these units
        and over draws; and of each its standard deviation over draws, …_sd. That is no standard error: draws of nearly
        all images are nearly the same.

    Raises:
        UsageError: fewer than two classes, a class with a single image, or no draw.
        ValueError: activities that are negative or not finite.
    """
    if draws < 1:
        raise UsageError(f"{draws} draws; expected at least 1")
    present, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(present) < 2 or counts.min() < 2:
        raise UsageError(
            f"{len(present)} classes, the smallest with {counts.min()} images; expected at least two, of at least two"
        )
    activity = checked(activity, name)
    sizes = rarefied_sizes(int(counts.min()))
    plans = [list(_draws(size, numbers, np.asarray(indices), draws, seed)) for size in sizes]
    units, step = activity.shape[1], max(ACTIVITY_BYTES // (8 * len(activity)), 1)
    found: list[list[list[np.ndarray]]] = [[[] for _ in plan] for plan in plans]
    blocks = [slice(start, min(start + step, units)) for start in range(0, units, step)]
    for some in itertools.chain.from_iterable(read_together(activity, blocks)):
        part = np.ascontiguousarray(some, dtype=np.float64)
        for place, plan in enumerate(plans):
            for number, (rows, own, permuted) in enumerate(plan):
                found[place][number].append(_indices(part[rows], own, permuted, sizes[place]))
    rows = [_row(size, [np.concatenate(parts, 1) for parts in each]) for size, each in zip(sizes, found, strict=True)]
    return pd.DataFrame(rows)


def _draws(size: int, labels: np.ndarray, indices: np.ndarray, draws: int, seed: int) -> Iterator[tuple]:
    """Rows of the drawn images in their order, and who is of which class: as they are, and permuted."""
    classes = int(labels.max()) + 1
    for draw in range(draws):
        order = np.lexsort((hashes(seed, "rarefaction", indices, draw), labels))
        first = np.searchsorted(labels[order], labels[order])
        rows = np.sort(order[np.arange(len(order)) - first < size])
        permuted = permuted_labels(seed, labels[rows], indices[rows], 1, draw)[0]
        yield rows, _members(labels[rows], classes), _members(permuted, classes)


def _members(labels: np.ndarray, classes: int) -> sparse.csr_array:
    """(K, n): 1 where an image is of a class."""
    images = np.arange(len(labels))
    return sparse.csr_array((np.ones(len(labels)), (labels, images)), shape=(classes, len(labels)))


def _indices(activity: np.ndarray, own: sparse.csr_array, permuted: sparse.csr_array, size: int) -> np.ndarray:
    """(kinds, U)."""
    counts = np.full(own.shape[0], size)
    present = counts > 0
    sums = own @ activity
    noise = noise_of_means(sums, own @ activity**2, counts)
    means = means_of(sums, counts)
    corrected, reliability = corrected_index(means, noise, present)
    null = index_alone(means_of(permuted @ activity, counts), present)
    resolved = is_resolved(means.mean(0), noise, len(means))
    breadth = np.where(resolved, sparseness(means, noise)[0], np.nan)
    return np.stack([index_alone(means, present), null, corrected, reliability, breadth])


def _row(size: int, draws: list[np.ndarray]) -> dict:
    alive = [~np.isnan(each[0]) for each in draws]
    row = {"images_per_class": size, "draws": len(draws), "units": np.mean([each.sum() for each in alive])}
    for place, kind in enumerate(_MEASURES):
        pairs = [(values[place], some) for values, some in zip(draws, alive, strict=True)]
        if kind == "sparseness":
            each = np.array([mean_resolved(*pair) for pair in pairs])
        else:
            each = np.concatenate([over_units(values[None], some) for values, some in pairs])
        row |= {f"mean_{kind}": float(mean(each)), f"mean_{kind}_sd": float(spread(each))}
    return row


def limits(table: pd.DataFrame) -> dict[str, float]:
    """Where the plain index would go with ever more images: by all n of each class, and the most that are half of it.

    The index falls with n, but by no one law: bias goes as 1/n where the preferred class stands out from the noise of
    the means, as 1/√n or slower where it does not. Both straight lines are given; neither bounds the truth.

    Args:
        table: rows of `rarefied`.

    Returns:
        images_per_class, mean_csi and mean_corrected on all images; limit_in_n, by a line in 1/n; limit_in_root_n, by
        one in 1/√n; NaN where half of all is fewer than two.

    >>> table = pd.DataFrame({"images_per_class": [25, 100], "mean_csi": [0.4, 0.3], "mean_corrected": [0.2, 0.2]})
    >>> found = limits(table)
    >>> round(found["limit_in_n"], 4), round(found["limit_in_root_n"], 4)
    (0.2667, 0.2)
    """
    last, size = table.iloc[-1], int(table["images_per_class"].iloc[-1])
    found = {"images_per_class": size, "mean_csi": last["mean_csi"], "mean_corrected": last["mean_corrected"]}
    fewer = table[table["images_per_class"] <= size / 2]
    for name, power in (("limit_in_n", 1.0), ("limit_in_root_n", 0.5)):
        found[name] = np.nan
        if len(fewer):
            fall = fewer["mean_csi"].iloc[-1] - last["mean_csi"]
            ratio = (size / fewer["images_per_class"].iloc[-1]) ** power
            found[name] = float(last["mean_csi"] - fall / (ratio - 1))
    return found
