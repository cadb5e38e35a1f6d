"""The processes of one run: which of them this is, and how they wait for and tell each other.

They are those of `torchrun`, of `--processes` (torch's own launcher on one machine), or of a process group that
somebody's own program has made. Whatever device they compute on, what they exchange goes through gloo on the CPUs.
"""

import hashlib
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np

from .errors import RunError

log = logging.getLogger(__name__)

_PATIENCE = timedelta(days=30)
"""How long one waits for another whose connection stands: shares of a pass may take unequal hours."""
_NAP = 0.05
_SAID_SECONDS = 60
_BLOCK = 2**26
_TRANSPORTS = re.compile(r"gloo|nccl|connection (closed|reset)|broken pipe|store", re.IGNORECASE)
"""What torch's errors name where another process is gone."""


QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Of the container that this runs in, on Linux: microseconds of all cores together, and of what time."""


class LostProcess(RunError):
    """Another process of the run has ended before its time; it says why, if it can."""


def _distributed():
    """`torch.distributed`, None where no processes can have met: nothing is imported to find that out."""
    if sys.modules.get("torch") is None:
        return None
    import torch.distributed

    met = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed if met else None


def number() -> int:
    """How many processes there are."""
    distributed = _distributed()
    return distributed.get_world_size() if distributed else 1


def rank() -> int:
    """Which of them this is, from 0 on."""
    distributed = _distributed()
    return distributed.get_rank() if distributed else 0


def is_first() -> bool:
    """Whether this one writes and speaks for all."""
    return rank() == 0


def launched() -> bool:
    """Whether torchrun has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1 and "RANK" in os.environ


def join() -> None:
    """Meet the others that torchrun has started.

    SIGTERM, which a launcher sends to all where one of them is lost, is then as good as Ctrl-C.

    Raises:
        RunError: they cannot be met.
    """
    import torch
    import torch.distributed as distributed

    if distributed.is_initialized():
        return
    # nccl is for training alone, and idle otherwise
    trains_there = torch.cuda.is_available() and distributed.is_nccl_available()
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if trains_there else "gloo")
        _gloo()
    except (RuntimeError, ValueError) as error:
        raise RunError(f"the other processes of this run cannot be met: {str(error).splitlines()[0]}") from error
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def leave() -> None:
    """Take leave of the others, at the end of a command."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a launcher's, to one that ends already
    if distributed := _distributed():
        distributed.destroy_process_group()


def _gloo():
    return _gloo_of(_distributed().group.WORLD)


@lru_cache(maxsize=1)
def _gloo_of(world):
    """A group of our own: somebody's may be of a backend that knows no CPU, and has little patience."""
    return _distributed().new_group(backend="gloo", timeout=_PATIENCE)


def wait() -> None:
    """Return when every process has come here.

    Raises:
        LostProcess: one of them has ended.
    """
    if number() == 1:
        return
    import torch

    begun, said = time.monotonic(), False
    with losses_told():
        here = _distributed().all_reduce(torch.zeros(1), group=_gloo(), async_op=True)
        while not here.is_completed():  # in Python: what waits in C hears no signal
            time.sleep(_NAP)
            if not said and time.monotonic() - begun > _SAID_SECONDS:
                log.warning("waiting for the other processes, each of which is to come here")
                said = True
        here.wait()


@contextmanager
def losses_told() -> Iterator[None]:
    """What torch raises where another process is lost is a LostProcess."""
    try:
        yield
    except RuntimeError as error:
        if number() == 1 or not _TRANSPORTS.search(str(error)):
            raise
        raise LostProcess(
            "another process of this run was lost; what was done is kept; repeat the command with --resume to continue"
        ) from error


def tell(value):
    """The first process's value, as all of them get it."""
    if number() == 1:
        return value
    wait()
    told = [value]
    _distributed().broadcast_object_list(told, src=0, group=_gloo())
    return told[0]


def collect(value) -> list:
    """Every process's value, in their order, as all of them get it."""
    if number() == 1:
        return [value]
    wait()
    values = [None] * number()
    _distributed().all_gather_object(values, value, group=_gloo())
    return values


def exchange(array: np.ndarray, rows: Sequence[Sequence[range]]) -> None:
    """Fill the rows of an array that other processes have.

    Args:
        array: with a row for each image, the same shape in every process.
        rows: by process, which it has.
    """
    import torch

    wait()
    step = max(1, _BLOCK // max(1, array[:1].nbytes))
    for owner, several in enumerate(rows):
        for run in several:
            for start in range(run.start, run.stop, step):
                block = array[start : min(start + step, run.stop)].reshape(-1).view(np.uint8)
                _distributed().broadcast(torch.from_numpy(block), src=owner, group=_gloo())


def first_to_say(text: str) -> bool:
    """Whether no other process has said this: what all of them stumble over is said once."""
    if number() == 1:
        return True
    import torch.distributed as distributed

    key = f"gelens/said/{hashlib.sha256(text.encode()).hexdigest()}"
    try:
        return distributed.distributed_c10d._get_default_store().add(key, 1) == 1
    except RuntimeError:  # who kept the store is gone
        return True


def own_device(device):
    """The device of this process: of several of one kind on a machine, each local process has its own, in turn."""
    import torch

    place = os.environ.get("LOCAL_RANK")
    if place is None or number() == 1 or device.index is not None or device.type in ("cpu", "mps"):
        return device
    return torch.device(device.type, int(place) % torch.accelerator.device_count())


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run the command line in several processes of this machine, by torch's own launcher.

    Args:
        arguments: of the command line.

    Returns:
        The exit code of the first process that failed; 0 where none did.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // processes)))
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # the processes say themselves what is wrong
    try:
        run(parse_args(["--standalone", "--nproc-per-node", str(processes), *_program(), *arguments]))
    except SignalException as stopped:
        return 128 + int(stopped.sigval)
    except ChildFailedError as error:
        first, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            raise RunError(
                f"process {first} of {processes} was killed ({name}), as where memory runs out; what was recorded is "
                f"kept; repeat the command with --resume to continue"
            ) from error
        return failure.exitcode
    return 0


def _program() -> list[str]:
    """The command line as Python is told to run it: installed, or that of a clone."""
    if "analysis" in sys.modules:
        return [str(Path(__file__).parents[1] / "cli.py")]
    return ["-m", __package__]


def cores() -> int:
    """How many processor cores this process may use, by its affinity and the quota of its container."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (int(each) for each in QUOTA.read_text().split())
    except (OSError, ValueError):  # there is none, or it is "max"
        return mine
    return max(min(mine, -(-quota // period)), 1)
