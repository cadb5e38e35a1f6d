"""`gelens levels`: from a recording to tables and figures, and one clear line for every mistake."""

import numpy as np
import pandas as pd
import pytest

from gelens.data import imagenet
from tests.commands.recordings import recorded
from tests.commands.test_cli import run

LABELS = np.arange(24) % 6
CLASSES = list("abcdef")
FEW = ["--permutations", 9, "--replicates", 5]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("made"), np.random.default_rng(0)
    recorded(folder / "r", {"net": {f"layer3.{block}": rng.random((24, 5)) for block in range(2)}}, LABELS, CLASSES)
    names = [imagenet.class_names()[label] for label in (0, 1, 2, 980, 981, 982)]
    recorded(folder / "imagenet", {"net": {"layer3.0": rng.random((6, 5))}}, np.arange(6), names)
    synsets = [imagenet.synsets()[label] for label in (0, 1, 2, 980, 981, 982)]
    parents = ["fish"] * 3 + ["other"] * 3
    lines = ["root fish", "root other", *map(" ".join, zip(parents, synsets, strict=True))]
    (folder / "is_a.txt").write_text("\n".join(lines))
    (folder / "groups.csv").write_text("class,pair,half\na,1,x\nb,1,x\nc,2,x\nd,2,y\ne,3,y\nf,3,y\n")
    (folder / "less.csv").write_text("class,pair\na,1\nb,1\nc,2\n")
    return folder


def test_tables_and_figures(made, tmp_path):
    code, output = run("levels", made / "r", "--groups", made / "groups.csv", *FEW, "--out", tmp_path / "run")
    assert code == 0, output
    table = pd.read_csv(tmp_path / "run" / "selectivity_levels.csv")
    assert table["level"].tolist() == ["class", "pair", "half"] * 2 and table["groups"].tolist() == [6, 3, 2] * 2
    units = pd.read_csv(tmp_path / "run" / "selectivity_levels_units.csv")
    assert len(units) == 2 * 3 * 5 and units["p"].dropna().between(0.1, 1).all()
    means = units.groupby(["block", "level"], sort=False)["csi"].mean()
    assert means.tolist() == pytest.approx(table["mean_csi"].tolist())
    assert (tmp_path / "run" / "figures" / "fig_levels_net.png").is_file()


def test_wordnet_and_one_image_a_class(made, tmp_path):
    code, output = run("levels", made / "imagenet", "--wordnet", made / "is_a.txt", *FEW, "--out", tmp_path / "run")
    assert code == 0 and "one image a class" in output, output
    table = pd.read_csv(tmp_path / "run" / "selectivity_levels.csv")
    assert table["level"].tolist() == ["class", "depth 1"] and table["groups"].tolist() == [6, 2]
    assert table["mean_null"].notna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["r"], "--groups and --wordnet each name a hierarchy; expected one of them"),
        (["r", "--groups", "groups.csv", "--wordnet", "is_a.txt"], "expected one of them"),
        (["r", "--groups", "absent.csv"], "is no file"),
        (["r", "--groups", "less.csv"], "3 classes are in no group of level pair: d, e, f"),
        (["r", "--wordnet", "is_a.txt"], "6 classes are not among ImageNet's 1000, such as `a`"),
        (["r", "--groups", "groups.csv", "--network", "x"], "no network in the recording called `x`"),
        (["r", "--groups", "groups.csv", "--tap", "gate"], "no tap in the recording called `gate`"),
        (["nothing", "--groups", "groups.csv"], "there is no"),
    ],
)
def test_mistakes_are_one_line(made, tmp_path, arguments, message):
    files = {"r", "groups.csv", "less.csv", "absent.csv", "is_a.txt", "nothing"}
    named = [made / each if each in files else each for each in arguments]
    code, output = run("levels", *named, *FEW, "--out", tmp_path / "run")
    assert (code, message in output) == (2, True), output
    assert not (tmp_path / "run").exists()
