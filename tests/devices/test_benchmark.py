"""Benchmarks run in little; of that of GPUs every part does, and one that fails does not end the others."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu, page
from benchmarks.table import Table, stored

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*page.NAMES} - {"gpu", "demo"}))  # the demo takes a minute and a half
def test_every_benchmark_runs_in_little(name, tmp_path):
    if name == "report" and (shutil.which("chromium") is None or importlib.util.find_spec("playwright") is None):
        pytest.skip("no browser, or nothing to drive it with")
    command = [sys.executable, "-m", f"benchmarks.{name}", "--tiny", "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    called, table = stored(tmp_path / f"{name}.json")
    assert called == f"python -m benchmarks.{name} --tiny"
    assert table.rows and table.markdown() == (tmp_path / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_part_runs_in_little(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--tiny", "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert [row for row in rows if "FAILED" in row["what"] or "left out" in row["what"]] == []
    assert list(dict.fromkeys(row["part"] for row in rows)) == list(gpu.PARTS)
    values = {(row["part"], row["what"]): row["value"] for row in rows}
    assert values["same", "the same twice"] == "equal bytes"
    assert values["same", "batch of 100 against 64"] < 1e-5
    table = [line for line in (tmp_path / "gpu.md").read_text().splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(rows)


def test_a_part_that_fails_is_a_row(tmp_path, monkeypatch):
    def fails(bench):
        raise ValueError("no such thing\nsecond line")

    monkeypatch.setitem(gpu.PARTS, "same", fails)
    bench = gpu.Bench(torch.device("cpu"), 9.0, "", tmp_path)
    for part in ("same", "memory"):
        gpu.run(bench, part)
    assert [(row.part, row.what) for row in bench.table.rows] == [
        ("same", "FAILED"),
        ("memory", "a card that is nearly full"),
    ]
    assert bench.table.rows[0].note == "ValueError: no such thing"


def test_no_part_begins_when_time_is_up(tmp_path):
    bench = gpu.Bench(torch.device("cpu"), 0.1, "", tmp_path)
    gpu.run(bench, "training")
    assert [(row.part, row.what) for row in bench.table.rows] == [("training", "left out")]


def test_a_value_is_told_as_a_share_of_its_bound(tmp_path):
    table = Table()
    table.add("rates", "a | b", 30.0, "images/s", 40.0, "note")
    table.write(tmp_path, "it")
    assert "| rates | a / b | 30 | images/s | 0.75 | note |" in (tmp_path / "it.md").read_text()
    (row,) = json.loads((tmp_path / "it.json").read_text())["rows"]
    assert row["bound"] == 40 and row["value"] == 30
