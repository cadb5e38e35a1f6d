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
from .style import Look, colors_of, key, keys, lines_of, need, styled

NEEDS = ("gates_classes.csv",)


@styled
def gates_by_class(profiles: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """The mean gate of channels on the images of some classes, with a band of one standard deviation over images.

    Channels are in the order of their mean over all images, which is black.

    Args:
        profiles: rows of `gates_classes.csv` of one network; with a column `training`, of a group, whose trainings are
            drawn below one another, each with its own channels.
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
    if "training" not in profiles:
        profiles = profiles.assign(training="")
    trainings = profiles["training"].unique()
    names = profiles.drop_duplicates("class").set_index("class")["class_name"]
    labels = [label for label in names.index if label >= 0]
    colors, lines = colors_of(labels), lines_of(labels)
    handles = keys(colors, lambda label: str(names[label]), linestyle=lines)
    handles.append(key("all classes", color="black", linewidth=1.4))
    axes: dict[str, Any] = {
        "xlabel": "Channel, by rank of its mean gate",
        "ylabel": title_of("mean", "gates_classes.csv"),
        "title": pretty(networks[0]),
        "times": [pretty(training).rpartition(", ")[2] for training in trainings],
    }
    grid = facets(profiles, "block", 1.0 if len(trainings) > 1 else 2.0, 1.6, handles, note, width, **axes)
    for number, training in enumerate(trainings):
        of_training = profiles[profiles["training"] == training]
        for ax, block in grid.panels(number):
            mine = of_training[of_training["block"] == block]
            whole = mine[mine["class"] < 0].sort_values("mean")
            order, place = whole["unit"].to_numpy(), np.arange(1, len(whole) + 1)
            for label, color in colors.items():
                line = mine[mine["class"] == label].set_index("unit").reindex(order)
                low, high = line["mean"] - line["sd"], line["mean"] + line["sd"]
                ax.fill_between(place, low, high, color=color, alpha=0.15, lw=0)
                ax.plot(place, line["mean"], color=color, linestyle=lines[label], linewidth=0.9)
            ax.plot(place, whole["mean"], color="black", linewidth=1.4)
            ax.set_xticks(sorted({1, max(len(whole), 1)}))
    low, high = grid.axes[0, 0].get_ylim()
    grid.axes[0, 0].set_ylim(max(low, 0), min(high, 1))
    return Drawn(grid.figure, grid.axes)


def pictures(run: StoredRun, look: Look) -> Pictures:
    """One a network or group of trainings; a run with one of them has no number in the file's name."""
    said = run.caption("Bands: one standard deviation over the class's images.")
    table = run.table("gates_classes.csv")
    for name, profiles in each_network(run.by_group(table), "fig_gates_classes", numbered=True):
        of_group = run.group(table.loc[profiles.index[0], "network"]) is not None
        profiles = profiles.assign(training=table["network"]) if of_group else profiles
        yield name, gates_by_class(profiles, said, look.width)[0]
