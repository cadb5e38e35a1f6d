"""Parquet as other programs write it: plain bytes, every type of text and number, two classes of one name."""

import io
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from timm.data import ImageNetInfo

from gelens.data import checked, load_data
from gelens.errors import UsageError
from gelens.training import train
from tests.data.test_forms import picture


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    picture(seed).save(buffer, "JPEG")
    return buffer.getvalue()


CONTENTS = [jpeg(seed) for seed in range(3)]
STORED = pa.array([{"bytes": each, "path": None} for each in CONTENTS])


def parquet(path, **columns) -> str:
    pq.write_table(pa.table(columns), path / "a.parquet")
    return f"parquet:{path}/a.parquet"


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()], ids=str)
@pytest.mark.parametrize("name", ["image", "image_bytes", "content"])
@pytest.mark.parametrize("within", [False, True])
def test_images_as_plain_bytes_of_every_type(tmp_path, kind, name, within):
    """Or in a structure; by the column's name, or because no other has bytes."""
    column = pa.array(CONTENTS, kind)
    column = pa.StructArray.from_arrays([column], ["bytes"]) if within else column
    columns = {"key": pa.array(["x", "y", "z"]), name: column, "label": pa.array([2, 0, 1])}
    data = checked(load_data(parquet(tmp_path, **columns)), progress=False)
    assert data.labels.tolist() == [2, 0, 1]
    for (image, *_), content in zip(data, CONTENTS, strict=True):
        assert np.array_equal(np.asarray(image), np.asarray(Image.open(io.BytesIO(content))))


def test_which_of_several_columns_has_the_images_is_not_guessed(tmp_path):
    columns = {"before": pa.array(CONTENTS), "after": pa.array(CONTENTS), "label": pa.array([2, 0, 1])}
    with pytest.raises(UsageError, match=r"columns before, after, label; expected one of images \(image, img, jpg"):
        load_data(parquet(tmp_path, **columns))
    data = load_data(parquet(tmp_path, mask=columns["after"], image_bytes=columns["before"], label=columns["label"]))
    assert data[0][0].size == picture(0).size


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())], ids=str
)
def test_names_of_every_type_of_text(tmp_path, kind):
    data = load_data(parquet(tmp_path, image=STORED, label=pa.array(["wren", None, "cat"]).cast(kind)))
    assert data.classes == ["cat", "wren"] and data.labels.tolist() == [1, 0] and len(data.faults) == 1


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64(), pa.decimal128(12, 2), pa.uint8()], ids=str)
def test_whole_numbers_of_every_type(tmp_path, kind):
    """pandas makes numbers with a point of labels that some rows lack."""
    labels = pa.array([11.0, None, 2.0]).cast(kind)
    data = load_data(parquet(tmp_path, image=STORED, label=labels))
    assert data.labels.tolist() == [11, 2] and data.classes == [str(label) for label in range(12)]
    assert list(data.faults.values()) == ["it has no label"]
    if pa.types.is_floating(kind):
        not_a_number = pa.array(np.array([11, np.nan, 2], dtype=kind.to_pandas_dtype()))
        assert load_data(parquet(tmp_path, image=STORED, label=not_a_number)).labels.tolist() == [11, 2]


@pytest.mark.parametrize("value", [1.5, float("inf"), -float("inf"), 1e300])
def test_numbers_that_are_no_labels_are_named(tmp_path, value):
    with pytest.raises(UsageError, match=re.escape(f"column label has the value {value:g} in row 1; expected whole")):
        load_data(parquet(tmp_path, image=STORED, label=pa.array([0.0, value, 1.0])))


def test_names_that_are_numbers_are_in_their_order(tmp_path):
    data = load_data(parquet(tmp_path, image=STORED, label=pa.array(["10", "2", "0"])))
    assert data.classes == ["0", "2", "10"] and data.labels.tolist() == [2, 1, 0]


def of_classes(path, names, labels, **more) -> str:
    """With the classes' names as the package `datasets` keeps them, which refuses two of one name."""
    features = {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    features |= {key: {"names": ["x", "y", "z"], "_type": "ClassLabel"} for key in more}
    ordered = {"image": features["image"], **{key: features[key] for key in more}, "label": features["label"]}
    stored = STORED.cast(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    table = pa.table({"image": stored, **more, "label": pa.array(labels)})
    told = json.dumps({"info": {"features": ordered}})
    pq.write_table(table.replace_schema_metadata({"huggingface": told}), path / "a.parquet")
    return f"parquet:{path}/a.parquet"


def test_two_classes_of_one_name_stay_two(tmp_path):
    data = load_data(of_classes(tmp_path, ["crane", "tench", "crane"], [2, 1, 0]))
    assert data.classes == ["crane (0)", "tench", "crane (2)"] and data.labels.tolist() == [2, 1, 0]
    info = ImageNetInfo("imagenet-1k")
    firsts = [info.index_to_description(label).split(",")[0] for label in range(1000)]
    data = load_data(of_classes(tmp_path, firsts, [134, 517, 0]))
    assert [data.synsets[label] for label in data.labels] == ["n02012849", "n03126707", "n01440764"]
    assert len(set(data.classes)) == 1000


def test_the_column_that_is_called_label_has_the_labels(tmp_path, caplog):
    caplog.set_level("INFO", "gelens")
    data = load_data(of_classes(tmp_path, ["cat", "dog", "wren"], [2, 1, 0], source=pa.array([0, 0, 0])))
    assert data.classes == ["cat", "dog", "wren"] and data.labels.tolist() == [2, 1, 0]
    assert "the labels are column label, of source, label" in caplog.text


def test_splits_that_number_their_classes_apart(tmp_path):
    """Names in a column tell the classes of its split alone: what is validated gets the labels of training."""
    pq.write_table(pa.table({"image": STORED, "label": ["bear", "cat", "dog"]}), tmp_path / "train.parquet")
    pq.write_table(pa.table({"image": STORED, "label": ["dog", "dog", "cat"]}), tmp_path / "val.parquet")
    training, validation = (load_data(f"parquet:{tmp_path}#{split}") for split in ("train", "val"))
    fitted = validation.labelled_as(training.classes)
    assert [fitted.classes[label] for label in fitted.labels] == ["dog", "dog", "cat"]
    assert fitted.labels.tolist() == [2, 2, 1] and training.labelled_as(training.classes) is training
    pq.write_table(pa.table({"image": STORED, "label": ["dog", "eel", "cat"]}), tmp_path / "val.parquet")
    with pytest.raises(UsageError, match=r"has the class `eel`, which is not among bear, cat, dog"):
        train("mini_resnet", f"parquet:{tmp_path}", tmp_path / "run", progress=False)


def test_only_a_list_of_classes_says_which_label_is_whose(tmp_path):
    """Names in a column are in an order that was made here, as folders are; see `gelens.subjects.fit_classes`."""
    assert load_data(parquet(tmp_path, image=STORED, label=["b", "a", "c"])).by_name
    assert not load_data(of_classes(tmp_path, ["cat", "dog", "wren"], [2, 1, 0])).by_name
