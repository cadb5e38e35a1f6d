"""What can be mixed up is told apart by what it is: images by their pixels, whatever they are called."""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageOps

import gelens
from gelens.analyses.inputs import Inputs
from gelens.api import Request, record_requests
from gelens.data import load_data
from gelens.data.cached import write_cache
from gelens.data.contents import content_of
from gelens.data.datasets import ImageData
from gelens.errors import RunError, UsageError
from gelens.networks import load_network, save_weights
from gelens.networks.weights import network_card, weights_file_hash, weights_hash
from gelens.recording import Recording, open_recording
from gelens.results.run import Run, read_record
from gelens.subjects import label_networks
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
        patch.setattr(
            "gelens.analyses.requests.sampled_contents",
            lambda _: open_recording_part(tmp_path / "1").described["sample"],
        )
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
    with pytest.raises(RunError, match="repeat the command with --resume"):
        record_requests(requests, broken, options(), folder)


@pytest.mark.slow
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
    from gelens.recording import checksums, format

    data = make_data(12)
    for done in (True, False):
        folder = tmp_path / str(done)
        if done:
            record_requests(requests, data, options(), folder)
        else:
            interrupted(requests, data, folder, 8)
        described = format.read_described(folder)
        images = pd.read_csv(folder / "images.csv", keep_default_na=False).drop(columns="content")
        images.to_csv(folder / "images.csv", index=False)
        described["sums"]["images"] = checksums.images_sum(images.assign(content=""), 0, described["rows_done"], 0)
        described["sample"] = {}
        format.write_described(folder, described)
        recording = record_requests(requests, data, options(), folder, resume=True)
        assert recording.finished and recording.identity is None
        assert open_recording(folder).contents[:8] == [""] * 8
    assert open_recording(folder).contents[8:] == [content_of(data[each][0]).hex() for each in range(8, 12)]


# -- runs


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A finished run of selectivity, with its recording."""
    folder = tmp_path_factory.mktemp("measured") / "run"
    few = ["--permutations", 2, "--replicates", 2, "--blocks", "layer3.5", "--blocks", "layer3.4"]
    code, output = run(
        "selectivity", "mini_resnet", "mini_resnet_se", "--untrained", "--limit", 60, *few, "--out", folder
    )
    assert code == 0, output
    return folder


@pytest.fixture
def sealed(measured, tmp_path):
    shutil.copytree(measured, tmp_path / "run")
    return tmp_path / "run"


def edit_table(name: str, column: str):
    def edit(folder: Path) -> None:
        table = pd.read_csv(folder / name)
        table[column] = table[column] + 0.25
        table.to_csv(folder / name, index=False)

    return edit


def edit_record(folder: Path) -> None:
    path = folder / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"findings": ["one network is far more selective than the other"]}))


def edit_arrays(folder: Path) -> None:
    path = folder / "selectivity_replicates.npz"
    with np.load(path) as stored:
        np.savez(path, **{name: stored[name] + 1 for name in stored.files})


EDITS = {
    "index": (edit_table("selectivity.csv", "csi"), "report", "selectivity.csv` is not what the run wrote"),
    "blocks": (edit_table("selectivity_blocks.csv", "mean_csi"), "compare", "blocks.csv` is not what the run wrote"),
    "error": (edit_table("evaluation.csv", "top1_error"), "report", "evaluation.csv` is not what the run wrote"),
    "gap": (edit_table("selectivity_gap.csv", "mean_gap"), "figures", "selectivity_gap.csv` is not what the run wrote"),
    "findings": (edit_record, "report", "run.json of .* was changed after the run was finished"),
    "arrays": (edit_arrays, "compare", "replicates.npz` is not what the run wrote"),
}


@pytest.mark.parametrize("kind", EDITS)
def test_what_was_edited_is_not_reported_as_it_stands(sealed, tmp_path, kind):
    edit, command, message = EDITS[kind]
    out = [] if command == "figures" else ["--out", tmp_path / "out"]
    edit(sealed)
    code, output = run(command, sealed, *out)
    assert code == 1 and re.search(message, output) and "Traceback" not in output, output
    code, output = run("verify", sealed)
    assert code == 1 and re.search(message, output), output
    record = json.loads((sealed / "run.json").read_text())
    record.pop("seal")
    (sealed / "run.json").write_text(json.dumps(record))
    code, output = run(command, sealed, *out)
    assert code == 0 and "is not sealed" in output, output


def test_a_run_that_is_whole_is_verified_with_its_recording(sealed, tmp_path):
    code, output = run("verify", sealed)
    assert code == 0 and re.search(r"run: \d+ files and arrays are what was written", output), output
    code, output = run("verify", sealed / "recording")
    assert code == 0, output
    path = next((sealed / "recording").glob("*/layer3.5.output.npy"))
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    code, output = run("verify", sealed)
    assert code == 1 and "are not those that were written" in output, output
    (sealed / "selectivity.csv").unlink()
    code, output = run("verify", sealed)
    assert code == 1 and "selectivity.csv` is gone" in output, output
    record = json.loads((sealed / "run.json").read_text())
    del record["seal"], record["files"]
    (sealed / "run.json").write_text(json.dumps(record))
    code, output = run("verify", sealed)
    assert code == 1 and "is not sealed: an older version made it" in output, output


def test_a_recording_that_is_not_the_runs_is_not_computed_from(sealed, tmp_path):
    path = sealed / "recording" / "recording.json"
    path.write_text(path.read_text() + "\n")
    code, output = run("selectivity", "--from", sealed, "--out", tmp_path / "out")
    assert code == 1 and "recording.json` is not what the run wrote" in output, output


def test_a_table_changed_before_its_run_is_finished_is_told(tmp_path):
    whole = Run(tmp_path / "run", "evaluate", {})
    whole.write_table("t.csv", pd.DataFrame({"x": [1]}))
    (tmp_path / "run" / "t.csv").write_text("x\n2\n")
    with pytest.raises(RunError, match=r"`.*t\.csv` is not what the run wrote: something else writes"):
        whole.finish()
    assert not read_record(tmp_path / "run")["finished"]


def test_runs_on_images_of_the_same_names_that_show_something_else_are_not_compared(tmp_path):
    few = ["--untrained", "--permutations", 2, "--replicates", 2, "--blocks", "layer3.5"]
    for name in ("one", "other"):
        data = make_data(40)
        data = data if name == "one" else inverted(data, [7])
        reference = written(tmp_path / "images", data, "bmp")  # files of the same names and sizes
        code, output = run("selectivity", "mini_resnet:classes=4", "--data", reference, *few, "--out", tmp_path / name)
        assert code == 0, output
    records = [read_record(tmp_path / name)["data"] for name in ("one", "other")]
    assert records[0]["fingerprint"] == records[1]["fingerprint"] and records[0]["contents"] != records[1]["contents"]
    code, output = run("compare", tmp_path / "one", tmp_path / "other", "--out", tmp_path / "c")
    assert code == 2 and "not the same ones (what they show differs)" in output, output


# -- networks


def test_a_module_that_a_factory_imports_is_part_of_its_network(tmp_path, monkeypatch):
    """Between halves of a recording, and in what a run's --resume compares."""
    factory, helper, package = tmp_path / "mine.py", tmp_path / "own_parts.py", tmp_path / "own_package"
    package.mkdir()
    (package / "__init__.py").write_text("from .inner import scale\n")
    (package / "inner.py").write_text("scale = 1.0\n")
    helper.write_text("import own_package\n\ndef act(x):\n    return x.relu() * own_package.scale\n")
    factory.write_text(
        "import torch\nfrom own_parts import act\n\n"
        "class Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.conv, self.fc = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 4)\n"
        "    def forward(self, x):\n        return self.fc(act(self.conv(x)).mean((2, 3)))\n\n"
        "def build():\n    torch.manual_seed(0)\n    return Net()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    reference = f"{factory}:build"

    def known():
        card = network_card(load_network(reference))
        return card["weights_hash"], card["code"], Inputs([reference], "digits").as_arguments()["code"]

    first = known()
    assert known() == first
    for path, old, new in ((helper, "relu()", "abs()"), (package / "inner.py", "1.0", "2.0")):
        path.write_text(path.read_text().replace(old, new))
        now = known()
        assert now[0] == first[0] and now[1] != first[1] and now[2] != first[2]
        path.write_text(path.read_text().replace(new, old))
    (tmp_path / "unrelated.py").write_text("x = 1\n")
    assert known() == first
    interrupted({"it": Request(load_network(reference))}, make_data(12), tmp_path / "r", 8)
    helper.write_text(helper.read_text().replace("relu()", "abs()"))
    with pytest.raises(UsageError, match="networks it code was"):
        record_requests({"it": Request(load_network(reference))}, make_data(12), options(), tmp_path / "r", resume=True)


def test_a_file_that_a_factory_reads_is_part_of_what_a_network_is(tmp_path):
    """No hash of weights or code sees it: the network answers noise otherwise."""
    settings, factory = tmp_path / "settings.json", tmp_path / "reads.py"
    factory.write_text(
        "import json, pathlib, torch\n\n"
        "class Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.factor = json.loads(pathlib.Path(__file__).with_name('settings.json').read_text())\n"
        "        self.conv, self.fc = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 4)\n"
        "    def forward(self, x):\n        return self.fc(self.factor * self.conv(x).relu().mean((2, 3)))\n\n"
        "def build():\n    torch.manual_seed(0)\n    return Net()\n"
    )
    reference, data = f"{factory}:build", make_data(12)

    def requested():
        return {"it": Request(load_network(reference))}

    settings.write_text("1.0")
    interrupted(requested(), data, tmp_path / "r", 8)
    record_requests(requested(), data, options("1/2"), tmp_path / "one")
    settings.write_text("3.0")
    with pytest.raises(UsageError, match="it answers the same images of noise otherwise than it did"):
        record_requests(requested(), data, options(), tmp_path / "r", resume=True)
    record_requests(requested(), data, options("2/2"), tmp_path / "two")
    with pytest.raises(UsageError, match="it answered the same images of noise otherwise"):
        gelens.merge([tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    settings.write_text("1.0")
    assert record_requests(requested(), data, options(), tmp_path / "r", resume=True).finished


def test_weights_have_one_hash_in_file_run_and_recording(tmp_path):
    network = make_network("mini_resnet_se:classes=4")
    save_weights(network, tmp_path / "w.safetensors")
    torch.save(network.state_dict(), tmp_path / "w.pth")
    less = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save({"state_dict": less}, tmp_path / "less.pth")
    files = [weights_file_hash(tmp_path / name) for name in ("w.safetensors", "w.pth", "less.pth")]
    assert set(files) == {weights_hash(network)}
    save_weights(network.half(), tmp_path / "half.safetensors")
    loaded = load_network(f"mini_resnet_se@{tmp_path}/half.safetensors")
    assert weights_file_hash(tmp_path / "half.safetensors") == weights_hash(loaded) != files[0]
    recording = record_requests({"it": Request(loaded)}, make_data(4), options())
    arguments = Inputs([f"mini_resnet_se@{tmp_path}/half.safetensors"], "digits").as_arguments()
    assert list(arguments["weights"].values()) == [recording.networks["it"]["weights_hash"]] == [weights_hash(loaded)]


def test_one_file_under_three_names_is_no_group_of_trainings(tmp_path):
    save_weights(load_network("mini_resnet"), tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").symlink_to(tmp_path / "a.safetensors")
    shutil.copy(tmp_path / "a.safetensors", tmp_path / "c.safetensors")
    files = ",".join(str(tmp_path / name) for name in ("a.safetensors", "b.safetensors", "c.safetensors"))
    with pytest.raises(UsageError, match="`mini_resnet#0` and `mini_resnet#1` of the group `mini_resnet` are the same"):
        label_networks([f"mini_resnet@{files}"])


def test_no_network_vanishes_beside_a_group(tmp_path):
    torch.manual_seed(0)
    for name in ("a", "b"):
        save_weights(load_network("mini_resnet"), tmp_path / f"{name}.safetensors")
    group = f"a=mini_resnet@{tmp_path}/a.safetensors,{tmp_path}/b.safetensors"
    assert list(label_networks([group, "c=mini_resnet"])) == ["a#0", "a#1", "c"]
    for order in ([group, "a#0=mini_resnet"], ["a#0=mini_resnet", group]):
        with pytest.raises(UsageError, match="`a#0` is the training of seed 0 in the group `a`, and another"):
            label_networks(order)


def test_equal_weights_behind_other_gates_are_another_network(tmp_path):
    """Gates without parameters: an index of the one is not taken for the other."""
    few = ["--permutations", 2, "--replicates", 2, "--blocks", "layer3.5", "--limit", 40]
    whole, near = ("mini_resnet_ge_theta_minus:extent=" + extent for extent in ("global", "2"))
    code, output = run("selectivity", whole, "--untrained", "--data", "digits#train", *few, "--out", tmp_path / "index")
    assert code == 0, output
    few = ["--ratio", 0.5, "--blocks", "layer3.5", "--limit", 8, "--score", "selectivity", "--rows", 16]
    few += ["--selectivity-from", tmp_path / "index", "--untrained"]
    code, output = run("pruning", near, *few, "--out", tmp_path / "near")
    assert code == 2 and "but other code or settings" in output, output
    code, output = run("pruning", whole, *few, "--out", tmp_path / "whole")
    assert code == 0, output


# -- leaks


def test_images_of_an_index_are_not_measured_however_they_are_written(tmp_path):
    data = make_data(24)
    reference = written(tmp_path / "d", data)
    shutil.copytree(tmp_path / "d", tmp_path / "copy")
    net = ["mini_resnet:classes=4", "--untrained", "--blocks", "layer3.5"]
    few = ["--permutations", 2, "--replicates", 2]
    for keep in ([], ["--no-keep"]):
        index = tmp_path / f"index{len(keep)}"
        code, output = run("selectivity", *net, *few, *keep, "--data", reference, "--out", index)
        assert code == 0, output
        for number, other in enumerate(
            (f"folder:{tmp_path}/copy", f"folder:{tmp_path}/./d", f"folder:{tmp_path}/copy")
        ):
            dropping = ["--ratio", 0.5, "--score", "selectivity", "--selectivity-from", index, "--rows", 16]
            some = ["--per-class", 2] if number == 2 else []
            code, output = run(
                "pruning", *net, *dropping, *some, "--data", other, "--out", tmp_path / f"p{len(keep)}{number}"
            )
            assert code == 2 and "that means or indices were taken from, whatever they are called" in output, output
    assert (tmp_path / "index1" / "images.npz").is_file() and not (tmp_path / "index1" / "recording").exists()


@pytest.mark.parametrize("command", ["pruning", "gates"])
def test_images_of_means_are_not_measured_however_they_are_written(tmp_path, command):
    reference = written(tmp_path / "d", make_data(24))
    shutil.copytree(tmp_path / "d", tmp_path / "copy")
    write_cache(load_data(reference), (32, 1.0, "bilinear"), tmp_path / "c", progress=False)
    net = ["mini_resnet_se:classes=4", "--untrained", "--blocks", "layer3.5", "--data", reference]
    how = ["--ratio", 0.5, "--fill", "mean", "--rows", 16] if command == "pruning" else ["--replicates", 2]
    how += [] if command == "pruning" else ["--permutations", 2]
    for number, other in enumerate((f"folder:{tmp_path}/./d", f"folder:{tmp_path}/copy", f"cache:{tmp_path}/c")):
        code, output = run(command, *net, *how, "--means-from", other, "--out", tmp_path / f"{number}")
        assert code == 2 and ("whatever they are called" in output or "are measured; expected others" in output), output


def test_a_few_copies_among_many_images_are_told_and_not_refused(requests, caplog):
    data = make_data(300)
    shown = record_requests(requests, data.subset(range(200)), options()).contents
    apart = {"it": replace(requests["it"], apart_from=frozenset(shown))}
    record_requests(apart, data.subset(range(199, 300)), options())
    assert "1 of 101 images that are measured are also among the 200" in caplog.text or not caplog.text
    with pytest.raises(UsageError, match=r"1 of the first \d+ images that are measured, such as `noise-199`"):
        record_requests(apart, data.subset(range(199, 289)), options())


# -- names and versions


def test_names_that_differ_in_control_characters_alone_are_refused():
    pictures = lambda names: ImageData("x", "", ["a"], [0] * len(names), names, make_data(4).read)
    assert pictures(["x\ny", "z"]).identifiers[0] == "x\\ny"
    for names in (["x\ny", "x\\ny"], ["x\\ny", "x\ny"]):
        with pytest.raises(RunError, match="two images are called"):
            pictures(names)


def test_versions_are_kept_by_ranges_of_rows(requests, tmp_path, monkeypatch):
    data = make_data(16)
    interrupted(requests, data, tmp_path / "r", 8)
    monkeypatch.setattr("gelens.analyses.requests.versions", lambda: {"torch": "another"})
    recording = record_requests(requests, data, options(), tmp_path / "r", resume=True)
    made = open_recording(tmp_path / "r").described["made"]
    assert [(each["start"], each["stop"]) for each in made] == [(0, 8), (8, 16)] and recording.finished
    assert made[1]["versions"] == {"torch": "another"} != made[0]["versions"]
    for shard in ("1/2", "2/2"):
        monkeypatch.setattr("gelens.analyses.requests.versions", lambda shard=shard: {"torch": shard})
        record_requests(requests, data, options(shard), tmp_path / shard[0])
    whole = gelens.merge([tmp_path / "1", tmp_path / "2"], tmp_path / "whole")
    assert [(each["start"], each["stop"], each["versions"]["torch"]) for each in whole.described["made"]] == [
        (0, 8, "1/2"),
        (8, 16, "2/2"),
    ]
