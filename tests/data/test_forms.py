"""The same images in every form, what goes wrong with them, and caches."""

import csv
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageOps
from scipy.io import savemat
from torchvision.datasets import ImageFolder

from gelens.data import batches, checked, imagenet, load_data
from gelens.data.checking import bad_images
from gelens.data.datasets import in_rgb
from gelens.data.forms import FORMS
from gelens.data.identifiers import Names
from gelens.differences import image_differences
from gelens.errors import RunError, UsageError
from tests.commands.test_cli import run

SYNSETS = ("n01440764", "n02979186", "n03888257")  # tench, cassette player, parachute: labels 0, 482, 701
GEOMETRY = (32, 0.9, "bilinear")


def picture(seed: int, size=(60, 48)) -> Image.Image:
    """Smooth noise, so that JPEG keeps it."""
    levels = np.random.default_rng(seed).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    return Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def files(tmp_path) -> dict[str, bytes]:
    """Nine JPEGs of three synsets, by their path below the split."""
    found = {}
    for number in range(9):
        buffer = io.BytesIO()
        picture(number).save(buffer, "JPEG")
        found[f"{SYNSETS[number // 3]}/ILSVRC2012_val_{number + 1:08}.JPEG"] = buffer.getvalue()
    return found


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_parquet(path: Path, files: dict[str, bytes], classes=SYNSETS) -> Path:
    from datasets import ClassLabel, Dataset, Features
    from datasets import Image as ImageColumn

    rows = {"image": [{"bytes": content, "path": name} for name, content in files.items()]}
    rows["label"] = [classes.index(name.split("/")[0]) for name in files]
    path.parent.mkdir(parents=True, exist_ok=True)
    features = Features({"image": ImageColumn(), "label": ClassLabel(names=list(classes))})
    Dataset.from_dict(rows, features=features).to_parquet(path)
    return path


def every_form(tmp_path: Path, files: dict[str, bytes]) -> dict[str, str]:
    """References to the same images in every form that keeps files."""
    folder = write(tmp_path / "plain", files)
    write(tmp_path / "torchvision" / "val", files)
    (tmp_path / "torchvision" / "train" / SYNSETS[0]).mkdir(parents=True)
    shards = {}
    for name, content in files.items():
        key = name.rpartition(".")[0]
        shards[name] = content
        shards[f"{key}.cls"] = str(imagenet.synsets().index(name.split("/")[0])).encode()
    (tmp_path / "shards").mkdir()
    entries = list(shards.items())
    write_tar(tmp_path / "shards" / "val-000.tar", dict(entries[:8]))
    write_tar(tmp_path / "shards" / "val-001.tar", dict(entries[8:]))
    write_parquet(tmp_path / "hub" / "data" / "validation-00000-of-00001.parquet", files)
    flat = {name.rpartition("/")[2]: content for name, content in files.items()}
    write(tmp_path / "flat", flat)
    truth = "".join(f"{name.rpartition('/')[2]} {name.split('/')[0]}\n" for name in files)
    (tmp_path / "flat" / "val.txt").write_text(truth)
    return {
        "folder": f"folder:{folder}",
        "imagenet": f"imagenet:{folder}",
        "imagenet split": f"imagenet:{tmp_path / 'torchvision'}#val",
        "imagenet flat": f"imagenet:{tmp_path / 'flat'}",
        "tar": f"tar:{write_tar(tmp_path / 'images.tar', files)}",
        "tar split": f"tar:{write_tar(tmp_path / 'split.tar', {f'x/val/{name}': files[name] for name in files})}",
        "tar around": f"tar:{write_tar(tmp_path / 'around.tar', {f'./set/{name}': files[name] for name in files})}",
        "webdataset": f"webdataset:{tmp_path / 'shards' / 'val-*.tar'}",
        "parquet": f"parquet:{tmp_path / 'hub' / 'data' / '*.parquet'}",
        "parquet folder": f"parquet:{tmp_path / 'hub'}#val",
        "hf": f"hf:{tmp_path / 'hub'}",
    }


def test_the_same_images_through_every_form(tmp_path, files):
    expected = ImageFolder(write(tmp_path / "reference", files))
    for form, reference in every_form(tmp_path, files).items():
        data = load_data(reference)
        assert len(data) == 9, form
        for position, (image, label) in enumerate(expected):
            ours, mine, index = data[position]
            assert np.array_equal(np.asarray(ours), np.asarray(image)) and index == position, form
            assert data.synsets[mine] == expected.classes[label], form
            assert data.classes[mine] == ("tench", "cassette player", "parachute")[label], form
        names = [name.rpartition("/")[2] for name in files] if form == "imagenet flat" else list(files)
        assert data.identifiers == names, form
        mapped = data if len(data.classes) == 1000 else data.as_imagenet()
        assert mapped.labels.tolist() == [0] * 3 + [482] * 3 + [701] * 3, form
        pickle.loads(pickle.dumps(data))[8]
        batch = next(batches(data, [GEOMETRY], 9, workers=2))
        assert torch.equal(
            batch.images[GEOMETRY], next(batches(load_data(f"folder:{tmp_path}/plain"), [GEOMETRY], 9)).images[GEOMETRY]
        )


def test_shards_are_read_as_the_webdataset_library_reads_them(tmp_path, files):
    webdataset = pytest.importorskip("webdataset")
    every_form(tmp_path, files)
    shards = sorted(str(path) for path in (tmp_path / "shards").iterdir())
    theirs = webdataset.WebDataset(shards, shardshuffle=False, empty_check=False).decode("pil").to_tuple("jpeg", "cls")
    ours = load_data(f"webdataset:{tmp_path}/shards/*.tar")
    for (image, label), (mine, own, _) in zip(theirs, ours, strict=True):
        assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(mine)) and label == own


def test_torchvisions_named_sets(tmp_path):
    """Files as torchvision unpacks them: pickled batches of CIFAR, MNIST's bytes, Imagenette's folders."""
    from torchvision.datasets import CIFAR100, MNIST, Imagenette

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 3072)).astype(np.uint8)
    folder = tmp_path / CIFAR100.base_folder
    folder.mkdir()
    for name in ("train", "test"):
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "fine_labels": [5, 4, 3, 2, 1, 0]}))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"fine {label}" for label in range(100)]}))
    unchecked = pytest.MonkeyPatch()
    unchecked.setattr(CIFAR100, "_check_integrity", lambda self: True)
    unchecked.setattr("torchvision.datasets.cifar.check_integrity", lambda *arguments: True)
    data = load_data(f"cifar100:{tmp_path}")
    unchecked.undo()
    assert (data.classes[5], data.labels.tolist()) == ("fine 5", [5, 4, 3, 2, 1, 0])
    assert np.array_equal(np.asarray(data[2][0]), pixels[2].reshape(3, 32, 32).transpose(1, 2, 0))
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    digits = rng.integers(0, 256, (4, 28, 28)).astype(np.uint8)
    for url, _ in MNIST.resources:
        header = (2051, 4, 28, 28) if "images" in url else (2049, 4)
        content = digits.tobytes() if "images" in url else bytes([7, 1, 0, 9])
        (raw / url.removesuffix(".gz")).write_bytes(np.array(header, ">i4").tobytes() + content)
    data = load_data(f"mnist:{tmp_path}#train")
    assert data.labels.tolist() == [7, 1, 0, 9] and np.array_equal(np.asarray(data[3][0])[..., 1], digits[3])
    for synset in Imagenette._WNID_TO_CLASS:
        write(tmp_path / "imagenette2" / "val" / synset, {})
        (tmp_path / "imagenette2" / "val" / synset).mkdir(parents=True, exist_ok=True)
        picture(0).save(tmp_path / "imagenette2" / "val" / synset / "one.JPEG")
    data = load_data(f"imagenette:{tmp_path}#val")
    assert data.classes[1] == "English springer" and data.identifiers[0] == "n01440764/one.JPEG"
    assert data.as_imagenet().labels[1] == imagenet.synsets().index(data.synsets[1])


@pytest.mark.parametrize("kind", ["devkit", "kaggle", "tensorflow", "caffe"])
def test_the_flat_validation_folder_with_each_file_of_truths(tmp_path, files, kind):
    flat = {name.rpartition("/")[2]: content for name, content in files.items()}
    write(tmp_path / "val", flat)
    of = dict(zip(flat, (name.split("/")[0] for name in files), strict=True))
    places = imagenet.synsets()
    if kind == "devkit":  # numbered in an order of its own: here the synsets' reversed
        folder = tmp_path / "ILSVRC2012_devkit_t12" / "data"
        folder.mkdir(parents=True)
        table = np.zeros(1000, dtype=[("ILSVRC2012_ID", "f8"), ("WNID", "O")])
        table["ILSVRC2012_ID"], table["WNID"] = np.arange(1, 1001), list(reversed(places))
        savemat(folder / "meta.mat", {"synsets": table})
        numbers = [1000 - places.index(synset) for synset in of.values()]
        (folder / imagenet.TRUTHS[0]).write_text("".join(f"{number}\n" for number in numbers))
    elif kind == "kaggle":
        with (tmp_path / "LOC_val_solution.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["ImageId", "PredictionString"])
            rows.writerows(
                [name.removesuffix(".JPEG"), f"{synset} 1 2 3 4 {synset} 5 6 7 8"] for name, synset in of.items()
            )
    elif kind == "tensorflow":
        (tmp_path / "val" / imagenet.TRUTHS[2]).write_text("\n".join(of.values()) + "\n")
    else:
        (tmp_path / "val" / "val.txt").write_text("".join(f"{name} {places.index(of[name])}\n" for name in of))
    assert load_data(f"imagenet:{tmp_path}").labels.tolist() == [0] * 3 + [482] * 3 + [701] * 3


def test_a_flat_folder_without_truths_and_strange_synsets_are_refused(tmp_path, files):
    write(tmp_path / "val", {name.rpartition("/")[2]: content for name, content in files.items()})
    with pytest.raises(UsageError, match=r"in no class folders; expected one of ILSVRC2012_validation_ground_truth"):
        load_data(f"imagenet:{tmp_path}")
    (tmp_path / imagenet.TRUTHS[0]).write_text("1\n" * 9)
    with pytest.raises(RunError, match=r"only the devkit's meta\.mat explains"):
        load_data(f"imagenet:{tmp_path}")
    write(tmp_path / "other", {"n99999999/a.png": b"", "n01440764/b.png": b""})
    with pytest.raises(UsageError, match=r"1 classes .* are not among ImageNet's 1000 synsets, such as `n99999999`"):
        load_data(f"imagenet:{tmp_path / 'other'}")


def test_class_names_come_along_and_labels_follow_the_network(tmp_path, files):
    """A folder of three of ImageNet's classes: three outputs see labels 0, 1, 2, a thousand see 0, 482, 701."""
    from gelens.networks import load_network
    from gelens.subjects import fit_classes

    data = load_data(f"folder:{write(tmp_path, files)}")
    three, thousand = (load_network(f"mini_resnet:classes={classes}") for classes in (3, 1000))
    assert fit_classes([three], data) is data and set(data.labels) == {0, 1, 2}
    assert set(fit_classes([thousand, thousand], data).labels) == {0, 482, 701}
    with pytest.raises(UsageError, match="networks of 3, 1000 outputs"):
        fit_classes([three, thousand], data)
    other = load_data("digits")
    assert fit_classes([thousand], other) is other


def test_limits_are_balanced_and_seeded():
    data = load_data("digits")
    some = data.limited(per_class=3)
    assert np.bincount(some.labels).tolist() == [3] * 10
    assert data.limited(5, per_class=3).indices.tolist() == data.limited(5).indices.tolist()
    assert data.limited(40, seed=1).indices.tolist() != data.limited(40).indices.tolist()
    with pytest.raises(UsageError, match="0 images a class"):
        data.limited(per_class=0)


def damage(folder: Path, fault: str) -> str:
    """Put one bad image among good ones and give its identifier."""
    name = f"{SYNSETS[1]}/bad.JPEG"
    path = folder / name
    buffer = io.BytesIO()
    picture(99, (200, 200)).save(buffer, "JPEG")
    contents = {"zero-length": b"", "no image": b"<html>404</html>", "truncated": buffer.getvalue()[:-900]}
    contents |= {"bomb": _png_header(60_000, 60_000)}
    if fault in contents:
        path.write_bytes(contents[fault])
    elif fault == "vanished":
        path.symlink_to(folder / "nothing.JPEG")
    elif fault == "loop":
        (folder / SYNSETS[1] / "again").symlink_to(folder, target_is_directory=True)
        return f"{SYNSETS[1]}/again"
    elif fault == "unreadable":
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00" * 40)
    return name


def _png_header(width: int, height: int) -> bytes:
    import struct
    import zlib

    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = struct.pack(">I", 16) + b"IDAT" + bytes(16)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + pixels


FAULTS = {
    "zero-length": "the file is empty",
    "no image": "it is no image",
    "truncated": "truncated",
    "bomb": "decompression bomb",
    "vanished": "there is no such file",
    "loop": "leads back above it",
    "unreadable": "",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_image_stops_the_work_or_is_left_out_and_named(tmp_path, files, fault):
    folder = write(tmp_path / "images", files)
    name = damage(folder, fault)
    data = load_data(f"folder:{folder}")
    if fault == "truncated":  # a quick look does not see the end of a file
        checked(data, progress=False)
        position = list(data.identifiers).index(name)
        with pytest.raises(RunError, match=rf"image `{name}` .* cannot be read: .*truncated.*--skip-unreadable"):
            data[position]
    else:
        with pytest.raises(RunError, match=rf"1 images of .* cannot be read: {name} \(.*{FAULTS[fault]}.*--skip"):
            checked(data, progress=False)
    kept = checked(load_data(f"folder:{folder}"), skip=True, progress=False)
    assert list(kept.skipped) == [name] and FAULTS[fault] in kept.skipped[name]
    assert kept.identifiers == list(files) and len([kept[position] for position in range(len(kept))]) == 9


def test_a_vanished_file_is_named_when_it_is_read(tmp_path, files):
    data = load_data(f"folder:{write(tmp_path, files)}")
    (tmp_path / list(files)[4]).unlink()
    with pytest.raises(RunError, match=f"image `{list(files)[4]}` .* No such file"):
        list(batches(data, [GEOMETRY], 3))


@pytest.mark.parametrize(
    "name, message", [("/etc/a.png", "is absolute"), (f"{SYNSETS[0]}/../../a.png", "leads out"), ("a.png", "no class")]
)
def test_tar_members_that_point_elsewhere(tmp_path, files, name, message):
    write_tar(tmp_path / "a.tar", files | {name: b"x"})
    data = load_data(f"tar:{tmp_path}/a.tar")
    assert message in bad_images(data, progress=False)[name]
    assert len(checked(data, skip=True, progress=False)) == 9


def test_tars_that_are_none_are_compressed_or_cut(tmp_path, files):
    (tmp_path / "none.tar").write_bytes(b"x" * 2000)
    with tarfile.open(tmp_path / "z.tar", "w:gz") as archive:
        archive.add(write(tmp_path / "x", files), "x")
    for name in ("none.tar", "z.tar"):
        with pytest.raises(RunError, match="is no uncompressed tar"):
            load_data(f"tar:{tmp_path / name}")
    whole = write_tar(tmp_path / "cut.tar", files).read_bytes()
    data = load_data(f"tar:{tmp_path}/cut.tar")
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match="ends before it"):
        data[8]


def test_unlabelled_samples_of_shards_are_faults(tmp_path, files):
    names = list(files)
    write_tar(
        tmp_path / "a.tar", {"k1.jpg": files[names[0]], "k1.cls": b"3", "k2.jpg": files[names[1]], "k2.cls": b"?"}
    )
    data = load_data(f"webdataset:{tmp_path}/a.tar")
    assert data.identifiers == ["k1.jpg"] and "has no label" in data.faults["k2.jpg"]
    write_tar(tmp_path / "b.tar", {"k1.jpg": files[names[0]], "k1.json": json.dumps({"label": 2}).encode()})
    assert load_data(f"webdataset:{tmp_path}/b.tar").labels.tolist() == [2]


def saved(image: Image.Image, form: str, **options) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return Image.open(io.BytesIO(buffer.getvalue()))


def test_every_mode_becomes_rgb_as_torchvision_has_it(tmp_path):
    """CMYK, grayscale, palette and transparency by Pillow's conversion; EXIF's rotation is left alone."""
    image = picture(1)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90°
    kinds = {
        "CMYK": saved(image.convert("CMYK"), "JPEG"),
        "grayscale": saved(image.convert("L"), "JPEG"),
        "palette": saved(image.quantize(16), "PNG"),
        "transparent": saved(image.convert("RGBA"), "PNG"),
        "two-tone": saved(image.convert("1"), "PNG"),
        "EXIF": saved(image, "JPEG", exif=exif),
    }
    for name, each in kinds.items():
        (tmp_path / name).mkdir()
        each.save(tmp_path / name / f"a.{each.format.lower()}", **({"exif": exif} if name == "EXIF" else {}))
    theirs, ours = ImageFolder(tmp_path), load_data(f"folder:{tmp_path}")
    for position in range(len(kinds)):
        assert np.array_equal(np.asarray(theirs[position][0]), np.asarray(ours[position][0]))
        assert ours[position][0].size == (60, 48)


def test_sixteen_bits_are_scaled_and_thirty_two_refused():
    levels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    image = saved(Image.fromarray(levels), "PNG")
    assert np.array_equal(np.asarray(in_rgb(image))[..., 2], levels // 257)
    with pytest.raises(ValueError, match="32 bits"):
        in_rgb(saved(Image.fromarray(levels.astype(np.float32)), "TIFF"))


def test_commands_leave_out_bad_images_on_request_and_name_them(tmp_path, files):
    folder = write(tmp_path / "images", files)
    name = damage(folder, "zero-length")
    command = ["evaluate", "mini_resnet:classes=3", "--untrained", "--data", f"folder:{folder}"]
    code, output = run(*command, "--out", tmp_path / "run")
    assert code == 1 and f"{name} (the file is empty)" in output and not (tmp_path / "run").exists()
    code, output = run(*command, "--skip-unreadable", "--out", tmp_path / "run")
    assert code == 0 and "1 images that cannot be read are left out" in output, output
    stored = json.loads((tmp_path / "run" / "run.json").read_text())["data"]
    assert stored["skipped"] == {name: "the file is empty"} and (stored["images"], stored["left_out"]) == (9, 1)


def test_what_was_measured_before_a_bad_image_is_kept(tmp_path, files):
    """Truncated, then mended: the pass goes on where it stopped, to the numbers of one never stopped."""
    folder = write(tmp_path / "images", files)
    last = folder / list(files)[-1]
    whole = last.read_bytes()
    last.write_bytes(whole[:-100])
    command = ["selectivity", "mini_resnet:classes=3", "--untrained", "--blocks", "layer3.0", "--batch-size", "2"]
    command += ["--data", f"folder:{folder}"]
    code, output = run(*command, "--out", tmp_path / "run")
    assert code == 1 and "8 of 9 images are measured and kept" in output, output
    first = folder / next(iter(files))
    kept = first.read_bytes()
    last.write_bytes(whole)
    first.write_bytes(kept + b"x")
    code, output = run(*command, "--out", tmp_path / "run", "--resume")
    assert code == 1 and "have changed in size" in output
    first.write_bytes(kept)
    code, output = run(*command, "--out", tmp_path / "run", "--resume")
    assert code == 0, output
    assert run(*command, "--out", tmp_path / "alone")[0] == 0
    for name in ("selectivity.csv", "evaluation.csv"):
        one, other = (pd.read_csv(tmp_path / each / name) for each in ("run", "alone"))
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("command", ["selectivity", "pruning"])
def test_a_pass_goes_on_without_the_image_that_stopped_it(tmp_path, files, command):
    """The file cannot be mended: what was measured is used, and the numbers are those of the other eight images."""
    folder = write(tmp_path / "images", files)
    bad = list(files)[7]
    (folder / bad).write_bytes((folder / bad).read_bytes()[:-100])
    start = [command, "mini_resnet_se:classes=3", "--untrained", "--blocks", "layer3.0", "--batch-size", "2"]
    start += ["--ratio", "0.5"] if command == "pruning" else []
    begin = [*start, "--data", f"folder:{folder}"]
    code, output = run(*begin, "--out", tmp_path / "run")
    assert code == 1 and "6 of 9 images are measured and kept" in output, output
    again = [*start, "--data", f"folder:{folder}/"]  # the same images, spelled otherwise
    code, output = run(*again, "--out", tmp_path / "run", "--resume", "--skip-unreadable")
    assert code == 0, output
    stored = json.loads((tmp_path / "run" / "run.json").read_text())["data"]
    assert list(stored["skipped"]) == [bad] and stored["read"] == stored["images"] == 8
    assert run(*begin, "--skip-unreadable", "--out", tmp_path / "alone")[0] == 0
    names = {"selectivity": ["selectivity.csv"], "pruning": ["pruning.csv"]}[command]
    for name in [*names, "evaluation.csv"]:
        one, other = (pd.read_csv(tmp_path / each / name) for each in ("run", "alone"))
        # permutations and halves are of nine images in one, of eight in the other; batches have other sizes
        drawn = ["csi_null", "csi_null_sd", "csi_crossfit"]
        assert len(one) and ("csi_null" not in one or one["csi_null"].notna().any())
        pd.testing.assert_frame_equal(
            one.drop(columns=drawn, errors="ignore"), other.drop(columns=drawn, errors="ignore"), rtol=1e-5
        )
    if command == "pruning":
        kept, whole = (np.load(tmp_path / each / "correctness.npz") for each in ("run", "alone"))
        for key in whole.files:
            assert np.array_equal(kept[key], whole[key]), key


def test_other_images_and_other_preprocessing_are_refused_in_words(tmp_path, files):
    folder = write(tmp_path / "images", files)
    command = [
        "evaluate",
        "mini_resnet:classes=3",
        "--untrained",
        "--data",
        f"folder:{folder}",
        "--out",
        tmp_path / "run",
    ]
    assert run(*command)[0] == 0
    record = tmp_path / "run" / "run.json"
    stored = json.loads(record.read_text())
    unfinished = stored | {"finished": False}
    record.write_text(json.dumps(unfinished))
    (folder / SYNSETS[0] / "new.JPEG").write_bytes((folder / next(iter(files))).read_bytes())
    code, output = run(*command, "--resume")
    assert code == 2 and "started on other images: 9 images, now 10" in output
    (folder / SYNSETS[0] / "new.JPEG").unlink()
    network = unfinished["networks"]["mini_resnet:classes=3"]
    assert len(network["preprocessing_hash"]) == len(unfinished["data"]["fingerprint"]) == 16
    network["preprocessing"]["interpolation"] = "bicubic"
    record.write_text(json.dumps(unfinished))
    code, output = run(*command, "--resume")
    assert code == 2 and "interpolation was bicubic, now bilinear" in output
    assert image_differences({"images": 1, "names": "a"}, {"images": 1, "names": "b"}).endswith("but other names")


def test_comparing_says_where_preprocessing_differs(tmp_path, files):
    data = ["--data", f"folder:{write(tmp_path / 'images', files)}", "--blocks", "layer3.0", "--untrained"]
    for name, size in (("a", "32"), ("b", "48")):
        out = ["--image-size", size, "--out", tmp_path / name]
        assert run("selectivity", "mini_resnet:classes=3", *data, *out)[0] == 0
    code, output = run("compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "both")
    assert code == 0 and "with other preprocessing than the first network: size was 32, now 48" in output, output


def test_a_cache_gives_the_same_numbers_as_its_images(tmp_path, files):
    folder, cache = write(tmp_path / "images", files), tmp_path / "c.cache"
    options = ["--network", "mini_resnet", "--out", cache]
    code, output = run("cache", f"folder:{folder}", *options)
    assert code == 0 and f"cache:{cache}" in output, output
    data, source = load_data(f"cache:{cache}"), load_data(f"folder:{folder}")
    assert data.fingerprint == source.fingerprint and data.classes == source.classes
    geometry = data.geometry
    for workers in (0, 2):
        ours = list(batches(data, [geometry], 4, workers=workers))
        theirs = list(batches(source, [geometry], 4))
        for mine, other in zip(ours, theirs, strict=True):
            assert torch.equal(mine.images[geometry], other.images[geometry])
            assert torch.equal(mine.labels, other.labels) and torch.equal(mine.indices, other.indices)
    some = data.limited(4)
    expected = next(batches(source.limited(4), [geometry], 4)).images[geometry]
    assert torch.equal(next(batches(some, [geometry], 4)).images[geometry], expected)
    assert len(pickle.dumps(data)) < 20_000, "pixels stay in their file"
    tables = []
    for number, reference in enumerate((f"folder:{folder}", f"cache:{cache}")):
        command = ["selectivity", "mini_resnet:classes=3", "--untrained", "--data", reference]
        assert run(*command, "--blocks", "layer3.0", "--out", tmp_path / f"run{number}")[0] == 0
        tables.append(pd.read_csv(tmp_path / f"run{number}" / "selectivity.csv"))
    pd.testing.assert_frame_equal(*tables)
    code, output = run("compare", tmp_path / "run0", tmp_path / "run1", "--out", tmp_path / "both")
    assert code == 0, output


def test_a_cache_made_otherwise_is_refused(tmp_path, files):
    cache = tmp_path / "c.cache"
    folder = write(tmp_path / "images", files)
    assert run("cache", f"folder:{folder}", "--image-size", "48", "--out", cache)[0] == 0
    command = [
        "evaluate",
        "mini_resnet:classes=3",
        "--untrained",
        "--data",
        f"cache:{cache}",
        "--out",
        tmp_path / "run",
    ]
    code, output = run(*command)
    assert code == 2 and "was made as 48 px, crop 0.875, bilinear, but 32 px, crop 1, bilinear is asked for" in output
    code, output = run("cache", f"folder:{folder}", "--out", cache)
    assert code == 2 and "is there already" in output
    cache.write_bytes(cache.read_bytes()[:-5000])
    code, output = run(*command)
    assert code == 1 and "is damaged" in output


def test_an_interrupted_cache_goes_on(tmp_path, files, monkeypatch):
    from gelens.data import cached

    folder, cache = write(tmp_path / "images", files), tmp_path / "c.cache"
    real = cached.batches

    def interrupted(*arguments, **options):
        yield next(iter(real(arguments[0], arguments[1], 4, **options)))
        raise KeyboardInterrupt

    monkeypatch.setattr(cached, "batches", interrupted)
    data = load_data(f"folder:{folder}")
    with pytest.raises(KeyboardInterrupt):
        cached.write_cache(data, GEOMETRY, cache, progress=False)
    monkeypatch.undo()
    with pytest.raises(UsageError, match="is unfinished"):
        load_data(f"cache:{cache}")
    with pytest.raises(UsageError, match="--resume"):
        cached.write_cache(data, GEOMETRY, cache, progress=False)
    with pytest.raises(UsageError, match=r"was begun as 32 px, crop 0\.9, bilinear, now 32 px, crop 1, bilinear"):
        cached.write_cache(data, (32, 1.0, "bilinear"), cache, resume=True, progress=False)
    with pytest.raises(UsageError, match="9 images, now 6"):
        cached.write_cache(data.limited(6), GEOMETRY, cache, resume=True, progress=False)
    read = []
    inner, data.read = data.read, lambda position: read.append(position) or inner(position)
    cached.write_cache(data, GEOMETRY, cache, resume=True, progress=False)
    assert sorted(read[:9]) == list(range(9)), "each is looked at: it might be another by now"
    assert read[9:] == [4, 5, 6, 7, 8], "what was decoded is not decoded again"
    expected = next(batches(data, [GEOMETRY], 9)).images[GEOMETRY]
    assert torch.equal(next(batches(load_data(f"cache:{cache}"), [GEOMETRY], 9)).images[GEOMETRY], expected)


def test_a_cache_that_is_cut_short_as_it_is_read_is_named(tmp_path, files):
    """A mapped file would end the process there."""
    from gelens.data.cached import write_cache

    cache = tmp_path / "c.cache"
    write_cache(load_data(f"folder:{write(tmp_path / 'images', files)}"), GEOMETRY, cache, progress=False)
    data = load_data(f"cache:{cache}")
    assert data.decoded(0, 2).shape == (2, 3, 32, 32)
    os.truncate(cache, 4096)
    with pytest.raises(RunError, match="was cut short as it was read"):
        list(batches(data, [GEOMETRY], 4))


def test_a_cache_in_the_making_is_gone_on_with_by_one_process_with_its_images(tmp_path, files, monkeypatch):
    """Refused are a second process, flipped bits in what is there, and other content under the same names."""
    from gelens.data import cached
    from gelens.files import only_writer

    folder, cache = write(tmp_path / "images", files), tmp_path / "c.cache"
    data, real = load_data(f"folder:{folder}"), cached.batches

    def interrupted(*arguments, **options):
        yield next(iter(real(arguments[0], arguments[1], 4, **options)))
        raise KeyboardInterrupt

    def go_on(images=data):
        cached.write_cache(images, GEOMETRY, cache, resume=True, progress=False)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cached, "batches", interrupted)
        cached.write_cache(data, GEOMETRY, cache, progress=False)
    with only_writer(tmp_path, ".c.cache.lock"), pytest.raises(UsageError, match=r"another process .* `.*c\.cache`"):
        go_on()
    whole = cache.read_bytes()
    cache.write_bytes(whole[:200] + bytes([whole[200] ^ 4]) + whole[201:])
    with pytest.raises(RunError, match="the images in it are not those that were written"):
        go_on()
    cache.write_bytes(whole)
    other, name = load_data(f"folder:{folder}"), data.identifiers[3]
    other.read = lambda position: ImageOps.invert(data[3][0]) if position == 3 else data.read(position)
    with pytest.raises(UsageError, match=f"the content of image `{name}` has changed"):
        go_on(other)
    go_on()
    expected = next(batches(data, [GEOMETRY], 9)).images[GEOMETRY]
    assert torch.equal(next(batches(load_data(f"cache:{cache}"), [GEOMETRY], 9)).images[GEOMETRY], expected)


def test_a_cache_that_was_killed_is_shortened_or_has_no_space(tmp_path, files, monkeypatch):
    from gelens.data import cached

    folder, cache = write(tmp_path / "images", files), tmp_path / "c.cache"
    data = load_data(f"folder:{folder}")
    killed = ["cache", f"folder:{folder}", "--network", "mini_resnet", "--out", cache]
    with monkeypatch.context() as patch:
        patch.setattr(cached, "batches", lambda *arguments, **options: os._exit(9))
        process = os.fork()
        if process == 0:
            cached.write_cache(data, (32, 1.0, "bilinear"), cache, progress=False)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9
    part = Path(f"{cache}.part.json")
    assert json.loads(part.read_text())["done"] == 0
    code, output = run(*killed, "--resume")
    assert code == 0 and not part.exists(), output
    assert run(*killed, "--resume")[0] == 0, "finished already"
    manifest = json.loads(Path(f"{cache}.json").read_text())
    part.write_text(json.dumps({name: manifest[name] for name in ("data", "split", "geometry", "parts")} | {"done": 4}))
    Path(f"{cache}.json").unlink()
    cache.write_bytes(cache.read_bytes()[:9000])
    code, output = run(*killed, "--resume")
    assert code == 1 and "is damaged" in output, output

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    code, output = run(*killed[:-1], tmp_path / "other")
    assert code == 1 and "No space left on device" in output and not list(tmp_path.glob("other*"))


def test_parquet_without_labels_with_names_and_with_holes(tmp_path, files):
    contents = list(files.values())[:4]

    def stored(labels, images=contents) -> str:
        rows = {"image": [image and {"bytes": image, "path": None} for image in images], "label": labels}
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
        pd.DataFrame(rows).to_parquet(path)
        return f"parquet:{path}"

    data = load_data(stored(["dog", "cat", "dog", "cat"]))
    assert data.classes == ["cat", "dog"] and data.labels.tolist() == [1, 0, 1, 0]
    data = load_data(stored(pd.array([1, None, 0, -1], dtype="Int64")))
    assert data.labels.tolist() == [1, 0] and list(data.faults.values()) == ["it has no label"] * 2
    assert np.array_equal(np.asarray(data[1][0]), np.asarray(Image.open(io.BytesIO(contents[2]))))
    with pytest.raises(UsageError, match="has no labels"):
        load_data(stored([-1] * 4))
    pd.DataFrame({"image": [1, 2], "label": [0, 1]}).to_parquet(tmp_path / "numbers.parquet")
    with pytest.raises(UsageError, match="column image is no column of images"):
        load_data(f"parquet:{tmp_path}/numbers.parquet")
    with pytest.raises(UsageError, match="expected whole numbers or class names"):
        load_data(stored([0.5, 1, 2, 3]))
    data = load_data(stored([0, 1, 0, 1], [contents[0], None, contents[2], contents[3]]))
    assert len(checked(data, skip=True, progress=False)) == 3


def test_links_in_a_circle_and_hidden_folders(tmp_path, files):
    folder = write(tmp_path, files | {f"{SYNSETS[0]}/.hidden/a.JPEG": files[next(iter(files))]})
    (folder / "round").symlink_to(folder / "round")
    (folder / SYNSETS[1] / "x.JPEG").symlink_to("x.JPEG")
    for form in ("folder", "imagenet"):
        data = load_data(f"{form}:{folder}")
        assert f"{SYNSETS[0]}/.hidden/a.JPEG" not in list(data.identifiers) and len(data) == 9
        bad = bad_images(data, progress=False)
        assert set(bad) == {"round", f"{SYNSETS[1]}/x.JPEG"}


def test_tars_of_odd_layouts(tmp_path, files):
    one = files[next(iter(files))]

    def classes(names, split="") -> tuple[list[str], list[str], list[str]]:
        path = write_tar(tmp_path / f"{len(list(tmp_path.iterdir()))}.tar", dict.fromkeys(names, one))
        data = load_data(f"tar:{path}{split}")
        return data.classes, list(data.identifiers), list(data.faults.values())

    assert classes(["set/logo.png", "set/cat/1.jpg", "set/dog/1.jpg"])[:2] == (
        ["cat", "dog"],
        ["cat/1.jpg", "dog/1.jpg"],
    )
    assert classes(["cat/sub/1.jpg", "cat/sub/2.jpg"])[0] == ["cat"]
    assert classes(["././dog/2.jpg", "cat//1.jpg"])[1] == ["cat/1.jpg", "dog/2.jpg"]
    assert classes(["val/cat/1.jpg", "extra/dog/1.jpg"]) == (["cat"], ["cat/1.jpg"], ["it is in no split"])
    assert classes(["a/val/cat/1.jpg", "b/val/cat/1.jpg"])[2] == ["another image has its name"]
    with tarfile.open(write_tar(tmp_path / "link.tar", {"cat/1.jpg": one, "dog/2.jpg": one}), "a") as archive:
        member = tarfile.TarInfo("dog/1.jpg")
        member.type, member.linkname = tarfile.LNKTYPE, "cat/1.jpg"
        archive.addfile(member)
    assert "link inside the archive" in load_data(f"tar:{tmp_path}/link.tar").faults["dog/1.jpg"]


def test_shards_that_count_alike_and_masks_beside_images(tmp_path, files):
    one, two = list(files.values())[:2]
    for number in range(2):
        shard = {"000.mask.png": two, "000.JPG": one, "000.CLS": b"1", "001.jpg": two, "001.cls": b"0"}
        write_tar(tmp_path / f"s{number}.tar", shard)
    data = load_data(f"webdataset:{tmp_path}/*.tar")
    assert list(data.identifiers)[::2] == ["s0.tar/000.JPG", "s1.tar/000.JPG"] and data.labels.tolist() == [1, 0, 1, 0]
    write_tar(tmp_path / "x.tar", {"a.jpg": one, "b.jpg": two, "b.cls": b"9" * 30})
    with pytest.raises(RunError, match=r"2 images of .*no \.cls and no \.json.*is outside 0 … 99999"):
        checked(load_data(f"webdataset:{tmp_path}/x.tar"), progress=False)


def test_a_reading_process_that_dies_is_one_line(tmp_path, files):
    data = load_data(f"folder:{write(tmp_path, files)}")
    data.read = lambda position: os._exit(1)
    with pytest.raises(RunError, match="a process that reads images died"):
        list(batches(data, [GEOMETRY], 3, workers=1))


def test_images_are_decoded_once_for_several_geometries(tmp_path, files):
    data = load_data(f"folder:{write(tmp_path, files)}")
    read = []
    inner, data.read = data.read, lambda position: read.append(position) or inner(position)
    other = (24, 1.0, "bicubic")
    (batch,) = batches(data, [GEOMETRY, other, GEOMETRY], 9)
    assert read == list(range(9)) and {each.shape[-1] for each in batch.images.values()} == {32, 24}


MILLION = """
import resource, time
import numpy as np
from torch.utils.data import DataLoader, Dataset
from gelens.data.datasets import ImageData
from gelens.data.identifiers import Names

start = time.perf_counter()
names = Names(f"n{number % 1000:08}/{number:07}.JPEG" for number in range(1_000_000))
data = ImageData("many", "", [str(label) for label in range(1000)], np.arange(1_000_000) % 1000, names, None)
data.fingerprint, data.limited(50_000)
opened = time.perf_counter() - start

class Looked(Dataset):
    def __len__(self):
        return 400
    def __getitem__(self, part):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for position in range(part * 2500, part * 2500 + 2500):
            data.identifiers[position], data.labels[position]
        return np.array([before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss])

seen = np.concatenate([batch.numpy() for batch in DataLoader(Looked(), 4, num_workers=2)])
print(opened, (seen[:, 1].max() - seen[:, 0].min()) / 1024)
"""


@pytest.mark.slow
def test_a_million_names_open_in_seconds_and_cost_a_worker_nothing():
    """Looking at every name in two worker processes: Python's own strings would be copied into each, some 100 MB."""
    output = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True, check=True).stdout
    opened, grown = map(float, output.split()[-2:])
    assert opened < 30 and grown < 30, f"{opened:.1f} s, {grown:.0f} MB"


def test_references_that_name_nothing(tmp_path, files):
    for reference, message in {
        "imagenet": "no folder ``; expected imagenet:DIR",
        f"tar:{tmp_path}/no.tar": "no file",
        f"parquet:{tmp_path}/no-*.parquet": "no files",
        f"webdataset:{tmp_path}/no-*.tar#train": "have no split `train`",
        "cache:no": "no cache `no`",
        "hf": "takes the name of a data set",
    }.items():
        with pytest.raises(UsageError, match=message):
            load_data(reference)
    with pytest.raises(UsageError, match=f"Valid: {', '.join(FORMS)}"):
        load_data("imagnet:x")
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(RunError, match="cannot be read as parquet"):
        load_data(f"parquet:{tmp_path}/bad.parquet")
    with pytest.raises(RunError, match="could not be fetched"):
        load_data(f"hf:{tmp_path}/nothing")


def test_hugging_face_is_asked_for_where_it_is_absent(monkeypatch, tmp_path, files):
    write_parquet(tmp_path / "a.parquet", files)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"needs the package `datasets`: pip install 'gelens\[hf\]'"):
        load_data(f"parquet:{tmp_path}/a.parquet")


def test_names_are_what_they_were():
    names = Names(["a", "bé", os.fsdecode(b"\xff.png"), ""])
    assert (
        list(names) == ["a", "bé", os.fsdecode(b"\xff.png"), ""]
        and names[-3] == "bé"
        and names[1:3] == names.take([1, 2])
    )
    assert names.tobytes() != Names(["ab", "é", os.fsdecode(b"\xff.png"), ""]).tobytes()


def test_a_network_of_other_classes_is_pointed_out(tmp_path, caplog):
    """By names: what it gets right on other classes means nothing."""
    from gelens.networks import load_network, save_weights
    from gelens.subjects import fit_classes

    digits = load_data("digits#val")
    network = load_network("mini_resnet")
    network.class_names = tuple(digits.classes)
    save_weights(network, tmp_path / "w.safetensors")
    trained = load_network(f"mini_resnet@{tmp_path}/w.safetensors")
    fit_classes([trained], digits)
    assert "trained on" not in caplog.text and trained.class_names == tuple(digits.classes)
    trained.class_names = ("nine", *trained.class_names[1:])
    fit_classes([trained], digits)
    assert "was trained on the classes nine, 1, 2 …, but these images are of 0, 1, 2 …" in caplog.text
