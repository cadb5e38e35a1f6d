"""What a network expects of an image: geometry (on the host, to bytes) and normalisation (on the device)."""

import hashlib
import json
from dataclasses import asdict, dataclass

import torch
from torch import nn

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Preprocessing:
    """An image is resized to size / crop_pct, centre-cropped to size, scaled to [0, 1], normalised per channel.

    Args:
        size: height and width in pixels.
        crop_pct: the crop's share of the resized image's side.
        interpolation: "bilinear", "bicubic", … (PIL's, antialiased).
        mean: per-channel mean of pixels in [0, 1].
        std: per-channel standard deviation of pixels in [0, 1].
    """

    size: int
    crop_pct: float = 1.0
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = HALF
    std: tuple[float, ...] = HALF

    @property
    def geometry(self) -> tuple[int, float, str]:
        """The part done while reading; networks of equal geometry share the bytes."""
        return self.size, self.crop_pct, self.interpolation

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (N, 3, H, W) in 0 … 255 to normalised float32; bit-equal to torchvision's ToTensor and Normalize."""
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=images.device).view(1, -1, 1, 1)
            for values in (self.mean, self.std)
        )
        return images.to(torch.float32).div(255).sub(mean).div(std)

    @property
    def fingerprint(self) -> str:
        """A hash of all values."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def from_dict(cls, values: dict) -> "Preprocessing":
        return cls(**values | {key: tuple(values[key]) for key in ("mean", "std")})

    def __str__(self) -> str:
        mean, std = (", ".join(f"{value:.3g}" for value in values) for values in (self.mean, self.std))
        return f"{self.size} px, crop {self.crop_pct:.3g}, {self.interpolation}, mean {mean}, std {std}"

    def as_dict(self) -> dict:
        """As JSON has it."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


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
    )


def preprocessing_of(network: nn.Module) -> Preprocessing:
    """A network's preprocessing: its own where it carries one, timm's where it is timm's, else ImageNet's at 224 px."""
    own = getattr(network, "preprocessing", None)
    return own if isinstance(own, Preprocessing) else from_timm(network)
