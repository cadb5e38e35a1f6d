"""How images are shown to a network: what it states, completed by what the images are, and what is said of both."""

import logging
from weakref import WeakKeyDictionary

from torch import nn

from ..errors import UsageError
from ..networks.card import card_of
from ..networks.checkpoints import LARGEST_SIDE, PREPROCESSING
from ..networks.preprocessing import ASSUMED, IMAGENET_MEAN, IMAGENET_STD, Preprocessing, Stated
from ..untrusted import conform
from .adapting import Images, adapted

log = logging.getLogger(__name__)

LARGEST_OWN = 256
"""Pixels of the images' shorter side up to which they are shown as they are to a network that states no size."""
ENLARGED = 2
"""From which factor on an enlargement is worth a warning."""

_said: WeakKeyDictionary[nn.Module, set[tuple]] = WeakKeyDictionary()
"""What was said of each network already, and of which preprocessing."""


def preprocessing_for(network: nn.Module, data, options: Stated | None = None, name: str = "") -> Preprocessing:
    """How these images are shown to a network.

    What `options` say comes first, then what the network states (`gelens.networks.Preprocessing`). What nobody says
    is assumed: the images' own size where they all share one, else 224 pixels, and ImageNet's mean and std. An
    assumption of mean and std, or of 224 pixels, and an enlargement are logged as warnings, once a network.

    Args:
        data: an `ImageData`, or what `gelens.data.adapted` takes.
        options: what a person says for this occasion.
        name: of the network, for the warnings; its short reference by default.
    """
    images = data if isinstance(data, Images) else adapted(data)
    card = card_of(network)
    name = name or card.reference.rpartition("/")[2]
    said = (options or Stated()).over(card.preprocessing)
    shown = said.completed(_assumed(images))
    check_shown(shown, name)
    if missing := _assumed_words(said, images, shown):
        _warn_once(
            network,
            ("assumed", shown),
            f"{name} does not say {missing} (--image-size, --mean, --std or network.preprocessing)",
        )
    if larger := enlargement(images, shown):
        _warn_once(network, ("enlarged", shown.geometry), f"{name} is shown {larger}: right if it was trained so")
    return shown


def assumed_words(network: nn.Module, data, options: Stated) -> str:
    """What `preprocessing_for` would assume that a person should know of, in words; empty where it is nothing."""
    images = adapted(data)
    said = options.over(card_of(network).preprocessing)
    return _assumed_words(said, images, said.completed(_assumed(images)))


def check_shown(shown: Preprocessing, name: str) -> None:
    """Raise a UsageError for a preprocessing that cannot be meant: of no size, or of one that no memory would hold."""
    try:
        channels = {name: list(map(float, getattr(shown, name))) for name in ("mean", "std")}
        conform(shown.as_dict() | channels, PREPROCESSING)
    except (ValueError, TypeError) as error:
        raise UsageError(f"images cannot be shown to {name} as its preprocessing says: {error}") from error
    if shown.size / shown.crop_pct > LARGEST_SIDE:
        raise UsageError(
            f"images would be resized to {shown.size / shown.crop_pct:.0f} px for {name}: expected at most "
            f"{LARGEST_SIDE} px, --image-size over --crop-pct"
        )


def enlargement(images: Images, shown: Preprocessing) -> str:
    """In words, that images are enlarged several times; empty where they are not."""
    resized = round(shown.size / shown.crop_pct)
    if images.shape or images.geometry or not images.side or resized < ENLARGED * images.side:
        return ""
    return (
        f"images of {images.side} px enlarged {resized / images.side:.3g} times, to {resized} px (--image-size "
        f"{images.side} shows them as they are)"
    )


def _assumed(images: Images) -> Preprocessing:
    """What a network is taken to expect of these images where nobody says."""
    if images.geometry:
        size, crop_pct, interpolation, *mode = images.geometry
        return Preprocessing(size, crop_pct, interpolation, IMAGENET_MEAN, IMAGENET_STD, *mode)
    if images.shared_side and images.shared_side <= LARGEST_OWN:
        return Preprocessing(images.shared_side, 1.0, "bilinear", IMAGENET_MEAN, IMAGENET_STD)
    return ASSUMED


def _assumed_words(said: Stated, images: Images, shown: Preprocessing) -> str:
    """What a person should know was assumed, in words; empty where it is nothing."""
    if images.normalised:
        return ""
    if said.size is None and not images.geometry and shown.size != images.shared_side:
        where = f"the size of its images: taken to be {shown.size} px"
        return where if said.mean and said.std else f"{where}, with ImageNet's mean and std"
    if said.mean and said.std:
        return ""
    which = " and ".join(each for each in ("mean", "std") if getattr(said, each) is None)
    return f"the {which} of its images: taken to be ImageNet's, at {shown.size} px"


def _warn_once(network: nn.Module, what: tuple, text: str) -> None:
    said = _said.setdefault(network, set())
    if what not in said:
        said.add(what)
        log.warning("%s", text)
