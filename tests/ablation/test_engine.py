"""Every family against a plain loop, bit for bit; scores, fills and scopes; chunks, batches and lack of memory."""

from weakref import WeakSet

import numpy as np
import pytest
import torch
from torch import nn

import gelens
from gelens.ablation import engine as engine_module
from gelens.ablation.engine import AtHand, Settled
from gelens.ablation.importance import Prior
from gelens.anatomy.hooks import _depth
from gelens.anatomy.sites import resolve_blocks
from gelens.api import Request, record_requests
from gelens.errors import RunError, UsageError
from gelens.networks import load_network
from gelens.probes.branch_means import BranchMeans, priors
from gelens.probes.feature_importance import FeatureImportance
from tests.anatomy.test_sites import FAMILIES
from tests.conftest import count_hooks, make_data, make_network, shake, spied, spied_logits

SHAPE = (3, 64, 64)


class Untidy(nn.Module):
    """A block that overwrites its input, shares one in-place ReLU, and adds in place."""

    def __init__(self, groups: int = 1, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(8, 8, 3, stride, 1, groups=groups)
        self.bn1, self.bn2 = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, 1, 1, groups=groups)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Conv2d(8, 8, 1, stride) if stride > 1 else None

    def forward(self, x):
        x = self.relu(x)
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += shortcut
        return self.relu(out)


def untidy(**settings) -> nn.Module:
    torch.manual_seed(0)
    blocks = [Untidy(**settings), Untidy(**settings)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)]
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sequential(*blocks), *head)
    return shake(network)


def engine(network, blocks, images, **settings) -> tuple[list[torch.Tensor], FeatureImportance]:
    """Logits of every point in which something is dropped."""
    settings = {"exact": True, "rows": len(images)} | settings
    metric = FeatureImportance(network, blocks, shape=images.shape[1:], **settings)
    with torch.inference_mode(), spied_logits() as kept:
        metric.update(images, torch.zeros(len(images), dtype=torch.long), torch.arange(len(images)))
    assert count_hooks(network) == 0
    return [each for logits in kept[-len(metric.probe._targets) :] for each in logits], metric


def plain(network, importance, images, order, ratio, fill=None) -> torch.Tensor:
    """Logits with the channels of some modules dropped: `importance` is (N, C) by module name."""

    def dropping(values, filled):
        def hook(module, args, output):
            output = output.clone()
            for image, row in enumerate(values.tolist()):
                sign = -1 if order == "most" else 1
                sequence = sorted(range(len(row)), key=lambda channel: (sign * row[channel], channel))
                for channel in sequence[: int(ratio * len(row) + 0.5)]:
                    output[image, channel] = float(filled[channel])
            return output

        return hook

    handles = []
    for name, values in importance.items():
        filled = np.zeros(values.shape[1]) if fill is None else fill[name]
        handles.append(network.get_submodule(name).register_forward_hook(dropping(values, filled)))
    with torch.inference_mode():
        logits = network(images)
    for handle in handles:
        handle.remove()
    return logits


def outputs(network, names, images) -> dict[str, torch.Tensor]:
    seen = {}
    handles = [
        network.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: seen.__setitem__(name, output.clone())
        )
        for name in names
    ]
    with torch.inference_mode():
        network(images)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("reference", [name for name in FAMILIES if "/" in name])
def test_bit_equal_to_a_plain_loop(reference, batch):
    """Gated families by their gates, the others by their branch's mean |activation|; downsampling blocks among them."""
    network = shake(load_network(reference))
    block, branch, values = FAMILIES[reference]
    images = torch.randn(batch, *SHAPE)
    site = f"{block}.{branch}".rstrip(".")
    if values:
        score = "gate"
        importance = outputs(network, [f"{block}.{values}"], images)[f"{block}.{values}"].reshape(batch, -1)
    else:
        score = "activation"
        importance = outputs(network, [site], images)[site].abs().mean((2, 3))
    logits, metric = engine(network, [block], images, scores=[score], ratios=[0.37, 0.8, 1])
    expected = [
        plain(network, {site: importance}, images, *point)
        for point in (("most", 0.37), ("least", 0.37), ("most", 0.8), ("least", 0.8), ("most", 1))
    ]
    # DenseNet's layers take a list, so that they cannot be run again by themselves
    assert (metric.probe._targets[0].ablation.settled.way == "passes") == ("densenet" in reference)
    for got, wanted in zip(logits, expected, strict=True):
        assert torch.equal(got, wanted)
    assert not torch.equal(logits[0], logits[1])


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("settings", [{}, {"stride": 2}, {"groups": 4}, {"groups": 8}])
def test_blocks_that_overwrite_share_downsample_and_group(settings, batch):
    network, images = untidy(**settings), torch.randn(batch, 3, 12, 12)
    importance = outputs(network, ["1.1.bn2"], images)["1.1.bn2"].abs().mean((2, 3))
    logits, _ = engine(network, ["1.1"], images, scores=["activation"], ratios=[0.3, 1])
    for got, point in zip(logits, (("most", 0.3), ("least", 0.3), ("most", 1)), strict=True):
        assert torch.equal(got, plain(network, {"1.1.bn2": importance}, images, *point))


def test_a_gate_that_multiplies_in_place_is_looked_at_and_left_alone():
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Sigmoid())

        def forward(self, x):
            return x.mul_(self.fc(x.mean((2, 3), keepdim=True)))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.gate = nn.Conv2d(8, 8, 3, padding=1), Gate()

        def forward(self, x):
            return torch.relu(x + self.gate(self.conv(x)))

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()
    images = torch.randn(8, 3, 12, 12)
    with torch.inference_mode():
        labels = network(images).argmax(1)
        metric = FeatureImportance(network, ["1"], shape=(3, 12, 12), rows=8, ratios=[0, 0.5])
        metric.update(images, labels, torch.arange(8))
    assert metric.compute()["top1"][0] == 1
    importance = outputs(network, ["1.gate.fc"], images)["1.gate.fc"].flatten(1)
    logits, _ = engine(network, ["1"], images, ratios=[0.5])
    for got, order in zip(logits, ("most", "least"), strict=True):
        assert torch.equal(got, plain(network, {"1.gate": importance}, images, order, 0.5))


def test_a_network_in_training_mode_is_refused():
    network = make_network("mini_resnet_se")
    metric = FeatureImportance(network, ["layer3.1"])
    network.train()
    with pytest.raises(UsageError, match="training mode"):
        metric.update(torch.randn(2, 3, 32, 32), torch.zeros(2, dtype=torch.long), torch.arange(2))


def test_folding_stays_within_its_tolerance_and_decides_alike():
    """1e-3 of the logits' spread; a wrong fold would be off by the spread itself."""
    images = torch.randn(6, *SHAPE)
    for reference, block in (("timm/seresnet50", "layer3.1"), ("timm/efficientnet_b0", "blocks.3.0")):
        network = shake(load_network(reference))
        exact, _ = engine(network, [block], images)
        fast, metric = engine(network, [block], images, exact=False)
        settled = metric.probe._targets[0].ablation.settled
        assert settled.tail is not settled.exact, "nothing was folded"
        norms = [each for each in settled.tail.network.modules() if isinstance(each, nn.BatchNorm2d)]
        assert not norms
        for got, wanted in zip(fast, exact, strict=True):
            assert (got - wanted).abs().max() < 1e-3 * wanted.std()


def test_a_fold_that_is_wrong_is_not_used(caplog):
    """The convolution's output is used besides the batch norm: folding would change it."""

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8)

        def forward(self, x):
            y = self.conv(x)
            return torch.relu(x + (self.bn(y) + y.abs()))

    network = shake(nn.Sequential(nn.Conv2d(3, 8, 3), Both(), Both(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    images = torch.randn(4, 3, 12, 12)
    exact, _ = engine(network, ["1"], images, scores=["activation"])
    with caplog.at_level("WARNING"):
        fast, _ = engine(network, ["1"], images, scores=["activation"], exact=False)
    assert "left as it is" in caplog.text
    assert all(torch.equal(got, wanted) for got, wanted in zip(fast, exact, strict=True))


@pytest.mark.parametrize("most", [1, 5, 8])
@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")])
def test_chunks_are_halved_when_memory_runs_out(error, most, caplog):
    network, images = make_network("mini_resnet_se"), torch.randn(6, 3, 32, 32)
    expected, _ = engine(network, ["layer3.1"], images, rows=24)
    metric = FeatureImportance(network, ["layer3.1"], rows=24, exact=True)
    ablation = metric.probe._targets[0].ablation
    inner = network.layer4.forward

    def scarce(x):
        if _depth.get() and ablation.settled is not None and len(x) > most:  # in a chunk, not in the intact pass
            raise error
        return inner(x)

    network.layer4.forward = scarce
    with torch.inference_mode(), caplog.at_level("WARNING"), spied_logits() as kept:
        metric.update(images, torch.zeros(6, dtype=torch.long), torch.arange(6))
    assert "out of memory: going on with chunks of" in caplog.text
    assert ablation.chunk.rows <= most
    for got, wanted in zip(*kept, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_when_not_even_one_image_fits():
    network, images = make_network("mini_resnet_se"), torch.randn(2, 3, 32, 32)
    metric = FeatureImportance(network, ["layer3.1"], exact=True)
    calls, inner = [], network.layer4.forward

    def nothing_fits(x):
        calls.append(len(x))
        if len(calls) > 1:  # the first is what the engine promises by
            raise torch.OutOfMemoryError("CUDA out of memory")
        return inner(x)

    network.layer4.forward = nothing_fits
    with torch.inference_mode(), pytest.raises(RunError, match="not enough memory"):
        metric.update(images, torch.zeros(2, dtype=torch.long), torch.arange(2))
    assert count_hooks(network) == 0


def test_another_error_is_not_taken_for_lack_of_memory():
    network, images = make_network("mini_resnet_se"), torch.randn(2, 3, 32, 32)
    metric = FeatureImportance(network, ["layer3.1"], exact=True)
    inner, calls = network.layer4.forward, []

    def broken(x):
        calls.append(x)
        if len(calls) > 1:  # the first is what the engine promises by
            raise RuntimeError("shapes do not fit")
        return inner(x)

    network.layer4.forward = broken
    with torch.inference_mode(), pytest.raises(RuntimeError, match="shapes do not fit"):
        metric.update(images, torch.zeros(2, dtype=torch.long), torch.arange(2))


def test_counts_do_not_depend_on_batches_and_chunks():
    network, data = make_network("mini_resnet_se:classes=4"), make_data()
    tables = [
        gelens.pruning(
            network,
            data,
            blocks=["layer3.0", "layer3.4"],
            ratios=(0, 0.2, 0.7, 1),
            rows=rows,
            options=gelens.SweepOptions(device="cpu", batch_size=batch, progress=False),
        )
        for batch, rows in ((40, 40), (1, 1), (7, 3), (16, 50), (16, None))
    ]
    for table in tables[1:]:
        assert np.array_equal(table["top1"], tables[0]["top1"]) and np.array_equal(table["top5"], tables[0]["top5"])


def test_the_state_is_the_counts_alone():
    """Whatever the engine keeps of a network is not saved with it."""
    network, images = make_network("mini_resnet_se"), torch.randn(4, 3, 32, 32)
    _, metric = engine(network, ["layer3.1"], images, exact=False)
    settled = metric.probe._targets[0].ablation.settled
    assert settled.tail is not settled.exact
    assert set(metric.state_dict()) == {"images", "top1", "top5", "correct"}


def test_ratios_cost_time_and_not_memory(monkeypatch):
    """However many points there are, no more rows go through at a time, and only one block's maps are held."""
    network, images = make_network("mini_resnet_se"), torch.randn(4, 3, 32, 32)
    rows, held = [], []
    network.layer4.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    ratios = [step / 100 for step in range(101)]
    metric = FeatureImportance(network, resolve_blocks(network), ratios=ratios, rows=8)
    alive = WeakSet()

    def counted(*maps):
        at_hand = AtHand(*maps)
        alive.add(at_hand)
        return at_hand

    monkeypatch.setattr(engine_module, "AtHand", counted)
    network.layer4.register_forward_pre_hook(lambda module, args: held.append(len(alive)))
    with torch.inference_mode():
        metric.update(images, torch.zeros(4, dtype=torch.long), torch.arange(4))
    assert len(metric.points) == 6 * (2 + 2 * 99) and max(rows) <= 8 and max(held) == 1
    assert not alive


def test_gradient_score_against_autograd():
    """Each image by itself: the gradient of its predicted logit by the gated branch."""
    network, images = make_network("mini_resnet_se"), torch.randn(3, 3, 32, 32)
    metric = FeatureImportance(network, ["layer3.2"], scores=["gradient"], ratios=[0.5], exact=True)
    with spied(Settled, "gradients") as seen, torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        metric.update(images, torch.zeros(3, dtype=torch.long), torch.arange(3))
    ((values,),) = seen
    for number in range(3):
        branch = []
        handle = network.layer3[2].se.register_forward_hook(
            lambda module, args, output, branch=branch: branch.append(output.requires_grad_()) or output * 1
        )
        logits = network(images[number : number + 1])
        handle.remove()
        (gradient,) = torch.autograd.grad(logits[0, logits.argmax()], branch)
        expected = (branch[0] * gradient).sum((2, 3))[0]
        # the pass under autocast feeds the block bfloat16: equal to its precision only
        assert torch.corrcoef(torch.stack([values[number], expected.detach()]))[0, 1] > 0.98


@pytest.mark.parametrize("scope", ["block", "stage"])
def test_gradient_score_in_float32_equals_autograd(scope):
    network, images = make_network("mini_resnet_se"), torch.randn(2, 3, 32, 32)
    blocks = ["layer3.1", "layer3.2"]
    branches = []
    handles = [
        network.get_submodule(block).se.register_forward_hook(
            lambda module, args, output: branches.append(output) or output * 1
        )
        for block in blocks
    ]
    logits = network(images)
    for handle in handles:
        handle.remove()
    gradients = torch.autograd.grad(logits.amax(1).sum(), branches)
    importance = {
        f"{block}.se": (branch * gradient).sum((2, 3)).detach()
        for block, branch, gradient in zip(blocks, branches, gradients, strict=True)
    }
    got, _ = engine(network, blocks, images, scores=["gradient"], ratios=[0.3], orders=["most"], scope=scope)
    groups = [importance] if scope == "stage" else [{name: values} for name, values in importance.items()]
    for logits, group in zip(got, groups, strict=True):
        assert torch.equal(logits, plain(network, group, images, "most", 0.3))


def test_random_orders_are_each_images_own_and_hang_on_nothing_else():
    network, images = make_network("mini_resnet_se"), torch.randn(4, 3, 32, 32)
    settings = {"scores": ["random"], "ratios": [0.5]}
    together, metric = engine(network, ["layer3.1"], images, **settings)
    assert [point.order for point in metric.points] == ["most"]
    other, _ = engine(network, ["layer3.1"], images, seed=1, **settings)
    assert not torch.allclose(together[0], other[0])
    single = FeatureImportance(network, ["layer3.1"], exact=True, **settings)
    target = single.probe._targets[0]
    ranks = []
    for part in (torch.tensor([2]), torch.tensor([0, 1, 2, 3])):
        with torch.inference_mode():
            single.update(images[part], torch.zeros(len(part), dtype=torch.long), part)
            ranks.append(target.importance.of("random", part)[0])
    assert torch.equal(ranks[0][0], ranks[1][2]) and not torch.equal(ranks[1][0], ranks[1][1])
    _, metric = engine(network, ["layer3.1"], images, per_image=False, **settings)
    assert not metric.compute()["per_image"].any()


def test_one_order_for_all_images_and_mean_fill():
    network, images = make_network("mini_resnet_se"), torch.randn(4, 3, 32, 32)
    rng = np.random.default_rng(0)
    mean, scores = rng.normal(size=128), rng.random(128)
    priors = {"layer3.1": Prior(mean, {"gate": scores})}
    settings = {"priors": priors, "per_image": False, "fill": "mean", "ratios": [0.4, 1]}
    logits, metric = engine(network, ["layer3.1"], images, **settings)
    importance = {"layer3.1.se": torch.from_numpy(scores.astype(np.float32)).expand(4, -1)}
    fill = {"layer3.1.se": mean.astype(np.float32)}
    for got, point in zip(logits, (("most", 0.4), ("least", 0.4), ("most", 1)), strict=True):
        assert torch.equal(got, plain(network, importance, images, *point, fill=fill))
    assert set(metric.compute()["fill"]) == {"mean"}


def test_selectivity_score_takes_dead_units_for_least():
    network, images = make_network("mini_resnet_se"), torch.randn(4, 3, 32, 32)
    index = np.random.default_rng(0).random(128)
    index[[5, 17]] = np.nan
    priors = {"layer3.1": Prior(scores={"selectivity": index})}
    logits, _ = engine(network, ["layer3.1"], images, priors=priors, scores=["selectivity"], ratios=[0.2])
    ranked = torch.from_numpy(np.where(np.isnan(index), -1, index).astype(np.float32)).expand(4, -1)
    for got, order in zip(logits, ("most", "least"), strict=True):
        assert torch.equal(got, plain(network, {"layer3.1.se": ranked}, images, order, 0.2))


def test_a_whole_stage_is_ranked_by_the_intact_pass():
    network, images = make_network("mini_resnet_se"), torch.randn(4, 3, 32, 32)
    blocks = resolve_blocks(network)
    gates = outputs(network, [f"{block}.se.gate" for block in blocks], images)
    importance = {name.removesuffix(".gate"): values.flatten(1) for name, values in gates.items()}
    logits, metric = engine(network, blocks, images, scope="stage", ratios=[0, 0.3, 1])
    for got, point in zip(logits, (("most", 0.3), ("least", 0.3), ("most", 1)), strict=True):
        assert torch.equal(got, plain(network, importance, images, *point))
    table = metric.compute()
    assert set(table["block"]) == {"layer3"} and set(table["scope"]) == {"stage"}
    assert table["dropped"].tolist() == [0, 6 * 38, 6 * 38, 6 * 128]


def test_means_of_other_images(quiet):
    """The means and scores that a pass over other images records are those of the maps by hand."""
    network, data = make_network("mini_resnet_se:classes=4"), make_data(9)
    probe = BranchMeans(network, ["layer3.1"], ["gate", "activation", "gradient"])
    recording = record_requests({"it": Request(network, probes=[probe])}, data, quiet)
    prior = priors(recording, "it", ["gate", "activation", "gradient"])["layer3.1"]
    images = torch.stack([torch.from_numpy(np.array(data[at][0])).permute(2, 0, 1) for at in range(9)])
    seen = outputs(network, ["layer3.1.se", "layer3.1.se.gate"], network.preprocessing.normalize(images))
    branch, gate = seen["layer3.1.se"], seen["layer3.1.se.gate"]
    assert prior.branch == pytest.approx(branch.mean((0, 2, 3)).numpy(), abs=1e-5)
    assert prior.scores["gate"] == pytest.approx(gate.mean((0, 2, 3)).numpy(), abs=1e-5)
    assert prior.scores["activation"] == pytest.approx(branch.abs().mean((0, 2, 3)).numpy(), abs=1e-5)
    assert np.isfinite(prior.scores["gradient"]).all() and prior.scores["gradient"].std() > 0


def test_every_setting_through_the_front_door(quiet):
    network, data, others = make_network("mini_resnet_se:classes=4"), make_data(), make_data(seed=1)
    others.split = "train"
    index = gelens.selectivity({"se": network}, others, blocks=["layer3.1"], options=quiet)
    table = gelens.pruning(
        {"se": network, "plain": make_network("mini_resnet:classes=4")},
        data,
        blocks=["layer3.1"],
        scores=["gate", "random", "activation", "gradient"],
        ratios=[0, 0.5, 1],
        fill="mean",
        means_from=others,
        options=quiet,
    )
    curves = table[table["order"] != "none"].groupby("network")["score"].agg(list).to_dict()
    assert curves["se"] == ["gate", "gate", "random", "activation", "activation", "gradient", "gradient"]
    assert curves["plain"] == curves["se"][2:], "a network without gates has curves by the other scores"
    assert (table[table["order"] == "none"].groupby("network").size() == 2).all()
    chosen = gelens.pruning(
        {"se": network}, data, blocks=["layer3.1"], scores=["selectivity"], selectivity=index, options=quiet
    )
    assert not chosen["per_image"].any() and len(chosen) == 2 + 9 * 2


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"scores": ["gates"]}, "no score `gates`"),
        ({"fill": "median"}, "no fill `median`"),
        ({"scope": "network"}, "no scope `network`"),
        ({"fill": "mean"}, "need other images"),
        ({"per_image": False}, "need other images"),
        ({"scores": ["selectivity"]}, "needs a selectivity table"),
        (
            {"priors": {"layer3.1": Prior(scores={"gate": np.zeros(3)})}, "per_image": False},
            "128 channels, but 3 values",
        ),
    ],
)
def test_settings_that_cannot_be(settings, message):
    network = make_network("mini_resnet_se:classes=4")
    with pytest.raises(UsageError, match=message):
        if "priors" in settings:
            FeatureImportance(network, ["layer3.1"], **settings)
        else:
            gelens.pruning(network, make_data(), blocks=["layer3.1"], **settings)


def test_means_of_the_measured_images_are_refused():
    data, network = make_data(), make_network("mini_resnet_se:classes=4")
    for measured in (data, data.limited(20)):
        with pytest.raises(UsageError, match=f"{len(measured)} images of noise#val, which means"):
            gelens.pruning(network, measured, fill="mean", means_from=data)
