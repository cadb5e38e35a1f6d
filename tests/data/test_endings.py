"""What lies among images and is none, and images by all the endings that they have."""

import io
import logging

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS

from gelens.data import checked, load_data
from gelens.data.endings import BESIDE, image_endings
from tests.data.test_forms import picture, write, write_tar


def content(form: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    picture(1).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, "gelens")
    return caplog


def placed(form: str, path, files: dict[str, bytes]) -> str:
    return f"tar:{write_tar(path.with_suffix('.tar'), files)}" if form == "tar" else f"{form}:{write(path, files)}"


@pytest.mark.parametrize("form", ["folder", "tar", "imagenet"])
def test_hidden_files_and_folders_are_no_classes_and_no_images(tmp_path, form, said):
    tench, parachute = "n01440764", "n03888257"
    good = {f"{tench}/1.jpg": content(), f"{parachute}/2.jpg": content()}
    junk = {
        ".ipynb_checkpoints/1-checkpoint.jpg": content(),
        f"__MACOSX/{tench}/._1.jpg": b"no image",
        f"{tench}/._1.jpg": b"no image",
        f"{tench}/.DS_Store": b"",
        f"{parachute}/.ipynb_checkpoints/2-checkpoint.jpg": content(),
        "@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg": content(),
    }
    data = checked(load_data(placed(form, tmp_path / "set", good | junk)), progress=False)
    assert list(data.identifiers) == list(good)
    assert [data.classes[label] for label in data.labels] == ["tench", "parachute"]
    assert len(data.classes) == (1000 if form == "imagenet" else 2)
    (text,) = [text for text in said.messages if "hidden" in text]
    assert text.startswith("6 hidden files or folders of ")


def test_hidden_folders_beside_splits_and_of_a_test_split(tmp_path):
    files = {f"{split}/{name}/a.jpg": content() for split in ("train", "test") for name in ("cat", "dog")}
    root = write(tmp_path, files | {"test/.cache/a.jpg": content(), ".git/x/a.jpg": content()})
    data = load_data(f"folder:{root}#test")
    assert data.classes == ["cat", "dog"] and len(data) == 2


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_every_ending_of_a_format_that_is_read(tmp_path, form, said):
    """Pillow's own list of endings; JPEGs are called .jfif and .jpe by browsers and old programs."""
    forms = {
        ".jfif": "JPEG",
        ".JPE": "JPEG",
        ".jpg": "JPEG",
        ".gif": "GIF",
        ".png": "PNG",
        ".pnm": "PPM",
    }
    files = {f"cat/a{ending}": content(kind) for ending, kind in forms.items()}
    data = checked(load_data(placed(form, tmp_path / "set", files)), progress=False)
    assert sorted(data.identifiers) == sorted(files)
    for (image, *_), name in zip(data, data.identifiers, strict=True):
        assert np.array_equal(np.asarray(image), np.asarray(Image.open(io.BytesIO(files[name])).convert("RGB")))
    assert set(IMG_EXTENSIONS) <= set(image_endings()) and not {".eps", ".pdf", ".heic"} & set(image_endings())
    assert [text for text in said.messages if "1 files of" in text and "the first picture is taken" in text]


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_files_that_are_called_as_no_images_are_counted_once(tmp_path, form, said):
    files = {f"cat/{number}.heic": b"x" for number in range(3)} | {"cat/4": b"x", "dog/5.AVIF": b"x"}
    beside = {f"cat/notes{ending}": b"x" for ending in BESIDE}
    load_data(placed(form, tmp_path / "set", {"cat/1.jpg": content(), "dog/1.jpg": content()} | files | beside))
    (text,) = [text for text in said.messages if "left out" in text]
    assert "5 files of" in text and "3 of .heic" in text and "1 of .avif" in text and "1 of no ending" in text
    said.clear()
    load_data(placed(form, tmp_path / "other", {"cat/1.jpg": content(), "dog/1.jpg": content()} | beside))
    assert not said.messages


def test_a_folder_without_images_that_counts_as_a_class_is_named(tmp_path, said):
    files = {"train/bear/a.jpg": content(), "val/cat/a.jpg": content(), "train/cat/a.jpg": content()}
    root = write(tmp_path, files)
    load_data(f"folder:{root}")
    assert not said.messages, "a class that one split lacks is one"
    write(root, {"val/annotations/a.xml": b"x"})
    assert load_data(f"folder:{root}").classes == ["annotations", "bear", "cat"]
    assert "1 folders of" in said.text and "hold no images" in said.text and "annotations" in said.text
