"""`gelens compare`: networks of finished selectivity runs on the same images, from their folders alone."""

import glob
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .. import figures
from ..analyses.run_folder import write_results
from ..analyses.selectivity import reference_label
from ..differences import changes, image_differences
from ..errors import UsageError
from ..files import file_hash
from ..names import unique_label
from ..networks.groups import check_trainings
from ..networks.references import split_label
from ..results.run import Run, read_record, read_table
from ..results.sealing import check_file
from ..tables.comparison import comparison, comparison_sentences
from ..untrusted import Fields, Named, conform, read_arrays

log = logging.getLogger(__name__)

REPLICATES = "selectivity_replicates.npz"
COMPARABLE = Fields(
    {
        "arguments": Fields({"replicates": int, "seed": int}),
        "networks": Named(Fields({"preprocessing": dict})),
        "data": Fields({"name": str, "images": int}, {"fingerprint": str, "parts": Named((str, int)), "contents": str}),
    }
)
"""Of `run.json`, what a comparison asks for."""


@dataclass(frozen=True)
class Compare:
    """Networks of several runs, compared as those of one run are.

    Args:
        runs: folders; `GROUP=PATTERN`, with the folders of several trainings of one network, makes a group of them.
        reference: label of the network that the others are compared with; the first by default.
    """

    runs: Sequence[Path | str]
    reference: str | None = None

    def arguments(self) -> dict:
        folders = [folder for run in self.runs for _, folder in _folders(str(run))]
        tables = [file_hash(path) for folder in folders if (path := folder / "selectivity.csv").is_file()]
        return {"runs": [str(run) for run in self.runs], "tables": tables, "reference": self.reference}

    def run(self, run: Run) -> list[Path]:
        tables: dict[str, list[pd.DataFrame]] = {"selectivity.csv": [], "selectivity_blocks.csv": []}
        samples: dict[tuple[str, str], dict[str, np.ndarray]] = {}
        found = [(group, folder) for each in self.runs for group, folder in _folders(str(each))]
        records = [read_record(folder) for _, folder in found]
        labels: list[str] = []
        for (group, folder), record in zip(found, records, strict=True):
            _check_comparable(folder, record, found[0][1], records[0])
            own = _labels(folder, record, labels) if group is None else _grouped(folder, record, group)
            if twice := set(own.values()) & set(labels):
                raise UsageError(f"`{folder}` is a second run of {twice.pop()}: trainings of a group differ in seed")
            labels += own.values()
            _say_how_it_is_shown(own, record, records[0])
            for name, parts in tables.items():
                table = read_table(folder, name)
                parts.append(table.assign(network=table["network"].map(own)))
            for key, values in _samples(folder, own).items():
                samples.setdefault(key[:2], {})[key[2]] = values
            run.record["networks"] |= {own[label]: record["networks"][label] for label in own}
        units, blocks = (pd.concat(parts, ignore_index=True) for parts in tables.values())
        cards = run.record["networks"]
        reference = reference_label(self.reference, {label: cards[label].get("group") for label in labels})
        check_trainings({label: (cards[label].get("group"), cards[label].get("weights_hash")) for label in labels})
        if len(labels) < 2:
            raise UsageError(f"the runs have one network, {labels[0]}; expected at least two to compare")
        run.save(data=records[0]["data"])
        for name, table in zip(tables, (units, blocks), strict=True):
            run.write_table(name, table)
        replicates = records[0]["arguments"]["replicates"]
        run.save(reference=reference or labels[0], replicates=replicates)
        compared = comparison(units, blocks, samples, cards, reference or labels[0], replicates)
        write_results(run, compared)
        run.find(comparison_sentences(compared, cards, replicates))
        return figures.draw(run.folder)


def _folders(text: str) -> list[tuple[str | None, Path]]:
    """The folders that an argument names, each with the group that it makes of them; None where it makes none."""
    if Path(text).exists():
        return [(None, Path(text))]
    label, pattern = split_label(text)
    folders = [path for path in map(Path, sorted(glob.glob(pattern))) if (path / "run.json").is_file()]
    if label is None:
        return [(None, folder) for folder in folders or [Path(text)]]
    if not folders:
        raise UsageError(f"no run's folder matches `{pattern}` of the group `{label}`")
    return [(label, folder) for folder in folders]


def _grouped(folder: Path, record: dict, group: str) -> dict[str, str]:
    """By the label in a run of a group, the one it has among several runs; its card then tells the group."""
    if len(record["networks"]) != 1:
        raise UsageError(
            f"the run in `{folder}` has {len(record['networks'])} networks; expected one in each run of a group "
            f"(`{group}`)"
        )
    ((label, card),) = record["networks"].items()
    if not str(card.get("training_seed")).isdecimal():
        raise UsageError(
            f"the run in `{folder}` does not say with which seed {label} was trained, so it cannot be paired with "
            f"others; weights that `gelens train` wrote tell it"
        )
    card["group"] = group
    return {label: f"{group}#{card['training_seed']}"}


def _labels(folder: Path | str, record: dict, taken: Sequence[str]) -> dict[str, str]:
    """By the label in a run, the one it has among several runs."""
    own: dict[str, str] = {}
    for label in read_table(folder, "selectivity.csv")["network"].unique():
        if label not in record["networks"]:
            raise UsageError(f"`{folder}` has selectivity of `{label}`, which its run.json does not know")
        own[label] = unique_label(label, [*taken, *own.values()])
    return own


def _samples(folder: Path | str, own: dict[str, str]) -> dict[tuple[str, str, str], np.ndarray]:
    """By (network, block, kind), what errors and gaps are computed from."""
    check_file(folder, REPLICATES)
    try:
        stored = read_arrays(Path(folder) / REPLICATES)
        keys = {key: key.rsplit("/", 2) for key in stored}
        return {(own[network], block, kind): stored[key] for key, (network, block, kind) in keys.items()}
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"`{Path(folder) / REPLICATES}` is not of this run's networks, or damaged: {error}") from error


def _say_how_it_is_shown(own: dict[str, str], record: dict, first: dict) -> None:
    theirs = next(iter(first["networks"].values()))["preprocessing"]
    for label, name in own.items():
        if changed := changes(theirs, record["networks"][label]["preprocessing"]):
            log.info("%s gets the images with other preprocessing than the first network: %s", name, changed)


def _check_comparable(folder: Path | str, record: dict, first: Path | str, other: dict) -> None:
    """The same images, and bootstrap weights drawn alike: else gaps would have no meaning, or wrong errors."""
    if not (Path(folder) / REPLICATES).is_file():
        raise UsageError(
            f"`{folder}` is a run of `{record['command']}` without {REPLICATES}; expected one of `selectivity`, "
            f"`supplementary` or `demo`"
        )
    try:
        conform(record, COMPARABLE)
    except ValueError as error:
        raise UsageError(f"`{folder}` cannot be compared: its run.json: {error}") from error
    if not record["finished"]:
        raise UsageError(f"the run in `{folder}` is not finished; repeat its command with --resume")
    for name, usual in (
        *dict.fromkeys(("seed", "replicates", "permutations", "rectify", "groups")).items(),
        ("tap", "output"),
    ):
        mine, theirs = (each["arguments"].get(name, usual) for each in (record, other))
        if mine != theirs:
            raise UsageError(f"`{folder}` was measured with {name} {mine}, and `{first}` with {theirs}")
    contents = [each["data"].get("contents") for each in (record, other)]
    if None not in contents:
        same = contents[0] == contents[1]
    else:
        log.warning("not all runs recorded the contents of images: they are identified by names, labels and file sizes")
        for where, each in ((folder, record), (first, other)):
            if "fingerprint" not in each["data"]:
                raise UsageError(f"`{where}` is of images that have no names to know them by, so it cannot be compared")
        same = record["data"]["fingerprint"] == other["data"]["fingerprint"]
    if not same:
        parts = [each["data"].get("parts", {}) for each in (other, record)]
        how = image_differences(*parts) if parts[0] != parts[1] else "what they show differs"
        raise UsageError(
            f"`{folder}` measured {record['data']['name']}, {record['data']['images']} images, and `{first}` "
            f"{other['data']['name']}, {other['data']['images']} images: not the same ones ({how})"
        )
