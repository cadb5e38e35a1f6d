"""Figures of what is computed from recordings: legible at one column's width, whatever networks are called."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from gelens.statistics import INDICES
from gelens.statistics.lesions import DAMAGES, OF_UNITS
from tests.figures import making


@pytest.fixture(autouse=True)
def closed():
    yield
    making.close()


def matches(networks, blocks, units: int = 20) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(0)
    pairs = [(one, other) for one in blocks for other in blocks]
    of_blocks = pd.DataFrame(pairs, columns=["block", "other_block"])
    of_blocks = of_blocks.assign(network=networks[0], other=networks[1], cka=rng.random(len(pairs)), cka_biased=0.5)
    each = [
        pd.DataFrame({"unit": np.arange(units), "match": 0, "correlation": rng.random(units) ** 2 - 0.1}).assign(
            network=one, other=other, block=block
        )
        for one, other in (networks, networks[::-1])
        for block in blocks
    ]
    return {"match_blocks": of_blocks.assign(cka_se=0.01), "match_units": pd.concat(each)}


@pytest.mark.parametrize("networks", [("mini_resnet", "mini_resnet_se"), making.HARD[2:4]])
@pytest.mark.parametrize("count", [1, 6, 13])
@pytest.mark.parametrize("width", [3.3, None])
def test_matches_are_legible(tmp_path, networks, count, width):
    tables = matches(networks, making.blocks_of(count))
    figures = making.drawn(making.write_run(tmp_path, **tables), width)
    assert set(figures) == {"fig_match_blocks", "fig_match_units"}
    assert {name: making.clashes(figure) for name, figure in figures.items()} == {name: [] for name in figures}


def test_shares_of_units_sum_to_one(tmp_path):
    tables = matches(("one", "other"), ["layer3.0"], 7)
    figure = making.drawn(making.write_run(tmp_path, **tables))["fig_match_units"]
    for line in figure.axes[0].patches:
        assert np.diff(line.get_xy()[:, 0])[line.get_xy()[:-1, 1] > 0].size  # something is drawn
        heights = line.get_xy()[1:-1:2, 1]
        assert heights.sum() == pytest.approx(1)


def rarefactions(network: str, blocks, sizes) -> pd.DataFrame:
    rows = []
    for block in blocks:
        for size in sizes:
            row = {"network": network, "block": block, "depth": 1, "images_per_class": size, "draws": 10}
            for kind, value in (("csi", 0.3 + 1 / size), ("null", 1 / size), ("corrected", 0.3)):
                row |= {f"mean_{kind}": value, f"mean_{kind}_sd": 0.01}
            rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.parametrize("network", ["mini_resnet", *making.HARD[2:4]])
@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [2]), (6, [2, 5, 10, 20, 50]), (13, [2, 5, 10, 20, 50, 100, 900, 1000])]
)
@pytest.mark.parametrize("width", [3.3, None])
def test_rarefaction_is_legible(tmp_path, network, count, sizes, width):
    table = rarefactions(network, making.blocks_of(count), sizes)
    (figure,) = making.drawn(making.write_run(tmp_path, selectivity_rarefaction=table), width).values()
    assert making.clashes(figure) == []
    low, high = figure.axes[0].get_ylim()
    assert low == 0 and high > table["mean_csi"].max()


def levels_table(network: str, blocks, levels) -> pd.DataFrame:
    rows = []
    for block in blocks:
        for place, level in enumerate(levels):
            row = {"network": network, "block": block, "level": level, "groups": 1000 // (place + 1)}
            row |= {"mean_csi": 0.5 / (place + 1), "mean_csi_se": 0.01, "mean_label_null": 0.1}
            null = 0.4 / (place + 1) if place else np.nan
            rows.append(row | {"mean_null": null, "null_low": null - 0.02, "null_high": null + 0.02})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("network", ["mini_resnet", making.HARD[3]])
@pytest.mark.parametrize("levels", [["class", "family"], ["class", *(f"depth {depth}" for depth in range(18, 0, -1))]])
@pytest.mark.parametrize(("count", "width"), [(1, 3.3), (6, 3.3), (6, None)])
def test_levels_are_legible(tmp_path, network, levels, count, width):
    table = levels_table(network, making.blocks_of(count), levels)
    (figure,) = making.drawn(making.write_run(tmp_path, selectivity_levels=table), width).values()
    assert making.clashes(figure) == []


def gated(networks, blocks) -> dict[str, pd.DataFrame]:
    """Tables of gates, taps and lesions of some networks."""
    rows: dict[str, list[dict]] = {name: [] for name in GATED}
    for network in networks:
        rows["gates_static"].append({"network": network, "block": "", "gate": "intact"} | ends("top1", 0.9))
        for depth, block in enumerate(blocks, 1):
            where = {"network": network, "block": block}
            shares = {"share_channel": 0.5, "share_class": 0.3, "share_image": 0.2, "share_input_se": 0.02}
            rows["gates_blocks"].append(where | {"depth": depth, "mean_csi": 0.2, "mean_null": 0.1} | shares)
            rows["gates_histogram"] += [where | {"low": low, "high": low + 0.5, "share": 0.5} for low in (0, 0.5)]
            for unit, label in product(range(3), (-1, 0)):
                told = {"unit": unit, "class": label, "class_name": "cat" if label else "all classes"}
                rows["gates_classes"].append(where | told | {"mean": 0.4 + 0.1 * unit, "sd": 0.1})
            rows["gates_static"] += [where | {"gate": gate} | ends("top1", 0.8) for gate in ("class", "mean", "one")]
            means = {"mean_csi": 0.3, "mean_corrected": 0.2, "mean_corrected_se": 0.01}
            rows["taps_blocks"] += [where | {"tap": tap} | means for tap in ("branch", "gated", "sum", "output")]
            rows["lesions_targeted"] += [where | {"k": k} | ends("own", 0.2) | ends("another", 0.1) for k in (1, 4)]
            for index, damage in product(dict.fromkeys((*OF_UNITS, *INDICES)), DAMAGES):
                told = {"index": index, "damage": damage, "correlation": 0.4, "low": 0.1, "high": 0.6}
                rows["lesions_agreement"].append(where | told)
    return {name: pd.DataFrame(table) for name, table in rows.items()}


GATED = (
    *("gates_blocks", "gates_histogram", "gates_classes", "gates_static"),
    *("taps_blocks", "lesions_targeted", "lesions_agreement"),
)


def ends(name: str, value: float) -> dict[str, float]:
    return {name: value, f"{name}_low": value - 0.05, f"{name}_high": value + 0.05}


@pytest.mark.parametrize("blocks", [making.blocks_of(6), ["layer3.0", "a.$very_$.long." + "block." * 12, "7"]])
@pytest.mark.parametrize("width", [3.3, None])
def test_gates_taps_and_lesions_are_legible(tmp_path, blocks, width):
    run = making.write_run(tmp_path, **gated(("mini_resnet_se", making.HARD[3]), blocks))
    figures = making.drawn(run, width)
    names = {"gates_variance", "gates_depth", "gates_distribution", "gates_static", "taps", "lesions_targeted"}
    numbered = {f"fig_{name}_{number}" for name in ("gates_classes", "lesions") for number in (1, 2)}
    assert set(figures) == {f"fig_{name}" for name in names} | numbered
    assert {name: making.clashes(figure) for name, figure in figures.items()} == {name: [] for name in figures}
