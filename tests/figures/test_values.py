"""Figures show the tables' numbers, and diagrams the modules' own settings."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from gelens import diagrams, figures
from gelens.errors import UsageError
from gelens.figures.stored import StoredRun
from gelens.networks.gather_excite import EXTENTS, VARIANTS, GatherExcite
from tests.figures import making


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_selectivity_panels_hold_the_histograms():
    rows = [
        {"network": network, "block": block, "unit": unit, "csi": csi}
        for network, shift in (("plain", 0.0), ("se", 0.3), ("ge", 0.5))
        for block in ("layer3.0", "layer3.1")
        for unit, csi in enumerate([0.1 + shift, 0.2 + shift, np.nan, 0.2 + shift])
    ]
    figure, axes = figures.selectivity(pd.DataFrame(rows), "plain")
    assert axes.shape == (2, 2)
    assert [ax.get_title() for ax in axes[0]] == ["conv4-1", "conv4-2"]
    heights = sum(patch.get_height() for patch in axes[0, 0].patches if hasattr(patch, "get_height"))
    assert heights == pytest.approx(2 * 0.75), "three of four units in each of two histograms"
    assert axes[0, 0].texts[0].get_text() == "dead 1/1"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["plain", "se", "ge"]
    with pytest.raises(UsageError, match="no network `x`"):
        figures.selectivity(pd.DataFrame(rows), "x")


def selectivity_rows() -> pd.DataFrame:
    """Two networks, one block of four units, the last of them dead."""
    rows = []
    for network, shift in (("plain", 0.0), ("se", 0.3)):
        for unit, csi in enumerate([0.1, 0.3, 0.2, np.nan]):
            row = {"network": network, "block": "layer3.5", "unit": unit, "csi": csi + shift, "csi_null": csi / 2}
            row |= {"csi_crossfit": csi + shift - 0.05 * unit, "top_class": 7, "top_class_name": "seven"}
            rows.append(row)
    return pd.DataFrame(rows)


def test_violins_and_index_against_null_hold_the_units():
    table = selectivity_rows()
    figure, ax = figures.selectivity_by_depth(table)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["conv4-6"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["plain", "se"]
    _, axes = figures.selectivity_against_null(table)
    dots = axes[1, 0].lines[1]
    assert dots.get_xdata() == pytest.approx([0.05, 0.15, 0.1]) and dots.get_ydata() == pytest.approx([0.4, 0.6, 0.5])


def test_contact_sheets_rank_by_the_crossfitted_index_and_frame_the_top_class():
    units = selectivity_rows().query("network == 'plain'")
    assert figures.most_selective(units)["unit"].tolist() == [1, 0, 2]  # 0.25, 0.1, 0.1; the dead one has none
    top = pd.DataFrame({"unit": [1, 1, 0], "rank": [1, 2, 1], "identifier": ["a", "b", "b"], "label": [7, 3, 3]})
    pictures = np.stack([np.full((64, 64, 3), level, np.uint8) for level in (10, 200)])
    _, (_, sheet) = figures.contact_sheet(units, top, {"identifiers": np.array(["a", "b"]), "images": pictures})
    assert sheet.texts[0].get_text().startswith("unit 1, class seven\nindex 0.30, null 0.15")
    shown = [(*image.get_extent()[:1], image.get_extent()[3], image.get_array()[0, 0, 0]) for image in sheet.images]
    assert shown == [(0.05, 0.05, 10), (1.05, 0.05, 200), (0.05, 1.05, 200)], "left edge, upper edge, level"
    assert [frame.get_xy() for frame in sheet.patches] == [(0.05, 0.05)]


def test_selectivity_over_training_draws_every_block_and_the_accuracy():
    rows = [
        {"epoch": epoch, "block": block, "mean_csi": 0.1 * epoch, "mean_csi_se": 0.01, "mean_excess": 0.05 * epoch}
        | {"mean_crossfit": 0.08 * epoch, "top1_error": 100 - 10 * epoch}
        for epoch in (1, 2, 5)
        for block in ("layer3.0", "layer3.1")
    ]
    _, axes = figures.selectivity_over_training(pd.DataFrame(rows))
    assert [len(ax.lines) for ax in axes[0]] == [2, 2, 2, 1]
    assert axes[0, 1].lines[0].get_ydata() == pytest.approx([0.05, 0.1, 0.25])
    assert axes[0, 3].lines[0].get_ydata() == pytest.approx([0.1, 0.2, 0.5])


def test_pruning_curves_and_stars_are_at_their_numbers():
    def row(network, order, ratio, top1):
        interval = {"top1_low": top1 - 0.1, "top1_high": top1 + 0.1}
        score = "none" if network == "plain" else "gate"
        point = {"score": score, "scope": "block", "order": order, "ratio": ratio, "top1": top1}
        return {"network": network, "block": "layer3.0", **point, **interval}

    rows = [row("se", "none", 0, 0.9), row("se", "none", 1, 0.2), row("plain", "none", 0, 0.8)]
    rows += [row("se", "most", 0.5, 0.4), row("se", "least", 0.5, 0.7), row("plain", "none", 1, 0.1)]
    _, axes = figures.pruning(pd.DataFrame(rows))
    lines = {line.get_linestyle(): line.get_ydata().tolist() for line in axes[0, 0].lines}
    assert lines["-"] == [0.9, 0.4, 0.2] and lines["--"] == [0.9, 0.7, 0.2]
    star = next(line for line in axes[0, 0].lines if line.get_marker() == "*")
    assert (star.get_xdata().tolist(), star.get_ydata().tolist()) == ([0, 1], [0.8, 0.1])


def pruning_rows() -> pd.DataFrame:
    """Two networks and two blocks, by their gates and at random."""
    rows = []
    for network in ("a", "b"):
        for number, block in enumerate(("layer3.0", "layer3.1")):
            values = {("gate", "none"): (0.9, 0.1), ("gate", "most"): (0.3,), ("gate", "least"): (0.8,)}
            values |= {("random", "most"): (0.5 + 0.1 * number,)}
            for (score, order), heights in values.items():
                for ratio, top1 in zip((0, 1) if order == "none" else (0.5,), heights, strict=True):
                    point = {"network": network, "block": block, "score": score, "order": order, "scope": "block"}
                    rows.append(point | {"ratio": ratio, "top1": top1, "top1_low": top1, "top1_high": top1})
    return pd.DataFrame(rows)


def test_pruning_by_network_and_against_random():
    table = pruning_rows()
    figure, axes = figures.pruning_by_network(table)
    assert [ax.get_title() for ax in axes[0]] == ["a", "b"]
    most, least = ([line.get_ydata().tolist() for line in ax.lines] for ax in axes[:, 1])
    assert (most, least) == ([[0.9, 0.3, 0.1]] * 2, [[0.9, 0.8, 0.1]] * 2)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["conv4-1", "conv4-2"]
    assert [ax.texts[0].get_text() for ax in axes[:, 1]] == ["most important first", "least important first"]
    _, axes = figures.pruning_against_random(table)
    most, least = ([np.round(line.get_ydata(), 9).tolist() for line in ax.lines] for ax in axes[:, 0])
    assert (most, least) == ([[0, -0.2, 0], [0, -0.3, 0]], [[0, 0.3, 0], [0, 0.2, 0]])
    with pytest.raises(UsageError, match="no random order"):
        figures.pruning_against_random(table[table["score"] == "gate"])
    with pytest.raises(UsageError, match="no curves of the score `gradient`"):
        figures.pruning_by_network(table, score="gradient")
    figure, axes = figures.pruning(table, score="random")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "in random order"]
    assert [line.get_ydata().tolist() for line in axes[0, 1].lines] == [[0.9, 0.6, 0.1], [], [0.9, 0.6, 0.1], []]


def test_areas_by_block():
    rows = [
        {"network": network, "block": block, "score": "gate", "area": area, "area_low": area - 0.1, "area_high": 0.9}
        for network, area in (("a", 0.5), ("b", 0.2))
        for block in ("layer3.0", "layer3.1")
    ]
    _, ax = figures.pruning_areas(pd.DataFrame(rows))
    assert [container.lines[0].get_ydata().tolist() for container in ax.containers] == [[0.5, 0.5], [0.2, 0.2]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["conv4-1", "conv4-2"]


def test_a_group_is_drawn_as_its_mean_with_each_training_thin(tmp_path):
    """Two trainings of one network, and another network that is no group and keeps its interval."""
    cards = {"se#0": {"group": "se"}, "se#1": {"group": "se"}, "plain": {}}
    run = StoredRun(tmp_path, {"networks": cards, "arguments": {}})
    lost = {"se#0": (0.1, 0.3), "se#1": (0.2, 0.5), "plain": (0.0, 0.6)}
    rows = [
        {"network": network, "block": "layer3.5", "k": k, **dict.fromkeys(("own", "another"), value)}
        for network, values in lost.items()
        for k, value in zip((1, 2), values, strict=True)
    ]
    table = pd.DataFrame(rows)
    reach = {f"{of}_{end}": table[of] + way for of in ("own", "another") for end, way in (("low", -0.1), ("high", 0.1))}
    table = table.assign(**reach)
    means, each = run.group_means(table, ("network", "block", "k"), ["own", "another", *reach])
    assert means["network"].tolist() == ["se", "se", "plain", "plain"] and len(each) == 4
    assert means["own"].tolist() == pytest.approx([0.15, 0.4, 0.0, 0.6])
    _, axes = figures.targeted_lesions(means, trainings=each)
    drawn = [tuple(line.get_ydata()) for line in axes[0, 0].lines if len(line.get_xdata()) == 2]
    for values in ((0.15, 0.4), (0.1, 0.3), (0.2, 0.5), (0.0, 0.6)):
        assert sum(line == pytest.approx(values) for line in drawn) >= 2, "solid and dashed"
    assert len(axes[0, 0].collections) == 2, "bars of the network that is no group, own class and another"
    alone = table[table["network"] == "plain"]
    assert run.group_means(alone, ("network", "block", "k"), ["own"])[1] is None


def test_optimisation_and_gap():
    rows = [
        {"network": network, "epoch": epoch, "split": split, "top1_error": 50 / epoch}
        for network in ("a", "b")
        for epoch in (1, 2)
        for split in ("train", "val")
    ]
    _, axes = figures.optimisation(pd.DataFrame(rows))
    assert axes[0, 1].lines[1].get_ydata().tolist() == [50, 25]
    gap = {f"{kind}_gap{suffix}": 0.1 for kind in ("mean", "excess", "crossfit") for suffix in ("", "_se")}
    gaps = [
        {"network": "b", "reference": "a", "block": f"layer3.{depth}", "depth": depth + 1, **gap} for depth in (0, 1)
    ]
    _, axes = figures.selectivity_gap(pd.DataFrame(gaps))
    assert len(axes[0, 0].containers) == 3
    with pytest.raises(UsageError, match="empty"):
        figures.optimisation(pd.DataFrame())


def test_the_pooling_table_shows_measured_beside_published():
    rows = [
        {"network": "resnet50", "extent": None, "pool": None, "top1_error": 24.5, "top5_error": 7.25},
        {"network": "resnet50_ge_theta_minus", "extent": "4", "pool": "max", "top1_error": 1.0, "top5_error": 0.5},
        {"network": "resnet50_se", "extent": None, "pool": None, "top1_error": 2.0, "top5_error": 0.5},
    ]
    table = pd.DataFrame(rows)
    _, ax = figures.pooling_table(table)
    cells = {position: cell.get_text().get_text() for position, cell in ax.tables[0].get_celld().items()}
    assert [cells[1, column] for column in range(6)] == ["ResNet-50", "—", "—", "24.50", "7.25", "23.30 / 6.55"]
    assert cells[2, 1] == "4" and cells[2, 5] == "23.10 / 6.39" and cells[3, 5] == "—"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("extent", EXTENTS)
def test_a_diagram_is_what_the_module_does(variant, extent):
    module = GatherExcite(16, (14, 14), variant, extent)
    steps = diagrams.operator_steps(module, (14, 14))
    gathered = [shape for part, _, shape in steps if part == "gather"][-1]
    side = 1 if extent == "global" else -(-14 // extent)
    assert gathered == (16, side, side)
    texts = [text for _, text, _ in steps]
    assert texts[-1] == "sigmoid" and ("nearest interpolation" in texts) == (side > 1)
    assert steps[-1][2] == (16, 14, 14) if side > 1 else steps[-1][2] == (16, 1, 1)
    assert texts.count("batch norm") == len([m for m in module.modules() if type(m).__name__ == "BatchNorm2d"])
    assert ("conv 1×1" in texts) == (variant == "theta_plus")
    module.gather.register_forward_hook(lambda *_: None)
    assert len(module.gather._forward_hooks) == 1, "only the test's own hook is there"


def test_the_papers_operators():
    _, axes = diagrams.operators()
    assert [ax.get_title() for ax in axes] == ["GE-θ⁻ (E8)", "GE-θ⁻", "GE-θ (E8)", "GE-θ"]
    texts = [text.get_text() for text in axes[0].texts]
    assert "average pooling 15×15, stride 8" in texts and "2×2×1024" in texts


def static_rows() -> pd.DataFrame:
    """Two networks as they are, and with the gates of two blocks of the first and one of the second replaced."""
    rows = []
    for network, blocks in (("se", ["", "layer3.0", "layer3.1", "layer3"]), ("ge", ["", "layer3.0"])):
        for place, block in enumerate(blocks):
            for gate in ("mean", "one") if block else ("intact",):
                top1 = 0.9 - 0.1 * place
                row = {"network": network, "block": block, "gate": gate, "top1": top1, "difference": top1 - 0.9}
                rows.append(row | {"top1_low": top1 - 0.02, "top1_high": top1 + 0.02})
    return pd.DataFrame(rows)


def test_some_blocks_static_gates_are_held_against_the_whole_network(tmp_path):
    run = making.write_run(tmp_path / "run", gates_static=static_rows(), gates_classes=other_block())
    drawn = making.drawn(run, blocks=["layer3.1"])["fig_gates_static"]
    (ax,) = [ax for ax in drawn.axes if ax.axison]
    assert ax.get_title() == "se", "the other network has no such block"
    assert ax.lines[0].get_ydata() == pytest.approx([0.9, 0.9]), "the network as it is"
    heights = [line.get_ydata() for line in ax.lines[1:] if line.get_marker() in ("s", "^")]
    assert len(heights) == 2 and np.allclose(heights, 0.7)
    assert set(making.drawn(run, blocks=["layer1.*"])) == {"fig_gates_classes"}, "nothing to hold the line against"
    with pytest.raises(UsageError, match=r"no block `x`.*Valid: layer1.0, layer3.0"):
        StoredRun.open(run, ["x"])


def other_block() -> pd.DataFrame:
    row = {"network": "se", "block": "layer1.0", "class_name": "all", "unit": 0, "class": -1, "mean": 0.5, "sd": 0.1}
    return pd.DataFrame([row])
