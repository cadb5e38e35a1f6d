"""Images inside tar files, found once and then read where they lie: nothing is unpacked."""

import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from analysis.errors import RunError


class TarReader:
    """Reads image i from its place in one of several tar files; worker processes may pickle and share it.

    Args:
        paths: of the files.
        files, offsets, sizes: of each image: number of its file, first byte, number of bytes.
    """

    def __init__(self, paths: Sequence[Path], files: np.ndarray, offsets: np.ndarray, sizes: np.ndarray):
        self.paths, self.files, self.offsets, self.sizes = list(paths), files, offsets, sizes
        self._open: dict[int, int] = {}

    def __getstate__(self) -> dict:
        return vars(self) | {"_open": {}}

    def __del__(self):
        for descriptor in self._open.values():
            os.close(descriptor)

    def bytes(self, position: int) -> bytes:
        number = int(self.files[position])
        if number not in self._open:
            self._open[number] = os.open(self.paths[number], os.O_RDONLY)
        # pread has no place of its own in the file, so that threads and forked processes may share the descriptor
        found = os.pread(self._open[number], int(self.sizes[position]), int(self.offsets[position]))
        if len(found) < self.sizes[position]:
            raise OSError(f"`{self.paths[number]}` ends before it")
        return found

    def __call__(self, position: int) -> Image.Image:
        return Image.open(io.BytesIO(self.bytes(position)))


def members(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, first byte and size of every file in a tar, in its order; links inside it have the size −1.

    Raises:
        RunError: it is compressed, damaged, or no tar.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                archive.members = []  # else every member is remembered
                if member.isfile():
                    yield member.name, member.offset_data, member.size
                elif member.islnk() or member.issym():
                    yield member.name, 0, -1
    except tarfile.TarError as error:
        raise RunError(f"`{path}` is no uncompressed tar, or is damaged: {error}") from error


def outside(name: str) -> str | None:
    """What is wrong with a member's name that points out of the archive.

    >>> outside("a/../../b.png"), outside("/etc/b.png"), outside("./a/b.png")
    ('its path leads out of the archive', 'its path is absolute', None)
    """
    if name.startswith("/"):
        return "its path is absolute"
    return "its path leads out of the archive" if ".." in name.split("/") else None
