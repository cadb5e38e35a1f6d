"""The folder's name in a clone and the package's name are names of one package."""

import pickle
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_both_names_give_the_same_modules():
    import analysis.errors
    import gelens.errors
    from analysis.networks import references

    assert analysis is gelens
    assert analysis.errors is gelens.errors and analysis.errors.UsageError is gelens.errors.UsageError
    assert references.__spec__.name == "gelens.networks.references"
    assert pickle.loads(pickle.dumps(references.parse("x@y"))) == references.parse("x@y")


def test_a_clone_is_its_own_gelens_even_where_it_is_not_installed():
    """`-I -S` leaves out what is installed."""
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import analysis.names, gelens.names; print(gelens.__file__)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == str(ROOT / "analysis" / "__init__.py"), done.stderr


def test_somebodys_own_folder_of_that_name_shadows_nothing(tmp_path):
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "__init__.py").write_text("mine = True\n")
    program = "import gelens.names, analysis; print(analysis.mine, gelens.names.pretty('x'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["True", "x"], done.stderr


def test_every_package_is_installed():
    """setup.cfg lists them, since the folder is called otherwise."""
    listed = {line.strip() for line in (ROOT / "setup.cfg").read_text().splitlines() if line.startswith("    gelens")}
    folders = [path.parent.relative_to(ROOT / "analysis") for path in (ROOT / "analysis").rglob("__init__.py")]
    assert {".".join(("gelens", *folder.parts)) for folder in folders} <= listed


def test_python_m_analysis_is_the_command_line():
    made = subprocess.run([sys.executable, "-m", "analysis", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0 and "Usage: gelens" in made.stdout, made.stderr
