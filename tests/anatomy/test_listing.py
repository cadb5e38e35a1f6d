"""What `gelens layers` lists: blocks where stages are known, else modules; maps, tokens and vectors; signs; sizes."""

import logging

import pytest
import torch
from torch import nn

from gelens.anatomy.hooks import capture
from gelens.anatomy.listing import layer_table
from gelens.anatomy.sites import block_depths, block_names, paper_names, relative_depths
from gelens.errors import UsageError
from gelens.networks import load_network
from tests.commands.test_cli import run
from tests.conftest import count_hooks


def rows(table, *blocks) -> list[list]:
    return table.set_index("block").loc[list(blocks)].reset_index().values.tolist()


def test_a_transformers_blocks_are_tokens():
    table = layer_table(load_network("timm/vit_tiny_patch16_224"))
    assert [f"blocks.{number}" for number in range(12)] == [b for b in table["block"] if b.startswith("blocks")]
    assert rows(table, "blocks.3", "head") == [
        ["blocks.3", "Block", 192, "197 tokens", "signed"],
        ["head", "Linear", 1000, "vector", "signed"],
    ]


@pytest.mark.parametrize(
    "reference, block, expected",
    [
        ("torchvision/alexnet", "features.4", ["ReLU", 192, "27×27", ""]),
        ("torchvision/alexnet", "features.3", ["Conv2d", 192, "27×27", "signed"]),
        ("torchvision/mobilenet_v3_small", "features.4", ["InvertedResidual", 40, "14×14", "signed"]),
        pytest.param("torchvision/convnext_tiny", "features.5.3", ["CNBlock", 384, "14×14", "signed"]),
        pytest.param("torchvision/swin_t", "features.5.1", ["SwinTransformerBlock", 384, "14×14", "signed"]),
        pytest.param(
            "torchvision/vit_b_16",
            "encoder.layers.encoder_layer_3",
            ["EncoderBlock", 768, "197 tokens", "signed"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "torchvision/densenet121",
            "features.denseblock2.denselayer3",
            ["_DenseLayer", 32, "28×28", "signed"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_networks_without_stages(reference, block, expected):
    network = load_network(reference)
    table = layer_table(network)
    assert rows(table, block) == [[block, *expected]]
    assert count_hooks(network) == 0 and block_names(network) == {}


def test_listed_blocks_can_be_measured():
    """What is listed with units is what `capture` takes, with as many."""
    network = load_network("torchvision/swin_t")
    table = layer_table(network, 64)
    with capture(network, table["block"], "mean") as features, torch.inference_mode():
        network(torch.randn(1, 3, 64, 64))
    assert [features[block].shape[1] for block in table["block"]] == table["units"].tolist()


def test_stages_gates_and_signs():
    table = layer_table(load_network("mini_resnet_se"))
    assert list(table) == ["stage", "block", "paper", "units", "map", "branch", "gate", "signed"]
    expected = ["layer3.2", 4, "conv4-3", 128, "8×8", "layer3.2.se", "SEModule", ""]
    assert rows(table, "layer3.2") == [expected]
    assert layer_table(load_network("mini_resnet"), 64)["map"].iloc[0] == "64×64"


def test_what_gives_no_features_and_what_is_never_called():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair, self.spare, self.head = Pair(), nn.Conv2d(3, 3, 1), nn.Linear(3, 2)

        def forward(self, x):
            return self.head(self.pair(x)[0].mean((2, 3)))

    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    table = layer_table(Odd(), 8)
    assert table["block"].tolist() == ["pair", "head"] and table["map"][0] == "no features: tuple"


def test_a_size_that_a_network_does_not_take_is_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"fails on images of 3×64×64: Input height.*it states 224 px"):
        layer_table(load_network("timm/vit_tiny_patch16_224"), 64)
    small = ("timm/vit_tiny_patch16_224", "--image-size", "64")
    measured = ("--untrained", "--limit", "10", "--device", "cpu", "--out", tmp_path / "a")
    for command in (("layers", *small), ("evaluate", *small, *measured)):
        code, output = run(*command)
        assert code == 2 and "fails on images of 3×64×64" in output and "Traceback" not in output
    assert not (tmp_path / "a").exists()


def test_a_network_that_says_no_size_is_listed_with_a_word(caplog):
    caplog.set_level(logging.WARNING, "gelens")
    layer_table(nn.Sequential(nn.Conv2d(3, 2, 1)))
    assert "does not say its images' size: maps are as of 224 px" in caplog.text


class Cifar(nn.Module):
    """Three stages, as residual networks for CIFAR have."""

    def __init__(self, blocks: int):
        super().__init__()
        for number in range(1, 4):
            setattr(self, f"layer{number}", nn.Sequential(*[nn.Sequential(nn.ReLU()) for _ in range(blocks)]))


def test_paper_names_only_where_stages_are_resnets():
    assert paper_names(load_network("mini_resnet"), ["layer3.0", "fc"]) == ["conv4-1", "fc"]
    assert paper_names(Cifar(3), ["layer3.0"]) == ["layer3.0"]


def test_depths_of_networks_of_other_lengths():
    """Block 3 of 3 and block 9 of 9 are as deep; block 3 of 9 is not."""
    for blocks, depth in ((3, 1.0), (9, 1 / 3)):
        network = Cifar(blocks)
        assert block_depths(network, ["layer3.2"]) == [3]
        assert relative_depths(network, ["layer3.2"]) == [pytest.approx(depth)]
    assert relative_depths(Cifar(2), ["layer1.1", "layer3.1"]) == [pytest.approx(1 / 3), 1.0]
    assert relative_depths(nn.Sequential(nn.ReLU(), nn.ReLU()), ["0", "1"]) == [0.5, 1.0]
