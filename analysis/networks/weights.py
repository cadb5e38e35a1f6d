"""Tensors on disk, and the hash that tells weights apart."""

import hashlib
import inspect
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import nn

from ..errors import RunError, UsageError
from ..files import atomic_path, file_hash
from .card import card_of
from .checkpoints import read_checkpoint
from .factory_code import sources_hash
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
    """The hash of a network's weights: `state_hash` of its state."""
    return state_hash(network.state_dict())


def state_hash(state: Mapping[str, object]) -> str:
    """The one hash of weights: of the tensors' names, shapes and values, as a network of float32 has them.

    Numbers of half precision are taken to float32, as they are in a network that is run; counts of training steps that
    a state lacks, as those of other frameworks do, are 0. So a file and the network that it is loaded into have one.
    What is no tensor counts as text.

    >>> half = nn.BatchNorm2d(2).half().state_dict()
    >>> del half["num_batches_tracked"]
    >>> state_hash(half) == weights_hash(nn.BatchNorm2d(2))
    True
    """
    leaves = dict(_leaves(state))
    beside = {key: key.removesuffix("running_mean") + "num_batches_tracked" for key in leaves}
    counts = {count: torch.tensor(0) for key, count in beside.items() if key.endswith("running_mean")}
    digest = hashlib.sha256()
    for key, value in sorted((counts | leaves).items(), key=lambda leaf: leaf[0]):
        if not isinstance(value, torch.Tensor):
            digest.update(f"{key} {_ADDRESS.sub('', repr(value))}\n".encode())
            continue
        if value.is_floating_point() and value.itemsize < 4:
            value = value.float()
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


def is_what_was_written(path: Path, known: str, state: Mapping[str, torch.Tensor] | None = None) -> bool:
    """Whether a file of weights has the hash that its card tells; cards of older versions have that of the file.

    Args:
        state: what the file holds by our names, where it was read already.
    """
    return known in (weights_file_hash(path) if state is None else state_hash(state), file_hash(path))


def weights_file_hash(path: Path) -> str:
    """The hash of the weights in a file, by our names; of what cannot be read as such, of the file itself."""
    for _ in range(2):  # a signal that comes in compiled code may be made an error of the file
        with suppress(RunError, UsageError):  # who loads it says what is wrong
            return state_hash(read_checkpoint(str(path)).state)
    return file_hash(path)


_SUM = b"sha256:"
"""Before the hash after the end of what `save_tensors` writes; older files have none."""

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")

_VERSIONED = ("torch", "torchvision", "timm", "gelens")
"""Packages whose versions are recorded where a network is."""


def code_hash(network: nn.Module) -> str:
    """A hash of how a network is built and of its modules' own code: the same weights can be used in other ways.

    Of a factory's network it is of the factory's file, and of what that imports of the user's own files. What libraries
    do whose versions are recorded is left out, and what modules of other networks call elsewhere.
    """
    digest = hashlib.sha256(_ADDRESS.sub("", repr(network)).encode())
    file, factory, _ = card_of(network).reference.rpartition(".py:")
    if factory and Path(f"{file}.py").is_file():
        digest.update(sources_hash(Path(f"{file}.py")).encode())
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


def network_differences(before: Mapping, now: Mapping) -> list[str]:
    """What tells the networks of two cards apart: weights, code with its settings, preprocessing.

    >>> network_differences({"weights_hash": "a", "code": "1"}, {"weights_hash": "a", "code": "2"})
    ['code or settings']
    """
    told = {"weights_hash": "weights", "code": "code or settings", "preprocessing_hash": "preprocessing"}
    return [said for name, said in told.items() if before.get(name) != now.get(name)]


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
