"""The documentation: every command and every program on it runs, on tiny data, and it is built without a warning."""

import io
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import click
import matplotlib
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import gelens
from gelens import figures
from gelens.cli import main
from gelens.data.forms import FORMS
from gelens.networks.checkpoints import LAYOUTS
from gelens.statistics import INDICES
from tests.docs.blocks import PAGES, ROOT, SHELLS, blocks, check, named_figures, of_gelens, shortened

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
QUICK = ("fig4.md", "your_own_network.md")
"""Pages whose programs take seconds: run by `make test`, the others by `make test-all`."""

OF_SEVERAL_TRAININGS = {"fig2_trainings"}
"""Pictures that take more trainings than there are."""

GENERATED = (
    "reference/commands",
    "../reference/tables",
    "notebooks/",
    "../static/generated/",
    "gallery/",
    "../gallery/",
)
"""What is written before a build."""

ALL_BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = [(block, words) for block in ALL_BLOCKS if block.language in SHELLS for words in block.commands()]


def _name(block) -> str:
    return f"{block.page.name}:{block.line}"


def test_blocks_are_found_with_their_reasons(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: a reason -->\n```console\n$ gelens indices \\\n  --help # why\n```\n\n```python\n1\n```\n"
    )
    console, python = blocks(page)
    assert (console.language, console.reason, list(console.commands())) == (
        "console",
        "a reason",
        [["gelens", "indices", "--help"]],
    )
    assert (python.text, python.reason, python.line) == ("1", "", 8)


@pytest.mark.parametrize(("block", "words"), [pytest.param(*each, id=_name(each[0])) for each in COMMANDS])
def test_every_command_is_one(block, words):
    """Its options and choices; what is not gelens' own says why it is not run."""
    arguments = of_gelens(words)
    if arguments is None:
        assert block.reason, f"{words[0]} is not run, and no marker says why"
        return
    check(arguments)


def test_a_command_that_is_none_is_found():
    for wrong in (["selectivity", "resnet5"], ["pruning", "resnet50", "--score", "gat"], ["evaluat"], ["gates", "--x"]):
        with pytest.raises((click.UsageError, gelens.errors.UsageError)):
            check(wrong)


@pytest.mark.parametrize("name", sorted(main.commands))
def test_examples_of_the_help_are_commands(name):
    (words,) = [main.commands[name].example.split()]
    check(words[1:])


def test_programs_are_programs():
    for block in ALL_BLOCKS:
        if block.language == "python":
            compile(block.text, _name(block), "exec")


def _anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub and MyST make them."""
    headings = re.findall(
        r"^#{1,3} (.+)$", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL), re.M
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_pages_link_to_what_is_there():
    """Pages, pictures and headings."""
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target, _, heading in (link.partition("#") for link in re.findall(r"\]\(([^)\s]+)\)", text)):
            if "://" in target or target.startswith(GENERATED):
                continue
            path = page.parent / target if target else page
            assert path.exists(), f"{page.name} links to {target}"
            assert not heading or heading in _anchors(path), f"{page.name} links to {target}#{heading}"


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """Forty images of noise in each split, in the place of CIFAR-10."""
    from datasets import ClassLabel, Dataset, Features
    from datasets import Image as ImageColumn

    folder = tmp_path_factory.mktemp("images") / "cifar10"
    folder.mkdir()
    rng = np.random.default_rng(0)
    features = Features({"img": ImageColumn(), "label": ClassLabel(names=CLASSES)})
    for split in ("train", "test"):
        labels = np.arange(40) % len(CLASSES)
        pictures = []
        for label in labels:
            stored = io.BytesIO()
            pixels = rng.integers(0, 120, (32, 32, 3)) + 13 * label
            Image.fromarray(pixels.astype(np.uint8)).save(stored, "PNG")
            pictures.append({"bytes": stored.getvalue(), "path": f"{split}-{len(pictures)}.png"})
        rows = {"img": pictures, "label": labels.tolist()}
        Dataset.from_dict(rows, features=features).to_parquet(folder / f"{split}.parquet")
    return folder


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty folder to run in; what a page adds to gelens is taken away again, and each figure has one format."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "draw", partial(figures.draw, formats=("png",)))
    matplotlib.use("Agg")
    registered = (main.commands, INDICES, FORMS)
    known, layouts = [dict(each) for each in registered], list(LAYOUTS)
    yield tmp_path
    matplotlib.pyplot.close("all")
    for mine, before in zip(registered, known, strict=True):
        mine.clear()
        mine.update(before)
    LAYOUTS[:] = layouts


def _run_command(arguments: list[str], images: Path) -> None:
    short = arguments if arguments[0].startswith("-") else shortened(arguments, images)
    if "--processes" in short:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        program = [sys.executable, "-m", "cli"]
        done = subprocess.run([*program, *short], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, f"gelens {' '.join(short)}\n{done.stdout}{done.stderr}"
        return
    done = CliRunner().invoke(main, short)
    failed = done.exit_code and not (arguments[0] == "doctor" and done.exit_code == 1)  # 1: it found something missing
    assert not failed, f"gelens {' '.join(short)}\n{done.output}\n{done.exc_info}"


def _run_page(page: Path, images: Path) -> None:
    """Its blocks in order, as a reader would; programs share their names."""
    names: dict = {"__name__": "page"}
    for block in blocks(page):
        if block.reason:
            continue
        if block.language in SHELLS:
            for words in block.commands():
                _run_command(of_gelens(words), images)
        elif block.language == "python":
            text = block.text.replace('"cifar10#', f'"parquet:{images}#')
            with redirect_stdout(io.StringIO()):
                exec(compile(text, _name(block), "exec"), names)


def _runnable() -> list:
    """Pages with anything to run; the slow ones marked."""
    pages = dict.fromkeys(
        block.page for block in ALL_BLOCKS if block.language in (*SHELLS, "python") and not block.reason
    )
    marks = {False: pytest.mark.slow, True: ()}
    return [pytest.param(page, id=page.name, marks=marks[page.name in QUICK]) for page in pages]


@pytest.mark.parametrize("page", _runnable())
def test_a_page_runs_from_top_to_bottom(page, workplace, images):
    _run_page(page, images)
    if page.parent.name == "figures" and page.name != "index.md":
        drawn = sorted({path.stem for path in workplace.rglob("*.png")})
        for name in named_figures(page) - OF_SEVERAL_TRAININGS:  # some go on with a network's name
            assert any(each.startswith(name) for each in drawn), f"no {name} among {drawn}"


@pytest.mark.slow
def test_the_pages_are_built_without_a_warning_and_fetch_nothing(tmp_path):
    source = tmp_path / "clone"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "runs", "build", "tests", "weights", "*.pyc"))
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    built = tmp_path / "built"
    program = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", str(built)]
    done = subprocess.run(program, cwd=source, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    for path in built.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|link)\b[^>]*(?:src|href)="(?:https?:)?//[^"]*"', text), path
    assert "<math" in (built / "definitions.html").read_text(encoding="utf-8")
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert 'class="output' in (built / "notebooks" / f"{notebook.stem}.html").read_text(encoding="utf-8")
    for name in main.commands:
        assert (built / "reference" / "commands" / f"{name}.html").is_file()
