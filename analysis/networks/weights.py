"""Tensors on disk, and the hash that tells weights apart."""

import hashlib
import io
from pathlib import Path

import torch
from torch import nn

from analysis.files import atomic_path


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


def network_card(network: nn.Module) -> dict:
    """What a run's folder says of a network: reference, hashes, preprocessing, notes, training seed."""
    preprocessing = getattr(network, "preprocessing", None)
    return {
        "reference": getattr(network, "reference", type(network).__name__),
        "weights_hash": weights_hash(network),
        "preprocessing": preprocessing.as_dict() if preprocessing else None,
        "preprocessing_hash": preprocessing.fingerprint if preprocessing else None,
        "layout": getattr(network, "layout", None),
        "notes": getattr(network, "notes", []),
        "training_seed": getattr(network, "training_seed", None),
    }
