"""Several processes measure what one does, whatever befalls one of them; resumed by any number of them."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from torch import multiprocessing

import cli
import gelens
from gelens import processes
from gelens.api import Request, record_requests
from gelens.errors import RunError, UsageError
from gelens.networks import save_weights
from gelens.probes.dropping import Dropping, dropping_at
from gelens.sweep.intact import Intact
from gelens.sweep.sharing import divided
from tests.conftest import make_data, make_network, measure, tables_of

ROOT = Path(__file__).parents[2]
QUIET = gelens.SweepOptions("cpu", batch_size=4, progress=False)


def requests() -> dict[str, Request]:
    network = make_network("mini_resnet_se:classes=4")
    dropping = Dropping(ratios=(0.5,), orders=("most",), exact=True, rows=8)
    return {"it": Request(network, ["layer3.5"], probes=[dropping_at(["layer3.5"], dropping)])}


def noted(patched) -> list[int]:
    """The indices of images that are measured from now on, in a list that grows."""
    seen: list[int] = []
    rows = Intact.rows

    def note(self, batch, images, labels):
        seen.extend(batch.indices.tolist())
        return rows(self, batch, images, labels)

    patched.setattr(Intact, "rows", note)
    return seen


# -- what is begun by some and finished by others, in one process that plays several


@pytest.fixture
def one_of(monkeypatch):
    """Pretend to be one of several processes, which after its share learns that another is lost."""

    def pretend(patched, rank, number, missing):
        def lost():
            raise processes.LostProcess("lost")

        for name, value in {"number": number, "rank": rank}.items():
            patched.setattr(processes, name, lambda value=value: value)
        patched.setattr(processes, "is_first", lambda: False)
        patched.setattr(processes, "collect", lambda value: [value])
        patched.setattr(processes, "tell", lambda value: divided(missing, number, QUIET.batch_size))
        patched.setattr(processes, "wait", lost)

    return pretend


def test_what_others_recorded_is_kept_whatever_their_number(one_of, monkeypatch, tmp_path):
    """Process 2 of 3, then 0 of 2 for what is left, record; one process finishes, and reads no image of theirs."""
    for rank, number, missing in ((2, 3, [range(40)]), (0, 2, [range(24)])):
        with monkeypatch.context() as patched, pytest.raises(processes.LostProcess):
            one_of(patched, rank, number, missing)
            record_requests(requests(), make_data(40), QUIET, tmp_path / "recording", resume=True)
    with monkeypatch.context() as patched:
        seen = noted(patched)
        found = measure(requests(), make_data(40), QUIET, tmp_path / "recording", resume=True)
    assert seen == list(range(12, 24))
    found.equals(measure(requests(), make_data(40), QUIET))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recording"]


def test_what_others_recorded_of_something_else_is_refused(one_of, monkeypatch, tmp_path):
    with monkeypatch.context() as patched, pytest.raises(processes.LostProcess):
        one_of(patched, 1, 2, [range(40)])
        record_requests(requests(), make_data(40), QUIET, tmp_path / "recording")
    others = {"it": Request(make_network("mini_resnet:classes=4"), ["layer3.5"])}
    with pytest.raises(UsageError, match="a recording of something else"):
        record_requests(others, make_data(40), QUIET, tmp_path / "recording", resume=True)
    with pytest.raises(RunError, match=r"images that .* has recorded already are others now"):
        record_requests(requests(), make_data(40, seed=1), QUIET, tmp_path / "recording", resume=True)


def test_an_image_left_out_after_a_failure_moves_what_others_recorded(one_of, monkeypatch, tmp_path):
    """Process 1 of 2 was done when an image of process 0's was found unreadable and left out: its rows move by one."""
    with monkeypatch.context() as patched, pytest.raises(processes.LostProcess):
        one_of(patched, 1, 2, [range(40)])
        record_requests(requests(), make_data(40), QUIET, tmp_path / "recording")
    fewer = make_data(40).without({"noise-7": "damaged"})
    found = measure(requests(), fewer, QUIET, tmp_path / "recording", resume=True)
    alone = measure(requests(), make_data(40).without({"noise-7": "damaged"}), QUIET)
    pd.testing.assert_frame_equal(found.pruning, alone.pruning)
    # batches are others than those of a pass over 39 images: last bits of activities differ
    pd.testing.assert_frame_equal(found.selectivity.units, alone.selectivity.units, rtol=1e-4)


# -- two processes of a group that somebody's own program makes


def _of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    with pytest.MonkeyPatch.context() as patched:
        seen = noted(patched)
        found = measure(requests(), make_data(40), QUIET)
    kept = measure(requests(), make_data(40), QUIET, Path(folder) / "recording")
    found.equals(kept)
    assert seen == list(range(20 * rank, 20 * rank + 20)) and found.recording.folder is None
    if rank == 1:
        with pytest.raises(UsageError, match="holds a recording already"):
            record_requests(requests(), make_data(40), _alone(), Path(folder) / "recording")
    found.evaluation.to_csv(f"{folder}/evaluation-{rank}.csv", index=False)
    found.selectivity.units.to_csv(f"{folder}/units-{rank}.csv", index=False)
    found.pruning.to_csv(f"{folder}/pruning-{rank}.csv", index=False)
    _record_in_a_loop(rank).to_csv(f"{folder}/loop-{rank}.csv", index=False)
    with pytest.raises(UsageError, match="process 1 has other images than process 0"):
        gelens.evaluate(requests()["it"].network, make_data(40, seed=rank), QUIET)
    torch.distributed.destroy_process_group()


def _alone() -> gelens.SweepOptions:
    return gelens.SweepOptions("cpu", batch_size=4, progress=False, together=False)


def _record_in_a_loop(rank: int, number: int = 2) -> pd.DataFrame:
    """As a distributed sampler gives images: every so-manieth, filled up from the beginning. 41 are not even."""
    torch.manual_seed(0)
    images, labels = torch.rand(41, 3, 8, 8), torch.arange(41) % 4
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    recorder = gelens.ActivityRecorder(network, ["1"])
    places = [*range(41), *range(-41 % number)][rank::number]
    for place in places:  # one by one: equal batch shapes, equal bits
        with recorder.watch(), torch.inference_mode():
            network(images[place : place + 1])
        recorder.add(labels[place : place + 1], torch.tensor([place]))
    return recorder.selectivity(permutations=5, replicates=5)


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tmp_path):
    """In memory and on disk, in the passes of the interface and in a loop of one's own: every table, byte for byte."""
    multiprocessing.spawn(_of_two, (str(tmp_path),), nprocs=2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = measure(requests(), make_data(40), QUIET)
        loop = _record_in_a_loop(0, 1)
    finally:
        torch.set_num_threads(threads)
    tables = {"evaluation": alone.evaluation, "units": alone.selectivity.units, "pruning": alone.pruning, "loop": loop}
    for name, table in tables.items():
        table.to_csv(tmp_path / "alone.csv", index=False)
        for rank in (0, 1):
            assert (tmp_path / f"{name}-{rank}.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes(), name
    tables_of(gelens.open_recording(tmp_path / "recording")).equals(alone)
    assert not (tmp_path / "recording.parts").exists()


# -- the command line, started many times over


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("weights") / "se.safetensors"
    save_weights(make_network("mini_resnet_se"), path)
    return f"mini_resnet_se@{path}"


SLOW = """
import sys, time
sys.path.insert(0, sys.argv.pop(1))
from gelens.sweep import passing
from gelens.sweep.intact import Intact
rows, passing.FLUSH_SECONDS = Intact.rows, 0
Intact.rows = lambda *rest: (time.sleep(0.3), rows(*rest))[1]
import cli
cli.main()
"""


def command(*arguments, processes: int | None = None, slow: Path | None = None) -> list[str]:
    """As a user calls it, or by torchrun, every batch slowed down."""
    words = [str(argument) for argument in arguments]
    if slow is None:
        return [sys.executable, "-m", "cli", *words, *([] if processes is None else ["--processes", str(processes)])]
    driver = slow / "driver.py"
    driver.write_text(SLOW)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [sys.executable, *launcher, str(driver), str(ROOT), *words]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(*arguments, **how) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*arguments, **how), capture_output=True, text=True, env=environment(), cwd="/", timeout=300
    )


def in_one(*arguments) -> subprocess.CompletedProcess:
    """The same in this process, on one thread, which spares a start."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        done = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    finally:
        torch.set_num_threads(threads)
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def tables(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.csv")}


FAST = ["--limit", "100", "--device", "cpu", "--batch-size", "8", "--blocks", "layer3.5"]
FEW = ["--permutations", "5", "--replicates", "5"]


MEANS = ["--ratio", 0.5, "--one-order", "--means-from", "digits#train", "--exact", "--rows", 16]


@pytest.mark.slow
@pytest.mark.parametrize("name, arguments, number", [("selectivity", FEW, 4), ("pruning", MEANS, 2)])
def test_the_command_line_in_several_processes(tmp_path, weights, name, arguments, number):
    call = [name, weights, *FAST, *arguments]
    alone = in_one(*call, "--out", tmp_path / "one")
    several = run(*call, "--out", tmp_path / "all", processes=number)
    assert alone.returncode == several.returncode == 0, several.stderr
    assert tables(tmp_path / "one") == tables(tmp_path / "all")
    assert several.stdout == alone.stdout.replace("/one", "/all").replace("in one", "in all"), "one process speaks"
    assert not list(tmp_path.glob("*/*.parts"))


@pytest.mark.slow
def test_what_goes_wrong_in_all_is_said_once_and_nothing_is_left(tmp_path, weights):
    for arguments, message in ((["--data", "nosuch"], "no data `nosuch`"), (["--bogus"], "No such option")):
        done = run("evaluate", weights, *arguments, "--out", tmp_path / "run", processes=2)
        assert done.returncode == 2 and done.stderr.count(message) == 1, done.stderr
        assert "Traceback" not in done.stderr and not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["a process", "the launcher, politely"])
def test_a_process_lost_or_a_launcher_stopped_ends_all_soon_and_resuming_ends_in_equal_tables(
    tmp_path, weights, victim
):
    call = ["evaluate", weights, *FAST[:6]]
    out = tmp_path / "run"
    launcher = subprocess.Popen(
        command(*call, "--out", out, processes=2, slow=tmp_path),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), cwd="/",
    )  # fmt: skip
    try:
        _until(lambda: _rows(out, "0-") and _rows(out, "4"), launcher)
        if victim == "a process":
            os.kill(_children(launcher.pid)[-1], signal.SIGKILL)
        else:
            launcher.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        _, errors = launcher.communicate(timeout=60)
        assert time.monotonic() - begun < 25 and launcher.returncode != 0
    finally:
        launcher.kill()
    assert "repeat the command with --resume" in errors
    done = _rows(out, "")
    assert 0 < done < 100
    resumed = run(*call, "--out", out, "--resume", processes=3)
    assert resumed.returncode == 0, resumed.stderr
    assert in_one(*call, "--out", tmp_path / "alone").returncode == 0
    assert tables(out) == tables(tmp_path / "alone") and not list(out.glob("*.parts"))
    assert _arrays(out) == _arrays(tmp_path / "alone")


def _arrays(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "recording").rglob("*.npy")}


def _rows(out: Path, beginning: str) -> int:
    """Rows that are recorded in parts whose name begins so."""
    found = 0
    for path in out.glob(f"recording.parts/{beginning}*/recording.json"):
        with suppress(ValueError, OSError):
            found += json.loads(path.read_text())["rows_done"]
    return found


def _until(condition, launcher: subprocess.Popen) -> None:
    for _ in range(1200):
        if condition():
            return
        assert launcher.poll() is None, launcher.communicate()
        time.sleep(0.05)
    raise AssertionError("nothing was recorded within a minute")


def _children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True, check=True)
    return [int(line) for line in listed.stdout.split()]


@pytest.mark.slow
def test_shards_merge_into_a_run_that_its_command_finishes(tmp_path, weights, monkeypatch):
    means = ["--fill", "mean", "--means-from", "digits#train", "--exact", "--rows", 16]
    call = ["pruning", weights, *FAST, "--ratio", 0.5, *means]
    for number in (1, 2):
        done = in_one(*call, "--shard", f"{number}/2", "--out", tmp_path / str(number))
        assert done.returncode == 0 and "gelens merge" in done.stdout and not tables(tmp_path / str(number))
    merged = in_one("merge", tmp_path / "2", tmp_path / "1", "--out", tmp_path / "merged")
    assert merged.returncode == 0 and "--resume" in merged.stdout, merged.stderr
    with monkeypatch.context() as patched:
        seen = noted(patched)
        finished = in_one(*call, "--out", tmp_path / "merged", "--resume")
    assert not seen, "no image is measured again"
    assert finished.returncode == 0, finished.stderr
    assert in_one(*call, "--out", tmp_path / "alone").returncode == 0
    assert tables(tmp_path / "merged") == tables(tmp_path / "alone")
    with np.load(tmp_path / "merged/correctness.npz") as one, np.load(tmp_path / "alone/correctness.npz") as other:
        assert all(np.array_equal(one[name], other[name]) for name in other.files)
    other = in_one("selectivity", weights, *FAST, *FEW, "--shard", "1/2", "--out", tmp_path / "other")
    refused = in_one("merge", tmp_path / "other", tmp_path / "2", "--out", tmp_path / "no")
    assert other.returncode == 0 and refused.returncode == 2 and "command pruning, there selectivity" in refused.stderr
    assert not (tmp_path / "no").exists()
