"""Small pictures of the images that drive units most, for contact sheets."""

import logging

import numpy as np
import pandas as pd
from PIL import ImageOps

from .. import figures
from ..data import ImageData
from ..data.cached import CachedData
from ..data.contents import content_of
from ..recording import Recording
from .analysis import Results

log = logging.getLogger(__name__)


def thumbnails(units: pd.DataFrame, top_images: pd.DataFrame, images: ImageData, recording: Recording) -> Results:
    """64-pixel squares of the images that drive the most selective units of each network's deepest block.

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
        shown_units = figures.most_selective(rows[rows["block"] == deepest])["unit"]
        wanted += top.loc[top["unit"].isin(shown_units), "identifier"].tolist()
    positions = {name: position for position, name in enumerate(images.identifiers)}
    shown = dict(zip(recording.images["identifier"], recording.contents, strict=True))
    squares = {}
    for name in dict.fromkeys(wanted):
        image = images[positions[name]][0]
        if shown[name] and not isinstance(images, CachedData) and content_of(image).hex() != shown[name]:
            log.warning("image `%s` is another than was measured: no contact sheet shows it", name)
            continue
        squares[name] = np.asarray(ImageOps.fit(image, (64, 64)))
    if not squares:
        return {}
    arrays = {"identifiers": np.array(list(squares), dtype=str), "images": np.stack(list(squares.values()))}
    return {"selectivity_thumbnails.npz": arrays}
