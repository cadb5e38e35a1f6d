"""The folder of a recording: what anyone can open, what is refused, and two writers at once."""

import json
import subprocess
import sys
import textwrap
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gelens.errors import RunError, UsageError
from gelens.recording import Kept, Recording, beginning, format, matrix, open_recording

ROOT = Path(__file__).parents[2]
KEPT = {
    "a net/with:signs": [Kept("layer3.0.output", (3,)), Kept("layer3.0.gate", (3,))],
    "other": [Kept("top_classes", (5,), "int32"), Kept("rank", (), "int32")],
}
FACTS = {
    "networks": {label: {"weights_hash": "1234"} for label in KEPT},
    "taps": {"a net/with:signs": {"layer3.0": ["output", "gate"]}, "other": {}},
    "settings": {label: {} for label in KEPT},
    "classes": ["cat", "dog"],
    "precision": "fp32",
}


def images(number: int = 7) -> pd.DataFrame:
    labels = np.arange(number) % 2
    return pd.DataFrame(
        {
            "index": np.arange(number) * 3,
            "identifier": [f"dir,with/“{position}”.jpg" for position in range(number)],
            "label": labels,
            "class": np.array(["cat", "dog"])[labels],
            "bytes": 100 + np.arange(number),
        }
    )


def rows(start: int, stop: int) -> dict[tuple[str, str], np.ndarray]:
    """Values that tell row, array and unit."""
    made = {}
    for at, (label, name, shape, dtype) in enumerate(
        (label, kept.name, kept.shape, kept.dtype) for label, several in KEPT.items() for kept in several
    ):
        units = np.arange(int(np.prod(shape, dtype=int))).reshape(shape)
        values = np.arange(start, stop).reshape(-1, *[1] * len(shape)) * 100 + at * 10 + units
        made[label, name] = values.astype(dtype)
    return made


def make(folder: Path | None, number: int = 7, done: int | None = None, finish: bool = True, **changed) -> Recording:
    recording = Recording.create(KEPT, images(number), FACTS | changed, folder)
    stop = number if done is None else done
    for start in range(0, stop, 3):
        recording.write(start, rows(start, min(start + 3, stop)), min(3, stop - start))
    if finish:
        recording.finish()
    else:
        recording.flush()
        recording.close()
    return recording


@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "disk"])
def test_what_was_written_is_read(tmp_path, on_disk):
    """One class in memory and on disk: the same answers."""
    recording = make(tmp_path / "r" if on_disk else None)
    if on_disk:
        recording = open_recording(tmp_path / "r")
    assert recording.finished and recording.rows_done == 7 and list(recording.networks) == list(KEPT)
    for (label, name), values in rows(0, 7).items():
        np.testing.assert_array_equal(recording.array(label, name), values)
    pd.testing.assert_frame_equal(recording.images.drop(columns=["row", "content"]), images(), check_dtype=False)
    assert recording.labels.tolist() == images()["label"].tolist()
    assert recording.indices.tolist() == images()["index"].tolist()
    assert recording.blocks("a net/with:signs", "gate") == ["layer3.0"] and recording.blocks("other") == []
    np.testing.assert_array_equal(
        recording.matrix("a net/with:signs", "layer3.0", "gate"), rows(0, 7)["a net/with:signs", "layer3.0.gate"]
    )


def test_anyone_opens_it_without_this_package(tmp_path):
    make(tmp_path / "r")
    program = textwrap.dedent(f"""
        import json, sys
        from pathlib import Path
        import numpy, pandas
        folder = Path({str(tmp_path / "r")!r})
        described = json.loads((folder / "recording.json").read_text())
        table = pandas.read_csv(folder / "images.csv")
        label = "a net/with:signs"
        values = numpy.load(folder / described["folders"][label] / "layer3.0.output.npy", mmap_mode="r")
        assert isinstance(values, numpy.memmap) and values.dtype == "float32"
        print(table.columns.tolist(), values.shape, values[5].tolist(), table["identifier"][5], described["rows_done"])
        assert not any(name.startswith(("analysis", "gelens")) for name in sys.modules)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == (
        "['row', 'index', 'identifier', 'label', 'class', 'bytes', 'content'] (7, 3) [500.0, 501.0, 502.0] "
        "dir,with/“5”.jpg 7"
    ), done.stderr
    assert (tmp_path / "r" / "other" / "rank.npy").is_file(), "a plain label is its folder's name"


def test_activity_is_an_array_with_names_over_the_file(tmp_path):
    make(tmp_path / "r")
    recording = open_recording(tmp_path / "r")
    activity = recording.activity("a net/with:signs", "layer3.0", tap="gate")
    assert activity.dims == ("image", "unit") and activity.name == "layer3.0.gate"
    assert activity["label"].values.tolist() == images()["label"].tolist()
    assert activity["identifier"].values[5] == "dir,with/“5”.jpg" and activity["image"].values[5] == 15
    assert activity.attrs == {"network": "a net/with:signs", "block": "layer3.0", "tap": "gate"}
    base = activity.data
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap), "nothing is read before it is asked for"
    with pytest.raises(ValueError, match="read-only"):
        activity.data[0] = 1
    means = activity.groupby("class").mean("image")
    expected = rows(0, 7)["a net/with:signs", "layer3.0.gate"][1::2].mean(0)
    np.testing.assert_allclose(means.sel({"class": "dog"}), expected)


def test_what_is_not_in_it_is_named_with_what_is(tmp_path):
    recording = make(None)
    for ask, message in (
        (lambda: recording.names("othr"), r"no network in the recording called `othr`.*other"),
        (lambda: recording.array("other", "rnk"), r"no array of other called `rnk`.*rank"),
        (lambda: recording.matrix("a net/with:signs", "layer3.1"), r"no block of .* called `layer3\.1`.*layer3\.0"),
        (lambda: recording.matrix("a net/with:signs", "layer3.0", "branch"), r"tap `branch`.*recorded: output, gate"),
    ):
        with pytest.raises(UsageError, match=message):
            ask()


def test_labels_that_fall_on_one_folder_have_one_each(tmp_path):
    kept = {label: [Kept("rank", (), "int32")] for label in ("a/b", "a:b", "..", "a_b")}
    facts = FACTS | {"networks": {label: {} for label in kept}, "taps": {}, "settings": {}}
    recording = Recording.create(kept, images(2), facts, tmp_path / "r")
    rows = {(label, "rank"): np.full(2, number, np.int32) for number, label in enumerate(kept)}
    with pytest.raises(UsageError, match="announced or is given, but not both"):
        recording.write(0, {("a/b", "rank"): np.zeros(2, np.int32)}, 2)
    recording.write(0, rows, 2)
    recording.finish()
    again = open_recording(tmp_path / "r")
    assert [int(again.array(label, "rank")[1]) for label in kept] == [0, 1, 2, 3]
    assert not any(path.suffix == ".npy" for path in tmp_path.iterdir()), "no label leads out of the folder"


def test_an_unfinished_one_is_not_opened_and_goes_on_where_it_was(tmp_path):
    make(tmp_path / "r", done=3, finish=False)
    with pytest.raises(UsageError, match=r"unfinished \(3 of 7 images\)"):
        open_recording(tmp_path / "r")
    with pytest.raises(UsageError, match="add --resume"):
        Recording.create(KEPT, images(), FACTS, tmp_path / "r")
    recording = Recording.create(KEPT, images(), FACTS, tmp_path / "r", resume=True)
    assert recording.rows_done == 3
    recording.write(3, rows(3, 7), 4)
    recording.finish()
    for (label, name), values in rows(0, 7).items():
        np.testing.assert_array_equal(open_recording(tmp_path / "r").array(label, name), values)


def test_images_to_come_may_be_taken_out(tmp_path):
    make(tmp_path / "r", done=3, finish=False)
    left = images().drop(index=4)
    recording = Recording.create(KEPT, left, FACTS, tmp_path / "r", resume=True)
    assert len(recording.images) == 6 and recording.rows_done == 3
    recording.write(3, rows(4, 7), 3)
    recording.finish()
    again = open_recording(tmp_path / "r")
    assert again.indices.tolist() == [0, 3, 6, 9, 15, 18]
    for (label, name), values in rows(0, 7).items():
        np.testing.assert_array_equal(again.array(label, name)[:3], values[:3])


def test_one_that_was_left_as_it_was_shortened_goes_on(tmp_path, monkeypatch):
    """Killed between the shorter images.csv and recording.json."""
    make(tmp_path / "r", done=3, finish=False)
    left = images().drop(index=4)
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(beginning, "write_described", lambda *arguments: 1 / 0)
        Recording.create(KEPT, left, FACTS, tmp_path / "r", resume=True)
    assert len(pd.read_csv(tmp_path / "r" / "images.csv")) == 6
    recording = Recording.create(KEPT, left, FACTS, tmp_path / "r", resume=True)
    recording.write(3, rows(4, 7), 3)
    recording.finish()
    again = open_recording(tmp_path / "r")
    for (label, name), values in rows(0, 7).items():
        np.testing.assert_array_equal(again.array(label, name), np.delete(values, 3, 0))


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"networks": {label: {"weights_hash": "5678"} for label in KEPT}}, "weights_hash was 1234, now 5678"),
        ({"precision": "bf16"}, "precision was fp32, now bf16"),
        ({"settings": {label: {"rectified": True} for label in KEPT}}, "rectified was None, now True"),
        ({"classes": ["cat", "cow"]}, "classes was"),
        ({"something": 1}, "something was None, now 1"),
    ],
)
def test_one_of_something_else_does_not_go_on(tmp_path, changed, message):
    make(tmp_path / "r", done=3, finish=False)
    with pytest.raises(UsageError, match=f"recording of something else: .*{message}"):
        Recording.create(KEPT, images(), FACTS | changed, tmp_path / "r", resume=True)


@pytest.mark.parametrize("column, value", [("identifier", "x"), ("index", 99), ("label", 1), ("bytes", 1)])
def test_other_images_do_not_go_on(tmp_path, column, value):
    """Only those that are recorded already are compared: they decide what the rows are of."""
    make(tmp_path / "r", done=3, finish=False)
    for row, refused in ((2, True), (3, False)):
        other = images()
        other.loc[row, column] = value
        if refused:
            with pytest.raises(RunError, match="are others now: t"):
                Recording.create(KEPT, other, FACTS, tmp_path / "r", resume=True)
        else:
            Recording.create(KEPT, other, FACTS, tmp_path / "r", resume=True).close()


def test_other_arrays_do_not_go_on(tmp_path):
    make(tmp_path / "r", done=3, finish=False)
    wider = KEPT | {"other": [Kept("top_classes", (3,), "int32"), Kept("rank", (), "int32")]}
    with pytest.raises(UsageError, match="recording of something else: arrays other"):
        Recording.create(wider, images(), FACTS, tmp_path / "r", resume=True)


def test_a_finished_one_of_more_images_stays_as_it_is(tmp_path):
    make(tmp_path / "r")
    with pytest.raises(UsageError, match="is of 7 images, now 5"):
        Recording.create(KEPT, images(5), FACTS, tmp_path / "r", resume=True)
    assert open_recording(tmp_path / "r").rows_done == 7


def _cut(folder: Path) -> None:
    path = folder / "other" / "rank.npy"
    path.write_bytes(path.read_bytes()[:-4])


def _other_shape(folder: Path) -> None:
    np.save(folder / "other" / "rank.npy", np.zeros(6, np.int32))


def _other_type(folder: Path) -> None:
    np.save(folder / "other" / "rank.npy", np.zeros(7, np.float64))


def _pickled(folder: Path) -> None:
    np.save(folder / "other" / "rank.npy", np.array([{}] * 7), allow_pickle=True)


def _edit(folder: Path, **changed) -> None:
    path = folder / "recording.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def _line_less(folder: Path) -> None:
    path = folder / "images.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


def _other_label(folder: Path) -> None:
    path = folder / "images.csv"
    path.write_text(path.read_text().replace("0,cat", "1,cat", 1))


DAMAGE = {
    "cut": (_cut, r"damaged: `rank\.npy` of other"),
    "absent": (lambda folder: (folder / "other" / "rank.npy").unlink(), r"`rank\.npy` of other is missing"),
    "unequal": (_other_shape, r"is int32 \(6,\), expected int32 \(7,\)"),
    "type": (_other_type, r"is float64 \(7,\), expected int32 \(7,\)"),
    "pickled": (_pickled, r"damaged: `rank\.npy`"),
    "empty": (lambda folder: (folder / "other" / "rank.npy").write_bytes(b""), r"damaged: `rank\.npy`"),
    "json": (lambda folder: (folder / "recording.json").write_text('{"format": 1'), r"recording\.json` is damaged"),
    "json list": (lambda folder: (folder / "recording.json").write_text("[]"), r"recording\.json` is damaged"),
    "json keys": (lambda folder: (folder / "recording.json").write_text('{"format": 1}'), "is damaged: .*arrays"),
    "no images": (lambda folder: (folder / "images.csv").unlink(), r"damaged: images\.csv"),
    "fewer images": (_line_less, r"images\.csv has 6 images, recording\.json 7"),
    "columns": (lambda folder: (folder / "images.csv").write_text("a,b\n1,2\n"), r"images\.csv: columns a, b"),
    "number": (
        lambda folder: _edit(folder, images=8),
        r"recording\.json` is damaged: .*something else than was written",
    ),
    "rows done": (lambda folder: _edit(folder, rows_done=5), r"recording\.json` is damaged: .*something else than was"),
    "labels": (_other_label, r"damaged: images\.csv does not list the images that were recorded"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_in_one_line(tmp_path, damage):
    make(tmp_path / "r")
    harm, message = DAMAGE[damage]
    harm(tmp_path / "r")
    with pytest.raises(RunError, match=message) as raised:
        open_recording(tmp_path / "r")
    assert "\n" not in str(raised.value)


def test_a_flipped_bit_is_seen_wherever_it_is(tmp_path):
    """In any byte of any array's rows: when it is gone on with, or when the rows are asked for."""
    random = np.random.default_rng(0)
    make(tmp_path / "done")
    make(tmp_path / "begun", done=5, finish=False)
    for (label, name), values in rows(0, 5).items():
        for folder in ("done", "begun"):
            path = (
                tmp_path / folder / Recording.create(KEPT, images(), FACTS).described["folders"][label] / f"{name}.npy"
            )
            whole = path.read_bytes()
            content = bytearray(whole)
            content[128 + random.integers(values.nbytes)] ^= 1 << random.integers(8)
            path.write_bytes(content)
            with pytest.raises(RunError, match=rf"damaged: the rows of `{name}\.npy` of {label} are not those"):
                if folder == "done":
                    open_recording(tmp_path / folder).array(label, name)
                else:
                    Recording.create(KEPT, images(), FACTS, tmp_path / folder, resume=True)
            path.write_bytes(whole)
    for (label, name), values in rows(0, 7).items():
        np.testing.assert_array_equal(open_recording(tmp_path / "done").array(label, name), values)


def test_rows_that_are_written_again_are_summed_again(tmp_path):
    """A foreign loader's batches begin before the row where a recording was interrupted; sums are by 4096 rows."""
    number, kept = 10_000, {"it": [Kept("rank", (), "int32")]}
    facts = FACTS | {"networks": {"it": {}}, "taps": {"it": {}}, "settings": {"it": {}}}
    recording = Recording.create(kept, images(number), facts, tmp_path / "r")
    for start, stop in ((0, 5000), (3000, 9000), (8999, 10_000)):
        recording.write(start, {("it", "rank"): np.arange(start, stop, dtype=np.int32)}, stop - start)
    recording.finish()
    np.testing.assert_array_equal(open_recording(tmp_path / "r").array("it", "rank"), np.arange(number))


def test_a_file_that_something_else_cuts_short_ends_a_pass_with_a_word(tmp_path):
    """Rows that are written into a mapped file would end the process there."""
    recording = make(tmp_path / "r", done=3, finish=False)
    (tmp_path / "r" / "other" / "rank.npy").write_bytes(b"")
    with pytest.raises(RunError, match=r"something else has cut `rank\.npy` of other short"):
        recording.write(3, rows(3, 5), 2)
        recording.flush()


@pytest.mark.parametrize("damage", ["cut", "absent", "unequal", "json", "fewer images", "rows done"])
def test_damage_is_not_gone_on_from(tmp_path, damage):
    make(tmp_path / "r", done=3, finish=False)
    harm, message = DAMAGE[damage]
    harm(tmp_path / "r")
    with pytest.raises(RunError, match=message):
        Recording.create(KEPT, images(), FACTS, tmp_path / "r", resume=True)


def test_another_format_and_no_recording_at_all(tmp_path):
    make(tmp_path / "r")
    _edit(tmp_path / "r", format=2)
    with pytest.raises(UsageError, match="is of format 2, this version reads format 1"):
        open_recording(tmp_path / "r")
    with pytest.raises(UsageError, match=r"no recording in .*`gelens record` makes one"):
        open_recording(tmp_path)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    with pytest.raises(UsageError, match="is not empty and holds no recording"):
        Recording.create(KEPT, images(), FACTS, tmp_path / "thesis", resume=True)
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]


def test_a_run_that_kept_one_is_as_good_as_its_folder(tmp_path):
    make(tmp_path / "run" / "recording")
    assert open_recording(tmp_path / "run").folder == tmp_path / "run" / "recording"


def test_what_the_disk_cannot_hold_is_refused_before_it_is_begun(tmp_path, monkeypatch):
    Usage = namedtuple("Usage", "total used free")
    needed = 7 * (3 * 4 + 3 * 4 + 5 * 4 + 4)
    monkeypatch.setattr(format.shutil, "disk_usage", lambda path: Usage(0, 0, needed - 1))
    with pytest.raises(RunError, match=r"would take 0\.00 GiB in .*fewer blocks, taps or images, or another disk"):
        make(tmp_path / "r")
    monkeypatch.setattr(format.shutil, "disk_usage", lambda path: Usage(0, 0, needed))
    make(tmp_path / "r")  # in the same folder: nothing is left in the way
    assert open_recording(tmp_path / "r").finished


def test_a_disk_that_is_full_after_all_leaves_nothing_in_the_way(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(format.os, "posix_fallocate", full)
    with pytest.raises(RunError, match=r"cannot write the recording .*No space left on device"):
        make(tmp_path / "r")
    monkeypatch.undo()
    make(tmp_path / "r")


def test_what_a_killed_process_had_just_begun_is_begun_again(tmp_path):
    """Killed between the arrays and recording.json."""
    folder = tmp_path / "r"
    program = textwrap.dedent(f"""
        import os
        from pathlib import Path
        import analysis
        from gelens.recording import store
        from tests.recording.test_store import make
        store.write_described = lambda *arguments: os._exit(9)
        make(Path({str(folder)!r}))
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 9, done.stderr
    assert (folder / "other" / "rank.npy").exists() and not (folder / "recording.json").exists()
    Recording.create(KEPT, images(), FACTS, folder, resume=True).close()


def test_two_writers_at_once_are_one_too_many(tmp_path):
    """Whether it is begun, unfinished or being gone on with: the second says so, and then may."""
    folder = tmp_path / "r"
    first = Recording.create(KEPT, images(), FACTS, folder)
    with pytest.raises(UsageError, match="another process is writing into"):
        Recording.create(KEPT, images(), FACTS, folder, resume=True)
    first.flush()
    first.close()
    second = Recording.create(KEPT, images(), FACTS, folder, resume=True)
    second.close()


def test_a_refusal_does_not_keep_the_lock(tmp_path):
    make(tmp_path / "r", done=3, finish=False)
    other = images()
    other.loc[0, "bytes"] = 1
    try:
        Recording.create(KEPT, other, FACTS, tmp_path / "r", resume=True)
    except RunError as error:
        kept = error  # with its traceback, as a notebook does
    Recording.create(KEPT, images(), FACTS, tmp_path / "r", resume=True).close()
    assert "others now" in str(kept)


def test_another_process_that_writes_is_seen(tmp_path):
    folder = tmp_path / "r"
    make(folder, done=3, finish=False)
    program = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from gelens.files import only_writer
        with only_writer(Path({str(folder)!r})):
            print("mine", flush=True)
            sys.stdin.read()
    """)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    other = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, **pipes)
    try:
        assert other.stdout.readline() == "mine\n"
        with pytest.raises(UsageError, match="another process is writing into"):
            Recording.create(KEPT, images(), FACTS, folder, resume=True)
        other.kill()  # a lock does not outlive its process
        other.wait()
        deadline = time.monotonic() + 30
        while True:
            try:
                Recording.create(KEPT, images(), FACTS, folder, resume=True).close()
                break
            except UsageError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
    finally:
        other.kill()
        other.wait()


def test_discarding_leaves_what_is_not_its_own(tmp_path):
    make(tmp_path / "r")
    (tmp_path / "r" / "notes.txt").write_text("mine")
    format.discard(tmp_path / "r")
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["notes.txt"]
    make(tmp_path / "s")
    format.discard(tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_matrix_is_read_in_parts(tmp_path, monkeypatch):
    make(tmp_path / "r")
    recording = open_recording(tmp_path / "r")
    whole = recording.matrix("a net/with:signs", "layer3.0")
    monkeypatch.setattr(matrix, "READ_BYTES", 2 * 4 * 3)
    found = recording.stored_matrix("a net/with:signs", "layer3.0")
    assert found.shape == (7, 3) == whole.shape and len(found) == 7
    for key in (slice(None), slice(2, 5), (slice(None), slice(1, 3)), (slice(None), np.array([0, 2]))):
        np.testing.assert_array_equal(found[key], whole[key])
    np.testing.assert_array_equal(np.asarray(found), whole)
    (tmp_path / "r" / recording.described["folders"]["a net/with:signs"] / "layer3.0.output.npy").write_bytes(b"short")
    with pytest.raises(RunError, match=r"damaged: `layer3\.0\.output\.npy`"):
        found[:]
