"""Lesions of single units: as whole passes with a hook do them, and what is asked for wrongly."""

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torchvision.transforms.functional import to_tensor

from cli import main
from gelens.api import Request, record_requests
from gelens.errors import UsageError
from gelens.probes.lesions import ClassLesions, Lesions
from gelens.randomness import hashes
from tests.conftest import count_hooks, make_data, make_network


@pytest.mark.parametrize("name", ["mini_resnet_se", "mini_shufflenet"])
def test_every_unit_is_that_of_a_plain_loop(name):
    network, data = make_network(name), make_data(20)
    block = "layer3.2" if name == "mini_resnet_se" else "stage3.1"
    module, units = network.get_submodule(block), [0, 3, 57]
    images = torch.stack([2 * to_tensor(data[at][0]) - 1 for at in range(20)])
    labels = torch.from_numpy(data.labels)
    with torch.inference_mode():
        widths = {}
        hook = module.register_forward_hook(lambda module, given, output: widths.update({block: output.shape[1]}))
        whole = network(images)
        hook.remove()
        losses, logits, right = [], [], []
        for unit in units:

            def drop(module, given, output, unit=unit):
                output = output.clone()
                output[:, unit] = 0
                return output

            hook = module.register_forward_hook(drop)
            lesioned = network(images)
            hook.remove()
            losses.append(nn.functional.cross_entropy(lesioned, labels, reduction="none"))
            logits.append(lesioned[torch.arange(20), labels])
            right.append(lesioned.argmax(1) == labels)
    before = nn.functional.cross_entropy(whole, labels, reduction="none")
    probe = Lesions(network, {block: units}, widths)
    recording = record_requests({"n": Request(network, probes=[probe])}, data)
    assert count_hooks(network) == 0
    # another batch shape takes other kernels, which move logits by some 1e-6 of the largest
    reach = 2e-5 * max(1.0, float(whole.abs().max()))
    found = {each: recording.array("n", f"{block}.lesion.{each}") for each in ("loss", "logit", "right")}
    assert np.allclose(found["loss"], (torch.stack(losses, 1) - before[:, None]).numpy(), atol=reach)
    intact = whole[torch.arange(20), labels][:, None]
    assert np.allclose(found["logit"], (intact - torch.stack(logits, 1)).numpy(), atol=reach)
    assert np.array_equal(found["right"], torch.stack(right, 1).numpy())
    assert np.array_equal(recording.array("n", f"{block}.lesion.intact"), (whole.argmax(1) == labels).numpy())
    assert np.ptp(found["loss"], axis=0).min() > 0


def test_a_classs_units_are_dropped_together_as_a_plain_loop_does_it():
    network, data, block = make_network("mini_resnet_se"), make_data(24), "layer3.4"
    orders = np.stack([np.random.default_rng(label).permutation(128) for label in range(4)])
    counts = [1, 4, 64]
    probe = ClassLesions(network, {block: orders}, counts, seed=5)
    recording = record_requests({"n": Request(network, probes=[probe])}, data)
    found = recording.array("n", f"{block}.targeted.right")
    step = hashes(5, "another class", recording.indices) % np.uint64(3)
    others = (recording.labels + 1 + step.astype(int)) % 4
    assert (others != recording.labels).all() and len(set(others)) == 4
    images = torch.stack([2 * to_tensor(data[at][0]) - 1 for at in range(24)])
    expected = []
    for classes in (recording.labels, others):
        for count in counts:

            def drop(module, given, output, classes=classes, count=count):
                output = output.clone()
                for image, label in enumerate(classes):
                    output[image, orders[label][:count]] = 0
                return output

            hook = network.get_submodule(block).register_forward_hook(drop)
            with torch.inference_mode():
                expected.append(network(images).argmax(1).numpy() == recording.labels)
            hook.remove()
    assert np.array_equal(found, np.stack(expected, 1)) and count_hooks(network) == 0
    assert len({column.tobytes() for column in found.T}) > 2
    with pytest.raises(UsageError, match="has 128 units"):
        ClassLesions(network, {block: orders}, [200])


def test_units_that_are_not_there():
    with pytest.raises(UsageError, match=r"block `layer3\.0` has the units 0 … 127; asked for \[128\]"):
        Lesions(make_network("mini_resnet"), {"layer3.0": [128]}, {"layer3.0": 128})


def test_the_command(tmp_path):
    few = ["--limit", "60", "--units", "12", "--blocks", "layer3.5"]
    command = ["lesions", "mini_resnet", "--untrained", *few, "--means-from", "digits#train"]
    result = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    units = pd.read_csv(tmp_path / "run" / "lesions_units.csv")
    assert len(units) == 12 and units["unit"].is_unique and units["unit"].max() > 12
    agreement = pd.read_csv(tmp_path / "run" / "lesions_agreement.csv")
    assert {"csi", "auc", "mu_max"} <= set(agreement["index"]) and agreement["correlation"].abs().max() <= 1
    targeted = pd.read_csv(tmp_path / "run" / "lesions_targeted.csv")
    assert targeted["k"].tolist() == [1, 2, 4, 8, 16, 32, 64]
    assert (targeted["difference"] - targeted["own"] + targeted["another"]).abs().max() < 1e-6
    drawn = {path.stem for path in (tmp_path / "run" / "figures").glob("*.png")}
    assert {"fig_lesions", "fig_lesions_targeted"} <= drawn
    assert "no claim, since it takes 40 units of a block and 200 images at least" in result.output
    result = CliRunner().invoke(main, [*command[:3], "--units", "2", "--out", str(tmp_path / "two")])
    assert result.exit_code == 2 and "2 units of a block tell no correlation" in result.output
    for position, (image, label, _) in enumerate(make_data(8, classes=2)):
        path = tmp_path / "others" / str(label) / f"{position}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    command[-1] = f"folder:{tmp_path}/others"
    result = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "three")])
    assert result.exit_code == 2 and "2 classes, those measured have the label 9" in result.output
