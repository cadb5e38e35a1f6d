"""Trains the study's networks on CIFAR-10, one after another: the next unfinished one, until all are done.

    nice python -m studies.cifar10.train --data parquet:DIR --runs runs/cifar10

Several may run at once, each on cores or a GPU of its own: they share the list.

The images are CIFAR-10 after JPEG of about quality 75, so accuracies are of these images: a stranger's ResNet-56 that
has 93.4 % on the original has 83.2 % on them.

Every finished training leaves in studies/cifar10/weights/NETWORK/: seed-S.safetensors (float16), seed-S.json (recipe,
precision, accuracy of these very weights, hash) and seed-S.csv (its curves); those that keep weights on the way have
them in seed-S-epochs/. A training whose facts lie there is not run again. Kill it whenever you like: it goes on from
the last finished epoch.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
import torch

import gelens
from gelens.errors import RunError, UsageError
from gelens.files import atomic_path, file_hash, only_writer
from gelens.networks import load_network, save_weights
from gelens.networks.references import parse
from gelens.results.run import read_record
from gelens.sweep.passing import SweepOptions
from gelens.training import RECIPES, WEIGHTS, recipe_of, train

HERE = Path(__file__).parent

EARLY = (0.125, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16)
"""After how many epochs the weights of some trainings are kept, for selectivity over training."""

THETA_MINUS = "thin_resnet50_ge_theta_minus"
FIRST = ("thin_resnet50", "thin_resnet50_se", THETA_MINUS, "thin_resnet50_ge_theta")
"""The networks of the selectivity and pruning figures."""

OTHERS = (
    f"{THETA_MINUS}:extent=4,pool=max",
    f"{THETA_MINUS}:extent=4,pool=avg",
    f"{THETA_MINUS}:extent=global,pool=max",
)
"""The rest of the pooling table."""

PAIR = ("thin_shufflenet", "thin_shufflenet_ge_theta")
"""The pair of the optimisation curves."""

LAST = ("thin_resnet50_ge_theta_plus", f"{THETA_MINUS}:extent=global,pool=avgmax")


@dataclass(frozen=True)
class Training:
    """A network to train with a seed, and the epochs after which its weights are kept."""

    network: str
    seed: int
    keep: tuple[float, ...] = field(default=())

    @property
    def name(self) -> str:
        """A folder's and a file's name.

        >>> Training("thin_resnet50_ge_theta_minus:extent=4,pool=max", 1).name
        'thin_resnet50_ge_theta_minus-extent=4-pool=max/seed-1'
        """
        return f"{self.network.replace(':', '-').replace(',', '-')}/seed-{self.seed}"

    @property
    def gains_by_compiling(self) -> bool:
        """Networks with global parametric gathers do not: on a CPU their compiled step takes 1.5 times as long.

        >>> Training("thin_resnet50_se", 0).gains_by_compiling, Training("thin_resnet50_ge_theta", 0).gains_by_compiling
        (True, False)
        """
        return not self.network.endswith(("ge_theta", "ge_theta_plus"))


TRAININGS = (
    *(Training(network, 0, EARLY if network in FIRST[:3] else ()) for network in FIRST),
    *(Training(network, 1) for network in FIRST),
    *(Training(network, 0) for network in PAIR),
    *(Training(network, 2) for network in FIRST),
    *(Training(network, 0) for network in OTHERS),
    *(Training(network, seed) for seed in (1, 2) for network in (*OTHERS, *PAIR)),
    *(Training(network, seed) for seed in (3, 4) for network in FIRST),
    *(Training(network, seed) for seed in (0, 1, 2) for network in LAST),
)
"""All trainings, in the order in which they are run."""


def run_training(training: Training, data: str, runs: Path, out: Path, recipe: str, progress: bool, **options) -> None:
    """Train, or go on training, and leave the finished weights, curves and facts in `out`.

    Args:
        options: of `gelens.training.train`.
    """
    folder = runs / training.name
    chosen = recipe_of(recipe, seed=training.seed, epochs=options.pop("epochs", None))
    keep = [epoch for epoch in training.keep if epoch <= chosen.epochs]
    table = train(training.network, data, folder, chosen, resume=True, progress=progress, keep_epochs=keep, **options)
    target = out / f"{training.name}.safetensors"
    written = _write_half(training.network, folder / WEIGHTS, target, data=_without_path(data), seed=str(training.seed))
    for path in sorted((folder / "epochs").glob("*.safetensors")):
        _write_half(training.network, path, out / f"{training.name}-epochs" / path.name, seed=str(training.seed))
    with atomic_path(target.with_suffix(".csv")) as temporary:
        table.to_csv(temporary, index=False)
    record = read_record(folder)
    limits = {name: value for name, value in options.items() if name in ("limit", "per_class")}
    quiet = SweepOptions(device=options["device"], progress=progress)
    error = gelens.evaluate(written, _validation(data, training.seed, **limits), quiet)["top1_error"].iloc[0]
    facts = {
        "network": training.network,
        "seed": training.seed,
        "top1_accuracy": round(100 - error, 2),
        "recipe": recipe,
        "settings": asdict(chosen),
        "precision": record["precision"],
        "compiled": options.get("compiled", False),
        "data": record["data"] | {"name": _without_path(data)},
        "weights": file_hash(target),
        "versions": record["versions"],
    }
    with atomic_path(target.with_suffix(".json")) as temporary:  # the last to be written: it says that all is there
        temporary.write_text(json.dumps(facts, indent=2) + "\n")


def _without_path(data: str) -> str:
    """A data reference without the folders of this machine.

    >>> _without_path("parquet:/somebody/data/cifar10"), _without_path("digits")
    ('parquet:cifar10', 'digits')
    """
    form, colon, location = data.partition(":")
    return form + colon + Path(location).name


def _validation(data: str, seed: int, limit: int | None = None, per_class: int | None = None):
    images = gelens.load_data(data, "val")
    return images if limit is None and per_class is None else images.limited(limit, per_class, seed)


def _write_half(network: str, weights: Path, target: Path, **metadata: str) -> torch.nn.Module:
    """The network with its weights in half precision, which are written, and which it is given back with."""
    trained = load_network(parse(network).with_weights(weights))
    halved = trained.half()
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as temporary:
        save_weights(halved, temporary, **metadata)
    return halved.float()


def unfinished(out: Path, locks: Path) -> Iterator[Training]:
    """The trainings whose facts are not there yet, in their order, each locked while it is under way.

    They are looked for anew each time: several runners share the list, and what another has locked is left to it.
    """
    while True:
        for training in TRAININGS:
            if not is_finished(training, out):
                with suppress(UsageError), only_writer(locks / training.name):
                    if not is_finished(training, out):  # by another runner, meanwhile
                        yield training
                    break
        else:
            return


def is_finished(training: Training, out: Path) -> bool:
    return (out / f"{training.name}.json").is_file()


def check_finished(out: Path, recipe: str, epochs: int | None) -> None:
    """Refuse to add trainings to those of another recipe, or to go on beside weights that have been changed.

    Raises:
        UsageError: naming the first such file.
    """
    for training in TRAININGS:
        if not is_finished(training, out):
            continue
        path = out / f"{training.name}.json"
        facts = json.loads(path.read_text())
        wanted = json.loads(json.dumps(asdict(recipe_of(recipe, seed=training.seed, epochs=epochs))))
        differing = {name: value for name, value in facts["settings"].items() if wanted.get(name) != value}
        if differing:
            told = ", ".join(f"{name} {value} instead of {wanted.get(name)}" for name, value in differing.items())
            raise UsageError(f"`{path}` is of another recipe ({told}); give --out another folder, or that recipe")
        if facts["weights"] != file_hash(path.with_suffix(".safetensors")):
            raise UsageError(f"`{path.with_suffix('.safetensors')}` is not what `{path.name}` is of; move both away")


@click.command()
@click.option("--data", required=True, metavar="DATA", help="CIFAR-10 with both splits, such as parquet:DIR.")
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs/cifar10"), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=HERE / "weights", help="For what is finished.")
@click.option("--recipe", type=click.Choice(list(RECIPES)), default="cifar", show_default=True)
@click.option("--epochs", type=int, help="Instead of the recipe's.")
@click.option("--limit", type=int, help="So many images of each split.")
@click.option("--most", type=int, default=len(TRAININGS), help="Trainings to run at most.  [default: all]")
@click.option("--device", default="auto", show_default=True)
@click.option("--precision", default="auto", show_default=True)
@click.option(
    "--compile/--no-compile",
    "compiled",
    default=None,
    help="Use torch.compile.  [default: where it helps]",
)
@click.option("--progress/--no-progress", default=True)
def main(data, runs, out, recipe, epochs, limit, most, device, precision, compiled, progress):
    """Train the study's networks, the next unfinished one first."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        check_finished(out, recipe, epochs)
        for _, training in zip(range(most), unfinished(out, runs / "locks"), strict=False):
            click.echo(f"{training.name}")
            settings = {"limit": limit, "device": device, "precision": precision}
            settings["compiled"] = training.gains_by_compiling if compiled is None else compiled
            run_training(training, data, runs, out, recipe, progress, epochs=epochs, **settings)
    except (UsageError, RunError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
