"""`gelens merge`: recordings of shards brought together, as one process would have made the whole."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..analyses.run_folder import OF_OTHERS, RECORDING
from ..errors import UsageError
from ..recording import Recording
from ..recording.merging import merge
from ..results.run import Run, read_record


@dataclass(frozen=True)
class Merge:
    """A recording of recordings, or an unfinished run of runs, whose own command then makes tables and figures.

    Args:
        parts: folders of what `--shard` made, in any order.
    """

    parts: Sequence[Path]

    def run(self, out: Path) -> Recording:
        """Merge, or go on merging."""
        runs = [part for part in self.parts if (part / "run.json").is_file()]
        if not runs:
            return merge(self.parts, out)
        if len(runs) < len(self.parts):
            bare = next(part for part in self.parts if part not in runs)
            raise UsageError(f"`{runs[0]}` is a run and `{bare}` is none: give runs alone, or recordings alone")
        records = [read_record(part) for part in runs]
        for part, record in zip(runs, records, strict=True):
            _check_alike(runs[0], records[0], part, record)
        arguments = {name: value for name, value in records[0]["arguments"].items() if name != "shard"}
        with Run(out, records[0]["command"], arguments, resume=True) as whole:
            try:
                recording = merge([part / RECORDING for part in runs], out / RECORDING)
                _copy(runs[0] / OF_OTHERS, out / OF_OTHERS)
            except UsageError:
                whole.discard_if_empty()
                raise
            if not whole.finished:
                kept = ("networks", "data", "device", "precision", "seed")
                whole.save(**{name: records[0][name] for name in kept if name in records[0]})
        return recording


def _check_alike(first: Path, other: dict, part: Path, record: dict) -> None:
    """Runs of one command with the same arguments, of shards."""
    if "shard" not in record["arguments"]:
        raise UsageError(f"the run in `{part}` is of no shard; expected what a command with --shard made")
    mine, theirs = ({"command": each["command"]} | each["arguments"] for each in (record, other))
    for name in dict.fromkeys([*mine, *theirs]):
        if name != "shard" and mine.get(name) != theirs.get(name):
            raise UsageError(
                f"`{part}` was made otherwise than `{first}`: {name} {mine.get(name)}, there {theirs.get(name)}"
            )


def _copy(source: Path, target: Path) -> None:
    """A recording of other images, which every shard has made whole; whole or not at all."""
    if not source.is_dir() or target.exists():
        return
    with TemporaryDirectory(dir=target.parent, prefix=".") as temporary:
        shutil.copytree(source, Path(temporary) / target.name)
        os.replace(Path(temporary) / target.name, target)
