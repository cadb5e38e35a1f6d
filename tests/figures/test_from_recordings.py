"""Figures of what is computed from recordings: legible at one column's width, whatever networks are called."""

import numpy as np
import pandas as pd
import pytest

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
