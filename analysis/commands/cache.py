"""`gelens cache`: images decoded, resized and cropped once, into a file that every command takes as data."""

import logging
from dataclasses import dataclass
from pathlib import Path

from ..analyses.inputs import Inputs
from ..data import ImageData, adapted, preprocessing_for
from ..data.cached import write_cache
from ..data.showing import check_shown, enlargement
from ..networks.preprocessing import Preprocessing
from ..progress import listed, size_in_words
from ..subjects import label_networks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What a cache would be: images of `size` pixels, `bytes` in all."""

    data: str
    images: int
    size: int
    bytes: int

    def __str__(self) -> str:
        images = f"{self.images} of {self.data}, decoded, resized and cropped to {self.size} px"
        return listed({"images": images, "disk": size_in_words(self.bytes)})


@dataclass(frozen=True)
class Cache:
    """A cache of images.

    Args:
        inputs: of no networks; size, crop and interpolation say otherwise than the network.
        network: a reference whose preprocessing is taken; ImageNet's at 224 pixels without one.
    """

    inputs: Inputs
    network: str | None = None
    workers: int = 0

    def plan(self) -> Plan:
        """What the file would be; nothing is written."""
        images = self.inputs.load_data()
        size, *_ = self._preprocessing(images).geometry
        return Plan(str(images), len(images), size, len(images) * 3 * size**2)

    def write(self, out: Path, resume: bool = False) -> ImageData:
        """Make the file, or go on making it; the images that are in it."""
        images = self.inputs.load_data()
        write_cache(images, self._preprocessing(images).geometry, out, self.workers, resume)
        return images

    def _preprocessing(self, images: ImageData) -> Preprocessing:
        if self.network:
            ((label, described),) = label_networks([self.network]).items()
            return preprocessing_for(described, images, self.inputs.stated(), label)
        preprocessing = self.inputs.stated().completed(Preprocessing(224, 0.875))
        check_shown(preprocessing, "a network")
        if said := enlargement(adapted(images), preprocessing):
            log.warning("the cache has %s", said)
        return preprocessing
