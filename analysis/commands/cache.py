"""`gelens cache`: images decoded, resized and cropped once, into a file that every command takes as data."""

from dataclasses import dataclass, replace
from pathlib import Path

from analysis.commands.inputs import Inputs
from analysis.data import ImageData
from analysis.data.cached import write_cache
from analysis.networks import preprocessing_of
from analysis.networks.preprocessing import Preprocessing
from analysis.subjects import label_networks


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

    def write(self, out: Path, resume: bool = False) -> ImageData:
        """Make the file, or go on making it; the images that are in it."""
        preprocessing = Preprocessing(224, 0.875)
        if self.network:
            (described,) = label_networks([self.network]).values()
            preprocessing = preprocessing_of(described)
        images = self.inputs.load_data()
        write_cache(images, replace(preprocessing, **self.inputs.changes()).geometry, out, self.workers, resume)
        return images
