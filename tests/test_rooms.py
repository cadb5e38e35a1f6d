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
    {"errors", "differences", "randomness", "names", "choices", "progress", "plugins"},
    {"files", "untrusted", "interruption", "paper", "devices", "processes"},
    {"networks", "statistics"},
    {"data", "results", "anatomy"},
    {"figures"},  # from a run's folder, whose reading is results'
    {"recording", "ablation"},
    {"probes", "training", "tables"},
    {"report"},
    {"sweep"},
    {"subjects"},
    {"analyses"},
    {"commands"},
    {"api", "recorder"},
    {"cli"},
]
"""The rooms of the house, the earliest first: modules or packages of the package."""

WITHOUT_TORCH = (
    *(
        "errors",
        "differences",
        "choices",
        "progress",
        "plugins",
        "files",
        "untrusted",
        "interruption",
        "randomness",
        "names",
        "paper",
    ),
    *("statistics", "results", "figures", "recording", "tables", "report", "cli", "analyses", "commands"),
)
FOR_A_PASS = (
    *(f"analyses.{name}" for name in ("asking", "inputs", "index_of_run", "measuring", "over_training", "requests")),
    "analyses.thumbnails",
    *(f"commands.{name}" for name in ("cache", "diagram", "doctor", "push", "record", "supplementary", "trying")),
)
"""Modules of those rooms that need a network."""


def imports_of(path: Path) -> set[str]:
    """Rooms that a file imports, wherever in it the statement stands."""
    found = set()
    package = ("gelens", *path.parent.relative_to(PACKAGE).parts) if path.is_relative_to(PACKAGE) else ()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "gelens" else [base]
        assert "analysis" not in {name.split(".")[0] for name in names}, f"{path}: the package is called gelens"
        found |= {name.split(".")[1] for name in names if name.startswith("gelens.")}
    return found


def rooms() -> dict[str, list[Path]]:
    found = {}
    for path in sorted(PACKAGE.iterdir()):
        if path.is_dir() and (path / "__init__.py").exists():
            found[path.name] = sorted(path.rglob("*.py"))
        elif path.suffix == ".py" and path.stem not in ("__init__", "__main__"):
            found[path.stem] = [path]
    return found


def test_every_room_has_a_rank():
    ranked = [room for rooms in RANKS for room in rooms]
    assert len(ranked) == len(set(ranked))
    # another name for all; an old name for what is in networks and figures
    missing = rooms().keys() - set(ranked) - {"clone", "diagrams"}
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
    (tmp_path / "x.py").write_text("def f():\n    from gelens import figures\n    import gelens.api as a\n")
    assert imports_of(tmp_path / "x.py") == {"figures", "api"}


def loaded_by(program: str) -> set[str]:
    # first of all the folder's own name: so `gelens` is that of this clone, whatever is installed
    command = f"import sys, analysis\n{program}\nimport json; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, cwd=ROOT, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_import_analysis_is_light():
    assert not loaded_by("import gelens; dir(gelens)") & {"torch", "matplotlib", "pandas", "timm"}


def test_what_reads_loads_no_torch():
    """Statistics, tables and figures of a finished run, on a machine that has none."""
    paths = [path.relative_to(PACKAGE).with_suffix("") for room in WITHOUT_TORCH for path in rooms()[room]]
    modules = {".".join(path.parts).removesuffix(".__init__") for path in paths}
    assert modules >= set(FOR_A_PASS)
    every = "\n".join(f"import gelens.{module}" for module in sorted(modules - set(FOR_A_PASS)))
    assert not loaded_by(every) & {"torch", "torchvision", "timm", "torchmetrics", "accelerate"}
    assert not loaded_by("import gelens; gelens.figures, gelens.open_recording") & {"torch", "timm"}


def test_a_recording_is_computed_from_without_torch(tmp_path):
    """To the tables, from a folder: nothing on the way asks for a network."""
    program = f"""
import numpy as np, pandas as pd
from gelens.recording import Kept, Recording, open_recording
from gelens.tables.selectivity import Statistics, selectivity_tables
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


def test_a_measurement_needs_no_torchmetrics():
    code = "import analysis, sys, gelens.api, gelens.probes.dropping; print('torchmetrics' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
