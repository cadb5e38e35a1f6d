"""Data by reference: splits, identifiers, limits, foreign data sets, and what is refused."""

import pickle

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_digits
from timm.data import create_loader
from torch.utils.data import DataLoader, TensorDataset

import gelens
from gelens.data import batches, load_data
from gelens.data.datasets import ImageData
from gelens.errors import RunError, UsageError
from gelens.networks.preprocessing import ASSUMED, Preprocessing, from_timm, stated_by
from tests.conftest import make_data, make_network


def test_digits_are_split_once_and_stratified():
    train, val = load_data("digits#train"), load_data("digits#val")
    assert (len(train), len(val)) == (1257, 540)
    assert not set(train.identifiers) & set(val.identifiers)
    for data in (train, val):
        assert np.bincount(data.labels).min() > 0.9 * np.bincount(data.labels).max()
    assert val.fingerprint == load_data("digits").fingerprint != train.fingerprint


def test_digits_are_the_scans_enlarged():
    data = load_data("digits#val")
    image, label, index = data[3]
    scan = int(data.identifiers[3].removeprefix("digit-"))
    scans, labels = load_digits(return_X_y=True)
    expected = Image.fromarray(np.rint(scans[scan].reshape(8, 8) * 255 / 16).astype(np.uint8)).resize((32, 32), 2)
    assert np.array_equal(np.asarray(image)[..., 0], np.asarray(expected))
    assert (label, index) == (labels[scan], 3)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in ("cat", "dog"):
            (tmp_path / split / label).mkdir(parents=True)
            for number in range(3):
                pixels = rng.integers(0, 255, (40, 50, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / label / f"{number}.png")
    return tmp_path


def test_folders_with_and_without_splits(folder):
    data = load_data(f"folder:{folder}")
    assert (data.split, data.classes, len(data)) == ("val", ["cat", "dog"], 6)
    assert data.identifiers[4] == "dog/1.png"
    assert load_data(f"folder:{folder}", "train").split == "train"
    inner = load_data(f"folder:{folder}/val")
    assert inner.split == "" and inner.fingerprint == data.fingerprint


def test_what_a_folder_can_lack(folder, tmp_path):
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    (tmp_path / "bare").mkdir()
    for reference, error, message in (
        (f"folder:{tmp_path}/absent", UsageError, "no folder"),
        (f"folder:{tmp_path}/empty", RunError, "no images"),
        (f"folder:{tmp_path}/bare", RunError, "no class subfolders"),
        (f"folder:{folder}/val#train", UsageError, "no subfolder `train`"),
        (f"folder:{folder}#test", UsageError, "no split `test`"),
        ("digit", UsageError, "did you mean `digits`"),
    ):
        with pytest.raises(error, match=message):
            load_data(reference)


def test_cifar10_in_its_own_layout(tmp_path, monkeypatch):
    """torchvision's reader over files of the published layout; its checksums are of the real ones."""
    from torchvision.datasets import CIFAR10

    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (20, 3072)).astype(np.uint8)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    for name, content in (
        ("test_batch", {"data": pixels, "labels": [number % 10 for number in range(20)]}),
        ("batches.meta", {"label_names": names}),
    ):
        (root / name).write_bytes(pickle.dumps(content))
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *args: True)
    data = load_data(f"cifar10:{tmp_path}#val")
    image, label, index = data[13]
    assert np.array_equal(np.asarray(image), pixels[13].reshape(3, 32, 32).transpose(1, 2, 0))
    assert (label, index, data.classes[label]) == (3, 13, "cat")


def test_cifar10_that_is_not_there(tmp_path):
    with pytest.raises(RunError, match=r"cifar10 is not in .*cifar10:DIR"):
        load_data(f"cifar10:{tmp_path}")


def test_a_limit_is_balanced_and_keeps_the_indices():
    data = make_data(200, classes=4)
    some = data.limited(40)
    assert np.bincount(some.labels).tolist() == [10, 10, 10, 10]
    assert [data.identifiers[index] for index in some.indices] == some.identifiers
    assert np.array_equal(np.asarray(some[5][0]), np.asarray(data[int(some.indices[5])][0]))
    assert set(some.indices) <= set(data.limited(80).indices)


def test_batches_equal_timms_loader():
    """Resize, crop and normalisation against timm's own loader, bit for bit."""
    data = make_data(10, size=48)
    preprocessing = Preprocessing(32, 0.875, "bicubic", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))

    class Pairs(torch.utils.data.Dataset):
        transform = None

        def __len__(self):
            return len(data)

        def __getitem__(self, position):
            image, label, _ = data[position]
            return self.transform(image), label

    theirs = create_loader(
        Pairs(),
        (3, 32, 32),
        4,
        use_prefetcher=False,
        interpolation="bicubic",
        crop_pct=0.875,
        mean=preprocessing.mean,
        std=preprocessing.std,
        num_workers=0,
        pin_memory=False,
    )
    ours = list(batches(data, [preprocessing.geometry], 4))
    for batch, (images, labels) in zip(ours, theirs, strict=True):
        assert torch.equal(preprocessing.normalize(batch.images[preprocessing.geometry]), images)
        assert torch.equal(batch.labels, labels)


def test_squashed_images_are_timms():
    """131 of timm's published networks take both sides of an image to the crop, whatever their ratio."""
    network = timm.create_model("resnet18")
    network.pretrained_cfg |= {"crop_mode": "squash", "crop_pct": 1.0, "input_size": (3, 32, 32)}
    for stated in (from_timm(network), stated_by(network).completed(ASSUMED)):
        assert stated.crop_mode == "squash" and Preprocessing.from_dict(stated.as_dict()) == stated
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 90, 3), np.uint8))
    data = ImageData("wide", "", ["a"], [0], ["a"], lambda position: wide)
    (batch,) = batches(data, [stated.geometry], 1)
    config = timm.data.resolve_model_data_config(network)
    theirs = timm.data.create_transform(**config, is_training=False)(wide)
    assert torch.equal(stated.normalize(batch.images[stated.geometry])[0], theirs)
    (centred,) = batches(data, [stated.geometry[:3]], 1)
    assert not torch.equal(centred.images[stated.geometry[:3]], batch.images[stated.geometry])


def test_borders_are_refused():
    network = make_network("mini_resnet")
    network.preprocessing = {"size": 32, "crop_mode": "border"}
    with pytest.raises(UsageError, match="crop_mode is border; expected one of center, squash"):
        gelens.evaluate(network, "digits")


def test_each_geometry_from_one_decoding():
    data = make_data(6)
    small, large = Preprocessing(16), Preprocessing(32)
    batch = next(batches(data, [small.geometry, large.geometry, small.geometry], 6))
    assert {images.shape[-1] for images in batch.images.values()} == {16, 32}


def test_foreign_data_sets_and_loaders(quiet):
    torch.manual_seed(0)
    images, labels = torch.randn(20, 3, 32, 32), torch.arange(20) % 4
    network = make_network("mini_resnet_se:classes=4")
    data = TensorDataset(images, labels)
    by_set = gelens.selectivity(network, data, blocks=["layer3.0"], options=quiet)
    by_loader = gelens.selectivity(network, DataLoader(data, 16), blocks=["layer3.0"], options=quiet)
    assert by_set["csi"].equals(by_loader["csi"])
    assert by_set["csi_null"].notna().any()
    pairs = [(image, int(label)) for image, label in data]
    unknown = gelens.selectivity(network, pairs, blocks=["layer3.0"], options=quiet)
    assert unknown["csi"].equals(by_set["csi"])
    assert unknown.equals(by_set), "labels are recorded as they are read: the null needs them only afterwards"
    with pytest.raises(UsageError, match="RandomSampler"):
        gelens.evaluate(network, DataLoader(data, 4, shuffle=True))


def test_splits_share_one_numbering_of_classes(folder):
    """A class that one split lacks does not shift the others."""
    (folder / "train" / "bear").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "train" / "bear" / "0.png")
    train, val = load_data(f"folder:{folder}#train"), load_data(f"folder:{folder}#val")
    assert train.classes == val.classes == ["bear", "cat", "dog"]
    assert set(val.labels) == {1, 2} and set(train.labels) == {0, 1, 2}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_named(folder, workers):
    (folder / "val" / "dog" / "1.png").write_bytes((folder / "val" / "dog" / "1.png").read_bytes()[:200])
    data = load_data(f"folder:{folder}#val")
    with pytest.raises(RunError, match=r"^image `dog/1\.png` of folder.* cannot be read: .*$") as caught:
        list(batches(data, [Preprocessing(16).geometry], 2, workers))
    assert "Traceback" not in str(caught.value)


def test_data_can_be_sent_to_worker_processes(folder):
    for data in (load_data("digits"), load_data("digits").limited(20), load_data(f"folder:{folder}")):
        again = pickle.loads(pickle.dumps(data))
        assert np.array_equal(np.asarray(again[5][0]), np.asarray(data[5][0]))


def test_the_fingerprint_sees_other_files_of_the_same_names(folder):
    before = load_data(f"folder:{folder}").fingerprint
    Image.new("RGB", (90, 90)).save(folder / "val" / "dog" / "1.png")
    assert load_data(f"folder:{folder}").fingerprint != before
