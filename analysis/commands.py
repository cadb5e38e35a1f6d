"""What each command does with a run's folder: measure, write the tables, draw the figures."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import figures
from analysis.comparison import selectivity_gaps
from analysis.data import ImageData, load_data
from analysis.errors import UsageError
from analysis.measure import Measured, Request, label_networks, measure
from analysis.networks import catalogue
from analysis.references import Reference, parse
from analysis.results import Run, read_record, read_table
from analysis.sites import resolve_blocks
from analysis.sweep import SweepOptions, resolve_device
from analysis.training import WEIGHTS, Recipe, train

PAPER_POOLING = {
    (None if extent is None else str(extent), pool): errors
    for (name, extent, pool), errors in catalogue.PUBLISHED_ERRORS.items()
    if name in ("resnet50", "resnet50_ge_theta_minus")
}
"""Table 1 of the supplementary material: ResNet-50's errors on ImageNet by (extent, pooling)."""


@dataclass(frozen=True)
class Statistics:
    """How the uncertainty of the index is measured."""

    seed: int = 0
    permutations: int = 10
    replicates: int = 10
    rectify: bool = False


def supplementary_networks(family: str = "resnet50", shuffle: str = "shufflenet") -> list[str]:
    """The networks that the supplementary material's figures and tables need, as references without weights.

    >>> supplementary_networks("mini_resnet", "mini_shufflenet")[-3:]
    ['mini_resnet_se', 'mini_shufflenet', 'mini_shufflenet_ge_theta']
    """
    pooling = [f"extent={extent},pool={pool}" for extent, pool in PAPER_POOLING if extent]
    theta_minus = [f"{family}_ge_theta_minus:{settings}" for settings in pooling]
    return [family, *theta_minus, f"{family}_se", shuffle, f"{shuffle}_ge_theta"]


def evaluate(
    run: Run, networks: Sequence[str], data: str, options: SweepOptions, limit: int | None = None
) -> list[Path]:
    """Top-1 and top-5 error of networks: `evaluation.csv` and table 1."""
    images = _data(data, limit)
    labelled = label_networks(networks)
    measured = _measure(
        run, {label: Request(network) for label, network in labelled.items()}, images, options, Statistics()
    )
    return _table1(run, measured.evaluation, images)


def selectivity(
    run: Run,
    networks: Sequence[str],
    data: str,
    options: SweepOptions,
    stage: int | None = 4,
    blocks: Sequence[str] = (),
    statistics: Statistics = Statistics(),
    reference: str | None = None,
    limit: int | None = None,
) -> list[Path]:
    """Class selectivity of networks: its tables, figure 2 and the gap against depth."""
    images = _data(data, limit)
    labelled = label_networks(networks)
    if reference is not None and reference not in labelled:
        raise UsageError(f"no network `{reference}` to compare with; labels: {', '.join(labelled)}")
    requests = {
        label: Request(network, selectivity=resolve_blocks(network, stage, blocks))
        for label, network in labelled.items()
    }
    measured = _measure(run, requests, images, options, statistics)
    return _figure2(run, measured, images, statistics, reference or next(iter(labelled)))


def pruning(
    run: Run,
    networks: Sequence[str],
    data: str,
    options: SweepOptions,
    ratios: Sequence[float],
    orders: Sequence[str],
    stage: int | None = 4,
    blocks: Sequence[str] = (),
    limit: int | None = None,
) -> list[Path]:
    """Feature-importance curves of networks: `pruning.csv`, `correctness.npz` and figure 3."""
    images = _data(data, limit)
    requests = {
        label: Request(network, pruning=resolve_blocks(network, stage, blocks), ratios=ratios, orders=orders)
        for label, network in label_networks(networks).items()
    }
    measured = _measure(run, requests, images, options, Statistics())
    return _figure3(run, measured, images)


def curves(run: Run, trainings: Sequence[Path | str]) -> list[Path]:
    """Figure 1 from finished trainings' folders."""
    table = pd.concat([read_table(folder, "training.csv") for folder in trainings], ignore_index=True)
    names = {read_record(folder).get("data", {}).get("name", "") for folder in trainings}
    return _figure1(run, table, load_data(names.pop()) if len(names) == 1 and names != {""} else None)


def diagram(run: Run, networks: Sequence[str] = ()) -> list[Path]:
    """Figure 4: the paper's operators, or those of the given networks' first stage-four block."""
    from analysis import diagrams
    from analysis.networks.gather_excite import GatherExcite

    if not networks:
        figure, _ = diagrams.operators()
    else:
        modules, sizes = {}, set()
        for label, network in label_networks(networks).items():
            block = resolve_blocks(network, max(_stages(network)) if 4 not in _stages(network) else 4)[0]
            gate = getattr(network.get_submodule(block), "se", None)
            if not isinstance(gate, GatherExcite):
                raise UsageError(f"`{label}` has no Gather-Excite operator to draw")
            modules[f"{figures.pretty(label.partition(':')[0])}\n{diagrams.operator_name(gate)}"] = gate
            sizes.add(gate.size)
        if len(sizes) > 1:
            raise UsageError(f"these networks' maps differ in size ({sizes}); draw them one at a time")
        figure, _ = diagrams.operators(modules, sizes.pop())
    return run.write_figure("fig4_operators", figure)


def _stages(network) -> list[int]:
    from analysis.sites import block_names

    return list(block_names(network))


def supplementary(
    run: Run,
    networks: Sequence[str],
    data: str,
    options: SweepOptions,
    recipe: Recipe,
    statistics: Statistics = Statistics(),
    limit: int | None = None,
) -> list[Path]:
    """Every figure and table of the supplementary material, for given networks; those without weights are trained.

    Parts are recognised by the networks' names: the first without a gate is the reference of figure 2 and the stars
    of figure 3; it and the θ⁻ networks make table 1; SE networks and θ⁻ of global extent with average pooling are
    figure 2; SE networks are figure 3; the ShuffleNets are figure 1.
    """
    references = {parse(text).architecture: parse(text) for text in networks}
    trainings = {}
    for label, reference in references.items():
        if reference.weights is None:
            folder = run.path("training") / re.sub(r"[^\w.=-]+", "_", label)
            trainings[label] = train(
                str(reference),
                data,
                folder,
                recipe,
                options.device,
                options.precision,
                options.workers,
                resume=True,
                progress=options.progress,
            )
            references[label] = reference.with_weights(folder / WEIGHTS)
    images = _data(data, limit)
    labelled = label_networks({label: str(reference) for label, reference in references.items()})
    roles = _Roles(references)
    requests = {label: Request(network) for label, network in labelled.items()}
    for label in roles.selectivity:
        requests[label].selectivity = resolve_blocks(labelled[label])
    for label in roles.pruning:
        requests[label].pruning = resolve_blocks(labelled[label])
    measured = _measure(run, requests, images, options, statistics)
    drawn = []
    curves = [trainings[label] for label in roles.shuffle if label in trainings]
    if curves:
        table = pd.concat(curves, ignore_index=True)
        run.write_table("training.csv", pd.concat(trainings.values(), ignore_index=True))
        drawn += _figure1(run, table, images)
    drawn += _table1(run, measured.evaluation[measured.evaluation["network"].isin(roles.pooling)], images)
    if roles.selectivity:
        drawn += _figure2(run, measured, images, statistics, roles.plain)
    if roles.pruning:
        drawn += _figure3(run, measured, images)
    return drawn + diagram(run)


class _Roles:
    """Which labels belong to which figure, by their references."""

    def __init__(self, references: Mapping[str, Reference]):
        def gate(reference: Reference) -> tuple[str, str]:
            return catalogue.NAMES.get(reference.name, ("", "unknown"))

        residual = {label: each for label, each in references.items() if "shufflenet" not in each.name}
        self.shuffle = [label for label in references if label not in residual]
        plain = [label for label, each in residual.items() if gate(each)[1] == ""]
        self.plain = plain[0] if plain else None
        theta_minus = [label for label, each in residual.items() if gate(each)[1] == "ge_theta_minus"]
        squeeze = [label for label, each in residual.items() if gate(each)[1] == "se"]
        best = [
            label
            for label in theta_minus
            if {"extent": "global", "pool": "avg"}.items() <= catalogue.resolve(residual[label]).items()
        ]
        self.pooling = plain[:1] + theta_minus
        self.selectivity = plain[:1] + best + squeeze if plain else []
        self.pruning = plain[:1] + squeeze if squeeze else []


def _data(data: str, limit: int | None) -> ImageData:
    images = load_data(data)
    return images if limit is None else images.limited(limit)


def _measure(
    run: Run, requests: Mapping[str, Request], data: ImageData, options: SweepOptions, statistics: Statistics
) -> Measured:
    """Measure, and write every table that came of it."""
    for label, request in requests.items():
        run.add_network(label, request.network)
    description = {"name": str(data), "fingerprint": data.fingerprint, "images": len(data), "classes": data.classes}
    before = run.record.get("data", {}).get("fingerprint")
    if before not in (None, data.fingerprint):
        raise UsageError(f"`{run.folder}` was begun on other images: fingerprint {before}, now {data.fingerprint}")
    run.save(
        data=description,
        device=str(resolve_device(options.device)),
        precision=options.precision,
        seed=statistics.seed,
    )
    with run.timed("measure"):
        measured = measure(requests, data, replace(options, checkpoint=run.path("measuring.pt")), **asdict(statistics))
    run.record["data"]["read"] = measured.images
    run.write_table("evaluation.csv", measured.evaluation)
    if len(measured.selectivity):
        run.write_table("selectivity.csv", measured.selectivity)
        run.write_table("selectivity_blocks.csv", measured.selectivity_blocks)
        run.write_arrays(
            "selectivity_replicates.npz",
            {
                f"{network}/{block}/{kind}": values
                for (network, block), samples in measured.samples.items()
                for kind, values in samples.items()
            },
        )
    if len(measured.pruning):
        run.write_table("pruning.csv", measured.pruning)
        packed = {f"correct/{label}": np.packbits(bits, axis=1) for label, bits in measured.correctness.items()}
        order = np.argsort(data.indices)
        names = np.array(data.identifiers)[order]
        run.write_arrays("correctness.npz", packed | {"identifiers": names, "indices": data.indices[order]})
    return measured


def _note(data: ImageData | None, text: str = "") -> str:
    if data is None:
        return text
    described = f"{data.name}: {data.note}" if data.note else data.name
    return f"{text} {described}, {len(data)} images.".strip()


def _figure1(run: Run, table: pd.DataFrame, data: ImageData | None) -> list[Path]:
    figure, _ = figures.optimisation(table, f"{data.name}: {data.note}" if data and data.note else "")
    return run.write_figure("fig1_optimisation", figure)


def _table1(run: Run, evaluation: pd.DataFrame, data: ImageData) -> list[Path]:
    figure, _ = figures.pooling_table(evaluation, PAPER_POOLING, _note(data))
    return run.write_figure("table1_pooling", figure)


def _figure2(run: Run, measured: Measured, data: ImageData, statistics: Statistics, reference: str) -> list[Path]:
    figure, _ = figures.selectivity(measured.selectivity, reference, _note(data))
    drawn = run.write_figure("fig2_selectivity", figure)
    if measured.selectivity["network"].nunique() > 1:
        gaps, trends = selectivity_gaps(measured.selectivity, measured.samples, reference)
        run.write_table("selectivity_gap.csv", gaps)
        run.write_table("selectivity_trend.csv", trends)
        figure, _ = figures.selectivity_gap(gaps, statistics.replicates, _note(data))
        drawn += run.write_figure("fig2_gap", figure)
    return drawn


def _figure3(run: Run, measured: Measured, data: ImageData) -> list[Path]:
    figure, _ = figures.pruning(measured.pruning, _note(data, "Bands: Wilson 95 % intervals."))
    return run.write_figure("fig3_pruning", figure)
