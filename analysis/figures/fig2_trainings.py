"""The gap in mean selectivity between groups of trainings, against depth, with each pair of trainings."""

import pandas as pd

from .drawn import Drawn, Pictures
from .fig2_gap import LOOKS, gap_facets, gap_panels
from .stored import StoredRun
from .style import THIN, Look, named, need, reach, styled

NEEDS = ("selectivity_gap_trainings.csv", "selectivity_gap_seeds.csv")
SHOWN = ("sparseness", "mean")


@styled
def selectivity_gap_over_trainings(
    gaps: pd.DataFrame, seeds: pd.DataFrame, note: str = "", width: float | None = None
) -> Drawn:
    """The gap in mean selectivity of groups of trainings to the reference group, against depth.

    Thick: the mean over trainings, with its 95 % interval over trainings and images; thin: each pair of trainings of
    one seed. The sparseness of class means, and beside it the index.

    Args:
        gaps: rows of `selectivity_gap_trainings.csv`.
        seeds: rows of `selectivity_gap_seeds.csv`.
        note: what the images are.
        width: inches.
    """
    gaps, seeds = need(gaps, "selectivity gap"), named(seeds)
    several = gaps["low"].notna().any()
    said = "Thin: each pair of trainings of one seed. "
    said += "Bars: 95 % intervals over trainings and images." if several else "No intervals of single trainings."
    grid = gap_facets(gaps, [LOOKS[kind].key for kind in SHOWN], f"{said} {note}", width)
    for ax, network, mine in gap_panels(grid):
        for shift, kind in zip((-0.12, 0.12), SHOWN, strict=True):
            each = seeds[(seeds["network"] == network) & (seeds["gap"] == kind)]
            for _, line in each.groupby("seed"):
                ax.plot(line["depth"] + shift, line["value"], color=LOOKS[kind].color, **THIN)
            mean = mine[mine["gap"] == kind]
            errors = reach(mean["mean"], mean["low"], mean["high"])
            look = LOOKS[kind].look | {"linewidth": 1.6, "linestyle": "-" if kind == SHOWN[0] else "--"}
            ax.errorbar(mean["depth"] + shift, mean["mean"], errors, capsize=2, **look)
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    gaps = run.table("selectivity_gap_trainings.csv")
    if not gaps.empty:
        seeds = run.table("selectivity_gap_seeds.csv")
        yield "fig2_trainings", selectivity_gap_over_trainings(gaps, seeds, run.caption(), look.width)[0]
