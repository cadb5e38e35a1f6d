"""What computes from recordings and finished runs, without a network."""

from pathlib import Path

import click

from .. import choices
from ..errors import plain
from . import options as shared
from .execution import execute, say_recording
from .group import Choice, is_chosen
from .program import COMPUTE, main


@main.command(section=COMPUTE, example="gelens merge runs/shard-1 runs/shard-2 --out runs/selectivity")
@click.argument("parts", nargs=-1, required=True, type=shared.FOLDER, metavar="PART...")
@shared.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the merged result.")
def merge(parts, out):
    """Merge what commands with --shard recorded in separate folders.

    Recordings become one recording. Runs become a run without tables and figures: repeat the original command with
    --out and --resume, and without --shard, to make them. Repeat an interrupted merge to continue it.
    """
    shared.check_there(*parts)
    from ..commands.merge import Merge

    say_recording(Merge(parts).run(out), out)
    if (out / "run.json").is_file():
        click.echo(f"The shards' command with --out {plain(out)} --resume, without --shard, makes tables and figures.")


@main.command(section=COMPUTE, example="gelens compare runs/plain runs/se")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@shared.reference
@shared.out
@shared.as_json
def compare(runs, reference, out, resume):
    """Compare the selectivity of networks in finished runs on the same images, from their folders alone."""
    from ..commands.compare import Compare

    execute("compare", Compare(runs, reference), out, resume)


@main.command(section=COMPUTE, example="gelens curves runs/plain runs/se")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="TRAINING...")
@shared.out
@shared.as_json
def curves(runs, out, resume):
    """Optimisation curves of finished trainings (figure 1)."""
    from ..commands.training_curves import TrainingCurves

    execute("curves", TrainingCurves(runs), out, resume)


@main.command(section=COMPUTE, example="gelens figures runs/selectivity --format svg --width 3.3")
@click.argument("run", type=shared.FOLDER)
@shared.option(
    "--format",
    "formats",
    multiple=True,
    type=Choice(choices.FORMATS),
    help="File format; repeatable.  [default: png and pdf]",
)
@shared.option(
    "--width", type=float, help="Width of every figure in inches (3.3 is one column); each figure's own by default."
)
@shared.option(
    "--blocks", multiple=True, metavar="NAME", help="Blocks to draw, such as layer3.0 or layer3.*; repeatable."
)
@shared.option("--bins", type=int, help="Bins of the distributions; 40 by default.")
@shared.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for the figures, instead of RUN/figures."
)
def figures(run, formats, **options):
    """Redraw the figures of a finished run from its tables."""
    shared.check_there(run)
    from ..commands.figures import DEFAULT_FORMATS, Figures

    paths = Figures(run, formats or DEFAULT_FORMATS, **options).draw()
    click.echo("\n".join(map(plain, paths)))


@main.command(section=COMPUTE, example="gelens verify runs/selectivity")
@click.argument("runs", nargs=-1, required=True, type=shared.FOLDER, metavar="RUN...")
def verify(runs):
    """Check that finished runs and recordings are unchanged: every table, array and finding.

    Commands check what they read of a run; this one checks all of it.
    """
    shared.check_there(*runs)
    from ..commands.verify import verify as compared
    from ..errors import RunError

    found = {folder: compared(folder) for folder in runs}
    for folder, each in found.items():
        if not each.faults:
            click.echo(plain(f"{folder}: {each.files} files and arrays are what was written"))
    faults = [fault for each in found.values() for fault in each.faults]
    for fault in faults[1:]:
        click.echo(plain(fault), err=True)
    if faults:
        raise RunError(faults[0])


@main.command(section=COMPUTE, example="gelens power runs/selectivity --out power.csv")
@click.argument("run", type=shared.FOLDER)
@shared.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="CSV file to write as well."
)
@shared.as_json
def power(run, out):
    """Power of each claim of a finished run with 3, 5, 8 and 10 trainings of each network.

    The run needs at least three trainings of each network. Their spread is taken as the true one.
    """
    shared.check_there(run)
    from ..commands.power import power_of
    from ..statistics.power import power_sentences

    table = power_of(run)
    if out is not None:
        table.to_csv(out, index=False)
    if is_chosen("json"):
        click.echo(table.to_json(orient="records", indent=2))
        return
    for sentence in power_sentences(table):
        click.echo(plain(sentence))


@main.command(section=COMPUTE, example="gelens report runs/plain runs/se --out compared.html")
@click.argument("runs", nargs=-1, required=True, type=shared.FOLDER, metavar="RUN...")
@shared.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write; report.html in the first RUN by default.",
)
def report(runs, out):
    """Write one HTML page for a finished run, or for several: findings, figures, tables, and what was run.

    It needs only the runs' folders, and opens in any browser without a connection.
    """
    shared.check_there(*runs)
    from ..commands.report import Report

    click.echo(plain(Report(runs, out).write()))
