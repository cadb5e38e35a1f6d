"""Trains a study's networks, one after another: the next unfinished one, until all are done.

    nice python -m studies.train tinyimagenet100 --data parquet:DIR

Several may run at once, each on cores or a GPU of its own: they share the list, which is STUDY/study.toml.

Every finished training leaves in `--out`, by default the collection of weights that come with gelens, in NETWORK/:
seed-S.safetensors (float16), seed-S.json (its card: recipe, precision, accuracy of these very weights, hash) and
seed-S.csv (its curves). Where weights are kept on the way, their selectivity is measured at once and its table is left
in STUDY/early/NETWORK/seed-S.csv. A training whose card lies there is not run again. Kill it whenever you like: it goes
on from the last finished epoch.
"""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import click
import torch

import gelens
from gelens.devices import keep_freed_memory
from gelens.errors import RunError, UsageError
from gelens.files import atomic_path, only_writer
from gelens.networks import load_network, save_weights
from gelens.networks.references import parse
from gelens.networks.weights import weights_hash
from gelens.results.run import read_record
from gelens.sweep.passing import SweepOptions
from gelens.training import WEIGHTS, train
from studies.trainings import HERE, Study, Training, check_finished, is_finished, study_named


def run_training(study: Study, training: Training, data: str, runs: Path, out: Path, device: str, progress: bool):
    """Train, or go on training, and leave the finished weights, curves and card in `out`."""
    folder, reference = runs / training.name, study.reference(training)
    recipe = study.recipe_for(training)
    keep = [epoch for epoch in training.keep if epoch <= recipe.epochs]
    compiled = study.compiled and training.gains_by_compiling
    how = {"device": device, "precision": study.precision, "limit": study.limit, "compiled": compiled}
    table = train(reference, data, folder, recipe, resume=True, progress=progress, keep_epochs=keep, **how)
    target = out / f"{training.name}.safetensors"
    written = _write_half(reference, folder / WEIGHTS, target, data=_without_path(data), seed=str(training.seed))
    with atomic_path(target.with_suffix(".csv")) as temporary:
        table.to_csv(temporary, index=False)
    record = read_record(folder)
    quiet = SweepOptions(device=device, progress=progress)
    error = gelens.evaluate(written, _validation(data, training.seed, study.limit), quiet)["top1_error"].iloc[0]
    card = {
        "network": reference,
        "seed": training.seed,
        "top1_accuracy": round(100 - error, 2),
        "recipe": study.recipe,
        "settings": asdict(recipe),
        "precision": record["precision"],
        "compiled": compiled,
        "data": record["data"] | {"name": _without_path(data), "note": study.note},
        "weights": weights_hash(written),
        "versions": record["versions"],
        "licence": study.licence,
    }
    with atomic_path(target.with_suffix(".json")) as temporary:  # the last to be written: it says that all is there
        temporary.write_text(json.dumps(card, indent=2) + "\n")


def measure_early(study: Study, data: str, runs: Path, out: Path, early: Path) -> None:
    """Selectivity at each of the weights that finished trainings kept on the way: its tables last, the weights do not.

    What is measured already, by another runner, or elsewhere, is left out.
    """
    for training in study.trainings:
        table, kept = early / f"{training.name}.csv", runs / training.name / "epochs"
        if training.keep and is_finished(training, out) and kept.is_dir() and not table.is_file():
            with suppress(UsageError), only_writer(runs / "locks" / f"{training.name}-early"):
                _measure_early(study, training, data, runs, table)


def _measure_early(study: Study, training: Training, data: str, runs: Path, table: Path) -> None:
    folder, measured = runs / training.name, runs / f"{training.name}-early"
    weights = ["--checkpoints", str((folder / "epochs").resolve()), "--no-keep"]
    command = ["selectivity", study.reference(training), "--data", f"{data}#val", *weights]
    command += ["--out", str(measured.resolve()), "--resume", "--quiet"]
    subprocess.run([sys.executable, "-m", "cli", *command], check=True, cwd=HERE.parent)
    table.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(table) as temporary:
        temporary.write_bytes((measured / "selectivity_epochs.csv").read_bytes())


def _without_path(data: str) -> str:
    """A data reference without the folders of this machine.

    >>> _without_path("parquet:/somebody/data/cifar10"), _without_path("digits")
    ('parquet:cifar10', 'digits')
    """
    form, colon, location = data.partition(":")
    return form + colon + Path(location).name


def _validation(data: str, seed: int, limit: int | None):
    images = gelens.load_data(data, "val")
    return images if limit is None else images.limited(limit, None, seed)


def _write_half(network: str, weights: Path, target: Path, **metadata: str) -> torch.nn.Module:
    """The network with its weights in half precision, which are written, and which it is given back with."""
    trained = load_network(parse(network).with_weights(weights))
    halved = trained.half()
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as temporary:
        save_weights(halved, temporary, **metadata)
    return halved.float()


def unfinished(study: Study, out: Path, locks: Path) -> Iterator[Training]:
    """The trainings whose cards are not there yet, in their order, each locked while it is under way.

    They are looked for anew each time: several runners share the list, and what another has locked is left to it.
    """
    while True:
        for training in study.trainings:
            if not is_finished(training, out):
                with suppress(UsageError), only_writer(locks / training.name):
                    if not is_finished(training, out):  # by another runner, meanwhile
                        yield training
                    break
        else:
            return


@click.command()
@click.argument("study")
@click.option("--data", required=True, metavar="DATA", help="The study's, with both splits, such as parquet:DIR.")
@click.option("--runs", type=click.Path(path_type=Path), help="For what is under way.  [default: runs/STUDY]")
@click.option("--out", type=click.Path(path_type=Path), help="For what is finished.  [default: what comes with gelens]")
@click.option("--early", type=click.Path(path_type=Path), help="For tables of early epochs.  [default: STUDY/early]")
@click.option("--most", type=int, help="Trainings to run at most.  [default: all]")
@click.option("--device", default="auto", show_default=True)
@click.option("--progress/--no-progress", default=True)
def main(study, data, runs, out, early, most, device, progress):
    """Train the networks of STUDY, a folder of studies/, the next unfinished one first."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    keep_freed_memory()
    try:
        study = study_named(study)
        runs, out, early = runs or Path("runs") / study.name, out or study.weights, early or HERE / study.name / "early"
        check_finished(study, out)
        measure_early(study, data, runs, out, early)
        for count, training in enumerate(unfinished(study, out, runs / "locks"), 1):
            click.echo(f"{training.name}")
            run_training(study, training, data, runs, out, device, progress)
            measure_early(study, data, runs, out, early)
            if count == most:
                break
    except (UsageError, RunError) as error:
        raise click.ClickException(str(error)) from error
    except subprocess.CalledProcessError as error:
        raise click.ClickException(f"`{' '.join(error.cmd[2:])}` failed; the training itself is finished") from error


if __name__ == "__main__":
    main()
