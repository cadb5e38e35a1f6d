"""Runs' folders made up for tests, of any number of networks, blocks and units; and what is written in a figure."""

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from gelens.figures.drawing import figure_modules
from gelens.figures.stored import StoredRun
from gelens.figures.style import Look

HARD = (
    "resnet50_ge_theta_minus:extent=4,pool=max",
    "price_$5_and_$6",
    r"\frac{a}{b}_100%",
    "a_very_long_name_of_a_network_trained_by_somebody_with_" + "many_words_" * 12,
    "名前",
)
"""Names of networks as people choose them."""


def blocks_of(count: int) -> list[str]:
    return [f"layer3.{number}" for number in range(count)]


def units_table(networks: Sequence[str], blocks: Sequence[str], units: int = 12, dead: int = 1) -> pd.DataFrame:
    """Rows of `selectivity.csv`; the last `dead` units of each block are dead."""
    rng = np.random.default_rng(0)
    rows = []
    for network in networks:
        for block in blocks:
            csi = rng.uniform(0, 1, units)
            csi[units - dead :] = np.nan
            for unit, value in enumerate(csi):
                row = {"network": network, "block": block, "unit": unit, "csi": value, "csi_null": value / 3}
                row |= {"csi_crossfit": value - 0.1, "top_class": unit % 3, "top_class_name": f"class {unit % 3}"}
                rows.append(row)
    return pd.DataFrame(rows)


def gaps_table(networks: Sequence[str], blocks: Sequence[str], corrected: bool = True) -> pd.DataFrame:
    """Rows of `selectivity_gap.csv`, of every network against the first."""
    rows = []
    for network in networks[1:]:
        for depth, block in enumerate(blocks, 1):
            row = {"block": block, "depth": depth, "network": network, "reference": networks[0]}
            for place, kind in enumerate(("mean", "excess", "crossfit")):
                row |= {f"{kind}_gap": 0.01 * depth + place / 100, f"{kind}_gap_se": 0.002}
            if corrected:
                gap = 0.02 * depth
                row |= {"corrected_gap": gap, "corrected_gap_se": 0.01}
                row |= {"corrected_low": gap - 0.03, "corrected_high": gap + 0.01}
            rows.append(row)
    return pd.DataFrame(rows)


def trends_table(networks: Sequence[str], corrected: bool = True) -> pd.DataFrame:
    """Rows of `selectivity_trend.csv`."""
    kinds = ("mean", "excess", "crossfit", *(["corrected"] if corrected else []))
    slope = {"slope": 0.01, "slope_se": 0.001, "slope_low": 0.008, "slope_high": 0.012}
    return pd.DataFrame(
        [
            {"network": network, "reference": networks[0], "gap": kind} | slope
            for network in networks[1:]
            for kind in kinds
        ]
    )


def pruning_table(
    curved: Sequence[str],
    blocks: Sequence[str],
    plain: Sequence[str] = (),
    ratios: Sequence[float] = (0, 0.1, 0.5, 1),
    scores: Sequence[str] = ("gate",),
) -> pd.DataFrame:
    """Rows of `pruning.csv`: networks with curves, and networks of which the ends alone were measured."""
    rows = []
    for network in (*plain, *curved):
        for number, block in enumerate(blocks):
            points = [("none", "none", ratio, 0.9 - 0.8 * ratio) for ratio in ratios if ratio in (0, 1)]
            if network in curved:
                inner = [ratio for ratio in ratios if 0 < ratio < 1]
                for score in scores:
                    orders = {"most": 0.8} if score == "random" else {"most": 1.0, "least": 0.3}
                    points += [
                        (score, order, ratio, 0.9 - fall * ratio / (number + 1))
                        for order, fall in orders.items()
                        for ratio in inner
                    ]
            for score, order, ratio, top1 in points:
                row = {"network": network, "block": block, "score": score, "order": order, "scope": "block"}
                rows.append(row | {"ratio": ratio, "top1": top1, "top1_low": top1 - 0.05, "top1_high": top1 + 0.05})
    return pd.DataFrame(rows)


def summary_table(curved: Sequence[str], blocks: Sequence[str], area: float = 0.2) -> pd.DataFrame:
    """Rows of `pruning_summary.csv`."""
    row = {"score": "gate", "area": area, "area_low": area - 0.1, "area_high": area + 0.1}
    return pd.DataFrame([{"network": network, "block": block} | row for network in curved for block in blocks])


def epochs_table(blocks: Sequence[str], epochs: Sequence[float], corrected: bool = False) -> pd.DataFrame:
    """Rows of `selectivity_epochs.csv`."""
    rows = []
    for epoch in epochs:
        for place, block in enumerate(blocks):
            index = 0.1 + 0.01 * epoch + 0.02 * place
            row = {"network": "mini_resnet", "epoch": epoch, "block": block, "mean_csi": index, "mean_csi_se": 0.01}
            row |= {"mean_excess": index / 2, "mean_crossfit": index - 0.02, "top1_error": 50 / (1 + epoch)}
            rows.append(row | ({"mean_corrected": index - 0.01, "mean_corrected_se": 0.01} if corrected else {}))
    return pd.DataFrame(rows)


def training_table(networks: Sequence[str], epochs: int) -> pd.DataFrame:
    """Rows of `training.csv`."""
    return pd.DataFrame(
        [
            {"network": network, "epoch": epoch, "split": split, "top1_error": 80 / epoch}
            for network in networks
            for epoch in range(1, epochs + 1)
            for split in ("train", "val")
        ]
    )


def evaluation_table(networks: Sequence[str]) -> pd.DataFrame:
    """Rows of `evaluation.csv`, some networks with an extent and a pooling."""
    rows = []
    for number, network in enumerate(networks):
        gate = {"extent": "4", "pool": "max"} if "ge_theta_minus" in network else {"extent": None, "pool": None}
        rows.append({"network": network} | gate | {"top1_error": 23.456 + number, "top5_error": 6.5, "images": 100})
    return pd.DataFrame(rows)


def operators_table() -> pd.DataFrame:
    """Rows of `operators.csv`."""
    rows = []
    for operator, steps in (
        ("GE-θ⁻ (E8)", ["average pooling 15×15, stride 8"]),
        ("GE-θ", ["conv 14×14", "batch norm"]),
    ):
        rows.append((operator, "input", "input", 16, 14, 14))
        rows += [(operator, "gather", step, 16, 2, 2) for step in steps]
        rows += [(operator, "excite", "sigmoid", 16, 14, 14)]
    return pd.DataFrame(rows, columns=["operator", "part", "step", "channels", "height", "width"])


def write_run(folder: Path, record: dict | None = None, **tables: pd.DataFrame) -> Path:
    """A finished run's folder: `run.json` and tables by their names without the ending."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {"name": "digits#val", "note": "8×8 scans enlarged to 32×32", "images": 540, "read": 539}
    whole = {"command": "evaluate", "arguments": {"replicates": 10}, "finished": True, "data": data}
    (folder / "run.json").write_text(json.dumps(whole | (record or {})))
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


def write_everything(folder: Path, networks: Sequence[str], blocks: Sequence[str], units: int = 12, dead=1) -> Path:
    """A folder with every table that figures are drawn from."""
    indices = units_table(networks, blocks, units, dead).rename(columns={"csi": "value"}).assign(index="auc")
    tables = {"selectivity": units_table(networks, blocks, units, dead), "selectivity_indices": indices}
    if len(networks) > 1:
        tables["selectivity_gap"] = gaps_table(networks, blocks)
        tables["selectivity_trend"] = trends_table(networks)
    curved, plain = list(networks[1:]) or list(networks), list(networks[:1]) if len(networks) > 1 else []
    tables["pruning"] = pruning_table(curved, blocks, plain, scores=("gate", "random"))
    tables["pruning_summary"] = summary_table(curved, blocks)
    tables["selectivity_epochs"] = epochs_table(blocks, [1, 2, 5])
    tables["training"] = training_table(networks, 3)
    tables["evaluation"] = evaluation_table(networks)
    tables["operators"] = operators_table()
    top = [
        {
            "network": network,
            "block": blocks[-1],
            "unit": unit,
            "rank": rank,
            "identifier": f"{rank:04d}",
            "label": rank,
        }
        for network in networks
        for unit in range(units)
        for rank in (1, 2, 3)
    ]
    tables["selectivity_images"] = pd.DataFrame(top)
    write_run(folder, **tables)
    names = np.array([f"{rank:04d}" for rank in (1, 2, 3)])
    np.savez(folder / "selectivity_thumbnails.npz", identifiers=names, images=np.full((3, 8, 8, 3), 90, np.uint8))
    return folder


def drawn(folder: Path, width: float | None = None, bins: int | None = None, blocks=None) -> dict[str, Figure]:
    """Every figure of a run, laid out, by name."""
    run, figures = StoredRun.open(folder, blocks), {}
    for module in figure_modules():
        if run.has(*module.NEEDS):
            figures |= dict(module.pictures(run, Look(width, bins)))
    return figures


def texts_of(figure: Figure) -> list[tuple[str, Bbox, float]]:
    """All that is written when a figure is drawn: text, place in pixels, rotation."""
    written: list[Text] = []
    plain = Text.draw

    def draw(text, renderer, *args, **options):
        if text.get_visible() and text.get_text().strip():
            written.append(text)
        plain(text, renderer, *args, **options)

    with patch.object(Text, "draw", draw):
        figure.draw_without_rendering()
    return [(text.get_text(), text.get_window_extent(), text.get_rotation()) for text in dict.fromkeys(written)]


def clashes(figure: Figure) -> list[str]:
    """Texts that overprint one another, or that the figure's edge cuts off."""
    texts, said = texts_of(figure), []
    edge = figure.bbox
    for text, box, _ in texts:
        if box.x0 < edge.x0 - 1 or box.x1 > edge.x1 + 1 or box.y0 < edge.y0 - 1 or box.y1 > edge.y1 + 1:
            said.append(f"cut off: {text!r}")
    for (one, first, turned), (other, second, also) in combinations(texts, 2):
        both_slanted = turned % 90 and also % 90  # their boxes overlap where they do not
        width = min(first.x1, second.x1) - max(first.x0, second.x0)
        height = min(first.y1, second.y1) - max(first.y0, second.y0)
        if width > 1.5 and height > 1.5 and not both_slanted:
            said.append(f"overprinted: {one!r} and {other!r}")
    return said


def close() -> None:
    plt.close("all")
