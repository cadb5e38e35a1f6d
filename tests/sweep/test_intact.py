"""The intact pass of a folded and compiled copy gives what the network gives; where it would not, the network runs."""

import logging
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import gelens
from gelens.anatomy import compiling
from gelens.anatomy.folding import TOLERANCE, folded
from gelens.api import Request, record_requests
from gelens.devices import resolve_device
from gelens.errors import UsageError
from gelens.networks import load_network
from gelens.probes.activity import Activity
from gelens.probes.dropping import Dropping, dropping_at
from gelens.probes.predictions import Predictions
from gelens.recording.merging import merge
from gelens.sweep.intact import is_worth_compiling
from gelens.sweep.passing import SweepOptions
from gelens.sweep.sharing import Shard
from tests.conftest import make_data, make_network

QUIET = SweepOptions("cpu", batch_size=16, progress=False)
BLOCKS = ["layer3.0", "layer3.2"]


@pytest.fixture
def network() -> nn.Module:
    return make_network("mini_resnet_se:classes=4")


@pytest.fixture
def without_compiler(monkeypatch):
    """By a compiler that compiles nothing, so that what is called through it is seen; the real one is slow."""
    compiled: list[nn.Module] = []

    def compiles(forward, **how):
        assert how == {"dynamic": False, "options": {"freezing": True}}

        def run(*inputs):
            compiled.append(forward)
            return forward(*inputs)

        return run

    monkeypatch.setattr(torch, "compile", compiles)
    return compiled


def arrays(recording) -> dict[str, np.ndarray]:
    (label,) = recording.networks
    return {name: recording.array(label, name) for name in recording.names(label)}


def off(some, others) -> float:
    """How far apart floating-point values are at most, in standard deviations of the first."""
    return max(
        np.abs(some[name] - others[name]).max() / max(some[name].std(), 1e-6)
        for name in some
        if some[name].dtype.kind == "f"
    )


def test_float32_runs_the_network_itself_bit_for_bit(network):
    data = make_data(40)
    recorded = arrays(gelens.record(network, data, blocks=BLOCKS, options=QUIET))
    network.to(memory_format=torch.channels_last)
    seen = []
    with torch.inference_mode(), gelens.capture(network, BLOCKS, "mean") as features:
        for images, _ in gelens.images_for(network, data, 16, "cpu"):
            network(images)
            seen.append({block: features[block].clone() for block in BLOCKS})
    for block in BLOCKS:
        assert np.array_equal(recorded[f"{block}.output"], torch.cat([each[block] for each in seen]).numpy())


def test_weights_lie_as_they_lay(network):
    before = {name: values.stride() for name, values in network.state_dict().items()}
    with torch.inference_mode():
        gelens.record(network, make_data(20), blocks=BLOCKS, options=QUIET)
    assert before == {name: values.stride() for name, values in network.state_dict().items()}
    network.fc(torch.rand(2, 256)).sum().backward()  # and can be trained, though they were moved in inference mode


def test_bfloat16_runs_a_folded_copy_within_its_tolerance(network, monkeypatch):
    copies = []
    monkeypatch.setattr("gelens.anatomy.folding.folded", lambda *given: copies.append(folded(*given)) or copies[-1])
    data, low = make_data(40), replace(QUIET, precision="bf16")
    exact = arrays(gelens.record(network, data, blocks=BLOCKS, options=QUIET))
    fast = arrays(gelens.record(network, data, blocks=BLOCKS, options=low))
    (copy,) = copies
    assert not any(isinstance(module, nn.BatchNorm2d) for module in copy.modules())
    assert copy.layer3[0].conv1.weight.dtype == torch.bfloat16
    assert 0 < off(exact, fast) < TOLERANCE["bf16"]
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules()), "the network stays as it was"
    assert type(network.fc) is nn.Linear and network.fc.weight.dtype == torch.float32


@pytest.mark.parametrize("taps", [("output",), ("branch", "gate", "gated", "output", "sum")])
def test_every_tap_of_a_copy_is_that_of_the_network(network, taps, without_compiler):
    data = make_data(40)
    exact, fast = (
        arrays(gelens.record(network, data, blocks=BLOCKS, taps=taps, options=replace(QUIET, compiled=each)))
        for each in (False, True)
    )
    assert exact.keys() == fast.keys() and 0 < off(exact, fast) < 1e-5
    assert np.array_equal(exact["top_classes"], fast["top_classes"])
    inside = len(taps) > 1  # compiled code would pass by what looks into a block
    per_batch = 9 - 2 * inside
    assert len(without_compiler) == 2 * per_batch, "two whole batches; the last is smaller and runs as it is"


def test_pruning_runs_compiled_tails_in_chunks_of_one_size(network, without_compiler):
    data = make_data(24)
    exact, fast = (
        gelens.pruning(network, data, blocks=BLOCKS, options=replace(QUIET, batch_size=8, compiled=each), rows=16)
        for each in (False, True)
    )
    assert without_compiler and np.abs(exact["top1"] - fast["top1"]).max() <= 1 / 24


@pytest.mark.slow
def test_the_compiler_itself(network, caplog):
    """The tolerance of float32 is 1e-3; 1e-6 was seen."""
    data = make_data(40)
    exact = arrays(gelens.record(network, data, blocks=BLOCKS, options=QUIET))
    fast = gelens.record(network, data, blocks=BLOCKS, options=replace(QUIET, compiled=True))
    assert 0 < off(exact, arrays(fast)) < 1e-4
    assert list(fast.described["chosen"].values()) == [{"compiled": {"batch": 16}}]
    low = replace(QUIET, precision="bf16")
    told = [gelens.pruning(network, data, blocks=BLOCKS, options=replace(low, compiled=each)) for each in (False, True)]
    assert np.abs(told[0]["top1"] - told[1]["top1"]).max() <= 2 / 40
    assert "recompile_limit" not in caplog.text and "as they are" not in caplog.text and "left" not in caplog.text


def test_a_compiler_that_fails_is_told_once_and_done_without(network, monkeypatch, caplog):
    def fails(forward, **how):
        def run(*inputs):
            raise RuntimeError("no C++ compiler\nand much more")

        return run

    monkeypatch.setattr(torch, "compile", fails)
    data = make_data(40)
    with caplog.at_level(logging.WARNING):
        fast = arrays(gelens.record(network, data, blocks=BLOCKS, options=replace(QUIET, compiled=True)))
    told = [each.getMessage() for each in caplog.records if "torch.compile" in each.getMessage()]
    assert told == ["torch.compile failed, so that blocks run as they are: no C++ compiler"]
    exact = arrays(gelens.record(network, data, blocks=BLOCKS, options=QUIET))
    assert off(exact, fast) < 1e-5


def test_a_compiler_that_is_wrong_is_not_believed(network, monkeypatch, caplog):
    monkeypatch.setattr(torch, "compile", lambda forward, **how: lambda *inputs: forward(*inputs) * 1.5)
    data = make_data(40)
    with caplog.at_level(logging.WARNING):
        fast = arrays(gelens.record(network, data, blocks=BLOCKS, options=replace(QUIET, compiled=True)))
    assert "folded and compiled moves what is measured by" in caplog.text and "left as it is" in caplog.text
    exact = arrays(gelens.record(network, data, blocks=BLOCKS, options=QUIET))
    assert all(np.array_equal(exact[name], fast[name]) for name in exact), "the network itself, bit for bit"


def test_a_recording_goes_on_as_it_was_begun(network, tmp_path, without_compiler, monkeypatch):
    data, options = make_data(48), replace(QUIET, compiled=True)
    whole = gelens.record(network, data, blocks=BLOCKS, options=options)
    seen = []
    rows = Activity.rows

    def interrupted(self, moment):
        seen.append(len(moment.images))
        if seen.count(16) == 3:
            raise KeyboardInterrupt
        return rows(self, moment)

    monkeypatch.setattr(Activity, "rows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gelens.record(network, data, blocks=BLOCKS, out=tmp_path / "r", options=options)
    monkeypatch.setattr(Activity, "rows", rows)
    before = len(without_compiler)
    rest = gelens.record(network, data, blocks=BLOCKS, out=tmp_path / "r", options=QUIET, resume=True)
    assert len(without_compiler) > before, "compiled, though nobody asked for it this time"
    assert all(np.array_equal(arrays(whole)[name], arrays(rest)[name]) for name in arrays(whole))


def test_shares_of_which_some_are_compiled_come_together(network, tmp_path, without_compiler):
    data = make_data(48)
    for number, compiled in enumerate((False, True), 1):
        options = replace(QUIET, shard=Shard(number, 2), compiled=compiled)
        gelens.record(network, data, blocks=BLOCKS, out=tmp_path / str(number), options=options)
    merge([tmp_path / "1", tmp_path / "2"], tmp_path / "whole")
    whole = gelens.open_recording(tmp_path / "whole")
    assert off(arrays(gelens.record(network, data, blocks=BLOCKS, options=QUIET)), arrays(whole)) < 1e-5


def test_what_has_to_be_exact_is_not_compiled(network):
    with pytest.raises(UsageError, match="leave out --exact or --compile"):
        gelens.pruning(network, make_data(8), blocks=BLOCKS, options=replace(QUIET, compiled=True), exact=True)


def test_only_long_passes_are_compiled_and_always_the_same():
    cpu = resolve_device("cpu")
    looks = [Predictions(10)]

    def worth(gmacs, images, probes=looks, precision="fp32", device=cpu):
        return is_worth_compiling(gmacs, images, probes, precision, device)

    assert worth(4.1, 50_000) and not worth(4.1, 5_000)
    assert worth(0.02, 1_000_000) and not worth(0.02, 50_000), "of 32 px"
    network = load_network("mini_resnet_se")
    pruning = Request(network, probes=[dropping_at(BLOCKS, Dropping())]).probes[0](network, (3, 32, 32))
    exact = dropping_at(BLOCKS, Dropping(exact=True))(network, (3, 32, 32))
    assert worth(4.1, 2_000, [*looks, pruning]) and not worth(4.1, 50_000, [*looks, exact])
    assert not worth(4.1, 50_000, device=torch.device("meta")) and not worth(4.1, 50_000, precision="fp16")


def test_compiled_code_is_passed_by_where_something_looks_in(without_compiler):
    network = compiling.compile_blocks(make_network("mini_resnet"))
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        network(images)
    assert len(without_compiler) == 9
    with torch.no_grad(), gelens.capture(network, ["layer3.0.conv2"]):
        network(images)
    network(images)  # with gradients
    with torch.no_grad():
        network(images[:1])
    assert len(without_compiler) == 9 + 8


def test_a_network_without_stages_says_that_nothing_is_compiled(caplog):
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)).eval()
    with caplog.at_level(logging.WARNING):
        record_requests({"it": Request(plain, ["1"])}, make_data(16), replace(QUIET, compiled=True))
    assert "Sequential has no stages whose blocks could be compiled" in caplog.text


def test_a_hook_that_changes_a_batch_norm_is_not_folded_away(network):
    data = make_data(24)
    before = arrays(gelens.record(network, data, blocks=BLOCKS, options=replace(QUIET, precision="bf16")))
    network.layer3[0].bn3.register_forward_hook(lambda module, args, output: output * 3)
    exact, low = (
        arrays(gelens.record(network, data, blocks=BLOCKS, options=replace(QUIET, precision=each)))
        for each in ("fp32", "bf16")
    )
    assert off(exact, low) < TOLERANCE["bf16"] < off(exact, before)


class Odd(nn.Module):
    """A small network whose input goes through a function of it, the network and the number of the call."""

    def __init__(self, change=lambda images, calls: images, block=None):
        super().__init__()
        torch.manual_seed(0)
        self.layer3 = nn.ModuleList([block or nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8))])
        self.fc = nn.Linear(8, 4)
        self.change, self.calls = change, 0

    def forward(self, x):
        self.calls += 1
        return self.fc(self.layer3[0](self.change(x, self.calls)).relu().mean((2, 3)))


def recorded_of(network, **how):
    recording = gelens.record(network, make_data(40), blocks=["layer3.0"], rectify=True, options=replace(QUIET, **how))
    return {label: {name: recording.array(label, name) for name in recording.names(label)} for label in ["Odd"]}["Odd"]


def doubled_in_place(images, calls):
    return images.mul_(2)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_network_that_overwrites_its_input_is_shown_each_image_as_it_is(precision):
    own = recorded_of(Odd(lambda images, calls: images * 2), precision=precision)
    overwriting = recorded_of(Odd(doubled_in_place), precision=precision)
    assert all(np.array_equal(own[name], overwriting[name]) for name in own)


def test_networks_beside_one_that_overwrites_its_input_are_shown_images_as_they_are():
    alone = recorded_of(Odd())
    both = gelens.record(
        {"first": Odd(doubled_in_place), "Odd": Odd()},
        make_data(40),
        blocks=["layer3.0"],
        rectify=True,
        options=QUIET,
    )
    assert np.array_equal(both.array("Odd", "layer3.0.output"), alone["layer3.0.output"])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_other_logits_for_an_image_alone_are_told(precision):
    with pytest.raises(UsageError, match="beside other images"):
        recorded_of(Odd(lambda images, calls: images * 100 if len(images) == 1 else images), precision=precision)


def test_other_logits_once_are_told_though_they_do_not_come_again():
    counter = Odd()
    recorded_of(counter)
    alone = counter.calls - 3  # the last ones of the pass are its three batches
    with pytest.raises(UsageError, match="when it was tried again"):
        recorded_of(Odd(lambda images, calls: images * 100 if calls == alone else images))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_image_whose_two_logits_are_nearly_equal_is_no_reason_to_refuse(precision):
    network = Odd()
    with torch.no_grad():  # two classes of equal weights, but of one image that is like all others
        network.fc.weight.copy_(network.fc.weight[:1].expand(4, -1) + 1e-7 * torch.randn(4, 8))
        network.fc.bias.fill_(0)
    assert len(recorded_of(network, precision=precision)["rank"]) == 40


@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
def test_convolutions_whose_weights_are_made_anew_are_not_folded(norm, caplog):
    network = Odd()
    exact = recorded_of(network)
    norm(network.layer3[0][0])
    fast = recorded_of(network, precision="bf16")
    assert "left as it is" not in caplog.text and 0 < off(exact, fast) < TOLERANCE["bf16"]
    options = replace(QUIET, batch_size=20)
    assert len(gelens.pruning(network, make_data(20), blocks=["layer3.0"], options=options))


def test_a_network_that_cannot_be_copied_runs_itself(caplog):
    network = Odd()
    exact = recorded_of(network)
    network.lock = threading.Lock()
    fast = recorded_of(network, precision="bf16")
    assert "Odd runs itself, for it cannot be copied" in caplog.text and 0 < off(exact, fast) < TOLERANCE["bf16"]
    options = replace(QUIET, batch_size=20)
    assert len(gelens.pruning(network, make_data(20), blocks=["layer3.0"], options=options))


class Joining(nn.Module):
    """A block of other arguments than tensors."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x, *others, scale=1.0):
        x = x[0] if isinstance(x, list) else x
        return self.conv(x) * scale


@pytest.mark.parametrize("arguments", ["named", "number", "list"])
def test_blocks_of_other_arguments_than_tensors_run_as_they_are(arguments, without_compiler):
    class Network(Odd):
        def forward(self, x):
            block = self.layer3[0]
            given = {"named": lambda: block(x, scale=2.0), "number": lambda: block(x, 1), "list": lambda: block([x])}
            return self.fc(given[arguments]().relu().mean((2, 3)))

    network = Network(block=Joining())
    network.__class__.__name__ = "Odd"
    exact, fast = recorded_of(network), recorded_of(network, compiled=True)
    assert all(np.array_equal(exact[name], fast[name]) for name in exact) and not without_compiler
