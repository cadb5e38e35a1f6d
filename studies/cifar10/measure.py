"""What the study measures, each by one command of gelens, on the trainings that are finished.

Everything lies in a folder of its own, named after what went into it: what is measured is not measured again, what is
interrupted goes on, and a new training gives new folders.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gelens.files import file_hash

from studies.cifar10.train import FIRST, LAST, OTHERS, TRAININGS, Training, is_finished

PLAIN, SE, THETA_MINUS, THETA = FIRST
ALL = (*FIRST, *OTHERS, *LAST)
SCORES = ("gate", "random", "activation")


@dataclass(frozen=True)
class Measurement:
    """A command of gelens on groups of trainings.

    Args:
        name: of its folder.
        command: of gelens.
        networks: whose finished trainings it takes, each network's as a group.
        options: of the command, beside the networks, the data and the folder.
    """

    name: str
    command: str
    networks: Sequence[str]
    options: Sequence[str] = field(default_factory=tuple)

    def groups(self, weights: Path) -> dict[str, list[Path]]:
        """By network, the weights of its finished trainings."""
        found = {network: finished(network, weights) for network in self.networks}
        return {network: files for network, files in found.items() if files}

    def folder(self, weights: Path, runs: Path, more: Sequence[str]) -> Path:
        """Where it lies: by what goes into it."""
        facts = [[path.stem, file_hash(path)] for files in self.groups(weights).values() for path in files]
        told = json.dumps([self.command, list(self.options), list(more), list(self.groups(weights)), facts])
        return runs / f"{self.name}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"

    def run(self, data: str, weights: Path, runs: Path, more: Sequence[str]) -> Path:
        """Measure, unless that is done; the run's folder."""
        folder = self.folder(weights, runs, more)
        groups = [f"{network}@{','.join(map(str, files))}," for network, files in self.groups(weights).items()]
        _gelens(self.command, *groups, "--data", data, *self.options, *more, "--out", str(folder), "--resume")
        return folder


MEASUREMENTS = (
    Measurement("errors", "evaluate", ALL),
    Measurement("selectivity", "selectivity", FIRST),
    Measurement("pruning", "pruning", (PLAIN, SE, THETA), [text for score in SCORES for text in ("--score", score)]),
)


def finished(network: str, weights: Path) -> list[Path]:
    """The weights of a network's finished trainings, by seed."""
    trainings = sorted((each for each in TRAININGS if each.network == network), key=lambda each: each.seed)
    return [weights / f"{each.name}.safetensors" for each in trainings if is_finished(each, weights)]


def over_training(training: Training, data: str, checkpoints: Path, runs: Path, more: Sequence[str]) -> Path:
    """Selectivity at every checkpoint that was kept of a training; the run's folder."""
    names = sorted(path.name for path in checkpoints.iterdir())
    told = json.dumps([training.name, list(more), [[name, file_hash(checkpoints / name)] for name in names]])
    folder = runs / f"epochs-{training.network}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
    series = ["--checkpoints", str(checkpoints), "--out", str(folder), "--resume", "--no-keep"]
    _gelens("selectivity", training.network, "--data", data, *more, *series)
    return folder


def _gelens(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "cli", *arguments], check=True, cwd=Path(__file__).parents[2])
