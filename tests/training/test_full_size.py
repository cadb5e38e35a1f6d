"""The paper's networks at their size, on the way that a reader with GPUs goes: train, be stopped, go on, evaluate."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import cli
from gelens.commands.supplementary import supplementary_networks
from gelens.training import recipe_of, train

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "imagenet_sample" / "val"

NETWORKS = [*supplementary_networks(), "resnet50_ge_theta", "resnet50_ge_theta_plus"]

IMAGENET = ("imagenet_plateau", "imagenet", "imagenet_long")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SAMPLE.is_dir(), reason="../shared/data/imagenet_sample is not beside the checkout"),
]


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """The sample as both splits of ImageNet."""
    folder = tmp_path_factory.mktemp("imagenet")
    for split in ("train", "val"):
        (folder / split).symlink_to(SAMPLE)
    return folder


@pytest.fixture(scope="module")
def weights(images, tmp_path_factory) -> list[str]:
    """References to every network of the supplement and the GE-θ ones, trained for two steps with a break between them.

    The recipes differ in their schedules alone, so each network takes the next one.
    """
    from gelens.training.loop import Loop

    save, folder, references = Loop._save, tmp_path_factory.mktemp("trained"), []

    def save_then_stop(self, *arguments):
        save(self, *arguments)
        raise KeyboardInterrupt

    for number, network in enumerate(NETWORKS):
        recipe = recipe_of(IMAGENET[number % len(IMAGENET)], epochs=2, batch_size=4)
        given = (network, f"imagenet:{images}", folder / str(number), recipe)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Loop, "_save", save_then_stop)
            train(*given, limit=4, progress=False)
        table = train(*given, limit=4, progress=False, resume=True)
        assert list(table["epoch"]) == [1, 1, 2, 2] and np.isfinite(table["loss"]).all()
        references.append(f"{network}@{folder / str(number) / 'weights.safetensors'}")
    return references


def run(*arguments) -> None:
    result = CliRunner().invoke(cli.main, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output


def test_all_are_evaluated_on_the_thousand_images(images, weights, tmp_path):
    run("evaluate", *weights, "--data", f"imagenet:{images}#val", "--precision", "auto", "--out", tmp_path / "run")
    table = pd.read_csv(tmp_path / "run" / "evaluation.csv")
    assert list(table["images"]) == [1000] * len(weights)
    assert (table["top1_error"] > 90).all(), "after two steps nothing is known"
    known = table.set_index("network")["parameters"]
    assert {25_557_032, 28_088_024} <= set(known) and known["resnet50_ge_theta"] > 31_000_000


def test_one_command_makes_the_supplement_from_weights(images, weights, tmp_path):
    data = f"imagenet:{images}#val"
    run("supplementary", *weights, "--data", data, "--limit", "4", "--precision", "auto", "--out", tmp_path / "run")
    drawn = {path.stem for path in (tmp_path / "run" / "figures").glob("*.png")}
    assert {"fig1_optimisation", "table1_pooling", "fig2_selectivity", "fig3_pruning", "fig4_operators"} <= drawn
