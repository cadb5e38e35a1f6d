"""Strangers' networks as they come: measured as a plain loop measures them, or refused with what would do instead."""

from itertools import pairwise

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

import gelens
from gelens.api import images_for
from gelens.errors import UsageError
from tests.conftest import shake


class LeNet(nn.Module):
    """As tutorials have it: maps are flattened by `.view`, ReLUs and pools are functions."""

    def __init__(self, channels: int = 3):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, 6, 5), nn.Conv2d(6, 16, 5)
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        self.act2 = nn.ReLU()
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * 5 * 5, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.act2(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


def noise(channels: int = 3, size: int = 32, images: int = 40) -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(images, channels, size, size, generator=generator)
    return TensorDataset(pixels, torch.arange(images) % 10)


@pytest.fixture
def lenet() -> nn.Module:
    torch.manual_seed(0)
    return LeNet()


def test_a_network_that_flattens_by_view_is_measured_and_given_back_as_it_came(lenet, quiet):
    data = noise()
    before = {name: values.stride() for name, values in lenet.state_dict().items()}
    table = gelens.evaluate(lenet, data, quiet)
    images, labels = data.tensors
    with torch.no_grad():
        wrong = (lenet.eval()(images).argmax(1) != labels).float().mean()
    assert table["top1_error"].iloc[0] == pytest.approx(100 * float(wrong))
    assert {name: values.stride() for name, values in lenet.state_dict().items()} == before
    shown, _ = next(images_for(lenet, data, 8, quiet.device))
    lenet.to(quiet.device)(shown)  # takes them as they are shown


class Strided(LeNet):
    """Reads memory by strides, as no channels-last map lies."""

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.as_strided(x, (len(x), 400), (400, 1))
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


def test_a_network_whose_logits_hang_on_the_memory_format_has_its_own(quiet):
    torch.manual_seed(0)
    network, data = Strided(), noise()
    table = gelens.evaluate(network, data, quiet)
    images, labels = data.tensors
    with torch.no_grad():
        wrong = (network(images).argmax(1) != labels).float().mean()
        assert (network(images.contiguous(memory_format=torch.channels_last)) - network(images)).abs().max() > 1e-3
    assert table["top1_error"].iloc[0] == pytest.approx(100 * float(wrong))


def test_other_networks_keep_their_format_too(quiet):
    network = gelens.load_network("mini_resnet")
    gelens.evaluate(network, noise(), quiet)
    assert all(parameter.is_contiguous() for parameter in network.parameters())


@pytest.mark.parametrize(
    "make, channels, size, message",
    [
        (LeNet, 3, 64, r"it takes 32 px \(--image-size 32, in Python its `preprocessing`\)$"),
        (LeNet, 3, 112, r"it gives 50 rows of logits for 2 images; of sizes that were tried it takes 32 px"),
        (lambda: LeNet(1), 3, 32, r"it takes images of 1 channel: put torchvision\.transforms\.Grayscale\(\)"),
        (LeNet, 1, 32, r"it takes images of 3 channels: give tensors \(3, H, W\)$"),
        (lambda: Broken(), 3, 32, r"fails on images of 3×32×32: nothing works here$"),
        (lambda: Gives("out"), 3, 32, r"gives dict of 'out'; expected logits .* called `logits`: wrap it"),
    ],
)
def test_what_would_do_instead_is_found_by_trying(make, channels, size, message, quiet):
    with pytest.raises(UsageError, match=message):
        gelens.evaluate(make(), noise(channels, size, 8), quiet)


class Broken(nn.Module):
    def forward(self, x):
        raise LookupError("nothing works here")


class Gives(nn.Module):
    def __init__(self, name: str):
        super().__init__()
        self.name, self.fc = name, nn.Linear(3, 10)

    def forward(self, x):
        return {self.name: self.fc(x.mean((2, 3)))}


def test_gray_images_as_tensors_are_measured(quiet):
    assert len(gelens.evaluate(LeNet(1), noise(1), quiet)) == 1


class PreActivation(nn.Module):
    """A block that begins with its activation: nothing follows the sum."""

    def __init__(self, inside: int, outside: int, stride: int):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(inside), nn.BatchNorm2d(outside)
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        if stride > 1:
            self.shortcut = nn.Conv2d(inside, outside, 1, stride, bias=False)

    def forward(self, x):
        out = F.relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        return self.conv2(F.relu(self.bn2(self.conv1(out)))) + shortcut


class PreActivationResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.layer1 = nn.Sequential(PreActivation(8, 8, 1), PreActivation(8, 8, 1))
        self.layer2 = nn.Sequential(PreActivation(8, 16, 2), PreActivation(16, 16, 1))
        self.bn, self.linear = nn.BatchNorm2d(16), nn.Linear(16, 10)

    def forward(self, x):
        out = F.relu(self.bn(self.layer2(self.layer1(self.conv1(x)))))
        out = F.avg_pool2d(out, 16)
        return self.linear(out.view(out.size(0), -1))


class VGG(nn.Module):
    def __init__(self):
        super().__init__()
        widths, layers = (3, 8, 16, 16), []
        for inside, outside in pairwise(widths):
            layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
            layers += [nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Linear(256, 32), nn.ReLU(True), nn.Dropout(), nn.Linear(32, 10))

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


NETWORKS = {
    # network: {block: the module whose maps are dropped}
    LeNet: {"relu": "relu", "act2": "act2"},
    PreActivationResNet: {
        "layer1.1": "layer1.1.conv2",
        "layer2.0": "layer2.0.conv2",
        "layer2.1": "layer2.1.conv2",
    },
    VGG: {"features.2": "features.2", "features.8": "features.8"},
}


def varied(network: nn.Module) -> nn.Module:
    """Standardised logits: what is predicted differs from image to image."""
    last = [each for each in shake(network).modules() if isinstance(each, nn.Linear)][-1]
    with torch.no_grad():
        logits = network(torch.randn(32, 3, 32, 32))
        last.weight /= logits.std(0)[:, None]
        last.bias.copy_((last.bias - logits.mean(0)) / logits.std(0))
    return network


def plain_loop(network: nn.Module, branch: str, images: torch.Tensor, order: str, ratio: float) -> torch.Tensor:
    """Classes predicted, image by image, with a hook that zeroes the maps of least or greatest mean activity."""

    def drop(module, args, output):
        strength = output.abs().mean((2, 3))[0].tolist()
        sign = -1 if order == "most" else 1
        for channel in sorted(range(len(strength)), key=lambda at: (sign * strength[at], at))[: drops(strength)]:
            output[0, channel] = 0
        return output

    def drops(strength):
        return int(ratio * len(strength) + 0.5)

    handle = network.get_submodule(branch).register_forward_hook(drop)
    with torch.no_grad():
        predicted = torch.cat([network(image[None]).argmax(1) for image in images])
    handle.remove()
    return predicted


@pytest.mark.parametrize("make", NETWORKS, ids=lambda each: each.__name__)
def test_accuracy_and_every_point_of_pruning_are_those_of_a_plain_loop(make, quiet):
    torch.manual_seed(0)
    network, branches = varied(make()), NETWORKS[make]
    images = noise().tensors[0]
    last = list(branches.values())[-1]
    labels = plain_loop(network, last, images, "least", 0.5)
    data = TensorDataset(images, labels)
    right = plain_loop(network, last, images, "least", 0) == labels
    table = gelens.evaluate(network, data, quiet)
    assert table["top1_error"].iloc[0] == pytest.approx(100 * (1 - right.float().mean().item()))
    ratios = [0, 0.25, 0.5, 0.75, 1]
    curves = gelens.pruning(
        network, data, blocks=list(branches), scores=["activation"], ratios=ratios, options=quiet, exact=True
    )
    assert len(curves) == len(branches) * (2 + 3 * 2) and curves["top1"].nunique() > 3
    for row in curves.itertuples():
        expected = plain_loop(network, branches[row.block], images, row.order, row.ratio) == labels
        assert row.top1 == pytest.approx(expected.float().mean().item()), row


def test_several_strangers_in_one_pass(quiet):
    torch.manual_seed(0)
    networks = {make.__name__: varied(make()) for make in NETWORKS}
    data = noise()
    together = gelens.evaluate(networks, data, quiet).set_index("network")["top1_error"]
    for name, network in networks.items():
        assert together[name] == gelens.evaluate(network, data, quiet)["top1_error"].iloc[0]


def compiled_in_place(network: nn.Module) -> nn.Module:
    network.compile(backend="eager")
    return network


@pytest.mark.parametrize(
    "wrap",
    [nn.DataParallel, lambda network: torch.compile(network, backend="eager"), compiled_in_place],
    ids=["DataParallel", "torch.compile", "compiled in place"],
)
def test_wrapped_networks_are_measured_as_their_insides(wrap, quiet, caplog):
    torch.manual_seed(0)
    network = PreActivationResNet()
    settings = {"blocks": ["layer1.1"], "rectify": True, "permutations": 2, "replicates": 2}
    expected = gelens.selectivity(network, noise(), options=quiet, **settings)
    wrapped = wrap(network)
    call = network._compiled_call_impl
    got = gelens.selectivity({"PreActivationResNet": wrapped}, noise(), options=quiet, **settings)
    pd.testing.assert_frame_equal(got, expected)
    assert "dynamo" not in caplog.text and network._compiled_call_impl is call


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make", [torch.jit.script, lambda network: torch.jit.trace(network, torch.randn(2, 3, 32, 32))]
)
def test_accuracy_of_a_torchscript_program_is_told_and_its_insides_are_not(make, quiet):
    network = LeNet().eval()
    program = make(network)
    expected = gelens.evaluate(network, noise(), quiet)["top1_error"]
    assert gelens.evaluate(program, noise(), quiet)["top1_error"].equals(expected)
    for measure in (gelens.selectivity, gelens.pruning):
        with pytest.raises(UsageError, match="modules of a TorchScript program cannot be watched: measure the network"):
            measure(program, noise(), blocks=["relu"], options=quiet)


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(LeNet().eval(), {nn.Linear})


def exported() -> nn.Module:
    return torch.export.export(LeNet().eval(), (torch.randn(2, 3, 32, 32),)).module()


def partly_compiled() -> nn.Module:
    network = VGG()
    network.features = torch.compile(network.features, backend="eager")
    return network


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: torch.jit.freeze(torch.jit.script(LeNet().eval())), "weights are constants of frozen TorchScript"),
        (exported, "it is exported for one mode: measure the network that it was made of instead of GraphModule"),
        (quantised, "`fc1` is quantised: measure the network that it was made of instead of LeNet, before"),
        (partly_compiled, "`features` is compiled by itself: give the network before torch.compile"),
        (lambda: LeNet().half(), r"`conv1.weight` of LeNet is torch.float16; .* network\.float\(\) makes it so"),
        (lambda: LeNet().double(), r"`conv1.weight` of LeNet is torch.float64; expected torch.float32"),
    ],
    ids=["frozen", "exported", "quantised", "partly compiled", "half", "double"],
)
def test_what_cannot_be_measured_is_one_line(make, message, quiet):
    with pytest.raises(UsageError, match=message) as refused:
        gelens.evaluate(make(), noise(images=10), quiet)
    assert "\n" not in str(refused.value)


def test_a_module_that_is_never_called_is_named(quiet):
    network = LeNet()
    network.unused = nn.ReLU()
    with pytest.raises(UsageError, match="block `unused` of LeNet is not called as a module when images pass through"):
        gelens.selectivity(network, noise(), blocks=["unused"], options=quiet)


class Keeping(nn.ReLU):
    def get_extra_state(self):
        return {"since": 3}

    def set_extra_state(self, state):
        pass


def test_a_network_that_keeps_more_than_tensors(lenet, quiet):
    expected = gelens.evaluate(lenet, noise(), quiet)["top1_error"]
    lenet.relu = Keeping()
    assert gelens.evaluate(lenet, noise(), quiet)["top1_error"].equals(expected)
