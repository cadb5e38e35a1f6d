"""`gelens power RUN`: what the claims of a finished run with several trainings of each network take."""

from pathlib import Path

import pandas as pd

from ..errors import UsageError
from ..results.run import read_record, read_table
from ..statistics.power import TABLES, claims_of, power


def power_of(folder: Path) -> pd.DataFrame:
    """The power of a run's claims: the table of `gelens.statistics.power.power`.

    Raises:
        UsageError: the run has no claim of three trainings of each network.
    """
    read_record(folder)
    claims = claims_of({name: read_table(folder, name) for name in TABLES if (folder / name).is_file()})
    table = power(claims) if len(claims) else claims
    if not len(table):
        raise UsageError(
            f"the run in `{folder}` has no claim over trainings: it takes one of selectivity, pruning or evaluate with "
            f"three trainings of each network at least"
        )
    return table
