"""A package of somebody else's adds an analysis: its command, tables, figures and findings."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gelens.analyses.analysis import Analysis
from gelens.analyses.running import OnRecordings
from gelens.recording.given import recording_from
from gelens.results.run import Run

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "gate_entropy"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Where the example is installed."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(EXAMPLE)], check=True)
    return target


def gelens(site, *arguments: str) -> subprocess.CompletedProcess:
    program = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(site)!r}]; from analysis.cli import main; main()"
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)


def test_the_example_is_short():
    assert len((EXAMPLE / "gate_entropy.py").read_text().splitlines()) <= 60


@pytest.mark.slow
def test_an_installed_analysis_has_its_command_tables_and_figures(site, tmp_path):
    assert "gate-entropy" in gelens(site, "--help").stdout
    assert "--bits" in gelens(site, "gate-entropy", "--help").stdout
    few = ["--untrained", "--limit", "20", "--blocks", "layer3.0", "--device", "cpu", "-q"]
    out = tmp_path / "run"
    done = gelens(site, "gate-entropy", "mini_resnet_se", *few, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert len((out / "gate_entropy.csv").read_text().splitlines()) == 21
    assert (out / "figures" / "fig_gate_entropy.png").is_file()
    assert "entropy" in json.loads((out / "run.json").read_text())["findings"][0]
    again = gelens(site, "gate-entropy", str(out), "--bits", "--out", str(tmp_path / "again"), "-q")
    assert again.returncode == 0, again.stderr
    page = gelens(site, "report", str(out), "--out", str(tmp_path / "page.html"))
    assert page.returncode == 0 and "fig_gate_entropy" in (tmp_path / "page.html").read_text()


def test_what_cannot_be_loaded_is_left_out(tmp_path):
    broken = tmp_path / "broken-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[gelens.analyses]\na = nowhere:Nothing\nb = json:loads\n")
    done = gelens(tmp_path, "--help")
    assert done.returncode == 0 and "selectivity" in done.stdout
    assert "nowhere:Nothing` of the entry points gelens.analyses cannot be loaded" in done.stderr
    assert "json:loads` of the entry points gelens.analyses is of another kind" in done.stderr


def test_an_analysis_may_have_no_figures(tmp_path):
    class Sizes(Analysis):
        """How many images there are."""

        name = "sizes"

        def requests(self, networks, images, others=None):
            return {}

        def results(self, recording):
            return {"sizes.csv": pd.DataFrame({"images": [len(recording.images)]})}

    recording_from({"b": np.ones((4, 2))}, [0, 1, 0, 1], folder=tmp_path / "r")
    with Run(tmp_path / "run", "sizes", {}) as run:
        assert OnRecordings(Sizes(), [tmp_path / "r"]).run(run) == []
        assert run.path("sizes.csv").is_file()
