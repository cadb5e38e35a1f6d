"""Which files are images by their names, and what is left out as none: counted, so that it can be said."""

import logging
import posixpath
from collections import Counter
from functools import cache

from PIL import Image

from .decoding import FORMATS

log = logging.getLogger(__name__)

BESIDE = (
    *(".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".html"),
    *(".mat", ".db", ".ini", ".cls"),
)
"""Endings of what ordinarily lies beside images."""
_OF_SYSTEMS = ("__MACOSX", "@eaDir")
"""Folders that macOS and network drives put beside files, with images in them that are no photographs."""


@cache
def image_endings() -> tuple[str, ...]:
    """Of all files in the formats that are read."""
    return tuple(sorted(ending for ending, form in Image.registered_extensions().items() if form in (*FORMATS, "MPO")))


def is_image(name: str) -> bool:
    """Whether a file is called as an image.

    >>> is_image("a.JPG"), is_image("a.jfif"), is_image("a.heic")
    (True, True, False)
    """
    return name.lower().endswith(image_endings())


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, as .ipynb_checkpoints and ._1.jpg are, or one of a system's own.

    >>> is_hidden(".DS_Store"), is_hidden("__MACOSX"), is_hidden("..")
    (True, True, False)
    """
    return (name.startswith(".") and name not in (".", "..")) or name in _OF_SYSTEMS


class LeftOut:
    """Files that are not among the images, and why: hidden ones, and those with endings of no image."""

    def __init__(self) -> None:
        self.hidden: list[str] = []
        self.endings: Counter[str] = Counter()
        self.animations = 0

    def hides(self, path: str) -> bool:
        """Whether a file or folder, or one that it lies in, is hidden; it is counted then."""
        if not any(is_hidden(part) for part in path.split("/")):
            return False
        self.hidden.append(path)
        return True

    def takes(self, name: str) -> bool:
        """Whether a file is called as an image; it is counted otherwise."""
        if is_image(name):
            self.animations += name.lower().endswith(".gif")
            return True
        ending = posixpath.splitext(name)[1].lower()
        if ending not in BESIDE:
            self.endings[ending or "no ending"] += 1
        return False

    def say(self, where: str) -> None:
        if self.hidden:
            text = "%d hidden files or folders of %s are left out, such as %s"
            log.info(text, len(self.hidden), where, self.hidden[0])
        if self.endings:
            listed = ", ".join(f"{times} of {ending}" for ending, times in self.endings.most_common(5))
            text = "%d files of %s are called as no images and left out: %s"
            log.warning(text, self.endings.total(), where, listed)
        if self.animations:
            log.info("%d files of %s are .gif: of an animation the first picture is taken", self.animations, where)
