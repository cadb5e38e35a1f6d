"""What statistics take as the activities of a layer's units: an array, or what is read from a file in parts."""

from typing import Any, Protocol


class Activities(Protocol):
    """(N, U) numbers, sliced by rows, `[rows]`, or by columns, `[:, columns]`, into arrays."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any: ...
