"""A request done in a run's folder, and what is said of it."""

from pathlib import Path

import click

from ..errors import plain
from ..names import pretty


def execute(command: str, request, out: Path, resume: bool, whole=lambda run: True) -> None:
    """Open the run, do what is requested unless it is finished and whole, and print what came of it."""
    from ..commands.measuring import Recorded
    from ..errors import RunError, UsageError
    from ..processes import is_first
    from ..results.following import open_run

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
    from ..results.run import read_table

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


def say_recording(recording, out: Path) -> None:
    arrays = sum(len(recording.names(label)) for label in recording.networks)
    click.echo(f"{len(recording.images)} images, {len(recording.networks)} networks, {arrays} arrays: {out}")
