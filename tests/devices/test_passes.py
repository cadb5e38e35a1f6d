"""Whole passes and trainings on the pretended device: nothing mixed, nothing waited for, and the CPU's tables."""

import copy
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from gelens.analyses.pruning import Pruning
from gelens.analyses.running import asked
from gelens.anatomy.sites import resolve_blocks
from gelens.api import Request
from gelens.networks import load_network
from gelens.probes.activity import TAPS
from gelens.probes.dropping import Dropping, dropping_at
from gelens.sweep import passing
from gelens.sweep.passing import SweepOptions
from tests.conftest import make_data, make_network, measure
from tests.devices.pretended import NAME, pretending, unless_real

pytestmark = unless_real
BATCH = 8
QUIET = SweepOptions("cpu", batch_size=BATCH, workers=0, progress=False)


@dataclass
class Counted:
    """What a batch asked of the device."""

    waits: Counter
    copies: Counter
    kernels: Counter


def counted(batches, watch, into: list[Counted]):
    """The same batches; what happens between one and the next is counted."""
    watch.since()
    for batch in batches:
        watch.since()
        yield batch
        into.append(Counted(watch.waits.copy(), watch.copies.copy(), watch.kernels.copy()))


@pytest.fixture
def on_device(monkeypatch):
    """Measure on the pretended device: the tables, and what each batch asked of it."""

    def run(request: Request, data, **options):
        seen: list[Counted] = []
        with pretending() as watch:
            read = passing.batches
            monkeypatch.setattr(passing, "batches", lambda *args, **more: counted(read(*args, **more), watch, seen))
            measured = measure({"it": request}, data, replace(QUIET, device=NAME, **options))
            monkeypatch.undo()
        return measured, seen

    return run


def steady(seen: list[Counted]) -> Counter:
    """The waits from the third batch on: before, ways are tried."""
    assert len(seen) > 3
    return sum((each.waits for each in seen[2:]), Counter())


@pytest.mark.parametrize("taps", [("output",), TAPS])
def test_selectivity(on_device, taps):
    data, network = make_data(40), make_network("mini_resnet_se:classes=4")
    request = Request(network, resolve_blocks(network), taps)
    there, seen = on_device(request, data)
    assert not steady(seen)
    assert seen[3].copies["event"] == 1
    there.equals(measure({"it": request}, data, QUIET))


def test_a_low_precision_launches_neither_batch_norm_nor_casts_of_weights(on_device):
    data, network = make_data(40), make_network("mini_resnet_se:classes=4")
    request = Request(network, resolve_blocks(network))
    kernels = {precision: on_device(request, data, precision=precision)[1][3].kernels for precision in ("fp32", "bf16")}
    norm = "_native_batch_norm_legit_no_training"
    assert kernels["fp32"][norm] == 32 and kernels["bf16"][norm] == 0
    assert kernels["bf16"]["convolution"] == kernels["fp32"]["convolution"]
    assert kernels["bf16"]["_to_copy"] <= 10 < 50 == kernels["bf16"]["convolution"], "fewer than there are weights"


SCORES = ("gate", "random", "activation", "selectivity", "gradient")


@pytest.mark.parametrize(
    "settings", [{}, {"exact": True}, {"scope": "stage"}, {"one_order": True, "fill": "mean"}], ids=str
)
def test_pruning_by_every_score(on_device, settings):
    data, others = make_data(40), make_data(16, seed=1)
    others.split = "train"
    network = make_network("mini_resnet_se:classes=4")
    blocks = ["layer3.0", "layer3.1"]
    index = measure({"it": Request(network, blocks)}, others, QUIET).selectivity.units
    settings = {"means_from": others, "selectivity_from": index, "rows": 2 * BATCH} | settings
    analysis = Pruning(blocks=blocks, ratios=(0, 0.5, 1), scores=SCORES, **settings)
    request = asked(analysis, {"it": network}, data, QUIET)["it"]
    there, seen = on_device(request, data)
    assert not steady(seen)
    there.equals(measure({"it": request}, data, QUIET))


@pytest.mark.parametrize("precision", ["bf16", pytest.param("fp16", marks=pytest.mark.slow)])
def test_lower_precision(on_device, precision):
    data, network = make_data(40), make_network("mini_resnet_se:classes=4")
    dropping = Dropping((0, 0.5, 1), scores=SCORES[:3], rows=BATCH)
    request = Request(network, resolve_blocks(network), probes=[dropping_at(["layer3.1"], dropping)])
    there, seen = on_device(request, data, precision=precision)
    here = measure({"it": request}, data, QUIET)
    assert not steady(seen)
    assert 0 < np.abs(there.selectivity.units["csi"] - here.selectivity.units["csi"]).max() < 0.1
    assert there.recording.described["precision"] == precision


def test_kernels_of_a_selectivity_pass(on_device):
    """Six blocks of SE-ResNet-50: at most thirty operations a batch beside those of the network itself."""
    network = load_network("resnet50_se:classes=4,size=64")
    blocks = resolve_blocks(network)
    assert len(blocks) == 6
    with pretending() as watch, torch.inference_mode():
        images = torch.randn(2, 3, 64, 64).to(NAME).contiguous(memory_format=torch.channels_last)
        there = copy.deepcopy(network).eval().to(NAME).to(memory_format=torch.channels_last)
        watch.since()
        there(images)
        alone = watch.kernels.copy()
    _, seen = on_device(Request(network, blocks), make_data(8, size=64), batch_size=2)
    beyond = seen[-1].kernels - alone
    assert alone["convolution"] > 50 and beyond["mean"] == 6
    assert beyond.total() <= 30, beyond
    assert seen[-1].copies == {"to the device": 2, "to the host": 15, "event": 1}
