"""Runs' folders and recordings of strangers: one line for whatever is not as it should be, and nothing else touched."""

import json
import os
import re
import resource
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import cli
from gelens.data.manifests import read_manifest
from gelens.errors import RunError, UsageError, plain
from gelens.figures.drawing import draw
from gelens.recording import Kept, Recording, open_recording
from gelens.recording.format import discard
from gelens.results.run import Run, read_record, read_table
from gelens.tables.evaluation import evaluation_table
from gelens.untrusted import Fields, Listed, Named, StoredRows, Whose, conform, map_array, parse_json, read_arrays
from tests.figures.making import write_everything, write_run
from tests.fuzz.kinds import cache_files, recording_files, with_sums


def invoke(*arguments) -> tuple[int, str]:
    result = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "value, shape, message",
    [
        (True, int, "it is true or false; expected a whole number"),
        (1.0, int, "it is 1.0; expected a whole number"),
        (2**63, int, "it is 9223372036854775808; expected a whole number"),
        (float("nan"), float, "it is nan; expected a number"),
        ({"a": [1, "x"]}, Named(Listed(int)), r"a\[1\] is text; expected a whole number"),
        ([1, 2], Listed(int, 3), "it has 2 values; expected 3"),
        ({}, Fields({"a": int}), "it has no `a`"),
        ({"a": {}}, Fields({"a": Fields({"b": int})}), "a has no `b`"),
        ({"a": None}, Fields({}, {"a": str}), "a is null; expected text"),
        ("x", (int, None), "it is text; expected a whole number or null"),
        ({"a": "x"}, (Named(int), None), "a is text; expected a whole number"),
        (5, Whose(int, lambda n: n < 3, "below 3"), "it is 5; expected below 3"),
        ([], dict, "it is a list; expected a mapping"),
        (None, str, "it is null; expected text"),
    ],
)
def test_values_of_another_shape_are_named(value, shape, message):
    with pytest.raises(ValueError, match=message):
        conform(value, shape)


@pytest.mark.parametrize(
    "value, shape",
    [
        (1, float),
        (np.int64(1), int),
        (np.float32(0.5), float),
        (None, (int, None)),
        ({"a": 1, "b": 2}, Fields({"a": int})),
        ({"a": 1}, (Named(int), None)),
        ([], Listed(int)),
        (True, bool),
    ],
)
def test_values_of_a_shape_are_let_through(value, shape):
    conform(value, shape)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1e400", "-1e999", "9" * 5000, "", "\0", b"\xff"])
def test_json_that_cannot_be_parsed_is_one_kind_of_error(text):
    with pytest.raises(ValueError):
        parse_json(text)


RECORDS = {
    "nested": "[" * 100_000,
    "list": "[]",
    "null": "null",
    "infinite": '{"command": "a", "arguments": {"x": 1e400}, "finished": true}',
    "bytes": b"\xff\xfe{}",
    "empty": "",
    "arguments": {"arguments": []},
    "finished": {"finished": "yes"},
    "networks": {"networks": [1]},
    "card": {"networks": {"a": None}},
    "stages": {"networks": {"a": {"resnet_stages": "no"}}},
    "data": {"data": "digits"},
    "images": {"data": {"images": "many"}},
    "parts": {"data": {"parts": [1]}},
    "roles": {"roles": {"pooling": 3}},
    "replicates": {"arguments": {"replicates": "10"}},
    "findings": {"findings": 7},
    "timings": {"timings": {"measure": "long"}},
}


def write_record(folder: Path, change) -> Path:
    folder.mkdir(exist_ok=True)
    if isinstance(change, dict):
        change = json.dumps({"command": "evaluate", "arguments": {}, "finished": True} | change)
    (folder / "run.json").write_bytes(change if isinstance(change, bytes) else change.encode())
    return folder


@pytest.mark.parametrize("kind", RECORDS)
def test_records_that_tell_lies(kind, tmp_path):
    folder = write_record(tmp_path / "run", RECORDS[kind])
    with pytest.raises(UsageError, match=r"run\.json"):
        read_record(folder)
    for command in (("figures", folder), ("compare", folder, folder, "--out", tmp_path / "out")):
        code, output = invoke(*command)
        assert code == 2 and len(output) < 1000 and "run.json" in output, output
    with pytest.raises(UsageError, match=r"run\.json"):
        Run(folder, "evaluate", {}, resume=True)


def test_a_record_of_the_least_is_enough_to_go_on_with(tmp_path):
    folder = write_record(tmp_path / "run", {"finished": False})
    assert Run(folder, "evaluate", {}, resume=True).record["networks"] == {}


TABLES = {
    "empty": b"",
    "no column": b"network,unit,csi,csi_null\na,1,2,3\n",
    "text": b"network,block,unit,csi,csi_null\na,b,1,high,0\n",
    "huge": b"network,block,unit,csi,csi_null\na,b,1,1e300,0\n",
    "infinite": b"network,block,unit,csi,csi_null\na,b,1,inf,0\n",
    "long rows": b"network,block,unit,csi,csi_null\na,b,1,2,3,4,5\n",
    "bytes": b"network,block,unit,csi,csi_null\n\xff,b,1,0.5,0\n",
    "nul": b"network,block,unit,csi,csi_null\na\0,b,1,0.5,0\n\0",
    "quotes": b'network,block,unit,csi,csi_null\n"a,b,1,0.5,0\n',
    "head alone": b"network,block,unit,csi,csi_null\n",
    "image": b"\x89PNG\r\n\x1a\n" + bytes(100),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_that_tell_lies(kind, tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "selectivity.csv").write_bytes(TABLES[kind])
    code, output = invoke("figures", folder, "--format", "svg")
    assert code in (0, 2) and len(output) < 2000 and "Traceback" not in output
    if kind not in ("nul",):
        assert code == 2, output
    if kind in ("no column", "text", "huge", "infinite"):
        with pytest.raises(UsageError, match=r"column `(block|csi)`"):
            read_table(folder, "selectivity.csv")


@pytest.mark.parametrize("content", ["", "\n", "network,split,epoch,top1_error\n"])
def test_a_training_without_epochs_has_no_curves(content, tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "training.csv").write_text(content)
    code, output = invoke("curves", folder, "--out", tmp_path / "out")
    assert code == 2 and "is empty" in output, output


@pytest.mark.parametrize("name", ["run.json", "selectivity.csv", "selectivity_thumbnails.npz"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_files_of_runs_that_are_none(name, kind, tmp_path):
    folder = write_everything(tmp_path / "run", ["a", "b"], ["layer3.0"], units=3)
    for path in folder.glob("*"):
        if path.name != "run.json" and "selectivity" not in path.name:
            path.unlink()
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "device":
        (folder / name).symlink_to("/dev/zero")
    else:
        (folder / name).mkdir()
    code, output = invoke("figures", folder, "--format", "svg")
    assert code == (2 if name == "run.json" else code) and "Traceback" not in output


def test_archives_of_arrays_that_tell_lies(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, zeros=np.zeros(4 * 10**7))
    assert path.stat().st_size < 10**6
    with pytest.raises(ValueError, match="unpacks to 320000128 bytes"):
        read_arrays(path)
    np.savez(path, objects=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_arrays(path)
    for content in (b"", b"PK\3\4", path.read_bytes()[:-30], b"\x93NUMPY"):
        path.write_bytes(content)
        with pytest.raises(ValueError):
            read_arrays(path)
    np.savez_compressed(path, a=np.arange(6).reshape(2, 3), b=np.array(["x"]))
    assert read_arrays(path)["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and read_arrays(path)["b"].tolist() == ["x"]


def test_an_array_file_is_mapped_only_as_long_as_it_is(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(100))
    whole = path.read_bytes()
    for content in (
        whole[:-8],
        whole.replace(b"(100,)", b"(900,)"),
        whole.replace(b"(100,)", b"(100, "),
        b"",
        whole[:9],
    ):
        path.write_bytes(content)
        for read in (map_array, StoredRows):
            with pytest.raises(ValueError):
                read(path)
        assert path.read_bytes() == content
    np.save(path, np.array([{}], dtype=object))
    with pytest.raises(ValueError):
        map_array(path)
    np.save(path, np.asfortranarray(np.arange(6).reshape(2, 3)))
    with pytest.raises(ValueError, match="its columns follow each other"):
        StoredRows(path)


def test_an_array_that_is_cut_short_as_it_is_read_kills_nobody(tmp_path):
    """Of a mapped file the system sends SIGBUS there."""
    folder = write_recording(tmp_path)
    recording = open_recording(folder)
    path = folder / "n" / "b.output.npy"
    os.truncate(path, path.stat().st_size - 20)
    with pytest.raises(RunError, match=r"damaged: `b\.output\.npy` of n: it was cut short as it was read"):
        recording.matrix("n", "b")
    path.unlink()
    with pytest.raises(RunError, match=r"damaged: `b\.output\.npy` of n is missing"):
        recording.matrix("n", "b")


def test_a_recording_of_many_arrays_needs_few_open_files(tmp_path):
    """And where even those are too many, that is what is said."""
    kept = {"n": [Kept(f"b{number}.output", (2,)) for number in range(300)]}
    images = pd.DataFrame({"index": [0, 1], "identifier": ["a", "b"], "label": [0, 1], "class": ["", ""], "bytes": -1})
    facts = {"networks": {"n": {}}, "taps": {"n": {f"b{number}": ["output"] for number in range(300)}}}
    recording = Recording.create(kept, images, facts, tmp_path / "r")
    recording.write(0, {("n", each.name): np.ones((2, 2), "f4") for each in kept["n"]}, 2)
    recording.finish()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    first_free = os.open("/dev/null", os.O_RDONLY)
    os.close(first_free)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (first_free + 20, limits[1]))
        recording = open_recording(tmp_path / "r")
        assert sum(recording.matrix("n", block).sum() for block in recording.blocks("n")) == 1200
        resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, limits[1]))
        with pytest.raises(RunError, match="cannot be read: Too many open files"):
            recording.matrix("n", "b0")
        with pytest.raises(RunError, match="cannot be read: Too many open files"):
            open_recording(tmp_path / "r")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def write_recording(folder: Path, **changes) -> Path:
    files = recording_files()
    described = json.loads(files["r/recording.json"]) | changes
    for name, content in with_sums(files | {"r/recording.json": json.dumps(described).encode()}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / "r"


@pytest.mark.parametrize("name", ["../../outside", "..", ".", "", "/etc", "a/b", "nul\0"])
def test_a_recording_names_no_folder_but_its_own(name, tmp_path):
    """What its record names is deleted where it is let go."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "thesis.tex").write_text("mine")
    folder = write_recording(tmp_path / "a", folders={"n": name})
    with pytest.raises(RunError, match="expected the name of one folder"):
        open_recording(folder)
    discard(folder)
    assert (tmp_path / "outside" / "thesis.tex").read_text() == "mine" and tmp_path.exists()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"arrays": {"n": [{"name": "../../x", "shape": [3], "dtype": "float32"}]}}, "below the recording's folder"),
        ({"arrays": {"n": [{"name": "b.output", "shape": [3], "dtype": "object"}]}}, "expected one of bool"),
        ({"arrays": {"n": [{"name": "b.output", "shape": [-3], "dtype": "float32"}]}}, "a number of units"),
        ({"arrays": {"n": [{"name": "b.output", "shape": 3, "dtype": "float32"}]}}, "expected a list"),
        ({"arrays": {"n": [{"name": "b.output"}]}}, "has no `shape`"),
        ({"arrays": []}, "arrays is a list"),
        ({"images": "8"}, "images is text"),
        ({"images": 2**62}, "a number of images"),
        ({"rows_done": 9}, "9 rows are done of 8"),
        ({"finished": 1}, "finished is 1"),
        ({"taps": {"n": {"b": ["gate"]}}}, r"no array `b\.gate`"),
        ({"taps": {"n": ["b"]}}, "expected a mapping"),
        ({"classes": ["cat"]}, "labels 0 … 1; expected those of 1 classes"),
        ({"classes": {"cat": 0}}, "expected a list"),
        ({"depths": {"n": {}}}, "depths have no"),
        ({"settings": {}}, "settings have no"),
        ({"settings": {"n": {"rectified": 1}}}, "rectified is 1; expected true or false"),
        ({"settings": {"n": {"rectified": False, "dropping": {"points": [{}]}}}}, r"points\[0\] has no `block`"),
        ({"settings": {"n": {"rectified": False, "lesions": {"b": [9]}}}}, "the unit 9 of 3"),
        ({"networks": {"n": {"facts": {"gmacs": "many"}}}}, "gmacs is text; expected a number or null"),
        ({"networks": {"n": {"group": "g", "training_seed": "x"}}}, "a whole training_seed"),
        ({"chosen": {"n": {"rows": {"b": 0}}}}, "a number of rows above 0"),
        (
            {"arrays": {"n": [{"name": "b.output", "shape": [3], "dtype": "int64"}]}},
            "or float16 of at least 1",
        ),
        (
            {"arrays": {"n": [{"name": "b.output", "shape": [0], "dtype": "float32"}]}},
            "or float16 of at least 1",
        ),
        (
            {"arrays": {"n": [{"name": "b.output", "shape": [], "dtype": "float32"}]}},
            "or float16 of at least 1",
        ),
        ({"networks": {}}, "networks have no"),
        ({"folders": {}}, "folders have no"),
        ({"format": "1"}, "format is text"),
    ],
)
def test_recordings_that_tell_lies(changes, message, tmp_path):
    folder = write_recording(tmp_path, **changes)
    with pytest.raises(RunError, match=f"damaged: .*{message}"):
        open_recording(folder)
    code, output = invoke("selectivity", "--from", folder, "--out", tmp_path / "out")
    assert code == 1 and len(output) < 1000, output


@pytest.mark.parametrize("part", ["settings", "depths", "classes"])
def test_a_recording_of_rows_alone_has_no_statistics(part, tmp_path):
    folder = write_recording(tmp_path)
    described = json.loads((folder / "recording.json").read_text())
    del described[part], described["sum"]
    (folder / "recording.json").write_text(json.dumps(described))
    code, output = invoke("selectivity", "--from", folder, "--out", tmp_path / "out")
    assert code in (1, 2) and part in output, output


def test_a_recording_that_does_not_say_enough_for_a_table(tmp_path):
    folder = write_recording(tmp_path / "a", settings={"n": {}})
    code, output = invoke("selectivity", "--from", folder, "--out", tmp_path / "out")
    assert code == 1 and "does not say whether outputs of n were rectified" in output, output
    kept = {"n": [Kept("top_classes", (2,), "int32"), Kept("rank", (), "int32")]}
    images = pd.DataFrame({"index": [0, 1], "identifier": ["a", "b"], "label": [0, 1], "class": ["", ""], "bytes": -1})
    recording = Recording.create(kept, images, {"networks": {"n": {}}, "taps": {"n": {}}})
    with pytest.raises(RunError, match="does not say the extent of `n`"):
        evaluation_table(recording)


@pytest.mark.parametrize("name", ["images.csv", "n/b.output.npy", "recording.json"])
def test_pipes_in_recordings_are_not_waited_for(name, tmp_path):
    folder = write_recording(tmp_path)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises((RunError, UsageError)):
        open_recording(folder)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"labels": [0, 1, 0]}, "4 identifiers of 3 images"),
        ({"labels": [0, 1, 0, 9]}, r"labels are 0 … 9; expected 0 … \d"),
        ({"labels": [0, 1, 0, "1"]}, r"labels\[3\] is text"),
        ({"labels": [0, 1, 0, 2**70]}, r"labels\[3\] is 1180591620717411303424"),
        ({"geometry": [8, "1", "bilinear"]}, "size, share"),
        ({"split": "#"}, "expected empty or one of"),
        ({"classes": None}, "expected a list"),
        ({"note": 3}, "note is 3; expected text"),
        ({"skipped": []}, "expected a mapping"),
        ({"sizes": [1]}, "1 sizes of 4 images"),
    ],
)
def test_manifests_of_caches_that_tell_lies(changes, message, tmp_path):
    path = tmp_path / "c.npy.json"
    path.write_text(json.dumps(json.loads(cache_files()["c.npy.json"]) | changes))
    with pytest.raises(ValueError, match=message):
        read_manifest(path)
    (tmp_path / "c.npy").write_bytes(cache_files()["c.npy"])
    code, output = invoke(
        "evaluate", "mini_resnet", "--untrained", "--data", f"cache:{tmp_path}/c.npy", "--out", tmp_path
    )
    assert code in (1, 2) and "Traceback" not in output


HOSTILE = ("\x1b]52;c;aGk=\x07", "a\nError: forged", "$\\frac{", "\udcff", "nul\0x", "\u202egnp", "\ud83d", "x" * 400)


def test_a_folder_whose_name_is_no_text(tmp_path):
    """Linux takes any bytes for a name; what is printed of them is spelled out."""
    out = os.fsdecode(os.fsencode(tmp_path) + b"/r\xff\xfe")
    how = ("mini_resnet", "--untrained", "--limit", "20", "--device", "cpu")
    record = ("record", *how, "--blocks", "layer3.0", "--out", out)
    for command, said in (
        (record, "1 networks, 4 arrays: "),
        ((*record, "--resume"), "1 networks, 4 arrays: "),
        (("evaluate", *how, "--shard", "1/1", "--out", f"{out}-shard"), "is recorded in "),
        (("evaluate", *how, "--out", f"{out}-run"), "Tables: evaluation.csv in "),
        (("evaluate", *how, "--out", f"{out}-run", "--resume"), "is finished already"),
        (
            ("train", "mini_resnet", "--limit", "8", "--epochs", "1", "--device", "cpu", "--out", f"{out}-t"),
            "Weights: ",
        ),
    ):
        code, output = invoke(*command)
        assert code == 0 and said in output and "r\\udcff\\udcfe" in output, (command, output)


@pytest.mark.parametrize("label", ["\x1b]52;c;aGk\x07a\nError", "$\\frac{nul\0x\u202egnp", "\udcff\ud83d" + "x" * 400])
def test_labels_that_people_do_not_choose_are_fit_for_all_that_they_reach(label, tmp_path):
    """A csv, a folder's name, run.json, the terminal; and the folder of a run that fails is free again."""
    chosen = f"{label.replace('=', '')}=mini_resnet"
    how = ("--untrained", "--limit", "20", "--device", "cpu", "--blocks", "layer3.5")
    code, output = invoke("record", chosen, *how, "--out", tmp_path / "r")
    assert code == 0, output
    recording = open_recording(tmp_path / "r")
    (name,) = recording.networks
    assert name == plain(label.replace("=", "")) and name.isprintable()
    code, output = invoke("evaluate", chosen, *how[:-2], "--out", tmp_path / "run")
    assert code == 0, output
    assert not any(each in output for each in ("\x1b", "\nError", "\udcff", "\u202e"))
    assert read_table(tmp_path / "run", "evaluation.csv")["network"][0] == name


@pytest.mark.parametrize("name", ["".join(HOSTILE[:2]) + "$\\frac{", "nul\0x\u202egnp%s{0}" + "x" * 400])
def test_figures_of_tables_with_any_names(name, tmp_path):
    folder = write_everything(tmp_path / "run", ["mini_resnet", "x"], [f"layer3.0{name}", "b"], units=4)
    record = json.loads((folder / "run.json").read_text())
    record["data"] |= {"name": name, "note": f"{name}\udcff"}  # JSON holds halves of characters, tables none
    record["networks"] = {name: {"reference": name}}
    (folder / "run.json").write_text(json.dumps(record))
    for path in folder.iterdir():
        if path.stem not in ("run", "selectivity_gap", "selectivity_trend", "evaluation"):
            path.unlink()
        elif path.suffix == ".csv":
            table = pd.read_csv(path).replace("x", name)
            path.write_bytes(table.to_csv(index=False, errors="replace").encode("utf-8", "replace"))
    assert len(draw(folder, ["svg", "pdf"])) >= 2


def test_what_reaches_the_terminal_is_plain(tmp_path):
    """Names of files, of tensors, of columns, of what a person named."""
    import torch

    escape = "\x1b[31mred\nError: forged"
    torch.save({escape: torch.ones(2)}, tmp_path / "w.pth")
    hostile = tmp_path / f"{escape} run"
    shutil.copytree(write_run(tmp_path / "plain", {"findings": [escape]}), hostile)
    (hostile / "evaluation.csv").write_text(f'network,"{escape}"\na,1\n')
    (tmp_path / "c.csv").write_text(f'"{escape}",b\n1,2\n')
    for command in (
        ("layers", f"mini_resnet@{tmp_path}/w.pth"),
        ("figures", hostile),
        ("figures", tmp_path / escape),
        ("evaluate", "mini_resnet", "--data", f"folder:{escape}", "--out", tmp_path / "o"),
        ("evaluate", escape, "--out", tmp_path / "o"),
        ("selectivity", "mini_resnet", "--untrained", "--groups", tmp_path / "c.csv", "--out", tmp_path / "o"),
        ("layers", "mini_resnet", "--image-size", escape),
    ):
        code, output = invoke(*command)
        assert code == 2, output
        assert "\x1b" not in output and "\nError: forged" not in output, (command, output)


@pytest.mark.parametrize(
    "command",
    [
        ("layers", "mini_resnet", "--image-size", "30000"),
        ("evaluate", "mini_resnet", "--untrained", "--image-size", "30000", "--out"),
        ("record", "mini_resnet", "--untrained", "--crop-pct", "0.0001", "--out"),
        ("cache", "digits", "--image-size", "30000", "--out"),
        ("cache", "digits", "--crop-pct", "0.0001", "--out"),
    ],
)
def test_sizes_that_no_memory_would_hold_are_refused_in_one_line(command, tmp_path):
    code, output = invoke(*command, *([tmp_path / "o"] if command[-1] == "--out" else []))
    assert code == 2 and re.search("4096 (px|pixels)", " ".join(output.split())), output
    assert not list(tmp_path.iterdir())
