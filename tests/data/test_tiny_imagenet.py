"""Tiny ImageNet's own layout, against torchvision's folders of the same images; and what is not it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from gelens.data import load_data
from gelens.errors import RunError, UsageError

SYNSETS = ("n01443537", "n01641577", "n02124075")  # goldfish, bullfrog, Egyptian cat
BOX = "\t0\t32\t44\t62"


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 64, 3)).astype(np.uint8))


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture
def tiny(tmp_path) -> Path:
    """Two training images of each class, and three validation images whose order is not that of their classes."""
    root = tmp_path / "tiny-imagenet-200"
    for number, synset in enumerate(SYNSETS):
        for each in range(2):
            save(picture(10 * number + each), root / "train" / synset / "images" / f"{synset}_{each}.JPEG")
        (root / "train" / synset / f"{synset}_boxes.txt").write_text(f"{synset}_0.JPEG{BOX}\n")
    lines = []
    for number, synset in enumerate((SYNSETS[2], SYNSETS[0], SYNSETS[1])):
        save(picture(100 + number), root / "val" / "images" / f"val_{number}.JPEG")
        lines.append(f"val_{number}.JPEG\t{synset}{BOX}\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    save(picture(0), root / "test" / "images" / "test_0.JPEG")
    (root / "wnids.txt").write_text("\n".join(reversed(SYNSETS)) + "\n")
    (root / "words.txt").write_text("n01443537\tgoldfish, Carassius auratus\n")
    return root


def test_images_have_the_labels_of_torchvisions_folders(tiny, tmp_path):
    """The validation images sorted into class folders by hand, as people do for ImageFolder."""
    for name, synset in zip(("val_1", "val_2", "val_0"), SYNSETS, strict=True):
        save(Image.open(tiny / "val" / "images" / f"{name}.JPEG"), tmp_path / "sorted" / synset / f"{name}.png")
    expected = {Path(path).stem: label for path, label in ImageFolder(tmp_path / "sorted").samples}
    data = load_data(f"folder:{tiny}")
    assert {Path(name).stem: label for name, label in zip(data.identifiers, data.labels, strict=True)} == expected
    assert data.classes == ["goldfish", "bullfrog", "Egyptian cat"] and data.identifiers[0] == "images/val_0.JPEG"
    train = load_data(f"folder:{tiny}#train")
    assert train.labels.tolist() == [0, 0, 1, 1, 2, 2] and train.classes == data.classes
    assert ImageFolder(tiny / "train").targets == train.labels.tolist()
    image, label, _ = data[0]
    assert label == 2 and np.array_equal(np.asarray(image), np.asarray(Image.open(tiny / "val/images/val_0.JPEG")))


def test_imagenets_labels(tiny):
    for split, labels in (("val", [285, 1, 30]), ("train", [1, 1, 30, 30, 285, 285])):
        data = load_data(f"imagenet:{tiny}#{split}")
        assert data.labels.tolist() == labels and len(data.classes) == 1000
    assert load_data(f"imagenet:{tiny}/val").labels.tolist() == [285, 1, 30]


def test_the_split_alone_and_an_incomplete_copy(tiny):
    assert load_data(f"folder:{tiny}/val").labels.tolist() == [2, 0, 1]
    for path in (tiny / "train" / SYNSETS[1] / "images").iterdir():
        path.unlink()
    lines = (tiny / "val" / "val_annotations.txt").read_text().splitlines(keepends=True)
    (tiny / "val" / "images" / "val_2.JPEG").unlink()
    (tiny / "val" / "val_annotations.txt").write_text("".join(lines[:2]))
    assert load_data(f"folder:{tiny}").labels.tolist() == [2, 0], "classes are numbered by the whole list"
    assert load_data(f"folder:{tiny}#train").labels.tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize(
    "lines, message",
    [
        ("val_0.JPEG\tn02124075\nval_1.JPEG\tn01443537\n", "has no class of `val_2.JPEG`"),
        ("val_0.JPEG n02124075\n", "has `val_0.JPEG n02124075` in line 1; expected a file's name, a tab"),
        ("val_0.JPEG\tn02124075\nval_0.JPEG\tn01443537\n", "two classes of `val_0.JPEG`"),
        ("\0\xff", "in line 1; expected"),
    ],
)
@pytest.mark.parametrize("form", ["folder", "imagenet"])
def test_a_list_that_does_not_fit(tiny, form, lines, message):
    (tiny / "val" / "val_annotations.txt").write_text(lines)
    with pytest.raises(RunError, match=message):
        load_data(f"{form}:{tiny}")


def test_without_the_list_it_is_no_data_set_with_a_class_called_images(tiny):
    (tiny / "val" / "val_annotations.txt").unlink()
    with pytest.raises(UsageError, match="no class in both splits: val has `images`, train has `n01443537`"):
        load_data(f"folder:{tiny}")
    with pytest.raises(RunError, match="has no images"):
        load_data(f"imagenet:{tiny}")


def test_the_test_images_have_no_labels(tiny):
    with pytest.raises(UsageError, match="has the class folder `images`, which train and val lack"):
        load_data(f"folder:{tiny}#test")
