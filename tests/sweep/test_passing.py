"""The pass: interrupting, devices, precision, batches, and data of any kind."""

import os
import signal
import time

import numpy as np
import pandas as pd
import pytest
import torch

import gelens
from gelens.anatomy.sites import resolve_blocks
from gelens.api import Request
from gelens.data import batches
from gelens.errors import RunError, UsageError
from gelens.networks import load_network
from gelens.probes.dropping import dropping_at
from gelens.sweep import passing as sweeping
from gelens.sweep.passing import SweepOptions
from tests.conftest import make_data, make_network, measure


def test_a_first_ctrl_c_waits_for_the_batch_and_a_second_does_not():
    with sweeping.interrupts_deferred() as asked:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_batch_size_changes_nothing():
    data, network = make_data(40), make_network("mini_resnet_se:classes=4")
    options = [SweepOptions("cpu", batch_size=size, progress=False) for size in (40, 7)]
    tables = [gelens.selectivity(network, data, blocks=["layer3.5"], options=each) for each in options]
    # the CPU's convolutions differ by up to about 1e-7 relative between batch shapes
    pd.testing.assert_frame_equal(*tables, rtol=1e-4, atol=1e-6)


def test_devices_agree_with_the_cpu(device):
    """Float32 on other devices rounds differently: indices within 1e-3, one image in forty may change its class."""
    data, network = make_data(40), make_network("mini_resnet_se:classes=4")
    results = [
        measure(
            {"it": Request(network, ["layer3.5"], probes=[dropping_at(["layer3.5"])])},
            data,
            SweepOptions(name, progress=False),
        )
        for name in ("cpu", device)
    ]
    assert np.allclose(*(each.selectivity.units["csi"] for each in results), atol=1e-3, equal_nan=True)
    assert np.abs(results[0].pruning["top1"] - results[1].pruning["top1"]).max() <= 1 / 40


@pytest.mark.parametrize("precision", ["bf16"])
def test_lower_precision_is_near(device, precision):
    data, network = make_data(40), make_network("mini_resnet_se:classes=4")
    results = [
        gelens.selectivity(network, data, blocks=["layer3.2"], options=SweepOptions(device, name, progress=False))
        for name in ("fp32", precision)
    ]
    difference = (results[0]["csi"] - results[1]["csi"]).abs()
    assert 0 < difference.max() < 0.1


def test_bad_options():
    for options in (SweepOptions("cuda:7x"), SweepOptions("cpu", precision="fp64")):
        with pytest.raises(UsageError):
            gelens.evaluate(make_network("mini_resnet:classes=4"), make_data(4), options)


def test_data_that_does_not_fit():
    with pytest.raises(UsageError, match="3 outputs, but the data has labels up to 3"):
        gelens.evaluate(make_network("mini_resnet:classes=3"), make_data(), SweepOptions("cpu", progress=False))
    with pytest.raises(RunError, match="at least two"):
        gelens.selectivity(make_network("mini_resnet"), make_data(10, classes=1))


def test_accuracy_equals_a_plain_loop_over_timms_loader():
    from timm.data import create_loader
    from timm.utils import accuracy

    data, network = make_data(50), make_network("mini_resnet_ge_theta_plus:classes=8")

    class Pairs(torch.utils.data.Dataset):
        transform = None

        def __len__(self):
            return len(data)

        def __getitem__(self, position):
            return self.transform(data[position][0]), data[position][1]

    loader = create_loader(
        Pairs(), (3, 32, 32), 10, use_prefetcher=False, crop_pct=1.0, mean=(0.5,) * 3, std=(0.5,) * 3, num_workers=0
    )
    with torch.inference_mode():
        counts = [[float(value) / 10 for value in accuracy(network(x), y, topk=(1, 5))] for x, y in loader]
    expected = 100 - 100 * np.sum(counts, 0) / 50
    row = gelens.evaluate(network, data, SweepOptions("cpu", batch_size=10, progress=False)).iloc[0]
    assert [row.top1_error, row.top5_error] == pytest.approx(expected.tolist())


def test_networks_of_different_preprocessing_see_the_same_images_in_one_reading(quiet):
    """Each network gets its own size and normalisation; measured together or alone, the counts are equal."""
    from dataclasses import replace

    data = make_data(30, size=48)
    small, large = make_network("mini_resnet:classes=4"), make_network("mini_resnet_se:classes=4,size=40")
    small.preprocessing = replace(small.preprocessing, crop_pct=0.8, interpolation="bicubic", mean=(0.4, 0.5, 0.6))
    together = measure({"small": Request(small), "large": Request(large)}, data, quiet).evaluation
    for label, network in (("small", small), ("large", large)):
        alone = measure({label: Request(network)}, data, quiet).evaluation
        assert alone["top1_error"][0] == together.set_index("network")["top1_error"][label]


def test_subsets_keep_their_indices_and_labels(quiet):
    data, network = make_data(40), make_network("mini_resnet_se:classes=4")
    part = torch.utils.data.Subset(data, range(10, 34))
    table = gelens.selectivity(network, part, blocks=["layer3.5"], options=quiet)
    assert table["csi_null"].notna().any(), "the base's labels are known, so there is a null"
    pruned = gelens.pruning(network, part, blocks=["layer3.5"], ratios=[0, 0.5], options=quiet)
    assert (pruned["images"] == 24).all()


@pytest.mark.parametrize(
    "loader, message",
    [
        (lambda data: torch.utils.data.DataLoader(data, batch_sampler=[[2, 1], [0, 3]]), "draws by list"),
        (lambda data: torch.utils.data.DataLoader(data, 7, drop_last=True), "drop_last=False"),
        (lambda data: Stream(), "Stream has no length"),
    ],
    ids=["batch sampler", "drop last", "stream"],
)
def test_foreign_data_that_would_be_measured_wrongly(loader, message):
    images = torch.utils.data.TensorDataset(torch.randn(40, 3, 32, 32), torch.arange(40) % 4)
    with pytest.raises(UsageError, match=message):
        gelens.evaluate(make_network("mini_resnet:classes=4"), loader(images), SweepOptions("cpu", progress=False))


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        yield torch.zeros(3, 32, 32), 0


def test_any_module_on_images_of_its_own_size(quiet):
    """A network of one channel and 20 px that knows nothing of us and branches on its values."""

    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = torch.nn.Conv2d(1, 6, 3), torch.nn.Linear(6, 3)

        def forward(self, x):
            x = torch.relu(self.conv(x))
            return self.fc(x.mean((2, 3)) + (1 if x.max() > 0 else 0))

    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(12, 1, 20, 20), torch.arange(12) % 3)
    measured = measure({"own": Request(Own(), ["conv"], rectify=True)}, data, quiet)
    assert len(measured.selectivity.units) == 6
    assert measured.evaluation["gmacs"][0] == pytest.approx((18 * 18 * 9 * 6 + 6 * 3) / 1e9)


def test_rectifying_comes_before_the_mean_over_positions(quiet):
    data, network = make_data(40), make_network("mini_resnet:classes=4")
    with pytest.raises(UsageError, match=r"layer3\.0\.bn3` has negative .*`layer3\.0\.act3` follows it"):
        gelens.selectivity(network, data, blocks=["layer3.0.bn3"], options=quiet)
    table = gelens.selectivity(network, data, blocks=["layer3.0.bn3"], options=quiet, rectify=True)
    assert table["rectified"].all()
    images = torch.stack([torch.from_numpy(np.array(data[i][0])).permute(2, 0, 1) for i in range(40)])
    with torch.no_grad(), gelens.capture(network, "layer3.0.bn3") as features:
        network(network.preprocessing.normalize(images))
    expected = features["layer3.0.bn3"].relu().mean((2, 3)).numpy()
    means = np.array([expected[data.labels == label].mean(0) for label in range(4)])
    assert np.allclose(table["mu_max"], means.max(0), rtol=1e-4, atol=1e-6)


def test_blocks_are_measured_in_the_networks_order(quiet):
    data, network = make_data(40), make_network("mini_resnet:classes=4")
    measured = measure(
        {"it": Request(network, resolve_blocks(network, blocks=["layer3.5", "layer3.0", "layer3.2"]))}, data, quiet
    )
    assert measured.selectivity.blocks[["block", "depth"]].values.tolist() == [
        ["layer3.0", 1], ["layer3.2", 3], ["layer3.5", 6]
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name, block", [("vit_tiny_patch16_224", "blocks.3"), ("swin_tiny_patch4_window7_224", "layers.1")]
)
def test_tokens_are_averaged(name, block, device):
    """A vision transformer's tokens (N, T, C), and Swin's maps with channels last, by hand."""
    network = load_network(f"timm/{name}")
    data = make_data(8, size=32)
    options = SweepOptions(device=device, batch_size=4, progress=False)
    with pytest.raises(UsageError, match="has negative activities"):
        gelens.selectivity(network, data, blocks=[block], options=options)
    table = gelens.selectivity(network, data, blocks=[block], options=options, rectify=True)
    seen = []
    handle = network.get_submodule(block).register_forward_hook(lambda module, args, output: seen.append(output))
    batch = next(batches(data, [network.preprocessing.geometry], 8))
    with torch.inference_mode():
        network(network.preprocessing.normalize(batch.images[network.preprocessing.geometry]))
    handle.remove()
    activity = seen[0].clamp(min=0).mean((1, 2) if seen[0].ndim == 4 else 1).double().numpy()
    means = np.stack([activity[data.labels == label].mean(0) for label in np.unique(data.labels)])
    assert len(table) == seen[0].shape[-1]
    np.testing.assert_allclose(table["mu_max"], means.max(0), rtol=1e-3, atol=1e-5)


class Told(torch.utils.data.Dataset):
    """Images whose labels are told beforehand, rightly or not."""

    def __init__(self, targets, labels=None):
        self.targets, self.labels_given = targets, targets if labels is None else labels
        self.pixels = torch.randn(len(targets), 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, position):
        return self.pixels[position], self.labels_given[position]


def test_labels_told_beforehand_are_those_that_come(quiet):
    network = make_network("mini_resnet:classes=4")
    with pytest.raises(UsageError, match=r"image `3` comes with the label 1, but the data's `targets` .* say 0"):
        gelens.evaluate(network, Told([0, 1, 2, 0], [0, 1, 2, 1]), quiet)


def test_a_loader_that_leaves_images_out_is_refused(quiet):
    def leaving_out(items):
        kept = [item for item in items if item[1] != 2]
        return torch.stack([image for image, _ in kept]), torch.tensor([label for _, label in kept])

    data = Told([0, 1, 2, 3, 0, 1, 3, 0])
    data.__dict__.pop("targets")
    loader = torch.utils.data.DataLoader(Unnamed(data), 4, collate_fn=leaving_out)
    with pytest.raises(RunError, match="gave 7 images, but has 8 by its length"):
        gelens.evaluate(make_network("mini_resnet:classes=4"), loader, quiet)


class Unnamed(torch.utils.data.Dataset):
    """The same, and nothing told."""

    def __init__(self, data):
        self.pixels, self.given = data.pixels, data.labels_given

    def __len__(self):
        return len(self.given)

    def __getitem__(self, position):
        return self.pixels[position], self.given[position]


def test_labels_that_come_late_have_names_and_classes(quiet):
    data = Unnamed(Told([0, 2, 1, 2]))
    recording = gelens.record(make_network("mini_resnet:classes=4"), data, blocks=["layer3.0"], options=quiet)
    assert recording.images["class"].tolist() == ["0", "2", "1", "2"]
    assert recording.described["classes"] == ["0", "1", "2"]


def test_other_pixels_of_a_foreign_set_do_not_go_on(tmp_path, quiet):
    network, first, other = make_network("mini_resnet:classes=4"), Told([0, 1, 2, 3]), Told([0, 1, 2, 3])
    other.pixels = other.pixels.flip(0)
    gelens.record(network, first, blocks=["layer3.0"], out=tmp_path / "r", options=quiet)
    with pytest.raises(UsageError, match="the content of image `0` has changed"):
        gelens.record(network, other, blocks=["layer3.0"], out=tmp_path / "r", options=quiet, resume=True)


def test_logits_that_are_no_numbers_are_no_errors_of_50_percent(quiet):
    network = make_network("mini_resnet:classes=4")
    network.fc.register_forward_hook(lambda module, args, output: output / 0)
    with pytest.raises(RunError, match=r"logits that are NaN or infinite for image `noise-0`; .* is `fc`"):
        gelens.evaluate(network, make_data(8), quiet)


@pytest.mark.parametrize("name, value", [("layer2.0.conv1.weight", "nan"), ("fc.bias", "inf")])
def test_weights_that_are_no_numbers_are_named_before_the_pass(quiet, name, value, monkeypatch):
    network = make_network("mini_resnet:classes=4")
    network.get_parameter(name).data.view(-1)[0] = float(value)
    monkeypatch.setattr(sweeping, "batches", lambda *arguments, **more: pytest.fail("images are read"))
    with pytest.raises(RunError, match=f"weights of .* are no numbers: 1 of the .* values of `{name}`"):
        gelens.evaluate(network, make_data(8), quiet)


def test_activities_that_are_no_numbers_end_the_pass_with_block_and_image(tmp_path, quiet):
    """What was measured before is kept, and nothing of the batch in which they come."""
    network, data = make_network("mini_resnet:classes=4"), make_data(40)
    layer3 = network.layer3[2]
    fine = gelens.record(network, data, blocks=["layer3.2"], out=tmp_path / "fine", options=quiet)

    class Some(torch.nn.Module):
        batches = 0

        def forward(self, maps):
            Some.batches += len(maps) == 16  # the first batch, the second; then the one that is looked at again
            if len(maps) == 16 and Some.batches > 1:
                maps = maps.clone()
                maps[5, 3, 0, 0] = float("inf")
            return maps

    layer3.act3 = torch.nn.Sequential(layer3.act3, Some())
    with pytest.raises(RunError) as raised:
        gelens.record({"it": network}, data, blocks=["layer3.2"], out=tmp_path / "r", options=quiet)
    assert "it gives `layer3.2.output` that are NaN or infinite for image `noise-21`" in str(raised.value)
    assert "is `layer3.2.act3.1`" in str(raised.value) and "16 of 40 images are measured and kept" in str(raised.value)
    kept = np.load(tmp_path / "r" / "it" / "layer3.2.output.npy")
    (label,) = fine.networks
    np.testing.assert_array_equal(kept[:16], fine.array(label, "layer3.2.output")[:16])
    assert not kept[16:].any()


class Failing(torch.utils.data.Dataset):
    """Twelve images; what happens to a process that reads the last of them is given."""

    def __init__(self, happens):
        self.targets, self.happens, self.process = [0, 1, 2, 3] * 3, happens, os.getpid()

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, position):
        if position == 11 and os.getpid() != self.process:
            self.happens()
        return torch.zeros(3, 32, 32), self.targets[position]


@pytest.mark.parametrize(
    "wait, happens, message",
    [
        (
            60,
            lambda: time.sleep(1) or os._exit(9),
            "a process that reads images died.*8 of 12 images are measured and kept",
        ),
        (1, lambda: time.sleep(600), r"no images came for 1 s .*does not answer.*8 of 12 images are measured and kept"),
    ],
    ids=["dies", "hangs"],
)
def test_processes_that_read_and_die_or_hang(tmp_path, monkeypatch, wait, happens, message):
    monkeypatch.setattr("gelens.data.loading.WAIT_SECONDS", wait)
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.5)  # for which one that hangs may end
    options = SweepOptions("cpu", batch_size=4, workers=1, progress=False)
    network, data = make_network("mini_resnet:classes=4"), Failing(happens)
    with pytest.raises(RunError, match=message):
        gelens.record(network, data, blocks=["layer3.0"], out=tmp_path / "r", options=options)
    data.happens = lambda: None
    assert gelens.record(network, data, blocks=["layer3.0"], out=tmp_path / "r", options=options, resume=True).finished


def test_a_termination_waits_for_the_batch_and_ends_with_its_own_code():
    with sweeping.interrupts_deferred() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.is_set()
        with pytest.raises(SystemExit) as raised:
            asked.raise_it()
    assert raised.value.code == 143 and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
