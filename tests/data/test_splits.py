"""Which images a split's name finds in each form, and that what was read is what is recorded."""

import os
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from gelens.data import load_data
from gelens.data.datasets import ImageData
from gelens.errors import UsageError

from .test_forms import write_parquet

SPLITS = {"train": 4, "val": 2, "test": 3}


def write_folder(root: Path, splits=SPLITS, classes=("cat", "dog")) -> Path:
    for split, images in splits.items():
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for number in range(images):
                Image.new("RGB", (8, 8), (number, 0, 0)).save(root / split / name / f"{number}.png")
    return root


def pack(root: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        archive.add(root, "x")
    return path


def png(root: Path) -> bytes:
    Image.new("RGB", (8, 8)).save(root / "one.png")
    return (root / "one.png").read_bytes()


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_test_is_a_split_beside_the_others(form, tmp_path):
    root = write_folder(tmp_path / "x")
    where = root if form == "folder" else pack(root, tmp_path / "x.tar")
    for split, images in SPLITS.items():
        data = load_data(f"{form}:{where}#{split}")
        assert (len(data), data.split, data.classes) == (2 * images, split, ["cat", "dog"])
    assert len(load_data(f"{form}:{where}")) == 4, "val where none is named"


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_test_may_be_a_class_or_the_only_split(form, tmp_path):
    root = write_folder(tmp_path / "x", {"test": 3})
    where = root if form == "folder" else pack(root, tmp_path / "x.tar")
    assert load_data(f"{form}:{where}#test").classes == ["cat", "dog"]
    if form == "folder":
        assert load_data(f"folder:{where}").classes == ["test"]


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_folders_of_a_test_split_number_no_classes(form, tmp_path):
    """A folder `unknown` of test images shifts no label of the others, and cannot be measured."""
    root = write_folder(tmp_path / "x", {"train": 1, "val": 1})
    (root / "test" / "bears").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(root / "test" / "bears" / "a.png")
    where = root if form == "folder" else pack(root, tmp_path / "x.tar")
    assert load_data(f"{form}:{where}#val").classes == ["cat", "dog"]
    with pytest.raises(UsageError, match=r"`bears`.*lack"):
        load_data(f"{form}:{where}#test")


def test_val_takes_test_files_only_where_there_are_no_others_and_says_so(tmp_path):
    content = png(tmp_path)
    for name, images in (("train", 5), ("test", 3)):
        write_parquet(tmp_path / "p" / f"{name}-00000.parquet", {f"a/{n}.png": content for n in range(images)}, "a")
    data = load_data(f"parquet:{tmp_path}/p")
    assert len(data) == 3 and "test images, for want of a validation split" in data.note
    assert load_data(f"parquet:{tmp_path}/p#test").note == ""
    assert load_data(f"parquet:{tmp_path}/p#test").fingerprint == data.fingerprint
    write_parquet(tmp_path / "p" / "validation-00000.parquet", {f"a/{n}.png": content for n in range(2)}, "a")
    data = load_data(f"parquet:{tmp_path}/p")
    assert len(data) == 2 and data.note == "", "validation and test are never mixed"
    assert len(load_data(f"hf:{tmp_path}/p#test")) == 3


def test_digits_have_no_test_split():
    with pytest.raises(UsageError, match="`digits` has no split `test`; it has train, val"):
        load_data("digits#test")


def test_a_label_is_what_figures_say_and_no_part_of_the_images():
    plain, chosen = load_data("digits"), load_data("scans=digits#val")
    assert (plain.title, chosen.title) == ("digits", "scans")
    assert str(chosen) == str(plain) and chosen.fingerprint == plain.fingerprint
    assert chosen.limited(20).title == "scans"


@pytest.mark.parametrize(
    "name, title",
    [
        ("folder:/home/me/birds", "birds"),
        ("parquet:/data/cifar10/", "cifar10"),
        ("cifar10:/data/sets", "cifar10"),
        ("cifar10", "cifar10"),
        ("hf:uoft-cs/cifar10", "cifar10"),
        ("imagenet:/data/ilsvrc", "imagenet"),
    ],
)
def test_titles_without_folders_of_this_machine(name, title):
    assert ImageData(name, "val", ["a"], [0], ["0"], None).title == title


def test_what_was_read_for_a_name_of_the_hub_is_what_is_recorded(tmp_path, monkeypatch, caplog):
    """`hf:birds` where a folder `birds` lies: the package reads the folder, and a copy of it later, elsewhere."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    content = png(tmp_path)
    write_parquet(tmp_path / "birds" / "test.parquet", {f"a/{n}.png": content for n in range(3)}, "a")
    monkeypatch.chdir(tmp_path)
    data = load_data("hf:birds")
    assert data.name.startswith("hf:birds (a local folder, ") and "not from the hub" in caplog.text
    assert str(tmp_path) not in data.name + data.note
    given = load_data(f"hf:.{os.sep}birds")
    assert given.name == f"hf:.{os.sep}birds", "a path says itself where it is"
