"""Do indices predict lesions: a heat map of rank correlations, index by damage, block by block."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..names import paper_name, pretty
from .drawn import Drawn
from .stored import StoredRun
from .style import WIDTH, Look, hide_rest, in_rows, named, need, panels, styled

NEEDS = ("lesions_agreement.csv",)
NAMES = {
    "loss": "loss",
    "loss_own": "loss, own class",
    "loss_others": "loss, other classes",
    "logit_own": "logit, own class",
    "accuracy": "accuracy",
    "accuracy_own": "accuracy, own class",
}
INDICES = {"csi_corrected": "csi, corrected", "active_fraction": "active share", "mu_max": "highest mean"}


@styled
def lesion_agreement(agreement: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """Spearman's correlation over units of each index with each damage, a panel a block.

    A number in bold has a 95 % interval over units without 0.

    Args:
        agreement: rows of `lesions_agreement.csv` of one network.
        note: what the images are.
        width: inches.
    """
    need(agreement, "lesions")
    agreement = named(agreement)
    blocks = list(agreement["block"].unique())
    width = width or WIDTH
    indices, measures = (list(agreement[name].unique()) for name in ("index", "damage"))
    rows, columns = in_rows(len(blocks), width, 1.7)
    height = 0.19 * len(indices) + 0.35
    note = f"{pretty(agreement['network'].iloc[0])}. {note}"
    figure, axes = panels(rows, columns, width, height + 0.25, note=note, sharex=True, sharey=True)
    for ax, block in zip(axes.flat, blocks, strict=False):
        mine = agreement[agreement["block"] == block].set_index(["index", "damage"])
        values = np.array([[mine.loc[(index, each), "correlation"] for each in measures] for index in indices])
        ax.imshow(values, cmap=plt.get_cmap("RdBu_r"), vmin=-1, vmax=1, aspect="auto")
        for row, index in enumerate(indices):
            for column, each in enumerate(measures):
                cell = mine.loc[(index, each)]
                if np.isnan(cell["correlation"]):
                    continue
                clear = cell["low"] > 0 or cell["high"] < 0
                ax.text(
                    column,
                    row,
                    f"{cell['correlation']:.1f}".replace("-", "−"),
                    ha="center",
                    va="center",
                    fontsize=5.5,
                    weight="bold" if clear else "normal",
                    color="white" if abs(cell["correlation"]) > 0.6 else "black",
                )
        ax.set_xticks(range(len(measures)), [NAMES.get(each, each) for each in measures], fontsize=6)
        ax.tick_params(axis="x", rotation=90)
        ax.set_yticks(range(len(indices)), [INDICES.get(each, each) for each in indices], fontsize=6)
        ax.grid(False)
        ax.set_title(paper_name(block))
    hide_rest(axes, len(blocks))
    return Drawn(figure, axes)


def pictures(run: StoredRun, look: Look) -> Iterator[tuple[str, Figure]]:
    """One a network."""
    agreement = run.table("lesions_agreement.csv")
    networks = list(agreement["network"].unique()) if len(agreement) else []
    said = "Bold: 95 % over units leaves 0 out. Index on one half of the images, damage on the other."
    for at, network in enumerate(networks):
        name = "fig_lesions" + (f"_{at + 1}" if len(networks) > 1 else "")
        yield name, lesion_agreement(agreement[agreement["network"] == network], run.caption(said), look.width)[0]
