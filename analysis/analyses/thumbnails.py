"""Small pictures of the images that drive units most, for contact sheets and the report."""

import logging

import numpy as np
import pandas as pd
from PIL import ImageOps

from ..data import ImageData
from ..data.cached import CachedData
from ..data.contents import content_of
from ..recording import Recording
from ..statistics.top_images import IMAGES_NAMED, most_selective
from .analysis import Results

log = logging.getLogger(__name__)

MOST_PICTURES, SIDE = 1000, 48
"""Pictures for the report, and the pixels of one's side."""


def thumbnails(units: pd.DataFrame, top_images: pd.DataFrame, images: ImageData, recording: Recording) -> Results:
    """64-pixel squares of the images that drive the most selective units of each network's deepest block.

    And smaller ones of the first images of as many units as `MOST_PICTURES` are enough for, the most selective units of
    every block before the others.

    An image that shows something else by now than what was recorded has none.

    Args:
        units: rows of `selectivity.csv`.
        top_images: rows of `selectivity_images.csv`.
        images: that were measured.
    """
    if not isinstance(images, ImageData):
        return {}
    wanted: list[str] = []
    for network, rows in units.dropna(subset="csi").groupby("network", sort=False):
        deepest = rows["block"].iloc[-1]
        top = top_images[(top_images["network"] == network) & (top_images["block"] == deepest)]
        shown_units = most_selective(rows[rows["block"] == deepest])["unit"]
        wanted += top.loc[top["unit"].isin(shown_units), "identifier"].tolist()
    positions = {name: position for position, name in enumerate(images.identifiers)}
    shown = dict(zip(recording.images["identifier"], recording.contents, strict=True))
    first = _first_images(units, top_images)[:MOST_PICTURES]
    large: dict[str, np.ndarray] = {}
    small: dict[str, np.ndarray] = {}
    for name in dict.fromkeys([*wanted, *first]):
        image = images[positions[name]][0]
        if shown[name] and not isinstance(images, CachedData) and content_of(image).hex() != shown[name]:
            log.warning("image `%s` has changed since it was measured: contact sheets leave it out", name)
            continue
        if name in wanted:
            large[name] = np.asarray(ImageOps.fit(image, (64, 64)))
        small[name] = np.asarray(ImageOps.fit(image, (SIDE, SIDE)))
    pictures = {name: small[name] for name in first if name in small}
    found = {"selectivity_thumbnails.npz": large, "selectivity_pictures.npz": pictures}
    return {
        file: {"identifiers": np.array(list(squares), dtype=str), "images": np.stack(list(squares.values()))}
        for file, squares in found.items()
        if squares
    }


def _first_images(units: pd.DataFrame, top_images: pd.DataFrame) -> list[str]:
    """The images that drive units most, of the most selective units of every block before those of the others."""
    blocks = units.groupby(["network", "block"], sort=False)
    ranked = pd.concat([most_selective(rows, len(rows)) for _, rows in blocks])
    ranked = ranked[["network", "block", "unit"]].assign(place=ranked.groupby(["network", "block"]).cumcount())
    first = top_images[top_images["rank"] <= IMAGES_NAMED].merge(ranked, on=["network", "block", "unit"])
    return first.sort_values(["place", "rank"], kind="stable")["identifier"].drop_duplicates().tolist()
