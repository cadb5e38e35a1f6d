"""How many images go through a network at a time: by the device, never by a stopwatch, and halved without memory."""

import logging

import torch

from ..errors import RunError

log = logging.getLogger(__name__)

SIZES = {"cpu": 64, "mps": 128}
OTHER_SIZES = 1024
"""Images × variants in a chunk, by device; of all other devices."""

SMALL, MORE = 64, 4
"""Positions of maps so small that calls take as long as what they compute, and how many times the rows those get."""


class ChunkSize:
    """How many images × variants go through a network at a time: as given, or by the device.

    The last bits of logits hang on it, so that equal runs need equal sizes. A device that runs out of memory halves
    the size for good.

    >>> size = ChunkSize(12)
    >>> size.halve()
    >>> size.rows
    6
    """

    def __init__(self, rows: int | None = None):
        self.rows = rows

    @property
    def begun(self) -> int:
        """The rows, once they are known."""
        assert self.rows is not None  # `start` comes first
        return self.rows

    def start(self, maps: torch.Tensor) -> None:
        """Begin with maps of a batch, (N, C, H, W), on their device, where no size is given."""
        if self.rows is None:
            small = maps[0, 0].numel() <= SMALL
            self.rows = SIZES.get(maps.device.type, OTHER_SIZES) * (MORE if small else 1)

    def halve(self) -> None:
        """After running out of memory: no larger size is tried again.

        Raises:
            RunError: not even one image fits.
        """
        if self.rows == 1:
            raise RunError("not enough memory for a forward pass of one image; another device or precision might do")
        self.rows = self.begun // 2
        log.warning("out of memory: going on with chunks of %d images × variants", self.rows)
