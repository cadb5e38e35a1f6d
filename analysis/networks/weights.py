"""Tensors on disk, and the hash that tells weights apart."""

import hashlib
import io
from pathlib import Path

import torch
from torch import nn

from analysis.files import atomic_path
from analysis.networks.card import card_of
from analysis.networks.preprocessing import Preprocessing, Stated, preprocessing_of


def save_tensors(path: Path, state: object) -> None:
    """torch.save, whole or not at all. Through memory: torch's own writer hides why a disk refused."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def weights_hash(network: nn.Module) -> str:
    """A hash of a network's state: names, types, shapes and values."""
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def has_resnet_stages(network: nn.Module) -> bool:
    """Whether, if it has a `layer1`, it has all four stages of ResNets, so that `layer3` is conv4_x."""
    return not hasattr(network, "layer1") or all(hasattr(network, f"layer{number}") for number in range(2, 5))


def network_card(network: nn.Module, shown: Preprocessing | None = None) -> dict:
    """What a run's folder says of a network: reference, hashes, preprocessing, notes, training seed.

    Args:
        shown: how images are shown to it, where that is more than it states itself.
    """
    card = card_of(network)
    if shown is None and card.preprocessing != Stated():
        shown = preprocessing_of(network)
    return {
        "reference": card.reference,
        "weights_hash": weights_hash(network),
        "preprocessing": shown.as_dict() if shown else None,
        "preprocessing_hash": shown.fingerprint if shown else None,
        "layout": card.layout,
        "notes": list(card.notes),
        "training_seed": card.training_seed,
        "group": card.group,
        "resnet_stages": has_resnet_stages(network),
    }
