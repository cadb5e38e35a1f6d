"""What the study measures, each by one command of gelens, on the trainings that are finished or on their recordings.

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
from studies.networks import ALL, FIRST, PLAIN, SE, THETA
from studies.trainings import HERE as STUDIES
from studies.trainings import Study, Training

HERE = STUDIES / "cifar10"
STUDY = Study.read(HERE)
SCORES = ("gate", "random", "activation")


@dataclass(frozen=True)
class Measurement:
    """A command of gelens on groups of trainings.

    Args:
        name: of its folder.
        command: of gelens.
        networks: whose finished trainings it takes, each network's as a group.
        options: of the command, beside the networks, the data and the folder.
        first: only the first finished training of each network, by itself.
        others: whether the training images are those of --means-from.
        most: images that it takes at most, where each costs much.
        every: whether it takes all images also where fewer are asked for: each costs little.
    """

    name: str
    command: str
    networks: Sequence[str]
    options: Sequence[str] = field(default_factory=tuple)
    first: bool = False
    others: bool = False
    most: int | None = None
    every: bool = False

    def groups(self, weights: Path) -> dict[str, list[Path]]:
        """By network, the weights of its finished trainings that are taken."""
        most = 1 if self.first else None
        found = {network: STUDY.finished(network, weights)[:most] for network in self.networks}
        return {network: files for network, files in found.items() if files}

    def folder(self, data: str, weights: Path, runs: Path, more: Sequence[str]) -> Path:
        """Where it lies: by what goes into it."""
        facts = [[path.stem, file_hash(path)] for files in self.groups(weights).values() for path in files]
        told = json.dumps([self.command, data, list(self.options), list(more), list(self.groups(weights)), facts])
        return runs / f"{self.name}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"

    def run(self, data: str, weights: Path, runs: Path, more: Sequence[str]) -> Path:
        """Measure on the test images, unless that is done; the run's folder."""
        folder = self.folder(data, weights, runs, more)
        end = "" if self.first else ","  # a comma makes a group
        networks = [f"{name}@{','.join(map(str, files))}{end}" for name, files in self.groups(weights).items()]
        others = ["--means-from", f"{data}#train"] if self.others else []
        options = ["--data", f"{data}#val", *others, *self.options, *more]
        _gelens(self.command, *networks, *options, "--out", str(folder), "--resume")
        return folder


@dataclass(frozen=True)
class Derived:
    """A command of gelens on the recording of a measurement; no network is run.

    Args:
        name: of its folder.
        arguments: of gelens, but for the recording, the files and the folder. They may name networks of the recording.
        of: the measurement's name.
        needs: networks that the recording has to have.
        file: of which option, beside this module, and its name.
    """

    name: str
    arguments: Sequence[str]
    of: str
    needs: Sequence[str] = ()
    file: tuple[str, str] | None = None

    def run(self, recording: Path, runs: Path) -> Path:
        """Compute, unless that is done; the run's folder.

        Args:
            recording: the measurement's run.
        """
        options = [self.file[0], str(HERE / self.file[1])] if self.file else []
        facts = [file_hash(HERE / self.file[1])] if self.file else []
        told = json.dumps([recording.name, list(self.arguments), facts])
        folder = runs / f"{self.name}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
        _gelens(*self.arguments, str(recording), *options, "--out", str(folder), "--resume")
        return folder


def _both(*networks: str) -> list[str]:
    return [text for network in networks for text in ("--network", network)]


MEASUREMENTS = (
    Measurement("errors", "evaluate", ALL, every=True),
    Measurement("selectivity", "selectivity", FIRST),
    Measurement("pruning", "pruning", (PLAIN, SE, THETA), [text for score in SCORES for text in ("--score", score)]),
    Measurement("gates", "gates", FIRST[1:], others=True),
    Measurement("taps", "taps", FIRST, first=True),
    Measurement("lesions", "lesions", FIRST, ("--units", "40"), first=True, others=True, most=1000),
)

DERIVED = (
    Derived("levels", ("levels",), "taps", file=("--groups", "classes.csv")),
    Derived("rarefaction", ("rarefaction",), "taps"),
    Derived("match", ("match", *_both(PLAIN, SE)), "taps", (PLAIN, SE)),
    Derived("match_seeds", ("match", *_both(f"{PLAIN}#0", f"{PLAIN}#1")), "selectivity", (f"{PLAIN}#0", f"{PLAIN}#1")),
    Derived("gaps", ("selectivity", "--from"), "taps", (PLAIN,)),
)


def over_training(training: Training, data: str, checkpoints: Path, runs: Path, more: Sequence[str]) -> Path:
    """Selectivity at every checkpoint that was kept of a training; the run's folder."""
    names = sorted(path.name for path in checkpoints.iterdir())
    told = json.dumps([training.name, data, list(more), [[name, file_hash(checkpoints / name)] for name in names]])
    folder = runs / f"epochs-{training.network}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
    series = ["--checkpoints", str(checkpoints), "--out", str(folder), "--resume", "--no-keep"]
    _gelens("selectivity", training.network, "--data", data, *more, *series)
    return folder


def _gelens(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "cli", *arguments], check=True, cwd=Path(__file__).parents[2])
