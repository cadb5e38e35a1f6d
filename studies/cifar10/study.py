"""Repeats the study on its finished trainings: measures what is not measured, and writes what came of it.

    python -m studies.cifar10.study --data parquet:DIR

It may be stopped at any moment and goes on. README.md, results/ and figures/ beside this file are written anew from
README.template.md and the measurements. What is known of selectivity over training stays where the checkpoints that it
was measured on are not there any more.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template

import click
import pandas as pd

from gelens.figures import optimisation
from gelens.figures.drawing import save
from gelens.names import paper_name, pretty
from gelens.paper import PUBLISHED_ERRORS
from gelens.recording import open_recording
from gelens.results.run import read_record, read_table
from gelens.statistics.trainings import groups_of
from gelens.tables.evaluation import evaluation_gaps
from gelens.tables.pruning import read_curves
from gelens.tables.taps import tap_sentences
from studies.cifar10 import answers, gates, glance
from studies.cifar10.measure import DERIVED, HERE, MEASUREMENTS, STUDY, over_training
from studies.networks import E4_AVG, E4_MAX, GLOBAL_MAX, PLAIN, SE, SHUFFLE, SHUFFLE_THETA, THETA, THETA_MINUS
from studies.trainings import is_finished

UNKNOWN = "*Not known yet: the trainings that it takes are not finished.*"

IMAGES = {"train": 50_000, "val": 10_000}
"""Of CIFAR-10, which the curves of trainings are of."""


def _paper(extent, pool) -> tuple[float, float]:
    return PUBLISHED_ERRORS["resnet50_ge_theta_minus", extent, pool]


POOLING = [
    answers.Pooling(
        THETA_MINUS,
        PLAIN,
        "GE-θ⁻ (global, avg) errs less than no gate",
        (_paper("global", "avg"), PUBLISHED_ERRORS["resnet50", None, None]),
    ),
    answers.Pooling(
        E4_AVG, E4_MAX, "at extent 4, average pooling errs less than maximum", (_paper(4, "avg"), _paper(4, "max"))
    ),
    answers.Pooling(
        THETA_MINUS,
        GLOBAL_MAX,
        "over the whole map, average pooling errs less than maximum",
        (_paper("global", "avg"), _paper("global", "max")),
    ),
    answers.Pooling(
        E4_MAX,
        GLOBAL_MAX,
        "with maximum pooling, extent 4 errs less than the whole map",
        (_paper(4, "max"), _paper("global", "max")),
    ),
]


@dataclass
class Results:
    """Tables that the study leaves, and figures, by name the file that it is copied from.

    Args:
        words: what was found, in sentences, by name.
        images: by measurement, how many images it took.
        earlier: networks whose selectivity over training an earlier call measured.
        options: of the command that measured, as a user would type them.
    """

    tables: dict[str, pd.DataFrame]
    figures: dict[str, Path]
    words: dict[str, list[str]] = field(default_factory=dict)
    images: Mapping[str, int] = field(default_factory=dict)
    earlier: Sequence[str] = ()
    options: str = ""


def collect(runs: Mapping[str, Path], weights: Path, epochs: Sequence[Path]) -> Results:
    """Every answer, from the runs that there are.

    Args:
        runs: by the measurement's name, its run.
        epochs: runs over a training's checkpoints.
    """
    tables, figures, words = {"trainings": _trainings(weights)}, {}, {}
    if "errors" in runs:
        recording = open_recording(runs["errors"])
        groups = groups_of(recording.networks)
        claims = {(each.better, each.worse): each for each in POOLING}
        pairs = [pair for pair in claims if set(pair) <= groups.keys()]
        if pairs and len(gaps := evaluation_gaps(recording, pairs)):
            tables["pooling"] = answers.pooling_answers(gaps, claims)
        figures["table1_pooling"] = runs["errors"] / "figures" / "table1_pooling.png"
    if "selectivity" in runs:
        folder = runs["selectivity"]
        if (folder / "selectivity_gap_trainings.csv").is_file():
            gaps, trends = (read_table(folder, f"selectivity_{name}_trainings.csv") for name in ("gap", "trend"))
            active = _least_active(read_table(folder, "selectivity.csv"))
            tables["selectivity_gaps"], tables["depth"] = gaps, answers.depth_answers(gaps, trends, active)
            words["active"] = [f"{100 * active:.2f} %"]
        tables["selectivity_blocks"] = read_table(folder, "selectivity_blocks.csv")
        for name in ("fig2_selectivity", "fig2_trainings"):
            figures[name] = folder / "figures" / f"{name}.png"
    if "pruning" in runs:
        folder = runs["pruning"]
        curves, groups = read_curves(folder), groups_of(read_record(folder)["networks"])
        if (folder / "pruning_summary_trainings.csv").is_file():
            summary = read_table(folder, "pruning_summary_trainings.csv")
            tables["orders"], tables["blocks"] = answers.order_answers(summary), answers.block_table(summary)
        importances = answers.block_importances(curves, groups)
        tables["stars"] = answers.star_answers(importances, (SE, THETA), PLAIN, curves.indices)
        tables["se_and_theta"] = answers.curve_answers(curves, groups, THETA, SE)
        tables["gate_and_activation"] = answers.score_answers(curves, groups)
        for name in ("fig3_pruning", "fig3_area", "fig3_random"):
            figures[name] = folder / "figures" / f"{name}.png"
    training = _shuffle_curves(weights)
    if len(training):
        tables["speed"] = answers.speed_answers(training, SHUFFLE_THETA, SHUFFLE, IMAGES)
        tables["shuffle_curves"] = training
    if epochs:
        over = pd.concat([read_table(folder, "selectivity_epochs.csv") for folder in epochs], ignore_index=True)
        tables["selectivity_epochs"], tables["peaks"] = over, answers.peak_answers(over)
        for folder in epochs:
            network = read_table(folder, "selectivity_epochs.csv")["network"].iloc[0]
            figures[f"epochs_{network}"] = folder / "figures" / "fig_epochs.png"
    of_gates, drawn, said = _gates(runs)
    tables |= of_gates
    figures |= drawn
    words |= said
    images = {name: read_record(runs[name])["data"]["read"] for name in ("errors", "selectivity") if name in runs}
    return Results(tables, {name: path for name, path in figures.items() if path.is_file()}, words, images)


def _least_active(units: pd.DataFrame) -> float:
    """The least mean over a block's units of the share of images that they are active on.

    Args:
        units: `selectivity.csv`.
    """
    return float(units.groupby(["network", "block"])["active_fraction"].mean().min())


def _gates(runs: Mapping[str, Path]) -> tuple[dict[str, pd.DataFrame], dict[str, Path], dict[str, list[str]]]:
    """What the gates do: tables, figures and sentences."""
    tables: dict[str, pd.DataFrame] = {}
    figures: dict[str, Path] = {}
    words: dict[str, list[str]] = {}
    if "gates" in runs:
        blocks, static = (read_table(runs["gates"], f"gates_{name}.csv") for name in ("blocks", "static"))
        tables["gates"] = gates.gate_table(blocks, static)
        shares, changes = (read_table(runs["gates"], f"gates_{name}_trainings.csv") for name in ("blocks", "static"))
        tables["gates_trainings"], tables["static"] = gates.pooled_table(shares, changes), gates.stage_table(changes)
        words["static"] = gates.static_sentences(static)
        figures |= {
            name: runs["gates"] / "figures" / f"{name}.png" for name in ("fig_gates_variance", "fig_gates_static")
        }
    if "taps" in runs:
        words["taps"] = tap_sentences(read_table(runs["taps"], "taps_gap.csv"))
        figures["fig_taps"] = runs["taps"] / "figures" / "fig_taps.png"
    if "lesions" in runs:
        agreement, record = read_table(runs["lesions"], "lesions_agreement.csv"), read_record(runs["lesions"])
        tables["lesions"] = gates.lesion_table(agreement)
        words["measured"] = [
            f"{record['data']['read']} images, {agreement['units'].max()} units of each block, drawn by hash"
        ]
        words["lesions"] = record["findings"]
        words["indices"] = gates.ceiling_sentences(tables["lesions"])
        words["targeted"] = gates.targeted_sentences(read_table(runs["lesions"], "lesions_targeted.csv"))
        figures["fig_lesions_targeted"] = runs["lesions"] / "figures" / "fig_lesions_targeted.png"
    if "levels" in runs:
        words["levels"] = gates.level_sentences(read_table(runs["levels"], "selectivity_levels.csv"))
    if "rarefaction" in runs:
        table = read_table(runs["rarefaction"], "selectivity_rarefaction.csv")
        words["rarefaction"] = gates.rarefaction_sentences(table)
    if "gaps" in runs and (runs["gaps"] / "selectivity_gap.csv").is_file():
        words["gaps"] = gates.gap_sentences(read_table(runs["gaps"], "selectivity_gap.csv"))
        figures["fig2_gap"] = runs["gaps"] / "figures" / "fig2_gap.png"
    for name in ("match", "match_seeds"):
        if name in runs:
            blocks, means = (read_table(runs[name], f"match_{of}.csv") for of in ("blocks", "means"))
            words.setdefault("match", []).extend(gates.match_sentences(blocks, means))
    return tables, figures, words


def with_earlier(results: Results, out: Path) -> Results:
    """The results, with selectivity over training of those networks whose checkpoints are not there any more.

    Args:
        out: where an earlier call left `results/selectivity_epochs.csv` and the figures.
    """
    path = out / "results" / "selectivity_epochs.csv"
    if not path.is_file():
        return results
    known = pd.read_csv(path)
    now = results.tables.get("selectivity_epochs", pd.DataFrame({"network": []}))
    older = known[~known["network"].isin(now["network"])]
    if older.empty:
        return results
    earlier = list(dict.fromkeys(older["network"]))
    over = pd.concat([older, now], ignore_index=True)
    tables = results.tables | {"selectivity_epochs": over, "peaks": answers.peak_answers(over)}
    drawn = {f"epochs_{network}": out / "figures" / f"epochs_{network}.png" for network in earlier}
    figures = results.figures | {name: file for name, file in drawn.items() if file.is_file()}
    return replace(results, tables=tables, figures=figures, earlier=earlier)


def answered(results: Results) -> Results:
    """The results, with all claims at a glance."""
    claims = glance.claims([each.said for each in POOLING])
    return replace(results, tables=results.tables | {"answers": glance.at_a_glance(claims, results.tables)})


def _trainings(weights: Path) -> pd.DataFrame:
    """A row for each network: how many trainings are finished, of how many, and their accuracy."""
    rows = []
    for network in dict.fromkeys(each.network for each in STUDY.trainings):
        wanted = [each for each in STUDY.trainings if each.network == network]
        facts = [
            json.loads((weights / f"{each.name}.json").read_text()) for each in wanted if is_finished(each, weights)
        ]
        accuracy = pd.Series([each["top1_accuracy"] for each in facts], dtype=float)
        told = {"network": network, "finished": len(facts), "wanted": len(wanted)}
        told |= {"top1_accuracy": accuracy.mean(), "sd": accuracy.std(ddof=1)}
        precisions = sorted({each.get("precision", "") for each in facts})
        rows.append(told | {"precision": ", ".join(precisions)})
    return pd.DataFrame(rows)


def _shuffle_curves(weights: Path) -> pd.DataFrame:
    tables = []
    for training in STUDY.trainings:
        if training.network in (SHUFFLE, SHUFFLE_THETA) and is_finished(training, weights):
            table = pd.read_csv(weights / f"{training.name}.csv")
            label = f"{training.network}#{training.seed}"
            tables.append(table.assign(network=label, group=training.network, seed=training.seed))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def write(results: Results, out: Path, template: Path) -> None:
    """Tables as results/*.csv, figures/*.png, and README.md from its template."""
    for folder, keep in (("results", ()), ("figures", results.figures.values())):
        (out / folder).mkdir(parents=True, exist_ok=True)
        for path in (out / folder).iterdir():
            if path not in keep:
                path.unlink()
    for name, table in results.tables.items():
        if len(table):
            table.to_csv(out / "results" / f"{name}.csv", index=False, float_format="%.6g")
    for name, path in results.figures.items():
        if path.parent != out / "figures":
            shutil.copyfile(path, out / "figures" / f"{name}.png")
    if len(curves := results.tables.get("shuffle_curves", ())):
        save(optimisation(curves)[0], out / "figures" / "fig1_optimisation", ("png",))
    drawn = {path.stem for path in (out / "figures").iterdir()}
    (out / "README.md").write_text(Template(template.read_text()).substitute(_Filling(results, drawn)))


class _Filling(dict):
    """What the template's names stand for, or that there is none yet.

    `table_NAME`, `folded_NAME` (a long table, to be opened), `figure_NAME` and `words_NAME`.
    """

    def __init__(self, results: Results, drawn: set[str]):
        super().__init__()
        self.tables, self.words, self.drawn = results.tables, results.words, drawn
        self.images, self.earlier, self.options = results.images, results.earlier, results.options

    def __missing__(self, name: str) -> str:
        kind, _, of = name.partition("_")
        if kind in ("table", "folded"):
            table = self.tables.get(of, pd.DataFrame())
            if table.empty:
                return UNKNOWN
            return markdown(table) if kind == "table" else folded(table)
        if kind == "words":
            return gates.paragraphs(self.words[of]) if self.words.get(of) else UNKNOWN
        if kind == "figure":
            shown = [
                each for each in sorted(self.drawn) if each == of or (of == "epochs" and each.startswith("epochs_"))
            ]
            return "\n\n".join(f"![{each}](figures/{each}.png)" for each in shown) or "*No figure yet.*"
        if name == "progress":
            return f"{_progress(self.tables['trainings'])} {_images(self.images)}"
        if name == "options":
            return self.options
        if name == "active":
            return "".join(self.words.get("active", ["an unknown share"]))
        if name == "earlier":
            return _earlier(self.earlier)
        raise KeyError(name)


def _earlier(networks: Sequence[str]) -> str:
    if not networks:
        return ""
    names = ", ".join(pretty(network) for network in networks)
    return f"Measured earlier, on checkpoints that were not there when the rest of this page was written: {names}."


def _images(images: Mapping[str, int]) -> str:
    """
    >>> _images({"errors": 10000, "selectivity": 2000})
    'Errors are measured on 10,000 test images, all else on 2,000 where nothing else is said.'
    """
    if not images:
        return "Nothing is measured yet."
    errors, others = images.get("errors", 0), images.get("selectivity", 0)
    return f"Errors are measured on {errors:,} test images, all else on {others:,} where nothing else is said."


def _progress(trainings: pd.DataFrame) -> str:
    done, wanted = int(trainings["finished"].sum()), int(trainings["wanted"].sum())
    return f"{done} of {wanted} trainings are finished."


def markdown(table: pd.DataFrame) -> str:
    """A table for a page, with networks and blocks by the names that papers use.

    >>> print(markdown(pd.DataFrame({"block": ["layer3.0"], "mean": [0.12345], "trainings": [3]})))
    | block | mean | trainings |
    |---|---|---|
    | conv4-1 | 0.123 | 3 |
    """
    rows = ["| " + " | ".join(map(str, table.columns)) + " |", "|" + "---|" * len(table.columns)]
    for row in table.itertuples(index=False):
        cells = [_cell(name, value) for name, value in zip(table.columns, row, strict=True)]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def folded(table: pd.DataFrame) -> str:
    """A table that a reader opens."""
    return f"<details>\n<summary>All {len(table)} rows</summary>\n\n{markdown(table)}\n\n</details>"


def _cell(name: str, value: object) -> str:
    if name in ("network", "reference"):
        return pretty(str(value))
    if name in ("block", "deepest_block"):
        return paper_name(str(value))
    if isinstance(value, float):
        return "" if value != value else f"{value:.2f}" if name in ("top1_accuracy", "sd", "paper") else f"{value:.3g}"
    return str(value)


@click.command()
@click.option("--data", required=True, metavar="DATA", help="CIFAR-10 with both splits, such as parquet:DIR.")
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs/cifar10"), show_default=True)
@click.option("--weights", type=click.Path(path_type=Path), default=STUDY.weights, help="Of finished trainings.")
@click.option("--out", type=click.Path(path_type=Path), default=HERE, help="Where README.md is written.")
@click.option("--limit", type=int, help="Measure so many images only.")
@click.option("--precision", default="auto", show_default=True, help="Of measurements.")
def main(data, runs, weights, out, limit, precision):
    """Measure, and write the study's page."""

    def more(most: int | None = None, every: bool = False) -> list[str]:
        fewest = min((each for each in (limit, most) if each is not None and not every), default=None)
        return ["--precision", precision, *(["--limit", str(fewest)] if fewest else [])]

    measured = (runs / "measured").resolve()
    try:
        done, epochs = _measure(data, weights, runs, measured, more)
    except subprocess.CalledProcessError as error:
        raise click.ClickException(f"`{' '.join(error.cmd[2:])}` failed; what is measured stays") from error
    results = answered(with_earlier(collect(done, weights, epochs), out))
    options = f" --limit {limit}" if limit else ""
    write(replace(results, options=options), out, HERE / "README.template.md")
    click.echo(out / "README.md")


def _measure(data: str, weights: Path, runs: Path, measured: Path, more) -> tuple[dict[str, Path], list[Path]]:
    """By name the runs of all measurements that can be made, and the runs over checkpoints.

    Args:
        more: options of every command, by the most images that it takes.
    """
    done = {
        each.name: each.run(data, weights, measured, more(each.most, each.every))
        for each in MEASUREMENTS
        if each.groups(weights)
    }
    for each in DERIVED:
        if each.of in done and set(each.needs) <= read_record(done[each.of])["networks"].keys():
            done[each.name] = each.run(done[each.of], measured)
    epochs = []
    for training in STUDY.trainings:
        kept = runs / training.name / "epochs"
        if is_finished(training, weights) and kept.is_dir():
            epochs.append(over_training(training, f"{data}#val", kept.resolve(), measured, more()))
    return done, epochs


if __name__ == "__main__":
    main()
