"""A pretended accelerator: tensors that say they are on another device and are computed on the CPU, under watch.

Nothing here shows that a kernel is right; it shows what a program asks of a device. Inside `pretending()`,
"pretended" is this machine's accelerator: `.to("pretended")` gives a `Pretended` tensor, whose operations all
come by `Watch`, which

- fails where tensors of the device and of the host are mixed, but for numbers (tensors without dimensions), as CUDA has
  it, and where something of 64-bit floats is made on the device, which MPS does not have;
- counts `waits`: whatever makes the host wait for the device, as `.item()`, `nonzero`, a mask as an index, a copy to
  the host that is not asynchronous and into pinned memory, a copy to the device of what is built on the host;
- counts `copies`: those that go on beside the device's work;
- counts `kernels`: operations that compute on the device, each once, however many kernels it takes; neither views nor
  allocations.

`Watch.since()` forgets what was counted, as after the first batches, when ways are tried and sizes are timed.
"""

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "pretended"
unless_real = pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator: no need to pretend")
"""A process that has pretended takes no other accelerator any more."""

HOST = torch.device("cpu")

_WAITING = {
    *("_local_scalar_dense", "item", "equal", "nonzero", "masked_select", "is_nonzero", "unique_dim", "_unique"),
    *("_unique2", "unique_consecutive", "bincount", "repeat_interleave", "histc", "argwhere"),
}
"""Operations whose result, or its size, the host has to know."""

_ALLOCATING = {"_unsafe_view", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
_QUESTIONS = {"is_pinned", "is_same_size", "sym_size", "sym_stride", "size", "stride"}
_COPYING = {"_to_copy", "copy_", "copy", "_pin_memory", "pin_memory"}


class Pretended(torch.Tensor):
    """What a tensor of the device looks like from outside; `inner` is where it really is."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor):
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
        )
        self.inner = inner
        return self

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        if _watching:
            return _watching[-1].run(function, args, kwargs or {})
        return Watch().run(function, args, kwargs or {})

    @property
    def data(self):
        return self.detach()

    @data.setter
    def data(self, other: "Pretended") -> None:
        torch.Tensor.data.__set__(self, other)
        self.inner = other.inner

    def __repr__(self) -> str:
        return f"Pretended({tuple(self.shape)}, {self.dtype})"


_watching: list["Watch"] = []


class Watch(TorchDispatchMode):
    """Runs what comes by on the CPU, and keeps count."""

    def __init__(self) -> None:
        super().__init__()
        self.device = torch.device(NAME, 0)
        self.waits: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        self.kernels: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def since(self) -> None:
        """Forget what was counted."""
        for counter in (self.waits, self.copies, self.kernels, self.bytes):
            counter.clear()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return self.run(function, args, kwargs or {})

    def wait(self, what: str) -> None:
        """Count a wait, by what waits and the line of ours that asks for it."""
        ours = [each for each in traceback.extract_stack() if "/analysis/" in each.filename]
        where = f"{ours[-1].filename.rpartition('/analysis/')[2]}:{ours[-1].lineno}" if ours else "a test"
        self.waits[f"{what} at {where}"] += 1

    def run(self, function, args, kwargs):
        name = function._schema.name.removeprefix("aten::")
        if name not in ("pin_memory", "is_pinned", "item"):
            with self:
                made = function.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        here = [each for each in tensors if isinstance(each, Pretended)]
        there = [each for each in tensors if not isinstance(each, Pretended)]
        to = kwargs.get("device")
        on_device = bool(here) if to is None else torch.device(to).type == NAME
        if name in ("_pin_memory", "pin_memory"):
            return _pinned(args[0].clone())
        if name == "is_pinned":
            return getattr(args[0], "pinned_here", False)
        if name in ("_to_copy", "copy_"):
            self._copied(function, name, args, kwargs, bool(here), on_device)
        elif here:
            mixed = [each for each in there if each.ndim]
            assert not mixed, f"{function} mixes the device with the host: {tensors}"
        if on_device or here:
            self._count(function, name, args)
        inner = {id(each.inner): each for each in here}
        pin = kwargs.pop("pin_memory", None) if "empty" in name else None
        result = function(*tree_map(_inside, args), **tree_map(_inside, kwargs))

        def outside(each):
            if not isinstance(each, torch.Tensor):
                return each
            if id(each) in inner:
                return inner[id(each)]
            if name == "copy_":
                return args[0]
            if not on_device:
                return _pinned(each) if pin else each
            assert each.dtype != torch.float64, f"{function} makes float64 on the device"
            return Pretended(each)

        return tree_map(outside, result)

    def _count(self, function, name: str, args) -> None:
        waits = name in _WAITING
        if name in ("index", "index_put_", "index_put", "_index_put_impl_"):
            waits = any(isinstance(each, torch.Tensor) and each.dtype in (torch.bool, torch.uint8) for each in args[1])
        if waits:
            self.wait(name)
        returned = [each.alias_info for each in function._schema.returns]
        is_view = any(each is not None and not each.is_write for each in returned)
        if not is_view and name not in _ALLOCATING | _QUESTIONS | _COPYING | {"_local_scalar_dense"}:
            self.kernels[name] += 1

    def _copied(self, function, name: str, args, kwargs, any_here: bool, on_device: bool) -> None:
        """A copy within the device is a kernel; one between it and the host is asynchronous, or a wait."""
        if name == "copy_":
            target, source, asynchronous = args[0], args[1], (*args[2:], kwargs.get("non_blocking", False))[0]
            to_device, from_device = (isinstance(each, Pretended) for each in (target, source))
            pinned = getattr(source if to_device else target, "pinned_here", False)
        else:
            source, to_device, from_device = args[0], on_device, any_here
            asynchronous = kwargs.get("non_blocking", False)
            pinned = True if from_device else getattr(source, "pinned_here", False)  # torch pins what it makes itself
        if to_device and from_device:
            self.kernels[name] += 1
        elif to_device or from_device:
            what = "to the device" if to_device else "to the host"
            self.bytes[what] += source.nbytes
            if asynchronous and pinned:
                self.copies[what] += 1
            else:
                self.wait(f"copy {what}{'' if pinned else ' of pageable memory'}")


def _inside(each):
    if isinstance(each, Pretended):
        return each.inner
    return HOST if isinstance(each, torch.device) and each.type == NAME else each


def _pinned(host: torch.Tensor) -> torch.Tensor:
    host.pinned_here = True
    return host


class _Module(_DummyBackendModule):
    """`torch.pretended`, which is there only while it is pretended."""

    def is_available(self) -> bool:
        return bool(_watching)

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def empty_cache(self) -> None:
        """Nothing is kept."""


class _Event:
    """An event that has come to pass: what it waits for is counted beside the waits."""

    def __init__(self, device=None):
        assert torch.device(device).type == NAME, "an event of another device"

    def record(self, stream) -> None:
        self.recorded = stream

    def synchronize(self) -> None:
        assert self.recorded, "an event that was never recorded"
        _watching[-1].copies["event"] += 1


_LOWER = ("conv2d", "linear", "matmul", "addmm", "mm", "bmm")
_FLOAT32 = ("cross_entropy_loss", "log_softmax.int", "softmax.int")
"""What autocast casts to the lower precision, and to float32: of CUDA's lists, what our networks do."""


def _autocast(library: torch.library.Library) -> None:
    """A device that torch does not ship says itself what autocast does on it."""
    key = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)

    def casting(operation, lower: bool):
        def cast(each):
            floating = isinstance(each, torch.Tensor) and each.is_floating_point()
            return each.to(torch.get_autocast_dtype(NAME) if lower else torch.float32) if floating else each

        def run(*args, **kwargs):
            with torch._C._ExcludeDispatchKeyGuard(key):
                return operation(*tree_map(cast, args), **tree_map(cast, kwargs))

        return run

    for name in _LOWER + _FLOAT32:
        packet, _, overload = name.partition(".")
        operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
        library.impl(name, casting(operation, name in _LOWER), "AutocastPrivateUse1")


_registered: list = []


def register() -> None:
    """Once a process, and before its first backward pass: autograd makes its queues for the devices there are then."""
    if not _registered:
        _setup_privateuseone_for_python_backend(NAME, _Module())
        others = torch.library.Library("_", "IMPL")
        others.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
        aten = torch.library.Library("aten", "IMPL")
        _autocast(aten)
        _registered.extend([others, aten])


@contextmanager
def pretending() -> Iterator[Watch]:
    """The device is there in the with-block, and is watched."""
    register()
    watch = Watch()
    lifted = torch._C._only_lift_cpu_tensors()
    with (
        mock.patch.object(torch, "Event", _Event),
        mock.patch.object(torch.accelerator, "current_stream", lambda device: device),
        mock.patch.object(torch.accelerator, "synchronize", lambda device=None: watch.wait("synchronize")),
        mock.patch.object(torch.accelerator, "is_available", lambda: True),
        mock.patch.object(torch.accelerator, "device_count", lambda: 1),
        mock.patch.object(torch.accelerator, "current_accelerator", lambda check_available=False: torch.device(NAME)),
    ):
        _watching.append(watch)
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(…, device=…) builds on the host, then copies
        try:
            with watch:
                yield watch
        finally:
            torch._C._set_only_lift_cpu_tensors(lifted)
            _watching.pop()
