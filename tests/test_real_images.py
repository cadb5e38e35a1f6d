"""Real ImageNet images, where they lie beside the checkout: our readings against timm's loader."""

from pathlib import Path

import pytest
import torch
from timm.data import ImageDataset, create_loader
from timm.utils import accuracy

import gelens
from gelens.data import load_data
from gelens.networks import load_network
from gelens.sweep.passing import SweepOptions
from tests.conftest import make_network

SAMPLE = Path(__file__).parents[2] / "shared" / "data" / "imagenet_sample" / "val"
pytestmark = pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample of ImageNet is not beside this checkout")


def test_counts_equal_a_plain_loop_over_timms_loader():
    """ResNet-50 with random weights: 24 JPEGs, resized, cropped and normalised by either; equal top-1 and top-5."""
    data = load_data(f"folder:{SAMPLE}").limited(24)
    network = make_network("resnet50")
    paths = [SAMPLE / name for name in data.identifiers]

    class Chosen(ImageDataset):
        def __init__(self):
            self.transform = None

        def __len__(self):
            return len(paths)

        def __getitem__(self, position):
            from PIL import Image

            return self.transform(Image.open(paths[position]).convert("RGB")), int(data.labels[position])

    config = network.preprocessing
    loader = create_loader(
        Chosen(),
        (3, 224, 224),
        8,
        use_prefetcher=False,
        crop_pct=config.crop_pct,
        interpolation=config.interpolation,
        mean=config.mean,
        std=config.std,
        num_workers=0,
        pin_memory=False,
    )
    # labels that the network gives about half of the time: random weights would have next to none right
    with torch.inference_mode():
        logits = torch.cat([network(images) for images, _ in loader])
    data.labels[::2] = logits.argmax(1).numpy()[::2]
    data.labels[1::4] = logits.topk(3).indices[:, 2].numpy()[1::4]
    top1, top5 = accuracy(logits, torch.from_numpy(data.labels), topk=(1, 5))
    row = gelens.evaluate(network, data, SweepOptions("cpu", batch_size=8, progress=False)).iloc[0]
    assert row.top1_error == pytest.approx(100 - float(top1)) and row.top5_error == pytest.approx(100 - float(top5))
    assert 10 < row.top5_error < row.top1_error < 90


def test_a_thousand_classes_of_one_image_have_no_null(caplog):
    data = load_data(f"folder:{SAMPLE}").limited(8)
    network = load_network("mini_resnet:classes=1000")
    table = gelens.selectivity(network, data, blocks=["layer3.5"], options=SweepOptions("cpu", progress=False))
    assert "one image a class" in caplog.text and "992 classes without images" in caplog.text
    assert table["csi_null"].isna().all() and table["csi"].notna().any()
