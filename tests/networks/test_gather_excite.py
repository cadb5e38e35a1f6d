"""The operator against timm's, against plain torch layers, and the paper's parameter counts."""

import pytest
import timm.layers
import torch
import torch.nn.functional as F
from torch import nn

from gelens.networks import count_parameters, load_network
from gelens.networks.gather_excite import EXTENTS, POOLS, VARIANTS, GatherExcite, MapConv2d, Pool


@pytest.mark.parametrize("extent", EXTENTS)
@pytest.mark.parametrize("side", [14, 7, 8])
def test_theta_minus_equals_timm(extent, side):
    theirs = timm.layers.GatherExcite(12, use_mlp=False, extra_params=False, extent=0 if extent == "global" else extent)
    x = torch.randn(3, 12, side, side)
    assert torch.equal(GatherExcite(12, extent=extent)(x), theirs(x))


def test_squeeze_and_excitation_of_the_catalogue_equals_timm():
    torch.manual_seed(0)
    gate = load_network("mini_resnet_se").layer3[0].se
    theirs = timm.layers.SEModule(128)
    theirs.load_state_dict(gate.state_dict())
    x = torch.randn(2, 128, 8, 8)
    assert torch.equal(gate(x), theirs(x))


def test_global_parametric_gather_equals_a_map_sized_depthwise_convolution():
    module = MapConv2d(6, (14, 14)).double()
    plain = nn.Conv2d(6, 6, 14, groups=6, bias=False).double()
    plain.load_state_dict(module.state_dict())
    x = torch.randn(4, 6, 14, 14, dtype=torch.float64)
    # 196 float64 products are summed in another order
    torch.testing.assert_close(module(x), plain(x), rtol=1e-12, atol=1e-12)


def test_global_parametric_gather_refuses_another_map_and_names_both_sizes():
    with pytest.raises(ValueError, match="14×14 map but got 16×16"):
        GatherExcite(4, (14, 14), "theta")(torch.randn(1, 4, 16, 16))


@pytest.mark.parametrize("extent", [2, 4, 8])
def test_local_parametric_gather_by_hand(extent):
    """Depthwise 3×3 of stride 2 and batch norm, log2(e) times, ReLU between and none after."""
    module = GatherExcite(5, variant="theta", extent=extent).eval()
    x = torch.randn(2, 5, 14, 14)
    layers = [layer for layer in module.gather if not isinstance(layer, nn.ReLU)]
    y = x
    for number in range(0, len(layers), 2):
        y = F.relu(y) if number else y
        y = layers[number + 1](F.conv2d(y, layers[number].weight, stride=2, padding=1, groups=5))
    assert len(layers) == 2 * {2: 1, 4: 2, 8: 3}[extent]
    expected = x * torch.sigmoid(y)[:, :, torch.arange(14) * y.shape[2] // 14][..., torch.arange(14) * y.shape[3] // 14]
    torch.testing.assert_close(module(x), expected)


def test_theta_plus_adds_a_bottleneck_with_biases():
    module = GatherExcite(256, (7, 7), "theta_plus").eval()
    x = torch.randn(2, 256, 7, 7)
    down, up = (layer for layer in module.excite if isinstance(layer, nn.Conv2d))
    assert (down.out_channels, down.bias is not None, up.bias is not None) == (16, True, True)
    gathered = module.gather(x)
    torch.testing.assert_close(module(x), x * torch.sigmoid(up(F.relu(down(F.relu(gathered))))))


def test_pooling_by_hand():
    x = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]])[None, None]
    # extent 2: kernel 3, stride 2, padding 1, so the first window holds 1, 2, 5, 6
    assert Pool(2, "max")(x)[0, 0].tolist() == [[6, 8], [14, 16]]
    assert Pool(2, "avg")(x)[0, 0, 0, 0] == 3.5
    assert Pool(2, "avg", count_padding=True)(x)[0, 0, 0, 0] == pytest.approx(14 / 9)
    assert Pool(2, "avgmax")(x)[0, 0, 0, 0] == (3.5 + 6) / 2
    assert Pool("global", "avgmax")(x).item() == (8.5 + 16) / 2


@pytest.mark.parametrize("name, value", [("variant", "theta++"), ("extent", 3), ("pool", "min")])
def test_bad_settings_are_named(name, value):
    with pytest.raises(ValueError, match=f"`{name}` to be one of .*but got"):
        GatherExcite(8, (8, 8), **{name: value})


@pytest.mark.parametrize(
    "name, parameters",
    [
        ("resnet50", 25_557_032),
        ("resnet50_se", 28_088_024),
        ("resnet50_ge_theta_minus", 25_557_032),
        ("resnet50_ge_theta", 31_106_600),
        ("resnet50_ge_theta_plus", 33_637_592),
    ],
)
def test_parameters_of_the_published_networks(name, parameters):
    assert count_parameters(load_network(name)) == parameters


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("extent", EXTENTS)
def test_every_variant_trains_in_the_mini_networks(variant, extent):
    network = load_network(f"mini_resnet_ge_{variant}:extent={extent}").train()
    loss = network(torch.randn(2, 3, 32, 32)).square().sum()
    loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("extent", EXTENTS)
def test_mini_shufflenets(extent):
    plain, gated = load_network("mini_shufflenet"), load_network(f"mini_shufflenet_ge_theta:extent={extent}")
    x = torch.randn(2, 3, 32, 32)
    assert plain(x).shape == gated(x).shape == (2, 10)
    assert count_parameters(gated) > count_parameters(plain)


@pytest.mark.parametrize("pool", POOLS)
def test_pooling_reaches_the_network(pool):
    network = load_network(f"mini_resnet_ge_theta_minus:extent=4,pool={pool}")
    assert {block.se.pool for block in network.layer3} == {pool}
