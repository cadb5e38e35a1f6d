"""Somebody's own data sets and loaders at the door: what they can tell, and what is refused with a way out."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import gelens
from gelens.data import adapted, load_data
from gelens.errors import UsageError
from tests.conftest import make_data, make_network

TENSOR, PIXELS = torch.zeros(3, 32, 32), np.zeros((32, 32, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)


class Own(Dataset):
    """Twelve items that a function makes."""

    def __init__(self, make, **attributes):
        self.make = make
        vars(self).update(attributes)

    def __len__(self):
        return 12

    def __getitem__(self, position):
        return self.make(position)


class Endless(IterableDataset):
    def __iter__(self):
        yield TENSOR, 1


def numbered(position: int):
    return TENSOR, position % 4


def test_what_a_data_set_of_ones_own_tells():
    plain = adapted(Own(numbered))
    assert plain.labels is None and plain.classes == () and plain.indices.tolist() == list(range(12))
    assert (plain.shape, plain.normalised, plain.name, plain.parts) == ((3, 32, 32), True, "Own", None)
    telling = Own(lambda position: (PICTURE, position % 4), targets=[p % 4 for p in range(12)], classes=list("abcd"))
    images = adapted(telling)
    assert images.labels.tolist() == [p % 4 for p in range(12)] and images.classes == ("a", "b", "c", "d")
    assert (images.shape, images.normalised, images.shared_side) == (None, False, 32)


def test_parts_and_unions_keep_labels_and_indices():
    data = Own(numbered, targets=[position % 4 for position in range(12)])
    part = adapted(Subset(data, [5, 2]))
    assert (part.labels.tolist(), part.indices.tolist()) == ([1, 2], [5, 2])
    both = adapted(ConcatDataset([data, Subset(data, [5, 2])]))
    assert both.labels.tolist()[-3:] == [3, 1, 2] and len(both) == 14
    assert adapted(DataLoader(data, 5)).labels.tolist() == adapted(data).labels.tolist()
    assert adapted(ConcatDataset([data, Own(numbered)])).labels is None


def test_images_by_reference_tell_everything():
    data = load_data("digits")
    images = adapted(data)
    assert (images.split, images.fingerprint, images.parts) == ("val", data.fingerprint, data.parts)
    assert images.labels is data.labels and images.side == images.shared_side == 32
    assert adapted(images) is images


def test_labels_that_are_whole_in_any_type():
    for label in (2, np.int32(2), torch.tensor(2), torch.tensor([2]), 2.0, True + 1):
        network = make_network("mini_resnet:classes=4")
        table = gelens.evaluate(network, Own(lambda position, label=label: (TENSOR, label)))
        assert table["images"].tolist() == [12]


@pytest.mark.parametrize("keys", [("image", "label"), ("img", "label"), ("pixel_values", "labels")])
def test_dictionaries_are_pairs(keys):
    """As data sets of the hub and their collators give them: item by item, and in batches of a DataLoader."""
    network = make_network("mini_resnet:classes=4")
    expected = gelens.evaluate(network, Own(numbered))
    named = Own(lambda position: dict(zip(keys, numbered(position), strict=True)))
    for data in (named, DataLoader(named, 5)):
        found = gelens.evaluate(network, data)
        assert found["top1_error"].tolist() == expected["top1_error"].tolist()


@pytest.mark.parametrize(
    "data, message",
    [
        (
            Own(lambda p: {"image": TENSOR, "y": 1}),
            r"gives dictionaries of 'image', 'y'; expected one key of image",
        ),
        (Own(lambda p: TENSOR), r"gives Tensor of shape \(3, 32, 32\); expected a list or Dataset of \(image, label\)"),
        (Own(lambda p: (TENSOR, torch.eye(4)[0])), r"labels of 4 values; .*one-hot label.*argmax"),
        (Own(lambda p: (TENSOR, [0, 1])), r"labels of 2 values"),
        (Own(lambda p: (TENSOR, "cat")), r"gives str 'cat' as a label; expected a whole number"),
        (Own(lambda p: (TENSOR, 0.5)), r"gives float 0\.5 as a label"),
        (Own(lambda p: (PIXELS, 1)), r"arrays of shape \(32, 32, 3\).*PIL\.Image\.fromarray"),
        (Own(lambda p: (TENSOR.permute(1, 2, 0), 1)), r"shape \(32, 32, 3\); .*image\.permute\(2, 0, 1\)"),
        (Own(lambda p: ("a.png", 1)), r"gives str 'a\.png' as an image; expected a PIL image"),
        (Own(numbered, targets=np.eye(12)), r"the `targets` of Own are of shape \(12, 12\); .*argmax\(1\)"),
        (
            Own(numbered, labels=list("abcdefghijkl")),
            r"the `labels` of Own are of type str32; expected one whole number",
        ),
        (TensorDataset(torch.zeros(8, 3, 4, 4), torch.eye(8)), r"labels .* of shape \(8, 8\).*argmax"),
        (TensorDataset(torch.zeros(8, 3, 4, 4)), r"expected a list or Dataset of \(image, label\)"),
        (DataLoader(Own(lambda p: {"x": TENSOR, "y": 1}), 4), r"DataLoader gives dictionaries of 'x', 'y'"),
        (
            Own(lambda p: {"image": 1, "img": 2, "label": 1}),
            r"dictionaries of 'image', 'img', 'label'; ",
        ),
        (DataLoader(Own(lambda p: (TENSOR, torch.eye(4)[0])), 4), r"labels of a batch are of shape \(1, 4\)"),
        (DataLoader(Own(lambda p: (PICTURE, 1)), 4), r"cannot make a batch of Own.*ToTensor.*the data set itself"),
        (DataLoader(Own(lambda p: (PIXELS, 1)), 4), r"shape \(1, 32, 32, 3\); .*permute\(0, 3, 1, 2\)"),
        (DataLoader(Own(numbered), 4, collate_fn=list), r"the DataLoader gives"),
        (DataLoader(Endless(), 4), "has no length"),
        (torch.zeros(2, 3, 32, 32), "data of type Tensor cannot be read here"),
        ({"image": 1}, "data of type dict cannot be read here"),
        (None, "data of type NoneType has no length"),
    ],
)
def test_what_is_refused_at_the_door(data, message):
    with pytest.raises(UsageError, match=message) as caught:
        load_data(data)
    assert "\n" not in str(caught.value)


def test_a_path_is_no_reference(tmp_path):
    with pytest.raises(UsageError, match=r"is a path; expected a reference, such as the text folder:"):
        load_data(tmp_path)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_found_only_later_is_one_line_too(workers):
    from gelens.data import batches

    late = Own(late_one_hot)
    with pytest.raises(UsageError, match=r"^Own gives labels of 2 values[^\n]*$"):
        list(batches(late, [(32, 1.0, "bilinear")], 4, workers))


def late_one_hot(position: int):
    return TENSOR, [0, 1] if position > 8 else 1


def test_tensors_of_unequal_sizes(quiet):
    data = Own(lambda position: (torch.zeros(3, 32 + position, 32), 1))
    with pytest.raises(UsageError, match="tensors of Own are of unequal sizes"):
        gelens.evaluate(make_network("mini_resnet"), data, quiet)


def test_a_block_given_as_text(quiet):
    with pytest.raises(
        UsageError, match=r"`blocks` to be a list of names, but got 'layer3\.0': write \[\"layer3\.0\"\]"
    ):
        gelens.selectivity(make_network("mini_resnet"), make_data(), blocks="layer3.0", options=quiet)


def test_unknown_labels_are_said_with_how_to_tell_them(quiet, caplog):
    caplog.set_level("INFO")
    gelens.selectivity(make_network("mini_resnet"), Own(numbered), blocks=["layer3.0"], options=quiet)
    assert "an attribute `targets`, a whole number for every image, tells them" in caplog.text


def test_arrays_of_images_and_labels(quiet):
    """As a tensor data set of the same; bytes as pictures of the same."""
    network = make_network("mini_resnet:classes=4")
    images, labels = torch.randn(12, 3, 32, 32), torch.arange(12) % 4
    pixels = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    pictures = [(Image.fromarray(each), int(label)) for each, label in zip(pixels, labels, strict=True)]
    for given, same in (
        ((images, labels), TensorDataset(images, labels)),
        ((images.numpy(), labels.numpy()), TensorDataset(images, labels)),
        ({"image": images, "label": labels}, TensorDataset(images, labels)),
        ((pixels, labels), pictures),
    ):
        tables = [gelens.selectivity(network, data, blocks=["layer3.0"], options=quiet) for data in (given, same)]
        pd.testing.assert_frame_equal(*tables)
    with pytest.raises(UsageError, match="12 images and 11 labels"):
        gelens.evaluate(network, (images, labels[:11]), quiet)
