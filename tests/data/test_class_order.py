"""Which output is which class: known from a source, stated by a person, or refused; never taken from the alphabet."""

import logging

import pytest
import torch
from click.testing import CliRunner
from torch.utils.data import TensorDataset

import gelens
from gelens.cli import main
from gelens.data import load_data
from gelens.errors import UsageError
from gelens.networks import load_network, save_weights
from gelens.sweep.passing import SweepOptions
from tests.data.test_classes import classes_in

QUIET = SweepOptions("cpu", batch_size=4, progress=False)
NAMES = ["bird", "cat", "dog"]


def weights_of(folder, classes: int = 3, names=()) -> str:
    """A reference to weights of a file, which names its classes where there are names."""
    torch.manual_seed(0)
    network = load_network(f"mini_resnet:classes={classes}")
    network.class_names = tuple(names)
    path = folder / f"w{len(names)}.safetensors"
    save_weights(network, path)
    return f"mini_resnet:classes={classes}@{path}"


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_alphabetical_order_is_refused_until_somebody_says_so(tmp_path, form):
    data = classes_in(form, tmp_path / "pets", NAMES)
    reference = weights_of(tmp_path)
    told = "nothing tells which output of .* is which class: it does not name its classes.*--classes-by-position"
    with pytest.raises(UsageError, match=told):
        gelens.evaluate(reference, data, QUIET)
    with pytest.raises(UsageError, match=told):
        gelens.pruning(reference, data, options=QUIET)
    table = gelens.evaluate(reference, data, QUIET, classes_by_position=True)
    network = load_network(reference)
    right = sum(
        int(logits.argmax() == label)
        for images, labels in gelens.images_for(network, data, device="cpu")
        for logits, label in zip(network(images), labels, strict=True)
    )
    assert table["top1_error"].tolist() == [pytest.approx(100 - 100 * right / 3)]


def test_a_network_that_names_its_classes_needs_no_statement(tmp_path):
    data = classes_in("folder", tmp_path / "pets", NAMES)
    assert len(gelens.evaluate(weights_of(tmp_path, names=["dog", "bird", "cat"]), data, QUIET)) == 1
    other = weights_of(tmp_path, names=["hund", "vogel", "katze"])
    with pytest.raises(
        UsageError, match="it was trained on hund, vogel, katze, but these images are of bird, cat, dog"
    ):
        gelens.evaluate(other, data, QUIET)
    assert len(gelens.evaluate(other, data, QUIET, classes_by_position=True)) == 1


def test_sources_that_number_their_classes_need_no_statement(tmp_path):
    assert len(gelens.evaluate(weights_of(tmp_path, 10), load_data("digits").limited(10), QUIET)) == 1
    numbers = classes_in("folder", tmp_path / "numbers", ["0", "1", "2"])
    assert len(gelens.evaluate(weights_of(tmp_path), numbers, QUIET)) == 1
    own = TensorDataset(torch.rand(6, 3, 32, 32) - 0.5, torch.arange(6) % 3)
    assert len(gelens.evaluate(weights_of(tmp_path), own, QUIET)) == 1


def test_units_are_measured_without_it_but_no_accuracy_is_told(tmp_path, caplog):
    data = classes_in("folder", tmp_path / "pets", NAMES)
    recording = gelens.record(weights_of(tmp_path), data, options=QUIET)
    assert "is not reported: it does not name its classes" in caplog.text
    (label,) = recording.networks
    assert "top_classes" not in recording.names(label) and len(recording.activity(label, "layer3.0")) == 3


def test_on_the_command_line(tmp_path):
    data, reference = classes_in("folder", tmp_path / "pets", NAMES), weights_of(tmp_path)
    command = ("evaluate", reference, "--data", data, "--device", "cpu", "--out", str(tmp_path / "run"))
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 2 and "--classes-by-position" in refused.stderr
    done = CliRunner().invoke(main, [*command, "--classes-by-position"])
    assert done.exit_code == 0, done.output


def test_accuracy_of_no_more_than_chance_is_said(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "gelens")
    network = load_network(weights_of(tmp_path, 10))
    with torch.no_grad():
        network.fc.weight.zero_()
        network.fc.bias.copy_(torch.arange(10.0))  # always 9
    ninths = [position for position, label in enumerate(load_data("digits").labels) if label != 9]
    gelens.evaluate(network, load_data("digits").subset(ninths[:20]), QUIET)
    assert "gets 0.00 % of images right, no more than chance (10 %)" in caplog.text
    caplog.clear()
    # random weights are expected to
    gelens.evaluate("mini_resnet", load_data("digits").limited(20), QUIET, untrained=True)
    assert "no more than chance" not in caplog.text
