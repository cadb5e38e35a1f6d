"""A place without the form of what is there: what was meant is said, and it can be read."""

import io
import re

import pytest

from gelens.data import load_data
from gelens.data.cached import write_cache
from gelens.errors import UsageError
from tests.data.test_forms import GEOMETRY, every_form, files, picture, write, write_tar  # noqa: F401


def meant(reference: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_data(reference)
    return re.search("did you mean `(.*)`", str(caught.value))[1]


def test_places_of_every_form(tmp_path, files, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    every_form(tmp_path, files)
    write_cache(load_data("folder:plain"), GEOMETRY, tmp_path / "a.cache", progress=False)
    (tmp_path / "lone").mkdir()
    write_tar(tmp_path / "lone" / "train.tar", files | {"README.txt": b"x"})
    for place, reference in {
        "plain": "folder:plain",
        "./plain/": "folder:./plain/",
        "torchvision#val": "folder:torchvision#val",
        "mine=plain": "folder:plain",
        "flat": "imagenet:flat",
        "images.tar": "tar:images.tar",
        "lone": "tar:lone/train.tar",
        "shards": "webdataset:shards",
        "shards/val-000.tar": "webdataset:shards/val-000.tar",
        "shards/*.tar": "webdataset:shards/*.tar",
        "hub": "parquet:hub",
        "hub/data/*.parquet": "parquet:hub/data/*.parquet",
        "a.cache": "cache:a.cache",
    }.items():
        assert meant(place) == reference
        assert len(load_data(reference))


def test_class_folders_beside_archives_and_hidden_files(tmp_path, monkeypatch):
    buffer = io.BytesIO()
    picture(0).save(buffer, "JPEG")
    monkeypatch.chdir(
        write(tmp_path, {"set/train/cat/1.jpg": buffer.getvalue(), "set/.x/1.jpg": b"x", "set/a.tar": b""})
    )
    assert meant("set") == "folder:set"


def test_where_nothing_is_the_forms_are_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path, {"notes/a.txt": b"x"}))
    for place in ("notes", "nothing", "notes/a.txt"):
        with pytest.raises(UsageError, match=rf"no data `{place}`.* Valid: digits, ") as caught:
            load_data(place)
        assert "did you mean" not in str(caught.value)
