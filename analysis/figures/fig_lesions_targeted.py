"""Class-targeted lesions: accuracy lost against how many of a class's most selective units are dropped."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..names import paper_name, pretty
from .drawn import Drawn
from .stored import StoredRun
from .style import (
    THIN,
    WIDTH,
    Look,
    bars_said,
    colors_of,
    each_training,
    hide_rest,
    in_rows,
    key,
    named,
    need,
    panels,
    percent_axis,
    styled,
)

NEEDS = ("lesions_targeted.csv",)


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
    need(targeted, "targeted lesions")
    targeted = named(targeted)
    blocks = list(targeted["block"].unique())
    width = width or WIDTH
    colors = colors_of(targeted["network"].unique())
    handles = [key(pretty(label), color=color) for label, color in colors.items()]
    handles += [key("own class", color="0.3"), key("another class", color="0.3", linestyle="--")]
    rows, columns = in_rows(len(blocks), width, 1.5)
    labels = {"xlabel": "Units dropped", "ylabel": "Accuracy lost"}
    figure, axes = panels(rows, columns, width, 1.7, handles, note, sharex=True, sharey=True, **labels)
    for ax, block in zip(axes.flat, blocks, strict=False):
        ax.axhline(0, color="0.4", linewidth=0.8)
        for label, color in colors.items():
            mine = targeted[(targeted["block"] == block) & (targeted["network"] == label)]
            several = each_training(trainings, label, block)
            for of, line in (("own", "-"), ("another", "--")):
                reach = np.stack([mine[of] - mine[f"{of}_low"], mine[f"{of}_high"] - mine[of]])
                style = {"color": color, "linestyle": line, "linewidth": 1, "capsize": 1.5}
                ax.errorbar(mine["k"], mine[of], None if several else reach, **style)
                for each in several:
                    ax.plot(each["k"], each[of], color=color, linestyle=line, **THIN)
        ax.set_xscale("log", base=2)
        ticks = sorted(targeted["k"].unique())
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        percent_axis(ax.yaxis)
        ax.set_title(paper_name(block))
    hide_rest(axes, len(blocks))
    return Drawn(figure, axes)


def pictures(run: StoredRun, look: Look) -> Iterator[tuple[str, Figure]]:
    """One for all networks."""
    targeted = run.table("lesions_targeted.csv")
    if len(targeted):
        numbers = [name for name in targeted if name.startswith(("own", "another"))]
        targeted, each = run.group_means(targeted, ("network", "block", "k"), numbers)
        said = bars_said("Bars: 95 % over images.", targeted["network"], each)
        yield "fig_lesions_targeted", targeted_lesions(targeted, run.caption(said), look.width, each)[0]
