"""Measures a study's finished trainings, and writes its page: python -m studies.measure STUDY --data parquet:DIR

What is measured stands in STUDY/study.toml: commands of gelens on groups of finished trainings. Each lies in a folder
of its own, named after what went into it: what is measured is not measured again, what is interrupted goes on, and a
new training gives new folders. STUDY/README.md, results/ and figures/ are written anew from them and STUDY/page.md.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

import click
import pandas as pd

from gelens.errors import UsageError
from gelens.files import file_hash
from gelens.results.run import read_record, read_table
from gelens.statistics.power import TABLES, claims_of, power
from gelens.statistics.trainings import LEAST
from studies.trainings import HERE, Measurement, Study, is_finished, study_named

PAGES = HERE
"""Where each study's page.md and protocol.md lie, in its folder."""

NOTHING = "*Nothing yet: the trainings that it takes are not finished.*"

SHOWN = [
    "claim",
    "network",
    "reference",
    "score",
    "scope",
    "metric",
    "statistic",
    "trainings",
    "mean",
    "low",
    "high",
    "p_holm",
]


def confirms(study: Study, measurement: Measurement, weights: Path) -> bool:
    """Whether every network has enough trainings that confirm: only they are measured then, else those that explore."""
    each = [study.finished(network, weights, confirming=True) for network in measurement.networks]
    return bool(study.exploratory) and all(len(files) >= LEAST for files in each)


def groups_of(study: Study, measurement: Measurement, weights: Path) -> dict[str, list[Path]]:
    """By network, the weights of its finished trainings that are taken."""
    most = 1 if measurement.first else None
    confirming = confirms(study, measurement, weights) if study.exploratory else None
    found = {network: study.finished(network, weights, confirming)[:most] for network in measurement.networks}
    return {network: files for network, files in found.items() if files}


def measured(study: Study, measurement: Measurement, data: str, weights: Path, runs: Path, more: Sequence[str]) -> Path:
    """The run's folder, after measuring what is not measured."""
    end = "" if measurement.first else ","  # a comma makes a group
    groups = groups_of(study, measurement, weights)
    networks = [f"{study.reference_of(name)}@{','.join(map(str, files))}{end}" for name, files in groups.items()]
    others = ["--means-from", f"{data}#train"] if measurement.others else []
    arguments = [measurement.command, *measurement.options, *others, *more]
    facts = [[network, file_hash(path)] for network, files in groups.items() for path in files]
    told = hashlib.sha256(json.dumps([arguments, data, facts]).encode()).hexdigest()[:8]
    folder = runs / f"{measurement.name}-{told}"
    command = [arguments[0], *networks, "--data", f"{data}#val", *arguments[1:], "--out", str(folder), "--resume"]
    subprocess.run([sys.executable, "-m", "cli", *command], check=True, cwd=HERE.parent)
    return folder


def claims_table(folders: Mapping[str, Path]) -> pd.DataFrame:
    """The claims of runs, with their verdict and the trainings that each takes.

    Every run has errors: those of a run that has claims of its own are left out, and top-5 errors: no claim is of them.
    """
    found = []
    for folder in folders.values():
        there = [name for name in TABLES if (folder / name).is_file()]
        names = [name for name in there if name.endswith("claims.csv")] or there
        claims = claims_of({name: read_table(folder, name) for name in names})
        if "metric" in claims:
            claims = claims[claims["metric"] == "top1_error"].reset_index(drop=True)
        if len(claims):
            found.append(claims.join(power(claims).reindex(columns=["trainings_needed"])))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def trainings_table(study: Study, weights: Path) -> pd.DataFrame:
    """Network, seed and top-1 accuracy of every finished training."""
    rows = []
    for training in study.trainings:
        if is_finished(training, weights):
            card = json.loads((weights / f"{training.name}.json").read_text())
            rows.append({"network": training.network, "seed": training.seed, "top-1 (%)": card["top1_accuracy"]})
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """A table as markdown; NaN is an empty cell."""
    if not len(table):
        return NOTHING
    text = table.map(lambda value: f"{value:.4g}" if isinstance(value, float) else str(value)).replace("nan", "")
    return text.to_markdown(index=False, disable_numparse=True)


def write_page(study: Study, folders: Mapping[str, Path], weights: Path, into: Path, command: str) -> None:
    """README.md, results/ and figures/ of what was measured."""
    for name in ("results", "figures"):
        (into / name).mkdir(parents=True, exist_ok=True)
    words = {}
    for measurement in study.measurements:
        folder = folders.get(measurement.name)
        words[measurement.name] = NOTHING
        if folder is None:
            continue
        record = read_record(folder)
        words[measurement.name] = "\n".join(f"- {finding}" for finding in record["findings"]) or "*Nothing is said.*"
        for name in measurement.figures:
            source = folder / "figures" / f"{name}.png"
            if source.is_file():
                shutil.copy(source, into / "figures" / source.name)
        for name in measurement.tables:
            if (folder / name).is_file():
                read_table(folder, name).to_csv(into / "results" / name, index=False, float_format="%.6g")
    claims = claims_table({name: folder for name, folder in folders.items() if name not in study.described})
    if len(claims):
        claims.to_csv(into / "results" / "claims.csv", index=False, float_format="%.6g")
        claims = claims[[name for name in [*SHOWN, "verdict", "trainings_needed"] if name in claims]]
    answered = claims["verdict"].isin(["agree", "disagree"]).sum() if len(claims) else 0
    planned = len(study.trainings)
    confirming = [each.name for each in study.measurements if confirms(study, each, weights)]
    trainings = trainings_table(study, weights)
    words |= {
        "claims": markdown(claims),
        "answered": f"{answered} of {len(claims)} numbers are resolved",
        "trainings": markdown(trainings),
        "finished": f"{len(trainings)} of {planned} trainings are finished",
        "kind": _kind(study, confirming),
        "command": command,
    }
    protocol = PAGES / study.name / "protocol.md"
    if protocol.is_file():
        words["protocol"] = f"[protocol](protocol.md), whose SHA-256 begins `{file_hash(protocol)}`"
    page = Template((PAGES / study.name / "page.md").read_text(encoding="utf-8")).substitute(words)
    (into / "README.md").write_text(page, encoding="utf-8")


def _kind(study: Study, confirming: Sequence[str]) -> str:
    """Which trainings the page is about."""
    if not study.exploratory:
        return "all finished trainings"
    if not confirming:
        return "exploratory trainings alone"
    return f"trainings that confirm ({', '.join(confirming)}), else exploratory ones"


@click.command(help=__doc__)
@click.argument("study")
@click.option("--data", required=True, metavar="DATA", help="The study's, with both splits, such as parquet:DIR.")
@click.option("--weights", type=click.Path(path_type=Path), help="Of trainings.  [default: what comes with gelens]")
@click.option("--runs", type=click.Path(path_type=Path), help="For what is measured.  [default: runs/STUDY-measured]")
@click.option("--into", type=click.Path(path_type=Path), help="Where the page is written.  [default: STUDY's folder]")
@click.option("--only", multiple=True, metavar="NAME", help="Of a measurement; repeatable.  [default: all]")
@click.option("--limit", type=int, help="Images, instead of all.")
@click.option("--device", default="auto", show_default=True)
def main(study, data, weights, runs, into, only, limit, device):
    try:
        study = study_named(study)
        weights, into = weights or study.weights, into or HERE / study.name
        runs = (runs or Path("runs") / f"{study.name}-measured").resolve()
        folders = {}
        for measurement in study.measurements:
            if (only and measurement.name not in only) or not groups_of(study, measurement, weights):
                continue
            fewest = min([each for each in (limit, measurement.most) if each is not None], default=None)
            more = ["--device", device] + (["--limit", str(fewest)] if fewest else [])
            folders[measurement.name] = measured(study, measurement, data, weights, runs, more)
        command = f"python -m studies.measure {study.name} --data {data.partition(':')[0]}:DIR"
        write_page(study, folders, weights, into, command + (f" --limit {limit}" if limit else ""))
        click.echo(into / "README.md")
    except UsageError as error:
        raise click.ClickException(str(error)) from error
    except subprocess.CalledProcessError as error:
        raise click.ClickException(f"`{' '.join(error.cmd[2:5])} …` failed") from error


if __name__ == "__main__":
    main()
