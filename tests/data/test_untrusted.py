"""Images and labels from strangers: nothing is run, nothing else is read, and small files take little memory."""

import io
import os
import re
import resource
import socket
import stat
import struct
import sys
import tarfile
import time
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from gelens.data import adapted, checked, decoding, load_data, parquet, preprocessing_for
from gelens.data.checking import bad_images
from gelens.errors import RunError, UsageError
from gelens.networks.preprocessing import Preprocessing
from tests.data.test_forms import SYNSETS, every_form, files, picture, write, write_parquet, write_tar  # noqa: F401
from tests.fuzz.kinds import cache_files


def png(width: int, height: int, colour: int = 2) -> bytes:
    """A PNG of one colour, made row by row: a small file of any size of picture."""
    channels = {0: 1, 2: 3, 6: 4}[colour]
    packed, row = zlib.compressobj(9), bytes(1 + width * channels)
    content = b"".join(packed.compress(row) for _ in range(height)) + packed.flush()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


@contextmanager
def growing_by_at_most(size: int):
    """The memory that is touched inside does not grow by more bytes."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = peak()
    yield
    assert peak() - before < size, f"{(peak() - before) / 2**20:.0f} MiB"


def peak() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def eps(tmp_path: Path) -> bytes:
    buffer = io.BytesIO()
    picture(0).save(buffer, "EPS")
    return buffer.getvalue()


def with_images(tmp_path: Path, contents: dict[str, bytes], form: str) -> str:
    """A reference to given contents in a form that keeps files."""
    named = {f"{SYNSETS[0]}/{name}": content for name, content in contents.items()}
    if form == "folder":
        return f"folder:{write(tmp_path / 'a folder', named)}"
    if form == "tar":
        return f"tar:{write_tar(tmp_path / 'a.tar', named)}"
    return f"parquet:{write_parquet(tmp_path / 'a.parquet', named)}"


@pytest.mark.parametrize("form", ["folder", "tar", "parquet"])
def test_postscript_by_another_name_starts_nothing(tmp_path, monkeypatch, form):
    """Pillow would give an EPS to Ghostscript, whatever the file is called."""
    fake = tmp_path / "bin" / "gs"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    data = load_data(with_images(tmp_path, {"good.png": png(8, 8), "bad.jpg": eps(tmp_path)}, form))
    assert bad_images(data, thorough=True, progress=False) == {
        next(name for name in data.identifiers if "bad" in name): "it is no image"
    }
    with pytest.raises(RunError, match="it is no image"):
        [data[position] for position in range(2)]
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "PPM", "TIFF", "WEBP", "GIF", "MPO"])
def test_the_formats_of_photographs_are_read(tmp_path, form):
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": [picture(2)]} if form == "MPO" else {}
    picture(1).save(buffer, form, **more)
    data = load_data(with_images(tmp_path, {"a.png": buffer.getvalue()}, "folder"))
    assert data[0][0].size == picture(1).size


@pytest.mark.parametrize("form", ["folder", "tar", "parquet"])
@pytest.mark.parametrize("size, why", [((9800, 9800), "96 megapixels"), ((1, 20_000), "20000 times as long as wide")])
def test_pictures_that_unpack_to_too_much_are_refused_before_they_are_decoded(tmp_path, form, size, why):
    content = png(*size, colour=0)
    assert len(content) < 200_000
    data = load_data(with_images(tmp_path, {"big.png": content, "small.png": png(8, 8)}, form))
    found = bad_images(data, progress=False)
    assert len(found) == 1 and why in next(iter(found.values()))
    assert next(iter(found)).endswith("big.png")


def jpeg(width: int, height: int, scans: int = 0) -> bytes:
    """A grey progressive JPEG: a head, then so many scans that say nothing."""
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    table = b"\xff\xdb" + struct.pack(">HB", 67, 0) + b"\1" * 64
    codes = b"\xff\xc4" + struct.pack(">HB", 20, 0) + bytes([1, *[0] * 15, 0])
    scan = b"\xff\xda" + struct.pack(">H", 8) + b"\1\1\0\0\0\0"
    return b"\xff\xd8" + table + codes + frame + scan * scans + b"\xff\xd9"


@pytest.mark.parametrize("form", ["folder", "tar", "parquet"])
@pytest.mark.parametrize(
    "content, why",
    [
        (jpeg(9000, 9000, 1), r"bytes for 9000 × 9000 pixels; expected at least 79101: it is cut short"),
        (jpeg(64, 64, 3000), "it has 3000 scans; expected at most 100"),
    ],
    ids=["bytes", "scans"],
)
def test_jpegs_that_take_long_for_their_bytes_are_refused(tmp_path, form, content, why):
    data = load_data(with_images(tmp_path, {"a.jpg": content}, form))
    with pytest.raises(RunError, match=why):
        data[0]
    (found,) = bad_images(data, thorough=True, progress=False).values()
    assert re.search(why, found)


def test_honest_jpegs_have_bytes_enough(tmp_path):
    """Of one colour, as small as Pillow makes them: each kind, each sampling of colours."""
    for number, (mode, more) in enumerate(
        (mode, {"progressive": progressive, "optimize": True, "subsampling": sampling, "quality": quality})
        for mode in ("L", "RGB")
        for progressive in (False, True)
        for sampling in ("4:4:4", "4:2:0")
        for quality in (1, 95)
    ):
        buffer = io.BytesIO()
        Image.new(mode, (2000, 1500)).save(buffer, "JPEG", **more)
        write(tmp_path, {f"a/{number:02}.jpg": buffer.getvalue()})
    data = load_data(f"folder:{tmp_path}")
    assert len(data) == 16 and not bad_images(data, thorough=True, progress=False)


def test_large_pictures_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    """Sixteen threads look at images at once."""
    data = load_data(with_images(tmp_path, {f"{n}.png": png(2000, 2000) for n in range(12)}, "folder"))
    under_way, most, convert = [], [], Image.Image.convert

    def slowly(self, *arguments):
        under_way.append(self)
        most.append(len(under_way))
        time.sleep(0.01)
        under_way.remove(self)
        return convert(self, *arguments)

    monkeypatch.setattr(decoding, "LARGE", 1_000_000)
    monkeypatch.setattr(Image.Image, "convert", slowly)
    assert not bad_images(data, thorough=True, progress=False)
    assert max(most) == 1 and len(most) == 12
    monkeypatch.setattr(decoding, "LARGE", 10**9)
    bad_images(data.subset(range(11)), thorough=True, progress=False)
    assert max(most) > 1


@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "folder"])
def test_what_is_no_regular_file_is_never_opened(tmp_path, files, kind):  # noqa: F811
    """A pipe would be waited for, a device never ends."""

    def put(path: Path) -> Path:
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "socket":
            folder = os.getcwd()
            os.chdir(path.parent)  # a socket's path is short
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path.name)
            os.chdir(folder)
        else:
            path.mkdir()
        return path

    for reference in (
        f"tar:{put(tmp_path / 'a.tar')}",
        f"webdataset:{put(tmp_path / 'b-1.tar')}",
        f"parquet:{put(tmp_path / 'c.parquet')}",
        f"cache:{put(tmp_path / 'd.npy')}",
    ):
        with pytest.raises((UsageError, RunError)):
            load_data(reference)
    plain = write(tmp_path / "plain", files)
    put(plain / SYNSETS[0] / "zzz.png")
    data = load_data(f"folder:{plain}")
    if kind != "folder":
        with pytest.raises(RunError, match=r"zzz\.png.*no such file"):
            checked(data)
        with pytest.raises(RunError, match="cannot be read"):
            data[list(data.identifiers).index(f"{SYNSETS[0]}/zzz.png")]
    flat = write(
        tmp_path / "flat", {f"ILSVRC2012_val_{n:08}.JPEG": content for n, content in enumerate(files.values())}
    )
    put(flat / "val.txt")
    with pytest.raises(UsageError, match="in no class folders"):
        load_data(f"imagenet:{flat}")


def test_a_file_that_becomes_a_pipe_is_not_waited_for(tmp_path, files):  # noqa: F811
    plain = write(tmp_path / "plain", files)
    data = load_data(f"folder:{plain}")
    first = plain / data.identifiers[0]
    first.unlink()
    os.mkfifo(first)
    with pytest.raises(RunError, match="no regular file"):
        data[0]


def write_columns(path: Path, **columns: pa.Array) -> str:
    pq.write_table(pa.table(columns), path)
    return f"parquet:{path}"


def images_of(rows: list[dict]) -> pa.Array:
    return pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def test_no_path_and_no_address_in_a_table_is_opened(tmp_path, monkeypatch):
    """Neither of the column of images nor of another, which the library would decode beside it."""
    from datasets import ClassLabel, Features
    from datasets import Image as ImageColumn

    secret = tmp_path / "secret.png"
    picture(3).save(secret)
    rows = [{"bytes": png(8, 8), "path": str(secret)}] * 2 + [{"bytes": None, "path": str(secret)}]
    rows.append({"bytes": None, "path": "http://localhost:9/a.png"})
    others = [{"bytes": None, "path": path} for path in (str(secret), "http://localhost:9/b.png") * 2]
    features = Features({"image": ImageColumn(), "label": ClassLabel(names=["a", "b"]), "mask": ImageColumn()})
    table = pa.table({"image": rows, "label": [0, 1, 0, 1], "mask": others}, features.arrow_schema)
    pq.write_table(table, tmp_path / "a.parquet")
    data = load_data(f"parquet:{tmp_path / 'a.parquet'}")
    opened = []
    sys.addaudithook(lambda event, args: opened.append(args) if watching and event in WATCHED else None)
    watching, WATCHED = [True], ("open", "socket.connect", "socket.getaddrinfo")
    assert data[0][0].size == (8, 8) and data[1][0].size == (8, 8)
    for position in (2, 3):
        with pytest.raises(RunError, match="cannot be read"):
            data[position]
    watching.clear()
    assert not [args for args in opened if "secret" in str(args) or "localhost" in str(args)]
    assert set(bad_images(data, progress=False).values()) == {"there is no such file"}


def test_names_of_parquet_files_are_no_addresses(tmp_path):
    folder = tmp_path / "set"
    (folder / "val::http:" / "localhost:9").mkdir(parents=True)
    write_columns(folder / "val::http:" / "localhost:9" / "val.parquet", image=images_of([]), label=pa.array([0][:0]))
    with pytest.raises(UsageError, match="::"):
        load_data(f"parquet:{folder}")


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """What the package converts goes into a folder of the test's."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def bomb(path: Path, content: bytes, rows: int) -> Path:
    """A parquet file in which one value of a dictionary stands in every row."""
    path.parent.mkdir(exist_ok=True, parents=True)
    same = pa.array(np.zeros(rows, np.int32))
    fields = [pa.DictionaryArray.from_arrays(same, pa.array([each])) for each in (content, "a.png")]
    images = pa.StructArray.from_arrays(fields, ["bytes", "path"])
    table = pa.table({"image": images, "label": pa.array(np.zeros(rows, np.int64))})
    pq.write_table(table, path, compression="zstd", store_schema=False)
    return path


@pytest.mark.parametrize("form", ["parquet", "hf"])
def test_a_table_that_unpacks_to_too_much_is_refused_before_it_is_converted(tmp_path, own_cache, form):
    path = bomb(tmp_path / "b" / "validation.parquet", bytes(2**20), 1500)
    assert path.stat().st_size < 2000
    location = {"parquet": path, "hf": path.parent}[form]
    said = r"`validation\.parquet` unpacks to \d{9} bytes or more; expected at most 268435456 of a file of \d+ bytes"
    with growing_by_at_most(2**29), pytest.raises(RunError, match=said):
        load_data(f"{form}:{location}")
    assert not list(own_cache.rglob("*.arrow"))


def test_a_table_of_the_same_picture_many_times_is_read(tmp_path, own_cache):
    picture = png(40, 30)
    path = bomb(tmp_path / "a.parquet", picture, 5000)
    assert 5000 * len(picture) > 100 * path.stat().st_size
    data = load_data(f"parquet:{path}")
    assert len(data) == 5000 and data[4999][0].size == (40, 30)
    before = {each: each.stat().st_mtime_ns for each in own_cache.rglob("*.arrow")}
    assert len(load_data(f"parquet:{path}")) == 5000 and before
    assert before == {each: each.stat().st_mtime_ns for each in own_cache.rglob("*.arrow")}


@pytest.mark.parametrize("where", ["https://example.org/a.parquet", "zip://a::http://example.org/a.zip", "../x.csv"])
@pytest.mark.parametrize("note", ["README.md", ".huggingface.yaml"])
def test_a_folder_whose_notes_name_files_elsewhere_is_refused(tmp_path, monkeypatch, own_cache, where, note):
    def refuse(*arguments):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    head = f"configs:\n- config_name: default\n  data_files:\n  - split: validation\n    path: {where}\n"
    folder = write(tmp_path / "hub", {note: (f"---\n{head}---\n" if note == "README.md" else head).encode()})
    with pytest.raises(UsageError, match="is not in the folder; expected files in it"):
        load_data(f"hf:{folder}")


def test_a_folder_whose_notes_name_its_own_files_is_read(tmp_path, own_cache):
    head = "configs:\n- config_name: default\n  data_files:\n  - split: validation\n    path: data/*.parquet\n"
    folder = write(tmp_path / "hub", {"README.md": f"---\n{head}---\nSee https://example.org".encode()})
    (folder / "data").mkdir()
    write_parquet(folder / "data" / "x.parquet", {f"{SYNSETS[0]}/a.png": png(8, 8)})
    assert len(load_data(f"hf:{folder}")) == 1


@pytest.mark.parametrize("name", ["pandas", "csv", "imagefolder", "parquet", "generator"])
def test_builders_of_the_package_are_no_data_sets(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"`{name}`.*no data set.*OWNER/NAME"):
        load_data(f"hf:{name}")


def test_an_older_package_that_would_unpickle_is_refused(monkeypatch, tmp_path, files):  # noqa: F811
    import datasets as package

    path = write_parquet(tmp_path / "a.parquet", files)
    monkeypatch.setattr(package, "__version__", "3.6.0")
    for reference in (f"parquet:{path}", "hf:owner/name"):
        with pytest.raises(UsageError, match=r"datasets 3\.6\.0.*pip install"):
            load_data(reference)
    monkeypatch.setattr(package, "__version__", parquet.SAFE)
    assert len(load_data(f"parquet:{path}")) == 9


@pytest.mark.parametrize(
    "labels, message",
    [
        (pa.array([2**63 + 5, 1], pa.uint64()), "has the label 9223372036854775813"),
        (pa.array([2**64 - 1, 1], pa.uint64()), "has the label"),
        (pa.array([0.5, 1.5]), "whole numbers or class names"),
        (pa.array([[0], [1]]), "whole numbers or class names"),
        (pa.array([None, None], pa.null()), "whole numbers or class names|no labels"),
        (pa.array(["a", None]), None),
        (pa.array([b"a", b"b"]), "whole numbers or class names"),
    ],
)
def test_labels_of_every_type_in_a_table(tmp_path, labels, message):
    rows = images_of([{"bytes": png(8, 8), "path": None}] * 2)
    reference = write_columns(tmp_path / "a.parquet", image=rows, label=labels)
    if message is None:
        assert len(load_data(reference)) == 1
    else:
        with pytest.raises(UsageError, match=message):
            load_data(reference)


def test_labels_beyond_the_names_of_a_table(tmp_path):
    """A label's class is asked for by its number everywhere."""
    from datasets import ClassLabel, Dataset, Features
    from datasets import Image as ImageColumn

    features = Features({"image": ImageColumn(), "label": ClassLabel(names=["a", "b"])})
    rows = {"image": [{"bytes": png(8, 8), "path": None}] * 2, "label": [0, 1]}
    table = Dataset.from_dict(rows, features=features)
    stored = table.data.table.set_column(1, pa.field("label", pa.int64()), pa.array([0, 7]))
    pq.write_table(stored.replace_schema_metadata(table.data.schema.metadata), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match=r"label 7.*2 classes"):
        load_data(f"parquet:{tmp_path / 'a.parquet'}")


def test_labels_of_ones_own_data_that_int64_cannot_hold():
    class Own(torch.utils.data.Dataset):
        targets = np.array([2**63 + 1, 0], dtype=np.uint64)

        def __len__(self):
            return 2

        def __getitem__(self, position):
            return torch.zeros(3, 8, 8), 0

    with pytest.raises(UsageError, match="9223372036854775809"):
        adapted(Own())
    Own.targets = [float("inf"), 0.0]
    with pytest.raises(UsageError, match="inf"):
        adapted(Own())


def member(name: str, size: int = 0, **changes) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size = size
    for key, value in changes.items():
        setattr(made, key, value)
    return made


def raw_tar(path: Path, *parts: tuple[tarfile.TarInfo, bytes]) -> Path:
    """Heads and contents as they are given, which need not fit each other."""
    with path.open("wb") as file:
        for head, content in parts:
            file.write(head.tobuf(tarfile.GNU_FORMAT))
            file.write(content + bytes(-len(content) % 512))
        file.write(bytes(1024))
    return path


@pytest.mark.parametrize("size", [10**6, 2**40, 2**62, 2**63 + 1, 2**80, -1, -512, -(2**40)])
@pytest.mark.parametrize("form", ["tar", "webdataset"])
def test_members_whose_size_is_a_lie(tmp_path, size, form):
    content = png(8, 8)
    parts = [(member("a/1.png", len(content)), content), (member("a/1.cls", 1), b"0")]
    path = raw_tar(tmp_path / "a-1.tar", *parts, (member("a/2.png", size), content), (member("a/2.cls", 1), b"0"))
    try:
        data = load_data(f"{form}:{path}")
    except RunError:
        return
    with pytest.raises(RunError):
        checked(data)


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g", b"X"])
@pytest.mark.parametrize("form", ["tar", "webdataset"])
def test_heads_of_gigabytes_are_not_read(tmp_path, kind, form):
    """A long name, or attributes, of 6 GiB in a file of holes."""
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = kind, 6 * 2**30
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        file.truncate(6 * 2**30 + 4096)
    with growing_by_at_most(2**28), pytest.raises(RunError, match="a head of 6442451456 bytes; expected at most"):
        load_data(f"{form}:{tmp_path}/a.tar")


def test_heads_of_many_pieces_are_bounded_together(tmp_path):
    with (tmp_path / "a.tar").open("wb") as file:
        for _ in range(200):
            name = tarfile.TarInfo("././@LongLink")
            name.type, name.size = tarfile.GNUTYPE_LONGNAME, 10_000
            file.write(name.tobuf(tarfile.GNU_FORMAT) + (b"x" * 9000).ljust(10_240, b"\0"))
    with pytest.raises(RunError, match=r"a head of \d+ bytes; expected at most 1048576"):
        load_data(f"tar:{tmp_path}/a.tar")


def test_names_of_a_thousand_characters_are_read(tmp_path):
    named = {f"{'d' * 200}/{'e' * 200}/{number:03}{'x' * 600}.png": png(8, 8) for number in (0, 1)}
    write_tar(tmp_path / "a.tar", named)
    assert len(load_data(f"tar:{tmp_path}/a.tar")) == 2


def test_sparse_members_are_refused(tmp_path):
    """A header of a few bytes says that there are gigabytes of zeros."""
    head = member("a/1.png", 512, type=tarfile.GNUTYPE_SPARSE)
    buffer = bytearray(head.tobuf(tarfile.GNU_FORMAT))
    buffer[386:398], buffer[398:410] = b"00000000000\0", b"00000001000\0"
    buffer[483:495] = b"77777777777\0"
    buffer[148:156] = b" " * 8
    buffer[148:156] = f"{sum(buffer):06o}\0 ".encode()
    path = tmp_path / "a.tar"
    content = png(8, 8)
    good = member("a/0.png", len(content)).tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)
    path.write_bytes(good + bytes(buffer) + bytes(512) + bytes(1024))
    data = load_data(f"tar:{path}")
    assert "sparse" in data.faults["a/1.png"] and len(data) == 1


@pytest.mark.parametrize(
    "name, content, why",
    [
        ("json", b'{"label": ' + b"[" * 100_000, "nested"),
        ("json", b'{"label": 1e400}', "too large"),
        ("json", b'{"label": 1.5}', "whole number"),
        ("json", b'{"label": true}', "whole number"),
        ("json", b"[]", "label"),
        ("json", b"\xff\xfe", "Expecting value|decode"),
        ("cls", b"9" * 5000, "whole number"),
        ("cls", b"", "whole number"),
        ("cls", b"\xff", "whole number"),
        ("cls", b"0" * 2_000_000, "bytes"),
    ],
)
def test_labels_of_shards_that_are_none(tmp_path, name, content, why):
    shard = {"1.png": png(8, 8), f"1.{name}": content, "2.png": png(8, 8), "2.cls": b"3\n"}
    data = load_data(f"webdataset:{write_tar(tmp_path / 'a-1.tar', shard)}")
    assert data.labels.tolist() == [3]
    assert re.search(why, data.faults["1.png"]), data.faults


@pytest.mark.parametrize("name", ["\x1b]52;c;aGk=\x07", "a\nError: forged", "\udcff", "nul\0", "\u202egnp"])
def test_names_of_images_and_classes_are_fit_for_tables_and_terminals(tmp_path, name):
    """They reach csv files, figures, folders' names and the terminal."""
    contents = {f"{name}x/{name}y.png": png(8, 8), "b/c.png": png(8, 8)}
    references = []
    if "\0" not in name:
        write(tmp_path / "plain", contents)
        references.append(f"folder:{tmp_path / 'plain'}")
        references.append(f"tar:{write_tar(tmp_path / 'a.tar', contents)}")
    if name != "\udcff":
        rows = images_of([{"bytes": content, "path": f"{name}{n}"} for n, content in enumerate(contents.values())])
        labels = pa.array([f"{name}x", "b"])
        references.append(write_columns(tmp_path / "a.parquet", image=rows, label=labels))
    for reference in references:
        data = load_data(reference)
        assert len(data) == 2 and data[0][0].size == data[1][0].size == (8, 8)
        for text in (*data.identifiers, *data.classes):
            assert text.isprintable() and text.encode()
        assert len(set(data.identifiers)) == len(set(data.classes)) == 2


def test_a_size_that_nobody_can_mean_is_refused_in_one_line():
    network = torch.nn.Conv2d(3, 10, 3)
    data = load_data("digits")
    for wrong in (dict(size=30_000), dict(size=224, crop_pct=1e-4), dict(size=0), dict(size=32, interpolation="best")):
        network.preprocessing = Preprocessing(**wrong)
        with pytest.raises(UsageError, match="expected"):
            preprocessing_for(network, data)


TRUTHS = {
    "empty": ("val.txt", b""),
    "spaces": ("val.txt", b" \n \n"),
    "ragged": ("val.txt", b"ILSVRC2012_val_00000001.JPEG 3\nILSVRC2012_val_00000002.JPEG\n"),
    "bytes": ("val.txt", b"\xff\xfe\x00"),
    "huge": ("val.txt", b"ILSVRC2012_val_00000001.JPEG " + b"9" * 30),
    "digits": ("val.txt", "ILSVRC2012_val_00000001.JPEG ²".encode()),
    "csv without columns": ("LOC_val_solution.csv", b"a,b\n1,2\n"),
    "csv ragged": ("LOC_val_solution.csv", b"ImageId,PredictionString\nILSVRC2012_val_00000001\n"),
    "csv empty": ("LOC_val_solution.csv", b"ImageId,PredictionString\nILSVRC2012_val_00000001,\n"),
    "csv nul": ("LOC_val_solution.csv", b"ImageId,PredictionString\n\0\0"),
    "csv wide": ("LOC_val_solution.csv", b"ImageId,PredictionString\na," + b"x" * 200_000),
    "short": ("imagenet_2012_validation_synset_labels.txt", b"n01440764\n"),
    "devkit alone": ("ILSVRC2012_validation_ground_truth.txt", b"1\n" * 2),
}


def matlab_claim(cells: int) -> bytes:
    """A MATLAB file whose cell array `synsets` is said to have so many cells, none of which follows."""
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<HH", 0x0100, 0x4D49)
    flags = struct.pack("<IIII", 6, 8, 1, 0)  # a cell array
    shape = struct.pack("<IIii", 5, 8, cells, 1)
    name = struct.pack("<II", 1, 7) + b"synsets\0"
    return head + struct.pack("<II", 14, len(flags + shape + name)) + flags + shape + name


@pytest.mark.parametrize("kind", TRUTHS)
def test_truths_that_tell_lies(tmp_path, kind):
    name, content = TRUTHS[kind]
    write(tmp_path, {f"ILSVRC2012_val_{n:08}.JPEG": png(8, 8) for n in (1, 2)} | {name: content})
    with pytest.raises((RunError, UsageError), match=name.partition(".")[0]):
        load_data(f"imagenet:{tmp_path}")


@pytest.mark.parametrize("content", ["lies", "bomb", "claim", "other", "text", "cut"])
def test_a_devkit_that_tells_lies(tmp_path, content):
    write(tmp_path, {f"ILSVRC2012_val_{n:08}.JPEG": png(8, 8) for n in (1, 2)})
    (tmp_path / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n2\n")
    path = tmp_path / "meta.mat"
    if content == "text":
        path.write_bytes(b"MATLAB 7.3 MAT-file" + bytes(2000))
    elif content == "other":
        savemat(path, {"synsets": np.zeros((3, 3))})
    elif content == "claim":  # 184 bytes that ask for 3 GiB
        path.write_bytes(matlab_claim(3 * 2**27))
    elif content == "bomb":
        savemat(path, {"zeros": np.zeros(40_000_000)}, do_compression=True)
        assert path.stat().st_size < 400_000
    else:
        rows = [(n, s) for n, s in enumerate(SYNSETS, 1)]
        table = np.array(rows, dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O")])
        if content == "lies":
            table["ILSVRC2012_ID"][0] = "one"
        savemat(path, {"synsets": table})
        if content == "cut":
            path.write_bytes(path.read_bytes()[:-40])
    with growing_by_at_most(2**29), pytest.raises(RunError, match=r"meta\.mat|ground_truth"):
        load_data(f"imagenet:{tmp_path}")


def test_an_image_numbered_nought_is_not_the_last_one(tmp_path):
    write(tmp_path, {f"ILSVRC2012_val_{n:08}.JPEG": png(8, 8) for n in (0, 1)})
    (tmp_path / "imagenet_2012_validation_synset_labels.txt").write_text("n01440764\nn02979186\n")
    with pytest.raises(RunError, match="number 0"):
        load_data(f"imagenet:{tmp_path}")


@pytest.mark.parametrize("damage", ["empty", "magic", "short", "long", "labels", "shape"])
def test_raw_files_of_named_sets_that_tell_lies(tmp_path, damage):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    images = struct.pack(">IIII", 0x803, 4, 28, 28) + bytes(4 * 28 * 28)
    labels = struct.pack(">II", 0x801, 4) + bytes([0, 1, 2, 3])
    changed = {
        "empty": b"",
        "magic": b"\xff" * 20,
        "short": images[:-9],
        "long": struct.pack(">IIII", 0x803, 2**31, 28, 28) + bytes(100),
        "shape": struct.pack(">II", 0x801, 4) + bytes(4),
    }.get(damage, images)
    changed_labels = struct.pack(">II", 0x801, 3) + bytes([0, 1, 250]) if damage == "labels" else labels
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(changed)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(changed_labels)
    with pytest.raises(RunError, match="mnist"):
        load_data(f"mnist:{tmp_path}")


@pytest.mark.parametrize("form", ["tar", "webdataset", "cache"])
def test_too_many_open_files_are_no_damage(tmp_path, form):
    write_tar(tmp_path / "a.tar", {f"{SYNSETS[0]}/a.png": png(8, 8)})
    for name, content in cache_files().items():
        (tmp_path / name).write_bytes(content)
    name = "c.npy" if form == "cache" else "a.tar"
    limits, free = resource.getrlimit(resource.RLIMIT_NOFILE), os.open("/dev/null", os.O_RDONLY)
    os.close(free)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
        with pytest.raises(RunError, match="cannot be read: Too many open files"):
            load_data(f"{form}:{tmp_path / name}")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    load_data(f"cache:{tmp_path}/c.npy")


def test_a_cache_of_columns_is_not_read_as_rows(tmp_path):
    """It is the same array to NumPy; its bytes follow each other otherwise."""
    for name, content in cache_files().items():
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "c.npy", np.asfortranarray(np.load(tmp_path / "c.npy")))
    with pytest.raises(RunError, match="its columns follow each other; expected its rows"):
        load_data(f"cache:{tmp_path}/c.npy")
