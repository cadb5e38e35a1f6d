"""Capture: what is seen, what in-place operations cannot spoil, and no hook left behind on any exit."""

import copy

import pytest
import torch
from torch import nn

import gelens
from gelens.anatomy.hooks import aside, hooked
from gelens.api import Request
from gelens.errors import UsageError
from gelens.networks.modes import evaluating
from gelens.probes.dropping import dropping_at
from gelens.probes.feature_importance import FeatureImportance
from tests.conftest import count_hooks, make_data, make_network, measure


class InPlace(nn.Module):
    """A network that overwrites each layer's output, and uses one ReLU module twice."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.relu(self.first(x))
        x = self.second(x)
        x.mul_(-1)
        return self.relu(x).mean((2, 3))


def test_in_place_operations_do_not_reach_what_was_captured():
    network, x = InPlace(), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        first = network.first(x)
        second = network.second(first.relu())
        with gelens.capture(network, ["first", "second"]) as features:
            network(x)
        assert torch.equal(features["first"], first) and torch.equal(features["second"], second)
        with gelens.capture(network, ["second"], reduce="mean") as features:
            network(x)
        assert torch.equal(features["second"], second.mean((2, 3)))


def test_means_are_float32_under_autocast(device):
    network = make_network("mini_resnet").to(device)
    with (
        torch.autocast(device, torch.bfloat16),
        torch.no_grad(),
        gelens.capture(network, ["layer3.0"], reduce="mean") as features,
    ):
        network(torch.randn(2, 3, 32, 32, device=device))
    assert features["layer3.0"].dtype == torch.float32


def test_gradients_flow_through_captured_maps():
    network = make_network("mini_resnet")
    with gelens.capture(network, ["layer3.0"]) as features:
        network(torch.randn(2, 3, 32, 32))
    features["layer3.0"].sum().backward()
    assert network.conv1.weight.grad.abs().sum() > 0


class Midway(nn.Module):
    """Fails, or is interrupted, after some layers, from the second call on."""

    def __init__(self, error: BaseException):
        super().__init__()
        self.inner, self.error, self.calls = make_network("mini_resnet_se:classes=4"), error, 0
        self.layer3, self.preprocessing = self.inner.layer3, self.inner.preprocessing
        self.inner.layer4.register_forward_pre_hook(self._fail)

    def _fail(self, module, args):
        self.calls += 1
        if self.calls > 2:
            raise self.error

    def forward(self, x):
        return self.inner(x)


@pytest.mark.parametrize("error", [RuntimeError("midway"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
@pytest.mark.parametrize("what", ["capture", "selectivity", "pruning", "accuracy"])
def test_no_hook_is_left_when_a_network_fails_midway(what, error, quiet):
    network = Midway(error)
    before = count_hooks(network)
    with pytest.raises((type(error), UsageError)):  # what is tried before the pass is told as a usage error
        if what == "capture":
            with gelens.capture(network, ["layer3.1"]):
                for _ in range(3):
                    network(torch.randn(1, 3, 32, 32))
        else:
            blocks = ["layer3.0", "layer3.5"]
            kept = {"selectivity": {"blocks": blocks}, "pruning": {"probes": [dropping_at(blocks)]}, "accuracy": {}}[
                what
            ]
            request = Request(network, **kept)
            measure({"it": request}, make_data(), quiet)
    assert count_hooks(network) == before


@pytest.mark.parametrize("analyse", [gelens.selectivity, gelens.pruning])
def test_no_hook_is_left_after_success_or_a_bad_block(analyse, quiet):
    network = make_network("mini_resnet_se:classes=4")
    network.train()
    analyse(network, make_data(), blocks=["layer3.5"], options=quiet)
    assert count_hooks(network) == 0 and network.training, "hooks gone, mode given back"
    with pytest.raises(UsageError, match=r"no block `layer5\.0`.*layer3\.0"):
        analyse(network, make_data(), blocks=["layer3.0", "layer5.0"], options=quiet)
    assert count_hooks(network) == 0


def test_bad_arguments_of_capture():
    network = make_network("mini_resnet")
    for blocks, reduce in ((["layer9"], None), (["layer3"], "sum")):
        with pytest.raises(UsageError), gelens.capture(network, blocks, reduce):
            pass
    assert count_hooks(network) == 0


def test_a_bad_block_of_the_metric_leaves_nothing():
    network = make_network("mini_resnet_se")
    with pytest.raises(UsageError, match="expected maps"):
        FeatureImportance(network, ["layer3.0", "fc"])
    assert count_hooks(network) == 0


def test_hooks_do_not_see_passes_made_aside():
    network = nn.Sequential(nn.Conv2d(3, 2, 1))
    seen = []
    with hooked((network[0], lambda *args: seen.append("outer"))):
        with aside():
            network(torch.zeros(1, 3, 2, 2))
            with hooked((network[0], lambda *args: seen.append("inner"))):
                network(torch.zeros(1, 3, 2, 2))
        assert seen == ["inner"]
        network(torch.zeros(1, 3, 2, 2))
    assert seen == ["inner", "outer"]


def test_a_copy_of_a_watched_network_is_not_watched():
    network = nn.Sequential(nn.Conv2d(3, 2, 1))
    seen = []
    with hooked(
        (network[0], lambda *args: seen.append("called")), before=[(network[0], lambda *args: seen.append(""))]
    ):
        copy.deepcopy(network)(torch.zeros(1, 3, 2, 2))
    assert not seen


def test_evaluating_gives_every_module_its_mode_back():
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout()).train()
    network[0].eval()
    with pytest.raises(RuntimeError), evaluating(network):
        assert not network.training and not network[1].training
        raise RuntimeError
    assert network.training and network[1].training and not network[0].training
