"""Pages that give measured numbers name what gives them: a script, a command or a target that exists."""

import re

import pytest

from benchmarks import page
from cli import main
from tests.docs.blocks import ROOT

STUDIES = ("studies/selectivity_bias.md", "studies/sparseness.md", "studies/strangers_indices.md")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def producers(text: str) -> list[str]:
    """Commands in a text that exist."""
    found = []
    for module in re.findall(r"python -m ((?:benchmarks|studies)\.\w+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
        found.append(module)
    found += [target for target in re.findall(r"make ([a-z-]+)", text) if target in TARGETS]
    return found + [name for name in re.findall(r"gelens (\w+)", text) if name in main.commands]


def sections(page: str) -> list[tuple[str, str]]:
    """The sections of a page that have a table or a number with a point, by title."""
    text = (ROOT / page).read_text(encoding="utf-8")
    parts = re.split(r"^#{1,3} ", text, flags=re.MULTILINE)[1:]
    numbered = [part for part in parts if re.search(r"^\|[-:| ]+\|$|\d\.\d", part, re.MULTILINE)]
    return [(part.partition("\n")[0], part) for part in numbered]


@pytest.mark.parametrize("page", STUDIES)
def test_a_page_of_a_study_names_the_script_that_writes_it(page):
    assert producers((ROOT / page).read_text(encoding="utf-8")), page


def test_the_page_and_the_readme_are_what_the_stored_tables_give():
    assert page.PAGE.read_text(encoding="utf-8") == page.page()
    assert page.README.read_text(encoding="utf-8") == page.readme()
    assert page.README.read_text(encoding="utf-8").count("python -m benchmarks.page") == 1


def test_every_benchmark_has_its_place_on_the_page():
    scripts = {path.stem for path in page.HERE.glob("*.py")} - {"__init__", "__main__", "page", "table"}
    assert sorted(page.NAMES) == sorted(scripts)
    assert {path.stem for path in page.TABLES.glob("*.json")} <= scripts


def test_every_measured_number_has_a_producer():
    found = sections("docs/measured.md")
    assert found
    assert not [title for title, text in found if not producers(text)]
