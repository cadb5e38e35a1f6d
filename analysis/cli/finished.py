"""What works on finished runs."""

from pathlib import Path

import click

from ..errors import plain
from . import options as shared
from .main import main
from .running import execute, say_recording


@main.command()
@click.argument("parts", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PART...")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder of the whole.")
def merge(parts, out):
    """Bring together what commands with --shard recorded, each in a folder of its own.

    Recordings become one recording. Runs become a run without tables and figures: the command that made its parts, with
    --out and --resume and without --shard, makes them. One that was interrupted goes on when it is called again.
    """
    from ..commands.merge import Merge

    say_recording(Merge(parts).run(out), out)
    if (out / "run.json").is_file():
        click.echo(f"The shards' command with --out {out} --resume, without --shard, makes tables and figures.")


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--reference", help="Label of the network that the others are compared with; the first by default.")
@shared.out
def compare(runs, reference, out, resume):
    """Compare the selectivity of networks in finished runs on the same images, from their folders alone."""
    from ..commands.compare import Compare

    execute("compare", Compare(runs, reference), out, resume)


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="TRAINING...")
@shared.out
def curves(runs, out, resume):
    """Optimisation curves of trainings, from their folders (figure 1)."""
    from ..commands.curves import TrainingCurves

    execute("curves", TrainingCurves(runs), out, resume)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", "formats", multiple=True, help="png, pdf or svg; repeatable.  [default: png and pdf]")
@click.option("--width", type=float, help="Inches, of every figure; 3.3 is one column. Each figure's own by default.")
@click.option("--blocks", multiple=True, metavar="NAME", help="Only these, such as layer3.0 or layer3.*; repeatable.")
@click.option("--bins", type=int, help="Of the distributions; 40 by default.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where to draw, instead of RUN/figures.")
def figures(run, formats, **options):
    """Draw the figures of a finished run again, from its tables alone."""
    from ..commands.figures import DEFAULT_FORMATS, Figures

    paths = Figures(run, formats or DEFAULT_FORMATS, **options).draw()
    click.echo("\n".join(map(plain, paths)))
