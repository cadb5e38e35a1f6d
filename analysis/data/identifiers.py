"""A million names in a few bytes each, so that worker processes share them instead of copying them."""

from collections.abc import Iterable, Sequence

import numpy as np


class Names(Sequence):
    """An immutable sequence of strings, kept as one run of bytes: no object for each name.

    Python's own lists grow in every worker process that looks at them, since looking counts references.

    >>> names = Names(["cat/1.png", "dog/2.png", "dog/3.png"])
    >>> names[1], names.take([2, 0]) == ["dog/3.png", "cat/1.png"]
    ('dog/2.png', True)
    """

    def __init__(self, names: Iterable[str] = ()):
        encoded = [name.encode("utf-8", "surrogateescape") for name in names]  # file names may be any bytes
        self._bytes = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self._ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, position):
        if isinstance(position, slice):
            return [self[each] for each in range(*position.indices(len(self)))]
        position = range(len(self))[position]
        start, end = self._ends[position], self._ends[position + 1]
        return self._bytes[start:end].tobytes().decode("utf-8", "surrogateescape")

    def __eq__(self, other) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def take(self, positions: Iterable[int]) -> "Names":
        return Names(self[position] for position in positions)

    def tobytes(self) -> bytes:
        """All that the names are, for a hash."""
        return self._ends.tobytes() + self._bytes.tobytes()
