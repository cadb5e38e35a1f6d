"""Mean gates of some channels by class, after figure 7 of the SE authors' journal paper (arXiv 1709.01507)."""

from typing import Any

import numpy as np
import pandas as pd

from ..errors import UsageError
from ..names import pretty
from ..results.tables import title_of
from .drawn import Drawn, Pictures
from .facets import facets
from .stored import StoredRun, each_network
from .style import Look, colors_of, key, keys, need, styled

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
    profiles = need(profiles, "gates")
    if len(networks := profiles["network"].unique()) > 1:
        raise UsageError(
            f"gates of {', '.join(networks)}: expected those of one network, as this figure has one a time"
        )
    names = profiles.drop_duplicates("class").set_index("class")["class_name"]
    colors = colors_of([label for label in names.index if label >= 0])
    handles = [*keys(colors, lambda label: str(names[label])), key("all classes", color="black", linewidth=1.4)]
    labels: dict[str, Any] = {
        "xlabel": "Channels, by their mean gate",
        "ylabel": title_of("mean", "gates_classes.csv"),
        "title": pretty(networks[0]),
    }
    grid = facets(profiles, "block", 2.0, 1.6, handles, note, width, **labels)
    for ax, _, mine in grid:
        whole = mine[mine["class"] < 0].sort_values("mean")
        order, place = whole["unit"].to_numpy(), np.arange(len(whole))
        for label, color in colors.items():
            line = mine[mine["class"] == label].set_index("unit").reindex(order)
            ax.fill_between(place, line["mean"] - line["sd"], line["mean"] + line["sd"], color=color, alpha=0.15, lw=0)
            ax.plot(place, line["mean"], color=color, linewidth=0.9)
        ax.plot(place, whole["mean"], color="black", linewidth=1.4)
        ax.set_xticks([])
    grid.axes[0, 0].set_ylim(0, 1)
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    """One a network; a run with one network has no network's name in the file's."""
    said = run.caption("Bands: one standard deviation over the class's images.")
    for name, profiles in each_network(run.table("gates_classes.csv"), "fig_gates_classes", numbered=True):
        yield name, gates_by_class(profiles, said, look.width)[0]
