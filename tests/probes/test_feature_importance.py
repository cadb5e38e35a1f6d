"""Every point against a plain loop with one hook and one full forward; orders, ties and rounding by hand."""

import numpy as np
import pytest
import torch

import gelens
from gelens.api import Request
from gelens.errors import UsageError
from gelens.probes.dropping import drop_ranks, dropped_maps, dropping_at
from gelens.probes.feature_importance import FeatureImportance
from gelens.sweep import passing
from tests.conftest import count_hooks, make_data, make_network, measure, spied_logits


def plain_loop(network, block, images, order, ratio) -> torch.Tensor:
    """Logits the obvious way: look at the gate, then for each image zero its channels by a Python loop."""
    gate = network.get_submodule(block).se
    seen = []
    handle = gate.gate.register_forward_hook(lambda module, args, output: seen.append(output.mean((2, 3))))
    network(images)
    handle.remove()

    def drop(module, args, output):
        output = output.clone()
        for image, importance in enumerate(seen[0].tolist()):
            sign = -1 if order == "most" else 1
            sequence = sorted(range(len(importance)), key=lambda channel: (sign * importance[channel], channel))
            for channel in sequence[: int(ratio * len(importance) + 0.5)]:
                output[image, channel] = 0
        return output

    handle = gate.register_forward_hook(drop)
    logits = network(images)
    handle.remove()
    return logits


@pytest.mark.parametrize(
    "reference",
    ["mini_resnet_se", "mini_resnet_ge_theta_minus:extent=4", "mini_resnet_ge_theta", "mini_resnet_ge_theta_plus"],
)
def test_every_point_equals_a_plain_loop(reference, device):
    network = make_network(f"{reference},classes=4" if ":" in reference else f"{reference}:classes=4").to(device)
    network = network.to(memory_format=torch.channels_last)
    images = torch.randn(12, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    blocks = ["layer3.0", "layer3.4"]
    with torch.inference_mode():
        # labels are what the plain loop predicts at half the maps dropped: counts are then far from chance
        labels = plain_loop(network, "layer3.0", images, "least", 0.5).argmax(1)
        ratios = (0, 0.07, 0.5, 0.93, 1)
        metric = FeatureImportance(network, blocks, np.arange(12), ratios=ratios, rows=12, exact=True).to(device)
        metric.update(images, labels, torch.arange(12))
        table = metric.compute()
        correct = metric.correctness()
        assert len(table) == len(blocks) * (2 + 3 * 2)
        for at, row in enumerate(table.itertuples()):
            expected = plain_loop(network, row.block, images, row.order, row.ratio).argmax(1) == labels
            assert np.array_equal(correct[at], expected.cpu().numpy()), row
            assert row.top1 == expected.sum().item() / 12
    assert count_hooks(network) == 0
    assert table["top1"].nunique() > 2


def pruned_logits(network, block, images, order, ratio, rows=None, way=None, **settings) -> torch.Tensor:
    """Logits by the engine, for one point."""
    metric = FeatureImportance(network, [block], ratios=(ratio,), orders=(order,), rows=rows, exact=True, **settings)
    (target,) = metric.probe._targets
    indices = torch.arange(len(images))
    with torch.inference_mode(), spied_logits() as kept:
        metric.update(images, torch.zeros(len(images), dtype=torch.long), indices)
    assert way in (None, target.ablation.settled.way)
    ((logits,),) = kept[-1:]
    return logits


@pytest.mark.parametrize("block", [f"layer3.{number}" for number in range(6)] + ["layer2.0", "layer4.0"])
@pytest.mark.parametrize("order", ["most", "least"])
@pytest.mark.parametrize("reference", ["mini_resnet_se", "mini_resnet_ge_theta_plus", "mini_resnet_ge_theta:extent=2"])
def test_pruned_logits_are_bit_equal_to_the_plain_loop(reference, block, order):
    """At equal batch shapes, downsampling blocks included, and by the fast way: nothing but the rest is run again."""
    network = make_network(reference)
    images = torch.randn(6, 3, 32, 32)
    logits = pruned_logits(network, block, images, order, 0.37, rows=6, way="selection")
    with torch.inference_mode():
        assert torch.equal(logits, plain_loop(network, block, images, order, 0.37))


@pytest.mark.parametrize("rows", [1, 4, 6, 13, 500])
def test_chunks_change_nothing_but_the_last_bits(rows):
    network, images = make_network("mini_resnet_se"), torch.randn(6, 3, 32, 32)
    labels = torch.arange(6)
    whole = FeatureImportance(network, ["layer3.1", "layer3.4"], np.arange(6), rows=6)
    cut = FeatureImportance(network, ["layer3.1", "layer3.4"], np.arange(6), rows=rows)
    with torch.inference_mode():
        for metric in (whole, cut):
            metric.update(images, labels, torch.arange(6))
        expected = plain_loop(network, "layer3.1", images, "most", 0.5)
    assert np.array_equal(whole.correctness(), cut.correctness())
    # the CPU's kernels differ by about 1e-7 relative between batch shapes, more after several layers
    logits = pruned_logits(network, "layer3.1", images, "most", 0.5, rows=rows)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "block, way", [("stage3.0", "ending"), ("stage3.1", "selection"), ("stage4.1", "selection"), ("stage2.0", "ending")]
)
def test_shuffle_units_that_concatenate_run_the_block_again(block, way):
    """A unit of stride 2 concatenates: its output's channels are not its branch's."""
    network, images = make_network("mini_shufflenet_ge_theta"), torch.randn(5, 3, 32, 32)
    logits = pruned_logits(network, block, images, "most", 0.5, rows=5, way=way)
    with torch.inference_mode():
        assert torch.equal(logits, plain_loop(network, block, images, "most", 0.5))


def test_a_network_that_cannot_be_traced_is_measured_by_full_passes(caplog):
    network = make_network("mini_resnet_se")
    forward = network.forward_head

    def branching(x):
        return forward(x) if float(x.sum()) > -1e30 else None

    network.forward_head = branching
    images = torch.randn(5, 3, 32, 32)
    with caplog.at_level("INFO"):
        logits = pruned_logits(network, "layer3.3", images, "least", 0.5, way="passes")
    assert "cannot be separated; full passes" in caplog.text
    with torch.inference_mode():
        assert torch.equal(logits, plain_loop(network, "layer3.3", images, "least", 0.5))


def test_blocks_that_overwrite_their_input():
    network = make_network("mini_resnet_se")
    block = network.layer3[3]
    inner = block.forward

    def overwriting(x):
        x.mul_(0.5)
        return inner(x)

    block.forward = overwriting
    images = torch.randn(5, 3, 32, 32)
    logits = pruned_logits(network, "layer3.3", images, "most", 0.5, rows=5)
    with torch.inference_mode():
        assert torch.equal(logits, plain_loop(network, "layer3.3", images, "most", 0.5))
    assert count_hooks(network) == 0


def test_ratio_one_leaves_the_shortcut_alone():
    network = make_network("mini_resnet_se")
    images = torch.randn(5, 3, 32, 32)
    with torch.inference_mode():
        x = network.maxpool(network.act1(network.bn1(network.conv1(images))))
        x = network.layer3[:3](network.layer2(network.layer1(x)))
        x = network.layer3[4:](torch.relu(x))  # block layer3.3 is its shortcut, then the last ReLU
        labels = network.forward_head(network.layer4(x)).argmax(1)
        metric = FeatureImportance(network, ["layer3.3"], ratios=(0, 1))
        metric.update(images, labels, torch.arange(5))
    assert metric.compute()["top1"].tolist()[1] == 1.0


def test_orders_and_ties():
    importance = torch.tensor([[0.5, 0.1, 0.5, 0.9, 0.1]])
    assert drop_ranks(importance, "most").tolist() == [[1, 3, 2, 0, 4]]
    assert drop_ranks(importance, "least").tolist() == [[2, 0, 3, 4, 1]]


@pytest.mark.parametrize("ratio, channels, dropped", [(0, 7, 0), (1, 7, 7), (0.5, 5, 3), (0.1, 128, 13), (0.3, 5, 2)])
def test_rounding(ratio, channels, dropped):
    assert dropped_maps(ratio, channels) == dropped


def test_gates_are_ranked_in_float32_under_autocast():
    network = make_network("mini_resnet_se")
    images = torch.randn(4, 3, 32, 32)
    metric = FeatureImportance(network, ["layer3.1"], ratios=(0.5,), orders=("most",))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        metric.update(images, torch.zeros(4, dtype=torch.long), torch.arange(4))
    values = metric.probe._targets[0].importance.of("gate", None)[0]
    assert values.dtype == torch.float32
    assert not torch.equal(values, values.bfloat16().float())


def test_a_network_without_gates_has_the_stars_only():
    data = make_data()
    table = gelens.pruning({"plain": make_network("mini_resnet:classes=4")}, data)
    assert set(table["ratio"]) == {0, 1} and set(table["order"]) == {"none"} and set(table["score"]) == {"none"}
    assert table["dropped"].isin([0, 128]).all()
    assert len(table) == 6 * 2


def test_the_intact_network_alone():
    """Ratio 0 only: no feature map is dropped, so nothing is run again."""
    network = make_network("mini_resnet_se:classes=4")
    table = gelens.pruning(network, make_data(), blocks=["layer3.0", "layer3.1"], ratios=[0])
    assert table["ratio"].tolist() == [0, 0] and table["dropped"].tolist() == [0, 0]
    expected = 1 - gelens.evaluate(network, make_data())["top1_error"][0] / 100
    assert table["top1"].to_numpy() == pytest.approx(expected)


def test_wilson_intervals_against_the_formula():
    table = gelens.pruning(make_network("mini_resnet_se:classes=4"), make_data(), blocks=["layer3.0"])
    n, z = 40, 1.959963984540054
    p = table["top1"]
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert table["top1_low"].to_numpy() == pytest.approx((centre - reach).to_numpy(), abs=1e-12)
    assert table["top1_high"].to_numpy() == pytest.approx((centre + reach).to_numpy(), abs=1e-12)


@pytest.mark.parametrize("ratio", [-0.1, 1.01, float("nan")])
def test_ratio_outside_its_range(ratio):
    with pytest.raises(UsageError, match="outside"):
        FeatureImportance(make_network("mini_resnet_se"), ["layer3.0"], ratios=(0.5, ratio))


def test_one_reading_of_the_data_serves_everything(quiet, monkeypatch):
    reads, passes = [], []
    data = make_data()
    inner, batches = data.read, passing.batches
    data.read = lambda position: reads.append(position) or inner(position)

    def read_from_here(*arguments, **more):
        passes.append(len(reads))  # what was looked at before the pass, as at images' sizes
        return batches(*arguments, **more)

    monkeypatch.setattr(passing, "batches", read_from_here)
    networks = {name: make_network(f"{name}:classes=4") for name in ("mini_resnet", "mini_resnet_se")}
    requests = {
        label: Request(network, ["layer3.0", "layer3.4"], probes=[dropping_at(["layer3.4"])])
        for label, network in networks.items()
    }
    measured = measure(requests, data, quiet)
    assert len(passes) == 1 and reads[passes[0] :] == list(range(40))
    alone = gelens.pruning(networks["mini_resnet_se"], data, blocks=["layer3.4"], options=quiet)
    together = measured.pruning[measured.pruning["network"] == "mini_resnet_se"].reset_index(drop=True)
    assert np.array_equal(alone["top1"], together["top1"])
    assert all(count_hooks(network) == 0 for network in networks.values())
