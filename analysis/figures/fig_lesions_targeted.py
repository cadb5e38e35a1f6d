"""Class-targeted lesions: accuracy lost against how many of a class's most selective units are dropped."""

from typing import Any

import pandas as pd

from ..results.tables import brief_of, title_of
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun
from .style import (
    THIN,
    Look,
    bars_said,
    colors_of,
    each_training,
    key,
    keys,
    markers_of,
    need,
    percent_axis,
    reach,
    styled,
)

NEEDS = {"lesions_targeted.csv": ("own_low", "own_high", "another_low", "another_high")}


@styled
def targeted_lesions(
    targeted: pd.DataFrame, note: str = "", width: float | None = None, trainings: pd.DataFrame | None = None
) -> Drawn:
    """Accuracy lost without the k units most selective for each image's own class (solid) or another (dashed).

    With 95 % intervals over images; of a group of trainings their mean without them, and each training, thin.

    Args:
        targeted: rows of `lesions_targeted.csv`.
        note: what the images are.
        width: inches.
        trainings: where networks are groups, rows of each training, `network` its group's and `training` its own label.
    """
    targeted = need(targeted, "targeted lesions")
    networks, ticks = targeted["network"].unique(), sorted(targeted["k"].unique())
    colors, markers = colors_of(networks), markers_of(networks)
    handles = [
        *keys(colors, marker=markers),
        key(brief_of("own"), color="0.3"),
        key(brief_of("another"), color="0.3", linestyle="--"),
    ]
    labels: dict[str, Any] = {"xlabel": title_of("k"), "ylabel": "Accuracy lost", "sharex": True}
    grid = facets(targeted, "block", 1.5, 1.7, handles, note, width, **labels)
    for ax, block, here in grid:
        ax.axhline(0, color="0.4", linewidth=0.8)
        for label, color in colors.items():
            mine, several = here[here["network"] == label], each_training(trainings, label, block)
            for of, line in (("own", "-"), ("another", "--")):
                look: dict[str, Any] = {"color": color, "linestyle": line}
                errors = None if several else reach(mine[of], mine[f"{of}_low"], mine[f"{of}_high"])
                mean: dict[str, Any] = {"marker": markers[label], "markersize": 3, "linewidth": 1, "capsize": 1.5}
                ax.errorbar(mine["k"], mine[of], errors, **mean, **look)
                for each in several:
                    ax.plot(each["k"], each[of], **look, **THIN)
        ax.set_xscale("log", base=2)
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        percent_axis(ax.yaxis)
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    """One for all networks."""
    targeted = run.table("lesions_targeted.csv")
    if len(targeted):
        numbers = [name for name in targeted if name.startswith(("own", "another"))]
        targeted, each = run.group_means(targeted, ("network", "block", "k"), numbers)
        said = bars_said("Bars: 95 % over images.", targeted["network"], each)
        yield "fig_lesions_targeted", targeted_lesions(targeted, run.caption(said), look.width, each)[0]
