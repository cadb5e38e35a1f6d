"""Training: its tables, its resuming, and that it learns."""

import copy
import json
import os
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate.utils import set_seed
from PIL import ImageOps
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader

import gelens
from gelens import training
from gelens.data import batches, load_data
from gelens.data.cached import write_cache
from gelens.errors import RunError, UsageError
from gelens.networks.checkpoint_series import checkpoint_files
from gelens.networks.checkpoints import read_checkpoint
from gelens.networks.preprocessing import Preprocessing
from gelens.results.run import Run
from gelens.training import Recipe, recipe_of
from gelens.training.reading import cropped, training_batches
from tests.conftest import make_data


@pytest.fixture
def few_digits(monkeypatch):
    """The digits, but few of them."""
    from gelens.data import forms

    whole = forms.FORMS["digits"]

    def few(location, named, split):
        return whole(location, named, split).limited(70)

    monkeypatch.setitem(forms.FORMS, "digits", few)


RECIPE = Recipe(3, 32, 0.05)
train = partial(training.train, precision="fp32", progress=False)
"""In the precision of evaluations, so that their errors are equal."""


def test_an_interrupted_training_resumes_to_the_same_end(tmp_path, few_digits, monkeypatch):
    whole = train("mini_shufflenet_ge_theta", "digits", tmp_path / "whole", RECIPE)
    from gelens.training.loop import Loop

    save, saved = Loop._save, []

    def save_then_stop(self, path, *rest):
        save(self, path, *rest)
        saved.append(path)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Loop, "_save", save_then_stop)
    with pytest.raises(KeyboardInterrupt):
        train("mini_shufflenet_ge_theta", "digits", tmp_path / "parts", RECIPE)
    assert not (tmp_path / "parts" / "weights.safetensors").exists()
    monkeypatch.setattr(Loop, "_save", save)
    with pytest.raises(UsageError, match="unfinished run of these arguments: add --resume"):
        train("mini_shufflenet_ge_theta", "digits", tmp_path / "parts", RECIPE)
    parts = train("mini_shufflenet_ge_theta", "digits", tmp_path / "parts", RECIPE, resume=True)
    assert parts.equals(whole)
    one, two = (read_checkpoint(str(tmp_path / name / "weights.safetensors")).state for name in ("whole", "parts"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not (tmp_path / "parts" / "checkpoint.pt").exists()


def test_tables_recipe_and_weights(tmp_path, few_digits):
    table = train("mini_shufflenet", "digits", tmp_path / "run", RECIPE)
    assert list(table.columns) == ["network", "epoch", "split", "loss", "top1_error", "top5_error", "learning_rate"]
    assert table["split"].tolist() == ["train", "val"] * 3 and table["epoch"].tolist() == [1, 1, 2, 2, 3, 3]
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["epochs"] == 3
    evaluated = gelens.evaluate(f"mini_shufflenet@{tmp_path}/run/weights.safetensors", "digits")
    # the last epoch's validation error, measured again from the saved weights by the sweep
    assert evaluated["top1_error"][0] == pytest.approx(table["top1_error"].iloc[-1], abs=1e-4)
    assert evaluated["top5_error"][0] == pytest.approx(table["top5_error"].iloc[-1], abs=1e-4)
    network = gelens.load_network(f"mini_shufflenet@{tmp_path}/run/weights.safetensors").eval()
    images = next(batches(load_data("digits#val"), [network.preprocessing.geometry], 70))
    with torch.inference_mode():
        logits = network(network.preprocessing.normalize(images.images[network.preprocessing.geometry]))
    loss = torch.nn.functional.cross_entropy(logits, images.labels)
    # over images: the last batch of 6 counts for less than the two of 32
    assert table["loss"].iloc[-1] == pytest.approx(float(loss), rel=1e-4)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["finished"] and record["networks"]["mini_shufflenet"]["training_seed"] == 0


@pytest.mark.slow
def test_the_imagenet_recipe_divides_by_ten_every_thirty_epochs(tmp_path, few_digits):
    recipe = recipe_of("imagenet", epochs=31, batch_size=70)
    assert (recipe.momentum, recipe.weight_decay, recipe.learning_rate) == (0.9, 1e-4, 0.1)
    table = train("mini_shufflenet", "digits", tmp_path / "run", recipe)
    rates = table.loc[table["split"] == "train", "learning_rate"].to_numpy()
    assert np.allclose(rates, [0.1] * 29 + [0.01] * 2), "the rate at an epoch's end is the next epoch's"


def test_bad_recipes(tmp_path):
    for arguments in ({"recipe": "large"}, {"recipe": RECIPE, "precision": "fp8"}, {"recipe": RECIPE, "device": "tpu"}):
        with pytest.raises(UsageError):
            train("mini_shufflenet", "digits", tmp_path / "run", **arguments)
    with pytest.raises(UsageError, match="at least 1 epoch"):
        recipe_of("small", epochs=0)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_network_learns_the_digits(tmp_path):
    """The demo's recipe on its smallest network; `make demo` trains them all."""
    table = train("mini_shufflenet", "digits", tmp_path / "run", "small")
    assert table["top1_error"].iloc[-1] <= 5


def test_two_trainings_of_one_process_may_differ_in_precision(tmp_path, few_digits):
    for precision in ("fp32", "bf16"):
        train("mini_shufflenet", "digits", tmp_path / precision, Recipe(1, 32, 0.05), "cpu", precision=precision)


def test_a_last_batch_of_one_image_is_left_out(tmp_path, few_digits):
    """70 images in batches of 23: batch norm over the single value of a global gather would fail."""
    train("mini_shufflenet_ge_theta", "digits", tmp_path / "run", Recipe(1, 23, 0.05))


def test_no_space_while_training(tmp_path, few_digits, monkeypatch):
    from gelens.errors import RunError

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(RunError, match=r"cannot write .*checkpoint\.pt.*No space left"):
        train("mini_shufflenet", "digits", tmp_path / "run", Recipe(1, 32, 0.05))
    assert not list((tmp_path / "run").glob("*.pt"))


def test_a_users_own_network_is_trained_and_found_again(tmp_path, few_digits):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n\n\n"
        "def build():\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), "
        "nn.Linear(8, 10))\n"
    )
    reference = f"{tmp_path}/mine.py:build"
    table = train(reference, "digits", tmp_path / "run", Recipe(1, 32, 0.05))
    row = gelens.evaluate(f"{reference}@{tmp_path}/run/weights.safetensors", "digits").iloc[0]
    assert row.top1_error == pytest.approx(table["top1_error"].iloc[-1], abs=1e-4)


PADDED = Recipe(2, 32, 0.05, padding=4)


def test_padded_crops_are_those_of_the_obvious_loop():
    """Against torchvision's pad, crop and flip of each image by itself."""
    from torchvision.transforms import functional as tf

    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (9, 3, 6, 5), generator=generator, dtype=torch.uint8)
    rows, columns = (torch.randint(0, 5, (9,), generator=generator) for _ in range(2))
    flips = torch.rand(9, generator=generator) < 0.5
    expected = []
    for image, row, column, flip in zip(images, rows, columns, flips, strict=True):
        crop = tf.crop(tf.pad(image, [2, 2, 2, 2]), int(row), int(column), 6, 5)
        expected.append(tf.hflip(crop) if flip else crop)
    assert torch.equal(cropped(images, 2, rows, columns, flips), torch.stack(expected))


def test_cropped_areas_are_those_of_timms_own_transform():
    """Bit for bit, normalised by torchvision image by image."""
    from timm.data import create_transform

    data, recipe, shown = (
        make_data(20),
        replace(PADDED, padding=None, flip=0.5),
        Preprocessing(32, mean=(0.4, 0.5, 0.6)),
    )
    reader = training_batches(data, recipe, shown, torch.device("cpu"))
    set_seed(0)
    found = list(reader.epoch(1))
    options = {"scale": recipe.crop_area, "ratio": recipe.crop_aspect, "color_jitter": None, "mean": shown.mean}
    transform = create_transform(32, is_training=True, interpolation=shown.interpolation, std=shown.std, **options)
    order = [each for batch in reader.batches for each in batch]
    # through a loader, since each iterator of one draws a seed, as the reader's does, before the first image
    normalised = DataLoader(order, collate_fn=lambda places: torch.stack([transform(data[each][0]) for each in places]))
    set_seed(0)
    assert torch.equal(torch.cat([images for images, _ in found]), torch.cat(list(normalised)))
    assert torch.cat([labels for _, labels in found]).tolist() == data.labels[order].tolist()


@pytest.mark.parametrize("recipe", [PADDED, replace(PADDED, padding=None)])
def test_an_epoch_shows_each_image_once_in_an_order_of_its_own(recipe):
    data = make_data(70)
    reader = training_batches(data, recipe, Preprocessing(32), torch.device("cpu"))
    epochs = [torch.cat([labels for _, labels in reader.epoch(epoch)]).tolist() for epoch in (1, 2, 1)]
    assert len(reader) == 3
    assert all(sorted(each) == sorted(data.labels.tolist()) for each in epochs)
    assert epochs[0] == epochs[2] != epochs[1]


def test_what_is_drawn_of_an_image_does_not_hang_on_the_others():
    data = make_data(20)
    recipe = replace(PADDED, batch_size=4)
    whole, part = (
        dict(_by_pixels(training_batches(each, recipe, Preprocessing(32), torch.device("cpu")).epoch(1)))
        for each in (data, data.subset([3, 8, 11]))
    )
    assert part.items() <= whole.items()


def _by_pixels(batches):
    """Augmented images as hashable values."""
    for images, labels in batches:
        for image, label in zip(images, labels.tolist(), strict=True):
            yield image.numpy().tobytes(), label


def test_small_images_are_decoded_once(tmp_path, monkeypatch):
    from gelens.data import forms

    read, (training_images, validation) = [], (make_data(40, seed=seed) for seed in (0, 1))
    training_images.split = "train"
    by_split = {"train": training_images, "val": validation}
    for each in by_split.values():
        each.read = lambda position, inner=each.read: (read.append(position), inner(position))[1]
    monkeypatch.setitem(forms.FORMS, "noise", lambda at, named, split: by_split[split])
    train("mini_shufflenet", "noise", tmp_path / "run", replace(PADDED, epochs=3))
    assert len(read) <= 3 * 80, "looked at by the check and for their sizes, decoded once, not in each of three epochs"


def test_the_precision_is_what_the_device_computes_in(tmp_path, few_digits, monkeypatch, caplog):
    monkeypatch.setattr("gelens.devices.has_bfloat16", lambda device: False)
    with caplog.at_level("WARNING"):
        train("mini_shufflenet", "digits", tmp_path / "bf16", Recipe(1, 70, 0.05), "cpu", precision="bf16")
    assert "emulates bfloat16" in caplog.text
    train("mini_shufflenet", "digits", tmp_path / "auto", Recipe(1, 70, 0.05), "cpu", precision="auto")
    assert json.loads((tmp_path / "auto" / "run.json").read_text())["precision"] == "fp32"


@pytest.mark.parametrize("has, chosen", [(True, "bf16"), (False, "fp32")])
def test_the_precision_is_chosen_by_the_hardware_and_said(tmp_path, few_digits, monkeypatch, caplog, has, chosen):
    """Never by a stopwatch, which once chose twice for one command and seed, and so made other weights."""
    monkeypatch.setattr("gelens.devices.has_bfloat16", lambda device: has)
    with caplog.at_level("INFO"):
        train("mini_shufflenet", "digits", tmp_path / "run", Recipe(1, 70, 0.05), "cpu", precision="auto")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["precision"] == chosen
    assert f"precision: {chosen}, by what this processor computes in" in caplog.text


def test_every_epoch_leaves_a_line_and_a_row(tmp_path, few_digits, monkeypatch, caplog):
    """Where output is a file, an hour's training says how far it is, and its curves can be looked at."""
    from gelens.training.loop import Loop

    save, seen = Loop._save, []

    def save_and_look(self, *arguments):
        table = tmp_path / "run" / "training.csv"
        seen.append(len(pd.read_csv(table)) if table.exists() else 0)
        save(self, *arguments)

    monkeypatch.setattr(Loop, "_save", save_and_look)
    with caplog.at_level("INFO"):
        table = train("mini_shufflenet", "digits", tmp_path / "run", replace(PADDED, epochs=3), progress=False)
    assert seen == [0, 2, 4]
    lines = [record.message for record in caplog.records if "epoch" in record.message]
    last = table[table["epoch"] == 3].set_index("split")["top1_error"]
    assert len(lines) == 3 and lines[2] == (
        f"mini_shufflenet: epoch 3 of 3, top-1 error {last['train']:.2f} % in training, {last['val']:.2f} % in "
        f"validation, learning rate {table['learning_rate'].iloc[-1]:.3g}, 00:00 left"
    )


def test_the_time_left_is_that_of_the_pieces_to_come(monkeypatch):
    from gelens import progress

    now = iter([100.0, 220.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    assert progress.TimeLeft(5).after(2) == "03:00"


def test_a_training_goes_on_in_the_precision_it_began_in(tmp_path, few_digits, monkeypatch):
    from gelens.training.loop import Loop

    monkeypatch.setattr(training, "fast_precision", lambda device: "bf16")
    save = Loop._save

    def save_then_stop(self, *arguments):
        save(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Loop, "_save", save_then_stop)
    with pytest.raises(KeyboardInterrupt):
        train("mini_shufflenet", "digits", tmp_path / "run", PADDED, precision="auto")
    monkeypatch.setattr(Loop, "_save", save)
    monkeypatch.setattr(training, "fast_precision", lambda device: "fp32")
    train("mini_shufflenet", "digits", tmp_path / "run", PADDED, precision="auto", resume=True)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["precision"] == "bf16"


def test_weights_are_kept_within_epochs(tmp_path, few_digits):
    kept = [1 / 3, 1, 1.5]
    train("mini_shufflenet", "digits", tmp_path / "run", PADDED, keep_epochs=kept)
    found = checkpoint_files(tmp_path / "run" / "epochs")
    assert list(found) == [0.333, 1, 1.5]
    states = [read_checkpoint(str(path)).state["fc.weight"] for path in found.values()]
    assert not torch.equal(states[0], states[1])


def test_subsets_are_trained_on(tmp_path, few_digits):
    recipe = replace(PADDED, epochs=1)
    train("mini_shufflenet", "digits", tmp_path / "run", recipe, limit=40)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"]["images"] == 40
    with pytest.raises(UsageError, match="limit was 40, now None"):
        train("mini_shufflenet", "digits", tmp_path / "run", recipe, per_class=4, resume=True)


def test_caches_of_both_splits_are_trained_on(tmp_path):
    folder = tmp_path / "caches"
    for split in ("train", "val"):
        write_cache(load_data(f"digits#{split}").limited(60), (32, 1.0, "bilinear"), folder / split, progress=False)
    recipe = replace(PADDED, epochs=1)
    table = train("mini_shufflenet", f"cache:{folder}", tmp_path / "run", recipe)
    assert len(table) == 2
    with pytest.raises(UsageError, match="needs both splits"):
        train("mini_shufflenet", f"cache:{folder}/val", tmp_path / "other", recipe)
    (folder / "val").rename(folder / "gone")
    with pytest.raises(UsageError, match=r"0 caches of the split `val`; expected one. Its caches: train \(train\)"):
        train("mini_shufflenet", f"cache:{folder}", tmp_path / "other", recipe)


def test_a_training_that_diverges_leaves_no_weights(tmp_path, few_digits):
    with pytest.raises(RunError, match="diverged; a lower learning rate than 1e"):
        train("mini_shufflenet", "digits", tmp_path / "run", replace(PADDED, learning_rate=1e30))
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_label_smoothing_is_in_the_training_loss_alone(tmp_path, few_digits):
    """With rates too small to learn anything, both trainings' first losses are those of one network."""
    still = replace(PADDED, epochs=1, learning_rate=1e-12)
    plain, smoothed = (
        train("mini_shufflenet", "digits", tmp_path / str(amount), replace(still, label_smoothing=amount))
        for amount in (0.0, 0.5)
    )
    same = plain.set_index("split")["loss"] == smoothed.set_index("split")["loss"]
    assert same["val"] and not same["train"]


def test_the_step_is_compiled_where_asked_for(tmp_path, few_digits, monkeypatch):
    """By a compiler that compiles nothing, so that it ends in the same weights; the real one is slow."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda network, **_: compiled.append(network) or network)
    for name in ("plain", "compiled"):
        train("mini_shufflenet", "digits", tmp_path / name, PADDED, compiled=name == "compiled")
    assert len(compiled) == 1
    plain, other = (
        read_checkpoint(str(tmp_path / name / "weights.safetensors")).state for name in ("plain", "compiled")
    )
    assert all(torch.equal(plain[name], other[name]) for name in plain)


@pytest.mark.slow
def test_a_compiled_training_learns_as_another(tmp_path, few_digits):
    """Tolerance: single steps round otherwise, which ReLUs near 0 and the steps after them magnify; 1.5 % was seen."""
    plain, compiled = (
        train("mini_resnet", "digits", tmp_path / str(each), replace(PADDED, epochs=2), compiled=each)
        for each in (False, True)
    )
    assert np.allclose(plain["loss"], compiled["loss"], rtol=3e-2)


@pytest.mark.slow
def test_gradients_of_a_compiled_step_are_those_of_float64():
    """Tolerance: 0.5 % of a gradient's norm was seen, and 3.4 % without the compiler, whose batch norm rounds more."""
    torch.manual_seed(0)
    network = gelens.load_network("mini_resnet").to(memory_format=torch.channels_last).train()
    exact = copy.deepcopy(network).double()
    images, labels = torch.randn(32, 3, 32, 32), torch.randint(0, 10, (32,))
    for run, given in ((torch.compile(network, dynamic=False), images), (exact, images.double())):
        torch.nn.functional.cross_entropy(run(given), labels).backward()
    for (name, mine), theirs in zip(network.named_parameters(), exact.parameters(), strict=True):
        assert (mine.grad - theirs.grad).norm() < 0.02 * theirs.grad.norm(), name


def test_nesterov_is_pytorchs(tmp_path, few_digits, monkeypatch):
    chosen, sgd = [], torch.optim.SGD
    monkeypatch.setattr(
        torch.optim, "SGD", lambda *args, **given: chosen.append(given["nesterov"]) or sgd(*args, **given)
    )
    losses = [
        train("mini_shufflenet", "digits", tmp_path / str(each), replace(PADDED, nesterov=each))["loss"].iloc[-1]
        for each in (False, True)
    ]
    assert chosen == [False, True] and losses[0] != losses[1]


@pytest.fixture
def begun(tmp_path, few_digits, monkeypatch):
    """A training that was interrupted after its first epoch; the function goes on with it."""
    from gelens.training.loop import Loop

    save = Loop._save

    def save_then_stop(self, *arguments):
        save(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Loop, "_save", save_then_stop)
        train("mini_shufflenet", "digits", tmp_path / "run", RECIPE)
    return partial(train, "mini_shufflenet", "digits", tmp_path / "run", RECIPE, resume=True)


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "harm", [_flipped, lambda content: b"", lambda content: content[:-500]], ids=["flipped", "empty", "cut"]
)
def test_a_damaged_checkpoint_is_named(tmp_path, begun, harm):
    path = tmp_path / "run" / "checkpoint.pt"
    whole = path.read_bytes()
    path.write_bytes(harm(whole))
    with pytest.raises(RunError, match=r"checkpoint\.pt` is damaged"):
        begun()
    path.write_bytes(whole)
    assert len(begun()) == 6


def test_a_training_goes_on_with_its_own_images_and_network_only(tmp_path, begun, monkeypatch):
    """Labels, content and code are not in the arguments, which name them only."""
    from gelens.data import forms

    few = forms.FORMS["digits"]

    def relabelled(location, named, split):
        data = few(location, named, split)
        data.labels = data.labels[::-1].copy()
        return data

    def inverted(location, named, split):
        data = few(location, named, split)
        read = data.read
        data.read = lambda position: ImageOps.invert(read(position).convert("L"))
        return data

    before = sorted((path.name, path.read_bytes()) for path in (tmp_path / "run").iterdir())
    for form, message in (
        (relabelled, "other train images: .* other labels"),
        (inverted, "content of image .* changed"),
    ):
        with monkeypatch.context() as patch, pytest.raises(UsageError, match=message):
            patch.setitem(forms.FORMS, "digits", form)
            begun()
    assert sorted((path.name, path.read_bytes()) for path in (tmp_path / "run").iterdir()) == before
    assert len(begun()) == 6


def test_a_second_training_in_one_folder_says_so(tmp_path, few_digits):
    with Run(tmp_path / "run", "train", {}), pytest.raises(UsageError, match="another process is writing into"):
        train("mini_shufflenet", "digits", tmp_path / "run", RECIPE, resume=True)


def test_a_reader_that_dies_ends_a_training_with_a_word(tmp_path, few_digits, monkeypatch):
    """In the second epoch: the state after the first is kept."""
    from gelens.data.datasets import ImageData

    this, inner = os.getpid(), ImageData.__getitem__

    def dying(self, position):
        if os.getpid() != this and (tmp_path / "run" / "checkpoint.pt").exists():
            os._exit(9)
        return inner(self, position)

    monkeypatch.setattr(ImageData, "__getitem__", dying)
    recipe = recipe_of("imagenet", epochs=3, batch_size=35)
    with pytest.raises(
        RunError, match=r"a process that reads images died.*The state after the last whole epoch is kept"
    ):
        train("mini_shufflenet", "digits", tmp_path / "run", recipe, workers=1)


def test_the_same_training_gives_the_same_file(tmp_path, few_digits):
    from gelens.networks.weights import weights_file_hash

    paths = [tmp_path / name / "weights.safetensors" for name in ("one", "two")]
    for path in paths:
        train("mini_shufflenet", "digits", path.parent, replace(RECIPE, epochs=1))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    state = load_file(paths[0])
    save_file(state, tmp_path / "other.safetensors", {"note": "the same tensors"})
    assert weights_file_hash(tmp_path / "other.safetensors") == weights_file_hash(paths[0])
    save_file(state | {"fc.bias": state["fc.bias"] + 1}, tmp_path / "other.safetensors")
    assert weights_file_hash(tmp_path / "other.safetensors") != weights_file_hash(paths[0])
