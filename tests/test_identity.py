"""What can be mixed up is told apart by what it is: images by their pixels, whatever they are called."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageOps

import gelens
from gelens.api import Request, record_requests
from gelens.data import load_data
from gelens.data.cached import write_cache
from gelens.data.contents import content_of
from gelens.data.datasets import ImageData
from gelens.errors import RunError, UsageError
from gelens.recording import Recording, open_recording
from gelens.sweep.sharing import Shard
from tests.commands.test_cli import run
from tests.conftest import make_data, make_network

BLOCK = "layer3.5"


def options(shard: str | None = None, workers: int = 0) -> gelens.SweepOptions:
    chosen = None if shard is None else Shard.parse(shard)
    return gelens.SweepOptions("cpu", batch_size=4, progress=False, shard=chosen, workers=workers)


def inverted(data: ImageData, positions=None) -> ImageData:
    """Images of the same names, labels and sizes of files, some of which show something else."""
    other, read = data.subset(range(len(data))), data.read
    chosen = range(len(data)) if positions is None else positions
    other.read = lambda position: ImageOps.invert(read(position)) if position in chosen else read(position)
    return other


@pytest.fixture(scope="module")
def network():
    return make_network("mini_resnet_se:classes=4")


@pytest.fixture
def requests(network):
    return {"it": Request(network, [BLOCK])}


def written(folder: Path, data: ImageData, kind: str = "png") -> str:
    """The images as files in class folders, and the reference to them."""
    for position, name in enumerate(data.identifiers):
        path = folder / data.classes[data.labels[position]] / f"{name}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        data[position][0].save(path)
    return f"folder:{folder}"


# -- one hash of an image


def test_an_image_is_its_pixels_whatever_it_is_called_or_packed_in(tmp_path):
    data = make_data(6)
    for kind in ("png", "bmp"):
        written(tmp_path / kind, data, kind)
    shown = [{content_of(image) for image, *_ in load_data(f"folder:{tmp_path}/{kind}")} for kind in ("png", "bmp")]
    assert shown[0] == shown[1] == {content_of(data[position][0]) for position in range(6)} and len(shown[0]) == 6
    image = data[0][0]
    other = image.copy()
    other.putpixel((5, 5), tuple((np.array(image.getpixel((5, 5))) + 1).tolist()))
    assert content_of(other) != content_of(image)
    assert content_of(Image.new("RGB", (2, 3))) != content_of(Image.new("RGB", (3, 2)))


def test_a_tensor_is_its_type_shape_and_values():
    values = torch.arange(12, dtype=torch.float32).reshape(3, 2, 2)
    assert content_of(values) == content_of(values.clone().permute(1, 2, 0).contiguous().permute(2, 0, 1))
    others = [values.double(), values.reshape(3, 1, 4), values + 1e-6, values.to(torch.uint8)]
    assert len({content_of(each) for each in [values, *others]}) == 5


@pytest.mark.parametrize("workers", [0, 2])
def test_every_row_of_a_recording_tells_what_was_shown(requests, tmp_path, workers):
    data = make_data(10)
    recording = record_requests(requests, data, options(workers=workers), tmp_path / "r")
    expected = [content_of(data[position][0]).hex() for position in range(10)]
    assert recording.contents == expected == open_recording(tmp_path / "r").contents
    assert pd.read_csv(tmp_path / "r" / "images.csv")["content"].tolist() == expected
    pairs = [(torch.randn(3, 32, 32), 0) for _ in range(6)]
    for foreign in (pairs, torch.utils.data.DataLoader(pairs, batch_size=4)):
        assert record_requests(requests, foreign, options(workers=workers)).contents == [
            content_of(image).hex() for image, _ in pairs
        ]


def test_a_cache_keeps_what_its_images_were(requests, tmp_path):
    data = make_data(10)
    write_cache(data, (32, 1.0, "bilinear"), tmp_path / "c", progress=False)
    cached = load_data(f"cache:{tmp_path}/c")
    plain, again = (record_requests(requests, each, options()) for each in (data, cached))
    assert plain.contents == again.contents and plain.identity == again.identity
    some = record_requests(requests, cached.subset([7, 2]), options())
    assert some.contents == [plain.contents[7], plain.contents[2]]


# -- shards, resuming, comparing


def test_shards_of_other_images_of_the_same_names_do_not_merge(requests, tmp_path):
    data = make_data(16)
    record_requests(requests, data, options("1/2"), tmp_path / "1")
    record_requests(requests, inverted(data), options("2/2"), tmp_path / "2")
    with pytest.raises(UsageError, match=r"is of other images than .*: 16 of 16 that both have read show something"):
        gelens.merge([tmp_path / "1", tmp_path / "2"], tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


def test_an_image_that_was_replaced_in_a_recorded_shard_is_told_by_the_others_sample(requests, tmp_path, monkeypatch):
    """What one shard saw of some images is held against the rows that another recorded of them."""
    data = make_data(16)
    record_requests(requests, data, options("1/2"), tmp_path / "1")
    with monkeypatch.context() as patch:  # replaced after the look at some images, before the pass
        patch.setattr("gelens.api.sampled_contents", lambda _: open_recording_part(tmp_path / "1").described["sample"])
        record_requests(requests, inverted(data, [12]), options("2/2"), tmp_path / "2")
    with pytest.raises(UsageError, match="show something else, such as `noise-12`"):
        gelens.merge([tmp_path / "1", tmp_path / "2"], tmp_path / "whole")


def open_recording_part(folder):
    from gelens.recording.store import open_any

    return open_any(folder)


def interrupted(requests, data, folder, after: int) -> None:
    """A recording of some images, whose pass ends as the one after them is read."""
    broken, read = data.subset(range(len(data))), data.read

    def fails(position):
        if position >= after:
            raise OSError("gone")
        return read(position)

    broken.read, broken.checked = fails, True
    with pytest.raises(RunError, match="--resume goes on"):
        record_requests(requests, broken, options(), folder)


def test_an_image_replaced_while_a_recording_is_interrupted_is_told(requests, tmp_path, monkeypatch):
    """Whichever it is: one that is among no sample, too."""
    monkeypatch.setattr("gelens.data.contents.SAMPLED", 1)
    data = make_data(12)
    for position in range(8):
        interrupted(requests, data, tmp_path / "r", 8)
        message = f"others now: `noise-{position}` shows something else|content of image `noise-{position}` has changed"
        with pytest.raises((RunError, UsageError), match=message):
            record_requests(requests, inverted(data, [position]), options(), tmp_path / "r", resume=True)
        done = record_requests(requests, data, options(), tmp_path / "r", resume=True)
        assert done.contents == [content_of(data[each][0]).hex() for each in range(12)]
        done.discard()


def test_tensors_replaced_while_a_recording_is_interrupted_are_told(requests, tmp_path):
    pairs = [(torch.randn(3, 32, 32), number % 3) for number in range(12)]

    class Broken(list):
        def __getitem__(self, position):
            if position >= 8 and position != len(self) - 1:
                raise RunError("gone")
            return super().__getitem__(position)

    with pytest.raises(RunError, match="gone"):
        record_requests(requests, Broken(pairs), options(), tmp_path / "r")
    others = list(pairs)
    others[3] = (pairs[3][0] + 1, pairs[3][1])
    for kind in (others, torch.utils.data.DataLoader(others, batch_size=4)):
        with pytest.raises(RunError, match=r"8 images .* are others now: `3` shows something else"):
            record_requests(requests, kind, options(), tmp_path / "r", resume=True)
    assert record_requests(requests, pairs, options(), tmp_path / "r", resume=True).finished


def test_match_compares_what_images_show(requests, tmp_path):
    data = make_data(24)
    record_requests(requests, data, options(), tmp_path / "one")
    record_requests(requests, inverted(data, [5]), options(), tmp_path / "other")
    written(tmp_path / "files", data)
    files = load_data(f"folder:{tmp_path}/files")
    order = [
        files.identifiers[:].index(f"{data.classes[label]}/{name}.png")
        for label, name in zip(data.labels, data.identifiers, strict=True)
    ]
    record_requests(requests, files.subset(order), options(), tmp_path / "elsewhere")
    code, output = run("match", tmp_path / "one", tmp_path / "other", "--out", tmp_path / "m")
    assert code == 2 and "1 of 24 show something else, first row 5" in output
    code, output = run("match", tmp_path / "one", tmp_path / "elsewhere", "--out", tmp_path / "n")
    assert code == 0, output


# -- caches


@pytest.fixture
def cache(tmp_path):
    data = make_data(40)
    write_cache(data, (32, 1.0, "bilinear"), tmp_path / "c", progress=False)
    return tmp_path / "c"


def blacken(cache: Path, rows) -> None:
    pixels = np.load(cache, mmap_mode="r+")
    pixels[rows] = 0
    pixels.flush()


@pytest.mark.parametrize("workers", [0, 2])
def test_blackened_images_of_a_cache_are_not_measured(requests, cache, workers):
    blacken(cache, range(20, 30))
    with pytest.raises(RunError, match=r"the cache `.*` is damaged: image `noise-20` is not what was written"):
        record_requests(requests, load_data(f"cache:{cache}"), options(workers=workers))
    with pytest.raises(RunError, match="image `noise-25` is not what was written"):
        load_data(f"cache:{cache}")[25]


def test_changed_labels_of_a_cache_are_not_measured(cache):
    manifest = Path(f"{cache}.json")
    made = json.loads(manifest.read_text())
    others = [(label + 1) % 4 for label in made["labels"]]
    manifest.write_text(json.dumps(made | {"labels": others}))
    with pytest.raises(RunError, match="its manifest says something else than was written"):
        load_data(f"cache:{cache}")
    del made["sum"]
    manifest.write_text(json.dumps(made | {"labels": others}))
    with pytest.raises(RunError, match=r"its manifest tells two things: .* but other labels"):
        load_data(f"cache:{cache}")


def as_of_before(cache: Path) -> dict:
    """The manifest that an older version wrote: one sum of all images, and no hash of any."""
    from gelens.files import RowSums

    made = json.loads(Path(f"{cache}.json").read_text())
    sums = RowSums()
    sums.add(np.load(cache))
    old = {name: value for name, value in made.items() if name not in ("sum", "shown")} | {"sums": sums.sums}
    Path(f"{cache}.json").write_text(json.dumps(old))
    return old


def test_a_cache_of_before_is_compared_as_a_whole(requests, cache, caplog):
    as_of_before(cache)
    data = load_data(f"cache:{cache}")
    recording = record_requests(requests, data, options())
    assert set(recording.contents) == {""} and recording.identity is None
    assert "of an older version, which kept no hashes" in " ".join(caplog.messages) or caplog.messages == []
    blacken(cache, range(20, 30))
    with pytest.raises(RunError, match="its images are not those that were written"):
        load_data(f"cache:{cache}")


# -- arrays


def test_an_array_cut_short_during_a_pass_is_no_table_of_zeros(requests, tmp_path, monkeypatch):
    """Cut as rows are written, once: what is written after the end makes the file as long as it was, with zeros."""
    write, cut = Recording.write, []

    def cuts(self, start, rows, images):
        if start == 8:
            path = self.path("it") / f"{BLOCK}.output.npy"
            cut.append(path.stat().st_size)
            os.truncate(path, 256)
            if lengthen:
                os.truncate(path, cut[-1])
        write(self, start, rows, images)

    monkeypatch.setattr(Recording, "write", cuts)
    for lengthen, message in ((False, "something else has cut"), (True, "not those that were written")):
        with pytest.raises(RunError, match=message):
            recording = record_requests(requests, make_data(24), options(), tmp_path / str(lengthen))
            recording.array("it", f"{BLOCK}.output")


def test_a_recording_of_before_is_read_and_gone_on_with(requests, tmp_path):
    """Without a column of contents, as older versions wrote it."""
    from gelens.recording import store

    data = make_data(12)
    for done in (True, False):
        folder = tmp_path / str(done)
        if done:
            record_requests(requests, data, options(), folder)
        else:
            interrupted(requests, data, folder, 8)
        described = store._read_json(folder)
        images = pd.read_csv(folder / "images.csv", keep_default_na=False).drop(columns="content")
        images.to_csv(folder / "images.csv", index=False)
        described["sums"]["images"] = store._images_sum(images.assign(content=""), 0, described["rows_done"], 0)
        described["sample"] = {}
        store._write_json(folder, described)
        recording = record_requests(requests, data, options(), folder, resume=True)
        assert recording.finished and recording.identity is None
        assert open_recording(folder).contents[:8] == [""] * 8
    assert open_recording(folder).contents[8:] == [content_of(data[each][0]).hex() for each in range(8, 12)]
