"""Training: its tables, its resuming, and that it learns."""

import json

import numpy as np
import pytest
import torch

import analysis
from analysis.errors import UsageError
from analysis.networks.checkpoints import read_checkpoint
from analysis.training import Recipe, recipe_of, train


@pytest.fixture
def few_digits(monkeypatch):
    """The digits, but few of them."""
    from analysis.data import forms

    whole = forms.FORMS["digits"]

    def few(location, named, split):
        return whole(location, named, split).limited(70)

    monkeypatch.setitem(forms.FORMS, "digits", few)


RECIPE = Recipe(3, 32, 0.05)


def test_an_interrupted_training_resumes_to_the_same_end(tmp_path, few_digits, monkeypatch):
    whole = train("mini_shufflenet_ge_theta", "digits", tmp_path / "whole", RECIPE, progress=False)
    from analysis.training import _Loop

    save, saved = _Loop._save, []

    def save_then_stop(self, path, history):
        save(self, path, history)
        saved.append(path)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(_Loop, "_save", save_then_stop)
    with pytest.raises(KeyboardInterrupt):
        train("mini_shufflenet_ge_theta", "digits", tmp_path / "parts", RECIPE, progress=False)
    assert not (tmp_path / "parts" / "weights.safetensors").exists()
    monkeypatch.setattr(_Loop, "_save", save)
    with pytest.raises(UsageError, match="unfinished run of these arguments: add --resume"):
        train("mini_shufflenet_ge_theta", "digits", tmp_path / "parts", RECIPE, progress=False)
    parts = train("mini_shufflenet_ge_theta", "digits", tmp_path / "parts", RECIPE, progress=False, resume=True)
    assert parts.equals(whole)
    one, two = (read_checkpoint(str(tmp_path / name / "weights.safetensors")).state for name in ("whole", "parts"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not (tmp_path / "parts" / "checkpoint.pt").exists()


def test_tables_recipe_and_weights(tmp_path, few_digits):
    table = train("mini_shufflenet", "digits", tmp_path / "run", RECIPE, progress=False)
    assert list(table.columns) == ["network", "epoch", "split", "loss", "top1_error", "top5_error", "learning_rate"]
    assert table["split"].tolist() == ["train", "val"] * 3 and table["epoch"].tolist() == [1, 1, 2, 2, 3, 3]
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["epochs"] == 3
    evaluated = analysis.evaluate(f"mini_shufflenet@{tmp_path}/run/weights.safetensors", "digits")
    # the last epoch's validation error, measured again from the saved weights by the sweep
    assert evaluated["top1_error"][0] == pytest.approx(table["top1_error"].iloc[-1], abs=1e-4)
    assert evaluated["top5_error"][0] == pytest.approx(table["top5_error"].iloc[-1], abs=1e-4)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["finished"] and record["networks"]["mini_shufflenet"]["training_seed"] == 0


def test_the_imagenet_recipe_divides_by_ten_every_thirty_epochs(tmp_path, few_digits):
    recipe = recipe_of("imagenet", epochs=31, batch_size=70)
    assert (recipe.momentum, recipe.weight_decay, recipe.learning_rate) == (0.9, 1e-4, 0.1)
    table = train("mini_shufflenet", "digits", tmp_path / "run", recipe, progress=False)
    rates = table.loc[table["split"] == "train", "learning_rate"].to_numpy()
    assert np.allclose(rates, [0.1] * 29 + [0.01] * 2), "the rate at an epoch's end is the next epoch's"


def test_bad_recipes(tmp_path):
    for arguments in ({"recipe": "large"}, {"recipe": RECIPE, "precision": "fp8"}, {"recipe": RECIPE, "device": "tpu"}):
        with pytest.raises(UsageError):
            train("mini_shufflenet", "digits", tmp_path / "run", **arguments)
    with pytest.raises(UsageError, match="at least 1 epoch"):
        recipe_of("small", epochs=0)
    assert not (tmp_path / "run").exists()


def test_a_network_learns_the_digits(tmp_path):
    """The demo's recipe on its smallest network; `make demo` trains them all."""
    table = train("mini_shufflenet", "digits", tmp_path / "run", "small", progress=False)
    assert table["top1_error"].iloc[-1] <= 5


def test_two_trainings_of_one_process_may_differ_in_precision(tmp_path, few_digits):
    for precision in ("fp32", "bf16"):
        train("mini_shufflenet", "digits", tmp_path / precision, Recipe(1, 32, 0.05), "cpu", precision, progress=False)


def test_a_last_batch_of_one_image_is_left_out(tmp_path, few_digits):
    """70 images in batches of 23: batch norm over the single value of a global gather would fail."""
    train("mini_shufflenet_ge_theta", "digits", tmp_path / "run", Recipe(1, 23, 0.05), progress=False)


def test_no_space_while_training(tmp_path, few_digits, monkeypatch):
    from analysis.errors import RunError

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(RunError, match=r"cannot write .*checkpoint\.pt.*No space left"):
        train("mini_shufflenet", "digits", tmp_path / "run", Recipe(1, 32, 0.05), progress=False)
    assert not list((tmp_path / "run").glob("*.pt"))


def test_a_users_own_network_is_trained_and_found_again(tmp_path, few_digits):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n\n\n"
        "def build():\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), "
        "nn.Linear(8, 10))\n"
    )
    reference = f"{tmp_path}/mine.py:build"
    table = train(reference, "digits", tmp_path / "run", Recipe(1, 32, 0.05), progress=False)
    row = analysis.evaluate(f"{reference}@{tmp_path}/run/weights.safetensors", "digits").iloc[0]
    assert row.top1_error == pytest.approx(table["top1_error"].iloc[-1], abs=1e-4)
