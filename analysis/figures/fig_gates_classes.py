"""Mean gates of some channels by class, after figure 7 of the SE authors' journal paper (arXiv 1709.01507)."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..errors import UsageError
from ..names import paper_name, pretty
from .drawn import Drawn
from .stored import StoredRun
from .style import PALETTE, WIDTH, Look, hide_rest, in_rows, key, named, need, panels, styled

NEEDS = ("gates_classes.csv",)


@styled
def gates_by_class(profiles: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """The mean gate of channels on the images of some classes, with a band of one standard deviation over images.

    Channels are in the order of their mean over all images, which is black.

    Args:
        profiles: rows of `gates_classes.csv` of one network.
        note: what the images are.
        width: inches.

    Raises:
        UsageError: several networks.
    """
    need(profiles, "gates")
    if len(networks := profiles["network"].unique()) > 1:
        raise UsageError(
            f"gates of {', '.join(networks)}: expected those of one network, as this figure has one a time"
        )
    profiles = named(profiles)
    blocks = list(profiles["block"].unique())
    width = width or WIDTH
    classes = [label for label in profiles["class"].unique() if label >= 0]
    names = profiles.drop_duplicates("class").set_index("class")["class_name"]
    colors = {label: PALETTE[at % len(PALETTE)] for at, label in enumerate(classes)}
    handles = [key(str(names[label]), color=color) for label, color in colors.items()]
    handles.append(key("all classes", color="black", linewidth=1.4))
    rows, columns = in_rows(len(blocks), width, 2.0)
    labels = {"xlabel": "Channels, by their mean gate", "ylabel": "Gate"}
    title = pretty(profiles["network"].iloc[0])
    figure, axes = panels(rows, columns, width, 1.6, handles, note, title=title, sharey=True, **labels)
    for ax, block in zip(axes.flat, blocks, strict=False):
        mine = profiles[profiles["block"] == block]
        order = mine[mine["class"] < 0].sort_values("mean")["unit"].to_numpy()
        place = np.arange(len(order))
        for label, color in colors.items():
            line = mine[mine["class"] == label].set_index("unit").reindex(order)
            ax.fill_between(place, line["mean"] - line["sd"], line["mean"] + line["sd"], color=color, alpha=0.15, lw=0)
            ax.plot(place, line["mean"], color=color, linewidth=0.9)
        whole = mine[mine["class"] < 0].set_index("unit").reindex(order)
        ax.plot(place, whole["mean"], color="black", linewidth=1.4)
        ax.set_xticks([])
        ax.set_title(paper_name(block))
    axes[0, 0].set_ylim(0, 1)
    hide_rest(axes, len(blocks))
    return Drawn(figure, axes)


def pictures(run: StoredRun, look: Look) -> Iterator[tuple[str, Figure]]:
    """One a network; a run with one network has no network's name in the file's."""
    profiles = run.table("gates_classes.csv")
    networks = list(profiles["network"].unique()) if len(profiles) else []
    said = "Bands: one standard deviation over the class's images."
    for at, network in enumerate(networks):
        name = "fig_gates_classes" + (f"_{at + 1}" if len(networks) > 1 else "")
        yield name, gates_by_class(profiles[profiles["network"] == network], run.caption(said), look.width)[0]
