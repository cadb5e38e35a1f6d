"""What came of an analysis in Python: tables, findings, figures and a page, as a run's folder has them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import unknown
from ..recording import Recording, open_recording
from ..results.run import Run, read_table
from .analysis import Results

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from ..figures import Drawn


_OWN = ("command", "arguments", "findings", "files", "finished", "seal")
"""Of a run's record, what is written with its files."""


@dataclass(frozen=True)
class Result:
    """What came of an analysis in Python.

    Args:
        tables: by name, without the ending that their files have.
        arrays: by name, named arrays.
        findings: what may be said, a sentence each.
        recording: what it was computed from; analyses take it in place of networks.
        record: what `run.json` says of a run: command, arguments, networks, data.
        table, figure: the names of the main ones.
        folder: of a finished run.
    """

    tables: dict[str, pd.DataFrame]
    findings: list[str] = field(default_factory=list)
    arrays: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    recording: Recording | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    table: str = ""
    figure: str = ""
    folder: Path | None = None

    def __getitem__(self, name: str) -> pd.DataFrame:
        """A table.

        Raises:
            UsageError: there is none of this name; the message lists those that are there.
        """
        if name not in self.tables:
            raise unknown("table", name, self.tables)
        return self.tables[name]

    def __repr__(self) -> str:
        told = [f"{name}: {len(table)} rows of {', '.join(table.columns)}" for name, table in self.tables.items()]
        return "\n".join([*told, *self.findings])

    def to_pandas(self, name: str | None = None) -> pd.DataFrame:
        """A table, the main one by default."""
        return self[name or self._main]

    def to_xarray(self, name: str | None = None) -> "xr.Dataset":
        """A table as labelled arrays, the main one by default: a dimension for each column that tells rows apart."""
        table = self.to_pandas(name)
        return table.set_index(keys_of(table)).to_xarray()

    def plot(
        self,
        name: str | None = None,
        ax: "Axes | None" = None,
        *,
        width: float | None = None,
        bins: int | None = None,
    ) -> "Drawn":
        """Draw a figure of the run that this would be, the main one by default.

        Args:
            name: of its file, or a part of it, such as "gap".
            ax: where it is put, as a picture; a figure of its own by default.
            width: inches.
            bins: of distributions.

        Raises:
            UsageError: there is no such figure; the message lists those that there are.
        """
        from ..figures.drawing import figure_of, put_into
        from ..figures.drawn import Drawn
        from ..figures.stored import StoredRun
        from ..figures.style import Look

        with self._as_folder() as folder:
            figure = figure_of(StoredRun.open(folder), name or self.figure, Look(width, bins))
        if ax is not None:
            return Drawn(put_into(ax, figure), ax)
        return Drawn(figure, np.array(figure.axes))

    def report(self, path: Path | str) -> Path:
        """Write the page of the run that this would be, and give its file."""
        from ..report import write_report

        with self._as_folder() as folder:
            return write_report([folder], Path(path))

    @property
    def _main(self) -> str:
        return self.table if self.table in self.tables else next(iter(self.tables), "")

    @contextmanager
    def _as_folder(self) -> Iterator[Path]:
        """The run's folder; for as long as it is needed where there is none."""
        if self.folder is not None:
            yield self.folder
            return
        with TemporaryDirectory() as temporary:
            folder = Path(temporary) / self.record["command"]
            with Run(folder, self.record["command"], self.record["arguments"]) as run:
                run.save(**{key: value for key, value in self.record.items() if key not in _OWN})
                run.write_tables({f"{name}.csv": table for name, table in self.tables.items()})
                for name, arrays in self.arrays.items():
                    run.write_arrays(f"{name}.npz", arrays)
                run.find(self.findings)
                run.finish()
            yield folder


def open_run(folder: Path | str) -> Result:
    """A finished run of the command line, as what the same analysis gives in Python.

    Raises:
        UsageError: there is no run.
        RunError: a table or an array is not what the run wrote.
    """
    from ..figures.stored import StoredRun
    from . import analyses

    run = StoredRun.open(folder)
    tables = {path.stem: read_table(folder, path.name) for path in sorted(run.folder.glob("*.csv"))}
    arrays = {path.stem: run.arrays(path.name) for path in sorted(run.folder.glob("*.npz"))}
    kept = run.folder / "recording"
    recording = open_recording(kept) if (kept / "recording.json").is_file() else None
    kind = analyses().get(run.record["command"])
    main = (kind.table, kind.figure) if kind else ("", "")
    return Result(tables, run.record.get("findings", []), arrays, recording, run.record, *main, run.folder)


def keys_of(table: pd.DataFrame) -> list[str]:
    """Network and block, and the first columns that tell their rows apart; left out are those that follow from others.

    >>> keys_of(pd.DataFrame({"block": ["a", "a", "b"], "depth": [1, 1, 2], "unit": [0, 1, 0], "csi": [0.1, 0.2, 0.3]}))
    ['block', 'unit']
    """
    keys = [name for name in ("network", "block") if name in table]
    for name in table.columns.drop(keys):
        groups = int(table.groupby(keys, dropna=False).ngroups) if keys else 1
        if groups == len(table):
            break
        if int(table.groupby([*keys, name], dropna=False).ngroups) > groups:
            keys.append(name)
    return keys or list(table.columns[:1])


def split(results: Results) -> tuple[dict[str, pd.DataFrame], dict[str, dict[str, np.ndarray]]]:
    """Tables and arrays by name, without the endings of their files."""
    tables = {name.removesuffix(".csv"): each for name, each in results.items() if isinstance(each, pd.DataFrame)}
    arrays = {name.removesuffix(".npz"): each for name, each in results.items() if not isinstance(each, pd.DataFrame)}
    return tables, arrays


def in_json(value: object) -> object:
    """A value as `run.json` has it; of what it cannot hold, such as images, the kind."""
    return json.loads(json.dumps(value, default=lambda each: type(each).__name__))
