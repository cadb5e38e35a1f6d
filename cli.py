"""The command line: it parses and calls. Heavy imports come after parsing, so that --help answers at once."""

from pathlib import Path

import click

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class _Group(click.Group):
    """Failures that a person may see end as one line and an exit code: 2 for usage, 1 for what did not work."""

    def invoke(self, context: click.Context):
        from analysis.errors import RunError, UsageError

        try:
            return super().invoke(context)
        except UsageError as error:
            raise click.UsageError(str(error)) from error
        except RunError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            raise click.ClickException(f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")) from error
        except KeyboardInterrupt:
            click.echo(
                "\nInterrupted; what was done is kept: the same command with --resume goes on from there.", err=True
            )
            context.exit(130)


@click.group(cls=_Group, context_settings=CONTEXT)
@click.version_option(package_name="gelens")
def main():
    """What gates do to the features of convolutional networks: class selectivity, feature importance, accuracy.

    A NETWORK is NAME[:key=value,…][@WEIGHTS], such as mini_resnet_ge_theta_minus:extent=4@weights.safetensors;
    `gelens networks` lists the names. DATA is digits, cifar10[:DIR] or folder:DIR, with #train or #val after it.
    """


def _options(*options):
    def decorate(function):
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_data = click.option(
    "--data", default="digits", show_default=True, help="The images: digits, cifar10[:DIR], folder:DIR."
)
_out = click.option("--out", type=click.Path(path_type=Path), required=True, help="The run's folder.")
_resume = click.option("--resume", is_flag=True, help="Go on with an interrupted run of the same arguments.")
_limit = click.option("--limit", type=int, help="Measure a class-balanced subset of so many images.")
_seed = click.option("--seed", type=int, default=0, show_default=True, help="Of everything that is drawn at random.")
_running = _options(
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps."),
    click.option("--precision", default="fp32", show_default=True, help="fp32, bf16 or fp16."),
    click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Images in a batch."),
    click.option(
        "--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes that decode images."
    ),
)
_where = _options(
    click.option("--stage", type=int, default=4, show_default=True, help="4 is conv4_x (layer3)."),
    click.option("--blocks", multiple=True, metavar="NAME", help="Module names instead of a stage; may be repeated."),
)
_recipe = _options(
    click.option("--recipe", default="small", show_default=True, help="small, or imagenet (the paper's)."),
    click.option("--epochs", type=int, help="Instead of the recipe's."),
    click.option("--learning-rate", type=float, help="Instead of the recipe's."),
    click.option("--train-batch-size", type=int, help="Instead of the recipe's."),
)


def _sweep_options(device, precision, batch_size, workers):
    from analysis.sweep import PRECISIONS, SweepOptions, resolve_device

    if precision not in PRECISIONS:
        from analysis.errors import unknown

        raise unknown("precision", precision, PRECISIONS)
    resolve_device(device)
    return SweepOptions(device, precision, batch_size, workers)


def _execute(command: str, out: Path, resume: bool, arguments: dict, work) -> None:
    """Open the run, do the work unless it is finished, and print what came of it."""
    from analysis.results import Run

    run = Run(out, command, arguments, resume)
    if run.finished:
        click.echo(f"{out} is finished already.")
    else:
        work(run)
        run.finish()
    _summary(run)


def _summary(run) -> None:
    from analysis.figures import pretty
    from analysis.results import read_table

    if run.path("evaluation.csv").exists():
        click.echo("\nTop-1 accuracy on the images measured:")
        for row in read_table(run.folder, "evaluation.csv").itertuples():
            click.echo(f"  {pretty(row.network):<45} {100 - row.top1_error:6.2f} %  ({row.images} images)")
    drawn = sorted(run.path("figures").glob("*.png"))
    if drawn:
        click.echo("Figures (each also as .pdf):")
        for path in drawn:
            click.echo(f"  {path}")
    tables = sorted(run.folder.glob("*.csv"))
    if tables:
        click.echo(f"Tables: {', '.join(path.name for path in tables)} in {run.folder}")


@main.command()
@click.argument("networks", nargs=-1, required=True, metavar="NETWORK...")
@_data
@_limit
@_running
@_out
@_resume
def evaluate(networks, data, limit, device, precision, batch_size, workers, out, resume):
    """Top-1 and top-5 error, parameters and multiply-accumulates (table 1)."""
    from analysis import commands

    options = _sweep_options(device, precision, batch_size, workers)
    arguments = dict(networks=networks, data=data, limit=limit, precision=precision)
    _execute("evaluate", out, resume, arguments, lambda run: commands.evaluate(run, networks, data, options, limit))


@main.command()
@click.argument("networks", nargs=-1, required=True, metavar="NETWORK...")
@_data
@_where
@click.option("--reference", help="Label of the network that the others are compared with; the first by default.")
@click.option(
    "--permutations", type=click.IntRange(0), default=10, show_default=True, help="Of the labels, for the null."
)
@click.option(
    "--replicates", type=click.IntRange(0), default=10, show_default=True, help="Of the bootstrap over images."
)
@click.option("--rectify", is_flag=True, help="Take the positive part of signed activations.")
@_seed
@_limit
@_running
@_out
@_resume
def selectivity(
    networks,
    data,
    stage,
    blocks,
    reference,
    permutations,
    replicates,
    rectify,
    seed,
    limit,
    device,
    precision,
    batch_size,
    workers,
    out,
    resume,
):
    """Class selectivity of every unit, block by block (figure 2 and the gap against depth)."""
    from analysis import commands

    options = _sweep_options(device, precision, batch_size, workers)
    statistics = commands.Statistics(seed, permutations, replicates, rectify)
    arguments = dict(networks=networks, data=data, stage=stage, blocks=blocks, reference=reference, limit=limit)
    arguments |= vars(statistics) | dict(precision=precision)
    _execute(
        "selectivity",
        out,
        resume,
        arguments,
        lambda run: commands.selectivity(run, networks, data, options, stage, blocks, statistics, reference, limit),
    )


@main.command()
@click.argument("networks", nargs=-1, required=True, metavar="NETWORK...")
@_data
@_where
@click.option(
    "--ratio", "ratios", type=float, multiple=True, help="A drop ratio; may be repeated.  [default: 0, 0.1 … 1]"
)
@click.option("--order", "orders", multiple=True, help="most or least (important first); both by default.")
@_limit
@_running
@_out
@_resume
def pruning(networks, data, stage, blocks, ratios, orders, limit, device, precision, batch_size, workers, out, resume):
    """Accuracy after dropping feature maps by their gates' values (figure 3).

    Networks without gates are measured whole and with each block's shortcut alone: the figure's stars.
    """
    from analysis import commands
    from analysis.feature_importance import ORDERS, RATIOS, check_ratios

    ratios, orders = check_ratios(ratios or RATIOS), list(orders or ORDERS)
    options = _sweep_options(device, precision, batch_size, workers)
    arguments = dict(
        networks=networks, data=data, stage=stage, blocks=blocks, ratios=ratios, orders=orders, limit=limit
    )
    arguments |= dict(precision=precision)
    _execute(
        "pruning",
        out,
        resume,
        arguments,
        lambda run: commands.pruning(run, networks, data, options, ratios, orders, stage, blocks, limit),
    )


@main.command()
@click.argument("network")
@_data
@_recipe
@_seed
@_running
@_out
@_resume
def train(
    network,
    data,
    recipe,
    epochs,
    learning_rate,
    train_batch_size,
    seed,
    device,
    precision,
    batch_size,
    workers,
    out,
    resume,
):
    """Train a network: weights.safetensors, recipe.json and training.csv."""
    from analysis.training import recipe_of
    from analysis.training import train as run_training

    chosen = recipe_of(recipe, epochs=epochs, learning_rate=learning_rate, batch_size=train_batch_size, seed=seed)
    table = run_training(network, data, out, chosen, device, precision, workers, resume)
    last = table[table["split"] == "val"].iloc[-1]
    click.echo(f"{network}: {last.top1_error:.2f} % top-1 error on the validation images after {last.epoch} epochs")
    click.echo(f"Weights: {out / 'weights.safetensors'}")


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="TRAINING...")
@_out
@_resume
def curves(runs, out, resume):
    """Optimisation curves of trainings, from their folders (figure 1)."""
    from analysis import commands

    _execute("curves", out, resume, dict(runs=[str(run) for run in runs]), lambda run: commands.curves(run, runs))


@main.command()
@click.argument("networks", nargs=-1, metavar="[NETWORK]...")
@_out
@_resume
def diagram(networks, out, resume):
    """Diagrams of Gather-Excite operators: the paper's four, or those of given networks (figure 4)."""
    from analysis import commands

    _execute("diagram", out, resume, dict(networks=networks), lambda run: commands.diagram(run, networks))


def _supplementary(command, networks, data, limit, recipe, seed, options, out, resume):
    from analysis import commands

    statistics = commands.Statistics(seed)
    arguments = dict(networks=networks, data=data, limit=limit, recipe=vars(recipe), precision=options.precision)
    arguments |= vars(statistics)
    _execute(
        command,
        out,
        resume,
        arguments,
        lambda run: commands.supplementary(run, networks, data, options, recipe, statistics, limit),
    )


@main.command()
@click.argument("networks", nargs=-1, metavar="[NETWORK]...")
@_data
@_limit
@_recipe
@_seed
@_running
@_out
@_resume
def supplementary(
    networks,
    data,
    limit,
    recipe,
    epochs,
    learning_rate,
    train_batch_size,
    seed,
    device,
    precision,
    batch_size,
    workers,
    out,
    resume,
):
    """Every figure and table of the supplementary material, in one reading of the data.

    Without NETWORKs: the paper's own. A NETWORK without @WEIGHTS is trained first, by the recipe.
    """
    from analysis import commands
    from analysis.training import recipe_of

    chosen = recipe_of(recipe, epochs=epochs, learning_rate=learning_rate, batch_size=train_batch_size, seed=seed)
    networks = list(networks) or commands.supplementary_networks()
    options = _sweep_options(device, precision, batch_size, workers)
    _supplementary("supplementary", networks, data, limit, chosen, seed, options, out, resume)


@main.command()
@_seed
@_running
@click.option("--epochs", type=int, help="Of each training, instead of the recipe’s.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/demo"), show_default=True)
@_resume
def demo(seed, device, precision, batch_size, workers, epochs, out, resume):
    """The whole supplementary material in miniature, on scans of digits, from networks trained on the spot."""
    from analysis import commands
    from analysis.training import recipe_of

    networks = commands.supplementary_networks("mini_resnet", "mini_shufflenet")
    options = _sweep_options(device, precision, batch_size, workers)
    recipe = recipe_of("small", epochs=epochs, seed=seed)
    _supplementary("demo", networks, "digits", None, recipe, seed, options, out, resume)


@main.command("networks")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_networks(as_json):
    """The catalogue: parameters, multiply-accumulates and published errors."""
    from analysis.networks.counting import catalogue_table

    table = catalogue_table()
    if as_json:
        click.echo(table.to_json(orient="records", indent=2))
        return
    table = table.rename(columns={"published_top1_error": "top-1 %", "published_top5_error": "top-5 %"})
    click.echo(
        table.to_string(index=False, na_rep="", formatters={"parameters": "{:,}".format, "gmacs": "{:.3f}".format})
    )
    click.echo("top-1 % and top-5 %: errors published on ImageNet. Settings follow the name as :key=value,…")


@main.command()
@click.argument("network")
def layers(network):
    """The stages and blocks of a network: the names to measure, with units, map sizes, branch and gate."""
    from analysis.networks import load_network
    from analysis.sites import site_table

    table = site_table(load_network(network))
    click.echo(table.to_string(index=False))


if __name__ == "__main__":
    main()
