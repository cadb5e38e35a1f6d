"""Tars as they come: cut short, several in a file, compressed; shards whose keys and labels are written otherwise."""

import bz2
import gzip
import io
import json
import logging
import lzma
import tarfile
from pathlib import Path

import pytest

from gelens.data import checked, load_data
from gelens.data.folders import patterns
from gelens.errors import RunError, UsageError
from tests.data.test_forms import picture, write_tar

braceexpand = pytest.importorskip("braceexpand")
webdataset = pytest.importorskip("webdataset")


def jpeg(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    picture(seed).save(buffer, "JPEG")
    return buffer.getvalue()


def members_in(path: Path, members: list[tuple[str, bytes]]) -> Path:
    """As `write_tar`, of names that may be there twice."""
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def shard(path: Path, members: dict[str, bytes]) -> str:
    return f"webdataset:{write_tar(path / 'a-0.tar', members)}"


def labelled(**labels: bytes) -> dict[str, bytes]:
    """A shard's members: an image a key, and its label."""
    return {
        name: each for key, label in labels.items() for name, each in ((f"{key}.jpg", jpeg()), (f"{key}.cls", label))
    }


def as_the_library_has_it(path: Path) -> list[dict]:
    return list(webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False))


def test_a_tar_that_was_cut_short_is_refused_wherever_it_was_cut(tmp_path):
    """At a member's edge Python's reader, and the library's, take what is there for all."""
    path = write_tar(tmp_path / "whole.tar", {f"cat/{number}.jpg": jpeg(number) for number in range(4)})
    with tarfile.open(path) as archive:
        edges = [member.offset for member in archive]
        end = archive.offset
    content = path.read_bytes()
    for size in [*edges[1:], edges[2] + 512, edges[3] + 700, end, end - 1, end + 511]:
        (tmp_path / "cut.tar").write_bytes(content[:size])
        for form in ("tar", "webdataset"):
            with pytest.raises(RunError, match=r"cut\.tar"):
                load_data(f"{form}:{tmp_path}/cut.tar")
    (tmp_path / "cut.tar").write_bytes(content[: edges[2]])
    with pytest.raises(RunError, match="cut short; fetch it or pack it again"):
        load_data(f"tar:{tmp_path}/cut.tar")
    for whole in (content, content[: end + 1024], content + bytes(10240 * 3)):
        (tmp_path / "other.tar").write_bytes(whole)
        assert len(load_data(f"tar:{tmp_path}/other.tar")) == 4


@pytest.mark.parametrize("zeros", [512, 30_000, 3_000_000])
def test_a_tar_that_goes_on_in_zeros_was_not_fetched_whole(tmp_path, zeros):
    """As a file is that a program made room for before it had its content."""
    path = write_tar(tmp_path / "whole.tar", {f"cat/{number}.jpg": jpeg(number) for number in range(4)})
    with tarfile.open(path) as archive:
        edge = archive.getmembers()[2].offset
    (tmp_path / "cut.tar").write_bytes(path.read_bytes()[:edge] + bytes(zeros))
    with pytest.raises(RunError, match=f"ends in {zeros} bytes of zeros, which no packer writes"):
        load_data(f"tar:{tmp_path}/cut.tar")


def test_several_tars_in_one_file_and_a_damaged_head(tmp_path):
    one, two = (write_tar(tmp_path / name, {f"{name}/1.jpg": jpeg(), f"{name}/2.jpg": jpeg()}) for name in ("a", "b"))
    (tmp_path / "both.tar").write_bytes(one.read_bytes() + two.read_bytes())
    with pytest.raises(RunError, match=r"goes on after the end of the tar at byte .*--ignore-zeros"):
        load_data(f"tar:{tmp_path}/both.tar")
    with tarfile.open(one) as archive:
        second = archive.getmembers()[1].offset
    content = bytearray(one.read_bytes())
    content[second + 3] ^= 1
    (tmp_path / "damaged.tar").write_bytes(content)
    with pytest.raises(RunError, match=f"no member begins at byte {second}"):
        load_data(f"tar:{tmp_path}/damaged.tar")


@pytest.mark.parametrize("form", ["tar", "webdataset"])
def test_compressed_ones_say_what_unpacks_them(tmp_path, form):
    content = write_tar(tmp_path / "a.tar", {"cat/1.jpg": jpeg(), "cat/1.cls": b"0"}).read_bytes()
    for name, packed in {"gunzip": gzip.compress, "bunzip2": bz2.compress, "unxz": lzma.compress}.items():
        (tmp_path / f"{name}.tar.z").write_bytes(packed(content))
        with pytest.raises(RunError, match=f"is no uncompressed tar; .*: unpack it by {name}$"):
            load_data(f"{form}:{tmp_path}/{name}.tar.z")


def test_a_folder_of_compressed_shards_says_so(tmp_path):
    (tmp_path / "val-0.tar.gz").write_bytes(b"")
    with pytest.raises(UsageError, match=r"no files val or test\*\.tar; `val-0\.tar\.gz` is compressed"):
        load_data(f"webdataset:{tmp_path}")


@pytest.mark.parametrize(
    "names",
    [
        [f"img.{number:03}.jpg" for number in range(50)],
        ["a.jpg", "a.2.jpg", "a.2.cls"],
        ["a.jpg", "a.png"],
        ["a.left.jpg", "a.right.jpg"],
    ],
)
def test_keys_that_collapse_several_images_into_one_are_refused(tmp_path, names):
    members = {name: b"1" if name.endswith("cls") else jpeg() for name in names} | {
        f"{names[0].split('.')[0]}.cls": b"1"
    }
    reference = shard(tmp_path, members)
    assert len(as_the_library_has_it(tmp_path / "a-0.tar")) == 1
    with pytest.raises(
        RunError, match=r"images of the key `(img|a)`, which ends at the first dot: (img|a)\..*expected one"
    ):
        load_data(reference)


def test_a_single_image_whose_name_has_dots_and_masks_beside_one(tmp_path):
    members = {"a.photo.jpg": jpeg(1), "a.cls": b"2", "b.jpg": jpeg(2), "b.mask.png": jpeg(3), "b.cls": b"0"}
    data = load_data(shard(tmp_path, members | {"x.y/c.jpg": jpeg(4), "x.y/c.cls": b"1"}))
    assert list(data.identifiers) == ["a.photo.jpg", "b.jpg", "x.y/c.jpg"] and data.labels.tolist() == [2, 0, 1]
    keys = [sample["__key__"] for sample in as_the_library_has_it(tmp_path / "a-0.tar")]
    assert keys == ["a", "b", "x.y/c"]


@pytest.mark.parametrize("again", ["0.jpg", "0.JPG", "0.cls", "0.CLS", "./0.jpg"])
def test_two_files_of_one_name_are_refused_as_by_the_library(tmp_path, again):
    path = members_in(tmp_path / "a-0.tar", [("0.jpg", jpeg(1)), ("0.cls", b"1"), (again, b"2")])
    if not again.startswith("."):
        with pytest.raises(ValueError, match="duplicate file name"):
            as_the_library_has_it(path)
    with pytest.raises(RunError, match="two files"):
        load_data(f"webdataset:{path}")


def test_files_of_one_key_that_lie_apart(tmp_path):
    members = [(f"{number}.jpg", jpeg(number)) for number in range(3)]
    members += [(f"{number}.cls", str(2 - number).encode()) for number in range(3)]
    data = load_data(f"webdataset:{members_in(tmp_path / 'a-0.tar', members)}")
    assert list(data.identifiers) == ["0.jpg", "1.jpg", "2.jpg"] and data.labels.tolist() == [2, 1, 0]


@pytest.mark.parametrize("text", ["3", "3.0", " 3\n", "\ufeff3"])
@pytest.mark.parametrize("kind", ["cls", "txt", "json"])
def test_whole_numbers_as_they_are_written(tmp_path, text, kind):
    if kind == "json":
        text = json.dumps({"label": text.strip("\ufeff")})
    data = load_data(shard(tmp_path, {"a.jpg": jpeg(), f"a.{kind}": text.encode()}))
    assert data.labels.tolist() == [3] and not data.faults
    data = load_data(shard(tmp_path, {"a.jpg": jpeg(), "a.json": b'{"label": 3.0, "text": "a tench"}'}))
    assert data.labels.tolist() == [3]


@pytest.mark.parametrize("kind", ["cls", "json"])
def test_labels_that_are_names(tmp_path, kind):
    names = {"a": "tench", "b": "cock", "c": "tench"}
    told = {
        f"{key}.{kind}": (json.dumps({"label": name}) if kind == "json" else name).encode()
        for key, name in names.items()
    }
    data = load_data(shard(tmp_path, told | {f"{key}.jpg": jpeg() for key in names}))
    assert [data.classes[label] for label in data.labels] == list(names.values()) and data.classes == ["cock", "tench"]
    data = load_data(shard(tmp_path, labelled(a=b"n01440764", b=b"n02979186")))
    assert data.as_imagenet().labels.tolist() == [0, 482]


def test_what_is_neither_a_number_nor_a_name(tmp_path):
    data = load_data(shard(tmp_path, {"a.jpg": jpeg(), "a.txt": b"a photo of a tench"}))
    assert "its .txt is 'a photo of a tench'; expected a whole number; no .cls and no .json" in data.faults["a.jpg"]
    members = labelled(a=b"tench", b=b"1", c=b"1.5", d=b"x" * 300, e=b"1e999", f=b"nan")
    data = load_data(shard(tmp_path, members | {"g.jpg": jpeg(), "g.json": b'{"label": ' + b"1" * 400 + b"}"}))
    assert data.labels.tolist() == [1] and len(data.faults) == 6
    assert "it has the name `tench`, where others have whole numbers" in data.faults["a.jpg"]
    with pytest.raises(RunError, match="6 images of"):
        checked(data, progress=False)


def test_hidden_files_and_samples_without_an_image(tmp_path, caplog):
    caplog.set_level(logging.INFO, "gelens")
    junk = {"__MACOSX/._a.jpg": b"x", "._a.jpg": b"x", ".DS_Store": b"x", "b.heic": b"x", "b.cls": b"0", "README": b"x"}
    data = checked(load_data(shard(tmp_path, labelled(a=b"0") | junk)), progress=False)
    assert list(data.identifiers) == ["a.jpg"]
    assert "3 hidden files" in caplog.text and "1 of .heic" in caplog.text


@pytest.mark.parametrize(
    "text",
    ["a-{000..012}.tar", "a-{8..11}.tar", "{a,b}-{1..2}.tar", "{09..10}", "plain", "a{b}c", "{,x}y", "{a,b}{c,d}"],
)
def test_braces_are_those_of_the_library(text):
    assert list(patterns(text)) == list(braceexpand.braceexpand(text))


def test_shards_by_braces_and_by_several_patterns(tmp_path):
    for number in range(3):
        write_tar(tmp_path / f"s-{number:03}.tar", labelled(a=str(number).encode()))
    for pattern, labels in {
        "s-{000..002}.tar": [0, 1, 2],
        "s-{002,000}.tar": [2, 0],
        f"s-002.tar::{tmp_path}/s-00[01].tar": [2, 0, 1],
        f"s-*.tar::{tmp_path}/s-001.tar": [0, 1, 2],
    }.items():
        assert load_data(f"webdataset:{tmp_path}/{pattern}").labels.tolist() == labels
    write_tar(tmp_path / "{a,b}.tar", labelled(a=b"7"))
    assert load_data(f"webdataset:{tmp_path}/{{a,b}}.tar").labels.tolist() == [7], "a file may be called so"
    with pytest.raises(
        UsageError, match=r"no files `.*s-003\.tar`, of `.*s-\{000\.\.003\}\.tar`; expected webdataset:GLOB"
    ):
        load_data(f"webdataset:{tmp_path}/s-{{000..003}}.tar")


def test_shards_of_one_name_in_several_folders(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write_tar(tmp_path / folder / "0.tar", labelled(a=b"0"))
    assert list(load_data(f"webdataset:{tmp_path}/*/0.tar").identifiers) == ["x/0.tar/a.jpg", "y/0.tar/a.jpg"]
