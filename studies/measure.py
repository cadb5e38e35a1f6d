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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template

import click
import numpy as np
import pandas as pd

from gelens import __version__
from gelens.errors import UsageError
from gelens.figures.fig1_optimisation import optimisation
from gelens.files import file_hash
from gelens.results.run import read_record, read_table
from gelens.statistics.power import TABLES, claims_of, power
from gelens.statistics.trainings import CURVE_CLAIMS, LEAST
from studies.contrasts import judged
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
    "statistic",
    "trainings",
    "early",
    "late",
    "mean",
    "low",
    "high",
    "p_holm",
]


def confirms(study: Study, networks: Iterable[str], weights: Path) -> bool:
    """Whether every network has enough trainings that confirm: only they are measured then, else those that explore."""
    each = [study.finished(network, weights, confirming=True) for network in networks]
    return bool(study.exploratory) and all(len(files) >= LEAST for files in each)


def kind_of(study: Study, networks: Iterable[str], weights: Path) -> str:
    """Which trainings stand for some networks: those that confirm, those that explore, or all."""
    if not study.exploratory:
        return "all"
    return "confirm" if confirms(study, networks, weights) else "explore"


def groups_of(study: Study, networks: Iterable[str], weights: Path, most: int | None = None) -> dict[str, list[Path]]:
    """By network, the weights of its finished trainings that are taken, `most` of each."""
    networks = list(networks)
    confirming = confirms(study, networks, weights) if study.exploratory else None
    found = {network: study.finished(network, weights, confirming)[:most] for network in networks}
    return {network: files for network, files in found.items() if files}


def contrasts_table(study: Study, folders: Mapping[str, Path], weights: Path) -> pd.DataFrame:
    """The claims about errors whose networks all have finished trainings, with their verdict and what each takes."""
    rows, measured_networks = [], {each.name: each.networks for each in study.measurements}
    for contrast in study.contrasts:
        run = folders.get(contrast.measurement or "")
        groups = groups_of(study, measured_networks.get(contrast.measurement or "", contrast.weights), weights)
        if not contrast.weights.keys() <= groups.keys() or (contrast.measurement and run is None):
            continue
        if run is None:
            curves = {network: [path.with_suffix(".csv") for path in files] for network, files in groups.items()}
            rows.append(contrast.of_epochs(curves))
        else:
            rows.append(contrast.of_images(run, {network: study.label_of(network) for network in contrast.weights}))
        rows[-1]["kind"] = kind_of(study, groups, weights)
    if not rows:
        return pd.DataFrame()
    table = judged(rows)
    return table.join(power(table).reindex(columns=["trainings_needed"])).assign(asked=True)


def measured(study: Study, measurement: Measurement, data: str, weights: Path, runs: Path, more: Sequence[str]) -> Path:
    """The run's folder, after measuring what is not measured."""
    end = "" if measurement.first else ","  # a comma makes a group
    groups = groups_of(study, measurement.networks, weights, measurement.most_of_each)
    networks = []
    for name, files in groups.items():
        named = "" if ":" in name else f"{study.label_of(name)}="
        networks.append(f"{named}{study.reference_of(name)}@{','.join(map(str, files))}{end}")
    others = ["--means-from", f"{data}#train"] if measurement.others else []
    arguments = [measurement.command, *measurement.options, *others, *more]
    weights_of = [file_hash(path) for files in groups.values() for path in files]
    told = hashlib.sha256(json.dumps([arguments, data, networks, weights_of, __version__]).encode()).hexdigest()[:8]
    folder = runs / f"{measurement.name}-{told}"
    command = [arguments[0], *networks, "--data", f"{data}#val", *arguments[1:], "--out", str(folder), "--resume"]
    subprocess.run([sys.executable, "-m", "cli", *command], check=True, cwd=HERE.parent)
    return folder


PARTS = dict(zip(CURVE_CLAIMS.values(), ("F3a", "F3b", "F3c"), strict=True))
"""By statistic, the part of claim F3 that it answers."""


def claims_table(study: Study, folders: Mapping[str, Path], weights: Path) -> pd.DataFrame:
    """The claims of runs, with their verdict, the trainings that each takes, and whether the study asks for them."""
    found = []
    for measurement in study.measurements:
        if measurement.name not in folders:
            continue
        folder = folders[measurement.name]
        names = [name for name in TABLES if name.endswith("claims.csv") and (folder / name).is_file()]
        claims = claims_of({name: read_table(folder, name) for name in names})
        if len(claims):
            asked = [claims[column].astype(str) == value for column, value in measurement.asked.items()]
            claims["asked"] = np.all(asked, axis=0) if asked else measurement.claims
            claims["claim"] = claims["statistic"].map(PARTS).fillna(claims["claim"])
            claims["kind"] = kind_of(study, measurement.networks, weights)
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


def draw_curves(study: Study, weights: Path, folder: Path) -> str:
    """fig1_optimisation.png in the folder, of finished trainings, and the line that shows it."""
    tables = []
    for network, files in groups_of(study, study.curves, weights).items():
        for path in files:
            table = pd.read_csv(path.with_suffix(".csv"))
            tables.append(table.assign(network=f"{network}#{path.stem}", group=network))
    if not tables:
        return NOTHING
    figure = optimisation(pd.concat(tables, ignore_index=True), study.note).figure
    figure.savefig(folder / "fig1_optimisation.png", dpi=150)
    return "![Top-1 error against epoch, training and validation images](figures/fig1_optimisation.png)"


QUESTIONS = {
    "F2": "A gap of selectivity emerges with depth",
    "F3": "The order in which feature maps are dropped matters",
    "T1": "Average pooling of context lowers the error",
    "F1": "Gather-Excite lowers ShuffleNet's error during training",
}
"""By the figure or table of the paper, what it says."""


COUNTS = ("trainings", "reference_trainings")


def areas_table(study: Study, folders: Mapping[str, Path]) -> pd.DataFrame:
    """Block by block, the area between the orders whose mean over blocks is F3a, of the scores that are asked."""
    for measurement in study.measurements:
        path = folders.get(measurement.name, Path()) / "pruning_summary_trainings.csv"
        if measurement.asked and path.is_file():
            areas = pd.read_csv(path).query("quantity == 'area'")
            for column, value in measurement.asked.items():
                areas = areas[areas[column].astype(str) == value]
            return areas.pivot_table(index=["network", "score"], columns="block", values="mean").reset_index()
    return pd.DataFrame()


def _shown(claims: pd.DataFrame) -> pd.DataFrame:
    """The columns of claims that the page has."""
    return claims[[name for name in [*SHOWN, "verdict", "trainings_needed", "kind"] if name in claims]]


def answers(claims: pd.DataFrame) -> str:
    """A line for each question: which of its numbers agree with the paper, and which do not."""
    lines = []
    for figure, question in QUESTIONS.items():
        mine = claims[claims["claim"].str.startswith(figure)] if len(claims) else claims
        if not len(mine) or (mine[[name for name in COUNTS if name in mine]].min(axis=1) < LEAST).all():
            lines.append(f"- {question}: no answer yet, since it takes {LEAST} trainings of each network.")
            continue
        found = mine["verdict"].value_counts()
        said = ", ".join(f"{count} {verdict}" for verdict, count in found.items())
        lines.append(f"- {question}: of {len(mine)} number{'s' if len(mine) > 1 else ''}, {said}.")
    return "\n".join(lines)


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
            for source in sorted((folder / "figures").glob(f"{name}.png")):
                shutil.copy(source, into / "figures" / source.name)
        for name in measurement.tables:
            if (folder / name).is_file():
                read_table(folder, name).to_csv(into / "results" / name, index=False, float_format="%.6g")
    tables = claims_table(study, folders, weights), contrasts_table(study, folders, weights)
    claims = pd.concat([table for table in tables if len(table)] or [pd.DataFrame({"asked": []})], ignore_index=True)
    if len(claims):
        claims.to_csv(into / "results" / "claims.csv", index=False, float_format="%.6g")
    asked, described = (part.drop(columns="asked") for part in (claims[claims["asked"]], claims[~claims["asked"]]))
    answered = asked["verdict"].isin(["agree", "disagree"]).sum() if len(asked) else 0
    planned = len(study.trainings)
    confirming = [each.name for each in study.measurements if confirms(study, each.networks, weights)]
    trainings = trainings_table(study, weights)
    words |= {
        "claims": markdown(_shown(asked)),
        "described": markdown(_shown(described)),
        "areas": markdown(areas_table(study, folders)),
        "answers": answers(asked),
        "optimisation": draw_curves(study, weights, into / "figures"),
        "answered": f"{answered} of {study.numbers or len(asked)} numbers are resolved",
        "trainings": markdown(trainings),
        "finished": f"Trainings finished: {len(trainings)} of {planned}",
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
            groups = groups_of(study, measurement.networks, weights)
            if (only and measurement.name not in only) or len(groups) < measurement.fewest:
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
