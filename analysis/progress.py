"""The progress bar of long work: in a terminal and in Jupyter, never in a file."""

import os
import sys
import time

from tqdm.auto import tqdm


def progress_bar(shown: bool = True, **settings) -> tqdm:
    """A progress bar with an estimate of the time that is left.

    Args:
        shown: whether it is wanted. It is left out nonetheless where nobody would see it move, as in a log file, and
            where the environment has TQDM_DISABLE.
        settings: of tqdm, such as total, unit and desc.
    """
    shown = shown and not os.environ.get("TQDM_DISABLE") and (sys.stderr.isatty() or _in_jupyter())
    return tqdm(mininterval=0.5, disable=not shown, **settings)


class TimeLeft:
    """What is left of the time that some equal pieces of work take, from now on.

    Args:
        pieces: all of them.
    """

    def __init__(self, pieces: int):
        self.pieces, self.begun = pieces, time.monotonic()

    def after(self, done: int) -> str:
        """As h:mm:ss, or mm:ss, once so many pieces are done."""
        return tqdm.format_interval((time.monotonic() - self.begun) / done * (self.pieces - done))


def _in_jupyter() -> bool:
    return "ipykernel" in sys.modules
