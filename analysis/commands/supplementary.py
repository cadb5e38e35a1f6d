"""`gelens supplementary` and `gelens demo`: every figure and table of the paper's supplementary material."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..analyses.analysis import Analysis
from ..analyses.inputs import Inputs
from ..analyses.measuring import Measuring
from ..analyses.pruning import Pruning
from ..analyses.running import asked_together, write_together
from ..analyses.selectivity import Selectivity
from ..errors import UsageError
from ..figures.drawing import DEFAULT_FORMATS
from ..networks import catalogue, shipped
from ..networks.groups import with_trainings
from ..networks.references import Reference, parse
from ..networks.references import labelled as labelled_references
from ..networks.shipped import weights_path
from ..results.run import Run, read_table
from ..tables.selectivity import DEFAULT_STATISTICS, Statistics
from ..training import WEIGHTS, Recipe, train
from ..training.several import at_once, train_together
from .diagram import write_operators


def supplementary_networks(family: str = "resnet50", shuffle: str = "shufflenet") -> list[str]:
    """The networks that the supplementary material's figures and tables need, as references without weights.

    >>> supplementary_networks("mini_resnet", "mini_shufflenet")[-3:]
    ['mini_resnet_se', 'mini_shufflenet', 'mini_shufflenet_ge_theta']
    """
    pooling = [
        f"extent={extent},pool={pool}"
        for name, extent, pool in catalogue.PUBLISHED_ERRORS
        if name == "resnet50_ge_theta_minus"
    ]
    theta_minus = [f"{family}_ge_theta_minus:{settings}" for settings in pooling]
    return [family, *theta_minus, f"{family}_se", shuffle, f"{shuffle}_ge_theta"]


def shipped_networks() -> list[str]:
    """The networks of the supplementary material of which weights come with gelens."""
    wanted = supplementary_networks("thin_resnet50", "thin_shufflenet")
    return [f"{name}@cifar10" for name in wanted if shipped.has(parse(f"{name}@cifar10"))]


@dataclass(frozen=True)
class Supplementary:
    """Every figure and table of the supplementary material, for given networks; those without weights are trained.

    Parts are recognised by the networks' names. The first residual network without a gate, with all trainings of its
    group, is the reference of figure 2 and the stars of figure 3. It and the θ⁻ networks make table 1. Figure 2 has
    every other residual network but the θ⁻ of another extent or pooling than global average; figure 3 has those of
    figure 2 with gates of parameters (the paper's is SE). ShuffleNets make figure 1, from their training in this run
    or from the curves beside their weights.
    """

    inputs: Inputs
    measuring: Measuring
    recipe: Recipe
    statistics: Statistics = DEFAULT_STATISTICS

    def arguments(self) -> dict:
        settings = vars(self.statistics) | {"rectify": False}
        references = with_trainings(labelled_references(self.inputs.networks)).values()
        if not all(weights_path(each) for each in references):
            settings["recipe"] = vars(self.recipe)
        return self.inputs.as_arguments() | self.measuring.arguments() | settings

    def run(self, run: Run) -> list[Path]:
        references = with_trainings(labelled_references(self.inputs.networks))
        trainings = self._train(run, references)
        trained = replace(self.inputs, networks=references)
        labelled, images = trained.load()
        roles = _Roles(references)
        drawn = self.statistics
        index = Selectivity(
            seed=drawn.seed, permutations=drawn.permutations, replicates=drawn.replicates, reference=roles.plain
        )
        wanted: list[tuple[Analysis, Sequence[str]]] = [
            (index, roles.selectivity),
            (Pruning(seed=drawn.seed), roles.pruning),
        ]
        parts = [(part, labels) for part, labels in wanted if labels]
        requests = asked_together(parts, labelled, images, self.measuring.options)
        recording = self.measuring.measure(run, requests, images, drawn.seed)
        run.save(roles=roles.as_dict())
        if trainings:
            run.write_table("training.csv", pd.concat(trainings.values(), ignore_index=True))
        write_together(run, parts, recording, images)
        write_operators(run)
        run.find([*_left_out(roles, trainings), *_missing_rows(roles, self.inputs.data)])
        return self.measuring.finish(run, formats=(*DEFAULT_FORMATS, "svg"))  # the report has those as they are

    def _train(self, run: Run, references: dict[str, Reference]) -> dict[str, pd.DataFrame]:
        """Train what has no weights, which its reference then has; the curves of all trainings that are known."""
        weights = {label: weights_path(reference) for label, reference in references.items()}
        settings = {
            label: self._training(run, label, references[label]) for label, path in weights.items() if path is None
        }
        left = {label: each for label, each in settings.items() if not (each["out"] / WEIGHTS).exists()}
        number = at_once(len(left), self.measuring.options.device)
        if number > 1:
            train_together(left, number, self.measuring.options.progress)
        trainings: dict[str, pd.DataFrame] = {}
        for label, path in weights.items():
            if path is None:
                trainings[label] = train(**settings[label], progress=self.measuring.options.progress)
                references[label] = references[label].with_weights(settings[label]["out"] / WEIGHTS)
            elif (beside := _curves_beside(path)) is not None:
                trainings[label] = read_table(beside.parent, beside.name).assign(network=label)
        return trainings

    def _training(self, run: Run, label: str, reference: Reference) -> dict[str, Any]:
        """What `train` is given."""
        options = self.measuring.options
        if options.rehearse:
            raise UsageError(f"`{reference}` would be trained first: --dry-run tells of networks with @WEIGHTS alone")
        return {
            "reference": str(reference),
            "data": self.inputs.data,
            "out": run.path("training") / re.sub(r"[^\w.=-]+", "_", label),
            "recipe": self.recipe,
            "device": options.device,
            "precision": options.precision,
            "workers": options.workers,
            "resume": True,
            "label": label,
            "skip_unreadable": self.inputs.skip_unreadable,
        }


def _curves_beside(weights: Path) -> Path | None:
    """The curves of the training that left these weights: in a file of the same name, or in its own folder."""
    named = [weights.with_suffix(".csv")]
    if weights.name == WEIGHTS:  # as `gelens train` leaves them: another file of that folder is of another training
        named.append(weights.parent / "training.csv")
    return next((path for path in named if path.is_file()), None)


class _Roles:
    """Which labels belong to which figure, by their references."""

    def __init__(self, references: Mapping[str, Reference]):
        self.references = references
        residual = {label: each for label, each in references.items() if "shufflenet" not in each.name}
        gates = {label: catalogue.NAMES.get(each.name, ("", "other"))[1] for label, each in residual.items()}
        plain = [label for label, gate in gates.items() if gate == ""]
        plain = [label for label in plain if label == plain[0] or _same_group(residual[label], residual[plain[0]])]
        theta_minus = [label for label, gate in gates.items() if gate == "ge_theta_minus"]
        best = [label for label in theta_minus if _is_global_average(residual[label])]
        parametric = [label for label, gate in gates.items() if gate in ("se", "ge_theta", "ge_theta_plus")]
        others = [label for label, gate in gates.items() if gate == "other" or (gate == "" and label not in plain)]
        compared = plain + best + parametric + others
        self.plain = plain[0] if plain else None
        self.optimisation = [label for label in references if label not in residual]
        self.pooling = plain + theta_minus
        self.selectivity = compared if plain and len(compared) > 1 else []
        self.pruning = plain + parametric if parametric else []

    def as_dict(self) -> dict[str, list[str]]:
        """As run.json has it: by figure, its networks."""
        names = ("optimisation", "pooling", "selectivity", "pruning")
        return {name: getattr(self, name) for name in names}


def _left_out(roles: _Roles, trainings: Mapping) -> list[str]:
    """Which of the paper's figures and tables these networks don't give, and what each would take."""
    gates = {catalogue.NAMES.get(roles.references[label].name, ("", "other"))[1] for label in roles.pooling}
    wanted = {
        "figure 1": (
            any(label in trainings for label in roles.optimisation),
            "a ShuffleNet with its training's curves",
        ),
        "table 1": ("ge_theta_minus" in gates, "a residual network with GE-θ⁻"),
        "figure 2": (bool(roles.selectivity), "a residual network without gates and another residual network"),
        "figure 3": (bool(roles.pruning), "a residual network whose gates have parameters"),
    }
    return [f"Left out: {part}, which takes {what}." for part, (there, what) in wanted.items() if not there]


def _missing_rows(roles: _Roles, data: str) -> list[str]:
    """Which rows of table 1 these networks don't give, and the command that trains the network of each.

    Args:
        data: that the networks know.
    """
    given = [roles.references[label] for label in roles.pooling]
    gated = [each for each in given if catalogue.NAMES[each.name][1] == "ge_theta_minus"]
    if not gated:
        return []
    settings = [catalogue.resolve(each) for each in gated]
    there = {(each["extent"], each["pool"]) for each in settings}
    own = next((each for each in map(shipped.find, gated) if each), None)
    recipe = f" --recipe {own.card['recipe']}" if own else ""
    images = shlex.quote(data.partition("#")[0])
    missing = []
    for name, extent, pool in catalogue.PUBLISHED_ERRORS:
        if name == "resnet50_ge_theta_minus" and (extent, pool) not in there:
            network = f"{gated[0].name}:extent={extent},pool={pool}"
            folder = f"runs/{gated[0].name}-{extent}-{pool}"
            missing.append(
                f"Left out of table 1: the row of extent {extent} and {pool} pooling, of which no network is given. "
                f"`gelens train {network} --data {images}{recipe} --out {folder}` trains one, to be named with the "
                f"others as {network}@{folder}/{WEIGHTS}."
            )
    return missing


def _same_group(one: Reference, other: Reference) -> bool:
    return one.group is not None and one.group == other.group


def _is_global_average(reference: Reference) -> bool:
    return {"extent": "global", "pool": "avg"}.items() <= catalogue.resolve(reference).items()
