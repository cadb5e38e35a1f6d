"""Devices, the precisions that they compute in, and what goes to and fro between them and the host."""

import ctypes
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from .errors import UsageError, unknown

log = logging.getLogger(__name__)

PRECISIONS = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What autocast casts to, by name. Float32 is IEEE's; in TF32 convolutions and products round to ten bits before."""

_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "Insufficient Memory",
    "_STATUS_ALLOC_FAILED",
    "nable to find an engine",
    "nable to find a valid cuDNN algorithm",
    "OUT_OF_DEVICE_MEMORY",
)
"""What the CPU, MPS, cuBLAS, cuDNN and XPU say; a convolution without an engine lacks the memory to work in."""


def resolve_device(name: str) -> torch.device:
    """The device of a name; "auto" is this machine's accelerator (CUDA, MPS, XPU …) where it works, else the CPU.

    Raises:
        UsageError: an unknown device, or one that this machine lacks.
    """
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    have = ["cpu"] if found is None else [found.type, "cpu"]
    if name == "auto":
        return torch.device(have[0] if _works(have[0]) else "cpu")
    if name.split(":")[0] not in have:
        raise UsageError(f"device `{name}` is not on this machine; it has {', '.join(have)}")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device `{name}` cannot be meant: {str(error).splitlines()[0]}") from error
    if is_accelerator(device) and (device.index or 0) >= (count := torch.accelerator.device_count()):
        known = ", ".join(f"{device.type}:{number}" for number in range(count))
        raise UsageError(f"device `{name}` is not on this machine; it has {known}")
    return device


@cache
def _works(device: str) -> bool:
    """Whether a device computes: a driver or a card may be of another age than torch."""
    try:
        return device == "cpu" or float(torch.ones(2, device=device).sum()) == 2
    except RuntimeError as error:
        log.warning("%s does not work here, so the CPU is used: %s", device, (str(error) or "?").splitlines()[0])
        return False


def is_accelerator(device: torch.device) -> bool:
    return device.type != "cpu"


def check_precision(name: str, device: torch.device, others: tuple[str, ...] = ()) -> None:
    """Say so where a device emulates a precision.

    Args:
        others: names that mean something to the caller beside `PRECISIONS`.

    Raises:
        UsageError: an unknown precision, or one that the device does not have.
    """
    if name not in (*PRECISIONS, *others):
        raise unknown("precision", name, (*PRECISIONS, *others))
    if name == "tf32" and not has_tf32(device):
        raise UsageError(
            f"this {device_kind(device)} has no TF32, which NVIDIA GPUs have since Ampere; expected fp32 or bf16"
        )
    if name == "bf16" and not has_bfloat16(device):
        log.warning(
            "this %s emulates bfloat16, many times slower than float32: fp32 would do better", device_kind(device)
        )


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself: a processor with AVX512-BF16 or AMX, a GPU since Ampere."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return True
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(ask() for ask in asked if ask)


def has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.version.hip is None and torch.cuda.get_device_capability(device) >= (8, 0)


def fast_precision(device: torch.device) -> str:
    """What "auto" means for a pass and a training: "bf16" where the device computes in bfloat16 itself, else "fp32".

    MPS counts as one that does not: what it gains there depends on the chip.
    """
    return "bf16" if has_bfloat16(device) and device.type != "mps" else "fp32"


def device_kind(device: torch.device) -> str:
    """In a word."""
    return "processor" if device.type == "cpu" else device.type


@contextmanager
def float32_as(precision: str) -> Iterator[None]:
    """Convolutions and matrix products of float32 in TF32 where that is the precision, else in IEEE float32.

    Whatever was set before, such as by `torch.set_float32_matmul_precision`, holds again afterwards.
    """
    switches = _switches()
    before = [getattr(each.owner, each.name) for each in switches]
    try:
        for each in switches:
            setattr(each.owner, each.name, each.tf32 if precision == "tf32" else each.ieee)
        yield
    finally:
        for each, value in zip(switches, before, strict=True):
            setattr(each.owner, each.name, value)


@dataclass(frozen=True)
class _Switch:
    """A place where torch is told how to compute in float32, and the values that it takes."""

    owner: Any
    name: str
    ieee: str | bool
    tf32: str | bool


def _switches() -> list[_Switch]:
    """CUDA's, and the processor's, which never has TF32."""
    backends: Any = torch.backends
    if not hasattr(backends, "fp32_precision"):  # before torch 2.9
        return [_Switch(each, "allow_tf32", False, True) for each in (backends.cudnn, backends.cuda.matmul)]
    cuda = (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)
    processor = (backends.mkldnn.conv, backends.mkldnn.rnn, backends.mkldnn.matmul)
    switches = [_Switch(each, "fp32_precision", "ieee", "tf32") for each in cuda]
    return switches + [_Switch(each, "fp32_precision", "ieee", "ieee") for each in processor]


def precision_in_use(device: torch.device) -> str:
    """Of `PRECISIONS`, what convolutions on the device are computed in here and now."""
    if torch.is_autocast_enabled(device.type):
        dtype = torch.get_autocast_dtype(device.type)
        return next((name for name, each in PRECISIONS.items() if each == dtype), "bf16")
    chosen = [getattr(each.owner, each.name) == each.tf32 for each in _switches() if each.tf32 != each.ieee]
    return "tf32" if device.type == "cuda" and any(chosen) else "fp32"


def pins_memory(device: torch.device) -> bool:
    """Whether copies from and to pinned host memory go on beside the device's work; MPS shares the host's memory."""
    return device.type not in ("cpu", "mps")


def to_device(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Values on the device; those of the host come there without anything waiting for them."""
    if pins_memory(device) and not is_accelerator(values.device):
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def to_host(values: torch.Tensor) -> torch.Tensor:
    """A copy of a device's values on the host: there when an event that is recorded afterwards has come to pass."""
    if not pins_memory(values.device):
        return values.to("cpu")
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return host.copy_(values, non_blocking=True)


def recorded_event(device: torch.device) -> torch.Event | None:
    """An event that comes to pass when the device has done what it was given so far; None where nothing waits."""
    if not pins_memory(device):
        return None
    event = torch.Event(device)
    event.record(torch.accelerator.current_stream(device))
    return event


def wait(device: torch.device) -> None:
    """Wait until an accelerator has done what it was given."""
    if is_accelerator(device):
        torch.accelerator.synchronize(device)


def free_memory(device: torch.device) -> None:
    """Give back what an accelerator's allocator keeps."""
    if is_accelerator(device):
        torch.get_device_module(device).empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA has an error of its own; others, and the libraries that it calls, say it in words."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def keep_freed_memory() -> None:
    """Let glibc keep what is freed, for the whole process: giving large maps back at every layer costs some percent.

    Without effect where there is another C library. Memory in use at the peak stays the process's.
    """
    never_map, never_trim = (-4, 0), (-1, -1)  # M_MMAP_MAX, M_TRIM_THRESHOLD of malloc.h
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(*never_map)
        mallopt(*never_trim)
