"""Tensors on disk, and the hash that tells weights apart."""

import hashlib
import inspect
import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import nn

from ..errors import RunError
from ..files import atomic_path, file_hash
from .card import card_of
from .preprocessing import Preprocessing, Stated, preprocessing_of


def save_tensors(path: Path, state: object) -> None:
    """torch.save, whole or not at all, and a hash of it after its end, which torch.load passes over.

    Through memory: torch's own writer hides why a disk refused.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.write(_SUM + hashlib.sha256(buffer.getvalue()).digest())
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_tensors(path: Path):
    """What `save_tensors` wrote; nothing but tensors and plain values is unpickled.

    Raises:
        RunError: it is damaged.
    """
    content = path.read_bytes()
    written, mark, digest = content.rpartition(_SUM)
    try:
        if mark and len(digest) == 32 and digest != hashlib.sha256(written).digest():
            raise ValueError("it is not what was written")
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, KeyError, UnpicklingError) as error:
        reason = str(error).strip().splitlines() or ["it ends too early"]
        raise RunError(f"`{path}` is damaged: {reason[0]}; delete it to begin again") from error


def weights_hash(network: nn.Module) -> str:
    """A hash of a network's state: names, types, shapes and values; of what is no tensor, what it is as text."""
    digest = hashlib.sha256()
    for key, value in sorted(_leaves(network.state_dict()), key=lambda leaf: leaf[0]):
        if not isinstance(value, torch.Tensor):
            digest.update(f"{key} {_ADDRESS.sub('', repr(value))}\n".encode())
            continue
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _leaves(state: Mapping, before: str = "") -> Iterator[tuple[str, object]]:
    """What a state holds by name, down to tensors, numbers and the like."""
    for key, value in state.items():
        if isinstance(value, list | tuple):
            value = dict(enumerate(value))
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def weights_file_hash(path: Path) -> str:
    """A hash of a file of weights; of safetensors of the tensors alone, whatever else the file says of them."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(length)) if length < _LONGEST_HEADER else {}
            tensors = sorted((name, value) for name, value in header.items() if name != "__metadata__")
        except (ValueError, AttributeError, RecursionError):
            tensors = []
        if not tensors:
            return file_hash(path)
        digest = hashlib.file_digest(file, "sha256")
        digest.update(json.dumps(tensors, sort_keys=True).encode())
        return digest.hexdigest()[:16]


_SUM = b"sha256:"
"""Before the hash after the end of what `save_tensors` writes; older files have none."""

_LONGEST_HEADER = 100_000_000
"""Of a safetensors file, as its library has it."""

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")

_VERSIONED = ("torch", "torchvision", "timm", "gelens")
"""Packages whose versions are recorded where a network is."""


def code_hash(network: nn.Module) -> str:
    """A hash of how a network is built and of its modules' own code: the same weights can be used in other ways.

    What libraries do whose versions are recorded is left out, and what modules call elsewhere.
    """
    digest = hashlib.sha256(_ADDRESS.sub("", repr(network)).encode())
    kinds = {type(module) for module in network.modules()}
    for kind in sorted(kinds, key=lambda each: (each.__module__, each.__qualname__)):
        if kind.__module__.partition(".")[0] in _VERSIONED:
            continue
        for name, member in sorted(vars(kind).items()):
            if inspect.isfunction(member):
                with suppress(OSError, TypeError):  # what was typed into a console has no file
                    digest.update(f"{name}\n{inspect.getsource(member)}".encode())
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
        "code": code_hash(network),
        "preprocessing": shown.as_dict() if shown else None,
        "preprocessing_hash": shown.fingerprint if shown else None,
        "layout": card.layout,
        "notes": list(card.notes),
        "training_seed": card.training_seed,
        "group": card.group,
        "resnet_stages": has_resnet_stages(network),
    }
