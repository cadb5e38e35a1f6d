"""What only a real accelerator can show; skipped where there is none."""

import numpy as np
import pytest
import torch

from gelens.anatomy.sites import resolve_blocks
from gelens.api import Request
from gelens.networks.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from gelens.probes.dropping import Dropping, dropping_at
from gelens.sweep import passing
from gelens.sweep.passing import SweepOptions
from tests.conftest import make_data, make_network, measure


def test_normalising_is_bit_equal_to_the_cpus(device):
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 1, 1)
    preprocessing = Preprocessing(16, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    assert torch.equal(preprocessing.normalize(images.to(device)).cpu(), preprocessing.normalize(images))


def test_ieee_float32_is_near_the_cpus(device):
    """TF32 would be a thousand times farther."""
    data, network = make_data(40), make_network("mini_resnet_se:classes=4")
    request = {"it": Request(network, resolve_blocks(network))}
    here, there = (measure(request, data, SweepOptions(name, progress=False)) for name in ("cpu", device))
    csi = [each.selectivity.units["csi"] for each in (here, there)]
    assert np.allclose(*csi, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("score", ["gate", "random", "activation", "gradient"])
def test_nothing_waits_on_cuda(score, monkeypatch):
    if not torch.cuda.is_available():
        pytest.skip("no cuda on this machine")
    read = passing.batches

    def watched(*args, **more):
        for number, batch in enumerate(read(*args, **more)):
            torch.cuda.set_sync_debug_mode("error" if number >= 2 else "default")
            yield batch
        torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(passing, "batches", watched)
    network = make_network("mini_resnet_se:classes=4")
    dropping = Dropping((0, 0.5, 1), scores=[score], rows=16)
    request = Request(network, ["layer3.0"], probes=[dropping_at(["layer3.1"], dropping)])
    try:
        measure({"it": request}, make_data(40), SweepOptions("cuda", batch_size=8, workers=0, progress=False))
    finally:
        torch.cuda.set_sync_debug_mode("default")
