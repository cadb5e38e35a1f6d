"""A run that several processes work on: the first one writes its folder, the others follow."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from .. import processes
from .run import Run


class FollowedRun(Run):
    """A run that another process writes: its record is known as it was when the run was opened.

    Args:
        folder: its own.
        record: what its `run.json` said.
    """

    def __init__(self, folder: Path | str, record: dict):
        self.folder, self.record, self._lock = Path(folder), record, ExitStack()

    def save(self, **record) -> None:
        self.record |= record

    def write_table(self, name: str, table: pd.DataFrame) -> Path:
        return self.path(name)

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> Path:
        return self.path(name)

    def discard_if_empty(self) -> None:
        pass

    def finish(self) -> None:
        self.save(finished=True)


def open_run(folder: Path | str, command: str, arguments: Mapping, resume: bool = False) -> Run:
    """A run, which the first of several processes writes and the others follow; arguments as of `Run`."""
    if not processes.is_first():
        return FollowedRun(folder, processes.tell(None))
    run = Run(folder, command, arguments, resume)
    processes.tell(run.record)
    return run
