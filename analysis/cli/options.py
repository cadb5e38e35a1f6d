"""Options that commands share, and what the library makes of them."""

from dataclasses import replace
from pathlib import Path

import click


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


def _several(*options):
    def decorate(function):
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


networks = click.argument("networks", nargs=-1, required=True, metavar="NETWORK...")
data = click.option("--data", default="digits", show_default=True, help="Images; `gelens --help` lists the forms.")
skip = click.option("--skip-unreadable", is_flag=True, help="Leave out images that cannot be read, and name them.")
geometry = _several(
    click.option("--image-size", type=click.IntRange(1), help="Pixels, instead of each network's own."),
    click.option("--crop-pct", type=click.FloatRange(0, 1, min_open=True), help="Instead of each network's own."),
    click.option("--interpolation", type=click.Choice(["bilinear", "bicubic"]), help="Instead of each network's own."),
    click.option("--mean", type=_Triple(0, 1), help="Of pixels in [0, 1], such as 0.49,0.48,0.45; instead of its own."),
    click.option("--std", type=_Triple(1e-6, 1), help="Of pixels in [0, 1], such as 0.25,0.24,0.26."),
)
subset = _several(
    click.option("--limit", type=int, help="Take a class-balanced subset of so many images, by --seed."),
    click.option("--per-class", "per_class_limit", type=int, help="Take so many images of every class, by --seed."),
)
inputs = _several(
    data,
    subset,
    skip,
    geometry,
)
untrained = click.option("--untrained", is_flag=True, help="Measure networks without @WEIGHTS, with random ones.")
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps or xpu.")
workers = click.option(
    "--workers",
    type=click.IntRange(0),
    help="Processes that read images.  [default: 0 on the CPU, elsewhere one a core]",
)
running = _several(
    device,
    click.option(
        "--precision",
        default="fp32",
        show_default=True,
        help="fp32 (IEEE), tf32, bf16, fp16, or auto: bf16 where the device computes in it itself, else fp32.",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(1),
        help="Images in a batch.  [default: 64 on the CPU, 256 elsewhere]",
    ),
    workers,
)
processes = click.option(
    "--processes",
    type=click.IntRange(1),
    metavar="N",
    help="Share the work among N processes of this machine; several machines by torchrun.",
)
shares = _several(
    processes,
    click.option("--shard", metavar="I/N", help="Record one of N equal shares of the images; `gelens merge` goes on."),
)
where = _several(
    click.option("--stage", type=int, default=4, show_default=True, help="4 is conv4_x (layer3)."),
    click.option(
        "--blocks", multiple=True, metavar="NAME", help="Module names instead of a stage, such as layer3.*; repeatable."
    ),
)
recipe = _several(
    click.option(
        "--recipe",
        default="small",
        show_default=True,
        help="small, cifar, imagenet (the paper's), imagenet_long or imagenet_plateau.",
    ),
    click.option("--epochs", type=int, help="Instead of the recipe's."),
    click.option("--learning-rate", type=float, help="Instead of the recipe's."),
    click.option("--train-batch-size", type=int, help="Instead of the recipe's."),
)
resampled = _several(
    click.option("--permutations", type=click.IntRange(0), help="Of labels, for the null.  [default: 100]"),
    click.option("--replicates", type=click.IntRange(0), help="Of the bootstrap.  [default: 100]"),
)
rectify = click.option("--rectify", is_flag=True, help="Take the positive part of signed activities.")
keep = click.option(
    "--keep/--no-keep", default=True, show_default=True, help="Keep what was recorded of every image, in OUT/recording."
)
seed = click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of all that is random."
)
resume = click.option("--resume", is_flag=True, help="Go on with an interrupted run of the same arguments.")
out = _several(click.option("--out", type=click.Path(path_type=Path), required=True, help="The run's folder."), resume)


recorded_tap = click.option(
    "--tap", default="output", show_default=True, help="Whose activity is taken; `gelens record` lists them."
)


def take(options: dict, *names: str) -> dict:
    return {name: options.pop(name) for name in names}


def take_inputs(networks, options: dict, seed: int):
    from ..commands.inputs import Inputs

    names = ("data", "limit", "image_size", "crop_pct", "interpolation", "mean", "std", "skip_unreadable")
    per_class = options.pop("per_class_limit")
    return Inputs(
        list(networks),
        **take(options, *names),
        per_class=per_class,
        seed=seed,
        untrained=options.pop("untrained", False),
    )


def take_sweep_options(options: dict):
    from ..devices import keep_freed_memory
    from ..sweep.passing import SweepOptions
    from ..sweep.sharing import Shard

    chosen = SweepOptions(**take(options, "device", "precision", "batch_size", "workers"))
    if shard := options.pop("shard", None):
        chosen = replace(chosen, shard=Shard.parse(shard))
    chosen.check()
    keep_freed_memory()
    return chosen


def take_measuring(options: dict, keep: bool):
    from ..commands.measuring import Measuring

    return Measuring(take_sweep_options(options), keep)


def take_statistics(options: dict, seed: int):
    from ..tables.selectivity import Statistics, read_groups

    groups = options.pop("groups", None)
    chosen = {name: options.pop(name, None) for name in ("permutations", "replicates", "indices")}
    given = {name: value for name, value in chosen.items() if value is not None}
    return Statistics(seed, **given, groups=groups and read_groups(groups))


def take_recipe(options: dict, seed: int):
    from ..training import recipe_of

    changes = take(options, "epochs", "learning_rate")
    return recipe_of(options.pop("recipe"), **changes, batch_size=options.pop("train_batch_size"), seed=seed)


OF_A_PASS = ("data", "limit", "per_class_limit", "skip_unreadable", "image_size", "processes", "shard")


def refuse_unread(*names: str) -> None:
    """Options that a recording has answered already are refused, not ignored."""
    from ..errors import UsageError

    context = click.get_current_context()
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name) is click.core.ParameterSource.COMMANDLINE
        if parameter.name in names and given:
            raise UsageError(f"{parameter.opts[0]} is of a pass over images, and a recording needs none: leave it out")


def recording_among(networks, *unread: str) -> Path | None:
    """The folder that stands where networks do, if there is one; options of a pass are refused then."""
    if len(networks) != 1 or not Path(networks[0]).is_dir():
        return None
    refuse_unread(*OF_A_PASS, *unread)
    return Path(networks[0])
