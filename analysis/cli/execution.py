"""A request done in a run's folder, and what is said of it."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from ..errors import plain
from ..names import pretty
from .group import is_chosen

log = logging.getLogger(__name__)


def execute(command: str, request, out: Path, resume: bool, whole=lambda run: True, page: bool = False):
    """Open the run, do what is requested unless it is finished and whole, and say what came of it.

    Args:
        whole: says of a finished run whether nothing is missing.
        page: whether the run's report is written.

    Returns:
        The finished run; None where this process has none.
    """
    from ..analyses.run_folder import Recorded
    from ..errors import RunError, UsageError
    from ..processes import is_first
    from ..results.following import open_run

    if is_chosen("dry_run"):
        rehearse(lambda folder: _run_in(folder, command, request))
        return None
    if resume and is_first() and not (out / "run.json").exists():
        log.info("nothing to resume in %s: starting a new run", out)
    with open_run(out, command, request.arguments(), resume) as run:
        finished = run.finished and whole(run)
        drawn: list[Path] = []
        if not finished:
            try:
                drawn = request.run(run)
            except Recorded:
                if is_first():
                    _say_shard(out, run.record["arguments"]["shard"])
                return None
            except (UsageError, RunError):
                run.discard_if_empty()
                raise
            run.finish()
    if not is_first():
        return None
    if page:
        from ..commands.report import report_beside

        report_beside(run.folder, drawn)
    if is_chosen("json"):
        click.echo(json.dumps(_outcome(run), indent=2))
        return run
    if finished:
        click.echo(f"{plain(out)} is finished already; for a fresh run, choose another folder or delete it.")
    _say(_outcome(run))
    return run


def _run_in(folder: Path, command: str, request) -> None:
    from ..results.run import Run

    with Run(folder, command, request.arguments()) as run:
        request.run(run)


def rehearse(work: Callable[[Path], object]) -> None:
    """Say what the first pass of some work would be; nothing is left behind.

    Args:
        work: that is to be done in a folder.
    """
    from ..sweep.rehearsal import Rehearsed

    with TemporaryDirectory() as folder:
        try:
            work(Path(folder) / "run")
        except Rehearsed as told:
            say_plan(told.plan)
            return
    click.echo("No image would be read.")


def say_plan(plan) -> None:
    """Say what would be done."""
    click.echo(json.dumps(vars(plan), indent=2) if is_chosen("json") else plan)


def _say_shard(out: Path, shard: str) -> None:
    of = shard.partition("/")[2]
    click.echo(
        f"Shard {shard} is recorded in {plain(out)}. When all {of} are: `gelens merge FOLDER… --out RUN`, then this "
        f"command with --out RUN --resume instead of --shard makes tables and figures."
    )


def _outcome(run) -> dict:
    """What came of a run, as JSON has it."""
    from ..report import REPORT
    from ..results.run import read_table
    from ..tables.evaluation import accuracy_interval

    accuracies = {}
    if run.path("evaluation.csv").exists():
        for row in read_table(run.folder, "evaluation.csv").dropna(subset="top1_error").itertuples():
            low, high = accuracy_interval(row.top1_error, row.images)
            told = {"top1_accuracy": 100 - row.top1_error, "low": low, "high": high, "images": row.images}
            accuracies[row.network] = told
    return {
        "run": str(run.folder),
        "networks": accuracies,
        "findings": list(run.record.get("findings", ())),
        "claims": _claims(run),
        "figures": [str(path) for path in sorted(run.path("figures").glob("*.png"))],
        "tables": [path.name for path in sorted(run.folder.glob("*.csv"))],
        "report": str(run.path(REPORT)) if run.path(REPORT).exists() else None,
    } | {name: run.record[name] for name in ("worked_out", "expected", "commands") if name in run.record}


def _claims(run) -> dict[str, list[dict]]:
    """The rows of the tables that the findings are about, by table."""
    from ..analyses import analyses
    from ..results.run import read_table

    kind = analyses().get("selectivity" if run.record["command"] == "compare" else run.record["command"])
    there = [name for name in (kind.claims if kind else ()) if run.path(f"{name}.csv").exists()]
    return {name: json.loads(read_table(run.folder, f"{name}.csv").to_json(orient="records")) for name in there}


def _say(outcome: dict) -> None:
    if "worked_out" in outcome:
        click.echo("\nWhat was worked out:")
    for line in outcome.get("worked_out", ()):
        click.echo(f"  {plain(line)}")
    if outcome["networks"]:
        click.echo("\nTop-1 accuracy on the images measured:")
    for network, each in outcome["networks"].items():
        interval = f"95 % {each['low']:.1f} … {each['high']:.1f}"
        click.echo(f"  {pretty(network):<45} {each['top1_accuracy']:6.2f} %  ({interval}; {each['images']} images)")
    if outcome["findings"]:
        click.echo("\nFindings:")
    for finding in outcome["findings"]:
        click.echo(f"  {plain(finding)}")
    if outcome["figures"]:
        click.echo("\nFigures (each also as .pdf):")
    for path in outcome["figures"]:
        click.echo(f"  {plain(path)}")
    if outcome["tables"]:
        click.echo(f"\nTables: {plain(', '.join(outcome['tables']))} in {plain(outcome['run'])}")
    if outcome["report"]:
        click.echo(f"\nReport: {plain(outcome['report'])}")
    if "commands" in outcome:
        click.echo("\nThe same, one by one:")
    for command in outcome.get("commands", ()):
        click.echo(f"  {plain(command)}")


def say_recording(recording, out: Path) -> None:
    arrays = sum(len(recording.names(label)) for label in recording.networks)
    if is_chosen("json"):
        networks = list(recording.networks)
        told = {"recording": str(out), "images": len(recording.images), "networks": networks, "arrays": arrays}
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(f"{len(recording.images)} images, {len(recording.networks)} networks, {arrays} arrays: {plain(out)}")
