"""Rooms import rooms of an earlier rank only, and what needs no torch loads none."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "analysis"

RANKS = [
    {"errors", "randomness", "names"},
    {"files", "untrusted", "interruption", "paper", "devices", "processes"},
    {"networks", "statistics"},
    {"data", "results", "anatomy"},
    {"figures"},  # from a run's folder, whose reading is results'
    {"recording", "ablation"},
    {"probes", "training", "tables"},
    {"sweep"},
    {"subjects"},
    {"api", "recorder"},
    {"report"},
    {"commands"},
]
"""The rooms of the house, the earliest first: modules or packages of `analysis`."""

WITHOUT_TORCH = (
    *("errors", "files", "untrusted", "interruption", "randomness", "names", "paper", "statistics", "results"),
    *("figures", "recording", "tables", "report"),
)


def imports_of(path: Path) -> set[str]:
    """Rooms that a file imports, wherever in it the statement stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            base = [node.module] if node.module != "analysis" else []
            names = base + ([f"analysis.{alias.name}" for alias in node.names] if node.module == "analysis" else [])
        found |= {name.split(".")[1] for name in names if name.startswith("analysis.")}
    return found


def rooms() -> dict[str, list[Path]]:
    found = {}
    for path in sorted(PACKAGE.iterdir()):
        if path.is_dir() and (path / "__init__.py").exists():
            found[path.name] = sorted(path.rglob("*.py"))
        elif path.suffix == ".py" and path.stem != "__init__":
            found[path.stem] = [path]
    return found


def test_every_room_has_a_rank():
    ranked = [room for rooms in RANKS for room in rooms]
    assert len(ranked) == len(set(ranked))
    missing = rooms().keys() - set(ranked) - {"diagrams"}  # an old name for what is in networks and figures
    assert not missing, f"rooms without a rank: {sorted(missing)}"


@pytest.mark.parametrize("room", sorted(rooms()))
def test_a_room_imports_earlier_ones_only(room):
    rank = {each: number for number, several in enumerate(RANKS) for each in several}
    if room not in rank:
        pytest.skip("no rank")
    known = rank.keys()
    late = {}
    for path in rooms()[room]:
        wrong = {each for each in imports_of(path) & known if each != room and rank[each] >= rank[room]}
        if wrong:
            late[str(path.relative_to(ROOT))] = sorted(wrong)
    assert not late, f"`{room}` imports neighbours or later rooms: {late}"


def test_the_walk_sees_an_import_inside_a_function(tmp_path):
    (tmp_path / "x.py").write_text("def f():\n    from analysis import figures\n    import analysis.api as a\n")
    assert imports_of(tmp_path / "x.py") == {"figures", "api"}


def loaded_by(program: str) -> set[str]:
    command = f"import sys\n{program}\nimport json; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, cwd=ROOT, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_import_analysis_is_light():
    assert not loaded_by("import analysis; dir(analysis)") & {"torch", "matplotlib", "pandas", "timm"}


def test_what_reads_loads_no_torch():
    """Statistics, tables and figures of a finished run, on a machine that has none."""
    every = "\n".join(
        f"import {path.relative_to(ROOT).with_suffix('').as_posix().replace('/', '.').removesuffix('.__init__')}"
        for room in WITHOUT_TORCH
        for path in rooms()[room]
    )
    every += "\nimport analysis.commands.report, analysis.commands.figures"
    assert not loaded_by(every) & {"torch", "torchvision", "timm", "torchmetrics", "accelerate"}
    assert not loaded_by("import analysis; analysis.figures, analysis.open_recording") & {"torch", "timm"}


def test_a_recording_is_computed_from_without_torch(tmp_path):
    """To the tables, from a folder: nothing on the way asks for a network."""
    program = f"""
import numpy as np, pandas as pd
from analysis.recording import Kept, Recording, open_recording
from analysis.tables.selectivity import Statistics, selectivity_tables
labels = np.arange(20) % 2
images = pd.DataFrame(dict(index=np.arange(20), identifier=list(map(str, range(20))), label=labels))
images["class"] = "x"
images["bytes"] = -1
facts = dict(networks=dict(n={{}}), taps=dict(n=dict(b=["gate"])), settings=dict(n=dict(rectified=False)))
facts |= dict(depths=dict(n=dict(b=1)), classes=["x", "y"])
r = Recording.create(dict(n=[Kept("b.gate", (3,))]), images, facts, {str(tmp_path / "r")!r})
r.write(0, {{("n", "b.gate"): np.random.default_rng(0).random((20, 3), np.float32)}}, 20)
r.finish()
again = open_recording({str(tmp_path / "r")!r})
assert len(selectivity_tables(again, Statistics(permutations=2, replicates=2), "gate").units) == 3
again.activity("n", "b", "gate").mean()
"""
    assert not loaded_by(program) & {"torch", "timm", "matplotlib"}
