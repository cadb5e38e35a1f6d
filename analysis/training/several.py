"""Several trainings at once on one machine's processor, in processes of their own."""

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from .. import processes
from ..devices import is_accelerator, keep_freed_memory, resolve_device
from ..errors import RunError, UsageError
from ..interruption import termination_raised
from ..progress import progress_bar
from . import train

LOOK_SECONDS = 0.5
"""Between two looks at how far the trainings are."""


def at_once(trainings: int, device: str) -> int:
    """How many of some trainings are done at once: one for each thread of the processor, one alone on a GPU."""
    if processes.number() > 1 or is_accelerator(resolve_device(device)):
        return 1
    return max(1, min(trainings, torch.get_num_threads(), processes.cores()))


def train_together(trainings: Mapping[str, Mapping[str, Any]], number: int, progress: bool = True) -> None:
    """Train networks, some at a time; each leaves what `train` leaves.

    The threads of the processor are shared among those that are trained at once. Last bits of weights depend on how
    many threads a training has: with one each they are those of a machine with one core.

    Args:
        trainings: by label, arguments of `train`; `out` is a `Path`, `recipe` a `Recipe`.
        number: that are trained at once, at most all.
        progress: whether there is a progress bar, of the epochs of all.

    Raises:
        UsageError, RunError: of a training, whose label begins the message. The others end; the state of each after its
            last whole epoch is kept.
    """
    waiting = list(trainings)
    epochs = sum(settings["recipe"].epochs for settings in trainings.values())
    done = sum(map(_epochs, trainings.values()))
    bar = progress_bar(progress, total=epochs, initial=done, desc=f"{len(waiting)} trainings", unit="epoch")
    with termination_raised(), bar, _workers(number, quiet=not bar.disable) as pipes:
        at_work: dict[Connection, str] = {}
        idle = list(pipes)
        while waiting or at_work:
            while waiting and idle:
                pipe = idle.pop()
                at_work[pipe] = waiting.pop(0)
                pipe.send(trainings[at_work[pipe]])
            ready = wait(list(at_work), LOOK_SECONDS)
            for pipe in [each for each in at_work if each in ready]:
                if _is_done(pipe, at_work[pipe]):
                    del at_work[pipe]
                    idle.append(pipe)
            bar.update(sum(map(_epochs, trainings.values())) - bar.n)


def _is_done(pipe: Connection, label: str) -> bool:
    """Whether a training is over, by what its process says; what it logs is passed on."""
    try:
        said = pipe.recv()
    except (EOFError, ConnectionError) as error:
        raise RunError(
            f"{label}: the process that trained it was killed, as where memory runs out; the state after the last "
            f"whole epoch is kept; repeat the command with --resume to continue"
        ) from error
    if isinstance(said, logging.LogRecord):
        logger = logging.getLogger(said.name)
        if logger.isEnabledFor(said.levelno):
            logger.handle(said)
        return False
    if isinstance(said, UsageError | RunError):
        raise type(said)(f"{label}: {said}") from said
    if isinstance(said, Exception):
        said.add_note(f"in the training {label}")
        raise said
    return True


def _epochs(settings: Mapping[str, Any]) -> int:
    """How many a training has done: its curves are a line of names and two an epoch."""
    curves = settings["out"] / "training.csv"
    return curves.read_bytes().count(b"\n") // 2 if curves.exists() else 0


@contextmanager
def _workers(number: int, quiet: bool) -> Iterator[list[Connection]]:
    """Pipes to processes that train what comes by them; all have ended when the with-block does."""
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // number)
    pipes, workers = [], []
    try:
        for _ in range(number):
            pipe, other = context.Pipe()
            worker = context.Process(target=_work, args=(other, threads, quiet), daemon=True)
            worker.start()
            other.close()
            pipes.append(pipe)
            workers.append(worker)
        yield pipes
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()


class _Told(QueueHandler):
    """What a process logs goes by its pipe."""

    def enqueue(self, record: logging.LogRecord) -> None:
        self.queue.send(record)  # type: ignore[attr-defined]  # the stubs know queues alone


def _work(pipe: Connection, threads: int, quiet: bool) -> None:
    """Train what comes; None says that it is done, an exception that it failed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: the parent ends this one, by SIGTERM
    torch.set_num_threads(threads)
    keep_freed_memory()
    logger = logging.getLogger("gelens")
    logger.setLevel(logging.INFO)
    logger.handlers = [_Told(pipe)]  # type: ignore[arg-type]
    if quiet:
        logging.getLogger(f"{__package__}.loop").setLevel(logging.WARNING)
    with termination_raised():
        while True:
            try:
                train(**pipe.recv(), progress=False)
            except Exception as error:
                pipe.send(sendable(error))
            else:
                pipe.send(None)


def sendable(error: Exception) -> Exception:
    """An error with where it comes from, for another process; in words where it cannot be pickled or made again."""
    words = "".join(traceback.format_exception(error))
    error.add_note(words)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(words)
    return error


def _end_with_parent() -> None:
    """Whoever kills the parent alone wants no training to go on."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)
