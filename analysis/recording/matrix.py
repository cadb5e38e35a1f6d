"""The activity of a block's units as it lies on disk: read when it is asked for, however many units there are."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np

from ..untrusted import StoredRows

READ_BYTES = 2**24


class Matrix:
    """float32 (images, units), whatever it is kept in, sliced as an array is: by rows, or `[:, columns]` of all rows.

    `np.asarray` reads all of it.

    Args:
        stored: its rows, of which nothing is read yet.
        reading: around each reading: makes an error of ours of what goes wrong.
    """

    def __init__(self, stored: StoredRows, reading: Callable[[], AbstractContextManager[None]]):
        self._stored = stored
        self._reading = reading
        self.shape: tuple[int, ...] = stored.shape
        self.dtype = np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self._stored)

    def __getitem__(self, key: slice | tuple[slice, slice | np.ndarray]) -> np.ndarray:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        start, stop, _ = rows.indices(len(self))
        step = max(READ_BYTES // max(self._stored.row_bytes, 1), 1)
        places = np.arange(self.shape[1])[columns]
        values = np.empty((stop - start, len(places)), self.dtype)
        with self._reading():
            for first in range(start, stop, step):
                last = min(first + step, stop)
                values[first - start : last - start] = self._stored[first:last][:, columns]
        return values

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)
