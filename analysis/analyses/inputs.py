"""What every measuring command is given: networks and images, and how the images are shown to the networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import nn

from ..data import ImageData, adapted, checked, load_data, preprocessing_for
from ..errors import UsageError
from ..networks.card import INPUT, StatedParts, write_card
from ..networks.factory_code import sources_hash
from ..networks.groups import weights_files
from ..networks.preprocessing import Stated
from ..networks.references import Reference, parse
from ..networks.weights import weights_file_hash
from ..subjects import fit_classes, trained_networks

_PARTS = ("branch", "shortcut", "gate")
_LATER = (*_PARTS, "crop_mode", "classes_by_position")
"""What is left out of a run's arguments where nothing is said, as it is in runs from before it could be."""


@dataclass(frozen=True)
class Inputs:
    """What every measuring command is given: networks and images, and how the images are shown to the networks.

    Args:
        networks: references, by label where they are a mapping.
        data: a reference.
        limit, per_class: a class-balanced subset of so many images, or of so many of each class.
        seed: of the subset.
        skip_unreadable: leave out images that cannot be read, instead of stopping.
        image_size, crop_pct, interpolation, mean, std, crop_mode: instead of what each network was trained with.
        classes_by_position: class k of the images is output k, whatever it is called.
        untrained: whether networks without weights are measured, with random ones.
        branch, shortcut, gate: modules below a block that these parts of it are, see `gelens.StatedParts`.
    """

    networks: Sequence[str] | Mapping[str, str | Reference]
    data: str
    limit: int | None = None
    per_class: int | None = None
    seed: int = 0
    skip_unreadable: bool = False
    image_size: int | None = None
    crop_pct: float | None = None
    interpolation: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop_mode: str | None = None
    classes_by_position: bool = False
    untrained: bool = False
    branch: str | None = None
    shortcut: str | None = None
    gate: str | None = None

    def load(self) -> tuple[dict[str, nn.Module], ImageData]:
        """The networks by label, left with how the images are shown to each, and the images with the networks' labels.

        Raises:
            UsageError: as of `load_networks`, or labels that cannot be known.
        """
        return self.brought_together(self.load_networks(), self.load_data())

    def brought_together(
        self, networks: dict[str, nn.Module], images: ImageData
    ) -> tuple[dict[str, nn.Module], ImageData]:
        """What `load` gives, of networks and images as they were loaded."""
        described = adapted(images)
        for label, network in networks.items():
            write_card(network, preprocessing=preprocessing_for(network, described, self.stated(), label))
        return networks, fit_classes(networks.values(), images, self.classes_by_position)

    def load_data(self) -> ImageData:
        """The images, readable as far as a quick look tells."""
        images = load_data(self.data)
        assert isinstance(images, ImageData)  # of a reference
        if self.limit is not None or self.per_class is not None:
            images = images.limited(self.limit, self.per_class, self.seed)
        return checked(images, self.skip_unreadable)

    def load_networks(self) -> dict[str, nn.Module]:
        """The networks by label.

        Raises:
            UsageError: one without weights, unless `untrained` networks are wanted.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # random weights are the same ones when a run is resumed
            labelled = trained_networks(self.networks, self.untrained)
        self._state_parts(labelled)
        return labelled

    def _state_parts(self, networks: Mapping[str, nn.Module]) -> None:
        stated = StatedParts(self.branch, self.shortcut, self.gate)
        names = [name for network in networks.values() for name, _ in network.named_modules()]
        for part, pattern in vars(stated).items():
            if pattern not in (None, INPUT) and not any(fnmatchcase(f".{name}", f"*.{pattern}") for name in names):
                raise UsageError(f"no network has a module `{pattern}` below a block, which --{part} names")
        if stated != StatedParts():
            for network in networks.values():
                write_card(network, anatomy=stated)

    def stated(self) -> Stated:
        """What is to be otherwise than in a network's own preprocessing."""
        return Stated(self.image_size, self.crop_pct, self.interpolation, self.mean, self.std, self.crop_mode)

    def changes(self) -> dict:
        """The same, as fields of `Preprocessing`."""
        return self.stated().known()

    def as_arguments(self) -> dict:
        """What a run's results depend on: these values, and what the files of weights and of factories hold."""
        named = self.networks.values() if isinstance(self.networks, Mapping) else self.networks
        references = [parse(text) for text in named]
        files = {name: path for each in references for name, path in weights_files(each).items()}
        hashes = {name: weights_file_hash(path) for name, path in sorted(files.items()) if path.is_file()}
        factories = {each.name.rpartition(":")[0] for each in references if ".py:" in each.name}
        code = {file: sources_hash(Path(file)) for file in sorted(factories) if Path(file).is_file()}
        unsaid = [name for name in _LATER if not getattr(self, name)]
        depended = {name: value for name, value in vars(self).items() if name not in ("skip_unreadable", *unsaid)}
        return depended | {"networks": list(self.networks), "weights": hashes, "code": code}
