"""`gelens try`: a network that somebody brings, measured at once, and what was worked out of it said."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import nn

from ..analyses.analysis import Analysis
from ..analyses.inputs import Inputs
from ..analyses.measuring import Measuring
from ..analyses.pruning import Pruning
from ..analyses.running import asked_together, write_together
from ..analyses.selectivity import Selectivity
from ..anatomy.sites import block_names, find_sites, resolve_blocks
from ..data.showing import assumed_words
from ..errors import UsageError
from ..networks import card_of
from ..networks.preprocessing import CENTER, Preprocessing, preprocessing_of
from ..recording import Recording
from ..results.run import Run, read_table
from ..subjects import image_shape
from ..tables.evaluation import accuracy_interval

IMAGES_A_CLASS = 10
"""From so many images of a class on, the pairing of outputs with classes that fits best says something."""


@dataclass(frozen=True)
class Try:
    """Accuracy, selectivity and pruning of one network, in one pass, and the commands that give the same.

    Args:
        inputs: of one network.
        stage, blocks: what is measured.
        rectify: take the positive part of signed activities.
        expect: the top-1 accuracy in percent that the network is said to have.
        seed: of all that is random.
    """

    inputs: Inputs
    measuring: Measuring
    stage: int | None = None
    blocks: Sequence[str] = ()
    rectify: bool = False
    expect: float | None = None
    seed: int = 0

    def arguments(self) -> dict:
        """What results depend on."""
        own = {"stage": self.stage, "blocks": list(self.blocks), "rectify": self.rectify, "expect": self.expect}
        return self.inputs.as_arguments() | self.measuring.arguments() | own

    def run(self, run: Run) -> list[Path]:
        """Measure, compute and write every table and figure.

        Raises:
            UsageError: a stage or parts of blocks that are not known; the message names the options that state them.
        """
        networks, images = self.inputs.load_networks(), self.inputs.load_data()
        if len(networks) > 1:
            raise UsageError(f"{len(networks)} trainings of one network; expected one: try takes a single network")
        ((label, network),) = networks.items()
        assumed = assumed_words(network, images, self.inputs.stated())
        networks, images = self.inputs.brought_together(networks, images)
        blocks = resolve_blocks(network, self.stage, self.blocks)
        shown = preprocessing_of(network)
        gated = [site.block for site in find_sites(network, blocks, image_shape(images, shown)) if site.gate]
        scores = ("gate",) if gated else ("activation",)
        parts: list[tuple[Analysis, Sequence[str]]] = [
            (Selectivity(stage=self.stage, blocks=self.blocks, rectify=self.rectify, seed=self.seed), [label]),
            (Pruning(stage=self.stage, blocks=self.blocks, scores=scores, seed=self.seed), [label]),
        ]
        run.save(
            worked_out=_worked_out(network, blocks, bool(self.blocks), shown, assumed, gated),
            commands=self._commands(network, blocks, shown, scores, run.folder),
        )
        requests = asked_together(parts, networks, images, self.measuring.options)
        recording = self.measuring.measure(run, requests, images, self.seed)
        if assumed:
            run.find([f"{label} does not say {assumed}, so its preprocessing is assumed: {shown}."])
        if self.expect is not None:
            self._compare(run, recording, label, self.expect, assumed)
        write_together(run, parts, recording, images)
        return self.measuring.finish(run)

    def _compare(self, run: Run, recording: Recording, label: str, stated: float, assumed: str) -> None:
        """Hold the accuracy against the stated one."""
        (row,) = read_table(run.folder, "evaluation.csv").itertuples()
        measured = 100 - row.top1_error
        low, high = accuracy_interval(row.top1_error, row.images)
        met = low <= stated <= high
        why = "" if met else f": {_why_missed(recording, label, stated, measured, assumed)}"
        said = "as expected" if met else "not as expected"
        run.find(
            [
                f"{label} gets {measured:.2f} % of {row.images} images right (95 % {low:.1f} … {high:.1f}), {said} "
                f"({stated:g} %){why}."
            ]
        )
        run.save(expected={"top1_accuracy": stated, "measured": measured, "low": low, "high": high, "met": met})

    def _commands(
        self, network: nn.Module, blocks: list[str], shown: Preprocessing, scores: Sequence[str], folder: Path
    ) -> list[str]:
        """The commands that do the same one by one, with what was worked out stated."""
        stage = _stage_of(network, blocks)
        options = {
            **{"image_size": shown.size, "crop_pct": shown.crop_pct, "interpolation": shown.interpolation},
            "crop_mode": None if shown.crop_mode == CENTER else shown.crop_mode,
            **{"mean": shown.mean, "std": shown.std},
            **{name: getattr(self.inputs, name) for name in ("data", "limit", "per_class", "skip_unreadable")},
            "classes_by_position": self.inputs.classes_by_position,
            "seed": self.seed or None,
            "precision": None if self.measuring.options.precision == "fp32" else self.measuring.options.precision,
        }
        parts = {name: getattr(self.inputs, name) for name in ("branch", "shortcut", "gate")}
        of_blocks = {"blocks": self.blocks or blocks} if self.blocks or stage is None else {"stage": stage}
        own: dict[str, dict] = {
            "evaluate": {},
            "selectivity": of_blocks | {"rectify": self.rectify},
            "pruning": of_blocks | {"score": scores[0], **parts},
        }
        (reference,) = self.inputs.networks
        runs = {name: f"{folder}-{name}" for name in own}
        commands = [
            shlex.join(["gelens", name, reference, *_words(more | options), "--out", runs[name]])
            for name, more in own.items()
        ]
        return [*commands, shlex.join(["gelens", "report", *runs.values()])]


def _words(options: Mapping[str, object]) -> list[str]:
    """Options as a person types them; those that say nothing are left out.

    >>> _words({"stage": 4, "mean": (0.5, 0.25, 0.5), "blocks": ["a", "b"], "rectify": True, "limit": None})
    ['--stage', '4', '--mean', '0.5,0.25,0.5', '--blocks', 'a', '--blocks', 'b', '--rectify']
    """
    words = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif isinstance(value, tuple) and isinstance(value[0], float):
            words += [flag, ",".join(map(str, value))]
        elif isinstance(value, list | tuple):
            words += [word for each in value for word in (flag, each)]
        elif value not in (None, False):
            words += [flag, str(value)]
    return words


def _stage_of(network: nn.Module, blocks: list[str]) -> int | None:
    return next((stage for stage, names in block_names(network).items() if names == blocks), None)


def _worked_out(
    network: nn.Module, blocks: list[str], named: bool, shown: Preprocessing, assumed: str, gated: list[str]
) -> list[str]:
    """What was found out of a network, and what was assumed, a line each."""
    card, stage = card_of(network), _stage_of(network, blocks)
    of_stage = f"stage {stage}, " if stage is not None and not named else ""
    ungated = [block for block in blocks if block not in gated]
    by = "ranked by their gates" if gated else "no gate, so ranked by their activity (--score activation)"
    lines = [
        f"blocks: {of_stage}{', '.join(blocks)}",
        f"images: {shown}" + (f"; assumed, since it does not say {assumed}" if assumed else ""),
        f"feature maps: {by}" + (f"; no gate in {', '.join(ungated)}" if gated and ungated else ""),
    ]
    if card.layout:
        lines.append(f"weights: names of {card.layout}")
    return lines + [f"assumed: {note}" for note in card.notes]


def _why_missed(recording: Recording, label: str, stated: float, measured: float, assumed: str) -> str:
    """What is probably wrong where accuracy is not the stated one."""
    if measured > stated:
        return "probably other images than the number's, such as those of the training, or other weights"
    paired = _best_pairing(recording, label)
    if paired is not None and paired > measured and accuracy_interval(100 - paired, len(recording.images))[1] >= stated:
        return (
            f"probably the order of labels, since {paired:.2f} % would be right with each output taken for the class "
            f"that it fits best (class_names in the factory tell the order)"
        )
    if assumed:
        return f"probably another preprocessing, since it does not say {assumed}; --image-size, --mean and --std do"
    return (
        "probably another preprocessing than in its training (--image-size, --crop-pct, --mean, --std), or other "
        "images than the number's"
    )


def _best_pairing(recording: Recording, label: str) -> float | None:
    """The accuracy in percent with outputs and classes paired as fits best; None where images are too few to tell."""
    labels, outputs = recording.labels, recording.array(label, "top_classes")[:, 0]
    classes, inverse = np.unique(labels, return_inverse=True)
    if len(labels) < IMAGES_A_CLASS * len(classes):
        return None
    together = np.zeros((len(classes), int(outputs.max()) + 1), dtype=np.int64)
    np.add.at(together, (inverse, outputs), 1)
    return 100 * together[linear_sum_assignment(together, maximize=True)].sum() / len(labels)
