"""What a reader of a printed page needs: rows with names, one quantity an axis, lines that differ without colours."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Polygon

from gelens import figures
from gelens.figures.stored import StoredRun
from tests.figures import making

PLAIN, SE, THETA_MINUS = "mini_resnet", "mini_resnet_se", "mini_resnet_ge_theta_minus"


@pytest.fixture(autouse=True)
def closed():
    yield
    making.close()


def written(figure) -> list[str]:
    return [text for text, *_ in making.texts_of(figure)]


def test_figure_2_has_theta_minus_above_se_and_its_rows_have_names():
    units = making.units_table([PLAIN, SE, THETA_MINUS], making.blocks_of(6))
    figure, axes = figures.selectivity(units, PLAIN)
    assert axes.shape == (2, 6)
    assert [ax.texts[0].get_text().replace("\n", " ") for ax in axes[:, -1]] == ["mini ResNet GE-θ⁻", "mini ResNet SE"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["mini ResNet", "mini ResNet GE-θ⁻", "mini ResNet SE"]
    solid, dashed = (patch.get_linestyle() for patch in axes[0, 0].patches if isinstance(patch, Polygon))
    assert solid[1] is None and dashed[1] is not None, "the reference and the other differ in grey too"
    assert making.clashes(figure) == []


def test_other_networks_follow_the_papers_as_they_come():
    units = making.units_table(["theirs", SE, "mine", THETA_MINUS], ["layer3.0"])
    _, axes = figures.selectivity(units, "mine")
    rows = [ax.texts[0].get_text().replace("\n", " ") for ax in axes[:, -1]]
    assert rows == ["mini ResNet GE-θ⁻", "mini ResNet SE", "theirs"]


def test_rows_of_figure_2_are_named_once_where_blocks_go_on_in_further_rows():
    figure, _ = figures.selectivity(making.units_table([PLAIN, SE, THETA_MINUS], making.blocks_of(13)))
    names = [text.replace("\n", " ") for text in written(figure)]
    assert names.count("mini ResNet GE-θ⁻") == 2, "in the legend and beside its rows"


def test_units_against_their_null_fill_their_panels():
    """Nulls lie near 0: on an axis as long as the index' they would be a hairline."""
    units = making.units_table([PLAIN, SE, THETA_MINUS], making.blocks_of(6))
    units["csi_null"] = units["csi"] / 20
    figure, axes = figures.selectivity_against_null(units)
    assert axes.shape == (3, 6)
    assert [ax.texts[0].get_text().replace("\n", " ") for ax in axes[:, -1]] == [
        "mini ResNet",
        "mini ResNet SE",
        "mini ResNet GE-θ⁻",
    ]
    low, high = axes[0, 0].get_xlim()
    assert low == 0 and units["csi_null"].max() < high < 1.2 * units["csi_null"].max()
    assert making.clashes(figure) == []


def test_separately_trained_networks_are_seen_where_they_lie_on_one_another():
    table = making.pruning_table([SE], ["layer3.0"], plain=["one", "other"])
    _, axes = figures.pruning(table)
    star, frame = (line for line in axes[0, 0].lines if line.get_linestyle() == "None")
    assert star.get_ydata().tolist() == frame.get_ydata().tolist()
    assert frame.get_markersize() > star.get_markersize() and frame.get_fillstyle() == "none"


def test_lines_of_networks_differ_without_colours():
    names = ["a", "b", "c"]
    drawn = {
        "curves": figures.pruning(making.pruning_table(names, ["layer3.0"]))[0],
        "errors": figures.optimisation(making.training_table(names, 100))[0],
    }
    for name, figure in drawn.items():
        markers = [line.get_marker() for line in figure.legends[0].get_lines()[:3]]
        assert len(set(markers)) == 3, name
        assert set(markers) <= {line.get_marker() for line in figure.axes[0].lines}, name
    rows = [
        {"network": name, "block": "layer3.0", "low": low, "high": low + 0.5, "share": 0.5}
        for name in names
        for low in (0, 0.5)
    ]
    figure, _ = figures.gate_distributions(pd.DataFrame(rows))
    assert len({line.get_linestyle() for line in figure.legends[0].get_lines()}) == 3


def test_curves_by_network_are_apart_by_order():
    """Twelve curves in a panel are a heap."""
    figure, axes = figures.pruning_by_network(making.pruning_table([SE, PLAIN], making.blocks_of(6)))
    assert axes.shape == (2, 2) and all(len(ax.lines) == 6 for ax in axes.flat)
    assert {"most important first", "least important first"} <= set(written(figure))


def agreement(values: dict[str, list[float]]) -> pd.DataFrame:
    rows = []
    for index, correlations in values.items():
        for block, value in zip(("layer3.0", "layer3.1"), correlations, strict=True):
            for damage in ("loss", "accuracy"):
                told = {"network": SE, "block": block, "index": index, "damage": damage, "correlation": value}
                rows.append(told | {"low": value - 0.1, "high": value + 0.1})
    return pd.DataFrame(rows)


def test_lesions_say_that_they_are_rank_correlations_and_have_no_blank_row():
    table = agreement({"csi": [-0.01, 0.6], "active_fraction": [0.3, np.nan], "mi": [np.nan, np.nan]})
    figure, axes = figures.lesion_agreement(table)
    said = written(figure)
    assert "Spearman's rank correlation over units" in [text.replace("\n", " ") for text in said]
    assert {"Index", "Damage to"} <= set(said)
    assert "−0.0" not in said and "0.0" in [text.get_text() for text in axes[0, 0].texts]
    assert [label.get_text() for label in axes[0, 0].get_yticklabels()] == ["csi", "active share"], "mi has none at all"
    assert [text.get_text() for text in axes[0, 1].texts] == ["0.6", "0.6", "–", "–"]
    assert any("–: no correlation" in text for text in said)
    assert making.clashes(figure) == []


def gates(network: str) -> pd.DataFrame:
    row = {"mean_csi": 0.3, "mean_null": 0.05, "mean_rank_correlation": -0.6, "share_channel": 0.5}
    row |= {"share_class": 0.3, "share_image": 0.2, "share_input_se": 0.02}
    return pd.DataFrame([{"network": network, "block": f"layer3.{at}", "depth": at + 1} | row for at in range(3)])


def test_index_and_correlation_of_gates_have_an_axis_each():
    _, axes = figures.gates_by_depth(gates(SE))
    assert axes.shape == (2, 1)
    assert [ax.texts[0].get_text() for ax in axes[:, -1]] == ["class selectivity", "rank correlation"]
    above, below = (ax.get_ylim() for ax in axes[:, 0])
    assert above[0] > -0.1 and below[1] < 0.1, "neither has the other's range"


def test_trainings_of_a_group_are_drawn_together_in_figures_of_gates(tmp_path):
    several = [f"{SE}#{seed}" for seed in range(3)]
    blocks = pd.concat([gates(name) for name in several])
    blocks["mean_csi"] += [0.1 * at for at in range(3) for _ in range(3)]
    bins = [
        {"network": name, "block": "layer3.0", "low": low, "high": low + 0.5, "share": 0.5}
        for name in several
        for low in (0, 0.5)
    ]
    profiles = [
        {
            "network": name,
            "block": "layer3.0",
            "class_name": "cat",
            "unit": unit,
            "class": label,
            "mean": 0.5,
            "sd": 0.1,
        }
        for name in several
        for unit in range(4)
        for label in (-1, 0)
    ]
    static = [
        {"network": name, "block": block, "gate": gate, "top1": 0.8, "top1_low": 0.7, "top1_high": 0.9}
        for name in several
        for block, gate in (("", "intact"), ("layer3.0", "mean"))
    ]
    tables = {"gates_histogram": bins, "gates_classes": profiles, "gates_static": static}
    record = {"networks": {name: {"group": SE, "training_seed": seed} for seed, name in enumerate(several)}}
    frames = {name: pd.DataFrame(rows) for name, rows in tables.items()}
    run = making.write_run(tmp_path, record, gates_blocks=blocks, **frames)
    assert StoredRun.open(run).group(several[0]) == SE
    drawn = making.drawn(run)
    names = {"variance", "classes", "depth", "distribution", "static"}
    assert set(drawn) == {f"fig_gates_{name}" for name in names}, "no figure a training"
    for name in names - {"classes", "distribution"}:
        assert [ax.get_title() for ax in drawn[f"fig_gates_{name}"].axes if ax.get_title()] == ["mini ResNet SE"], name
    (thick,) = [line for line in drawn["fig_gates_depth"].axes[0].lines if line.get_marker() == "o"]
    assert thick.get_ydata() == pytest.approx([0.4] * 3), "the mean"
    assert len(drawn["fig_gates_depth"].axes[0].lines) == 1 + 2 * (1 + 3), "no gap, and mean and trainings of each"
    assert {"seed 0", "seed 1", "seed 2"} <= set(written(drawn["fig_gates_classes"]))
    assert {name: making.clashes(figure) for name, figure in drawn.items()} == {name: [] for name in drawn}


def test_channels_of_gates_have_ticks():
    rows = [
        {"network": SE, "block": "layer3.0", "class_name": "cat", "unit": unit, "class": label, "mean": 0.5, "sd": 0.6}
        for unit in range(7)
        for label in (-1, 0)
    ]
    _, axes = figures.gates_by_class(pd.DataFrame(rows))
    assert axes[0, 0].get_xticks().tolist() == [1, 7]
    low, high = axes[0, 0].get_ylim()
    assert low >= 0 and high <= 1, "a gate is from 0 to 1, whatever its deviation"


def test_blocks_of_two_networks_are_named_at_the_middle_of_their_axes_and_coloured_over_their_range():
    blocks = making.blocks_of(3)
    rows = [
        {"network": PLAIN, "other": SE, "block": one, "other_block": other, "cka": 0.75 + 0.05 * place, "cka_se": 0.01}
        for one in blocks
        for place, other in enumerate(blocks)
    ]
    figure, axes = figures.block_similarity(pd.DataFrame(rows))
    assert (axes[0, 0].get_ylabel(), axes[0, 0].get_xlabel()) == ("mini ResNet", "mini ResNet SE")
    assert axes[0, 0].images[0].get_clim() == pytest.approx((0.6, 1))
    assert making.clashes(figure) == []


def test_the_null_of_levels_is_a_line_that_the_legend_names():
    rows = [
        {"network": PLAIN, "block": "layer3.0", "level": level, "groups": groups, "mean_csi": 0.3, "mean_csi_se": 0.01}
        | {"mean_null": null, "null_low": null, "null_high": null, "mean_label_null": np.nan}
        for level, groups, null in (("class", 10, np.nan), ("kind", 5, 0.2), ("being", 2, 0.1))
    ]
    figure, axes = figures.selectivity_by_level(pd.DataFrame(rows))
    (line,) = [line for line in figure.legends[0].get_lines() if line.get_label().startswith("random groups")]
    (drawn,) = [line for line in axes[0, 0].lines if line.get_marker() == line.get_marker() == "x"]
    assert drawn.get_linewidth() == line.get_linewidth() >= 1 and drawn.get_color() == line.get_color()


def test_the_papers_operators_stand_two_by_two():
    from gelens import diagrams

    figure, axes = diagrams.operators()
    figure.draw_without_rendering()
    places = [ax.get_position() for ax in axes]
    assert places[0].y0 == pytest.approx(places[1].y0) and places[0].y0 > places[2].y1
    assert places[2].y0 == pytest.approx(places[3].y0)
    assert places[0].x0 == pytest.approx(places[2].x0) and places[0].x1 < places[1].x0
    assert making.clashes(figure) == []
