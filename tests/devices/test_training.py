"""Training on the pretended device, and on two devices in one process."""

import pytest
import torch

from gelens.networks.preprocessing import Preprocessing
from gelens.training import loop
from gelens.training.loop import KeptEpochs, Loop
from gelens.training.reading import training_batches
from gelens.training.recipes import Recipe
from tests.conftest import make_data, make_network
from tests.devices.pretended import NAME, pretending, unless_real
from tests.devices.test_passes import counted, steady

pytestmark = unless_real
PADDED = Recipe(2, 8, 0.05, padding=4)
CROPPED = Recipe(2, 8, 0.05, crop_area=(0.8, 1.0))


def trained(folder, device: str, recipe: Recipe, precision: str = "fp32", watch=None):
    """The history and the weights of a training, and what each step asked of the device."""
    network, seen = make_network("mini_shufflenet:classes=4"), []
    training, validation = (make_data(40, seed=seed) for seed in (0, 1))
    ours = Loop(network, training, validation, recipe, torch.device(device), precision, progress=False)
    assert ours.accelerator.device == torch.device(device)
    if watch is not None:
        read = ours.reader.epoch
        ours.reader.epoch = lambda epoch: counted(read(epoch), watch, seen)
    history = ours.run(folder / f"{device}.pt", "it", KeptEpochs(folder), {})
    assert next(network.parameters()).device.type == device
    return history, network.to("cpu").state_dict(), seen


@pytest.mark.parametrize("recipe", [PADDED, CROPPED], ids=["padded", "cropped"])
def test_steps_wait_for_nothing(tmp_path, recipe, monkeypatch):
    """Two trainings of one process, each on its device: the second does not find the first one's."""
    validated, read = [], loop.batches
    with pretending() as watch:
        monkeypatch.setattr(loop, "batches", lambda *args, **more: counted(read(*args, **more), watch, validated))
        there, weights, seen = trained(tmp_path, NAME, recipe, watch=watch)
        monkeypatch.undo()
    here, expected, _ = trained(tmp_path, "cpu", recipe)
    assert not steady(seen) and not steady(validated)
    assert [row["top1_error"] for row in there] == [row["top1_error"] for row in here]
    for name, values in expected.items():
        torch.testing.assert_close(weights[name], values, rtol=1e-4, atol=1e-5)


def test_cropped_images_come_as_bytes():
    data = make_data(40)
    with pretending() as watch:
        reader = training_batches(data, CROPPED, Preprocessing(32), torch.device(NAME))
        list(reader.epoch(1))  # the table of normalised values comes with the first
        watch.since()
        shown = sum(images.nelement() for images, _ in reader.epoch(2))
    assert shown == 40 * 3 * 32 * 32
    assert watch.bytes == {"to the device": shown + 40 * 8}
