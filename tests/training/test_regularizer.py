"""Selectivity as a part of the loss: its value, its gradient, and that it does what it says."""

import numpy as np
import pytest
import torch

import gelens
from gelens import load_data, load_network
from gelens.errors import UsageError
from gelens.statistics import selectivity_index
from gelens.training import recipe_of, train
from gelens.training.regularizer import Pressure, SelectivityTerm, batch_index

LABELS = torch.tensor([0, 3, 3, 5, 0, 5, 5, 9])


def test_it_is_the_index_of_the_batchs_class_means():
    activity = torch.rand(8, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    means = np.array([activity[label == LABELS].mean(0).numpy() for label in (0, 3, 5, 9)])
    assert float(batch_index(activity, LABELS)) == pytest.approx(selectivity_index(means)[0].mean(), abs=1e-6)


def test_its_gradient_is_that_of_finite_differences():
    activity = torch.rand(8, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.1
    assert torch.autograd.gradcheck(lambda values: batch_index(values, LABELS), activity.requires_grad_())


def test_a_dead_unit_and_a_single_class_have_no_gradient():
    activity = torch.rand(4, 2, requires_grad=True)
    dead = activity * torch.tensor([1.0, 0.0])
    batch_index(dead, LABELS[:4]).backward()
    assert activity.grad[:, 1].eq(0).all() and activity.grad[:, 0].ne(0).any() and activity.grad.isfinite().all()
    alone = torch.rand(4, 2, requires_grad=True)
    batch_index(alone, torch.zeros(4, dtype=torch.int64)).backward()
    assert alone.grad.eq(0).all()


def test_blocks_are_named_or_those_of_a_stage():
    network = load_network("mini_resnet", classes=10)
    assert Pressure(1.0).blocks_of(network) == [f"layer3.{block}" for block in range(len(network.layer3))]
    assert Pressure(1.0, ["layer2.0", "layer3"]).blocks_of(network)[0] == "layer2.0"
    with pytest.raises(UsageError, match="layer9"):
        Pressure(1.0, ["layer9"]).blocks_of(network)


def test_signed_blocks_are_refused():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1))
    term = SelectivityTerm(network, Pressure(1.0, ["0"]))
    with term.watch():
        network(torch.randn(8, 3, 4, 4))
    with pytest.raises(UsageError, match="`0` has negative activities"):
        term.of(LABELS)


@pytest.mark.slow
def test_selectivity_follows_alpha(tmp_path):
    """Three trainings of one seed: the index of unseen digits falls for α = −1 and rises for α = +1."""
    images = load_data("digits#val").limited(per_class=8)
    found = {}
    for alpha in (-1.0, 0.0, 1.0):
        out = tmp_path / str(alpha)
        recipe = recipe_of("small", epochs=3)
        table = train("mini_resnet", "digits", out, recipe, "cpu", "fp32", progress=False, limit=500, selectivity=alpha)
        assert np.isfinite(table["loss"]).all()
        network = gelens.load_network(f"mini_resnet:classes=10@{out / 'weights.safetensors'}")
        options = gelens.SweepOptions(device="cpu", progress=False)
        found[alpha] = gelens.selectivity(network, images, options=options)["csi"].mean()
    assert found[-1.0] < found[0.0] - 0.02 < found[1.0] - 0.04


def test_it_is_of_the_training_and_cannot_be_compiled(tmp_path):
    recipe = recipe_of("small", epochs=1)
    how = {"device": "cpu", "precision": "fp32", "progress": False, "limit": 64}
    train("mini_resnet", "digits", tmp_path / "a", recipe, selectivity=-0.5, **how)
    with pytest.raises(UsageError, match="selectivity"):
        train("mini_resnet", "digits", tmp_path / "a", recipe, selectivity=0.5, resume=True, **how)
    with pytest.raises(UsageError, match="cannot be compiled"):
        train("mini_resnet", "digits", tmp_path / "b", recipe, selectivity=0.5, compiled=True, **how)
