"""A run's figures as SVG inside a page: with their text for who can't see them, and names of their own."""

import io
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from xml.etree import ElementTree

from ..errors import UsageError
from ..figures.drawing import drawn_by, figure_modules, name_of
from ..figures.stored import StoredRun
from ..figures.style import COLUMN, Look
from ..names import blocks_as_in_papers
from .sources import Source

_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", _LINK)

log = logging.getLogger(__name__)

MOST_NARROW = 250_000
"""Characters of a figure that is also drawn in one column's width, for a phone."""


@dataclass(frozen=True)
class Picture:
    """A figure of a run.

    Args:
        name: of its file, without the ending.
        title: what it is.
        wide: SVG.
        narrow: SVG in one column's width; empty where there is only the wide one.
    """

    name: str
    title: str
    wide: str
    narrow: str = ""

    @property
    def size(self) -> int:
        """Characters."""
        return len(self.wide) + len(self.narrow)


def pictures_of(source: Source, prefix: str) -> Iterator[Picture]:
    """Every figure that a run's tables allow; one that cannot be drawn is left out, which a warning tells.

    Args:
        prefix: of the identifiers in the figures, so that those of several runs are told apart.
    """
    for module in figure_modules():
        if not source.run.has(*module.NEEDS):
            continue
        title = (module.__doc__ or module.__name__).splitlines()[0].rstrip(".")
        with blocks_as_in_papers(source.stages_known):
            try:
                wide, narrow = (_svgs(module, source.run, Look(width)) for width in (None, COLUMN))
            except UsageError as error:
                log.warning("a figure is left out, %s: %s", name_of(module), error)
                continue
        for name, svg in wide.items():
            small = narrow.get(name, "")
            identifier = f"{prefix}-{name}"
            yield Picture(
                name,
                title,
                accessible(svg, identifier, title),
                accessible(small, f"{identifier}-narrow", title) if len(small) <= MOST_NARROW else "",
            )


def _svgs(module: ModuleType, run: StoredRun, look: Look) -> dict[str, str]:
    """By name, the figures of a file of the room of figures."""
    with TemporaryDirectory() as folder:
        paths = drawn_by(module, run, look, Path(folder), ["svg"])
        return {path.stem: path.read_text("utf-8") for path in paths}


def accessible(svg: str, identifier: str, title: str) -> str:
    """An SVG file as an element of a page: an image with a title, and all that is written in it as its description.

    Args:
        identifier: goes before each identifier in the file, and what refers to it.
    """
    if not svg:
        return ""
    root = ElementTree.parse(io.StringIO(svg)).getroot()
    identifier = re.sub(r"[^\w-]", "_", identifier)
    unwanted = (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style")  # its maker, and a style that would be the page's
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
