"""Our networks against the layer settings of the published model definitions, layer by layer."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from gelens.networks import load_network
from gelens.networks.gather_excite import Pool

FACTS = Path(__file__).parents[3] / "shared" / "facts" / "genet_resnet50_layers.json"
pytestmark = pytest.mark.skipif(not FACTS.exists(), reason="the layer settings are not beside this checkout")


def published_layers(model: str) -> list[tuple]:
    """The layers that compute, in their order: kind and settings, with the channels that come in."""
    channels, result = {"data": 3}, []
    for layer in json.loads(FACTS.read_text())["models"][model]:
        kind = layer["type"]
        if kind in ("Input", "SoftmaxWithLoss", "Accuracy"):
            continue
        bottom = layer["bottom"]
        arriving = channels.get(bottom[0])
        if "Convolution" in kind:
            settings = (layer["kernel_size"], layer.get("stride", 1), layer.get("pad", 0), layer.get("group", 1))
            result.append(("conv", arriving, layer["num_output"], *settings, layer.get("bias_term", True)))
        elif kind == "CuDNNBatchNorm":
            result.append(("bn", arriving))
        elif kind == "Pooling" and layer["pool"] == "MAX":
            result.append(("max pool", layer["kernel_size"], layer["stride"], layer.get("pad", 0)))
        elif kind == "Pooling":
            result.append(("mean over the map",))
        elif kind == "InnerProduct":
            result.append(("linear", arriving, layer["num_output"]))
        elif kind == "Axpy":  # gate × branch + shortcut
            gate, branch, shortcut = bottom
            assert channels[gate] == channels[branch] == channels[shortcut]
            arriving = channels[branch]
        else:
            result.append((kind.lower(),))
        channels[layer["top"][0]] = layer.get("num_output", arriving)
    return result


def our_layers(network: nn.Module) -> list[tuple]:
    """The same of a network, by hooks on every leaf in the order in which they run."""
    result = []

    def note(module, args, output):
        if isinstance(module, nn.Conv2d):
            assert len(set(module.kernel_size)) == len(set(module.stride)) == len(set(module.padding)) == 1
            settings = (module.kernel_size[0], module.stride[0], module.padding[0], module.groups)
            result.append(("conv", module.in_channels, module.out_channels, *settings, module.bias is not None))
        elif isinstance(module, nn.BatchNorm2d):
            result.append(("bn", module.num_features))
        elif isinstance(module, nn.MaxPool2d):
            assert module.ceil_mode
            result.append(("max pool", module.kernel_size, module.stride, module.padding))
        elif isinstance(module, Pool | nn.AdaptiveAvgPool2d):
            assert output.shape[2:] == (1, 1) and getattr(module, "pool", "avg") == "avg"
            result.append(("mean over the map",))
        elif isinstance(module, nn.Linear):
            result.append(("linear", module.in_features, module.out_features))
        elif isinstance(module, nn.ReLU | nn.Sigmoid):
            result.append((type(module).__name__.lower(),))

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(note)
    network(torch.zeros(1, 3, 224, 224, device="meta"))
    return result


@pytest.mark.parametrize("model", ["ge_theta_minus", "ge_theta", "ge_theta_plus"])
def test_every_layer_is_as_published(model):
    ours = our_layers(load_network(f"resnet50_{model}:stride_in=1x1").to("meta"))
    published = published_layers(model)
    for number, (one, other) in enumerate(zip(ours, published, strict=True)):
        assert one == other, f"layer {number}"


@pytest.mark.parametrize("name", ["resnet50", "resnet50_se", "resnet50_ge_theta_plus"])
@pytest.mark.parametrize("stride", ["1x1", "3x3"])
def test_the_shortcut_is_added_after_the_gate(name, stride):
    """Every block of stage four by hand: relu(gate(branch) + shortcut)."""
    network = load_network(f"{name}:stride_in={stride},size=64")
    x = torch.randn(2, 512, 8, 8)
    with torch.no_grad():
        for block in network.layer3:
            branch = torch.relu(block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x))))))
            branch = block.bn3(block.conv3(branch))
            branch = branch if block.se is None else block.se(branch)
            shortcut = x if block.downsample is None else block.downsample(x)
            assert torch.equal(block(x), torch.relu(branch + shortcut))
            x = block(x)
    assert x.shape == (2, 1024, 4, 4)
