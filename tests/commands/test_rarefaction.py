"""`gelens rarefaction`: from a recording to tables and figures, and one clear line for every mistake."""

import numpy as np
import pandas as pd
import pytest

from tests.commands.recordings import recorded
from tests.commands.test_cli import run

LABELS = np.arange(40) % 4
CLASSES = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("made"), np.random.default_rng(0)
    both = {label: {f"layer3.{block}": rng.random((40, 5)) for block in range(2)} for label in ("net", "other")}
    recorded(folder / "r", both, LABELS, CLASSES)
    recorded(folder / "single", {"net": {"b": rng.random((5, 2))}}, np.array([0, 0, 1, 1, 2]), CLASSES)
    recorded(folder / "negative", {"net": {"b": rng.normal(size=(40, 2))}}, LABELS, CLASSES)
    return folder


def test_tables_and_figures(made, tmp_path):
    code, output = run("rarefaction", made / "r", "--draws", 3, "--out", tmp_path / "run")
    assert code == 0, output
    table = pd.read_csv(tmp_path / "run" / "selectivity_rarefaction.csv")
    assert table["images_per_class"].tolist() == [2, 5, 10] * 4 and set(table["draws"]) == {3}
    assert set(zip(table["network"], table["block"], strict=True)) == {
        (network, block) for network in ("net", "other") for block in ("layer3.0", "layer3.1")
    }
    ends = pd.read_csv(tmp_path / "run" / "selectivity_rarefaction_limits.csv")
    assert len(ends) == 4 and ends["mean_csi"].tolist() == table.loc[2::3, "mean_csi"].tolist()
    drawn = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert {"fig_rarefaction_net.png", "fig_rarefaction_other.pdf"} <= drawn
    code, _ = run("rarefaction", made / "r", "--draws", 3, "--network", "other", "--out", tmp_path / "one")
    one = pd.read_csv(tmp_path / "one" / "selectivity_rarefaction.csv")
    pd.testing.assert_frame_equal(one, table[table["network"] == "other"].reset_index(drop=True))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["single"], 2, "1 classes have a single image (c)"),
        (["absent"], 2, "there is no"),
        (["r", "--network", "x"], 2, "no network in the recording called `x`"),
        (["r", "--tap", "gate"], 2, "no tap in the recording called `gate`"),
        (["negative"], 1, "has negative activities"),
    ],
)
def test_mistakes_are_one_line(made, tmp_path, arguments, code, message):
    found, output = run("rarefaction", made / arguments[0], *arguments[1:], "--out", tmp_path / "r")
    assert (found, message in output) == (code, True), output
    assert not (tmp_path / "r").exists()
