"""Options that commands share, and what the library makes of them."""

import re
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from .. import choices
from ..errors import UsageError, unknown
from .group import OWN, Choice, Option, is_chosen, remember


class _Triple(click.ParamType):
    """Three comma-separated numbers, a channel each."""

    name = "R,G,B"

    def __init__(self, least: float, most: float):
        self.least, self.most = least, most

    def convert(self, value, parameter, context) -> tuple[float, ...]:
        try:
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != 3:
            self.fail(f"`{value}` is not three comma-separated numbers, such as 0.49,0.48,0.45", parameter, context)
        if not all(self.least <= number <= self.most for number in numbers):
            scale = ", on the scale of pixels between 0 and 1: divide by 255" if max(numbers) > self.most else ""
            self.fail(f"`{value}` is not within {self.least:g} … {self.most:g}{scale}", parameter, context)
        return numbers


class _Network(click.ParamType):
    """A network reference; names of the catalogue, of settings and of weights that come with gelens are completed."""

    name = "NETWORK"

    def convert(self, value, parameter, context):
        """Names are checked before anything heavy is imported, and before folders are looked at."""
        from ..networks.catalogue import NAMES, check_name, resolve
        from ..networks.references import parse

        text, library = str(value), str(value).partition("/")[0]
        if "/" in text and not (".py:" in text or "@" in text or library in ("timm", "torchvision")):
            raise UsageError(f"`{text}` holds no run and no recording: there is no such folder")
        reference = parse(value)
        check_name(reference)
        if reference.name in NAMES:
            resolve(reference)
        return value

    def shell_complete(self, context, parameter, incomplete):
        from click.shell_completion import CompletionItem

        from ..networks.catalogue import NAMES
        from ..networks.shipped import everything

        known = [*NAMES, *(str(each.reference) for each in everything())]
        return [CompletionItem(name) for name in known if name.startswith(incomplete)]


class _Data(click.ParamType):
    """An image data set's reference; names are completed."""

    name = "DATA"

    def convert(self, value, parameter, context):
        from ..networks.references import split_label

        form, mark, _ = re.split("([:#]|$)", split_label(value)[1], maxsplit=1)
        if form not in choices.DATA and Path(value).is_dir():
            raise UsageError(f"`{value}` is a folder: write folder:{value} where it has a folder for each class")
        if form not in choices.DATA:
            raise unknown("data", form, choices.DATA, limit=len(choices.DATA))
        place = choices.FORMS[form].place
        if place.startswith(":") and mark != ":":
            raise UsageError(f"`{value}` does not say where the images are; expected {form}{place}")
        return value

    def shell_complete(self, context, parameter, incomplete):
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in choices.DATA if name.startswith(incomplete)]


class _NetworkOrRun(click.ParamType):
    """A network reference, the folder of a recording, or a label in one: which of them is told later."""

    name = "NETWORK"

    def convert(self, value, parameter, context):
        return value

    def shell_complete(self, context, parameter, incomplete):
        folders = FOLDER.shell_complete(context, parameter, incomplete)
        return [*NETWORK.shell_complete(context, parameter, incomplete), *folders]


NETWORK = _Network()
NETWORK_OR_RUN = _NetworkOrRun()
DATA = _Data()
FOLDER = click.Path(path_type=Path)


def _several(*options):
    def decorate(function):
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def of(section: str):
    """`click.option` for one section of the help."""
    return partial(click.option, cls=Option, section=section)


_images = of("Images")
_shown = of("How images are shown, instead of each network's own way")
_pass = of("How it is computed")
_measured = of("What is measured")
_statistic = of("Statistics")
_training = of("Training")
_run = of("The run")

option, measured_option = of(OWN), of("What is measured")

networks = click.argument("networks", nargs=-1, required=True, metavar="NETWORK...", type=NETWORK)
networks_if_any = click.argument("networks", nargs=-1, metavar="[NETWORK]...", type=NETWORK)
own_data = _images("--data", type=DATA, help="Images to measure, such as folder:DIR; `gelens --help` lists the forms.")
data = _images(
    "--data",
    default="digits",
    show_default="digits; needed for weights trained on others",
    type=DATA,
    help="Images to measure; `gelens --help` lists the forms.",
)
skip = _images("--skip-unreadable", is_flag=True, help="Leave out images that cannot be read, and list them.")
geometry = _several(
    _shown("--image-size", type=click.IntRange(1), help="Image size in pixels."),
    _shown(
        "--crop-pct", type=click.FloatRange(0, 1, min_open=True), help="Share of the resized image's side that is kept."
    ),
    _shown("--interpolation", type=Choice(["bilinear", "bicubic"]), help="Interpolation for resizing."),
    _shown(
        "--crop-mode", type=Choice(["center", "squash"]), help="squash resizes both sides, ignoring the aspect ratio."
    ),
    _shown("--mean", type=_Triple(0, 1), help="Mean of pixels in [0, 1], such as 0.49,0.48,0.45."),
    _shown("--std", type=_Triple(1e-6, 1), help="Standard deviation of pixels in [0, 1], such as 0.25,0.24,0.26."),
)
subset = _several(
    _images(
        "--limit",
        type=click.IntRange(1),
        metavar="N",
        help="Use a class-balanced random subset of N images (see --seed).",
    ),
    _images(
        "--per-class",
        "per_class_limit",
        type=click.IntRange(1),
        metavar="N",
        help="Use N images of every class.",
    ),
)
by_position = _images(
    "--classes-by-position",
    is_flag=True,
    help="Take class k of the images as output k when nothing else tells the order.",
)
beside_data = _several(subset, skip, by_position, geometry)
inputs = _several(data, beside_data)
untrained = _measured("--untrained", is_flag=True, help="Measure networks without @WEIGHTS, randomly initialised.")
device = _pass(
    "--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, cuda:1, mps or xpu."
)
workers = _pass(
    "--workers",
    type=click.IntRange(0),
    metavar="N",
    help="Processes that read images.  [default: 0 on the CPU, elsewhere one a core]",
)


def precision(default: str):
    """The option of what is computed in."""
    return _pass(
        "--precision",
        default=default,
        show_default=True,
        type=Choice([*choices.PRECISIONS, "auto"]),
        help="fp32 is IEEE single precision; auto is bf16 where the device supports it natively, else fp32.",
    )


running = _several(
    device,
    precision("fp32"),
    _pass(
        "--batch-size",
        type=click.IntRange(1),
        metavar="N",
        help="Images per batch.  [default: 64 on the CPU, 256 elsewhere]",
    ),
    workers,
    _pass(
        "--compile/--no-compile",
        "compiled",
        default=None,
        help="Use torch.compile for the networks' blocks.  [default: on the CPU, for passes of many minutes]",
    ),
)
processes = _pass(
    "--processes",
    type=click.IntRange(1),
    metavar="N",
    help="Split the work among N processes on this machine; for several machines, use torchrun.",
)
shares = _several(
    processes,
    _pass("--shard", metavar="I/N", help="Record one of N equal shares of the images; then use `gelens merge`."),
)
where = _several(
    _measured(
        "--stage",
        type=int,
        metavar="N",
        help="Stage to measure; 4 is conv4_x (layer3).  [default: 4, or the last but one of fewer]",
    ),
    _measured(
        "--blocks",
        multiple=True,
        metavar="NAME",
        help="Modules to measure instead of a stage, such as layer3.*; repeatable.",
    ),
)
anatomy = _several(
    _measured(
        "--branch", metavar="NAME", help="Module inside each block where its branch ends, if it is not recognised."
    ),
    _measured("--shortcut", metavar="NAME", help="Module that gives the shortcut, or input for the block's own input."),
    _measured("--gate", metavar="NAME", help="Module that holds the gate."),
)
recipe = _several(
    _training(
        "--recipe",
        type=Choice(choices.RECIPES),
        default="small",
        show_default=True,
        help="imagenet is the paper's 100-epoch recipe, as recalled.",
    ),
    _training("--epochs", type=int, metavar="N", help="Instead of the recipe's."),
    _training("--learning-rate", type=float, metavar="X", help="Instead of the recipe's."),
    _training("--train-batch-size", type=int, metavar="N", help="Instead of the recipe's."),
)
rectify = _measured("--rectify", is_flag=True, help="Use the positive part of signed activities.")
reference = _statistic("--reference", metavar="LABEL", help="Network to compare the others with; the first by default.")
seed = _run("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Random seed.")
keep = _run(
    "--keep/--no-keep", default=True, show_default=True, help="Keep the recording of every image, in OUT/recording."
)
resume = _run("--resume", is_flag=True, help="Resume an interrupted run with the same arguments.")


def _dated(context: click.Context, parameter: click.Parameter, folder: Path | None) -> Path:
    """The run's folder: the one named, else a new one."""
    if folder is not None:
        return folder
    if context.params.get("resume"):
        raise UsageError("--resume continues a run: name its folder with --out")
    from .. import processes

    if processes.launched() or (context.params.get("processes") or 1) > 1:
        raise UsageError("several processes share a folder: name it by --out")
    return Path("runs") / f"{context.info_name}-{time.strftime('%Y%m%d-%H%M%S')}"


out = _several(
    _run(
        "--out",
        type=FOLDER,
        metavar="DIR",
        callback=_dated,
        help="Folder for the run.  [default: runs/ with the command's name and the time]",
    ),
    resume,
)


as_json = _run("--json", "json", is_flag=True, expose_value=False, callback=remember, help="Print a JSON summary.")
dry_run = _run(
    "--dry-run",
    is_flag=True,
    expose_value=False,
    callback=remember,
    help="Only show what would be read, computed and kept, and how long it would take.",
)


measured = _several(running, keep, shares, out, as_json, dry_run)
"""What a command has beside its own options that measures networks in a run's folder."""


def take(options: dict, *names: str) -> dict:
    return {name: options.pop(name) for name in names}


def _ask_for_data(networks) -> None:
    """Weights that come with gelens know other images than the default's.

    Raises:
        UsageError: a network has such weights; the message names their images.
    """
    from ..networks import shipped
    from ..networks.references import parse

    for reference in map(parse, networks):
        if shipped.is_shipped(reference):
            collection = str(reference.weights).partition("/")[0]
            form = collection if collection in choices.DATA else f"parquet:DIR with the files of {collection}"
            raise UsageError(
                f"`{reference}` was trained on {collection}, and no data is named: give --data {form}, or "
                f"--data digits to measure it on those"
            )


def take_inputs(networks, options: dict, seed: int):
    from ..analyses.inputs import Inputs

    if click.get_current_context().get_parameter_source("data") is click.core.ParameterSource.DEFAULT:
        _ask_for_data(networks)
    names = ("data", "limit", "image_size", "crop_pct", "interpolation", "crop_mode", "mean", "std", "skip_unreadable")
    per_class = options.pop("per_class_limit")
    return Inputs(
        list(networks),
        **take(options, *names),
        per_class=per_class,
        seed=seed,
        classes_by_position=options.pop("classes_by_position", False),
        untrained=options.pop("untrained", False),
        **{part: options.pop(part, None) for part in ("branch", "shortcut", "gate")},
    )


def take_sweep_options(options: dict):
    from ..devices import keep_freed_memory
    from ..sweep.passing import SweepOptions
    from ..sweep.sharing import Shard

    how = take(options, "device", "precision", "batch_size", "workers", "compiled")
    chosen = SweepOptions(**how, progress=not is_chosen("quiet"), rehearse=is_chosen("dry_run"))
    if shard := options.pop("shard", None):
        chosen = replace(chosen, shard=Shard.parse(shard))
    chosen.check()
    keep_freed_memory()
    return chosen


def take_measuring(options: dict, keep: bool):
    from ..analyses.measuring import Measuring

    return Measuring(take_sweep_options(options), keep)


def take_recipe(options: dict, seed: int):
    from ..training import recipe_of

    changes = take(options, "epochs", "learning_rate")
    return recipe_of(options.pop("recipe"), **changes, batch_size=options.pop("train_batch_size"), seed=seed)


def check_there(*folders: Path) -> None:
    """Say so before anything heavy is imported where a run or a recording is not there."""
    for folder in folders:
        if not folder.exists():
            raise UsageError(f"`{folder}` holds no run and no recording: there is no such folder")


OF_A_PASS = (
    *("data", "limit", "per_class_limit", "skip_unreadable", "classes_by_position", "untrained", "processes", "shard"),
    "compiled",
    *("image_size", "crop_pct", "interpolation", "crop_mode", "mean", "std"),
)


def refuse_unread(*names: str) -> None:
    """Options that a recording has answered already are refused, not ignored."""
    context = click.get_current_context()
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name) is click.core.ParameterSource.COMMANDLINE
        if parameter.name in names and given:
            raise UsageError(f"{parameter.opts[0]} is of a pass over images, and a recording needs none: leave it out")
