"""How many trainings a claim takes: its power, from what a run's own trainings scatter by."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from .trainings import LEAST, LEVEL, between_trainings, over_trainings

ASKED = (3, 5, 8, 10)
"""Trainings of each network."""

ENOUGH = 0.8
"""The power that a claim should have."""

MOST = 50
"""Trainings that anybody would make."""

DRAWN = 4000
"""Simulated studies of a number of trainings; the standard error of a power is 0.008 at most."""

IMAGES = 1000
"""Degrees of freedom of the simulated error over images: it is known well."""


def power(claims: pd.DataFrame) -> pd.DataFrame:
    """The power of claims at each of `ASKED`, and the trainings that each takes.

    The claim's number is taken for the truth, and the spread of its trainings for that of all trainings; between two
    networks, both are taken to scatter alike. Studies of so many trainings are simulated and tested as theirs would be,
    each by itself: Holm's correction over several networks asks for more. A spread that is known from three trainings
    is known to a factor of two.

    Args:
        claims: a row for each, with mean, se_trainings, se_images, trainings, and reference_trainings where it is of
            two networks; rows without se_trainings are left out. Other columns are kept.

    Returns:
        The rows' other columns, then effect, sd_trainings (of one training), se_images, the power at each number of
        `ASKED` (power_3 and so on), trainings_needed (the fewest of each network whose power is 0.8; NaN where 50 are
        too few), and power_of_any (with as many trainings as one likes, over these images).
    """
    rows = {}
    for place, row in zip(claims.index, claims.to_dict("records"), strict=True):
        if not row["se_trainings"] > 0:
            continue
        of_two = not np.isnan(row.get("reference_trainings", np.nan))
        parts = 1 / row["trainings"] + (1 / row["reference_trainings"] if of_two else 0)
        spread = row["se_trainings"] / np.sqrt(parts)
        study = _Study(row["mean"], spread, row["se_images"], of_two)
        found = {"effect": row["mean"], "sd_trainings": spread, "se_images": row["se_images"]}
        found |= {f"power_{number}": study.power(number) for number in ASKED}
        found |= {"trainings_needed": study.needed(), "power_of_any": replace(study, spread=0.0).power(LEAST)}
        rows[place] = {name: row[name] for name in row if name not in _OVER} | found
    return pd.DataFrame(list(rows.values()), index=list(rows))


_OVER = (
    "mean",
    "se",
    "se_trainings",
    "se_images",
    "df",
    "low",
    "high",
    "p",
    "p_holm",
    "early",
    "late",
    "bias",
    "cover",
)
"""Columns of claims that are not told again."""


@dataclass(frozen=True)
class _Study:
    """A claim that is tested.

    Args:
        effect: its true number.
        spread: standard deviation of one training's.
        of_images: standard error over images.
        of_two: whether it is of two networks.
    """

    effect: float
    spread: float
    of_images: float
    of_two: bool

    def power(self, number: int) -> float:
        """How often it is resolved with so many trainings of each network."""
        rng = np.random.default_rng(number)
        mine = self.effect + self.of_images * rng.standard_normal(DRAWN)
        mine = mine + self.spread * rng.standard_normal((number, DRAWN))
        errors = np.full(DRAWN, self.of_images)
        if self.of_two:
            theirs = self.spread * rng.standard_normal((number, DRAWN))
            table = between_trainings(mine[:, None] - theirs[None], errors, IMAGES)
        else:
            table = over_trainings(mine, errors, IMAGES)
        return float((table["p"] < 1 - LEVEL).mean())

    def needed(self) -> float:
        """The fewest trainings of enough power, by halving, since power grows with their number."""
        if self.power(MOST) < ENOUGH:
            return np.nan
        low, high = LEAST, MOST
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.power(middle) >= ENOUGH else (middle + 1, high)
        return low


def power_sentences(table: pd.DataFrame) -> Iterator[str]:
    """What each claim takes.

    Args:
        table: of `power`.
    """
    for row in table.to_dict("records"):
        named = [row[name] for name in ("claim", "network", "reference", "score", "metric") if _is_told(row.get(name))]
        about = f"{', '.join(named)}: {row['statistic']} {row['effect']:+.4g}"
        about += f", sd over trainings {row['sd_trainings']:.2g}"
        powers = ", ".join(f"{row[f'power_{number}']:.0%} with {number}" for number in ASKED)
        if np.isnan(row["trainings_needed"]):
            takes = f"{MOST} trainings of each network are too few for {ENOUGH:.0%}"
            if row["power_of_any"] < ENOUGH:
                takes = f"no number of trainings is enough on these images ({row['power_of_any']:.0%} at most)"
        else:
            takes = f"{ENOUGH:.0%} takes {row['trainings_needed']:.0f} trainings of each network"
        yield f"{about}; power {powers}; {takes}."


def _is_told(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def claims_of(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """All claims of a run's tables, below each other.

    Args:
        tables: by file name, those of `TABLES` that there are.
    """
    found: list[pd.DataFrame] = []
    for name, table in tables.items():
        if name == "evaluation_gap_trainings.csv":
            table = table.assign(claim="T1", statistic="error in percent of the images, less that of the reference")
        found.append(table)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


TABLES: Sequence[str] = ("selectivity_claims.csv", "pruning_claims.csv", "evaluation_gap_trainings.csv")
"""Tables of a run with a row a claim."""
