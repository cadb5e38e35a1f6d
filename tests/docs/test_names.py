"""Names of gelens and files of the package that prose speaks of are there: in pages, notebooks and docstrings."""

import ast
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

PACKAGE = ROOT / "analysis"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROSE = [*PAGES, *sorted((ROOT / "notebooks").glob("*.ipynb")), *sorted(PACKAGE.rglob("*.py"))]
NAME = re.compile(r"(?<![\w/.-])gelens((?:\.[A-Za-z_]\w*)+)")
FILE = re.compile(r"`(?:analysis/)?(\w+/(?:\w+/)*\w+\.py)`")
ELSEWHERE = ("tests", "notebooks", "studies", "benchmarks", "examples", "docs")


def texts(path: Path) -> Iterator[str]:
    """What a file says to a reader."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield text
    elif path.suffix == ".ipynb":
        yield from ("".join(cell["source"]) for cell in json.loads(text)["cells"])
    else:
        statements = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr))
        values = (each.value for each in statements if isinstance(each, ast.Constant))
        yield from (value for value in values if isinstance(value, str))


def is_there(name: str) -> bool:
    """Whether a dotted name is that of a module of gelens, or of something in one."""
    parts = name.split(".")
    for number in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:number]))
        except ModuleNotFoundError:
            continue
        for part in parts[number:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_a_name_that_is_none_is_found():
    assert is_there("gelens.statistics.registry.INDICES") and is_there("gelens.load_data")
    assert not is_there("gelens.statistic") and not is_there("gelens.statistics.registry.INDEX")
    assert NAME.findall("see `gelens.api.ask` (and `gelens layers`), gelens.load_data(x)") == [".api.ask", ".load_data"]
    assert FILE.findall("`analysis/data/forms.py`, `data/forms.py` and forms.py") == ["data/forms.py"] * 2


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_prose_names_is_there(path):
    for text in texts(path):
        for dotted in NAME.findall(text):
            assert is_there(f"gelens{dotted}"), f"gelens{dotted}"
        for file in FILE.findall(text):
            root = ROOT if file.split("/")[0] in ELSEWHERE else PACKAGE
            assert (root / file).is_file(), file
