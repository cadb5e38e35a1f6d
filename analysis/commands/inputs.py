"""What every measuring command is given: networks and images, and how the images are shown to the networks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from analysis.data import ImageData, checked, load_data
from analysis.errors import UsageError
from analysis.files import file_hash
from analysis.networks import preprocessing_of
from analysis.networks.loading import UNTRAINED
from analysis.networks.references import parse
from analysis.subjects import fit_classes, label_networks


@dataclass(frozen=True)
class Inputs:
    """What every measuring command is given: networks and images, and how the images are shown to the networks.

    Args:
        networks: references, by label where they are a mapping.
        data: a reference.
        limit, per_class: a class-balanced subset of so many images, or of so many of each class.
        seed: of the subset.
        skip_unreadable: leave out images that cannot be read, instead of stopping.
        image_size, crop_pct, interpolation: instead of what each network was trained with.
        untrained: whether networks without weights are measured, with random ones.
    """

    networks: Sequence[str] | Mapping[str, str]
    data: str
    limit: int | None = None
    per_class: int | None = None
    seed: int = 0
    skip_unreadable: bool = False
    image_size: int | None = None
    crop_pct: float | None = None
    interpolation: str | None = None
    untrained: bool = False

    def load_data(self, networks: Iterable[nn.Module] = ()) -> ImageData:
        """The images, readable as far as a quick look tells, with labels as the networks have them."""
        images = load_data(self.data)
        if self.limit is not None or self.per_class is not None:
            images = images.limited(self.limit, self.per_class, self.seed)
        return fit_classes(networks, checked(images, self.skip_unreadable))

    def load_networks(self) -> dict[str, nn.Module]:
        """The networks by label.

        Raises:
            UsageError: one without weights, unless `untrained` networks are wanted.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # random weights are the same ones when a run is resumed
            labelled = label_networks(self.networks)
        random = [label for label, network in labelled.items() if getattr(network, "notes", None) == [UNTRAINED]]
        if random and not self.untrained:
            raise UsageError(
                f"`{random[0]}` has no weights: write {random[0]}@FILE, or @ and a name that timm or torchvision "
                f"publish; --untrained measures random weights"
            )
        for network in labelled.values():
            network.preprocessing = replace(preprocessing_of(network), **self.changes())
        return labelled

    def changes(self) -> dict:
        """What is to be otherwise than in a network's own preprocessing."""
        changes = {"size": self.image_size, "crop_pct": self.crop_pct, "interpolation": self.interpolation}
        return {key: value for key, value in changes.items() if value is not None}

    def as_arguments(self) -> dict:
        """What a run's results depend on: these values, and what the weights files hold."""
        files = {parse(text).weights for text in self.networks} - {None}
        hashes = {file: file_hash(Path(file)) for file in sorted(files) if Path(file).is_file()}
        depended = {name: value for name, value in vars(self).items() if name != "skip_unreadable"}
        return depended | {"networks": list(self.networks), "weights": hashes}
