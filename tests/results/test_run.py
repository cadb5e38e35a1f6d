"""Run folders: written whole or not at all, and never over something else."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from gelens.errors import RunError, UsageError
from gelens.files import atomic_path
from gelens.networks.weights import network_card, weights_hash
from gelens.results.run import Run, read_record, read_table
from tests.conftest import make_network

ROOT = Path(__file__).parents[2]


def test_an_interrupted_write_leaves_nothing(tmp_path):
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), atomic_path(tmp_path / "table.csv") as temporary:
            temporary.write_text("half")
            raise error
    assert list(tmp_path.iterdir()) == []


def test_no_space_keeps_what_was_there(tmp_path):
    (tmp_path / "table.csv").write_text("before")
    refused = pytest.raises(RunError, match=r"cannot write `.*table\.csv`: No space left")
    with refused, atomic_path(tmp_path / "table.csv") as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert (tmp_path / "table.csv").read_text() == "before"


def test_a_run_is_resumed_only_with_its_own_arguments(tmp_path):
    run = Run(tmp_path / "run", "selectivity", {"data": "digits", "blocks": ("a",)})
    run.write_table("t.csv", pd.DataFrame({"x": [1]}))
    run.close()
    with pytest.raises(UsageError, match="data was digits, now cifar10"):
        Run(tmp_path / "run", "selectivity", {"data": "cifar10", "blocks": ["a"]}, resume=True)
    with pytest.raises(UsageError, match="command was selectivity, now pruning"):
        Run(tmp_path / "run", "pruning", {"data": "digits", "blocks": ["a"]})
    with pytest.raises(UsageError, match="unfinished run of these arguments: add --resume"):
        Run(tmp_path / "run", "selectivity", {"data": "digits", "blocks": ["a"]})
    again = Run(tmp_path / "run", "selectivity", {"data": "digits", "blocks": ["a"]}, resume=True)
    again.finish()
    assert read_record(tmp_path / "run")["finished"]
    assert read_table(tmp_path / "run", "t.csv")["x"].tolist() == [1]


def test_folders_that_are_no_place_for_a_run(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    (tmp_path / "file").write_text("")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    for name, message in (("full", "holds no run"), ("file", "is a file"), ("broken", "cannot be read")):
        with pytest.raises(UsageError, match=message):
            Run(tmp_path / name, "selectivity", {})
    assert (tmp_path / "full" / "thesis.tex").read_text() == "mine"
    for name in ("absent", "broken"):
        with pytest.raises(UsageError):
            read_record(tmp_path / name)


def test_the_record_tells_networks_by_their_weights(tmp_path):
    one, two = make_network("mini_resnet", 0), make_network("mini_resnet", 1)
    assert weights_hash(one) == weights_hash(make_network("mini_resnet", 0)) != weights_hash(two)
    run = Run(tmp_path / "run", "evaluate", {})
    run.add_network("one", network_card(one))
    run.save()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["networks"]["one"]["weights_hash"] == weights_hash(one)
    assert {"torch", "timm", "numpy"} <= record["versions"].keys()


def test_a_second_process_in_a_runs_folder_says_so_and_changes_nothing(tmp_path):
    """From before run.json is read until the run is finished or left."""
    program = "import sys; from gelens.results.run import Run; Run(sys.argv[1], 'evaluate', {'seed': 1}, resume=True)"
    with Run(tmp_path / "run", "evaluate", {"seed": 0}) as run:
        before = run.path("run.json").read_bytes()
        other = subprocess.run(
            [sys.executable, "-c", program, tmp_path / "run"], capture_output=True, text=True, cwd=ROOT
        )
        assert "another process is writing into" in other.stderr
        assert run.path("run.json").read_bytes() == before
        run.finish()
        assert Run(tmp_path / "run", "evaluate", {"seed": 0}, resume=True).finished
    with pytest.raises(ZeroDivisionError), Run(tmp_path / "left", "evaluate", {}):
        _ = 1 / 0
    Run(tmp_path / "left", "evaluate", {}, resume=True).close()


def test_what_a_killed_process_leaves_of_a_beginning_is_no_run_of_something_else(tmp_path):
    """Killed as it writes its first run.json, or before the file takes its place."""
    for number, place in enumerate(("gelens.files.os.replace", "gelens.files.to_disk")):
        folder = tmp_path / str(number)
        program = f"""
import os
import gelens.files
from gelens.results.run import Run
{place} = lambda *arguments: os._exit(9)
Run({str(folder)!r}, "evaluate", {{}})
"""
        assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 9
        assert any(path.name.endswith(".unfinished") for path in folder.iterdir())
        with Run(folder, "evaluate", {}) as run:
            assert sorted(path.name for path in folder.iterdir()) == [".lock", "run.json"]
            run.discard_if_empty()
        assert not folder.exists()


def test_a_finished_run_where_nothing_can_be_written_is_finished_still(tmp_path, monkeypatch):
    Run(tmp_path / "run", "evaluate", {}).finish()
    Run(tmp_path / "begun", "evaluate", {}).close()

    def read_only(self, *arguments, **more):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("gelens.files.FileLock.acquire", read_only)
    assert Run(tmp_path / "run", "evaluate", {}, resume=True).finished
    with pytest.raises(RunError, match=r"cannot write into .*Read-only file system"):
        Run(tmp_path / "begun", "evaluate", {}, resume=True)


def test_no_link_is_followed(tmp_path):
    """Neither one in the place of the file nor one that guesses at where it is written first."""
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "table.csv").symlink_to(tmp_path / "precious")
    with atomic_path(tmp_path / "table.csv") as temporary:
        (inside,) = [path for path in tmp_path.iterdir() if path.name.endswith(".unfinished")]
        assert temporary.parent == inside and inside.stat().st_mode & 0o777 == 0o700
        temporary.write_text("ours")
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "table.csv").read_text() == "ours" and not (tmp_path / "table.csv").is_symlink()
