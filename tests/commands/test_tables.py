"""What commands write is what is declared: no other table, no other column, and each of its type."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from gelens import figures
from gelens.networks import load_network, save_weights
from gelens.results.tables import TABLES
from tests.commands.recordings import recorded
from tests.commands.test_cli import run

FEW = ("--limit", 40, "--device", "cpu", "-q")
BLOCKS = ("--blocks", "layer3.4", "--blocks", "layer3.5")
DRAWN = ("--permutations", 3, "--replicates", 3)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Two seeds of two networks that nobody trained, and a recording."""
    folder, rng = tmp_path_factory.mktemp("made"), np.random.default_rng(0)
    for name in ("mini_resnet", "mini_resnet_se"):
        for seed in (0, 1):
            torch.manual_seed(seed)
            save_weights(load_network(name), folder / f"{name}-{seed}.safetensors", seed=str(seed))
    activity = {f"layer3.{block}": rng.random((24, 5)) for block in range(2)}
    recorded(folder / "recording", {"a": activity, "b": activity}, np.arange(24) % 4, list("0123"))
    (folder / "groups.csv").write_text("class,half\n0,x\n1,x\n2,y\n3,y\n")
    return folder


@pytest.fixture(autouse=True)
def without_figures(monkeypatch):
    monkeypatch.setattr(figures, "draw", lambda *arguments, **options: [])


COMMANDS = {
    "selectivity": ("selectivity", "GROUPS", *FEW, *BLOCKS, *DRAWN, "--index", "mi", "--index", "precision"),
    "rectified": ("selectivity", "GATED", *FEW, *BLOCKS, *DRAWN, "--tap", "branch", "--rectify", "--index", "mi"),
    "pruning": (
        *("pruning", "GROUPS", *FEW, *BLOCKS, "--score", "gate", "--score", "random", "--class-curves"),
        *("--ratio", 0, "--ratio", 0.5, "--ratio", 1),
    ),
    "gates": ("gates", "GATED", *FEW, *BLOCKS, *DRAWN, "--means-from", "digits#train"),
    "taps": ("taps", "GATED", *FEW, *BLOCKS, *DRAWN),
    "lesions": ("lesions", "GATED", *FEW, *BLOCKS, "--units", 4, "--means-from", "digits#train"),
    "levels": ("levels", "RECORDING", "--groups", "groups.csv", *DRAWN),
    "rarefaction": ("rarefaction", "RECORDING", "--draws", 2),
    "match": ("match", "RECORDING"),
    "diagram": ("diagram",),
}


def arguments_of(command: tuple, folder: Path) -> list:
    gated = f"mini_resnet_se@{folder}/mini_resnet_se-*"
    groups = [f"mini_resnet@{folder}/mini_resnet-*", gated]
    stands_for = {"GROUPS": groups, "GATED": [gated], "RECORDING": [folder / "recording"]}
    stands_for["groups.csv"] = [folder / "groups.csv"]
    return [each for word in command for each in stands_for.get(word, [word])]


def check(folder: Path) -> set[str]:
    """The tables below a folder, each as it is declared."""
    found = set()
    for path in sorted(folder.rglob("*.csv")):
        declared, text = TABLES[path.name], pd.read_csv(path, dtype=str, keep_default_na=False)
        assert set(declared.needed) <= set(text) <= set(declared.columns), path.name
        for column in text:
            check_column(text[column], declared.column(column).type, f"{path.name}: {column}")
        found.add(path.name)
    return found


def check_column(text: pd.Series, kind: str, name: str) -> None:
    if kind == "name":
        return
    known = text[~text.isin(["", "nan", "NaN"])]
    if kind == "bool":
        assert set(known) <= {"True", "False"}, name
        return
    values = pd.to_numeric(known)
    assert kind == "float" or (values % 1 == 0).all(), name


@pytest.mark.parametrize("name", COMMANDS)
def test_tables_are_as_declared(made, tmp_path, name):
    code, output = run(*arguments_of(COMMANDS[name], made), "--out", tmp_path / "run")
    assert code == 0, output
    assert check(tmp_path / "run")


def test_tables_of_a_training_are_as_declared(tmp_path):
    few = ("--data", "digits", "--limit", 60, "--epochs", 2, "--device", "cpu", "-q")
    code, output = run("train", "mini_resnet", *few, "--keep-epochs", "--out", tmp_path / "trained")
    assert code == 0, output
    epochs = ("--checkpoints", tmp_path / "trained" / "epochs", *FEW, *BLOCKS, *DRAWN, "--index", "mi")
    code, output = run("selectivity", "mini_resnet", *epochs, "--out", tmp_path / "epochs")
    assert code == 0, output
    found = check(tmp_path)
    assert {"training.csv", "selectivity_epochs.csv", "selectivity_indices_epochs.csv"} <= found


def test_a_table_that_is_not_as_declared_is_found(tmp_path):
    row = {"network": "a", "extent": "", "pool": "", "images": 10, "top1_error": 1.5, "top5_error": 0.5}
    for changed in (row, row | {"images": 1.5}, row | {"other": 1}, {"network": "a"}):
        pd.DataFrame([changed]).to_csv(tmp_path / "evaluation.csv", index=False)
        if changed is row:
            assert check(tmp_path) == {"evaluation.csv"}
        else:
            with pytest.raises(AssertionError):
                check(tmp_path)
