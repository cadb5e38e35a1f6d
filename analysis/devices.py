"""Devices and the precisions that they compute in."""

import ctypes
import logging
import sys

import torch

from analysis.errors import UsageError, unknown

log = logging.getLogger(__name__)

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What autocast casts to, by name."""


def resolve_device(name: str) -> torch.device:
    """The device of a name; "auto" is CUDA, else MPS, else the CPU.

    Raises:
        UsageError: an unknown device, or one that this machine lacks.
    """
    have = ["cpu"]
    if torch.backends.mps.is_available():
        have.insert(0, "mps")
    if torch.cuda.is_available():
        have.insert(0, "cuda")
    if name == "auto":
        return torch.device(have[0])
    if name.split(":")[0] not in have:
        raise UsageError(f"device `{name}` is not on this machine; it has {', '.join(have)}")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device `{name}` cannot be meant: {str(error).splitlines()[0]}") from error


def check_precision(name: str, device: torch.device, others: tuple[str, ...] = ()) -> None:
    """Say so where a device emulates a precision.

    Args:
        others: names that mean something to the caller beside `PRECISIONS`.

    Raises:
        UsageError: an unknown precision.
    """
    if name not in (*PRECISIONS, *others):
        raise unknown("precision", name, (*PRECISIONS, *others))
    if name == "bf16" and not has_bfloat16(device):
        log.warning("this %s emulates bfloat16, many times slower than float32: fp32 would do better", _kind(device))


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself: a processor with AVX512-BF16 or AMX, a GPU since Ampere."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return True
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(ask() for ask in asked if ask)


def _kind(device: torch.device) -> str:
    return "processor" if device.type == "cpu" else device.type


def keep_freed_memory() -> None:
    """Let glibc keep what is freed, for the whole process: giving large maps back at every layer costs some percent.

    Without effect where there is another C library. Memory in use at the peak stays the process's.
    """
    never_map, never_trim = (-4, 0), (-1, -1)  # M_MMAP_MAX, M_TRIM_THRESHOLD of malloc.h
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(*never_map)
        mallopt(*never_trim)
