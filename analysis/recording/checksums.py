"""Sums of the rows of a recording that are done, by which damage is told."""

import zlib
from collections.abc import Mapping

import pandas as pd

from ..files import RowSums
from .format import IMAGE_COLUMNS, arrays_of


class Sums:
    """Of the rows that are done: those of each array, and of their images in images.csv."""

    def __init__(self, described: Mapping):
        done, known = described["rows_done"], described.get("sums", {})
        self._arrays: dict[tuple[str, str], RowSums] = {}
        for network, name, _ in arrays_of(described):
            # a recording of before there were sums is taken as it is
            sums = known.get("arrays", {}).get(network, {}).get(name)
            self._arrays[network, name] = RowSums(sums or (), done if sums else 0)
        self._images: tuple[int, int] = (known.get("images", 0), done if "images" in known else 0)

    def of(self, network: str, name: str) -> RowSums:
        return self._arrays[network, name]

    def add_images(self, images: pd.DataFrame, start: int, stop: int) -> None:
        before, listed = self._images
        if listed != start:
            before, start = 0, 0
        self._images = (images_sum(images, start, stop, before), stop)

    def images_differ(self, images: pd.DataFrame) -> bool:
        """Whether the images of the rows that are done are others than those that were added."""
        added, listed = self._images
        return images_sum(images, 0, listed, 0) != added

    def of_rows(self, done: int, arrays: Mapping, images: pd.DataFrame) -> dict:
        """As recording.json has them, of the rows that are done: writing may have been left at any statement."""
        if self._images[1] != done:
            self.add_images(images, 0, done)
        said: dict[str, dict] = {}
        for (network, name), sums in self._arrays.items():
            if sums.rows != done:
                sums.settle(done, arrays[network, name])
            said.setdefault(network, {})[name] = sums.sums
        return {"arrays": said, "images": self._images[0]}


def images_sum(images: pd.DataFrame, start: int, stop: int, before: int) -> int:
    for row in images[list(IMAGE_COLUMNS)].iloc[start:stop].itertuples(index=False):
        if not row[-1]:  # as in recordings of before contents were kept
            row = row[:-1]
        before = zlib.crc32("\x1f".join(map(str, row)).encode("utf-8", "surrogateescape"), before)
    return before
