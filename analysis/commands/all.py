"""What each command does with a run's folder: measure, write the tables, draw the figures."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import ImageOps

from analysis.anatomy.sites import resolve_blocks
from analysis.api import Measured, Request, add_priors, measure
from analysis.commands.inputs import Inputs
from analysis.data import ImageData, adapted, preprocessing_for
from analysis.data.datasets import image_differences
from analysis.data.showing import enlargement
from analysis.devices import resolve_device
from analysis.errors import RunError, UsageError
from analysis.figures import drawing as figures
from analysis.files import file_hash
from analysis.names import unique_label
from analysis.networks import catalogue
from analysis.networks.checkpoint_series import checkpoint_files, stem_of
from analysis.networks.preprocessing import Preprocessing
from analysis.networks.references import Reference, parse
from analysis.networks.references import labelled as labelled_references
from analysis.networks.weights import network_card, weights_hash
from analysis.probes.dropping import Dropping
from analysis.results.run import Run, read_record, read_table
from analysis.statistics.comparison import Samples, selectivity_gaps, sentences
from analysis.statistics.curves import Curves, areas, class_curves, differences, point_tests
from analysis.statistics.indices import INDICES
from analysis.subjects import label_networks
from analysis.sweep.passing import SweepOptions
from analysis.training import WEIGHTS, Recipe, train

log = logging.getLogger(__name__)

MEASURING = "measuring.pt"
"""The state of an unfinished pass, in a run's folder."""

PAPER_POOLING = {
    (None if extent is None else str(extent), pool): errors
    for (name, extent, pool), errors in catalogue.PUBLISHED_ERRORS.items()
    if name in ("resnet50", "resnet50_ge_theta_minus")
}
"""Table 1 of the supplementary material: ResNet-50's errors on ImageNet by (extent, pooling)."""


@dataclass(frozen=True)
class Statistics:
    """How selectivity and its uncertainty are measured, as `analysis.api.measure` takes it."""

    seed: int = 0
    permutations: int = 10
    replicates: int = 10
    rectify: bool = False
    indices: Sequence[str] = ()


def supplementary_networks(family: str = "resnet50", shuffle: str = "shufflenet") -> list[str]:
    """The networks that the supplementary material's figures and tables need, as references without weights.

    >>> supplementary_networks("mini_resnet", "mini_shufflenet")[-3:]
    ['mini_resnet_se', 'mini_shufflenet', 'mini_shufflenet_ge_theta']
    """
    pooling = [f"extent={extent},pool={pool}" for extent, pool in PAPER_POOLING if extent]
    theta_minus = [f"{family}_ge_theta_minus:{settings}" for settings in pooling]
    return [family, *theta_minus, f"{family}_se", shuffle, f"{shuffle}_ge_theta"]


def evaluate(run: Run, inputs: Inputs, options: SweepOptions) -> list[Path]:
    """Top-1 and top-5 error of networks: `evaluation.csv` and table 1."""
    labelled = inputs.load_networks()
    images = inputs.load_data(labelled)
    requests = {label: Request(network) for label, network in labelled.items()}
    measured = _measure(run, requests, images, options, Statistics())
    return _table1(run, measured.evaluation, images)


def selectivity(
    run: Run,
    inputs: Inputs,
    options: SweepOptions,
    stage: int | None = 4,
    blocks: Sequence[str] = (),
    statistics: Statistics = Statistics(),
    reference: str | None = None,
    save_means: bool = False,
) -> list[Path]:
    """Class selectivity of networks: its tables, figure 2 and its like, the gap against depth, and contact sheets.

    Args:
        reference: label of the network that the others are compared with; the first by default.
        save_means: also write the class-conditional means, `selectivity_means.npz`.
    """
    labelled = inputs.load_networks()
    images = inputs.load_data(labelled)
    if reference is not None and reference not in labelled:
        raise UsageError(f"no network `{reference}` to compare with; labels: {', '.join(labelled)}")
    requests = {
        label: Request(network, selectivity=resolve_blocks(network, stage, blocks))
        for label, network in labelled.items()
    }
    measured = _measure(run, requests, images, options, statistics)
    if save_means:
        _write_means(run, measured, images)
    drawn = _figure2(run, measured, images, statistics, reference or next(iter(labelled)))
    for name in dict.fromkeys(statistics.indices):
        rows = measured.selectivity_indices[measured.selectivity_indices["index"] == name]
        if name != "csi" and rows["value"].notna().any():
            figure, _ = figures.selectivity(rows, reference, _note(images, f"{INDICES[name].definition}."), name)
            drawn += run.write_figure(f"fig2_{name}", figure)
    return drawn + _contact_sheets(run, measured, images)


def selectivity_over_training(
    run: Run,
    inputs: Inputs,
    options: SweepOptions,
    folder: Path,
    stage: int | None = 4,
    blocks: Sequence[str] = (),
    statistics: Statistics = Statistics(),
    save_means: bool = False,
) -> list[Path]:
    """Class selectivity of a network at every checkpoint of a training: `selectivity_epochs.csv` and its figure.

    Every checkpoint has a run of its own in `checkpoints/`, which is not measured again once it is finished.

    Args:
        inputs: of one network without weights.
        folder: of checkpoints with epochs in their names.
    """
    (network,) = inputs.networks
    label = parse(network).label or parse(network).short
    tables, others = [], []
    for epoch, path in checkpoint_files(folder).items():
        mine = replace(inputs, networks={stem_of(path.name): str(parse(network).with_weights(path))})
        arguments = run.record["arguments"] | {"checkpoint": path.name, "weights": file_hash(path)}
        part = Run(run.path("checkpoints") / stem_of(path.name), "selectivity", arguments, resume=True)
        if not part.finished:
            log.info("epoch %g: %s", epoch, path.name)
            try:
                selectivity(part, mine, options, stage, blocks, statistics, save_means=save_means)
            except (UsageError, RunError):
                part.discard_if_empty()
                raise
            part.finish()
        error = read_table(part.folder, "evaluation.csv")["top1_error"].iloc[0]
        table = read_table(part.folder, "selectivity_blocks.csv").assign(network=label, top1_error=error)
        table.insert(1, "epoch", epoch)
        tables.append(table)
        if statistics.indices:
            means = read_table(part.folder, "selectivity_indices.csv").groupby(["block", "index"], sort=False)
            others.append(means[["value", "null"]].mean().reset_index().assign(network=label, epoch=epoch))
        run.record["networks"] |= part.record["networks"]
    run.save(data=part.record["data"])
    epochs = pd.concat(tables, ignore_index=True)
    run.write_table("selectivity_epochs.csv", epochs)
    if others:
        run.write_table("selectivity_indices_epochs.csv", pd.concat(others, ignore_index=True))
    figure, _ = figures.selectivity_over_training(epochs, statistics.replicates, _note(inputs.load_data()))
    return run.write_figure("fig_epochs", figure)


def series_is_whole(run: Run, folder: Path) -> bool:
    """Whether a finished run over a training's checkpoints has all that there are by now."""
    return set(read_table(run.folder, "selectivity_epochs.csv")["epoch"]) == set(checkpoint_files(folder))


def _write_means(run: Run, measured: Measured, images: ImageData) -> None:
    arrays = {"classes": np.array(images.classes)}
    for (network, block), (means, counts) in measured.means.items():
        arrays |= {f"{network}/{block}/means": means, f"{network}/{block}/images": counts}
    run.write_arrays("selectivity_means.npz", arrays)


def _contact_sheets(run: Run, measured: Measured, images: ImageData) -> list[Path]:
    """For every network, the most selective units of its deepest block with the images that drive them most."""
    chosen, drawn = [], []
    for network, rows in measured.selectivity.dropna(subset="csi").groupby("network", sort=False):
        deepest = rows["block"].iloc[-1]
        top = measured.top_images
        top = top[(top["network"] == network) & (top["block"] == deepest)]
        units = figures.most_selective(rows[rows["block"] == deepest])["unit"]
        chosen.append((network, deepest, top[top["unit"].isin(units)]))
    if not chosen:
        return []
    thumbnails = _thumbnails(images, pd.concat([top["identifier"] for *_, top in chosen]).unique())
    run.write_arrays("selectivity_thumbnails.npz", thumbnails)
    for network, block, top in chosen:
        rows = measured.selectivity
        rows = rows[(rows["network"] == network) & (rows["block"] == block)]
        figure, _ = figures.contact_sheet(rows, top, thumbnails, _note(images))
        drawn += run.write_figure(f"fig2_units_{_file_name(network)}", figure)
    return drawn


def _file_name(label: str) -> str:
    return re.sub(r"[^\w.=-]+", "_", label)


def _thumbnails(images: ImageData, identifiers: Sequence[str]) -> dict[str, np.ndarray]:
    """Squares of 64 pixels of the named images: `identifiers` (N,) and `images` (N, 64, 64, 3)."""
    positions = {name: position for position, name in enumerate(images.identifiers)}
    squares = [np.asarray(ImageOps.fit(images[positions[name]][0], (64, 64))) for name in identifiers]
    return {"identifiers": np.array(list(identifiers), dtype=str), "images": np.stack(squares)}


def pruning(
    run: Run,
    inputs: Inputs,
    options: SweepOptions,
    dropping: Dropping,
    stage: int | None = 4,
    blocks: Sequence[str] = (),
    means_from: str | None = None,
    selectivity_from: Path | None = None,
    per_class: bool = False,
) -> list[Path]:
    """Feature-importance curves of networks: their tables, statistics and figure 3.

    Args:
        means_from: data for means over other images, where `dropping` needs them.
        selectivity_from: folder of a selectivity run on other images, for the score "selectivity".
        per_class: also write each class's own curves.
    """
    labelled = inputs.load_networks()
    images = inputs.load_data(labelled)
    requests = {
        label: Request(network, pruning=resolve_blocks(network, stage, blocks), dropping=dropping)
        for label, network in labelled.items()
    }
    index = None if selectivity_from is None else _selectivity_of(selectivity_from, requests, images)
    add_priors(requests, images, options, means_from, index)
    measured = _measure(run, requests, images, options, Statistics(dropping.seed))
    if per_class:
        run.write_table("pruning_classes.csv", class_curves(Curves.read(run.folder)))
    return _figure3(run, measured, images, dropping.seed)


def _selectivity_of(folder: Path, requests: Mapping[str, Request], data: ImageData) -> pd.DataFrame:
    """The selectivity table of another run, its networks known by their weights and named as here."""
    record, table = read_record(folder), read_table(folder, "selectivity.csv")
    if record["data"]["name"] == str(data):
        raise UsageError(f"the run in `{folder}` measured {data}, as this one would; expected a run on other images")
    labels = {entry["weights_hash"]: label for label, entry in record["networks"].items()}
    tables = []
    for label, request in requests.items():
        if (weights := weights_hash(request.network)) not in labels:
            raise UsageError(f"the run in `{folder}` has no network with the weights of {label}: hash {weights}")
        tables.append(table[table["network"] == labels[weights]].assign(network=label))
    return pd.concat(tables, ignore_index=True)


def curves(run: Run, trainings: Sequence[Path | str]) -> list[Path]:
    """Figure 1 from finished trainings' folders."""
    tables, notes = {}, set()
    for folder in trainings:
        table = read_table(folder, "training.csv")
        label = unique_label(str(table["network"].iloc[0]), tables)
        tables[label] = table.assign(network=label)
        notes.add(read_record(folder).get("data", {}).get("note", ""))
    return _figure1(run, pd.concat(tables.values(), ignore_index=True), " ".join(sorted(notes)))


def compare(run: Run, runs: Sequence[Path | str], reference: str | None = None) -> list[Path]:
    """Networks of finished selectivity runs on the same images: figure 2, gaps, trends, and what they say in words."""
    tables: dict[str, list[pd.DataFrame]] = {"selectivity.csv": [], "selectivity_blocks.csv": []}
    samples: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    records, labels = [read_record(folder) for folder in runs], []
    for folder, record in zip(runs, records, strict=True):
        _check_comparable(folder, record, runs[0], records[0])
        own: dict[str, str] = {}
        for label in read_table(folder, "selectivity.csv")["network"].unique():
            own[label] = unique_label(label, [*labels, *own.values()])
        labels += own.values()
        for label, name in own.items():
            theirs = next(iter(records[0]["networks"].values()))["preprocessing"]
            if changed := _changed(theirs, record["networks"][label]["preprocessing"]):
                log.info("%s is shown the images otherwise than the first network: %s", name, changed)
        for name, parts in tables.items():
            table = read_table(folder, name)
            parts.append(table.assign(network=table["network"].map(own)))
        with np.load(Path(folder) / "selectivity_replicates.npz", allow_pickle=False) as stored:
            for key in stored.files:
                network, block, kind = key.rsplit("/", 2)
                samples.setdefault((own[network], block), {})[kind] = stored[key]
        run.record["networks"] |= {own[label]: record["networks"][label] for label in own}
    units, blocks = (pd.concat(parts, ignore_index=True) for parts in tables.values())
    if reference is not None and reference not in labels:
        raise UsageError(f"no network `{reference}` to compare with; labels: {', '.join(labels)}")
    if len(labels) < 2:
        raise UsageError(f"the runs have one network, {labels[0]}; expected at least two to compare")
    data = records[0]["data"]
    run.save(data=data)
    for name, table in zip(tables, (units, blocks), strict=True):
        run.write_table(name, table)
    note = f"{data.get('title', data['name'])}, {data['read']} images."
    return _figure2_of(run, units, blocks, samples, records[0]["arguments"]["replicates"], reference or labels[0], note)


def _check_comparable(folder: Path | str, record: dict, first: Path | str, other: dict) -> None:
    """The same images, and bootstrap weights drawn alike: else gaps would have no meaning, or wrong errors."""
    replicates = Path(folder) / "selectivity_replicates.npz"
    if not replicates.is_file():
        raise UsageError(
            f"`{folder}` is a run of `{record['command']}` without {replicates.name}; expected one of `selectivity`, "
            f"`supplementary` or `demo`"
        )
    if not record["finished"]:
        raise UsageError(f"the run in `{folder}` is not finished; its own command with --resume goes on")
    for name in ("seed", "replicates", "permutations", "rectify"):
        mine, theirs = (each["arguments"].get(name) for each in (record, other))
        if mine != theirs:
            raise UsageError(f"`{folder}` was measured with {name} {mine}, and `{first}` with {theirs}")
    if record["data"]["fingerprint"] != other["data"]["fingerprint"]:
        raise UsageError(
            f"`{folder}` measured {record['data']['name']}, {record['data']['images']} images, and `{first}` "
            f"{other['data']['name']}, {other['data']['images']} images: not the same ones "
            f"({image_differences(other['data']['parts'], record['data']['parts'])})"
        )


def cache(inputs: Inputs, out: Path, network: str | None = None, workers: int = 0, resume: bool = False) -> ImageData:
    """Decode, resize and crop images into a file that every command takes as data, `cache:FILE`.

    Args:
        inputs: of no networks; size, crop and interpolation say otherwise than the network.
        network: a reference whose preprocessing is taken; ImageNet's at 224 pixels without one.
    """
    from analysis.data.cached import write_cache

    images = inputs.load_data()
    if network:
        ((label, described),) = label_networks([network]).items()
        preprocessing = preprocessing_for(described, images, inputs.stated(), label)
    else:
        preprocessing = inputs.stated().completed(Preprocessing(224, 0.875))
        if said := enlargement(adapted(images), preprocessing):
            log.warning("the cache has %s", said)
    write_cache(images, preprocessing.geometry, out, workers, resume)
    return images


def diagram(run: Run, networks: Sequence[str] = ()) -> list[Path]:
    """Figure 4: the paper's operators, or those of the given networks' first stage-four block."""
    from analysis.figures import diagrams
    from analysis.networks.gather_excite import GatherExcite

    if not networks:
        figure, _ = diagrams.operators()
    else:
        modules, sizes = {}, set()
        for label, network in label_networks(networks).items():
            block = resolve_blocks(network)[0]
            gate = getattr(network.get_submodule(block), "se", None)
            if not isinstance(gate, GatherExcite):
                raise UsageError(f"`{label}` has no Gather-Excite operator to draw")
            modules[f"{figures.pretty(label.partition(':')[0])}\n{diagrams.operator_name(gate)}"] = gate
            sizes.add(gate.size)
        if len(sizes) > 1:
            raise UsageError(f"these networks' maps differ in size ({sizes}); draw them one at a time")
        figure, _ = diagrams.operators(modules, sizes.pop())
    return run.write_figure("fig4_operators", figure)


def supplementary(
    run: Run,
    inputs: Inputs,
    options: SweepOptions,
    recipe: Recipe,
    statistics: Statistics = Statistics(),
) -> list[Path]:
    """Every figure and table of the supplementary material, for given networks; those without weights are trained.

    Parts are recognised by the networks' names. The first residual network without a gate is the reference of figure
    2 and the stars of figure 3. It and the θ⁻ networks make table 1. Figure 2 has every other residual network but the
    θ⁻ of another extent or pooling than global average; figure 3 has those of figure 2 with gates of parameters (the
    paper's is SE). ShuffleNets make figure 1, from their training in this run or from the training.csv beside their
    weights.
    """
    references = labelled_references(inputs.networks)
    trainings: dict[str, pd.DataFrame] = {}
    for label, reference in references.items():
        if reference.weights is None:
            folder = run.path("training") / _file_name(label)
            trainings[label] = train(
                str(reference),
                inputs.data,
                folder,
                recipe,
                options.device,
                options.precision,
                options.workers,
                resume=True,
                progress=options.progress,
                label=label,
                skip_unreadable=inputs.skip_unreadable,
            )
            references[label] = reference.with_weights(folder / WEIGHTS)
        elif (beside := Path(reference.weights).parent / "training.csv").is_file():
            trainings[label] = pd.read_csv(beside).assign(network=label)
    trained = replace(inputs, networks={label: str(reference) for label, reference in references.items()})
    labelled = trained.load_networks()
    images = inputs.load_data(labelled)
    roles = _Roles(references)
    requests = {label: Request(network) for label, network in labelled.items()}
    for label in roles.selectivity:
        requests[label].selectivity = resolve_blocks(labelled[label])
    for label in roles.pruning:
        requests[label].pruning = resolve_blocks(labelled[label])
    measured = _measure(run, requests, images, options, statistics)
    drawn = []
    if trainings:
        run.write_table("training.csv", pd.concat(trainings.values(), ignore_index=True))
    if optimised := [trainings[label] for label in roles.shuffle if label in trainings]:
        drawn += _figure1(run, pd.concat(optimised, ignore_index=True), images.note)
    if roles.pooling:
        drawn += _table1(run, measured.evaluation[measured.evaluation["network"].isin(roles.pooling)], images)
    if len(roles.selectivity) > 1:
        drawn += _figure2(run, measured, images, statistics, roles.plain)
    if roles.pruning:
        drawn += _figure3(run, measured, images, statistics.seed)
    return drawn + diagram(run)


class _Roles:
    """Which labels belong to which figure, by their references."""

    def __init__(self, references: Mapping[str, Reference]):
        residual = {label: each for label, each in references.items() if "shufflenet" not in each.name}
        gates = {label: catalogue.NAMES.get(each.name, ("", "other"))[1] for label, each in residual.items()}
        plain = [label for label, gate in gates.items() if gate == ""][:1]
        theta_minus = [label for label, gate in gates.items() if gate == "ge_theta_minus"]
        best = [label for label in theta_minus if _is_global_average(residual[label])]
        parametric = [label for label, gate in gates.items() if gate in ("se", "ge_theta", "ge_theta_plus")]
        others = [label for label, gate in gates.items() if gate == "other" or (gate == "" and label not in plain)]
        self.plain = plain[0] if plain else None
        self.shuffle = [label for label in references if label not in residual]
        self.pooling = plain + theta_minus
        self.selectivity = plain + best + parametric + others if plain else []
        self.pruning = plain + parametric if parametric else []


def _is_global_average(reference: Reference) -> bool:
    return {"extent": "global", "pool": "avg"}.items() <= catalogue.resolve(reference).items()


def _measure(
    run: Run, requests: Mapping[str, Request], data: ImageData, options: SweepOptions, statistics: Statistics
) -> Measured:
    """Measure, and write every table that came of it."""
    for label, request in requests.items():
        before = run.record["networks"].get(label)
        run.add_network(label, network_card(request.network))
        now = run.record["networks"][label]
        log.info("%s: %s", label, request.network.preprocessing)
        if before and before["weights_hash"] != now["weights_hash"]:
            raise UsageError(
                f"`{run.folder}` was begun with other weights of {label}: hash {before['weights_hash']}, now "
                f"{now['weights_hash']}"
            )
        if before and (changed := _changed(before["preprocessing"], now["preprocessing"])):
            raise UsageError(f"`{run.folder}` was begun with other preprocessing of {label}: {changed}")
    kept, data = data, _as_begun(run, data)
    parts = data.parts
    description = {"name": str(data), "title": data.title, "note": data.note}
    description |= {"fingerprint": data.fingerprint, "parts": parts, "classes": data.classes}
    description |= {"images": len(kept), "left_out": len(data.skipped), "skipped": data.skipped}
    if data.skipped:
        log.warning("%d images that cannot be read are left out; run.json names them", len(data.skipped))
    run.save(
        data=description,
        device=str(resolve_device(options.device)),
        precision=options.precision,
        seed=statistics.seed,
    )
    with run.timed("measure"):
        measured = measure(requests, data, replace(options, checkpoint=run.path(MEASURING)), **asdict(statistics))
    run.record["data"]["read"] = measured.images
    read = np.isin(np.sort(data.indices), kept.indices)
    data = kept
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
        names = dict(zip(data.indices.tolist(), data.identifiers, strict=True))
        at = measured.top_images.columns.get_loc("index")
        measured.top_images.insert(at, "identifier", measured.top_images["index"].map(names))
        run.write_table("selectivity_images.csv", measured.top_images)
    if len(measured.selectivity_indices):
        run.write_table("selectivity_indices.csv", measured.selectivity_indices)
    if len(measured.pruning):
        run.write_table("pruning.csv", measured.pruning)
        packed = {
            f"correct/{label}": np.packbits(bits[:, read], axis=1) for label, bits in measured.correctness.items()
        }
        order = np.argsort(data.indices)
        names = np.array(list(data.identifiers))[order]
        described = {"labels": data.labels[order], "classes": np.array(data.classes)}
        images = {"identifiers": names, "indices": data.indices[order]}
        run.write_arrays("correctness.npz", packed | images | described)
    return measured


def _as_begun(run: Run, data: ImageData) -> ImageData:
    """The images as the run's unfinished pass, if there is one, has them.

    Files that it has not read yet may have been mended since, or be passed over; the pass knows which it has read.

    Raises:
        UsageError: it was begun on other images.
    """
    if "data" not in run.record:
        return data
    before, unfinished = run.record["data"]["parts"], run.path(MEASURING).exists()
    if unfinished and data.skipped and before["images"] == len(data.listing) > len(data):
        data = data.listing.passing_over(data.skipped)
    now = data.parts
    others = {name for name in {**before, **now} if before.get(name) != now.get(name)}
    if others and not (unfinished and others <= {"sizes of files", "images left out"}):
        raise UsageError(f"`{run.folder}` was begun on other images: {image_differences(before, now)}")
    return data


def _changed(before: Mapping, now: Mapping) -> str:
    """In words, which values are others."""
    return ", ".join(f"{name} was {before.get(name)}, now {now[name]}" for name in now if before.get(name) != now[name])


def _note(data: ImageData, text: str = "") -> str:
    described = f"{data.title}: {data.note}" if data.note else data.title
    return f"{text} {described}, {len(data)} images.".strip()


def _figure1(run: Run, table: pd.DataFrame, note: str) -> list[Path]:
    run.save()
    figure, _ = figures.optimisation(table, note)
    return run.write_figure("fig1_optimisation", figure)


def _table1(run: Run, evaluation: pd.DataFrame, data: ImageData) -> list[Path]:
    paper = [_paper_errors(label, row) for label, row in evaluation.set_index("network").iterrows()]
    figure, _ = figures.pooling_table(evaluation.assign(paper=paper), _note(data))
    return run.write_figure("table1_pooling", figure)


def _paper_errors(label: str, row: pd.Series) -> tuple[float, float] | None:
    """The paper's errors of a ResNet-50 with this network's gate, where its table 1 has one."""
    family, gate = catalogue.NAMES.get(parse(label).name, ("", "other"))
    if "resnet" not in family or gate not in ("", "ge_theta_minus"):
        return None
    extent, pool = (None if pd.isna(row[name]) else row[name] for name in ("extent", "pool"))
    return PAPER_POOLING.get((extent, pool))


def _figure2(run: Run, measured: Measured, data: ImageData, statistics: Statistics, reference: str) -> list[Path]:
    tables = (measured.selectivity, measured.selectivity_blocks, measured.samples)
    return _figure2_of(run, *tables, statistics.replicates, reference, _note(data))


def _figure2_of(
    run: Run, units: pd.DataFrame, blocks: pd.DataFrame, samples: Samples, replicates: int, reference: str, note: str
) -> list[Path]:
    drawn = run.write_figure("fig2_selectivity", figures.selectivity(units, reference, note)[0])
    if units["csi"].notna().any():
        drawn += run.write_figure("fig2_violin", figures.selectivity_by_depth(units, note)[0])
    if units["csi_null"].notna().any():
        drawn += run.write_figure("fig2_null", figures.selectivity_against_null(units, note)[0])
    if units["network"].nunique() > 1:
        gaps, trends = selectivity_gaps(units, blocks, samples, reference)
    else:
        gaps = trends = pd.DataFrame()
    if len(gaps):
        run.write_table("selectivity_gap.csv", gaps)
        run.write_table("selectivity_trend.csv", trends)
        run.save(findings=sentences(gaps, replicates))
        figure, _ = figures.selectivity_gap(gaps, replicates, note, trends)
        drawn += run.write_figure("fig2_gap", figure)
    return drawn


def _figure3(run: Run, measured: Measured, data: ImageData, seed: int = 0) -> list[Path]:
    """Figure 3 and its like, and the statistics of its curves."""
    table, curves = measured.pruning, Curves.read(run.folder)
    bands = "Bands: Wilson 95 % intervals."
    first, *others = figures.curve_scores(table)
    drawn = run.write_figure("fig3_pruning", figures.pruning(table, _note(data, bands), first)[0])
    for score in others:
        figure, _ = figures.pruning(table, _note(data, bands), score)
        drawn += run.write_figure(f"fig3_pruning_{score}", figure)
    if len(tests := point_tests(curves)):
        run.write_table("pruning_tests.csv", tests)
    if (table["order"] == "none").all():
        return drawn
    drawn += run.write_figure("fig3_networks", figures.pruning_by_network(table, _note(data), first)[0])
    if "random" in others:
        drawn += run.write_figure("fig3_random", figures.pruning_against_random(table, _note(data), first)[0])
    if len(summary := areas(curves, seed)):
        run.write_table("pruning_summary.csv", summary)
        if summary["area"].notna().any():
            figure, _ = figures.pruning_areas(summary, _note(data, "95 % intervals over images, not over trainings."))
            drawn += run.write_figure("fig3_area", figure)
    if len(pairs := differences(curves, seed)):
        run.write_table("pruning_differences.csv", pairs)
    return drawn
