"""`gelens match`: from recordings to tables and figures, and one clear line for every mistake."""

import numpy as np
import pandas as pd
import pytest

from tests.commands.recordings import recorded
from tests.commands.test_cli import run

LABELS = np.arange(40) % 4
CLASSES = ["a", "b", "c", "d"]


def blocks(seed: int, units: int = 5, names=("layer3.0", "layer3.1")) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.random((40, units)) for name in names}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    recorded(folder / "one", {"net": blocks(0)}, LABELS, CLASSES)
    recorded(folder / "other", {"net": {"layer3.1": blocks(0)["layer3.1"][:, ::-1]}}, LABELS, CLASSES)
    recorded(folder / "two", {"net": blocks(0), "wide": blocks(1, 7)}, LABELS, CLASSES)
    recorded(folder / "few", {"net": blocks(0)}, LABELS[::-1], CLASSES)
    named = [f"picture-{number}" for number in range(40)]
    recorded(folder / "named", {"net": blocks(0)}, LABELS, CLASSES, identifier=named)
    return folder


def test_two_recordings(made, tmp_path):
    code, output = run("match", made / "one", made / "other", "--out", tmp_path / "run")
    assert code == 0, output
    table = pd.read_csv(tmp_path / "run" / "match_blocks.csv")
    columns = "network,block,other,other_block,cka,cka_biased,cka_se,images,units,other_units"
    assert ",".join(table.columns) == columns
    assert table["other"].tolist() == ["net-2"] * 2 and table["block"].tolist() == ["layer3.0", "layer3.1"]
    assert table["cka"].iloc[1] == pytest.approx(1) and abs(table["cka"].iloc[0]) < 0.2
    units = pd.read_csv(tmp_path / "run" / "match_units.csv")
    assert ",".join(units.columns).startswith("network,block,unit,other,match,correlation")
    assert units["match"].tolist() == [4, 3, 2, 1, 0] * 2 and set(units["block"]) == {"layer3.1"}
    assert units["correlation"].to_numpy() == pytest.approx(1)
    drawn = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert {"fig_match_blocks.png", "fig_match_units.pdf"} <= drawn


def test_two_networks_of_one_recording(made, tmp_path):
    code, output = run("match", made / "two", "--network", "wide", "--network", "net", "--out", tmp_path / "run")
    assert code == 0, output
    table = pd.read_csv(tmp_path / "run" / "match_blocks.csv")
    assert set(table["network"]) == {"wide"} and len(table) == 4 and set(table["units"]) == {7}
    units = pd.read_csv(tmp_path / "run" / "match_units.csv")
    assert units.groupby("network").size().to_dict() == {"net": 10, "wide": 14}
    means = pd.read_csv(tmp_path / "run" / "match_means.csv")
    mine = units[(units["network"] == "net") & (units["block"] == "layer3.1")]["correlation"]
    assert means.set_index(["network", "block"])["mean_correlation"]["net", "layer3.1"] == pytest.approx(mine.mean())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one"], "the recordings have 1 networks, net; expected two"),
        (["one", "two"], "the recordings have 3 networks"),
        (["one", "named"], "the recordings are of other images: 40 of 40 are called otherwise, first row 0"),
        (["one", "few"], "40 of 40 are labelled otherwise"),
        (["one", "other", "two"], "3 recordings; expected one or two"),
        (["two", "--network", "net"], "--network is given 1 times; expected twice"),
        (["two", "--network", "net", "--network", "net"], "`net` is named twice; it would be compared with itself"),
        (["two", "--network", "net", "--network", "thin"], "no network in the recording called `thin`"),
        (["two", "--tap", "gate"], "no block of `net` was recorded at the tap `gate`"),
        (["absent"], "there is no"),
    ],
)
def test_mistakes_are_one_line(made, tmp_path, arguments, message):
    known = {"one", "other", "two", "few", "named", "absent"}
    code, output = run(
        "match", *(made / each if each in known else each for each in arguments), "--out", tmp_path / "r"
    )
    assert (code, message in output) == (2, True), output
    assert not (tmp_path / "r").exists()
