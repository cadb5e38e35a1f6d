"""Figures are right for ordinary input too: one of each, nothing of some, few ratios, all dead, no gates."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from gelens import figures
from gelens.errors import UsageError
from gelens.figures import style
from tests.figures import making


@pytest.fixture(autouse=True)
def closed():
    yield
    making.close()


def legend_of(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def written(figure) -> str:
    return "\n".join(text for text, *_ in making.texts_of(figure))


def test_one_ratio_alone_is_seen():
    table = making.pruning_table(["mini_resnet_se"], ["layer3.0"], ratios=[0.5])
    figure, axes = figures.pruning(table)
    points = [line for line in axes[0, 0].lines if line.get_marker() == "o"]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in points] == [(0.5, 0.4), (0.5, 0.75)]
    assert "Measured at 50\u2009% dropped only, so the rest is blank." in written(figure).replace("\n", " ")
    _, axes = figures.pruning_by_network(table)
    assert all(line.get_marker() == "o" for line in axes[0, 0].lines)


def test_a_table_of_networks_without_gates_says_so():
    figure, axes = figures.pruning(making.pruning_table([], ["layer3.0"], plain=["mini_resnet"]))
    assert legend_of(figure) == ["mini ResNet"]
    assert len(axes[0, 0].lines) == 1 and axes[0, 0].lines[0].get_marker() == "*"
    said = written(figure).replace("\n", " ")
    assert "no gates to rank feature maps by" in said and "--score" in said and "by none" not in said
    with pytest.raises(UsageError, match="no curves"):
        figures.pruning_by_network(making.pruning_table([], ["layer3.0"], plain=["mini_resnet"]))


def test_stars_are_called_separately_trained_networks():
    figure, _ = figures.pruning(making.pruning_table(["mini_resnet_se"], ["layer3.0"], plain=["mini_resnet"]))
    assert legend_of(figure)[-1] == "mini ResNet, trained separately"
    assert "separately trained networks; at 0 the block whole, at 1 its shortcut alone" in written(figure).replace(
        "\n", " "
    )


@pytest.mark.parametrize("epochs", [[7], [0.25, 0.5], list(range(1, 101))])
def test_epochs_are_readable(epochs):
    figure, axes = figures.selectivity_over_training(making.epochs_table(["layer3.0"], epochs))
    figure.draw_without_rendering()
    low, high = axes[0, 0].get_xlim()
    labels = [
        label.get_text()
        for tick, label in zip(axes[0, 0].get_xticks(), axes[0, 0].get_xticklabels(), strict=True)
        if low <= tick <= high
    ]
    assert 1 <= len(labels) <= 7 and len(set(labels)) == len(labels)
    if len(epochs) == 1:
        assert labels == ["7"]
    if epochs[-1] == 100:
        assert all(label.isdecimal() for label in labels)
    assert making.clashes(figure) == []


def test_percents_are_written_alike_and_accuracy_has_the_range_of_its_curves():
    assert [style.percent(share) for share in (1, 0.9, 0.34, 0.005)] == [
        "100\u2009%",
        "90\u2009%",
        "34\u2009%",
        "0.5\u2009%",
    ]
    tables = [making.pruning_table(["a"], ["layer3.0"], ratios=ratios) for ratios in ([0, 0.1], [0, 0.5, 1])]
    drawn = [figures.pruning_by_network(table) for table in tables]
    for table, (figure, axes) in zip(tables, drawn, strict=True):
        low, high = axes[0, 0].get_ylim()
        assert low < table["top1"].min() and table["top1"].max() < high
        assert high - low < 1.2 * np.ptp(table["top1"])
        figure.draw_without_rendering()
        assert all(label.get_text().endswith("\u2009%") for label in axes[0, 0].get_yticklabels())


def test_a_block_has_the_range_of_accuracy_that_its_curves_have():
    """But five points at least, so that what is noise looks flat."""
    table = making.pruning_table(["a"], ["layer3.0", "layer3.1"], ratios=[0, 0.5, 1])
    flat = table["block"] == "layer3.1"
    table.loc[flat, "top1"] = 0.5 + 0.001 * table.loc[flat, "ratio"]
    figure, axes = figures.pruning(table)
    for ax, (_, rows) in zip(axes.flat, table.groupby("block"), strict=False):
        low, high = ax.get_ylim()
        assert low < rows["top1"].min() and high > rows["top1"].max()
        assert high - low < 1.2 * max(np.ptp(rows["top1"]), 0.05)
    figure.draw_without_rendering()
    assert all("\u2009%" in label.get_text() for label in axes[0, 0].get_yticklabels())


def test_measures_that_were_not_taken_are_not_in_legends():
    units = making.units_table(["mini_resnet"], ["layer3.0"]).assign(csi_null=np.nan, csi_crossfit=np.nan)
    top = pd.DataFrame({"unit": [0], "rank": [1], "identifier": ["a"], "label": [0]})
    thumbnails = {"identifiers": np.array(["a"]), "images": np.zeros((1, 8, 8, 3), np.uint8)}
    figure, (_, sheet) = figures.contact_sheet(units, top, thumbnails)
    assert legend_of(figure) == ["index", "shown"]
    assert not any("null" in text.get_text() or "cross" in text.get_text() for text in sheet.texts)
    gaps = making.gaps_table(["a", "b"], ["layer3.0"], corrected=False)
    figure, _ = figures.selectivity_gap(gaps.assign(crossfit_gap=np.nan, crossfit_gap_se=np.nan))
    assert legend_of(figure) == ["index", "index − null"]
    epochs = making.epochs_table(["layer3.0"], [1, 2]).assign(mean_excess=np.nan, mean_crossfit=np.nan)
    _, axes = figures.selectivity_over_training(epochs)
    assert [ax.get_title() for ax in axes.flat] == ["index", "top-1 accuracy"]


def test_empty_columns_are_left_out_of_the_pooling_table():
    header = lambda ax: [cell.get_text().get_text() for (row, _), cell in ax.tables[0].get_celld().items() if row == 0]
    _, ax = figures.pooling_table(making.evaluation_table(["timm/resnet50d", "mine"]))
    assert header(ax) == ["Network", "Top-1\nerror (%)", "Top-5\nerror (%)"]
    _, ax = figures.pooling_table(making.evaluation_table(["mini_resnet", "mini_resnet_ge_theta_minus"]))
    assert len(header(ax)) == 6


@pytest.mark.parametrize("width", [7.0, 3.3])
def test_many_blocks_go_on_in_further_rows(width):
    units = making.units_table(["a", "b"], making.blocks_of(13), units=5, dead=0)
    for draw in (figures.selectivity, figures.selectivity_against_null):
        figure, axes = draw(units, width=width)
        assert figure.get_figwidth() == width and axes.shape[1] < 13
        titles = [ax.get_title() for ax in axes.flat if ax.axison]
        assert titles == [f"conv4-{number}" for number in range(1, 14)] * (len(titles) // 13)


def test_where_there_is_no_area_the_figure_says_so():
    summary = making.summary_table(["a"], ["layer3.0", "layer3.1"], area=np.nan)
    assert "No area: the ratios 0 and 1\nwere not both measured" in written(figures.pruning_areas(summary)[0])
    summary.loc[0, ["area", "area_low", "area_high"]] = (0.1, 0.05, 0.2)
    figure, ax = figures.pruning_areas(summary)
    assert "No area for 1 of 2 points" in written(figure)
    assert ax.containers[0].lines[0].get_ydata()[0] == 0.1


def test_a_contact_sheet_reads_a_whole_runs_files():
    """Tables of all networks and blocks, identifiers that look like numbers, an image that has no thumbnail."""
    units = making.units_table(["a", "b"], ["layer3.0", "layer3.1"])
    top = pd.DataFrame(
        [
            {"network": network, "block": block, "unit": unit, "rank": rank, "identifier": rank, "label": 0}
            for network in ("a", "b")
            for block in ("layer3.0", "layer3.1")
            for unit in range(12)
            for rank in (1, 2)
        ]
    )
    thumbnails = {"identifiers": np.array(["1"]), "images": np.full((1, 8, 8, 3), 9, np.uint8)}
    figure, (_, sheet) = figures.contact_sheet(units, top, thumbnails)
    assert figure.legends[0].get_title().get_text().startswith("a, conv4-2: most selective units")
    assert [int(image.get_array()[0, 0, 0]) for image in sheet.images] == [9, 220] * 8


def test_the_corrected_gap_is_the_headline_where_there_is_one():
    gaps = making.gaps_table(["a", "b"], making.blocks_of(3))
    figure, axes = figures.selectivity_gap(gaps, 10, "", making.trends_table(["a", "b"]))
    assert legend_of(figure) == ["corrected index", "index"]
    corrected, plain = axes[0, 0].containers
    assert corrected.lines[0].get_ydata() == pytest.approx([0.02, 0.04, 0.06])
    assert corrected.lines[0].get_linestyle() == "-" and plain.lines[0].get_linestyle() == "--"
    low, high = (cap.get_ydata() for cap in corrected.lines[1])
    assert low == pytest.approx(gaps["corrected_low"]) and high == pytest.approx(gaps["corrected_high"])
    said = axes[0, 0].get_xlabel().splitlines()
    assert said == ["slope per block:", "corrected index +0.0100 ± 0.0020", "index +0.0100 ± 0.0020"]


def test_slopes_over_all_blocks_are_not_said_of_some(tmp_path):
    run = making.write_everything(tmp_path, ["a", "b"], making.blocks_of(3))
    assert "slope per block" in written(making.drawn(run)["fig2_gap"])
    assert "slope per block" not in written(making.drawn(run, blocks=["layer3.[01]"])["fig2_gap"])


def test_names_are_shown_as_they_are():
    for name in (r"\frac{a}{b}", "price_$5_and_$6", "100%_of_it", "a_b^c"):
        figure, _ = figures.optimisation(making.training_table([name], 2))
        assert legend_of(figure) == [name]
        figure.draw_without_rendering()
        (shown,) = [text for text in figure.findobj(Text) if text.get_text() == name]
        assert not shown.get_parse_math()


def test_long_names_keep_both_their_ends():
    name = "resnet_" + "x" * 200 + "_seed7"
    short = style.wrapped(name, 8, 1.0, 2)
    assert short.count("\n") == 1 and short.startswith("resnet_") and short.endswith("_seed7") and "…" in short
    assert all(style.text_width(line, 8) <= 1.0 for line in short.split("\n"))
    assert style.wrapped(name, 8, 1.0).replace("\n", "") == name, "with lines enough nothing is lost"


def test_five_networks_have_colours_that_the_colour_blind_tell_apart():
    colors = [to_hex(color) for color in style.colors_of(list("abcde")).values()]
    assert len(set(colors)) == 5 and colors[0] == "#0173b2"
