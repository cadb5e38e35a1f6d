"""The kinds of file that gelens reads: a valid small one of each, how it is damaged, and who reads it."""

import csv
import io
import json
import os
import pickle
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save
from scipy.io import savemat

import cli
from gelens.data import adapted, batches, load_data, preprocessing_for
from gelens.data.cached import write_cache
from gelens.data.checking import bad_images
from gelens.figures.drawing import draw
from gelens.files import RowSums
from gelens.networks import load_network, mindspore
from gelens.networks.checkpoints import read_checkpoint
from gelens.recording import Kept, Recording, open_recording
from gelens.recording.checksums import images_sum
from gelens.recording.format import discard, sum_of
from gelens.results.run import read_record
from gelens.tables.selectivity import Statistics, read_groups, selectivity_tables
from tests.conftest import make_data, make_network
from tests.figures.making import write_everything
from tests.fuzz.mutations import NAMES, NUMBERS, VALUES, damaged_bytes, damaged_json, damaged_table

Files = dict[str, bytes]
CANARY = Path(tempfile.gettempdir()) / f"gelens-fuzz-{os.getpid()}"
"""It is there once a file's code was run."""


@dataclass(frozen=True)
class Kind:
    """Files of one kind.

    Args:
        make: valid ones, by their path in a folder; by a generator, where there are several.
        read: reads them from a folder, as a command would.
        damage: of the files; by default of one of them, by its ending.
        weight: how often it is drawn.
    """

    make: Callable[[Random], Files]
    read: Callable[[Path, Random], object]
    damage: Callable[[Files, Random], Files] | None = None
    weight: int = 1


def damaged(files: Files, rng: Random) -> Files:
    """One of the files damaged, each by its ending in a way of its own or as any file."""
    name = rng.choice(list(files))
    content = files[name]
    if name.endswith(".json") and rng.random() < 0.8:
        new = damaged_json(content.decode(), rng).encode("utf-8", "surrogatepass")
    elif name.endswith(".csv") and rng.random() < 0.8:
        new = damaged_table(content.decode(), rng)
    elif content.startswith(b"PK") and rng.random() < 0.5:
        new = _damaged_archive(content, rng)
    else:
        new = damaged_bytes(content, rng, list(files.values()))
        if content.startswith(b"\x89PNG") and rng.random() < 0.7:
            new = _with_checksums(new)
    return files | {name: new}


def _with_checksums(png: bytes) -> bytes:
    """Its chunks' checksums right again, as far as their lengths lead."""
    content, place = bytearray(png), 8
    while place + 12 <= len(content):
        stop = place + 8 + int.from_bytes(content[place : place + 4], "big")
        if stop + 4 > len(content):
            break
        content[stop : stop + 4] = zlib.crc32(content[place + 4 : stop]).to_bytes(4, "big")
        place = stop + 4
    return bytes(content)


def _damaged_archive(content: bytes, rng: Random) -> bytes:
    """A member of a zip damaged, its checksum right again."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", rng.choice((0, 8))) as new:
        names = old.namelist()
        chosen = rng.choice(names)
        for name in names:
            held = old.read(name)
            if name == chosen and rng.random() < 0.2:
                name = rng.choice(NAMES).encode("utf-8", "replace").decode() or "x"
            elif name == chosen:
                held = damaged_bytes(held, rng, [held])
            new.writestr(name, held)
    return buffer.getvalue()


# -- weights


def _state() -> dict[str, torch.Tensor]:
    return {
        "conv1.weight": torch.ones(4, 3, 3, 3),
        "layer1.0.bn1.running_var": torch.ones(4),
        "fc.weight": torch.arange(8.0).reshape(2, 4),
        "fc.bias": torch.zeros(2, dtype=torch.float16),
    }


def _layouts() -> list[dict]:
    plain = _state()
    caffe = {"conv1/7x7_s2/0": plain["conv1.weight"], "conv2_1/1x1_reduce/0": torch.ones(4, 4, 1, 1)}
    caffe |= {f"conv1/7x7_s2/bn/{n}": torch.ones(1, 4, 1, 1) for n in range(4)}
    cadene = {"layer0.conv1.weight": plain["conv1.weight"], "layer1.0.se_module.fc1.weight": torch.ones(2, 4, 1, 1)}
    moskomule = {"layer1.0.se.fc.0.weight": torch.ones(2, 4), "fc.weight": plain["fc.weight"]}
    wrapped = {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in plain.items()}, "best": 0.5}
    return [plain, caffe, cadene, moskomule, wrapped]


def saved(value, **how) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **how)
    return buffer.getvalue()


class _Code:
    """What an attacker has pickled: it would run as it is loaded."""

    def __reduce__(self):
        return exec, (f"open({str(CANARY)!r}, 'w')",)


def _hostile_state(rng: Random) -> dict:
    odd = [
        torch.zeros(1).expand(10**6, 10**6),
        torch.empty(10**6, 10**6, device="meta"),
        torch.eye(3).to_sparse(),
        torch.eye(3).to_sparse_csr(),
        torch.zeros(3).to(torch.float8_e4m3fn),
        torch.zeros(3, dtype=torch.complex64),
        torch.zeros(0, 10**9),
        torch.tensor(float("nan")),
        torch.zeros(3, dtype=torch.uint64),
        torch.zeros(10**4).as_strided((10**6, 9000), (0, 1)),
        3,
        None,
        "text",
        [torch.ones(2)],
        {"a": {"state_dict": {}}},
    ]
    state = dict(rng.choice(_layouts()))
    for _ in range(rng.choice((1, 2))):
        key = rng.choice([*state, *NAMES, "conv1/7x7_s2/bn/scale/0", "layer1.0.conv2.batchnorm.moving_mean", "model"])
        state[key] = rng.choice(odd)
    return state


def _mindspore() -> bytes:
    checkpoint = mindspore.checkpoint_message()()
    for name, value in {"conv1.weight": np.ones((4, 3, 3, 3), "f4"), "bn1.moving_mean": np.ones(4, "f4")}.items():
        entry = checkpoint.value.add(tag=name)
        entry.tensor.dims.extend(value.shape)
        entry.tensor.tensor_type, entry.tensor.tensor_content = "Float32", value.tobytes()
    return checkpoint.SerializeToString()


def _weights(rng: Random) -> Files:
    state = rng.choice(_layouts())
    tensors = state.get("state_dict", state)
    form = rng.randrange(6)
    if form == 0:
        return {"w.safetensors": save(tensors, {"reference": "mini_resnet", "preprocessing": "{}"})}
    if form == 1:
        return {"w.pth": saved(state)}
    if form == 2:
        return {"w.pkl": saved(state, _use_new_zipfile_serialization=False)}
    if form == 3:
        buffer = io.BytesIO()
        rng.choice((np.savez, np.savez_compressed))(buffer, **{key: value.numpy() for key, value in tensors.items()})
        return {"w.npz": buffer.getvalue()}
    if form == 4:
        return {"w.ckpt": _mindspore()}
    made = rng.choice((pickle.dumps(_Code(), 2), saved({"x": 1}) + pickle.dumps(_Code()), pickle.dumps([_Code()])))
    return {"w.pth": made if rng.random() < 0.3 else saved(_hostile_state(rng))}


def _read_weights(folder: Path, rng: Random):
    (path,) = folder.iterdir()
    read_checkpoint(str(path))
    if rng.random() < 0.5:
        return
    load_network(f"{rng.choice(('mini_resnet', 'timm/resnet10t', 'mini_resnet_se'))}@{path}")


@cache
def _trained() -> tuple[dict, dict]:
    network = make_network("mini_resnet")
    return network.state_dict(), network.preprocessing.as_dict()


def _whole_weights(rng: Random) -> Files:
    """A network's whole state, with lies in its metadata."""
    state, shown = _trained()
    reference = rng.choice(("mini_resnet", "mini_resnet:classes=", "mini_resnet:size=", "mini_resnet:pool="))
    reference += "" if reference == "mini_resnet" else str(rng.choice(VALUES))
    shown = json.dumps(shown) if rng.random() < 0.2 else damaged_json(json.dumps(shown), rng)
    metadata = {"reference": reference, "preprocessing": shown}
    metadata = {key: value.encode("utf-8", "replace").decode() for key, value in metadata.items()}
    return {"w.safetensors": save(state, metadata)}


def _read_whole_weights(folder: Path, rng: Random):
    network = load_network(f"mini_resnet@{folder}/w.safetensors")
    images = make_data(2)
    shown = preprocessing_for(network, images)
    next(batches(images, [shown.geometry], 2))


# -- images and labels


def _picture(rng: Random) -> bytes:
    levels = np.random.default_rng(rng.randrange(100)).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    image, buffer = Image.fromarray(levels), io.BytesIO()
    form = rng.choice(("JPEG", "PNG", "BMP", "PPM", "TIFF", "WEBP", "GIF", "EPS", "PDF", "TGA", "PCX", "ICO", "SGI"))
    mode = rng.choice({"PNG": ("P", "L", "RGBA", "I;16", "1"), "TIFF": ("L", "F", "CMYK")}.get(form, ("RGB",)))
    image = Image.fromarray(levels[..., 0].astype(np.uint16)) if mode == "I;16" else image.convert(mode)
    more = {"compression": rng.choice(("raw", "tiff_lzw", "tiff_deflate"))} if form == "TIFF" else {}
    image.save(buffer, form, **more)
    return buffer.getvalue()


def _images(rng: Random) -> Files:
    ending = rng.choice(("png", "jpg", "tif", "webp", "bmp", "ppm"))
    return {f"a/0.{ending}": _picture(rng), "b/1.png": _picture(rng)}


def _renamed(files: Files, rng: Random) -> Files:
    """Some files under names that only a stranger chooses, for the kinds whose names are data."""
    made = damaged(files, rng) if rng.random() < 0.8 else files
    if rng.random() < 0.3:
        name = rng.choice([each for each in NAMES if "\0" not in each and "/" not in each and each.strip(". ")])[:60]
        made = {key.replace("a/", f"{name}/"): content for key, content in made.items()}
    return made


def read_images(reference: str, rng: Random) -> None:
    """As a command does: found, looked at, counted, sized and decoded."""
    data = load_data(reference)
    data.parts, data.title, adapted(data).sizes
    bad = bad_images(data, thorough=rng.random() < 0.5, progress=False)
    kept = data.without(bad)
    for text in (*data.identifiers, *data.classes, *bad, *bad.values()):
        text.encode()
    for image, label, _ in (kept[position] for position in range(min(len(kept), 3))):
        assert image.mode == "RGB" and 0 <= label < len(data.classes)
    if len(kept):
        next(batches(kept.subset([0]), [getattr(data, "geometry", (16, 0.9, "bilinear"))], 2))


def _tar(rng: Random) -> Files:
    shards = rng.random() < 0.6
    files = {"a/0.png": _picture(rng), "b/1.jpg": _picture(rng)}
    if shards:
        files |= {"a/0.cls": b"0", "b/1.json": b'{"label": 1}'}
    buffer = io.BytesIO()
    how = rng.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT))
    with tarfile.open(fileobj=buffer, mode="w", format=how) as archive:
        for name, content in files.items():
            if rng.random() < 0.3:
                chosen = rng.choice(NAMES)[:90].encode("utf-8", "replace").decode().replace("\0", "")
                name = f"{chosen}{name}" if rng.random() < 0.5 else name.replace("0", chosen)
            if name.endswith(".json") and rng.random() < 0.5:
                content = damaged_json(content.decode(), rng).encode("utf-8", "surrogatepass")
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if rng.random() < 0.1:
                member.type = rng.choice((tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"9"))
                member.linkname, member.size = "/etc/passwd", 0
            with suppress(ValueError):  # a name that the format cannot hold
                archive.addfile(member, io.BytesIO(content))
    return {f"{'shard' if shards else 'images'}.tar": buffer.getvalue()}


def _damaged_tar(files: Files, rng: Random) -> Files:
    """A number of a head changed and the head's checksum right again, so that the lie is believed."""
    ((name, content),) = files.items()
    if rng.random() < 0.4:
        return {name: damaged_bytes(content, rng, [content])}
    content = bytearray(content)
    heads = [place for place in range(0, len(content) - 512, 512) if content[place + 257 : place + 262] == b"ustar"]
    place = rng.choice(heads)
    start, length = rng.choice(((124, 12), (124, 12), (156, 1), (345, 12), (483, 12)))
    value = rng.choice(NUMBERS)
    if length > 1 and rng.random() < 0.5:
        lie = b"\x80" + (value % 2**88).to_bytes(11, "big") if value >= 0 else (value % 2**96).to_bytes(12, "big")
    else:
        lie = f"{abs(value) % 8 ** (length - 1):0{length - 1}o}".encode() + b"\0" if length > 1 else b"0123456789SLKxg"
        lie = lie if length > 1 else bytes([rng.choice(lie)])
    content[place + start : place + start + length] = lie
    content[place + 148 : place + 156] = b" " * 8
    content[place + 148 : place + 156] = f"{sum(content[place : place + 512]):06o}\0 ".encode()
    return {name: bytes(content)}


def _read_tar(folder: Path, rng: Random):
    (path,) = folder.iterdir()
    read_images(f"{'webdataset' if path.name.startswith('shard') else 'tar'}:{path}", rng)


def _parquet(rng: Random) -> Files:
    import pyarrow as pa
    import pyarrow.parquet as pq

    picture = _picture(rng)
    path = rng.choice((None, "/etc/passwd", "http://localhost:9/x.png", *NAMES))
    path = path and path.encode("utf-8", "replace").decode()
    rows = [{"bytes": rng.choice((picture, None, b"", b"\0")), "path": path}, {"bytes": picture, "path": None}]
    images = pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    labels = rng.choice(
        (
            pa.array([0, 1]),
            pa.array([2**64 - 1, 0], pa.uint64()),
            pa.array([-1, None], pa.int8()),
            pa.array(["a", str(rng.choice(NAMES)).encode("utf-8", "replace").decode()]),
            pa.array([0.5, float("nan")]),
            pa.array([[1], []]),
            pa.array([b"a", b"\xff"]),
            pa.array([True, False]),
            pa.array([10**6 - 1, 10**12]),
            pa.array([None, None], pa.null()),
        )
    )
    names = ("image", "label") if rng.random() < 0.8 else (rng.choice(("img", "x")), rng.choice(("labels", "y")))
    columns = dict(zip(names, (images, labels if rng.random() < 0.5 else pa.array([0, 1])), strict=True))
    if rng.random() < 0.3:
        columns["mask"] = images
    table = pa.table(columns)
    if rng.random() < 0.5:
        features = {
            "image": {"_type": "Image"},
            "label": {"_type": "ClassLabel", "names": ["a", "b"]},
            "mask": {"_type": rng.choice(("Image", "Audio", "Value", "Pdf"))},
        }
        info = {"info": {"features": {key: features.get(key, {"_type": "Image"}) for key in columns}}}
        text = damaged_json(json.dumps(info), rng) if rng.random() < 0.7 else json.dumps(info)
        table = table.replace_schema_metadata({"huggingface": text.encode("utf-8", "replace")})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return {"a.parquet": buffer.getvalue()}


def _read_parquet(folder: Path, rng: Random):
    read_images(f"parquet:{folder / 'a.parquet'}", rng)


@cache
def cache_files() -> Files:
    with tempfile.TemporaryDirectory() as folder:
        write_cache(make_data(4, 2, 8), (8, 1.0, "bilinear"), Path(folder) / "c.npy", progress=False)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir() if not path.name.startswith(".")}


def _truths(rng: Random) -> Files:
    images = {f"ILSVRC2012_val_{n:08}.JPEG": b"x" for n in (1, 2)}
    devkit = io.BytesIO()
    rows = np.array([(1, "n01440764"), (2, "n02979186")], dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O")])
    savemat(devkit, {"synsets": rows}, do_compression=rng.random() < 0.5)
    truth = rng.choice(
        (
            {"val.txt": b"ILSVRC2012_val_00000001.JPEG 1\nILSVRC2012_val_00000002.JPEG 2\n"},
            {"imagenet_2012_validation_synset_labels.txt": b"n01440764\nn02979186\n"},
            {"LOC_val_solution.csv": b"ImageId,PredictionString\nILSVRC2012_val_00000001,n01440764 1 2 3 4\n"},
            {"ILSVRC2012_validation_ground_truth.txt": b"1\n2\n", "meta.mat": devkit.getvalue()},
        )
    )
    return images | truth


def _damaged_truths(files: Files, rng: Random) -> Files:
    images = {name: content for name, content in files.items() if name.endswith("JPEG")}
    return images | damaged({name: content for name, content in files.items() if name not in images}, rng)


def _mnist(rng: Random) -> Files:
    files = {}
    for part in ("train", "t10k"):
        files[f"MNIST/raw/{part}-images-idx3-ubyte"] = struct.pack(">IIII", 0x803, 3, 28, 28) + bytes(3 * 784)
        files[f"MNIST/raw/{part}-labels-idx1-ubyte"] = struct.pack(">II", 0x801, 3) + bytes((0, 1, 2))
    return files


# -- what gelens wrote itself


@cache
def recording_files() -> Files:
    images = pd.DataFrame({"index": range(8), "identifier": list("abcdefgh"), "label": [0, 1] * 4})
    images["class"], images["bytes"] = ["cat", "dog"] * 4, -1
    facts = {"networks": {"n": {"reference": "mini"}}, "taps": {"n": {"b": ["output"]}}, "classes": ["cat", "dog"]}
    facts |= {"settings": {"n": {"rectified": False}}, "depths": {"n": {"b": 1}}, "labels_known": True}
    facts |= {"data": {"name": "noise", "images": 8}}
    with tempfile.TemporaryDirectory() as folder:
        kept = [Kept("b.output", (3,)), Kept("b.output.minimum", ()), Kept("label_rank", (), "int32")]
        recording = Recording.create({"n": kept}, images, facts, Path(folder) / "r")
        values = np.random.default_rng(0).random((8, 3), np.float32)
        rows = {("n", "b.output"): values, ("n", "b.output.minimum"): values.min(1)}
        recording.write(0, rows | {("n", "label_rank"): np.zeros(8, np.int32)}, 8)
        recording.finish()
        found = (path for path in (Path(folder) / "r").rglob("*") if path.is_file() and path.name != ".lock")
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
    return files


def _damaged_recording(files: Files, rng: Random) -> Files:
    """Sums are right again after the damage, which they would else refuse at once: a stranger's lies have such."""
    files = _other_numbers(files, rng) if rng.random() < 0.4 else damaged(files, rng)
    return files if rng.random() < 0.1 else with_sums(files)


def _other_numbers(files: Files, rng: Random) -> Files:
    """An array of another type or shape, of which recording.json says so."""
    described = json.loads(files["r/recording.json"])
    kept = rng.choice(described["arrays"]["n"])
    name = f"r/n/{kept['name']}.npy"
    shape = rng.choice(((8,), (8, 3), (8, 0), (8, 1), (8, 2, 2), (8, 70)))
    values = np.full(shape, rng.choice((0, 1, -1, 7, 1e30, float("nan"), float("inf"))))
    with np.errstate(invalid="ignore", over="ignore"):
        values = values.astype(rng.choice(("float32", "float32", "float64", "float16", "int64", "uint8", "bool")))
    kept["shape"], kept["dtype"] = list(shape[1:]), str(values.dtype)
    buffer = io.BytesIO()
    np.save(buffer, values)
    return files | {name: buffer.getvalue(), "r/recording.json": json.dumps(described).encode()}


def with_sums(files: Files) -> Files:
    """A recording's files with the sums that their content has, wherever it can be read."""
    try:
        described = json.loads(files["r/recording.json"])
        arrays = described["sums"]["arrays"]["n"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return files
    for name in list(arrays) if isinstance(arrays, dict) else ():
        with suppress(Exception):  # NumPy raises anything of a damaged head
            sums = RowSums()
            sums.add(np.ascontiguousarray(np.load(io.BytesIO(files[f"r/n/{name}.npy"]), allow_pickle=False)))
            arrays[name] = sums.sums
    with suppress(Exception):
        table = pd.read_csv(
            io.BytesIO(files["r/images.csv"]),
            dtype=dict.fromkeys(("identifier", "class", "content"), str),
            na_filter=False,
        )
        described["sums"]["images"] = images_sum(table, 0, len(table), 0)
    with suppress(Exception):
        described["sum"] = sum_of(described)
    return files | {"r/recording.json": json.dumps(described).encode()}


def _read_recording(folder: Path, rng: Random):
    recording = open_recording(folder / "r")
    selectivity_tables(recording, Statistics(permutations=2, replicates=2))
    recording.activity("n", "b").groupby("class").mean("image")


def _resume_recording(folder: Path, rng: Random):
    """The way on from a stranger's recording, which deletes and writes."""
    if rng.random() < 0.3:
        Recording.create({}, pd.DataFrame({"index": [], "identifier": [], "label": []}), {}, folder / "r", resume=True)
    discard(folder / "r")


@cache
def _run_files() -> Files:
    with tempfile.TemporaryDirectory() as folder:
        made = write_everything(Path(folder) / "run", ["mini_resnet", "ge_theta_minus"], ["layer3.0", "layer3.1"], 6)
        return {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}


def _some_run(rng: Random) -> Files:
    """A run of one or two tables: each figure takes its time."""
    files = _run_files()
    chosen = rng.choice(
        (
            ("selectivity_gap.csv", "selectivity_trend.csv"),
            ("pruning_summary.csv",),
            ("selectivity_epochs.csv",),
            ("training.csv",),
            ("evaluation.csv",),
            ("operators.csv",),
            ("pruning.csv",),
            ("selectivity.csv", "selectivity_images.csv", "selectivity_thumbnails.npz"),
        )
    )
    return {name: files[name] for name in ("run.json", *chosen)}


def _read_run(folder: Path, rng: Random):
    record = read_record(folder)
    if rng.random() < 0.2:
        return invoke("compare", folder, folder, "--out", folder / "out")
    if (folder / "training.csv").exists() and rng.random() < 0.5:
        return invoke("curves", folder, "--out", folder / "out")
    record.get("data")
    assert draw(folder, ["svg"])
    return None


def _groups(rng: Random) -> Files:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([("class", "group"), ("cat", "pet"), ("dog", "pet")])
    return {"groups.csv": buffer.getvalue().encode()}


# -- arguments


def invoke(*arguments) -> int:
    """A command as a person gives it; an exception that is no message is raised."""
    result = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    for text in (result.stdout, result.stderr):
        assert "\x1b" not in text and "\x07" not in text, text
        assert "Traceback" not in text and "\nError: b" not in text, text
    return result.exit_code


def _argument(rng: Random, *usual: str) -> str:
    if rng.random() < 0.75:
        return rng.choice(usual)
    text = str(rng.choice(VALUES)) if rng.random() < 0.5 else rng.choice(usual)
    if rng.random() < 0.5:
        start = rng.randrange(len(text) + 1)
        text = text[:start] + str(rng.choice(VALUES))[:200] + text[start:]
    return text.replace("\0", "") if rng.random() < 0.9 else text


def _read_arguments(folder: Path, rng: Random):
    network = _argument(
        rng, "mini_resnet", "mini_resnet:classes=7", "a=mini_resnet@w.pth", "timm/resnet18", "x.py:build"
    )
    data = _argument(rng, "digits", "digits#train", "folder:r", "tar:a.tar", "cache:c", "imagenet:r", "webdataset:*")
    number = _argument(rng, "3", "0", "0.5")
    out, wide = folder / "out", "--limit"
    if network.strip().startswith("-"):
        network = f"mini_resnet{network}"
    chosen = rng.randrange(8)
    if chosen == 0:
        return invoke("layers", network, "--image-size", number)
    if chosen == 1:
        return invoke("cache", data, wide, "4", "--image-size", number, "--out", folder / "c.npy")
    if chosen == 2:
        return invoke("cache", "digits", wide, "4", "--crop-pct", number, "--mean", f"{number},0.5,0.5", "--out", out)
    if chosen == 3:
        return invoke("evaluate", network, "--untrained", "--data", data, wide, "4", "--device", "cpu", "--out", out)
    if chosen == 4:
        return invoke("selectivity", "--from", folder / "r", "--tap", number, "--reference", network, "--out", out)
    if chosen == 5:
        return invoke("figures", folder / "run", "--width", number, "--bins", number, "--blocks", network)
    if chosen == 6:
        return invoke("record", "mini_resnet", "--untrained", "--blocks", network, wide, number, "--out", out)
    return invoke(
        "pruning",
        network,
        "--untrained",
        "--data",
        data,
        "--ratio",
        number,
        "--means-from",
        data,
        wide,
        "4",
        "--out",
        out,
    )


def _beside(rng: Random) -> Files:
    run = {f"run/{name}": _run_files()[name] for name in ("run.json", "training.csv")}
    return recording_files() | run


KINDS = {
    "weights": Kind(_weights, _read_weights, weight=5),
    "metadata of weights": Kind(_whole_weights, _read_whole_weights, lambda files, rng: files, weight=2),
    "images": Kind(_images, lambda folder, rng: read_images(f"folder:{folder}", rng), _renamed, weight=5),
    "tar": Kind(_tar, _read_tar, _damaged_tar, weight=4),
    "parquet": Kind(
        _parquet, _read_parquet, lambda files, rng: files if rng.random() < 0.5 else damaged(files, rng), weight=3
    ),
    "cache": Kind(
        lambda rng: cache_files(), lambda folder, rng: read_images(f"cache:{folder / 'c.npy'}", rng), weight=3
    ),
    "truths": Kind(_truths, lambda folder, rng: load_data(f"imagenet:{folder}"), _damaged_truths, weight=2),
    "mnist": Kind(_mnist, lambda folder, rng: read_images(f"mnist:{folder}", rng)),
    "recording": Kind(lambda rng: recording_files(), _read_recording, _damaged_recording, weight=4),
    "recording to go on with": Kind(lambda rng: recording_files(), _resume_recording, _damaged_recording, weight=2),
    "run": Kind(_some_run, _read_run, weight=4),
    "groups": Kind(_groups, lambda folder, rng: read_groups(folder / "groups.csv")),
    "arguments": Kind(_beside, _read_arguments, lambda files, rng: files, weight=4),
}
