"""Ctrl-C, and SIGTERM as batch schedulers send it: at once, or once the work in hand is done."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from .errors import Terminated

AGAIN_SECONDS = 0.05
"""After which a signal is given once more that came where Python cannot pass an exception on."""

SIGNALS = {Terminated: signal.SIGTERM, KeyboardInterrupt: signal.SIGINT}
"""By the exception that it raises."""


@contextmanager
def termination_raised() -> Iterator[None]:
    """SIGTERM raises `Terminated` while the with-block lasts, so that what is open is closed well.

    Where it, or Ctrl-C, comes in a callback that no exception leaves, as that of a weak reference or a `__del__`, it
    comes again. Compiled code that calls Python may make another error of it: any that leaves the block after SIGTERM
    is `Terminated`.
    """
    came = False

    def handler(number, frame):
        nonlocal came
        came = True
        raise Terminated

    def not_passed_on(unraisable) -> None:
        number = SIGNALS.get(unraisable.exc_type)
        if number is None:
            before(unraisable)
            return
        again = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    before, sys.unraisablehook = sys.unraisablehook, not_passed_on
    try:
        with _handling({signal.SIGTERM: handler}):
            yield
    except Exception as error:
        if came:
            raise Terminated from error
        raise
    finally:
        sys.unraisablehook = before


class Asked:
    """Whether a signal has asked for an end, and which."""

    def __init__(self):
        self.by: int | None = None

    def is_set(self) -> bool:
        return self.by is not None

    def raise_it(self) -> None:
        """End as the signal would have ended it."""
        raise Terminated if self.by == signal.SIGTERM else KeyboardInterrupt


@contextmanager
def interrupts_deferred(what: str = "the batch in hand", said: bool = True) -> Iterator[Asked]:
    """Ctrl-C and SIGTERM are noted instead of raising, so that a batch is finished first; a second one raises at once.

    Args:
        what: is finished first, for the line that says so.
        said: whether there is that line.
    """
    asked = Asked()

    def handler(number, frame):
        before, asked.by = asked.by, number
        if before is not None:
            asked.raise_it()
        if not said:
            return
        with suppress(OSError, RuntimeError):  # a line that is being written already
            sys.stderr.write(f"\nfinishing {what}; Ctrl-C again stops at once, without it\n")

    with _handling({signal.SIGINT: handler, signal.SIGTERM: handler}):
        yield asked


@contextmanager
def _handling(handlers: Mapping[int, Callable]) -> Iterator[None]:
    """Only the main thread is told of signals, so another leaves them as they are."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
