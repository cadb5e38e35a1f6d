"""Tables in, figures out: each function returns a figure and its axes, and neither shows nor saves them."""

import re
import textwrap
from collections.abc import Callable, Mapping
from functools import wraps
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from analysis.errors import UsageError
from analysis.names import paper_name, pretty
from analysis.statistics.comparison import half_width

PALETTE = sns.color_palette("colorblind")
BINS = np.linspace(0, 1, 41)
INDEX_TITLES = {
    "csi": "Class selectivity index",
    "precision": "Precision of the top images",
    "ccmas": "Class-conditional mean activity selectivity",
    "auc": "Best area under a ROC curve",
    "mi": "Mutual information of class and activity (bits)",
}
UNITS_SHOWN = 8
_STYLE = {"axes.grid": True, "grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False}
_STYLE |= {"font.size": 8, "axes.titlesize": 9, "legend.fontsize": 7.5}


def _styled(draw: Callable) -> Callable:
    """The project's style for all that a function draws, and for nothing else."""

    @wraps(draw)
    def styled(*args, **options):
        with plt.rc_context(_STYLE):
            return draw(*args, **options)

    return styled


def _axes(rows: int, columns: int, width: float, height: float, **options) -> tuple[Figure, np.ndarray]:
    return plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained", **options)


def _need(table: pd.DataFrame, name: str) -> None:
    if table.empty:
        raise UsageError(f"the {name} table is empty: nothing to draw")


@_styled
def optimisation(training: pd.DataFrame, note: str = "") -> tuple[Figure, np.ndarray]:
    """Figure 1: top-1 error (%) against epoch, training set left and validation set right.

    Args:
        training: rows of `training.csv`, of one or several networks.
        note: what the images are, put under the axes.
    """
    _need(training, "training")
    figure, axes = _axes(1, 2, 6.8, 2.7, sharey=True)
    for ax, split, title in zip(axes[0], ("train", "val"), ("Training set", "Validation set"), strict=True):
        rows = training[training["split"] == split]
        for color, (label, curve) in zip(cycle(PALETTE), rows.groupby("network", sort=False), strict=False):
            marker = "o" if len(curve) <= 20 else ""
            ax.plot(curve["epoch"], curve["top1_error"], color=color, label=pretty(label), marker=marker, markersize=3)
        ax.set(title=title, xlabel="Epoch", ylim=(0, None))
    axes[0, 0].set_ylabel("Top-1 error (%)")
    axes[0, 1].legend(frameon=False)
    _footnote(figure, note)
    return figure, axes


@_styled
def selectivity(
    selectivity: pd.DataFrame, reference: str | None = None, note: str = "", index: str = "csi"
) -> tuple[Figure, np.ndarray]:
    """Figure 2: the distribution of the class selectivity index, block by block; a row for each compared network.

    Each panel overlays the reference with one other network; edges are fixed on [0, 1]; dead units, which have no
    index, are counted in the panel.

    Args:
        selectivity: rows of `selectivity.csv`, or of one index of `selectivity_indices.csv`.
        reference: the network drawn in every panel; the first by default.
        note: what the images are.
        index: which index the rows are of; of another than csi, the column `value` is drawn.
    """
    _need(selectivity, "selectivity")
    drawn_column, title = ("csi" if index == "csi" else "value"), INDEX_TITLES[index]
    highest = 1.0 if index != "mi" else float(np.nanmax([selectivity[drawn_column].max(), 0.1]))
    labels = list(selectivity["network"].unique())
    reference = reference or labels[0]
    if reference not in labels:
        raise UsageError(f"no network `{reference}` in the table; it has {', '.join(labels)}")
    others = [label for label in labels if label != reference] or [reference]
    colors = dict(zip([reference, *others], cycle(PALETTE), strict=False))
    blocks = list(selectivity["block"].unique())
    width, height = max(1.2 * len(blocks), 3.2), 1.35 * len(others) + 0.8
    figure, axes = _axes(len(others), len(blocks), width, height, sharex=True, sharey=True)
    values = selectivity.set_index(["network", "block"])[drawn_column]
    for row, other in enumerate(others):
        for column, block in enumerate(blocks):
            drawn = [label for label in dict.fromkeys((reference, other)) if (label, block) in values.index]
            shown = {label: values.loc[[(label, block)]].to_numpy() for label in drawn}
            _overlay(axes[row, column], shown, colors, BINS * highest)
            if row == 0:
                axes[row, column].set_title(paper_name(block))
        axes[row, 0].set_ylabel("Share of units")
    axes[0, 0].set(xlim=(0, highest))
    ticks = [0, highest / 2, highest]
    axes[0, 0].set_xticks(ticks, [f"{tick:.2g}" for tick in ticks])
    handles = [Patch(facecolor=(*color, 0.45), edgecolor=color, label=pretty(label)) for label, color in colors.items()]
    figure.legend(handles=handles, frameon=False, loc="outside upper center", ncols=min(len(handles), 4))
    figure.supxlabel(title, fontsize=8)
    _footnote(figure, note)
    return figure, axes


def _overlay(ax: Axes, values: Mapping[str, np.ndarray], colors: Mapping, bins: np.ndarray) -> None:
    """Histograms of indices with the units without one counted in the corner."""
    dead = []
    for label, all_units in values.items():
        alive = all_units[~np.isnan(all_units)]
        weights = np.full(len(alive), 1 / len(all_units))
        ax.hist(alive, bins, weights=weights, color=colors[label], alpha=0.45)
        ax.hist(alive, bins, weights=weights, color=colors[label], histtype="step", linewidth=0.9)
        dead.append(len(all_units) - len(alive))
    if any(dead):
        text = f"dead {'/'.join(map(str, dead))}"
        ax.text(0.97, 0.95, text, transform=ax.transAxes, ha="right", va="top", fontsize=6)


@_styled
def selectivity_by_depth(selectivity: pd.DataFrame, note: str = "") -> tuple[Figure, Axes]:
    """The distribution of the index against depth: a violin for each block and network, its quartiles dashed.

    Args:
        selectivity: rows of `selectivity.csv`.
        note: what the images are.
    """
    alive = selectivity.dropna(subset="csi")
    _need(alive, "selectivity")
    blocks, networks = list(selectivity["block"].unique()), list(selectivity["network"].unique())
    width = max(0.32 * len(blocks) * len(networks) + 1.2, 4.2)
    figure, axes = _axes(1, 1, width, 2.8)
    ax = axes[0, 0]
    sns.violinplot(
        alive.assign(network=alive["network"].map(pretty)),
        x="block",
        y="csi",
        hue="network",
        order=blocks,
        hue_order=[pretty(label) for label in networks],
        palette=PALETTE[: len(networks)] if len(networks) <= len(PALETTE) else None,
        cut=0,
        density_norm="width",
        inner="quart",
        linewidth=0.7,
        ax=ax,
    )
    ax.set_xticks(range(len(blocks)), [paper_name(block) for block in blocks])
    ax.set(xlabel="", ylabel=INDEX_TITLES["csi"], ylim=(0, None))
    sns.move_legend(ax, "lower center", bbox_to_anchor=(0.5, 1), title=None, frameon=False, ncols=min(len(networks), 3))
    _footnote(figure, note)
    return figure, ax


@_styled
def selectivity_against_null(selectivity: pd.DataFrame, note: str = "") -> tuple[Figure, np.ndarray]:
    """The index of every unit against its null: a unit on the line is no more selective than under permuted labels.

    Args:
        selectivity: rows of `selectivity.csv`.
        note: what the images are.
    """
    known = selectivity.dropna(subset=["csi", "csi_null"])
    _need(known, "selectivity against null")
    blocks, networks = list(selectivity["block"].unique()), list(selectivity["network"].unique())
    size = max(1.2 * len(blocks), 3.2), 1.0 * len(networks) + 0.6
    figure, axes = _axes(len(networks), len(blocks), *size, sharex=True, sharey=True)
    for row, (label, color) in enumerate(zip(networks, cycle(PALETTE), strict=False)):
        for ax, block in zip(axes[row], blocks, strict=True):
            mine = known[(known["network"] == label) & (known["block"] == block)]
            ax.plot([0, 1], [0, 1], color="0.4", linewidth=0.8)
            ax.plot(mine["csi_null"], mine["csi"], ".", color=color, markersize=2, alpha=0.5, rasterized=True)
            ax.set_aspect("equal")
            if row == 0:
                ax.set_title(paper_name(block))
        axes[row, 0].set_ylabel(pretty(label), fontsize=7)
    reach = 0.5 if known[["csi", "csi_null"]].max(axis=None) < 0.5 else 1
    ticks = [0, reach / 2, reach]
    axes[0, 0].set(xlim=(0, reach), ylim=(0, reach), xticks=ticks, yticks=ticks)
    figure.supxlabel("Null: mean index under permuted labels", fontsize=8)
    figure.supylabel(INDEX_TITLES["csi"], fontsize=8)
    _footnote(figure, note)
    return figure, axes


def most_selective(units: pd.DataFrame, count: int = UNITS_SHOWN) -> pd.DataFrame:
    """The rows of the units that are the most selective by the cross-fitted index, or by csi where there is none.

    By csi itself the first would be units that one image alone makes active.
    """
    by = "csi_crossfit" if units["csi_crossfit"].notna().any() else "csi"
    return units.sort_values([by, "unit"], ascending=[False, True], kind="stable").dropna(subset=by)[:count]


@_styled
def contact_sheet(
    units: pd.DataFrame, top_images: pd.DataFrame, thumbnails: Mapping[str, np.ndarray], note: str = ""
) -> tuple[Figure, np.ndarray]:
    """A block's units ranked by selectivity, and for the most selective ones the images that drive them most.

    Framed: images of the unit's top class. Grey dots are each unit's null.

    Args:
        units: rows of `selectivity.csv` of one network and block.
        top_images: rows of `selectivity_images.csv` of that block, of `most_selective(units)` at least.
        thumbnails: `identifiers` (N,) and `images` (N, side, side, 3) uint8, as `selectivity_thumbnails.npz` has them.
        note: what the images are.
    """
    alive = units.dropna(subset="csi").sort_values("csi", ascending=False)
    _need(alive, "selectivity")
    shown = most_selective(units)
    pictures = dict(zip(thumbnails["identifiers"].tolist(), thumbnails["images"], strict=True))
    columns = max(int(top_images["rank"].max()), 1)
    figure = plt.figure(figsize=(0.5 * columns + 4.0, 0.5 * len(shown) + 0.9), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(2.2, 0.5 * columns + 1.8))
    ax = left.subplots()
    rank = pd.Series(np.arange(1, len(alive) + 1), index=alive.index)
    ax.plot(rank, alive["csi_null"], ".", color="0.65", markersize=2, label="null")
    ax.plot(rank, alive["csi_crossfit"], ".", color=PALETTE[2], markersize=2, label="cross-fitted")
    ax.plot(rank, alive["csi"], color=PALETTE[0], label="index")
    ax.plot(rank[shown.index], shown["csi"], "v", color="black", markersize=4, label="shown")
    ax.set(xlabel="Rank of unit", ylabel=INDEX_TITLES["csi"], ylim=(np.nanmin([alive["csi_crossfit"].min(), 0]), None))
    ax.legend(frameon=False, markerscale=1.5)
    sheet = right.subplots()
    for row, unit in enumerate(shown.itertuples()):
        text = f"unit {unit.unit}, class {textwrap.shorten(str(unit.top_class_name), 24, placeholder=' …')}"
        numbers = {"index": unit.csi, "null": unit.csi_null, "cross-fitted": unit.csi_crossfit}
        text += "\n" + ", ".join(f"{name} {value:.2f}" for name, value in numbers.items() if not np.isnan(value))
        sheet.text(-0.1, row + 0.5, text.replace(", cross", ",\ncross"), ha="right", va="center", fontsize=6.5)
        mine = top_images[top_images["unit"] == unit.unit].sort_values("rank")
        for column, image in enumerate(mine.itertuples()):
            left_edge, right_edge = column + 0.05, column + 0.95
            sheet.imshow(pictures[image.identifier], extent=(left_edge, right_edge, row + 0.95, row + 0.05))
            if image.label == unit.top_class:
                frame = Rectangle((left_edge, row + 0.05), 0.9, 0.9, fill=False, edgecolor=PALETTE[1], linewidth=2)
                sheet.add_patch(frame)
    sheet.set(xlim=(-2.6, columns), ylim=(len(shown), 0), aspect="equal")
    sheet.set_axis_off()
    title = f"{pretty(units['network'].iloc[0])}, {paper_name(units['block'].iloc[0])}"
    figure.suptitle(f"{title}: most selective units, and the images that drive them most", fontsize=9)
    _footnote(figure, f"Framed: images of the unit's top class. {note}")
    return figure, np.array([ax, sheet])


@_styled
def selectivity_gap(
    gaps: pd.DataFrame, replicates: int = 10, note: str = "", trends: pd.DataFrame | None = None
) -> tuple[Figure, np.ndarray]:
    """The gap in mean selectivity to the reference against depth: as it is, in excess of the null, and cross-fitted.

    Bars are 95 % intervals by t over bootstrap replicates of the images; they say nothing of other trainings.

    Args:
        gaps: rows of `selectivity_gap.csv`.
        replicates: how many there were.
        trends: rows of `selectivity_trend.csv`, whose slopes are written below each panel.
    """
    _need(gaps, "selectivity gap")
    networks = list(gaps["network"].unique())
    figure, axes = _axes(1, len(networks), 3.2 * len(networks) + 0.4, 2.8, sharey=True)
    reach = half_width(replicates)
    for ax, network in zip(axes[0], networks, strict=True):
        rows = gaps[gaps["network"] == network]
        ax.axhline(0, color="0.4", linewidth=0.8)
        for shift, (kind, name), marker, color in zip(
            (-0.12, 0, 0.12),
            (("mean", "index"), ("excess", "index − null"), ("crossfit", "cross-fitted")),
            "os^",
            PALETTE,
            strict=False,
        ):
            errors = reach * rows[f"{kind}_gap_se"]  # NaN, where there are no errors, draws no bar
            ax.errorbar(
                rows["depth"] + shift,
                rows[f"{kind}_gap"],
                errors,
                marker=marker,
                markersize=3.5,
                linewidth=1,
                capsize=2,
                color=color,
                label=name,
            )
        ax.set_xticks(rows["depth"], [paper_name(block) for block in rows["block"]], rotation=30, ha="right")
        ax.set_title(f"{pretty(network)}\nminus {pretty(rows['reference'].iloc[0])}", fontsize=8)
        if trends is not None and len(trends):
            mine = trends[trends["network"] == network].set_index("gap")
            slopes = [
                f"{name} {mine.loc[kind, 'slope']:+.4f} ± {mine.loc[kind, 'slope_high'] - mine.loc[kind, 'slope']:.4f}"
                for kind, name in (("mean", "index"), ("excess", "index − null"), ("crossfit", "cross-fitted"))
                if kind in mine.index
            ]
            ax.set_xlabel("\n".join(["slope per block:", *slopes]), fontsize=6.5)
    axes[0, 0].set_ylabel("Gap in mean class selectivity")
    axes[0, 0].legend(frameon=False)
    known = gaps[[f"{kind}_gap_se" for kind in ("mean", "excess", "crossfit")]].notna().any(axis=None)
    said = "95 % intervals over the sampling of images, not of trainings." if known else "No standard errors."
    _footnote(figure, f"{said} {note}")
    return figure, axes


@_styled
def selectivity_over_training(epochs: pd.DataFrame, replicates: int = 10, note: str = "") -> tuple[Figure, np.ndarray]:
    """Mean selectivity against epoch: as it is, in excess of the null, cross-fitted; and accuracy. Blocks in colour.

    As Ranadive et al. (2023) study. Bands on the index are 95 % intervals by t over bootstrap replicates of the images.

    Args:
        epochs: rows of `selectivity_epochs.csv`, of one network.
        replicates: how many there were.
        note: what the images are.
    """
    _need(epochs, "selectivity over training")
    figure, axes = _axes(1, 4, 9.2, 2.5)
    blocks = list(epochs["block"].unique())
    colors = dict(zip(blocks, sns.color_palette("viridis", len(blocks)), strict=True))
    marker = "o" if epochs["epoch"].nunique() <= 20 else ""
    titles = {"mean_csi": "index", "mean_excess": "index − null", "mean_crossfit": "cross-fitted"}
    for ax, (column, title) in zip(axes[0], titles.items(), strict=False):
        for block, color in colors.items():
            rows = epochs[epochs["block"] == block]
            ax.plot(rows["epoch"], rows[column], color=color, marker=marker, markersize=3, label=paper_name(block))
            if column == "mean_csi":
                half = half_width(replicates) * rows["mean_csi_se"]
                ax.fill_between(rows["epoch"], rows[column] - half, rows[column] + half, color=color, alpha=0.2, lw=0)
        ax.set(xlabel="Epoch", title=title)
    axes[0, 0].set_ylabel("Mean class selectivity")
    for ax in axes[0, 1:3]:
        ax.sharey(axes[0, 0])
    once = epochs.drop_duplicates("epoch")
    axes[0, 3].plot(once["epoch"], 1 - once["top1_error"] / 100, color="black", marker=marker, markersize=3)
    axes[0, 3].set(xlabel="Epoch", title="top-1 accuracy")
    axes[0, 3].yaxis.set_major_formatter(PercentFormatter(1))
    for ax in axes[0]:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(handles=axes[0, 0].get_legend_handles_labels()[0], frameon=False, loc="outside right center")
    _footnote(figure, f"Bands: 95 % intervals over the sampling of images, not of trainings. {note}")
    return figure, axes


ORDER_LINES = {"most": "-", "least": "--"}


@_styled
def pruning(pruning: pd.DataFrame, note: str = "", score: str | None = None) -> tuple[Figure, np.ndarray]:
    """Figure 3: top-1 accuracy against the ratio of feature maps dropped, a panel for each block.

    Solid: most important first; dashed: least important first; black stars: networks without curves, with the block
    whole (ratio 0) and with its shortcut alone (ratio 1). Bands are Wilson 95 % intervals.

    Args:
        pruning: rows of `pruning.csv`.
        note: what the images are.
        score: whose curves are drawn; the first in the table by default.
    """
    _need(pruning, "pruning")
    score = score or curve_scores(pruning)[0]
    blocks = list(pruning["block"].unique())
    columns = min(len(blocks), 3)
    rows = -(-len(blocks) // columns)
    figure, axes = _axes(rows, columns, 2.2 * columns + 0.6, 1.9 * rows + 0.6, sharex=True, sharey=True)
    curved = list(pruning.loc[(pruning["score"] == score) & (pruning["order"] != "none"), "network"].unique())
    plain = [label for label in pruning["network"].unique() if label not in curved]
    stars = dict(zip(plain, cycle("*PXD"), strict=False))
    colors = dict(zip(curved, cycle(PALETTE), strict=False))
    for ax, block in zip(axes.flat, blocks, strict=False):
        here = pruning[pruning["block"] == block]
        for label in curved:
            for order, line in ORDER_LINES.items():
                curve = _curve(here[here["network"] == label], score, order)
                ax.plot(curve["ratio"], curve["top1"], line, color=colors[label], linewidth=1.3)
                band = (curve["top1_low"], curve["top1_high"])
                ax.fill_between(curve["ratio"], *band, color=colors[label], alpha=0.15, linewidth=0)
        for label, marker in stars.items():
            mine = here[(here["network"] == label) & (here["order"] == "none")]
            ax.plot(mine["ratio"], mine["top1"], marker, color="black", markersize=8, clip_on=False, zorder=4)
        ax.set_title(paper_name(block))
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        _ratio_axis(ax)
    for ax in axes.flat[len(blocks) :]:
        ax.set_axis_off()
    handles = [Line2D([], [], color=colors[label], label=pretty(label)) for label in curved] + _order_handles(score)
    handles += [
        Line2D([], [], color="black", marker=marker, linestyle="", markersize=8, label=pretty(label))
        for label, marker in stars.items()
    ]
    figure.legend(handles=handles, frameon=False, loc="outside upper center", ncols=min(len(handles), 4))
    figure.supxlabel(f"Ratio of the {pruning['scope'].iloc[0]}'s feature maps dropped", fontsize=8)
    figure.supylabel("Top-1 accuracy", fontsize=8)
    _footnote(figure, note)
    return figure, axes


@_styled
def pruning_by_network(pruning: pd.DataFrame, note: str = "", score: str | None = None) -> tuple[Figure, np.ndarray]:
    """The same curves, a panel for each network with its blocks in colour, the darkest the first.

    Args:
        pruning: rows of `pruning.csv`.
        note: what the images are.
        score: whose curves are drawn; the first in the table by default.
    """
    return _by_network(
        pruning, note, score or curve_scores(pruning)[0], "Top-1 accuracy", lambda curve, mine: curve["top1"]
    )


@_styled
def pruning_against_random(
    pruning: pd.DataFrame, note: str = "", score: str | None = None
) -> tuple[Figure, np.ndarray]:
    """Accuracy less that with the maps dropped in a random order, a panel for each network with its blocks in colour.

    Args:
        pruning: rows of `pruning.csv`, a random order's among them.
        note: what the images are.
        score: whose curves are drawn; the first in the table by default.
    """

    def difference(curve: pd.DataFrame, mine: pd.DataFrame) -> pd.Series:
        orders = mine.loc[mine["score"] == "random", "order"]
        chance = _curve(mine, "random", next(order for order in orders if order != "none"))
        return curve["top1"].to_numpy() - chance.set_index("ratio")["top1"].reindex(curve["ratio"]).to_numpy()

    if not ((pruning["score"] == "random") & (pruning["order"] != "none")).any():
        raise UsageError("the pruning table has no random order to compare with")
    score = score or curve_scores(pruning)[0]
    return _by_network(pruning, note, score, "Top-1 accuracy, less random order", difference)


def _by_network(
    pruning: pd.DataFrame, note: str, score: str, title: str, values: Callable
) -> tuple[Figure, np.ndarray]:
    _need(pruning, "pruning")
    networks = list(pruning.loc[(pruning["score"] == score) & (pruning["order"] != "none"), "network"].unique())
    if not networks:
        raise UsageError(
            f"the pruning table has no curves of the score `{score}`; it has {', '.join(curve_scores(pruning))}"
        )
    blocks = list(pruning.loc[pruning["network"].isin(networks), "block"].unique())
    colors = dict(zip(blocks, sns.color_palette("viridis", len(blocks)), strict=True))
    columns = min(len(networks), 3)
    rows = -(-len(networks) // columns)
    figure, axes = _axes(rows, columns, max(2.6 * columns, 4.2) + 1.2, 2.5 * rows + 0.4, sharex=True, sharey=True)
    for ax, label in zip(axes.flat, networks, strict=False):
        for block in dict.fromkeys(pruning.loc[pruning["network"] == label, "block"]):
            mine = pruning[(pruning["network"] == label) & (pruning["block"] == block)]
            for order, line in ORDER_LINES.items():
                curve = _curve(mine, score, order)
                if len(curve):
                    ax.plot(curve["ratio"], values(curve, mine), line, color=colors[block], linewidth=1.2)
        ax.set_title(pretty(label))
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        _ratio_axis(ax)
    for ax in axes.flat[len(networks) :]:
        ax.set_axis_off()
    handles = [Line2D([], [], color=color, label=paper_name(block)) for block, color in colors.items()]
    figure.legend(handles=handles + _order_handles(score), frameon=False, loc="outside right center")
    figure.supxlabel(f"Ratio of the {pruning['scope'].iloc[0]}'s feature maps dropped", fontsize=8)
    figure.supylabel(title, fontsize=8)
    _footnote(figure, note)
    return figure, axes


@_styled
def pruning_areas(summary: pd.DataFrame, note: str = "") -> tuple[Figure, Axes]:
    """The area between the curves of the two orders, block by block, with 95 % intervals over images.

    Args:
        summary: rows of `pruning_summary.csv`, of one or several networks, one line for each network and score.
        note: what the images are.
    """
    _need(summary, "pruning summary")
    blocks = list(summary["block"].unique())
    lines = list(summary.groupby(["network", "score"], sort=False))
    several = summary["score"].nunique() > 1
    figure, axes = _axes(1, 1, max(0.6 * len(blocks) + 2.2, 4.2), 2.6)
    ax = axes[0, 0]
    ax.axhline(0, color="0.4", linewidth=0.8)
    for number, ((label, score), rows) in enumerate(lines):
        shift = 0.3 * (number - (len(lines) - 1) / 2) / max(len(lines), 2)
        errors = (rows["area"] - rows["area_low"], rows["area_high"] - rows["area"])
        ax.errorbar(
            [blocks.index(block) + shift for block in rows["block"]],
            rows["area"],
            errors,
            marker="os^Dv"[number % 5],
            markersize=4,
            linewidth=1,
            capsize=2,
            color=PALETTE[number % len(PALETTE)],
            label=f"{pretty(label)}, {score}" if several else pretty(label),
        )
    ax.set_xticks(range(len(blocks)), [paper_name(block) for block in blocks])
    ax.set_ylabel("Area between least and\nmost important first")
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    _footnote(figure, note)
    return figure, ax


def curve_scores(pruning: pd.DataFrame) -> list[str]:
    """The scores that the table has curves of, the gate first and random last; or what it has."""
    curved = pruning.loc[pruning["order"] != "none", "score"]
    found = (curved if len(curved) else pruning["score"]).unique()
    return sorted(found, key=lambda score: (score == "random") - (score == "gate"))


def _curve(rows: pd.DataFrame, score: str, order: str) -> pd.DataFrame:
    """One curve of one network and block, with the ends that all its curves share; empty where it has no such curve."""
    inner = rows[(rows["score"] == score) & (rows["order"] == order)]
    return pd.concat([inner, rows[rows["order"] == "none"]]).sort_values("ratio") if len(inner) else inner


def _ratio_axis(ax: Axes) -> None:
    ax.set_xlim(-0.03, 1.03)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])


def _order_handles(score: str) -> list[Line2D]:
    if score == "random":
        return [Line2D([], [], color="0.3", linestyle=line, label="in random order") for line in ORDER_LINES["most"]]
    by = "" if score == "gate" else f", by {score}"
    names = {"most": f"most important first{by}", "least": f"least important first{by}"}
    return [Line2D([], [], color="0.3", linestyle=line, label=names[order]) for order, line in ORDER_LINES.items()]


@_styled
def pooling_table(evaluation: pd.DataFrame, note: str = "") -> tuple[Figure, Axes]:
    """Table 1 as a picture: top-1 and top-5 error of parameter-free Gather-Excite by extent and pooling.

    Args:
        evaluation: rows of `evaluation.csv`, with a column `paper`: the paper's top-1 and top-5 errors of ResNet-50
            on ImageNet with the same gate, or None.
        note: what the images are.
    """
    _need(evaluation, "evaluation")
    header = ["Network", "Extent", "Pooling", "Top-1 error (%)", "Top-5 error (%)", "Paper: ResNet-50, ImageNet"]
    cells = []
    for row in evaluation.itertuples():
        # a column of numbers and blanks is read back as floats
        extent = None if pd.isna(row.extent) else re.sub(r"\.0$", "", str(row.extent))
        pool = None if pd.isna(row.pool) else row.pool
        cells.append(
            [
                pretty(row.network.partition(":")[0]),
                extent or "—",
                pool or "—",
                f"{row.top1_error:.2f}",
                f"{row.top5_error:.2f}",
                f"{row.paper[0]:.2f} / {row.paper[1]:.2f}" if row.paper else "—",
            ]
        )
    figure, ax = plt.subplots(figsize=(7.2, 0.3 * (len(cells) + 1) + 0.3), layout="constrained")
    ax.set_axis_off()
    table = ax.table(cells, colLabels=header, loc="center", cellLoc="center", edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    table.auto_set_column_width(list(range(len(header))))
    table.scale(1, 1.4)
    for (row, _), cell in table.get_celld().items():
        cell.set_linewidth(0.6)
        if row == 0:
            cell.set_text_props(weight="bold")
    _footnote(figure, note)
    return figure, ax


def _footnote(figure: Figure, note: str) -> None:
    if note:
        figure.text(0.5, -0.01, note, ha="center", va="top", fontsize=6.5, color="0.35", wrap=True)
