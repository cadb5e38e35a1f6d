"""Run folders: written whole or not at all, and never over something else."""

import errno
import json

import pandas as pd
import pytest

from analysis.errors import RunError, UsageError
from analysis.files import atomic_path
from analysis.networks.weights import network_card, weights_hash
from analysis.results.run import Run, read_record, read_table
from tests.conftest import make_network


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
