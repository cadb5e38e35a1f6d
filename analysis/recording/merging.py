"""Recordings of parts of the images, brought together: merging is concatenation, for rows belong to images."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..differences import difference
from ..errors import UsageError
from .answers import differing_answers
from .format import kept_of
from .same import check_same, check_same_images
from .store import Recording, open_any

log = logging.getLogger(__name__)

_BLOCK = 2**26
"""Bytes that are copied at a time."""


@dataclass(frozen=True)
class Piece:
    """Rows of a whole, which are the first ones of a recording."""

    rows: range
    source: Recording

    def __str__(self) -> str:
        return f"`{self.source.folder}`"


def merge(parts: Sequence[Path | str], out: Path | str) -> Recording:
    """Bring the recordings of all shards of the images together; one that was interrupted is gone on with.

    Args:
        parts: folders of finished recordings (`--shard`), or of runs that have one, in any order.
        out: the folder of the whole.

    Raises:
        UsageError: images that are in no part or in two, parts of other networks, images or settings, one that is
            unfinished or no part, or `out` holds something else.
        RunError: a part is damaged, or there is no space.
    """
    pieces = sorted((_announced(Path(part)) for part in parts), key=lambda piece: piece.rows.start)
    if not pieces:
        raise UsageError("no parts to merge; expected the folders of all shards")
    for piece in pieces[1:]:
        _check_alike(pieces[0], piece)
    total = pieces[0].source.described["part"]["images"]
    _check_every_row(pieces, total)
    _check_contents(pieces)
    images = pd.concat([piece.source.images for piece in pieces], ignore_index=True).drop(columns="row")
    described = {key: value for key, value in pieces[0].source.described.items() if key != "part"}
    described["classes"] = max((piece.source.described["classes"] for piece in pieces), key=len)
    recording = Recording.create(kept_of(described), images, described, out, resume=True)
    try:
        if not recording.finished:
            copy_rows(recording, pieces)
            recording.finish()
    finally:
        recording.close()
    return recording


def _announced(folder: Path) -> Piece:
    """A part, whose place its own recording.json says."""
    source = open_any(folder)
    described = source.described
    if "part" not in described:
        raise UsageError(f"`{folder}` holds no part but a whole recording, of {described['images']} images")
    if not source.finished:
        raise UsageError(
            f"`{folder}` is unfinished: {source.rows_done} of its {described['images']} images are recorded; repeat "
            f"the command that makes it, with --resume"
        )
    start = described["part"]["start"]
    return Piece(range(start, start + described["images"]), source)


def _check_alike(first: Piece, other: Piece) -> None:
    mine, theirs = first.source.described, other.source.described
    if mine["part"]["identity"] != theirs["part"]["identity"]:
        raise UsageError(
            f"{other} is of other images than {first}: of {theirs['part']['images']} of {_name(theirs)}, not "
            f"{mine['part']['images']} of {_name(mine)}, or their names, places, labels or files' sizes differ"
        )
    own = {"part", "rows_done", "finished", "images", "data", "versions", "made", "folders", "sums", "sample", "chosen"}
    own |= {"answers"}
    own |= {"classes"} if not mine.get("labels_known", True) else set()
    for key in dict.fromkeys([*mine, *theirs]):
        if key not in own and mine.get(key) != theirs.get(key):
            text = difference(key, mine.get(key), theirs.get(key), "in the one", "in the other")
            raise UsageError(f"{first} and {other} are not of one recording: {text}")
    if changed := differing_answers(mine.get("answers", {}), theirs.get("answers", {})):
        raise UsageError(
            f"{first} and {other} are not of one recording: {changed} answered the same images of noise otherwise, "
            f"though its weights and code are the same: it depends on something else, such as a file that its factory "
            f"reads"
        )
    if mine.get("versions") != theirs.get("versions"):
        log.warning("%s was recorded with other versions than %s", other, first)


def _check_contents(pieces: Sequence[Piece]) -> None:
    """What each part saw of some images of the whole is what every other saw of them, and what was recorded of them."""
    seen = []
    for piece in pieces:
        images = piece.source.images
        rows = dict(zip(images["identifier"], images["content"], strict=True))
        seen.append((piece.source.described.get("sample") or {}) | {name: each for name, each in rows.items() if each})
    for one in pieces:
        sample = one.source.described.get("sample") or {}
        for other, theirs in zip(pieces, seen, strict=True):
            both = [name for name in sample if len(theirs.get(name, "")) == len(sample[name])]
            if changed := [name for name in both if theirs[name] != sample[name]]:
                raise UsageError(
                    f"{other} is of other images than {one}: {len(changed)} of {len(both)} that both have read show "
                    f"something else, such as `{changed[0]}`"
                )


def _name(described: Mapping) -> str:
    return described.get("data", {}).get("name", "unnamed images")


def _check_every_row(pieces: Sequence[Piece], total: int) -> None:
    """No image in no piece, and none in two."""
    stop, before = 0, None
    for piece in pieces:
        if piece.rows.start < stop:
            raise UsageError(
                f"images {_counted(range(piece.rows.start, min(stop, piece.rows.stop)))} of {total} are both in "
                f"{before} and in {piece}: is one given twice, or made with another --shard or --batch-size?"
            )
        if piece.rows.start > stop:
            break
        stop, before = piece.rows.stop, piece
    if stop < total:
        ends = [piece.rows.start for piece in pieces if piece.rows.start > stop]
        raise UsageError(
            f"images {_counted(range(stop, min([*ends, total])))} of {total} are in none of the parts: is one left "
            f"out, or made with another --shard or --batch-size?"
        )


def _counted(rows: range) -> str:
    """As people count, from 1.

    >>> _counted(range(0, 5)), _counted(range(4, 5))
    ('1 … 5', '5')
    """
    return str(rows.stop) if len(rows) == 1 else f"{rows.start + 1} … {rows.stop}"


def found_pieces(folder: Path, described: Mapping, images: pd.DataFrame) -> list[Piece]:
    """What the recordings in a folder have of a whole, finished or not, in the whole's order.

    A piece's place is that of its first image among those of the whole: images after it may have been left out
    meanwhile.

    Args:
        described: the whole's.
        images: the whole's.

    Raises:
        UsageError: one is of other networks or settings.
        RunError: its images are others now.
    """
    places = pd.Series(np.arange(len(images)), images["index"])
    pieces = []
    for path in sorted(folder.glob("*/recording.json")):
        source = open_any(path.parent)
        check_same(path.parent, source.described, dict(described), {"part"})
        done = source.rows_done
        if not done:
            continue
        start = int(places.get(source.indices[0], -1))
        check_same_images(path.parent, source.images[:done], images[start : start + done])
        pieces.append(Piece(range(start, start + done), source))
    return sorted(pieces, key=lambda piece: piece.rows.start)


def missing_rows(pieces: Sequence[Piece], done: int, total: int) -> list[range]:
    """Rows that are not among the first `done` ones, nor in a piece.

    >>> missing_rows([Piece(range(4, 6), None)], 2, 10)
    [range(2, 4), range(6, 10)]
    """
    missing = []
    for rows in [*(piece.rows for piece in pieces), range(total, total)]:
        if rows.start > done:
            missing.append(range(done, rows.start))
        done = max(done, rows.stop)
    return missing


def copy_rows(recording: Recording, pieces: Sequence[Piece]) -> None:
    """Write the rows of pieces, which are in order and leave no gap, that a recording does not have yet."""
    each = sum(kept.bytes_an_image for several in kept_of(recording.described).values() for kept in several)
    step = max(1, _BLOCK // max(1, each))
    for piece in pieces:
        for start in range(max(piece.rows.start, recording.rows_done), piece.rows.stop, step):
            for rows, versions in _made(piece, range(start, min(start + step, piece.rows.stop))):
                _copy(recording, piece, rows, versions)
        recording.flush()


def _made(piece: Piece, rows: range) -> Iterator[tuple[range, Mapping | None]]:
    """Some rows of a piece, by what made them."""
    first = piece.rows.start
    usual: list[dict] = [{"start": 0, "stop": len(piece.rows), "versions": piece.source.described.get("versions")}]
    for each in piece.source.described.get("made") or usual:
        some = range(max(rows.start, first + each["start"]), min(rows.stop, first + each["stop"]))
        if len(some):
            yield some, each["versions"]


def _copy(recording: Recording, piece: Piece, rows: range, versions: Mapping | None) -> None:
    at = slice(rows.start - piece.rows.start, rows.stop - piece.rows.start)
    if not recording.described.get("labels_known", True):
        recording.write_labels(rows.start, piece.source.labels[at])
    recording.write_contents(rows.start, piece.source.contents[at])
    arrays = {
        (network, kept.name): piece.source.rows(network, kept.name, at)
        for network, several in kept_of(recording.described).items()
        for kept in several
    }
    recording.write(rows.start, arrays, len(rows))
    recording.made_by(rows.start, rows.stop, versions)
