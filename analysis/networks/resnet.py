"""Residual networks on timm's ResNet, with a gate at the end of each block's branch."""

from collections.abc import Callable
from typing import Any

from timm.layers import Conv2dSame, create_pool2d
from timm.models.resnet import Bottleneck, ResNet
from torch import nn

STAGES = ("layer1", "layer2", "layer3", "layer4")

Gate = Callable[[int, tuple[int, int]], nn.Module | None]
"""Makes the gate of a branch from its channels and its map's (height, width)."""


def residual_network(
    gate: Gate,
    depths: tuple[int, int, int, int],
    widths: tuple[int, int, int, int] = (64, 128, 256, 512),
    classes: int = 1000,
    size: int = 224,
    small_stem: int | None = None,
    stem: int = 64,
    stride_in: str = "3x3",
    port: str = "",
) -> ResNet:
    """A ResNet of bottleneck blocks (He et al. 2016) whose blocks end in `gate`, before the shortcut is added.

    Args:
        gate: makes each block's gate.
        depths: blocks in each of the four stages (conv2_x … conv5_x).
        widths: bottleneck width of each stage; a stage has four times as many channels.
        classes: number of outputs.
        size: height and width of the input in pixels; fixes the maps that a global parametric gather spans.
        small_stem: stride of a 3×3 stem without pooling, for small images; None has the usual stem.
        stem: channels of the first convolution; even.
        stride_in: where a stage's first block has its stride of 2: "3x3" (torchvision, timm), with a max pool that
            is padded by 1; or "1x1" (the published definitions, Caffe's and Cadene's SE networks), with an unpadded
            max pool in ceil mode. The shapes of weights are the same.
        port: "mindspore" pads strided layers as TensorFlow's SAME does, and has a stem batch norm with ε = 1e-4.
    """
    # He initialisation throughout, as published: a last batch norm of zero would slow a short training
    # timm takes other widths of the stem only of its deep one, whose convolutions make way for ours
    narrow: dict[str, Any] = {} if stem == 64 else {"stem_type": "deep", "stem_width": stem // 2}
    block_type: Any = Bottleneck  # timm's annotation asks for a block, and means its class
    network = ResNet(block_type, depths, num_classes=classes, channels=widths, zero_init_last=False, **narrow)
    if small_stem:
        first = nn.Conv2d(3, stem, 3, stride=small_stem, padding=1, bias=False)
        network.add_module("conv1", first)
        network.add_module("maxpool", nn.Identity())
        nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
    if stride_in == "1x1":
        _stride_in_first(network)
    if port:
        _pad_same(network)
    side = -(-size // (small_stem or 4))
    for stage in STAGES:
        for block in getattr(network, stage):
            block.se = gate(block.bn3.num_features, (side, side))
        side = -(-side // 2)  # the next stage's first block halves the map before its gate sees it
    return network


def _stride_in_first(network: ResNet) -> None:
    network.add_module("maxpool", nn.MaxPool2d(3, stride=2, ceil_mode=True))
    for stage in STAGES[1:]:
        block = getattr(network, stage)[0]
        block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)


def _pad_same(network: ResNet) -> None:
    """SAME padding as MindSpore's and TensorFlow's: what is odd of it goes below and to the right."""
    network.bn1.eps = 1e-4
    network.add_module("maxpool", create_pool2d("max", 3, stride=2, padding="same"))
    network.add_module("conv1", _same(network.get_submodule("conv1")))
    for stage in STAGES[1:]:
        block = getattr(network, stage)[0]
        block.conv2 = _same(block.conv2)


def _same(conv: nn.Module) -> Conv2dSame:
    assert isinstance(conv, nn.Conv2d)
    (height, width), (down, across) = conv.kernel_size, conv.stride
    same = Conv2dSame(conv.in_channels, conv.out_channels, (height, width), (down, across), bias=False)
    same.load_state_dict(conv.state_dict())
    return same
