"""What a run's folder holds that figures are drawn from: tables, arrays, and some words of `run.json`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import UsageError, plain, unknown
from ..names import file_name, paper_name, unique_label
from ..results.run import read_record, read_table
from ..results.sealing import check_file
from ..untrusted import read_arrays


@dataclass(frozen=True)
class StoredRun:
    """A run's folder as figures read it.

    Of `run.json`, all but the first three of `gelens.results.run.read_record` may be missing: `data` (name, note,
    images, read), `arguments` (replicates, reference), `reference`, `roles` (by figure, the labels that it has), and
    `networks` (by label, its reference).

    Args:
        folder: of the run.
        record: its `run.json`.
        blocks: names or patterns of the blocks to draw; all of them by default.
        needed: by table, columns that it must have beside those without which nothing can be made of it.
    """

    folder: Path
    record: Mapping
    blocks: Sequence[str] = ()
    needed: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path | str, blocks: Sequence[str] | None = None) -> "StoredRun":
        """The run in a folder.

        Raises:
            UsageError: there is none, or it has no such block.
        """
        run = cls(Path(folder), read_record(folder), tuple(blocks or ()))
        run._check_blocks()
        return run

    def _check_blocks(self) -> None:
        if not self.blocks:
            return
        tables = [read_table(self.folder, path.name) for path in sorted(self.folder.glob("*.csv"))]
        known = dict.fromkeys(block for table in tables if "block" in table for block in table["block"] if block)
        if not known:
            raise UsageError(f"the run in `{self.folder}` has no tables with blocks to choose from")
        for asked in self.blocks:
            if not any(_is(block, asked) for block in known):
                raise unknown("block", asked, known)

    def has(self, *names: str) -> bool:
        """Whether the folder has all these files."""
        return all((self.folder / name).is_file() for name in names)

    def table(self, name: str) -> pd.DataFrame:
        """A table's rows of the blocks to draw, and those of no block, which are of the whole network; names as text.

        Raises:
            UsageError: it cannot be read as a table, or lacks a needed column.
        """
        table = read_table(self.folder, name, self.needed.get(name, ()))
        if self.blocks and "block" in table:
            chosen = [block for block in table["block"].unique() if any(_is(block, each) for each in self.blocks)]
            table = table[table["block"].isin(["", *chosen])].reset_index(drop=True)
        return table

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """An archive of arrays.

        Raises:
            UsageError: it cannot be read as one.
            RunError: it is not what the run wrote.
        """
        check_file(self.folder, name)
        try:
            return read_arrays(self.folder / name)
        except (OSError, ValueError) as error:
            raise UsageError(f"`{self.folder / name}` cannot be read as arrays: {error}") from error

    def caption(self, *said: str, images: bool = True) -> str:
        """Sentences about a figure, then what the run's images are, and how many were read."""
        data = self.record.get("data", {})
        tap = self.record["arguments"].get("tap", "output")
        if tap != "output":
            said = (*said, f"At the tap {tap}.")
        words = _without_folders(data.get("name") or "")
        if data.get("note"):
            words = f"{words}: {data['note']}" if words else data["note"]
        count = data.get("read", data.get("images"))
        if images and count is not None:
            words = ", ".join(filter(None, (words, f"{count} images")))
        return plain(" ".join([*filter(None, said), *([words.rstrip(".") + "."] if words else [])]))

    def by_group(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with groups instead of their trainings: the rows of a group are those of all of them."""
        return table.assign(network=table["network"].map(lambda label: self.group(label) or label))

    def group_means(
        self, table: pd.DataFrame, keys: Sequence[str], numbers: Sequence[str]
    ) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        """Of a table with groups of trainings, their means as one network each, and the trainings under its name.

        Args:
            table: with a column `network`.
            keys: columns that tell rows of a network apart, `network` among them.
            numbers: columns whose means are taken; those that the table lacks are left out.

        Returns:
            The table to draw, of keys and numbers, and rows of each training, `network` its group and `training` its
            label. Where the table has no groups, the table itself and None.
        """
        grouped = table["network"].map(lambda label: self.group(label) is not None)
        if not grouped.any():
            return table, None
        of_group = self.by_group(table)
        means = of_group.groupby([*keys], sort=False, dropna=False)[[name for name in numbers if name in table]].mean()
        return means.reset_index(), of_group.assign(training=table["network"])[grouped]

    def group(self, label: str) -> str | None:
        """The group of trainings that a network is one of."""
        return self.record.get("networks", {}).get(label, {}).get("group")

    @property
    def replicates(self) -> int:
        """Of the bootstrap behind the run's standard errors."""
        return int(self.record["arguments"].get("replicates") or self.record.get("replicates") or 10)

    def reference(self, labels: Sequence[str]) -> str:
        """Which of the labels the others are compared with: the run's reference, or the first."""
        gaps = self.table("selectivity_gap.csv")["reference"].tolist() if self.has("selectivity_gap.csv") else []
        said = [self.record.get("reference"), self.record["arguments"].get("reference"), *gaps]
        return next((label for label in said if label in labels), labels[0])

    def architecture(self, label: str) -> str:
        """The reference of the network that a label stands for, or the label."""
        return self.record.get("networks", {}).get(label, {}).get("reference") or label

    def of_role(self, role: str, labels: Sequence[str], otherwise) -> list[str]:
        """The labels that belong to a figure: those that the run names, else those whose architecture does by a rule.

        Args:
            role: the figure's.
            labels: to choose from.
            otherwise: takes an architecture.
        """
        roles = self.record.get("roles") or {}
        if role in roles:
            return [label for label in labels if label in roles[role]]
        return [label for label in labels if otherwise(self.architecture(label))]


def each_network(table: pd.DataFrame, name: str, numbered: bool = False) -> Iterator[tuple[str, pd.DataFrame]]:
    """Of each network in a table the name of its figure's file, and its rows.

    Args:
        table: with a column `network`.
        name: of all those files, which the network's follows.
        numbered: a number follows instead, unless there is one network only.
    """
    several = list(table.groupby("network", sort=False)) if len(table) else []
    taken: list[str] = []
    for number, (network, rows) in enumerate(several, 1):
        alone = numbered and len(several) == 1
        taken.append(name if alone else unique_label(f"{name}_{number if numbered else file_name(network)}", taken))
        yield taken[-1], rows


def _without_folders(name: str) -> str:
    """A reference to data as a figure has it, which others see: without the folders of somebody's machine.

    >>> _without_folders("parquet:/home/a/cifar10#val"), _without_folders("digits#val")
    ('parquet:cifar10#val', 'digits#val')
    """
    form, colon, location = name.partition(":")
    return f"{form}{colon}{location.rstrip('/').rpartition('/')[2]}"


def _is(block: str, asked: str) -> bool:
    matches = partial(fnmatchcase, pat=asked)
    return asked in (block, paper_name(block)) or matches(block) or matches(paper_name(block))
