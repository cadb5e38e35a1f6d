"""`gelens curves`: figure 1, from finished trainings' folders."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .. import figures
from ..errors import UsageError
from ..files import file_hash
from ..names import unique_label
from ..results.run import Run, read_record, read_table

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingCurves:
    """Optimisation curves of several trainings."""

    trainings: Sequence[Path | str]

    def arguments(self) -> dict:
        tables = [file_hash(path) for folder in self.trainings if (path := Path(folder) / "training.csv").is_file()]
        return {"runs": [str(folder) for folder in self.trainings], "tables": tables}

    def run(self, run: Run) -> list[Path]:
        tables: dict[str, pd.DataFrame] = {}
        notes = set()
        for folder in self.trainings:
            table = read_table(folder, "training.csv")
            if table.empty:
                raise UsageError(f"the training.csv of `{folder}` is empty: no epoch was finished")
            label = unique_label(str(table["network"].iloc[0]), tables)
            tables[label] = table.assign(network=label)
            record = read_record(folder)
            if not record.get("finished"):
                log.warning("the training in %s is not finished: %d epochs are drawn", folder, table["epoch"].max())
            data = record.get("data", {})
            notes.add((data.get("name", ""), data.get("note", "")))
        run.write_table("training.csv", pd.concat(tables.values(), ignore_index=True))
        names, said = (" ".join(sorted({pair[at] for pair in notes} - {""})) for at in (0, 1))
        run.save(data={"name": names, "note": said})
        return figures.draw(run.folder)
