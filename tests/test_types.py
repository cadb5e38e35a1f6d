"""What type checkers and completion know of `gelens`: the stub says what there is, and mypy finds it."""

import ast
import inspect
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import gelens
from gelens.analyses import analyses
from gelens.analyses.asking import options_by_name

ROOT = Path(__file__).parents[1]
STUB = ast.parse((ROOT / "analysis" / "__init__.pyi").read_text())

SCRIPT = """
from pathlib import Path

import gelens
import torch

network = gelens.load_network("thin_resnet50_se@cifar10")
data = gelens.load_data("cifar10#val")
options = gelens.SweepOptions(device="cpu", batch_size=32)
table = gelens.selectivity({"se": network}, data, stage=4, options=options)
errors = gelens.evaluate([network, torch.nn.DataParallel(network)], data, device="cpu")
curves = gelens.pruning(network, data, score="random", ratios=[0, 0.5, 1])
result = gelens.gates(network, data, blocks=["layer3.0"], device="cuda", permutations=20)
blocks = result.tables["gates_blocks"]
result.plot("variance").figure.savefig("gates.png")
page: Path = result.report("gates.html")
recording = gelens.record(network, data, taps=("gate", "output"))
units = gelens.selectivity(recording)
run = gelens.open_run("runs/se")
print(errors, curves, blocks, units, page, run.findings, run.to_xarray().sizes)
figure, axes = gelens.figures.selectivity(table)
"""

MISTAKES = """
import gelens

gelens.selectivty("resnet50", "digits")
gelens.selectivity("resnet50", "digits", permutation=3)
gelens.gates("resnet50", "digits", permutations="many")
"""


def stubbed() -> dict[str, ast.FunctionDef | None]:
    """By name, what the stub has: its own functions, and what it takes from elsewhere."""
    found: dict[str, ast.FunctionDef | None] = {}
    for node in STUB.body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ImportFrom):
            found |= {each.asname: None for each in node.names if each.asname}
    return found


def test_the_stub_has_the_names_that_there_are():
    assert stubbed().keys() == set(gelens.__all__)


@pytest.mark.parametrize("name", [name for name, node in stubbed().items() if node is not None and name != "report"])
def test_a_function_takes_what_the_stub_says(name):
    """In this order; and an analysis also the names of the command line."""
    node = stubbed()[name]
    taken = inspect.signature(getattr(gelens, name)).parameters
    by_place = [each.arg for each in node.args.args]
    assert by_place == [each.name for each in taken.values() if each.kind is each.POSITIONAL_OR_KEYWORD]
    by_name = {each.arg for each in node.args.kwonlyargs}
    named = {each.name for each in taken.values() if each.kind is each.KEYWORD_ONLY}
    flags = options_by_name(analyses()[name]).keys() - taken.keys() if name in analyses() else set()
    assert by_name == named | flags
    required = len(by_place) - len(node.args.defaults)
    assert required == sum(each.default is each.empty for each in taken.values())


@pytest.fixture(scope="module", params=["wheel", "editable"])
def python(request, tmp_path_factory) -> Path:
    """The interpreter of an environment with gelens installed, beside the libraries of this one."""
    folder = tmp_path_factory.mktemp(request.param)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "v"], check=True)
    installed = folder / "v" / "bin" / "python"
    places = next((folder / "v" / "lib").iterdir()) / "site-packages"
    (places / "outer.pth").write_text(sysconfig.get_path("purelib"))
    source = folder / "source"
    source.mkdir()
    listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "setup.cfg", "pyproject.toml", "*.md")
    names = subprocess.run([*listed, "LICENSE", "analysis"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(lambda each: "shipped/" not in each or each.endswith(".py"), names.stdout.splitlines()):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    how = ["--editable", str(source), "--config-settings", "editable_mode=strict"]
    pip = [sys.executable, "-m", "pip", "--python", str(installed), "install", "--quiet", "--no-deps", "--no-index"]
    chosen = how if request.param == "editable" else [str(source)]
    subprocess.run([*pip, "--no-build-isolation", *chosen], check=True, capture_output=True)
    return installed


def checked(python: Path, tmp_path: Path, text: str) -> subprocess.CompletedProcess:
    (tmp_path / "script.py").write_text(text)
    (tmp_path / "none.ini").write_text("[mypy]\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "--config-file", "none.ini"]
    command += ["--cache-dir", python.parents[2] / "cache", "script.py"]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)


@pytest.mark.slow
def test_a_script_is_found_right_and_its_mistakes_are_found(python, tmp_path):
    right = checked(python, tmp_path, SCRIPT)
    assert right.returncode == 0, right.stdout
    wrong = checked(python, tmp_path, MISTAKES)
    errors = [line for line in wrong.stdout.splitlines() if ": error: " in line]
    assert [line.split(":")[1] for line in errors] == ["4", "5", "6"], wrong.stdout
    assert 'maybe "selectivity"' in errors[0] and 'did you mean "permutations"' in errors[1] and '"int"' in errors[2]
