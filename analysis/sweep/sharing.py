"""A pass shared out: among the processes of one run, or among runs that are merged afterwards.

Everybody records some of the images, as a recording of its own, and the rows are brought together. Shares are whole
batches, so that every batch is one of a single process's pass, and its rows are the same to the last bit; images fewer
than that are shared out in smaller batches.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pandas as pd
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler, Subset

from .. import processes
from ..data.datasets import ImageData
from ..errors import RunError, UsageError
from ..recording import Kept, Recording
from ..recording.merging import Piece, copy_rows, found_pieces, missing_rows
from ..recording.store import open_any


@dataclass(frozen=True)
class Shard:
    """One of equal shares of the images, by its number from 1 on.

    >>> Shard.parse("2/4").rows(10, batch_size=64)
    range(3, 6)
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """A shard as people write it.

        Raises:
            UsageError: it cannot be meant.
        """
        number, _, of = text.partition("/")
        if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise UsageError(f"`{text}` is no shard; expected one such as 1/4, which 2/4, 3/4 and 4/4 make whole")
        return cls(int(number), int(of))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def rows(self, images: int, batch_size: int) -> range:
        """Its images.

        Raises:
            UsageError: it has none.
        """
        mine = divided([range(images)], self.of, batch_size)[self.number - 1]
        if not mine:
            raise UsageError(f"shard {self} has no image: there are {images} in all; use fewer shards")
        return mine[0]


def divided(missing: Sequence[range], number: int, batch_size: int) -> list[list[range]]:
    """Rows divided into a number of shares, each whole batches and as near to equal as they allow.

    >>> divided([range(0, 10)], 2, batch_size=4)
    [[range(0, 4)], [range(4, 10)]]
    >>> divided([range(0, 2), range(5, 9)], 3, batch_size=4)
    [[range(0, 2)], [range(5, 7)], [range(7, 9)]]
    """
    rows = sum(map(len, missing))
    size = min(batch_size, max(1, -(-rows // number)))
    taken = [range(at, min(at + size, run.stop)) for run in missing for at in range(run.start, run.stop, size)]
    ends = [len(taken) * share // number for share in range(number + 1)]
    return [_joined(taken[start:stop]) for start, stop in pairwise(ends)]


def _joined(batches: Sequence[range]) -> list[range]:
    runs: list[range] = []
    for batch in batches:
        if runs and runs[-1].stop == batch.start:
            batch = range(runs.pop().start, batch.stop)
        runs.append(batch)
    return runs


def some_of(data: Dataset | DataLoader, rows: range) -> Dataset | DataLoader:
    """The images at some positions of data of any kind; each keeps its index."""
    if isinstance(data, ImageData):
        return data.subset(rows)
    if not isinstance(data, DataLoader):
        return Subset(data, rows)
    if not isinstance(data.sampler, SequentialSampler) or type(data.batch_sampler) is not BatchSampler:
        raise UsageError(
            "a DataLoader with a sampler of its own cannot be shared out: give the data set, or a plain DataLoader"
        )
    return DataLoader(
        Subset(data.dataset, rows),
        data.batch_size,
        num_workers=data.num_workers,
        collate_fn=data.collate_fn,
        pin_memory=data.pin_memory,
        worker_init_fn=data.worker_init_fn,
    )


@dataclass(frozen=True)
class Announced:
    """What a pass is to record: as `Recording.create` takes it."""

    kept: Mapping[str, Sequence[Kept]]
    images: pd.DataFrame
    described: Mapping

    def create(self, folder: Path | None = None, resume: bool = False) -> Recording:
        return Recording.create(self.kept, self.images, self.described, folder, resume)

    def part(self, rows: range) -> "Announced":
        """The same of some of the images."""
        whole = {"start": rows.start, "images": len(self.images), "identity": self.identity()}
        some = self.images.iloc[rows.start : rows.stop]
        return Announced(self.kept, some, dict(self.described) | {"part": whole})

    def identity(self) -> str:
        """A hash of the images' names, places, labels and sizes."""
        return hashlib.sha256(self.images.to_csv(index=False).encode()).hexdigest()[:16]


Way = Callable[[Announced, range, Path | None, bool], Recording]
"""Records some rows: what is announced of them, which, where, and whether to go on there."""
Check = Callable[[Recording, range], None]
"""Raises a RunError where images at some rows of the whole are others than a recording has of them."""


def record_together(
    announced: Announced, record: Way, check: Check, folder: Path | None, resume: bool, batch_size: int
) -> Recording:
    """Record the images in the processes of this run, each some; all of them have the whole in the end.

    Raises:
        UsageError: the processes were given unlike things; or as `record` raises.
        RunError: another process was lost, or cannot write into this one's folder; what was recorded is kept.
    """
    _check_alike(announced)
    if folder is None:
        return _in_memory(announced, record, batch_size)
    return _on_disk(announced, record, check, folder, resume, batch_size)


def parts_folder(folder: Path) -> Path:
    """Where processes record what is brought together in a folder."""
    return folder.with_name(f"{folder.name}.parts")


def _check_alike(announced: Announced) -> None:
    facts = json.dumps([dict(announced.described), {k: list(map(repr, v)) for k, v in announced.kept.items()}])
    mine = {
        "images": announced.identity(),
        "networks or settings": hashlib.sha256(facts.encode()).hexdigest(),
    }
    everyones = processes.collect(mine)
    for what in mine:
        for number, other in enumerate(everyones):
            if other[what] != everyones[0][what]:
                raise UsageError(
                    f"process {number} has other {what} than process 0: every process is to be given the same "
                    f"networks and all the images, of which each measures its share; "
                    f"SweepOptions(together=False) measures in each process by itself"
                )


def _in_memory(announced: Announced, record: Way, batch_size: int) -> Recording:
    shares = divided([range(len(announced.images))], processes.number(), batch_size)
    parts = [(rows, record(announced.part(rows), rows, None, False)) for rows in shares[processes.rank()]]
    whole = announced.create()
    for several in processes.collect([(rows.start, part.labels, part.contents) for rows, part in parts]):
        for start, labels, contents in several:
            if not whole.described["labels_known"]:
                whole.write_labels(start, labels)
            whole.write_contents(start, contents)
    arrays = {}
    for network, several in announced.kept.items():
        for kept in several:
            array = whole.array(network, kept.name)
            for rows, part in parts:
                array[rows.start : rows.stop] = part.array(network, kept.name)
            processes.exchange(array, shares)
            arrays[network, kept.name] = array
    whole.write(0, arrays, len(announced.images))
    whole.finish()
    return whole


def _on_disk(announced: Announced, record: Way, check: Check, folder: Path, resume: bool, batch_size: int) -> Recording:
    """The first process makes the whole, all record what is missing of it beside it, the first brings it together."""
    first, parts = processes.is_first(), parts_folder(folder)
    whole = announced.create(folder, resume) if first else None
    try:
        shares = processes.tell(whole and _shares(whole, parts, check, batch_size))
        for rows in shares[processes.rank()]:
            record(announced.part(rows), rows, parts / f"{rows.start}-{rows.stop}", True)
        processes.wait()
        if whole and not whole.finished:
            copy_rows(whole, _pieces(whole, parts, shares))
            whole.finish()
        processes.wait()
    except (UsageError, RunError):
        if whole and not whole.rows_done:
            whole.discard()  # it holds nothing, and parts of it are kept beside it
        raise
    finally:
        if whole:
            whole.close()
            with suppress(OSError):
                parts.rmdir()
    if whole:
        shutil.rmtree(parts, ignore_errors=True)
    return whole or open_any(folder)


def _shares(whole: Recording, parts: Path, check: Check, batch_size: int) -> list[list[range]]:
    """By process, the rows that neither the whole nor a part of it has; what processes began before is kept."""
    number = processes.number()
    if whole.finished:
        return [[] for _ in range(number)]
    pieces = found_pieces(parts, whole.described, whole.images)
    for path in parts.glob("*/recording.json"):
        if path.parent not in [piece.source.folder for piece in pieces]:
            shutil.rmtree(path.parent)  # begun, without a row: its rows are divided anew
    check(whole, range(whole.rows_done))
    for piece in pieces:
        check(piece.source, piece.rows)
    return divided(missing_rows(pieces, whole.rows_done, len(whole.images)), number, batch_size)


def _pieces(whole: Recording, parts: Path, shares: Sequence[Sequence[range]]) -> list[Piece]:
    pieces = found_pieces(parts, whole.described, whole.images)
    if left := missing_rows(pieces, whole.rows_done, len(whole.images)):
        of = [number for number, several in enumerate(shares) if any(left[0].start in rows for rows in several)]
        raise RunError(
            f"what process {of[0]} recorded is not in `{parts}`: the run's folder must be one that all machines share; "
            f"--shard records apart, and `gelens merge` brings together"
        )
    return pieces
