"""Distributions of other indices of selectivity, block by block, like figure 2."""

from ..statistics import INDICES
from .drawn import Pictures
from .fig2_selectivity import by_group, selectivity
from .stored import StoredRun
from .style import Look

NEEDS = ("selectivity_indices.csv",)


def pictures(run: StoredRun, look: Look) -> Pictures:
    """One of each index."""
    table = run.table("selectivity_indices.csv")
    if table.empty:
        return
    units, reference, together = by_group(run, table)
    for index, rows in units.groupby("index", sort=False):
        if index != "csi" and rows["value"].notna().any():
            said = run.caption(*([f"{INDICES[index].definition}."] if index in INDICES else []), together)
            yield f"fig2_{index}", selectivity(rows, reference, said, index, look.bins, look.width)[0]
