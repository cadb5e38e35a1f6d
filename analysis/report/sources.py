"""The runs of a report, and what their networks and blocks are called in it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..errors import UsageError
from ..figures.stored import StoredRun
from ..names import blocks_as_in_papers, paper_name, pretty, unique_label

OF_UNITS_OR_CURVES = ("selectivity.csv", "gates_units.csv", "lesions_units.csv", "pruning.csv")
"""Tables that the views show: of a network that is one in several runs, each comes from one of them."""


@dataclass(frozen=True)
class Source:
    """A finished run as a report shows it.

    Args:
        name: of its folder, another for each run.
        run: its folder.
        shown: by label, what the network is called among all runs.
    """

    name: str
    run: StoredRun
    shown: dict[str, str]

    @property
    def stages_known(self) -> bool:
        """Whether blocks are called as in papers."""
        return all(card.get("resnet_stages", True) for card in self.run.record["networks"].values())

    def table(self, name: str) -> pd.DataFrame:
        """A table of the run, empty where it has none, with networks and blocks called as in the report."""
        if not self.run.has(name):
            return pd.DataFrame()
        table = self.run.table(name)
        if table.empty:
            return table
        with blocks_as_in_papers(self.stages_known):
            blocks = table["block"].map(paper_name)
        return table.assign(network=table["network"].map(lambda label: self.shown.get(label, label)), block=blocks)


def open_sources(folders: Sequence[Path | str]) -> list[Source]:
    """The runs in folders.

    Raises:
        UsageError: a folder holds none, one that is not finished, or is named twice.
    """
    sources: list[Source] = []
    seen: set[Path] = set()
    for folder in folders:
        run = StoredRun.open(folder)
        if not run.record["finished"]:
            raise UsageError(f"the run in `{folder}` is not finished; repeat its command with --resume")
        place = Path(folder).resolve()
        if place in seen:
            raise UsageError(f"`{folder}` is named twice; expected each run once")
        seen.add(place)
        name = unique_label(place.name, [source.name for source in sources])
        sources.append(Source(name, run, _shown(run, name, sources)))
    return sources


def _shown(run: StoredRun, name: str, earlier: Sequence[Source]) -> dict[str, str]:
    """By label, a network's name; of a name that another network of an earlier run has, with the run's."""
    taken = [shown for source in earlier for shown in source.shown.values()]
    shown: dict[str, str] = {}
    for label, card in run.record["networks"].items():
        same = next((each for source in earlier if (each := _same(card, run, source)) is not None), None)
        if same is not None and same not in shown.values():
            shown[label] = same
            continue
        short = pretty(label) if pretty(label) not in taken else f"{pretty(label)} ({name})"
        shown[label] = unique_label(short, [*taken, *shown.values()])
    return shown


def _same(card: Mapping, run: StoredRun, source: Source) -> str | None:
    """What an earlier run's very same network is called, unless both runs measured the same of it."""
    if not card.get("weights_hash") or any(run.has(name) and source.run.has(name) for name in OF_UNITS_OR_CURVES):
        return None
    for label, theirs in source.run.record["networks"].items():
        if all(card.get(each) == theirs.get(each) for each in ("weights_hash", "reference", "preprocessing")):
            return source.shown[label]
    return None


def without_folders(text: str) -> str:
    """Text without the folders of somebody's machine.

    >>> without_folders("parquet:/home/a/cifar10#val"), without_folders("timm/resnet50@/x/y.safetensors")
    ('parquet:cifar10#val', 'timm/resnet50@y.safetensors')
    """
    return re.sub(r"(^|[:@=,\s])(?:~|[A-Za-z]:)?[/\\](?:[^/\\,@#]*[/\\])*", r"\1", text)
