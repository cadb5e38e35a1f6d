"""The progress bar of long work: in a terminal and in Jupyter, never in a file."""

import os
import sys
import time
from collections.abc import Mapping

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


def listed(told: Mapping[str, str]) -> str:
    """What work would be, a line each.

    >>> print(listed({"images": "60 of digits", "disk": "0.1 MB"}))
    images    60 of digits
    disk      0.1 MB
    """
    return "\n".join(f"{name:<9} {text}" for name, text in told.items())


def time_in_words(seconds: float) -> str:
    """How long something takes.

    >>> [time_in_words(seconds) for seconds in (0.3, 12, 600, 9000)]
    ['less than a second', '12 s', '10 minutes', '2.5 hours']
    """
    if seconds < 1:
        return "less than a second"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def size_in_words(size: int) -> str:
    """How much space something takes, in bytes.

    >>> [size_in_words(size) for size in (4_096, 1_234_567, 12_000_000_000)]
    ['4 kB', '1.2 MB', '12.0 GB']
    """
    if size < 1e5:
        return f"{size / 1e3:.0f} kB"
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def _in_jupyter() -> bool:
    return "ipykernel" in sys.modules
