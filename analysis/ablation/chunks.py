"""How many images go through a network at a time: found by timing, and halved when memory runs out."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..devices import wait
from ..errors import RunError

log = logging.getLogger(__name__)

SIZES = {"cpu": (16, 64), "mps": (16, 512)}
OTHER_SIZES = (64, 8192)
"""Images × variants in a chunk: what measuring starts with and where it ends, by device; of all other devices."""


class ChunkSize:
    """How many images × variants go through a network at a time: as given, or found by timing the work itself.

    Sizes are doubled as long as that is faster. A device that runs out of memory halves the size for good.

    >>> size = ChunkSize(12)
    >>> size.halve()
    >>> size.rows
    6
    """

    def __init__(self, rows: int | None = None):
        self.rows, self.measuring = rows, rows is None
        self._limit: int | None = None
        self._speeds: list[float] = []
        self._best = (0, 0.0)

    def start(self, device: torch.device, fixed: bool = False) -> None:
        """Begin on a device: with the smallest size, or with one between that is not to be changed by measuring."""
        if self.rows is None:
            self.rows, self._limit = SIZES.get(device.type, OTHER_SIZES)
            if fixed:
                self.rows, self.measuring = 2 * self.rows, False

    @contextmanager
    def timed(self, rows: int, device: torch.device) -> Iterator[None]:
        """Run a chunk of so many rows inside; it waits for the device only while sizes are measured."""
        if not self.measuring or 2 * rows <= self.rows:
            yield
            return
        wait(device)
        begun = time.perf_counter()
        yield
        wait(device)
        self._speeds.append(rows / (time.perf_counter() - begun))
        if len(self._speeds) < 2:  # the first chunk of a size pays for the choice of kernels
            return
        speed, self._speeds = max(self._speeds), []
        if speed > 1.02 * self._best[1]:
            self._best = (self.rows, speed)
            if 2 * self.rows <= self._limit:
                self.rows *= 2
                return
        self.rows, self.measuring = self._best[0], False

    def halve(self) -> None:
        """After running out of memory: no larger size is tried again.

        Raises:
            RunError: not even one image fits.
        """
        if self.rows == 1:
            raise RunError("not enough memory for a forward pass of one image; another device or precision might do")
        self.rows, self.measuring = self.rows // 2, False
        log.warning("out of memory: going on with chunks of %d images × variants", self.rows)
