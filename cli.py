"""The command line: it parses and calls. Heavy imports come after parsing, so that --help answers at once."""

import logging
from dataclasses import replace
from pathlib import Path

import click

from analysis.errors import plain
from analysis.names import pretty

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class _Notes(logging.Handler):
    """What the library has to say, as lines on standard error; other libraries' loggers are left as they are."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"note: {plain(record.getMessage())}", err=True)


class _Command(click.Command):
    """A command that one process does, or several where it has the option `--processes`."""

    def invoke(self, context: click.Context):
        from analysis import processes
        from analysis.errors import UsageError

        shared = "processes" in context.params
        wanted = context.params.pop("processes", None)
        if processes.launched():
            if wanted not in (None, processes.number()):
                raise UsageError(f"--processes {wanted}, but {processes.number()} are started already: leave it out")
            if not (shared or processes.is_first()):
                return None
        elif wanted is not None and wanted > 1:
            context.exit(processes.launch(context.find_root().obj, wanted))
        return super().invoke(context)


class _Group(click.Group):
    """Failures that a person may see end as one line and an exit code: 2 for usage, 1 for what did not work.

    Of several processes of a run the first one speaks; what goes wrong in all of them is said once.
    """

    command_class = _Command

    def make_context(self, info_name, args, parent=None, **extra):
        extra.setdefault("obj", tuple(args))
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, context: click.Context):
        from analysis import processes

        if not processes.launched():
            return self._invoke(context)
        try:
            processes.join()
            return self._invoke(context)
        except click.ClickException as error:
            if processes.first_to_say(str(error)):
                raise
            context.exit(error.exit_code)
        finally:
            processes.leave()

    def _invoke(self, context: click.Context):
        from analysis import processes
        from analysis.errors import RunError, Terminated, UsageError
        from analysis.interruption import termination_raised

        logger = logging.getLogger("analysis")
        logger.setLevel(logging.INFO if processes.is_first() else logging.ERROR)
        logger.handlers = [_Notes()]
        try:
            with termination_raised():
                return super().invoke(context)
        except UsageError as error:
            raise click.UsageError(plain(error)) from error
        except processes.LostProcess as error:  # who is lost has said why, unless it was killed
            if processes.is_first():
                raise click.ClickException(plain(error)) from error
            context.exit(1)
        except RunError as error:
            raise click.ClickException(plain(error)) from error
        except click.ClickException as error:
            error.message = plain(error.message)
            raise
        except BrokenPipeError:
            raise  # click ends quietly when the reader of a pipe goes away
        except OSError as error:
            said = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
            raise click.ClickException(plain(said)) from error
        except KeyboardInterrupt:
            if processes.is_first():
                click.echo("\nInterrupted; what was done is kept: the same command with --resume goes on.", err=True)
            context.exit(130)
        except Terminated:
            if processes.is_first():
                click.echo("\nTerminated; what was done is kept: the same command with --resume goes on.", err=True)
            raise


@click.group(cls=_Group, context_settings=CONTEXT)
@click.version_option(package_name="gelens")
def main():
    """What gates do to the features of convolutional networks: class selectivity, feature importance, accuracy.

    A NETWORK is NAME[:key=value,…][@WEIGHTS], such as mini_resnet_ge_theta_minus:extent=4@weights.safetensors;
    `gelens networks` lists the names; timm/NAME, torchvision/NAME and path/to/file.py:factory are others. DATA is
    digits, imagenet:DIR, folder:DIR, tar:FILE, parquet:GLOB, hf:NAME, webdataset:GLOB, cache:FILE, or cifar10,
    cifar100, mnist, fashion_mnist, imagenette with or without :DIR; with #train, #val or #test after it. LABEL=NETWORK
    and LABEL=DATA choose the names in tables and figures.
    """


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


def _options(*options):
    def decorate(function):
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_networks = click.argument("networks", nargs=-1, required=True, metavar="NETWORK...")
_data = click.option("--data", default="digits", show_default=True, help="Images; `gelens --help` lists the forms.")
_skip = click.option("--skip-unreadable", is_flag=True, help="Leave out images that cannot be read, and name them.")
_geometry = _options(
    click.option("--image-size", type=click.IntRange(1), help="Pixels, instead of each network's own."),
    click.option("--crop-pct", type=click.FloatRange(0, 1, min_open=True), help="Instead of each network's own."),
    click.option("--interpolation", type=click.Choice(["bilinear", "bicubic"]), help="Instead of each network's own."),
    click.option("--mean", type=_Triple(0, 1), help="Of pixels in [0, 1], such as 0.49,0.48,0.45; instead of its own."),
    click.option("--std", type=_Triple(1e-6, 1), help="Of pixels in [0, 1], such as 0.25,0.24,0.26."),
)
_subset = _options(
    click.option("--limit", type=int, help="Take a class-balanced subset of so many images, by --seed."),
    click.option("--per-class", "per_class_limit", type=int, help="Take so many images of every class, by --seed."),
)
_inputs = _options(
    _data,
    _subset,
    _skip,
    _geometry,
)
_untrained = click.option("--untrained", is_flag=True, help="Measure networks without @WEIGHTS, with random ones.")
_device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps or xpu.")
_workers = click.option(
    "--workers",
    type=click.IntRange(0),
    help="Processes that read images.  [default: 0 on the CPU, elsewhere one a core]",
)
_running = _options(
    _device,
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
    _workers,
)
_processes = click.option(
    "--processes",
    type=click.IntRange(1),
    metavar="N",
    help="Share the work among N processes of this machine; several machines by torchrun.",
)
_shares = _options(
    _processes,
    click.option("--shard", metavar="I/N", help="Record one of N equal shares of the images; `gelens merge` goes on."),
)
_where = _options(
    click.option("--stage", type=int, default=4, show_default=True, help="4 is conv4_x (layer3)."),
    click.option(
        "--blocks", multiple=True, metavar="NAME", help="Module names instead of a stage, such as layer3.*; repeatable."
    ),
)
_recipe = _options(
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
_resampled = _options(
    click.option("--permutations", type=click.IntRange(0), help="Of labels, for the null.  [default: 100]"),
    click.option("--replicates", type=click.IntRange(0), help="Of the bootstrap.  [default: 100]"),
)
_rectify = click.option("--rectify", is_flag=True, help="Take the positive part of signed activities.")
_keep = click.option(
    "--keep/--no-keep", default=True, show_default=True, help="Keep what was recorded of every image, in OUT/recording."
)
_seed = click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of all that is random."
)
_resume = click.option("--resume", is_flag=True, help="Go on with an interrupted run of the same arguments.")
_out = _options(
    click.option("--out", type=click.Path(path_type=Path), required=True, help="The run's folder."), _resume
)


def _take(options: dict, *names: str) -> dict:
    return {name: options.pop(name) for name in names}


def _take_inputs(networks, options: dict, seed: int):
    from analysis.commands.inputs import Inputs

    names = ("data", "limit", "image_size", "crop_pct", "interpolation", "mean", "std", "skip_unreadable")
    per_class = options.pop("per_class_limit")
    return Inputs(
        list(networks),
        **_take(options, *names),
        per_class=per_class,
        seed=seed,
        untrained=options.pop("untrained", False),
    )


def _take_sweep_options(options: dict):
    from analysis.devices import keep_freed_memory
    from analysis.sweep.passing import SweepOptions
    from analysis.sweep.sharing import Shard

    chosen = SweepOptions(**_take(options, "device", "precision", "batch_size", "workers"))
    if shard := options.pop("shard", None):
        chosen = replace(chosen, shard=Shard.parse(shard))
    chosen.check()
    keep_freed_memory()
    return chosen


def _take_measuring(options: dict, keep: bool):
    from analysis.commands.measuring import Measuring

    return Measuring(_take_sweep_options(options), keep)


def _take_statistics(options: dict, seed: int):
    from analysis.tables.selectivity import Statistics, read_groups

    groups = options.pop("groups", None)
    chosen = {name: options.pop(name, None) for name in ("permutations", "replicates", "indices")}
    given = {name: value for name, value in chosen.items() if value is not None}
    return Statistics(seed, **given, groups=groups and read_groups(groups))


def _take_recipe(options: dict, seed: int):
    from analysis.training import recipe_of

    changes = _take(options, "epochs", "learning_rate")
    return recipe_of(options.pop("recipe"), **changes, batch_size=options.pop("train_batch_size"), seed=seed)


_OF_A_PASS = ("data", "limit", "per_class_limit", "skip_unreadable", "image_size", "processes", "shard")


def _refuse_unread(*names: str) -> None:
    """Options that a recording has answered already are refused, not ignored."""
    from analysis.errors import UsageError

    context = click.get_current_context()
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name) is click.core.ParameterSource.COMMANDLINE
        if parameter.name in names and given:
            raise UsageError(f"{parameter.opts[0]} is of a pass over images, and a recording needs none: leave it out")


def _recording_among(networks, *unread: str) -> Path | None:
    """The folder that stands where networks do, if there is one; options of a pass are refused then."""
    if len(networks) != 1 or not Path(networks[0]).is_dir():
        return None
    _refuse_unread(*_OF_A_PASS, *unread)
    return Path(networks[0])


def _execute(command: str, request, out: Path, resume: bool, whole=lambda run: True) -> None:
    """Open the run, do what is requested unless it is finished and whole, and print what came of it."""
    from analysis.commands.measuring import Recorded
    from analysis.errors import RunError, UsageError
    from analysis.processes import is_first
    from analysis.results.following import open_run

    with open_run(out, command, request.arguments(), resume) as run:
        finished = run.finished and whole(run)
        if not finished:
            try:
                request.run(run)
            except Recorded:
                if is_first():
                    _say_shard(out, run.record["arguments"]["shard"])
                return
            except (UsageError, RunError):
                run.discard_if_empty()
                raise
            run.finish()
    if is_first():
        if finished:
            click.echo(f"{out} is finished already; for a fresh run, choose another folder or delete it.")
        _summary(run)


def _say_shard(out: Path, shard: str) -> None:
    of = shard.partition("/")[2]
    click.echo(
        f"Shard {shard} is recorded in {out}. When all {of} are: `gelens merge FOLDER… --out RUN`, then this command "
        f"with --out RUN --resume instead of --shard makes tables and figures."
    )


def _summary(run) -> None:
    from analysis.results.run import read_table

    if run.path("evaluation.csv").exists():
        click.echo("\nTop-1 accuracy on the images measured:")
        for row in read_table(run.folder, "evaluation.csv").itertuples():
            click.echo(f"  {pretty(row.network):<45} {100 - row.top1_error:6.2f} %  ({row.images} images)")
    for finding in run.record.get("findings", ()):
        click.echo(f"  {plain(finding)}")
    drawn = sorted(run.path("figures").glob("*.png"))
    if drawn:
        click.echo("Figures (each also as .pdf):")
        for path in drawn:
            click.echo(f"  {plain(path)}")
    tables = sorted(run.folder.glob("*.csv"))
    if tables:
        click.echo(f"Tables: {plain(', '.join(path.name for path in tables))} in {plain(run.folder)}")


@main.command()
@_networks
@_inputs
@_untrained
@_seed
@_running
@_keep
@_shares
@_out
def evaluate(networks, seed, keep, out, resume, **options):
    """Top-1 and top-5 error, parameters and multiply-accumulates (table 1)."""
    from analysis.commands.evaluate import Evaluate

    inputs = _take_inputs(networks, options, seed)
    _execute("evaluate", Evaluate(inputs, _take_measuring(options, keep)), out, resume)


@main.command()
@_networks
@_inputs
@_untrained
@_where
@click.option(
    "--tap",
    "taps",
    multiple=True,
    default=["output"],
    show_default=True,
    metavar="TAP",
    help="output (after the last ReLU), branch (before the gate), gate, gated, sum (before the last ReLU); repeatable.",
)
@_rectify
@_seed
@_running
@_shares
@_out
def record(networks, stage, blocks, taps, rectify, seed, out, resume, **options):
    """Record what networks do with every image: predictions, and the activity of units at taps of blocks.

    OUT then holds images.csv and a NumPy array for each network, block and tap, with a row for each image. The
    statistics of `gelens selectivity --from OUT` need no network any more.
    """
    from analysis.commands.record import Record
    from analysis.processes import is_first

    inputs, how = _take_inputs(networks, options, seed), _take_sweep_options(options)
    recording = Record(inputs, how, stage, blocks, taps, rectify).run(out, resume)
    if not is_first():
        return
    _say_recording(recording, out)
    if how.shard:
        click.echo(f"This is shard {how.shard}; when all are recorded: `gelens merge FOLDER… --out RECORDING`.")


def _say_recording(recording, out: Path) -> None:
    arrays = sum(len(recording.names(label)) for label in recording.networks)
    click.echo(f"{len(recording.images)} images, {len(recording.networks)} networks, {arrays} arrays: {out}")


@main.command()
@click.argument("parts", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PART...")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder of the whole.")
def merge(parts, out):
    """Bring together what commands with --shard recorded, each in a folder of its own.

    Recordings become one recording. Runs become a run without tables and figures: the command that made its parts, with
    --out and --resume and without --shard, makes them. One that was interrupted goes on when it is called again.
    """
    from analysis.commands.merge import Merge

    _say_recording(Merge(parts).run(out), out)
    if (out / "run.json").is_file():
        click.echo(f"The shards' command with --out {out} --resume, without --shard, makes tables and figures.")


@main.command()
@click.argument("networks", nargs=-1, metavar="[NETWORK]...")
@_inputs
@_untrained
@_where
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    metavar="RECORDING",
    help="Compute from a recording, or from a run that kept one, without a network; NETWORKs are labels in it then.",
)
@click.option("--tap", default="output", show_default=True, help="Whose activity is taken; `gelens record` lists them.")
@click.option("--groups", type=click.Path(path_type=Path), help="A csv of class and group: the index of groups.")
@click.option("--reference", help="Label of the network that the others are compared with; the first by default.")
@_resampled
@_rectify
@click.option(
    "--index",
    "indices",
    multiple=True,
    help="Another index beside csi: precision, ccmas, auc, mi; repeatable. `gelens indices` defines them.",
)
@click.option("--save-means", is_flag=True, help="Also write the class-conditional means (npz).")
@click.option(
    "--checkpoints",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Measure one NETWORK, named without weights, at every checkpoint of a training; epochs are read from names.",
)
@_seed
@_running
@_keep
@_shares
@_out
def selectivity(
    networks,
    stage,
    blocks,
    source,
    tap,
    reference,
    save_means,
    rectify,
    checkpoints,
    seed,
    keep,
    out,
    resume,
    **more,
):
    """Class selectivity of every unit, block by block (figure 2 and the gap against depth)."""
    from analysis.commands.selectivity import MeasureSelectivity, SelectivityFrom, SelectivityOverTraining
    from analysis.errors import UsageError

    statistics = _take_statistics(more, seed)
    if source:
        if checkpoints:
            raise UsageError("--from takes one recording, --checkpoints makes several: give one of them")
        _refuse_unread(*_OF_A_PASS, "stage", "blocks", "rectify")
        request = SelectivityFrom(source, networks, statistics, tap, reference, save_means)
        _execute("selectivity", request, out, resume)
        return
    if not networks:
        raise UsageError("no NETWORK is named, and no recording by --from")
    inputs = _take_inputs(networks, more, seed)
    measuring = _take_measuring(more, keep)
    request = MeasureSelectivity(inputs, measuring, statistics, stage, blocks, rectify, tap, reference, save_means)
    if checkpoints:
        series = SelectivityOverTraining(request, checkpoints)
        _execute("selectivity", series, out, resume, series.is_whole)
    else:
        _execute("selectivity", request, out, resume)


@main.command()
@click.argument("networks", nargs=-1, required=True, metavar="NETWORK...|RUN")
@_inputs
@_untrained
@_where
@_resampled
@click.option(
    "--means-from",
    metavar="DATA",
    help="Also accuracy with static gates: values from these other images, such as digits#train, instead of their own.",
)
@_seed
@_running
@_keep
@_shares
@_out
def gates(networks, stage, blocks, means_from, seed, keep, out, resume, **more):
    """What gates do: how their values vary, with what, their class selectivity, their tie to activity.

    A RUN is a folder with a recording of the taps gate and output: no network is run then.
    """
    from analysis.commands.gates import GatesFrom, MeasureGates

    statistics = _take_statistics(more, seed)
    if recording := _recording_among(networks, "stage", "blocks", "means_from"):
        _execute("gates", GatesFrom(recording, statistics), out, resume)
        return
    inputs = _take_inputs(networks, more, seed)
    _execute(
        "gates", MeasureGates(inputs, _take_measuring(more, keep), statistics, stage, blocks, means_from), out, resume
    )


@main.command()
@_networks
@_inputs
@_untrained
@_where
@click.option("--units", type=int, default=128, show_default=True, help="Of each block, drawn by --seed.")
@click.option(
    "--means-from",
    metavar="DATA",
    help="Also drop each image's own class's most selective units, by these other images, against another class's.",
)
@_seed
@_running
@_keep
@_shares
@_out
def lesions(networks, stage, blocks, units, means_from, seed, keep, out, resume, **options):
    """Do indices predict what a unit is for: each unit dropped alone, and the damage held against every index.

    It costs as many passes through what follows a block as units are dropped: a thousand images (--limit) are a start.
    """
    from analysis.commands.lesions import MeasureLesions

    inputs = _take_inputs(networks, options, seed)
    request = MeasureLesions(inputs, _take_measuring(options, keep), units, stage, blocks, seed, means_from)
    _execute("lesions", request, out, resume)


@main.command()
@click.argument("networks", nargs=-1, required=True, metavar="NETWORK...|RUN")
@_inputs
@_untrained
@_where
@_resampled
@_rectify
@_seed
@_running
@_keep
@_shares
@_out
def taps(networks, stage, blocks, rectify, seed, keep, out, resume, **more):
    """Where selectivity arises: the index at the branch, after the gate, at the sum and at the output of each block.

    A RUN is a folder with a recording of two of these taps at least: no network is run then.
    """
    from analysis.commands.taps import MeasureTaps, TapsFrom

    statistics = _take_statistics(more, seed)
    if recording := _recording_among(networks, "stage", "blocks", "rectify"):
        _execute("taps", TapsFrom(recording, statistics), out, resume)
        return
    inputs = _take_inputs(networks, more, seed)
    measuring = _take_measuring(more, keep)
    _execute("taps", MeasureTaps(inputs, measuring, statistics, stage, blocks, rectify), out, resume)


@main.command()
@_networks
@_inputs
@_untrained
@_where
@click.option("--ratio", "ratios", type=float, multiple=True, help="A drop ratio, repeatable.  [default: 0, 0.1 … 1]")
@click.option("--order", "orders", multiple=True, help="most or least (important first); both by default.")
@click.option(
    "--score",
    "scores",
    multiple=True,
    help="gate (the paper's), random, activation, selectivity or gradient; repeatable.",
)
@click.option("--one-order", is_flag=True, help="One order for all images, by the mean score of --means-from.")
@click.option("--fill", default="zero", show_default=True, help="zero, or mean: that of the branch over --means-from.")
@click.option("--scope", default="block", show_default=True, help="Drop in each block alone, or in all of a stage.")
@click.option("--means-from", metavar="DATA", help="Other images than those measured, such as digits#train.")
@click.option(
    "--selectivity-from", type=click.Path(path_type=Path), metavar="RUN", help="Its index, for --score selectivity."
)
@click.option("--class-curves", "per_class", is_flag=True, help="Also write each class's own curves.")
@click.option("--exact", is_flag=True, help="Don't fold batch norm: bit for bit a plain loop at equal batch shapes.")
@click.option("--rows", type=click.IntRange(1), help="Images × variants in a forward pass, instead of by timing.")
@click.option("--compile", "compiled", is_flag=True, help="Use torch.compile.")
@_seed
@_running
@_keep
@_shares
@_out
def pruning(networks, stage, blocks, keep, out, resume, means_from, selectivity_from, per_class, **options):
    """Accuracy after dropping feature maps by their gates' values (figure 3).

    Networks without gates are measured whole and with each block's shortcut alone: the figure's stars. Other scores
    than the gate give every network its curves.
    """
    from analysis.commands.pruning import Pruning
    from analysis.probes.dropping import ORDERS, RATIOS, Dropping, check_ratios

    chosen = {"ratios": check_ratios(options.pop("ratios") or RATIOS), "orders": list(options.pop("orders") or ORDERS)}
    chosen |= {"scores": list(options.pop("scores") or ("gate",)), "per_image": not options.pop("one_order")}
    chosen |= _take(options, "fill", "scope", "exact", "seed", "rows", "compiled")
    dropping = Dropping(**chosen)
    dropping.check()
    inputs, measuring = _take_inputs(networks, options, dropping.seed), _take_measuring(options, keep)
    request = Pruning(inputs, measuring, dropping, stage, blocks, means_from, selectivity_from, per_class)
    _execute("pruning", request, out, resume)


@main.command()
@click.argument("network")
@_data
@_subset
@_skip
@_recipe
@click.option("--keep-epochs", is_flag=True, help="Keep every epoch's weights, in OUT/epochs.")
@click.option(
    "--keep",
    type=click.FloatRange(0, min_open=True),
    multiple=True,
    metavar="EPOCHS",
    help="Keep the weights after so many epochs, whole or not, such as 0.25; repeatable.",
)
@_seed
@_device
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    help="fp32 (IEEE), tf32, bf16, fp16, or auto: bf16 where the device computes in it and a few steps show it to be "
    "faster.",
)
@click.option(
    "--compile", "compiled", is_flag=True, help="Use torch.compile: a minute of compiling, then faster steps."
)
@_workers
@_processes
@_out
def train(network, data, per_class_limit, recipe, keep_epochs, keep, seed, out, resume, **options):
    """Train a network: weights.safetensors, recipe.json and training.csv.

    --limit and --per-class take a subset of each split.
    """
    from analysis.devices import keep_freed_memory
    from analysis.errors import UsageError
    from analysis.training import train as run_training

    if keep_epochs and keep:
        raise UsageError("--keep-epochs keeps every epoch's weights already: give it, or --keep")
    recipe = _take_recipe(options | {"recipe": recipe}, seed)
    how = _take(options, "device", "precision", "workers", "skip_unreadable", "limit", "compiled")
    keep_freed_memory()
    kept = True if keep_epochs else keep
    table = run_training(network, data, out, recipe, resume=resume, keep_epochs=kept, per_class=per_class_limit, **how)
    last = table[table["split"] == "val"].iloc[-1]
    click.echo(
        f"{last.network}: {last.top1_error:.2f} % top-1 error on the validation images after {last.epoch} epochs"
    )
    click.echo(f"Weights: {out / 'weights.safetensors'}")


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="TRAINING...")
@_out
def curves(runs, out, resume):
    """Optimisation curves of trainings, from their folders (figure 1)."""
    from analysis.commands.curves import TrainingCurves

    _execute("curves", TrainingCurves(runs), out, resume)


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--reference", help="Label of the network that the others are compared with; the first by default.")
@_out
def compare(runs, reference, out, resume):
    """Compare the selectivity of networks in finished runs on the same images, from their folders alone."""
    from analysis.commands.compare import Compare

    _execute("compare", Compare(runs, reference), out, resume)


_recorded_tap = click.option(
    "--tap", default="output", show_default=True, help="Whose activity is taken; `gelens record` lists them."
)


@main.command()
@click.argument("recordings", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RECORDING...")
@click.option("--network", "networks", multiple=True, metavar="LABEL", help="Twice: the two that are compared.")
@_recorded_tap
@_seed
@_out
def match(recordings, networks, tap, seed, out, resume):
    """Compare two networks on the same images, block with block and unit with unit, from recordings alone.

    RECORDING is one with two networks, or two of the same images; a run that kept its recording will do. Blocks are
    compared by linear CKA, units of blocks of one name by the correlation with their best match in the other network.
    """
    from analysis.commands.match import Match

    _execute("match", Match(recordings, networks, tap, seed), out, resume)


@main.command()
@click.argument("recording", type=click.Path(path_type=Path))
@click.option("--network", "networks", multiple=True, metavar="LABEL", help="Repeatable; all by default.")
@_recorded_tap
@click.option(
    "--draws", type=click.IntRange(1), default=10, show_default=True, help="Of images, at each number of them."
)
@_seed
@_out
def rarefaction(recording, networks, tap, draws, seed, out, resume):
    """Class selectivity on 2, 5, 10 … images of each class: how much of the index is owed to their number.

    RECORDING is that of `gelens record`, or a run that kept one.
    """
    from analysis.commands.rarefaction import Rarefaction

    _execute("rarefaction", Rarefaction(recording, networks, tap, draws, seed), out, resume)


@main.command()
@click.argument("recording", type=click.Path(path_type=Path))
@click.option("--groups", type=click.Path(path_type=Path), help="A csv: class, a column a level, finest first.")
@click.option("--wordnet", type=click.Path(path_type=Path), help="WordNet's is_a list, for ImageNet's classes.")
@click.option("--network", "networks", multiple=True, metavar="LABEL", help="Repeatable; all by default.")
@_recorded_tap
@click.option(
    "--permutations", type=click.IntRange(1), default=100, show_default=True, help="Of classes, and of images' labels."
)
@click.option("--replicates", type=click.IntRange(0), default=100, show_default=True, help="Of the bootstrap.")
@_seed
@_out
def levels(recording, out, resume, **options):
    """Class selectivity of groups of classes, level by level of a hierarchy, beside random groups as large.

    RECORDING is that of `gelens record`, or a run that kept one. One image of each class will do.
    """
    from analysis.commands.levels import Levels

    _execute("levels", Levels(recording, **options), out, resume)


@main.command()
@click.argument("data")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file to make.")
@click.option("--network", help="Resize and crop as this network has it; 224 px, crop 0.875, bilinear by default.")
@_geometry
@_subset
@_skip
@_seed
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes that read images.")
@_resume
def cache(data, out, network, seed, workers, resume, **options):
    """Decode, resize and crop images once, into a file that every command takes as --data cache:FILE."""
    from analysis.commands.cache import Cache

    inputs = _take_inputs((), options | {"data": data}, seed)
    images = Cache(inputs, network, workers).write(out, resume)
    left_out = f", {len(images.skipped)} left out as unreadable" if images.skipped else ""
    click.echo(plain(f"{len(images)} images of {images}{left_out}; as data: cache:{out}"))


@main.command()
@click.argument("networks", nargs=-1, metavar="[NETWORK]...")
@_out
def diagram(networks, out, resume):
    """Diagrams of Gather-Excite operators: the paper's four, or those of given networks (figure 4)."""
    from analysis.commands.diagram import Diagram

    _execute("diagram", Diagram(networks), out, resume)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", "formats", multiple=True, help="png, pdf or svg; repeatable.  [default: png and pdf]")
@click.option("--width", type=float, help="Inches, of every figure; 3.3 is one column. Each figure's own by default.")
@click.option("--blocks", multiple=True, metavar="NAME", help="Only these, such as layer3.0 or layer3.*; repeatable.")
@click.option("--bins", type=int, help="Of the distributions; 40 by default.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where to draw, instead of RUN/figures.")
def figures(run, formats, **options):
    """Draw the figures of a finished run again, from its tables alone."""
    from analysis.commands.figures import DEFAULT_FORMATS, Figures

    paths = Figures(run, formats or DEFAULT_FORMATS, **options).draw()
    click.echo("\n".join(map(plain, paths)))


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="The page; report.html in the first RUN by default."
)
def report(runs, out):
    """One HTML page of a finished run, or of several compared: what was run, findings, figures, tables.

    It is made from the runs' folders alone, and opens anywhere without a network.
    """
    from analysis.commands.report import Report

    click.echo(plain(Report(runs, out).write()))


def _supplementary(command, inputs, measuring, recipe, seed, out, resume) -> None:
    from analysis.commands.report import report_beside
    from analysis.commands.supplementary import Supplementary
    from analysis.processes import is_first
    from analysis.tables.selectivity import Statistics

    _execute(command, Supplementary(inputs, measuring, recipe, Statistics(seed)), out, resume)
    if is_first():
        click.echo(f"Report: {plain(report_beside(out))}")


@main.command()
@click.argument("networks", nargs=-1, metavar="[NETWORK]...")
@_inputs
@_recipe
@_seed
@_running
@_keep
@_processes
@_out
def supplementary(networks, seed, keep, out, resume, **options):
    """Every figure and table of the supplementary material, in one reading of the data.

    Without NETWORKs: those that come with gelens, trained on CIFAR-10. A NETWORK without @WEIGHTS is trained first, by
    the recipe; the paper's own are resnet50, resnet50_ge_theta_minus, resnet50_se, shufflenet and so on.
    """
    from analysis.commands.supplementary import shipped_networks
    from analysis.errors import UsageError

    if not networks and click.get_current_context().get_parameter_source("data").name == "DEFAULT":
        raise UsageError(
            "the networks that come with gelens know CIFAR-10: give --data cifar10, or parquet:DIR with its files, or "
            "name NETWORKs; `gelens demo` takes digits"
        )
    recipe, measuring = _take_recipe(options, seed), _take_measuring(options, keep)
    inputs = _take_inputs(networks or shipped_networks(), options, seed)
    _supplementary("supplementary", inputs, measuring, recipe, seed, out, resume)


@main.command()
@_seed
@_running
@_processes
@_keep
@click.option("--epochs", type=int, help="Of each training, instead of the recipe's.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/demo"), show_default=True)
@_resume
def demo(seed, keep, epochs, out, resume, **options):
    """The whole supplementary material in miniature, on scans of digits, from networks trained on the spot."""
    from analysis.commands.inputs import Inputs
    from analysis.commands.supplementary import supplementary_networks
    from analysis.training import recipe_of

    inputs = Inputs(supplementary_networks("mini_resnet", "mini_shufflenet"), "digits")
    recipe = recipe_of("small", epochs=epochs, seed=seed)
    _supplementary("demo", inputs, _take_measuring(options, keep), recipe, seed, out, resume)


@main.command("indices")
def list_indices():
    """The indices of selectivity: what each is, whose, and between what it lies."""
    from analysis.statistics import INDICES

    for name, index in INDICES.items():
        click.echo(f"{name}: {index.definition}.\n    Between {index.range}. {index.source}.")


@main.command("networks")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_networks(as_json):
    """The catalogue: parameters, multiply-accumulates, what the paper reports, and weights that come with gelens."""
    from analysis.networks.counting import catalogue_table
    from analysis.networks.shipped import everything, shipped_table

    table, shipped = catalogue_table(), shipped_table()
    if as_json:
        of_name = lambda name: [str(each.reference) for each in everything() if each.reference.name == name]
        click.echo(table.assign(shipped=table["name"].map(of_name)).to_json(orient="records", indent=2))
        return
    short = {"published_gmacs": "paper", "published_top1_error": "top-1 %", "published_top5_error": "top-5 %"}
    formats = {"parameters": "{:,}".format, "gmacs": "{:.3f}".format}
    click.echo(table.rename(columns=short).to_string(index=False, na_rep="", formatters=formats))
    click.echo("paper: the paper's count of gmacs; top-1 % and top-5 %: its errors on ImageNet. Those of plain")
    click.echo("ResNet-50 and θ⁻ are its supplementary table's; the others, and gmacs, are recalled, not read again.")
    click.echo("Settings follow the name as :key=value,…")
    click.echo("\nWeights that come with gelens; @cifar10/* is the group of all seeds:")
    click.echo(shipped.to_string(index=False))


@main.command()
@click.argument("network")
@click.option("--image-size", type=click.IntRange(1), help="Pixels, instead of the network's own.")
def layers(network, image_size):
    """The names to measure in a network, with units, map sizes, branch, gate, and whether they are signed.

    Where its stages are known, their blocks; else its modules in the order in which they are called, those within a
    block left out. Signed ones are negative somewhere on noise: selectivity takes them with --rectify.
    """
    from analysis.anatomy.listing import layer_table
    from analysis.networks import load_network
    from analysis.networks.checkpoints import check_side

    check_side(image_size)
    click.echo(layer_table(load_network(network), image_size).to_string(index=False))


if __name__ == "__main__":
    main()
