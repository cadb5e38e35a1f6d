"""Nothing is overprinted or cut off, whatever the networks are called and however many blocks there are."""

import pytest

from tests.figures import making


@pytest.fixture(autouse=True)
def closed():
    yield
    making.close()


DEMO = ("mini_resnet", "mini_resnet_ge_theta_minus:extent=global,pool=avg", "mini_resnet_se")
CASES = {
    "one of each": (["mini_resnet"], making.blocks_of(1), 1, 0),
    "as the demo": (list(DEMO), making.blocks_of(6), 12, 1),
    "hard names": (list(making.HARD), ["layer3.0", "a.$very_$.long." + "block." * 12, "7"], 12, 1),
    "many blocks": (list(DEMO[:2]), making.blocks_of(13), 12, 1),
    "all dead": (list(DEMO[:2]), making.blocks_of(2), 3, 3),
}


@pytest.mark.parametrize(
    ("case", "width"),
    [
        ("one of each", 3.3),
        ("as the demo", 3.3),
        ("hard names", None),
        ("hard names", 3.3),
        ("many blocks", None),
        ("all dead", 3.3),
    ],
)
def test_nothing_is_overprinted_or_cut_off(tmp_path, case, width):
    networks, blocks, units, dead = CASES[case]
    figures = making.drawn(making.write_everything(tmp_path, networks, blocks, units, dead), width)
    assert {"fig1_optimisation", "fig2_selectivity", "fig3_pruning", "fig3_area", "fig_epochs"} <= figures.keys()
    said = {name: making.clashes(figure) for name, figure in figures.items()}
    assert {name: clashes for name, clashes in said.items() if clashes} == {}
    for name, figure in figures.items():
        inches = figure.get_size_inches()
        assert inches[0] == (width or inches[0]) and inches[0] <= 7.0, name


def test_the_check_itself_finds_what_is_overprinted_and_cut_off():
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(2, 2))
    figure.text(0.5, 0.5, "one")
    figure.text(0.52, 0.5, "other")
    figure.text(0.9, 0.1, "beyond the edge")
    assert making.clashes(figure) == ["cut off: 'beyond the edge'", "overprinted: 'one' and 'other'"]
