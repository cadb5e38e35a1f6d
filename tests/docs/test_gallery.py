"""The gallery has every figure, each with commands that are commands."""

import re
import shlex

import pytest
from PIL import Image

from docs import gallery
from gelens import figures
from gelens.figures.drawing import figure_modules, name_of
from tests.docs.blocks import DOCS, check

OURS = [name_of(each) for each in figure_modules() if each.__name__.startswith(figures.__name__)]
DRAWN = [name for drawing in gallery.DRAWINGS for name in drawing.figures]
COMMANDS = dict.fromkeys(command for drawing in gallery.DRAWINGS for command in drawing.commands)


def test_every_figure_is_in_it_once():
    assert sorted(DRAWN) == sorted(OURS)


@pytest.mark.parametrize("name", OURS)
def test_its_picture_is_small_and_there(name):
    path = gallery.PICTURES / f"{name}.png"
    assert path.stat().st_size < 150_000
    with Image.open(path) as picture:
        assert picture.width >= 600


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_are_commands(command):
    name, *arguments = shlex.split(command)
    assert name == "gelens"
    check(arguments)


def test_its_page_shows_every_figure_with_what_drew_it(tmp_path):
    path = tmp_path / "gallery" / "index.md"
    gallery.write_gallery(path)
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"^## (\w+)$", text, re.M) == OURS
    assert re.findall(r"\(\.\./static/figures/(\w+)\.png\)", text) == OURS
    pages = re.findall(r"\(\.\./figures/(\w+)\.md\)", text)
    assert len(pages) == len(OURS) and all((DOCS / "figures" / f"{page}.md").is_file() for page in pages)
    assert all(f"$ {command}" in text for command in COMMANDS)
