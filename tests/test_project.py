"""The project as a newcomer meets it: the README's commands, the notebook, the demo."""

import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent


def test_the_two_commands_of_the_readme_are_those_that_ci_runs():
    readme = (ROOT / "README.md").read_text()
    first = re.search(r"```console\n(.*?)```", readme, re.DOTALL)[1]
    shown = [line.removeprefix("$ ").split("#")[0].strip() for line in first.splitlines()]
    run = [line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines()]
    assert shown == ["make demo", "make test"]
    assert set(shown) <= set(run)
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test", "lint", "bench"} <= set(targets)


def test_the_commands_of_the_readme_exist():
    import cli

    readme = (ROOT / "README.md").read_text()
    used = set(re.findall(r"^(?:\$ )?gelens ([a-z]+)", readme, re.MULTILINE))
    assert used and used <= set(cli.main.commands)


def test_the_readme_is_short_and_its_lines_for_a_checkpoint_are_those_that_a_page_runs():
    readme = (ROOT / "README.md").read_text()
    page = (ROOT / "docs" / "how" / "your_own_network.md").read_text()
    lines = [line for line in readme.splitlines() if line.startswith("$ gelens ") and "my.py" in line]
    assert len(lines) == 5 and all(line in page.replace(" \\\n   ", "").splitlines() for line in lines)
    assert len(readme.splitlines()) <= 150


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FAST = ("quickstart",)
CIFAR = ROOT.parent / "shared" / "data" / "cifar10"


def _may_be_slow(path: Path):
    return pytest.param(path, id=path.stem, marks=() if path.stem in FAST else pytest.mark.slow)


def _outputs(notebook) -> list:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def _pictures(notebook) -> int:
    return sum("image/png" in output.get("data", {}) for output in _outputs(notebook))


@pytest.mark.parametrize("path", map(_may_be_slow, NOTEBOOKS))
def test_a_notebook_runs_and_shows_the_figures_that_it_is_kept_with(path, monkeypatch):
    notebook = nbformat.read(path, as_version=4)
    if any("GELENS_DATA" in cell.source for cell in notebook.cells):
        if not CIFAR.is_dir():
            pytest.skip("no CIFAR-10 in ../shared/data")
        monkeypatch.setenv("GELENS_DATA", f"parquet:{CIFAR}")
    kept = _pictures(notebook)
    NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    assert _pictures(notebook) == kept > 0


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_shows_is_of_no_machine(path):
    """Stored outputs are what a reader sees: whole, without warnings and without somebody's folders."""
    outputs = _outputs(nbformat.read(path, as_version=4))
    assert outputs and {output["output_type"] for output in outputs} <= {"stream", "execute_result", "display_data"}
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert not [part for part in ("site-packages", "/tmp/", "parquet:/", str(ROOT)) if part in str(outputs)]


def test_the_demo_reached_95_percent_on_every_network():
    """Looks at what `make demo` left; CI runs the demo first."""
    table = ROOT / "runs" / "demo" / "evaluation.csv"
    if not table.exists():
        pytest.skip("no runs/demo: `make demo` has not been run here")
    errors = pd.read_csv(table).set_index("network")["top1_error"]
    assert len(errors) == 8 and (errors <= 5).all(), errors.to_dict()
    drawn = {path.stem for path in (ROOT / "runs" / "demo" / "figures").glob("*.png")}
    paper = {"fig1_optimisation", "table1_pooling", "fig2_selectivity", "fig3_pruning", "fig4_operators"}
    assert paper <= drawn
