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
@shared.option("--out", type=click.Path(path_type=Path), required=True, help="The folder of the whole.")
def merge(parts, out):
    """Bring together what commands with --shard recorded, each in a folder of its own.

    Recordings become one recording. Runs become a run without tables and figures: the command that made its parts, with
    --out and --resume and without --shard, makes them. One that was interrupted goes on when it is called again.
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
    """Optimisation curves of trainings, from their folders (figure 1)."""
    from ..commands.training_curves import TrainingCurves

    execute("curves", TrainingCurves(runs), out, resume)


@main.command(section=COMPUTE, example="gelens figures runs/selectivity --format svg --width 3.3")
@click.argument("run", type=shared.FOLDER)
@shared.option(
    "--format", "formats", multiple=True, type=Choice(choices.FORMATS), help="Repeatable.  [default: png and pdf]"
)
@shared.option("--width", type=float, help="Inches, of every figure; 3.3 is one column. Each figure's own by default.")
@shared.option("--blocks", multiple=True, metavar="NAME", help="Only these, such as layer3.0 or layer3.*; repeatable.")
@shared.option("--bins", type=int, help="Of the distributions; 40 by default.")
@shared.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where to draw, instead of RUN/figures.")
def figures(run, formats, **options):
    """Draw the figures of a finished run again, from its tables alone."""
    shared.check_there(run)
    from ..commands.figures import DEFAULT_FORMATS, Figures

    paths = Figures(run, formats or DEFAULT_FORMATS, **options).draw()
    click.echo("\n".join(map(plain, paths)))


@main.command(section=COMPUTE, example="gelens verify runs/selectivity")
@click.argument("runs", nargs=-1, required=True, type=shared.FOLDER, metavar="RUN...")
def verify(runs):
    """Whether finished runs, or recordings, are still what was written: every table, array and finding of them.

    Whatever reads a run compares what it reads; this compares all of it.
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
@shared.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="A csv to write as well.")
@shared.as_json
def power(run, out):
    """How many trainings each claim of a finished run takes: its power with 3, 5, 8 and 10 of each network.

    The run must have three trainings of each network at least. What they scatter by is taken for the truth.
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
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="The page; report.html in the first RUN by default."
)
def report(runs, out):
    """One HTML page of a finished run, or of several compared: what was run, findings, figures, tables.

    It is made from the runs' folders alone, and opens anywhere without a network.
    """
    shared.check_there(*runs)
    from ..commands.report import Report

    click.echo(plain(Report(runs, out).write()))
