"""Gates and branches found by what modules do, in families of timm and torchvision; values against the modules' own."""

import pytest
import torch
from torch import nn

from gelens.anatomy.listing import layer_table
from gelens.anatomy.sites import (
    Site,
    block_names,
    find_sites,
    gate_values,
    resolve_blocks,
    signed_blocks,
)
from gelens.errors import UsageError
from gelens.names import paper_name
from gelens.networks import load_network
from tests.conftest import count_hooks, shake

SHAPE = (3, 64, 64)

FAMILIES = {
    # network: (block, where maps are dropped, the gate's values)
    "timm/resnet18": ("layer3.0", "bn2", None),
    "timm/resnext50_32x4d": ("layer3.1", "bn3", None),
    "timm/seresnet50": ("layer3.0", "se", "se.gate"),
    "timm/legacy_seresnet18": ("layer3.0", "se_module", "se_module.sigmoid"),
    "timm/legacy_seresnext50_32x4d": ("layer3.1", "se_module", "se_module.sigmoid"),
    "timm/regnetx_002": ("s3.b1", "conv3", None),
    "timm/regnety_002": ("s3.b1", "se", "se.gate"),
    "timm/mobilenetv3_small_050": ("blocks.3.1", "se", "se.gate"),
    "timm/efficientnet_b0": ("blocks.3.0", "se", "se.gate"),
    "timm/ecaresnet26t": ("layer3.1", "se", "se.gate"),
    "timm/convnext_atto": ("stages.2.blocks.1", "drop_path", None),
    "timm/mobilenetv2_050": ("blocks.2.0", "", None),
    "torchvision/resnet18": ("layer3.0", "bn2", None),
    "torchvision/mobilenet_v3_small": ("features.5", "block.2", "block.2.scale_activation"),
    "torchvision/efficientnet_b0": ("features.4.1", "block.2", "block.2.scale_activation"),
    "torchvision/regnet_y_400mf": ("trunk_output.block3.block3-0", "f.se", "f.se.scale_activation"),
    "torchvision/regnet_x_400mf": ("trunk_output.block3.block3-1", "f", None),
    "torchvision/densenet121": ("features.denseblock2.denselayer1", "", None),
    "mini_resnet": ("layer3.0", "bn3", None),
    "mini_resnet_se": ("layer3.0", "se", "se.gate"),
    "mini_resnet_ge_theta:extent=4": ("layer3.3", "se", "se.gate"),
    "mini_shufflenet": ("stage4.0", "bn3", None),
    "mini_shufflenet_ge_theta": ("stage3.1", "se", "se.gate"),
}


@pytest.mark.parametrize("reference", FAMILIES)
def test_branch_and_gate(reference):
    network = shake(load_network(reference))
    block, branch, values = FAMILIES[reference]
    (site,) = find_sites(network, [block], None if reference.startswith("mini") else SHAPE)
    assert site.block == block
    assert site.branch == f"{block}.{branch}".rstrip(".")
    assert site.values == (values and f"{block}.{values}")
    assert site.gate == (site.branch if values else None)
    assert count_hooks(network) == 0


@pytest.mark.parametrize("reference", [name for name, (_, _, values) in FAMILIES.items() if values])
def test_gate_values_are_what_the_gate_multiplies_by(reference):
    """The gate's output over its input, computed without the library."""
    network = shake(load_network(reference))
    shape = None if reference.startswith("mini") else SHAPE
    (site,) = find_sites(network, [FAMILIES[reference][0]], shape)
    seen = {}
    handle = network.get_submodule(site.gate).register_forward_hook(
        lambda module, args, output: seen.update(x=args[0].clone(), y=output.clone())
    )
    with torch.inference_mode():
        network(torch.randn(3, *(shape or (3, 32, 32))))
        handle.remove()
        values = gate_values(network, site, seen["x"])
    assert values.shape == (3, site.channels)
    if "extent" in reference:  # the values differ between positions: their mean needs all of them
        ratio = torch.where(seen["x"].abs() > 1e-3, seen["y"] / seen["x"], torch.nan)
        some = ~ratio.isnan().flatten(2).any(2)
        assert some.any()
        torch.testing.assert_close(values[some], ratio.mean((2, 3))[some], rtol=1e-3, atol=1e-4)
    else:
        assert values.std() > 0
        torch.testing.assert_close(seen["x"] * values[:, :, None, None], seen["y"], rtol=1e-6, atol=1e-7)


def test_an_embedded_residual_block_of_ones_own():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))

        def forward(self, x):
            return nn.functional.relu(x + self.inner(x))

    network = nn.Sequential(nn.Conv2d(3, 4, 1), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert find_sites(shake(network), ["1"], (3, 8, 8)) == [Site("1", "1.inner", 4)]


@pytest.mark.parametrize(
    "reference, stages",
    [
        ("timm/resnet18", [2, 3, 4, 5]),
        ("timm/legacy_seresnet18", [2, 3, 4, 5]),
        ("timm/regnety_002", [2, 3, 4, 5]),
        ("timm/convnext_atto", [2, 3, 4, 5]),
        ("timm/efficientnet_b0", [2, 3, 4, 5, 6, 7, 8]),
        ("torchvision/efficientnet_b0", [2, 3, 4, 5, 6, 7, 8]),
        ("torchvision/regnet_y_400mf", [2, 3, 4, 5]),
        ("torchvision/shufflenet_v2_x0_5", [2, 3, 4]),
        ("torchvision/convnext_tiny", []),
        ("timm/vit_tiny_patch16_224", []),
        ("timm/vgg11", []),
    ],
)
def test_stages(reference, stages):
    assert list(block_names(load_network(reference))) == stages


def test_what_is_no_map():
    with pytest.raises(UsageError, match=r"block `fc` gives \(2, 10\); expected maps"):
        find_sites(load_network("mini_resnet"), ["fc"])
    shared = nn.ReLU()
    with pytest.raises(UsageError, match="called 2 times"):
        find_sites(nn.Sequential(nn.Conv2d(3, 3, 1), shared, nn.Conv2d(3, 3, 1), shared), ["1"], (3, 4, 4))


@pytest.mark.parametrize(
    "blocks, message",
    [
        (["layer3", "layer3.0"], "`layer3` holds block `layer3.0`"),
        (["layer3"], "`layer3` of ResNet: .*it holds 6 sums"),
    ],
)
def test_blocks_that_hold_more_than_one(blocks, message):
    with pytest.raises(UsageError, match=message):
        find_sites(load_network("mini_resnet_se"), blocks)


def test_another_type_of_numbers():
    with pytest.raises(UsageError, match=r"is torch\.float64; expected float32"):
        find_sites(load_network("mini_resnet").double(), ["layer3.0"])


def test_sites_come_in_the_order_called():
    network = load_network("mini_resnet")
    assert [site.block for site in find_sites(network, ["layer3.2", "layer2.0", "layer3.1"])] == [
        "layer2.0",
        "layer3.1",
        "layer3.2",
    ]


def test_paper_names_and_table():
    assert paper_name("layer3.5") == "conv4-6"
    table = layer_table(load_network("mini_resnet_se"))
    assert table.loc[table["block"] == "layer3.2", ["stage", "units", "branch", "gate"]].values.tolist() == [
        [4, 128, "layer3.2.se", "SEModule"]
    ]


def test_blocks_by_pattern():
    network = load_network("mini_resnet")
    assert resolve_blocks(network, blocks=["layer3.*"]) == [f"layer3.{number}" for number in range(6)]
    assert resolve_blocks(network, blocks=["layer[34].0", "layer3.0", "conv1"]) == ["conv1", "layer3.0", "layer4.0"]
    with pytest.raises(UsageError, match=r"no block matches `layer9\.\*`"):
        resolve_blocks(network, blocks=["layer9.*"])


def test_signed_blocks_and_the_next_that_is_not():
    network = shake(load_network("mini_resnet"))
    signed = signed_blocks(network, ["layer3.0.bn1", "layer3.0", "layer3.1.bn3"])
    assert list(signed) == ["layer3.0.bn1", "layer3.1.bn3"]
    assert signed["layer3.0.bn1"][0] < 0 and signed["layer3.0.bn1"][1] == "layer3.0.act1"
    assert signed["layer3.1.bn3"][1] == "layer3.1.act3"


class Stages(nn.Module):
    """A network with so many stages of two blocks."""

    def __init__(self, stages: int):
        super().__init__()
        for stage in range(1, stages + 1):
            setattr(self, f"layer{stage}", nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)))


@pytest.mark.parametrize("stages, taken, said", [(4, 3, ""), (3, 3, ""), (2, 1, "of 2, 3: stage 2"), (1, 1, "stage 2")])
def test_the_stage_that_is_taken_where_none_is_named(stages, taken, said, caplog):
    network = Stages(stages)
    assert resolve_blocks(network) == [f"layer{taken}.0", f"layer{taken}.1"]
    assert ("has no stage 4" in caplog.text and said in caplog.text) if said else not caplog.text
    if said:
        with pytest.raises(UsageError, match="no stage 4 in Stages"):
            resolve_blocks(network, 4)
