"""What trains, caches, and makes the whole supplementary material."""

import json
from pathlib import Path

import click
from click.core import ParameterSource

from ..errors import plain
from . import options as shared
from .execution import execute, say_plan
from .group import is_chosen
from .program import ALL, PREPARE, main


@main.command(section=PREPARE, example="gelens train mini_resnet_se --data digits --out runs/se")
@click.argument("network", type=shared.NETWORK)
@shared.data
@shared.subset
@shared.skip
@shared.recipe
@shared.option("--keep-epochs", is_flag=True, help="Keep every epoch's weights, in OUT/epochs.")
@shared.option(
    "--keep",
    type=click.FloatRange(0, min_open=True),
    multiple=True,
    metavar="EPOCHS",
    help="Keep the weights after this many epochs, such as 0.25; repeatable.",
)
@shared.seed
@shared.device
@shared.precision("auto")
@shared.option(
    "--compile", "compiled", is_flag=True, help="Use torch.compile: a minute of compiling, then faster steps."
)
@shared.option(
    "--selectivity",
    type=float,
    default=0.0,
    metavar="ALPHA",
    help="Take ALPHA times the batch's mean class selectivity index off the loss: above 0 selectivity is promoted, "
    "below 0 it is held down.",
)
@shared.option(
    "--of",
    "selectivity_of",
    multiple=True,
    metavar="BLOCK",
    default=("layer3",),
    show_default=True,
    help="Stages or blocks that --selectivity acts on.",
)
@shared.workers
@shared.processes
@shared.out
@shared.as_json
@shared.dry_run
def train(network, data, per_class_limit, recipe, keep_epochs, keep, seed, out, resume, **options):
    """Train a network: weights.safetensors, recipe.json and training.csv.

    --limit and --per-class take a subset of each split.
    """
    from ..devices import keep_freed_memory
    from ..errors import UsageError
    from ..processes import is_first
    from ..training import planned
    from ..training import train as run_training

    if keep_epochs and keep:
        raise UsageError("--keep-epochs keeps every epoch's weights already: give it, or --keep")
    recipe = shared.take_recipe(options | {"recipe": recipe}, seed)
    how = shared.take(options, "device", "precision", "workers", "skip_unreadable", "limit", "compiled")
    how |= shared.take(options, "selectivity", "selectivity_of")
    kept = True if keep_epochs else keep
    if is_chosen("dry_run"):
        of_plan = {name: how[name] for name in ("device", "skip_unreadable", "limit")}
        say_plan(planned(network, data, recipe, keep_epochs=kept, per_class=per_class_limit, **of_plan))
        return
    how["progress"] = not is_chosen("quiet")
    keep_freed_memory()
    table = run_training(network, data, out, recipe, resume=resume, keep_epochs=kept, per_class=per_class_limit, **how)
    if not is_first():
        return
    last = table[table["split"] == "val"].iloc[-1]
    if is_chosen("json"):
        told = {"run": str(out), "network": last.network, "epochs": int(last.epoch), "top1_error": last.top1_error}
        click.echo(json.dumps(told | {"weights": str(out / "weights.safetensors")}, indent=2))
        return
    click.echo(
        f"{last.network}: {last.top1_error:.2f} % top-1 error on the validation images after {last.epoch} epochs"
    )
    click.echo(plain(f"Weights: {out / 'weights.safetensors'}"))


@main.command(section=PREPARE, example="gelens cache imagenet:DIR#val --out val.npy")
@click.argument("data", type=shared.DATA)
@shared.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@shared.option(
    "--network",
    type=shared.NETWORK,
    help="Network whose preprocessing is used; by default 224 px, crop 0.875, bilinear.",
)
@shared.geometry
@shared.subset
@shared.skip
@shared.seed
@shared.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes that read images.")
@shared.resume
@shared.as_json
@shared.dry_run
def cache(data, out, network, seed, workers, resume, **options):
    """Decode, resize and crop images once, into a file that every command accepts as --data cache:FILE."""
    from ..commands.cache import Cache

    inputs = shared.take_inputs((), options | {"data": data}, seed)
    request = Cache(inputs, network, workers)
    if is_chosen("dry_run"):
        say_plan(request.plan())
        return
    images = request.write(out, resume)
    if is_chosen("json"):
        told = {"cache": str(out), "images": len(images), "data": str(images), "left_out": len(images.skipped)}
        click.echo(json.dumps(told, indent=2))
        return
    left_out = f", {len(images.skipped)} left out as unreadable" if images.skipped else ""
    click.echo(plain(f"{len(images)} images of {images}{left_out}; as data: cache:{out}"))


@main.command(section=PREPARE, example="gelens push thin_resnet50_se@cifar10 pushed/thin_resnet50_se --licence mit")
@click.argument("network", type=shared.NETWORK)
@click.argument("repository", metavar="REPO")
@shared.option(
    "--licence", metavar="NAME", help="Licence of the weights by the hub's name, such as mit; none by default."
)
@shared.option("--upload", is_flag=True, help="Upload to the Hugging Face hub, where REPO is OWNER/NAME.")
def push(network, repository, licence, upload):
    """Write a network in the hub's layout: model.safetensors, config.json and a model card.

    REPO is a folder or, with --upload, OWNER/NAME on the hub. NETWORK@REPO loads the folder again. timm loads its own
    networks from it, too, as does timm/hf-hub:REPO.
    """
    from ..commands.push import Push

    click.echo(plain(Push(network, repository, licence, upload).push()))


def _supplementary(command, inputs, measuring, recipe, seed, out, resume) -> None:
    from ..commands.supplementary import Supplementary
    from ..tables.selectivity import Statistics

    execute(command, Supplementary(inputs, measuring, recipe, Statistics(seed)), out, resume, page=True)


@main.command("try", section=ALL, example="gelens try my.py:build@my.pth --data folder:photos --expect 93.4")
@click.argument("network", type=shared.NETWORK)
@shared.option(
    "--expect",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Top-1 accuracy that the network should have; exit code 1 if these images contradict it.",
)
@shared.own_data
@shared.beside_data
@shared.untrained
@shared.where
@shared.anatomy
@shared.rectify
@shared.seed
@shared.running
@shared.keep
@shared.processes
@shared.out
@shared.as_json
@shared.dry_run
def try_(network, expect, stage, blocks, rectify, seed, keep, out, resume, **options):
    """Try a network of your own: check its accuracy, draw figures 2 and 3 and the report, and print the commands.

    The stage, the preprocessing, the layout and key of the checkpoint, and the gates are worked out. What cannot be
    worked out is refused, or reported as assumed, with the option that states it.
    """
    from ..commands.trying import Try
    from ..errors import UsageError

    if options["data"] is None:
        raise UsageError("no images are named: --data folder:DIR takes a folder of images for each class")
    inputs, measuring = shared.take_inputs([network], options, seed), shared.take_measuring(options, keep)
    request = Try(inputs, measuring, stage, blocks, rectify, expect, seed)
    run = execute("try", request, out, resume, page=True)
    if run is not None and not run.record.get("expected", {"met": True})["met"]:
        click.get_current_context().exit(1)


@main.command(section=ALL, example="gelens supplementary --data cifar10")
@shared.networks_if_any
@shared.inputs
@shared.recipe
@shared.seed
@shared.running
@shared.keep
@shared.processes
@shared.out
@shared.as_json
@shared.dry_run
def supplementary(networks, seed, keep, out, resume, **options):
    """Every figure and table of the supplementary material, in one reading of the data.

    Without NETWORKs: those that come with gelens, trained on CIFAR-10. A NETWORK without @WEIGHTS is trained first, by
    the recipe; the paper's own are resnet50, resnet50_ge_theta_minus, resnet50_se, shufflenet and so on.
    """
    from ..commands.supplementary import shipped_networks
    from ..errors import UsageError

    if not networks and click.get_current_context().get_parameter_source("data") is ParameterSource.DEFAULT:
        raise UsageError(
            "the networks that come with gelens know CIFAR-10: give --data cifar10, or parquet:DIR with its files, or "
            "name NETWORKs; `gelens demo` takes digits"
        )
    recipe, measuring = shared.take_recipe(options, seed), shared.take_measuring(options, keep)
    inputs = shared.take_inputs(networks or shipped_networks(), options, seed)
    _supplementary("supplementary", inputs, measuring, recipe, seed, out, resume)


@main.command(section=ALL, example="gelens demo")
@shared.seed
@shared.running
@shared.processes
@shared.keep
@shared.option("--epochs", type=int, default=5, show_default=True, help="Epochs of each training.")
@shared.option("--out", type=click.Path(path_type=Path), default=Path("runs/demo"), show_default=True)
@shared.resume
@shared.as_json
def demo(seed, keep, epochs, out, resume, **options):
    """The whole supplementary material in miniature: networks trained on the spot on scanned digits."""
    from ..analyses.inputs import Inputs
    from ..commands.supplementary import supplementary_networks
    from ..training import recipe_of

    inputs = Inputs(supplementary_networks("mini_resnet", "mini_shufflenet"), "digits")
    recipe = recipe_of("small", epochs=epochs, seed=seed)
    _supplementary("demo", inputs, shared.take_measuring(options, keep), recipe, seed, out, resume)
