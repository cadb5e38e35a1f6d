"""Recordings of shards: merged they are the whole to the last bit; what is not one whole is refused in words."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

import gelens
from gelens.api import Request, record_requests
from gelens.errors import RunError, UsageError
from gelens.recording import open_recording
from gelens.recording.store import Recording
from gelens.sweep.sharing import Shard, divided
from tests.conftest import make_data, make_network, tables_of

BLOCK = "layer3.5"


def options(shard: str | None = None, batch_size: int = 4) -> gelens.SweepOptions:
    chosen = None if shard is None else Shard.parse(shard)
    return gelens.SweepOptions("cpu", batch_size=batch_size, progress=False, shard=chosen)


@pytest.fixture(scope="module")
def network():
    return make_network("mini_resnet_se:classes=4")


@pytest.fixture(scope="module")
def shards(network, tmp_path_factory):
    """Three shards of 40 images in batches of 4, and the whole."""
    folder, data = tmp_path_factory.mktemp("shards"), make_data(40)
    for shard in (None, "1/3", "2/3", "3/3"):
        out = folder / (shard[0] if shard else "whole")
        record_requests({"it": Request(network, [BLOCK])}, data, options(shard), out)
    return folder


def files(folder) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_every_image_is_in_one_shard_and_every_batch_in_one():
    rng = np.random.default_rng(0)
    for _ in range(200):
        number, size = int(rng.integers(1, 9)), int(rng.integers(1, 70))
        ends = np.sort(rng.integers(0, 300, 6)).tolist()
        missing = [range(*ends[:2]), range(*ends[2:4]), range(*ends[4:])]
        shares = divided(missing, number, size)
        rows = [row for several in shares for run in several for row in run]
        assert rows == sorted({row for run in missing for row in run}) and len(shares) == number
        if len(rows) >= size * number:  # nobody cuts a batch that one process would take
            starts = {at for run in missing for at in range(run.start, run.stop, size)}
            assert {run.start for several in shares for run in several} <= starts
            lengths = [sum(map(len, several)) for several in shares]
            assert max(lengths) - min(lengths) < 3 * size + size


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/4/5"])
def test_what_is_no_shard(text):
    with pytest.raises(UsageError, match="is no shard"):
        Shard.parse(text)


def test_merged_shards_are_the_whole_byte_for_byte(shards, tmp_path):
    merged = gelens.merge([shards / name for name in "312"], tmp_path / "merged")
    assert merged.finished and files(tmp_path / "merged") == files(shards / "whole")
    tables_of(open_recording(tmp_path / "merged")).equals(tables_of(open_recording(shards / "whole")))
    again = gelens.merge([shards / name for name in "123"], tmp_path / "merged")
    assert again.finished


def test_a_shard_is_no_recording_to_compute_from(shards):
    with pytest.raises(UsageError, match=r"is a part, of 12 images of 40: `gelens merge`"):
        open_recording(shards / "1")


@pytest.mark.parametrize(
    "parts, message",
    [
        ("13", r"images 13 … 24 of 40 are in none of the parts"),
        ("12", r"images 25 … 40 of 40 are in none"),
        ("23", r"images 1 … 12 of 40 are in none"),
        ("1223", r"images 13 … 24 of 40 are both in `.*2` and in `.*2`"),
        ("", "no parts"),
    ],
)
def test_gaps_and_overlaps_are_named(shards, tmp_path, parts, message):
    with pytest.raises(UsageError, match=message):
        gelens.merge([shards / name for name in parts], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_shards_of_something_else_are_named_with_what_differs(shards, network, tmp_path):
    def other(name, data=None, network=network, request=None, shard="3/3", batch_size=4):
        data = data or make_data(40)
        request = request or Request(network, [BLOCK])
        record_requests({"it": request}, data, options(shard, batch_size), tmp_path / name)
        return [shards / "1", shards / "2", tmp_path / name]

    cases = {
        "networks it weights_hash in the one": other("n", network=make_network("mini_resnet_se:classes=4", seed=1)),
        "is of other images than .*1`: of 41": other("more", make_data(41)),
        "is of other images than .*1`: of 40 of noise": other("images", make_data(40, seed=1)),
        "settings it rectified in the one False": other("s", request=Request(network, [BLOCK], rectify=True)),
        r"taps it layer3\.5 in the one \['output'\], in the other None": other(
            "b", request=Request(network, ["layer3.4"])
        ),
        "images 23 … 24 of 40 are both in .*--batch-size": other("z", shard="3/3", batch_size=11),
        "holds no part but a whole recording, of 40 images": [shards / "1", shards / "whole"],
    }
    for number, (message, parts) in enumerate(cases.items()):
        with pytest.raises(UsageError, match=message):
            gelens.merge(parts, tmp_path / f"merged-{number}")
    again = other("again")[-1]
    with pytest.raises(UsageError, match="a recording of something else: part was"):
        gelens.merge([shards / name for name in "123"], again)
    with pytest.raises(UsageError, match="no recording in"):
        gelens.merge([shards / "1", tmp_path / "nowhere"], tmp_path / "m")


def test_an_unfinished_shard_is_named(shards, network, tmp_path):
    data = make_data(40)
    read = data.read

    def damaged(position):
        if position >= 32:
            raise OSError("damaged")
        return read(position)

    data.read, data.checked = damaged, True
    with pytest.raises(RunError, match="repeat the command with --resume"):
        record_requests({"it": Request(network, [BLOCK])}, data, options("3/3"), tmp_path / "3")
    with pytest.raises(UsageError, match="is unfinished: 8 of its 16 images are recorded"):
        gelens.merge([shards / "1", shards / "2", tmp_path / "3"], tmp_path / "merged")
    record_requests({"it": Request(network, [BLOCK])}, make_data(40), options("3/3"), tmp_path / "3", resume=True)
    gelens.merge([shards / "1", shards / "2", tmp_path / "3"], tmp_path / "merged")
    assert files(tmp_path / "merged") == files(shards / "whole")


def test_an_interrupted_merging_goes_on(shards, tmp_path, monkeypatch):
    write, rows = Recording.write, []

    def interrupted(self, start, given, images):
        if rows:
            raise KeyboardInterrupt
        rows.append(start)
        write(self, start, given, images)

    parts = [shards / name for name in "123"]
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Recording, "write", interrupted)
        gelens.merge(parts, tmp_path / "merged")
    with pytest.raises(UsageError, match="unfinished"):
        open_recording(tmp_path / "merged")
    assert json.loads((tmp_path / "merged/recording.json").read_text())["rows_done"] == 12
    with monkeypatch.context() as patched:
        patched.setattr(Recording, "write", lambda self, start, *rest: (rows.append(start), write(self, start, *rest)))
        gelens.merge(parts, tmp_path / "merged")
    assert rows == [0, 12, 24] and files(tmp_path / "merged") == files(shards / "whole")


def test_foreign_data_whose_labels_come_with_its_images(network, tmp_path):
    """A plain list of pairs, and a loader of them, are shared out as ours are."""
    pixels = torch.randn(22, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pairs = [(image, number % 3) for number, image in enumerate(pixels)]
    loader = torch.utils.data.DataLoader(pairs, batch_size=4)
    whole = record_requests({"it": Request(network)}, pairs, options())
    for kind, data in (("pairs", pairs), ("loader", loader)):
        parts = [tmp_path / f"{kind}-{number}" for number in (1, 2, 3)]
        for number, part in enumerate(parts, 1):
            record_requests({"it": Request(network)}, data, options(f"{number}/3"), part)
        merged = gelens.merge(parts, tmp_path / kind)
        pd.testing.assert_frame_equal(merged.images, whole.images)
        assert merged.described["classes"] == whole.described["classes"] == ["0", "1", "2"]
        np.testing.assert_array_equal(merged.array("it", "rank"), whole.array("it", "rank"))
