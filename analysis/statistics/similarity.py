"""Two networks on the same images: how alike their blocks are as a whole, and each unit's best match in the other.

Only images (rows) of an activity are alike: units may be other ones, and more or fewer.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import UsageError
from ..randomness import stratified_halves
from .lazily import cached_property

ROWS = 4096
"""Images that are read at a time: memory is that of products of units with units, whatever the number of images."""

FEWEST = 5
"""Images: the debiased estimate needs four, and each is left out once."""


@dataclass(frozen=True)
class Alikeness:
    """Linear centred kernel alignment of two blocks.

    Args:
        cka: debiased, 0 where nothing is shared; it may be a little below.
        biased: as it is most often given, too high for few images and many units.
        se: standard error of `cka` over images, by leaving each out once.
    """

    cka: float
    biased: float
    se: float


class Centred:
    """A block's activities less each unit's mean, read in parts, and what they have in common with themselves.

    Args:
        activity: (N, U) of any float type; may be a memory-mapped file. No value may be NaN or infinite.
        name: of the block, for messages.

    Attributes:
        units: U.
        norms: (N,) squared length of each image's row.
        own: HSIC of the block with itself.

    Raises:
        UsageError: fewer than five images, or activities that are not finite.
    """

    def __init__(self, activity: np.ndarray, name: str = "features"):
        if activity.ndim != 2 or len(activity) < FEWEST:
            raise UsageError(
                f"activities {activity.shape} of `{name}`; expected (images, units) of at least {FEWEST} images"
            )
        self._activity = activity
        self.units = activity.shape[1]
        self._means = np.zeros(self.units)
        for rows in _parts(len(activity)):
            self._means += activity[rows].sum(0, dtype=np.float64) / len(activity)
        if not np.isfinite(self._means).all():
            raise UsageError(f"layer `{name}` has activities that are NaN or infinite; expected numbers")
        self.norms = np.concatenate([np.square(part).sum(1) for _, part in self.parts()])
        self.own = hsic(self, self)

    def __len__(self) -> int:
        return len(self._activity)

    def parts(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows, and (rows, U) float64 of them."""
        for rows in _parts(len(self._activity)):
            yield rows, self._activity[rows] - self._means


@dataclass(frozen=True)
class Hsic:
    """The Hilbert–Schmidt independence criterion of two blocks with linear kernels, up to a factor of all of them.

    Args:
        debiased: of Song et al. (JMLR 2012), equation 5.
        biased: of Gretton et al. (2005).
        without: (N,) the debiased one without each image.
    """

    debiased: float
    biased: float
    without: np.ndarray


def hsic(one: Centred, other: Centred) -> Hsic:
    """HSIC of two blocks from their cross-product: images × images is never made.

    With K = XXᵀ and L = YYᵀ of centred rows, both without their diagonals, K·1 = −a, the squared lengths of the rows of
    X, and L·1 = −b. The debiased estimate is then

        (tr KL + Σa Σb / ((n − 1)(n − 2)) − 2 a·b / (n − 2)) / (n (n − 3)),   tr KL = ‖XᵀY‖² − a·b,

    and that without an image i has the same sums less the i-th row and column of K and L.

    Raises:
        UsageError: blocks of unlike numbers of images.
    """
    if len(one) != len(other):
        raise UsageError(f"{len(one)} and {len(other)} images; expected the same ones")
    a, b, n = one.norms, other.norms, len(one)
    cross = np.zeros((one.units, other.units))
    xb, ya = np.zeros(one.units), np.zeros(other.units)
    for rows, x, y in _both(one, other):
        cross += x.T @ y
        xb += b[rows] @ x
        ya += a[rows] @ y
    row_traces, row_products = np.empty(n), np.empty(n)
    for rows, x, y in _both(one, other):
        row_traces[rows] = np.einsum("iu,iu->i", x @ cross, y) - a[rows] * b[rows]
        row_products[rows] = x @ xb + y @ ya - 3 * a[rows] * b[rows]
    square = float(np.square(cross).sum())
    trace, product = square - a @ b, a @ b
    whole = _debiased(trace, a.sum() * b.sum(), product, n)
    sums_without = (a.sum() - 2 * a) * (b.sum() - 2 * b)
    without = _debiased(trace - 2 * row_traces, sums_without, product + row_products + row_traces, n - 1)
    return Hsic(float(whole), square / (n - 1) ** 2, without)


def _both(one: Centred, other: Centred) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    for (rows, x), (_, y) in zip(one.parts(), other.parts(), strict=True):
        yield rows, x, y


def _debiased(trace, sums, product, images: int):
    """Of one number each or of (N,) of them."""
    corrected = trace + sums / ((images - 1) * (images - 2)) - 2 * product / (images - 2)
    return corrected / (images * (images - 3))


def cka(one: Centred, other: Centred) -> Alikeness:
    """Linear CKA (Kornblith et al., ICML 2019), with the debiased HSIC (Nguyen et al., ICLR 2021), and its error.

    It is 1 for blocks that are equal up to rotation, shift and one scale, and 0 where no direction of the one varies
    with any of the other. NaN where a block does not vary. The standard error is the jackknife's, exact for each image
    left out: a bootstrap would draw images twice, and the product of an image with its copy is what the debiased
    estimate leaves out.

    >>> x = np.random.default_rng(0).random((30, 3))
    >>> cka(Centred(x), Centred(2 * x[:, ::-1] + 1))  # other order, scale and shift
    Alikeness(cka=1.0, biased=1.0, se=0.0)
    """
    both = hsic(one, other)
    value = _ratio(both.debiased, one.own.debiased, other.own.debiased)
    without = _ratio(both.without, one.own.without, other.own.without)
    error = np.sqrt((len(one) - 1) * without.var())
    biased = _ratio(both.biased, one.own.biased, other.own.biased)
    return Alikeness(*(round(float(each), 12) for each in (value, biased, error)))


def _ratio(cross, own, others):
    cross, product = np.asarray(cross), np.asarray(own) * others
    real = (np.asarray(own) > 0) & (np.asarray(others) > 0)
    return np.divide(cross, np.sqrt(np.where(real, product, 1)), out=np.full(cross.shape, np.nan), where=real)


def _parts(images: int) -> Iterator[slice]:
    for start in range(0, images, ROWS):
        yield slice(start, min(start + ROWS, images))


def best_matches(
    one: np.ndarray, other: np.ndarray, labels: np.ndarray, indices: np.ndarray, seed: int = 0
) -> tuple[pd.DataFrame, float]:
    """Of each unit of one block the unit of another that correlates with it most over images, and how much it does.

    The highest of many correlations is too high by the choice itself. So the match is chosen on one half of the images
    and its correlation taken from the other half; the two directions are averaged.

    Args:
        one, other: (N, U), (N, V) activities on the same images.
        labels, indices: (N,) of the images; halves are drawn by hash within classes.
        seed: of the halves.

    Returns:
        A row for each unit of `one`: unit, match (chosen on all images; −1 for a unit that does not vary), correlation
        (of two halves; NaN for such a unit), and correlation_chosen, the match's own on the images it was chosen on.
        A half in which a unit does not vary counts 0. Then the standard error of the mean correlation over images, the
        choices as they are.

    Raises:
        UsageError: fewer than five images.
    """
    if len(one) < FEWEST or len(one) != len(other):
        raise UsageError(f"{len(one)} and {len(other)} images; expected the same ones, at least {FEWEST}")
    halves = stratified_halves(seed, labels, indices)
    rows = [np.flatnonzero(halves == half) for half in (0, 1)]
    shifted = _Shifted(one, other)
    moments = [shifted.moments(each) for each in rows]
    whole = moments[0] + moments[1]
    correlations = whole.correlations()
    match, units = correlations.argmax(1), np.arange(one.shape[1])
    alive = (whole.spreads[0] > 0) & (whole.spreads[1] > 0).any()
    found, influence = np.zeros(len(units)), np.zeros(len(one))
    for chosen, measured in ((0, 1), (1, 0)):
        partner = moments[chosen].correlations().argmax(1)
        real = alive & (moments[chosen].spreads[0] > 0)  # who does not vary there has chosen nothing
        value = np.where(real, moments[measured].correlations()[units, partner], 0.0)
        found += value / 2
        moved = shifted.influences(rows[measured], moments[measured], partner, np.where(real, value, np.nan))
        influence[rows[measured]] = moved / max(alive.sum(), 1) * len(one) / (2 * len(rows[measured]))
    table = pd.DataFrame(
        {
            "unit": units,
            "match": np.where(alive, match, -1),
            "correlation": np.where(alive, found, np.nan),
            "correlation_chosen": np.where(alive, correlations[units, match], np.nan),
        }
    )
    error = float(influence.std(ddof=1) / np.sqrt(len(one)))
    return table, error if alive.any() else float("nan")


@dataclass(frozen=True)
class _Moments:
    """Over some images, of two blocks: the sums of units, of their squares, and of products of unit and unit."""

    count: int
    sums: tuple[np.ndarray, np.ndarray]
    squares: tuple[np.ndarray, np.ndarray]
    products: np.ndarray

    def __add__(self, more: "_Moments") -> "_Moments":
        sums = (self.sums[0] + more.sums[0], self.sums[1] + more.sums[1])
        squares = (self.squares[0] + more.squares[0], self.squares[1] + more.squares[1])
        return _Moments(self.count + more.count, sums, squares, self.products + more.products)

    @property
    def means(self) -> list[np.ndarray]:
        return [sums / self.count for sums in self.sums]

    @cached_property
    def spreads(self) -> list[np.ndarray]:
        """Standard deviations of each block's units; 0 for what varies in its last bits alone."""
        found = []
        for sums, squares in zip(self.sums, self.squares, strict=True):
            variance = (squares - sums**2 / self.count) / self.count
            found.append(np.sqrt(np.where(variance * self.count > 1e-12 * squares, variance, 0)))
        return found

    def correlations(self) -> np.ndarray:
        """(U, V), 0 where one does not vary."""
        shared = self.products / self.count - np.outer(*self.means)
        scale = np.outer(*self.spreads)
        return np.divide(shared, scale, out=np.zeros_like(shared), where=scale > 0)


class _Shifted:
    """Activities of two blocks less a value near each unit's mean, so that sums of squares lose no digits."""

    def __init__(self, one: np.ndarray, other: np.ndarray):
        self._blocks = (one, other)
        self._near = tuple(block[:ROWS].mean(0, dtype=np.float64) for block in self._blocks)

    def _parts(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        for part in _parts(len(rows)):
            x, y = (block[rows[part]] - near for block, near in zip(self._blocks, self._near, strict=True))
            yield part, x, y

    def moments(self, rows: np.ndarray) -> _Moments:
        widths = [block.shape[1] for block in self._blocks]
        total = _Moments(0, _zeros(widths), _zeros(widths), np.zeros(widths))
        for _, x, y in self._parts(rows):
            total = total + _Moments(len(x), (x.sum(0), y.sum(0)), ((x**2).sum(0), (y**2).sum(0)), x.T @ y)
        return total

    def influences(self, rows: np.ndarray, moments: _Moments, partner: np.ndarray, value: np.ndarray) -> np.ndarray:
        """(rows,) by how much each image moves the sum over units of the correlation with a partner.

        Args:
            value: (U,) of these correlations, NaN for a unit that has none.
        """
        real = ~np.isnan(value) & (moments.spreads[0] > 0) & (moments.spreads[1][partner] > 0)
        mine, theirs = np.flatnonzero(real), partner[real]
        found = np.zeros(len(rows))
        for part, x, y in self._parts(rows):
            u = (x[:, mine] - moments.means[0][mine]) / moments.spreads[0][mine]
            v = (y[:, theirs] - moments.means[1][theirs]) / moments.spreads[1][theirs]
            found[part] = (u * v - value[mine] * (u**2 + v**2) / 2).sum(1)
        return found


def _zeros(widths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(widths[0]), np.zeros(widths[1])
