"""A run's figures as SVG inside a page: with their text for who can't see them, and names of their own."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from ..figures.drawing import drawn_of, say_left_out
from ..figures.style import Look
from .sources import Source

_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", _LINK)


@dataclass(frozen=True)
class Picture:
    """A figure of a run.

    Args:
        name: of its file, without the ending.
        title: what it is.
        svg: the figure, as an element of the page.
    """

    name: str
    title: str
    svg: str

    @property
    def size(self) -> int:
        """Characters."""
        return len(self.svg)


def pictures_of(source: Source, prefix: str, drawn: Sequence[Path] = ()) -> list[Picture]:
    """Every figure that a run's tables allow; one that cannot be drawn is left out, which a warning tells.

    Args:
        prefix: of the identifiers in the figures, so that those of several runs are told apart.
        drawn: files of all its figures, of which SVG is taken; without any, they are drawn.
    """
    files = [path for path in drawn if path.suffix == ".svg"]
    if files:
        return _in_order(files, prefix)
    with TemporaryDirectory() as folder:
        files, faults = drawn_of(source.run, Look(), Path(folder), ["svg"])
        say_left_out(faults)
        return _in_order(files, prefix)


FIRST = ("fig2_trainings", "fig2_gap", "fig3_pruning", "fig2_selectivity")
"""Figures that findings speak of, before all others."""


def _in_order(files: Sequence[Path], prefix: str) -> list[Picture]:
    place = {name: at for at, name in enumerate(FIRST)}
    return [_picture(path, prefix) for path in sorted(files, key=lambda path: place.get(path.stem, len(FIRST)))]


def _picture(path: Path, prefix: str) -> Picture:
    svg = path.read_text("utf-8")
    title = ElementTree.fromstring(svg).findtext(f"{{{_SVG}}}title") or path.stem
    return Picture(path.stem, title, accessible(svg, f"{prefix}-{path.stem}", title))


def accessible(svg: str, identifier: str, title: str) -> str:
    """An SVG file as an element of a page: an image with a title, and all that is written in it as its description.

    Args:
        identifier: goes before each identifier in the file, and what refers to it.
    """
    root = ElementTree.parse(io.StringIO(svg)).getroot()
    identifier = re.sub(r"[^\w-]", "_", identifier)
    # its maker, a style that would be the page's, and a title without a name
    unwanted = tuple(f"{{{_SVG}}}{tag}" for tag in ("metadata", "style", "title"))
    for parent in list(root.iter()):
        for part in list(parent):
            if part.tag in unwanted:
                parent.remove(part)
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "id":
                element.set(name, f"{identifier}-{value}")
            elif name == f"{{{_LINK}}}href" and value.startswith("#"):
                element.set(name, f"#{identifier}-{value[1:]}")
            else:
                element.set(name, value.replace("url(#", f"url(#{identifier}-"))
    texts = ["".join(each.itertext()).strip() for each in root.iter(f"{{{_SVG}}}text")]
    words = dict.fromkeys(text for text in texts if re.search(r"[^\W\d_]{2}", text))
    for place, (tag, text) in enumerate((("title", title), ("desc", "; ".join(words)))):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{identifier}-{tag}"})
        element.text = text
        root.insert(place, element)
    names = {"role": "img", "aria-labelledby": f"{identifier}-title", "aria-describedby": f"{identifier}-desc"}
    root.attrib |= names | {"style": "stroke-linejoin: round; stroke-linecap: butt"}
    return ElementTree.tostring(root, encoding="unicode")
