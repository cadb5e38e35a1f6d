"""Devices and precisions: what is chosen, what is refused, and what is left as it was."""

import json
import time
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import gelens
from gelens import devices, processes
from gelens.anatomy.classifier import float32_logits
from gelens.api import Request, record_requests
from gelens.errors import RunError, UsageError
from gelens.networks.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from gelens.probes.dropping import dropping_at
from gelens.sweep.passing import SweepOptions
from gelens.training import Recipe, train
from tests.conftest import make_data, make_network

CPU = torch.device("cpu")


WORKS = devices._works.__wrapped__


@pytest.fixture
def four_gpus(monkeypatch):
    """torch finds four GPUs; nothing runs on them."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(devices, "_works", lambda device: True)


def test_the_accelerator_is_taken_where_there_is_one(four_gpus):
    assert devices.resolve_device("auto") == torch.device("cuda")
    assert devices.resolve_device("cuda:3") == torch.device("cuda:3")
    assert devices.resolve_device("cpu") == CPU
    with pytest.raises(UsageError, match="`cuda:4` is not on this machine; it has cuda:0, cuda:1, cuda:2, cuda:3"):
        devices.resolve_device("cuda:4")
    with pytest.raises(UsageError, match="`xpu` is not on this machine; it has cuda, cpu"):
        devices.resolve_device("xpu")


def test_what_is_left_open_follows_the_device(four_gpus, monkeypatch):
    monkeypatch.setattr("gelens.processes.cores", lambda: 16)
    here = SweepOptions("cpu").settled(50_000)
    assert (here.batch_size, here.workers, here.precision) == (64, 0, "fp32")
    there = SweepOptions().settled(50_000)
    assert (str(there.device), there.batch_size, there.workers, there.precision) == ("cuda", 256, 16, "fp32")
    assert SweepOptions().settled(600).workers == 3, "no more processes than batches"
    assert SweepOptions(batch_size=10, workers=2).settled(600).batch_size == 10
    assert SweepOptions(precision="auto").settled(600).precision == "bf16"
    assert SweepOptions(precision="auto").settled(600, "fp32").precision == "fp32", "as the recording was begun"


def test_a_device_that_does_not_work_is_told_and_not_taken(four_gpus, monkeypatch, caplog):
    def fails(*sizes, device):
        raise RuntimeError(f"{device} error: no kernel image is available for execution on the device\nmore")

    monkeypatch.setattr(devices, "_works", cache(WORKS))
    monkeypatch.setattr(torch, "ones", fails)
    with caplog.at_level("WARNING"):
        found = [str(devices.resolve_device("auto")) for _ in range(2)]
    assert found == ["cpu", "cpu"] and str(devices.resolve_device("cuda:1")) == "cuda:1", "what is named is taken"
    (told,) = [each.getMessage() for each in caplog.records]
    assert told.startswith("cuda does not work here, so the CPU is used: cuda error: no kernel image")
    assert told.endswith("on the device")


@pytest.mark.parametrize(
    "quota, found", [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 8), ("1600000 100000", 8), (None, 8)]
)
def test_cores_are_those_that_the_container_may_use(quota, found, tmp_path, monkeypatch):
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda process: range(8), raising=False)
    monkeypatch.setattr(processes, "QUOTA", tmp_path / "cpu.max")
    if quota is not None:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert processes.cores() == found


def test_auto_is_what_the_processor_is_fast_in_and_stays_that(tmp_path, monkeypatch):
    data, network = make_data(12), make_network("mini_resnet:classes=4")
    options = SweepOptions("cpu", "auto", batch_size=4, progress=False)
    for has, chosen in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(devices, "has_bfloat16", lambda device, has=has: has)
        assert devices.fast_precision(CPU) == chosen
    for has in (False, True):
        monkeypatch.setattr(devices, "has_bfloat16", lambda device, has=has: has)
        recording = gelens.record(network, data, blocks=["layer3.0"], out=tmp_path / "r", options=options, resume=has)
        assert recording.described["precision"] == "fp32"
    assert json.loads((tmp_path / "r" / "recording.json").read_text())["precision"] == "fp32"


def test_tf32_is_refused_where_there_is_none():
    with pytest.raises(UsageError, match="this processor has no TF32"):
        gelens.evaluate(make_network("mini_resnet:classes=4"), make_data(4), SweepOptions("cpu", "tf32"))


def test_training_in_fp16_is_refused_on_the_cpu(tmp_path):
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        train("mini_resnet", "digits", tmp_path / "run", Recipe(1, 64, 0.05), "cpu", "fp16")


def flags() -> list[str]:
    backends = torch.backends
    where = (
        backends.cudnn.conv,
        backends.cudnn.rnn,
        backends.cuda.matmul,
        backends.mkldnn.conv,
        backends.mkldnn.matmul,
    )
    return [each.fp32_precision for each in where]


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="torch before 2.9 says it otherwise")
@pytest.mark.parametrize("before", ["highest", "high", "medium"])
def test_a_pass_is_in_ieee_float32_whatever_was_set(before):
    """`set_float32_matmul_precision` rounds products to ten or seven bits, on the CPU too where it has AMX."""
    network, inside = make_network("mini_resnet_se:classes=4"), []
    network.layer3[0].register_forward_hook(lambda *args: inside.append(flags()))
    default = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(before)
        outside = flags()
        gelens.evaluate(network, make_data(8), SweepOptions("cpu", progress=False))
        assert inside[-1] == ["ieee"] * 5
        assert flags() == outside and outside[0] == "tf32"
    finally:
        torch.set_float32_matmul_precision(default)


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="torch before 2.9 says it otherwise")
def test_tf32_is_cudas_and_gates_are_ieee():
    from gelens.anatomy.sites import find_sites, gate_values

    network = make_network("mini_resnet_se:classes=4")
    (site,) = find_sites(network, ["layer3.0"])
    seen = []
    network.get_submodule(site.gate).register_forward_hook(lambda *args: seen.append(flags()))
    before = flags()
    with devices.float32_as("tf32"):
        assert flags() == ["tf32"] * 3 + ["ieee"] * 2
        assert devices.precision_in_use(torch.device("cuda")) == "tf32" and devices.precision_in_use(CPU) == "fp32"
        gate_values(network, site, torch.randn(2, site.channels, 4, 4))
        assert flags() == ["tf32"] * 3 + ["ieee"] * 2
    with pytest.raises(ZeroDivisionError), devices.float32_as("fp32"):
        raise ZeroDivisionError
    assert seen == [["ieee"] * 5] and flags() == before


def test_before_torch_2_9(monkeypatch):
    cudnn, matmul = SimpleNamespace(allow_tf32=True), SimpleNamespace(allow_tf32=False)
    monkeypatch.setattr(torch, "backends", SimpleNamespace(cudnn=cudnn, cuda=SimpleNamespace(matmul=matmul)))
    with devices.float32_as("fp32"):
        assert not cudnn.allow_tf32 and not matmul.allow_tf32
    assert cudnn.allow_tf32 and not matmul.allow_tf32


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "GET was unable to find an engine to execute this computation",
        "MPS backend out of memory (MPS allocated: 18.13 GB)",
        "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes",
    ],
)
def test_what_is_said_of_memory_that_ran_out(text):
    assert devices.is_out_of_memory(RuntimeError(text)) and not devices.is_out_of_memory(ValueError(text))


def test_other_errors_are_not_memorys():
    assert not devices.is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))
    assert devices.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))


def test_a_batch_that_does_not_fit():
    network = make_network("mini_resnet:classes=4")
    inner = network.layer4.forward

    def scarce(x):
        if len(x) > 4:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
        return inner(x)

    network.layer4.forward = scarce
    with pytest.raises(RunError, match=r"not enough memory on cpu for a batch of 8 images.*--batch-size 4"):
        gelens.evaluate(network, make_data(8), SweepOptions("cpu", batch_size=8, progress=False))


def test_normalising_is_torchvisions_to_the_bit():
    from torchvision.transforms.functional import normalize, to_tensor

    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    expected = normalize(to_tensor(pixels), IMAGENET_MEAN, IMAGENET_STD)
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    got = Preprocessing(16, mean=IMAGENET_MEAN, std=IMAGENET_STD).normalize(images)
    assert torch.equal(got[0], expected) and got.is_contiguous(memory_format=torch.channels_last)
    with pytest.raises(TypeError, match="uint8"):
        Preprocessing(16).normalize(images.float())


def test_logits_that_tie_in_bfloat16_do_not_tie():
    """Two classes whose logits are 100 and 100.1: equal in bfloat16's eight bits."""
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].bias.fill_(1)
        network[3].weight.copy_(torch.tensor([[50, 50], [50, 50.1]]))
    images, names = torch.zeros(2, 3, 4, 4), dict(network.named_parameters()).keys()
    with torch.autocast("cpu", torch.bfloat16):
        tied = network(images)
        with float32_logits(network, images):
            logits = network(images)
            assert dict(network.named_parameters()).keys() == names
        after = network(images)
    assert tied.dtype == after.dtype == torch.bfloat16 and (tied[:, 0] == tied[:, 1]).all()
    assert logits.dtype == torch.float32 and (logits[:, 1] > logits[:, 0]).all()
    assert type(network[3]) is nn.Linear


def test_a_pass_in_bfloat16_keeps_float32_logits():
    network, seen = make_network("mini_resnet_se:classes=4"), []
    network.fc.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    recording = record_requests({"it": Request(network)}, make_data(8), SweepOptions("cpu", "bf16", progress=False))
    assert seen[-1] == torch.float32 and type(network.fc) is nn.Linear
    assert np.isin(recording.array("it", "rank"), range(4)).all()


@pytest.mark.parametrize("probe", ["dropping", "lesions"])
def test_chunks_that_were_chosen_are_taken_again(probe, tmp_path, monkeypatch):
    """A pass that is interrupted after memory ran out goes on with the sizes that it had come to."""
    from gelens.ablation.chunks import MORE, SIZES, ChunkSize
    from gelens.probes.lesions import ClassLesions, Lesions
    from gelens.sweep import passing

    data, network = make_data(64), make_network("mini_resnet_se:classes=4")
    options = SweepOptions("cpu", batch_size=8, progress=False)
    read, started = passing.batches, []

    def request():
        if probe == "dropping":
            return Request(network, probes=[dropping_at(["layer3.0"])])
        orders = {"layer3.0": np.tile(np.arange(128), (4, 1))}
        lesions = Lesions(network, {"layer3.0": [0, 5]}, {"layer3.0": 128})
        return Request(network, probes=[lesions, ClassLesions(network, orders, [2])])

    def stops(*args, **more):
        yield from (batch for number, batch in zip(range(6), read(*args, **more), strict=False))
        raise KeyboardInterrupt

    start = ChunkSize.start

    def scarce(self, maps):
        start(self, maps)
        self.halve()

    monkeypatch.setattr(passing, "batches", stops)
    monkeypatch.setattr(ChunkSize, "start", scarce)
    with pytest.raises(KeyboardInterrupt):
        record_requests({"it": request()}, data, options, tmp_path / "r")
    monkeypatch.setattr(passing, "batches", read)
    found = json.loads((tmp_path / "r" / "recording.json").read_text())["chosen"]["it"]
    names = ["rows"] if probe == "dropping" else ["lesion rows", "targeted rows"]
    half = SIZES["cpu"] * MORE // 2  # maps of 8×8
    assert found == {name: {"layer3.0": half} for name in names}
    monkeypatch.setattr(ChunkSize, "start", lambda self, *args: (start(self, *args), started.append(self.rows)))
    whole = record_requests({"it": request()}, data, options, tmp_path / "r", resume=True)
    assert started == [half] * len(names)
    assert whole.finished and whole.described["chosen"]["it"] == found


def test_two_passes_of_lesions_are_equal_to_the_last_bit():
    """No size hangs on how busy the machine is."""
    from gelens.probes.lesions import Lesions

    data, network = make_data(100), make_network("mini_resnet_se:classes=4")
    busy, found = [0.0, 0.03], []
    for seconds in busy:
        inner = network.layer4.forward

        def slowly(x, inner=inner, seconds=seconds):
            time.sleep(seconds * (len(x) > 16))
            return inner(x)

        network.layer4.forward = slowly
        probe = Lesions(network, {"layer3.0": range(12)}, {"layer3.0": 128})
        options = SweepOptions("cpu", batch_size=8, progress=False)
        recording = record_requests({"it": Request(network, probes=[probe])}, data, options)
        found.append(recording.array("it", "layer3.0.lesion.loss"))
        network.layer4.forward = inner
    assert np.array_equal(*found)
