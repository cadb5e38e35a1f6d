"""What a network expects of an image: geometry (on the host, to bytes) and normalisation (on the device)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache

import torch
from torch import nn

from ..errors import UsageError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)

CENTER = "center"
CROP_MODES = (CENTER, "squash")
"""Of timm's; its "border", which pads, isn't done here."""

Geometry = tuple[int, float, str] | tuple[int, float, str, str]
"""Size, crop_pct, interpolation, and crop_mode where it is not "center"."""


@dataclass(frozen=True)
class Preprocessing:
    """An image is resized to size / crop_pct, centre-cropped to size, scaled to [0, 1], normalised per channel.

    Its shorter side is resized to that length, or both sides are, where `crop_mode` is "squash".

    A network of one's own says what it was trained with by an attribute, in its factory or afterwards:

    >>> network = nn.Conv2d(3, 10, 32)
    >>> network.preprocessing = Preprocessing(32, mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262))
    >>> preprocessing_of(network).size
    32

    On the command line `--image-size`, `--crop-pct`, `--interpolation`, `--mean` and `--std` say it. timm's
    `pretrained_cfg` and `default_cfg` are read too, and a dictionary of some of these values will do. What nobody says
    is taken from the images' own size and from ImageNet's mean and std, with a warning.

    Args:
        size: height and width in pixels.
        crop_pct: the crop's share of the resized image's side.
        interpolation: "bilinear", "bicubic", … (PIL's, antialiased).
        mean: per-channel mean of pixels in [0, 1].
        std: per-channel standard deviation of pixels in [0, 1].
        crop_mode: "center", or "squash": the sides of an image that is no square are resized by factors of their own.
    """

    size: int
    crop_pct: float = 1.0
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = HALF
    std: tuple[float, ...] = HALF
    crop_mode: str = CENTER

    @property
    def geometry(self) -> "Geometry":
        """The part done while reading; networks of equal geometry share the bytes."""
        geometry = self.size, self.crop_pct, self.interpolation
        return geometry if self.crop_mode == CENTER else (*geometry, self.crop_mode)

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (N, 3, H, W) in 0 … 255 to normalised float32, in channels-last order.

        Looked up in a table, so that every device has what torchvision's ToTensor and Normalize give on the CPU, bit
        for bit: division of a byte by 255 rounds otherwise on some.

        Raises:
            TypeError: images that are not uint8.
        """
        if images.dtype != torch.uint8:
            raise TypeError(f"Expected argument `images` to be uint8 in 0 … 255, but got {images.dtype}")
        values, first = _table(self.mean, self.std, images.device)
        bytes_last = images.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
        places = bytes_last.to(torch.int32) + first
        return values.index_select(0, places.flatten()).view(places.shape).permute(0, 3, 1, 2)

    @property
    def fingerprint(self) -> str:
        """A hash of all values."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def from_dict(cls, values: dict) -> "Preprocessing":
        return cls(**values | {key: tuple(values[key]) for key in ("mean", "std")})

    def __str__(self) -> str:
        mean, std = (", ".join(f"{value:.3g}" for value in values) for values in (self.mean, self.std))
        return f"{described(self.geometry)}, mean {mean}, std {std}"

    def as_dict(self) -> dict:
        """As JSON has it; without a crop_mode of "center", as it was before there were others."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        if self.crop_mode == CENTER:
            del values["crop_mode"]
        return values


def described(geometry: Geometry) -> str:
    """A geometry in words.

    >>> described((224, 0.875, "bilinear")), described((384, 1.0, "bicubic", "squash"))
    ('224 px, crop 0.875, bilinear', '384 px, crop 1, bicubic, squash')
    """
    size, crop_pct, *names = geometry
    return ", ".join([f"{size} px", f"crop {crop_pct:.3g}", *names])


@cache
def _table(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Every channel's 256 normalised values one after the other, and where each channel's begin; made once a device."""
    with torch.inference_mode(False):
        of, by = (torch.tensor(values, dtype=torch.float32)[:, None] for values in (mean, std))
        values = torch.arange(256).to(torch.float32).div(255).sub(of).div(by)
        first = 256 * torch.arange(len(mean), dtype=torch.int32)
        return values.flatten().to(device), first.to(device)


@dataclass(frozen=True)
class Stated:
    """What of a `Preprocessing` somebody said, field by field; None where nobody did."""

    size: int | None = None
    crop_pct: float | None = None
    interpolation: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop_mode: str | None = None

    def known(self) -> dict:
        return {name: value for name, value in vars(self).items() if value is not None}

    def whole(self) -> Preprocessing | None:
        """The preprocessing where all of it was said; None where a part would be a guess."""
        known = self.known()
        return Preprocessing(**known) if known.keys() >= {"size", "crop_pct", "interpolation", "mean", "std"} else None

    def over(self, other: "Stated") -> "Stated":
        """These values, and the other's where these say nothing.

        >>> Stated(size=32).over(Stated(size=224, crop_pct=0.9)).known()
        {'size': 32, 'crop_pct': 0.9}
        """
        return replace(other, **self.known())

    def completed(self, by: Preprocessing) -> Preprocessing:
        """These values, and another preprocessing's where these say nothing."""
        return replace(by, **self.known())


ASSUMED = Preprocessing(224, 0.875, "bicubic", IMAGENET_MEAN, IMAGENET_STD)
"""What is taken where nobody says otherwise, and the images are of many sizes: timm's default."""


def stated_by(network: nn.Module) -> Stated:
    """What a network says of its preprocessing: its `preprocessing`, else timm's `pretrained_cfg` or `default_cfg`.

    Raises:
        UsageError: `preprocessing` is of another kind, or has a value that cannot be meant.
    """
    own = getattr(network, "preprocessing", None)
    if isinstance(own, Preprocessing):
        return Stated(**vars(own))
    if isinstance(own, Mapping):
        return _of_mapping(own, type(network).__name__)
    if own is not None and not callable(own):
        raise UsageError(
            f"the preprocessing of {type(network).__name__} is a {type(own).__name__}; expected "
            f"gelens.networks.Preprocessing(size, crop_pct, interpolation, mean, std)"
        )
    for name in ("pretrained_cfg", "default_cfg"):
        config = getattr(network, name, None)
        if config:
            return _of_timm(config if isinstance(config, Mapping) else vars(config))
    return Stated()


def _of_mapping(values: Mapping, name: str) -> Stated:
    known = [field.name for field in fields(Stated)]
    if strange := [key for key in values if key not in known]:
        raise UsageError(f"the preprocessing of {name} has `{strange[0]}`; expected some of {', '.join(known)}")
    triples = {key: tuple(map(float, values[key])) for key in ("mean", "std") if values.get(key) is not None}
    return Stated(**dict(values) | triples)


def _of_timm(config: Mapping) -> Stated:
    size, mean, std = (config.get(key) for key in ("input_size", "mean", "std"))
    return Stated(
        size=size[-1] if size else None,
        crop_pct=config.get("crop_pct"),
        interpolation=config.get("interpolation"),
        mean=tuple(mean) if mean else None,
        std=tuple(std) if std else None,
        crop_mode=config.get("crop_mode"),
    )


def from_timm(network: nn.Module) -> Preprocessing:
    """The preprocessing of a network that carries timm's pretrained_cfg (timm's defaults where it says nothing)."""
    from timm.data import resolve_model_data_config

    return from_config(resolve_model_data_config(network))


def from_config(config: dict) -> Preprocessing:
    """The preprocessing in timm's data config."""
    return Preprocessing(
        config["input_size"][-1],
        float(config["crop_pct"]),
        config["interpolation"],
        tuple(config["mean"]),
        tuple(config["std"]),
        config.get("crop_mode") or CENTER,
    )


def from_torchvision(weights) -> Preprocessing:
    """The preprocessing of a member of one of torchvision's enumerations of weights."""
    transform = weights.transforms()
    size, resize = transform.crop_size[0], transform.resize_size[0]
    mean, std = tuple(transform.mean), tuple(transform.std)
    return Preprocessing(size, size / resize, transform.interpolation.value, mean, std)


def preprocessing_of(network: nn.Module) -> Preprocessing:
    """A network's preprocessing without a look at images: what it states, and `ASSUMED` where it says nothing.

    `gelens.data.preprocessing_for` looks at the images too, and says what was assumed.
    """
    return stated_by(network).completed(ASSUMED)
