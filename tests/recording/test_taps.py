"""Taps of a block against hooks set by hand, and what a block does not have."""

import numpy as np
import pytest
import torch
from torch import nn

from gelens.api import Request, record_requests
from gelens.errors import UsageError
from gelens.probes.activity import TAPS
from gelens.recording import Recording
from gelens.sweep.passing import SweepOptions
from tests.conftest import count_hooks, make_data, make_network, shake

QUIET = SweepOptions("cpu", batch_size=8, progress=False)
IMAGES = 8


class Tensors(torch.utils.data.Dataset):
    """Prepared images, so that the pass and the loop by hand see the same."""

    def __init__(self, size: int = 32, channels: int = 3):
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(IMAGES, channels, size, size, generator=generator)
        self.targets = [position % 4 for position in range(IMAGES)]

    def __len__(self):
        return IMAGES

    def __getitem__(self, position):
        return self.images[position], self.targets[position]


def recorded(network, block: str, taps, data=None) -> Recording:
    recording = record_requests({"it": Request(network, [block], taps)}, data or Tensors(), QUIET)
    assert count_hooks(network) == 0
    return recording


def by_hand(network, data, **watched) -> dict[str, torch.Tensor]:
    """What modules got (`<name`) or gave (`name`), of each call the last; copies, safe from what comes after."""
    seen, handles = {}, []
    for key, name in watched.items():
        if name.startswith("<"):
            hook = lambda module, args, key=key: seen.__setitem__(key, args[0].clone())
            handles.append(network.get_submodule(name[1:]).register_forward_pre_hook(hook))
        else:
            hook = lambda module, args, output, key=key: seen.__setitem__(key, output.clone())
            handles.append(network.get_submodule(name).register_forward_hook(hook))
    with torch.inference_mode():
        network.eval()(data.images.contiguous(memory_format=torch.channels_last))
    for handle in handles:
        handle.remove()
    return seen


def positive(maps: torch.Tensor) -> np.ndarray:
    return maps.clamp(min=0).mean((2, 3)).numpy()


def near(found, expected) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_taps_of_a_squeeze_and_excitation_block():
    network, data, block = make_network("mini_resnet_se:classes=4"), Tensors(), "layer3.2"
    recording = recorded(network, block, TAPS, data)
    assert recording.described["taps"]["it"] == {block: list(TAPS)}
    seen = by_hand(
        network, data, branch=f"<{block}.se", gate=f"{block}.se.gate", gated=f"{block}.se", sum=f"<{block}.act3",
        output=block,
    )  # fmt: skip
    near(recording.matrix("it", block, "gate"), seen["gate"].flatten(1))
    near(recording.matrix("it", block, "output"), seen["output"].mean((2, 3)))
    for tap in ("branch", "gated", "sum"):
        near(recording.matrix("it", block, tap), positive(seen[tap]))
    near(recording.matrix("it", block, "sum"), recording.matrix("it", block, "output"))  # what the last ReLU leaves
    near(recording.array("it", f"{block}.output.minimum"), seen["output"].flatten(1).amin(1))
    # a gate ≥ 0 that is one number a map passes through the positive part and the mean
    near(
        recording.matrix("it", block, "gated"),
        recording.matrix("it", block, "branch") * recording.matrix("it", block, "gate"),
    )
    near(seen["gated"].mean((2, 3)), (seen["branch"].mean((2, 3)) * seen["gate"].flatten(1)).numpy())


@pytest.mark.parametrize("reference", ["mini_resnet_ge_theta_plus", "mini_resnet_ge_theta_minus"])
def test_a_global_gate_times_the_branch_is_what_is_gated(reference):
    network = make_network(f"{reference}:classes=4")
    recording = recorded(network, "layer3.4", ("branch", "gate", "gated"))
    branch, gate, gated = (recording.matrix("it", "layer3.4", tap) for tap in ("branch", "gate", "gated"))
    near(gated, branch * gate)
    assert gate.min() >= 0 and gate.max() <= 1 and gate.std(0).max() > 0


def test_a_gate_of_a_local_extent_is_the_mean_over_positions():
    network, data, block = make_network("mini_resnet_ge_theta_minus:extent=2,classes=4"), Tensors(), "layer3.1"
    recording = recorded(network, block, TAPS, data)
    seen = by_hand(network, data, branch=f"<{block}.se", gated=f"{block}.se", values=f"{block}.se.gate")
    near(recording.matrix("it", block, "branch"), positive(seen["branch"]))
    near(recording.matrix("it", block, "gated"), positive(seen["gated"]))
    gate = recording.matrix("it", block, "gate")
    near(gate, seen["values"].mean((2, 3)))
    ratio = seen["gated"] / seen["branch"]  # the gate of each position, where the branch is not 0
    assert ratio.flatten(2).std(2).max() > 1e-3, "positions differ in their gate"
    products = recording.matrix("it", block, "branch") * gate
    assert not np.allclose(recording.matrix("it", block, "gated"), products, rtol=1e-4), "so the means do not multiply"


def test_a_bottleneck_of_torchvision_with_one_relu_for_all():
    """Its ReLU is called three times a block and overwrites what it gets; the addition is in place."""
    from torchvision.models import resnet50

    torch.manual_seed(0)
    network, block = shake(resnet50(num_classes=4)), "layer3.1"
    data = Tensors(size=64)
    recording = recorded(network, block, ("output", "branch", "sum"), data)
    seen = by_hand(network, data, branch=f"{block}.bn3", sum=f"<{block}.relu", output=block)
    near(recording.matrix("it", block, "branch"), positive(seen["branch"]))
    near(recording.matrix("it", block, "sum"), positive(seen["sum"]))
    near(recording.matrix("it", block, "output"), seen["output"].mean((2, 3)))
    assert (seen["sum"] < 0).any() and (seen["output"] >= 0).all(), "the third call is the one after the addition"


def test_the_branch_of_a_plain_block_is_its_last_batch_norm():
    network, data, block = make_network("mini_resnet:classes=4"), Tensors(), "layer3.3"
    recording = recorded(network, block, ("branch", "output"), data)
    near(recording.matrix("it", block, "branch"), positive(by_hand(network, data, branch=f"{block}.bn3")["branch"]))


@pytest.mark.parametrize("tap", ["gate", "gated"])
def test_a_plain_block_has_no_gate(tap):
    with pytest.raises(UsageError, match=rf"block `layer3\.3` of \w+ has no gate, so no tap `{tap}`; it has branch"):
        recorded(make_network("mini_resnet:classes=4"), "layer3.3", ("output", tap))


def test_an_unknown_tap_is_named_with_those_there_are():
    with pytest.raises(UsageError, match=r"no tap `outputs`.*output, branch, gate, gated, sum"):
        recorded(make_network("mini_resnet:classes=4"), "layer3.3", ("outputs",))


class Functional(nn.Module):
    """A block whose last ReLU is a function."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        return torch.relu(x + self.bn(self.conv(x)))


class Linear(nn.Module):
    """A block that ends in its batch norm, as MobileNetV2's do where the stride is 2: nothing is added."""

    def __init__(self):
        super().__init__()
        self.conv, self.act, self.bn = nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.bn(self.act(self.conv(x)))


def network_of(block: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return shake(nn.Sequential(nn.Conv2d(3, 4, 3), block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)))


def test_the_sum_of_a_block_whose_last_relu_is_a_function_is_seen():
    network, data = network_of(Functional()), Tensors(12)
    recording = recorded(network, "1", ("output", "branch", "sum"), data)
    seen = by_hand(network, data, branch="1.bn", arriving="<1", output="1")
    near(recording.matrix("it", "1", "branch"), positive(seen["branch"]))
    near(recording.matrix("it", "1", "sum"), positive(seen["arriving"] + seen["branch"]))
    near(recording.matrix("it", "1", "output"), seen["output"].mean((2, 3)))


def test_a_block_that_ends_in_its_batch_norm_has_no_sum_either():
    with pytest.raises(UsageError, match="block `1` of Sequential ends in no activation function"):
        recorded(network_of(Linear()), "1", ("sum",), Tensors(12))


def test_taps_are_float32_under_autocast_and_signed_ones_are_named():
    network, data = make_network("mini_resnet_se:classes=4"), make_data(8)
    options = SweepOptions("cpu", "bf16", batch_size=8, progress=False)
    recording = record_requests({"it": Request(network, ["layer3.1"], TAPS)}, data, options)
    for tap in TAPS:
        values = recording.matrix("it", "layer3.1", tap)
        assert values.dtype == np.float32 and (values >= 0).all()
    assert recording.described["settings"]["it"]["positive_part"] == ["branch", "gated", "sum"]
    gates = recording.matrix("it", "layer3.1", "gate")
    assert not np.array_equal(gates, torch.from_numpy(gates.copy()).bfloat16().float().numpy())
