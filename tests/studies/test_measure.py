"""A study is measured by commands of gelens on groups of its finished trainings, and its page says what they say."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import gelens
from gelens.errors import UsageError
from gelens.networks import load_network, save_weights
from gelens.networks.weights import weights_hash
from studies import measure, synsets
from studies.contrasts import OF_EPOCHS, Contrast, judged
from studies.trainings import Study, study_named

TOML = """
recipe = "small"
precision = "fp32"
settings = "classes=10"
licence = "none"
note = "digits"

[[trainings]]
networks = ["mini_resnet", "mini_resnet_se", "mini_shufflenet"]
seeds = [0, 1, 2]

[[measurements]]
name = "evaluation"
command = "evaluate"
networks = ["mini_resnet", "mini_resnet_se"]
tables = ["evaluation_gap_trainings.csv"]

[[measurements]]
name = "selectivity"
command = "selectivity"
networks = ["mini_resnet", "mini_resnet_se"]
options = ["--permutations", "3", "--replicates", "3", "--no-keep"]
figures = ["fig2_trainings"]
tables = ["selectivity_claims.csv"]

[[measurements]]
name = "curves"
command = "pruning"
networks = ["mini_shufflenet"]

[[contrasts]]
claim = "T1a"
statistic = "error of SE less plain"
of = "error"
measurement = "evaluation"
weights = { "mini_resnet_se" = 1, "mini_resnet" = -1 }

[[contrasts]]
claim = "F1b"
statistic = "error early less at the end"
of = "error early less at the end"
weights = { "mini_resnet_se" = 1, "mini_resnet" = -1 }
"""

PARTS = (
    *("$kind. $finished; $answered", "$claims", "$evaluation", "$selectivity", "$curves", "$trainings", "$protocol"),
    *("$answers", "$optimisation", "$areas", "$described"),
)
PAGE = "\n\n".join([*PARTS, "$command\n"])


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    """Three seeds of two networks are finished, of a third none."""
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "study.toml").write_text(TOML)
    (folder / "page.md").write_text(PAGE)
    (folder / "protocol.md").write_text("As it was said.\n")
    monkeypatch.setattr(measure, "PAGES", tmp_path)
    for network in ("mini_resnet", "mini_resnet_se"):
        for seed in range(3):
            torch.manual_seed(seed)
            path = tmp_path / "weights" / network / f"seed-{seed}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            module = load_network(f"{network}:classes=10")
            save_weights(module, path, seed=str(seed))
            card = {"seed": seed, "top1_accuracy": 10.0, "weights": weights_hash(module)}
            path.with_suffix(".json").write_text(json.dumps(card))
            end = 50 + seed + 4 * (network == "mini_resnet_se")
            curve = {"epoch": [1, 2, 3, 4], "split": "val", "top1_error": [90, 80 + seed, 60, end]}
            pd.DataFrame(curve).to_csv(path.with_suffix(".csv"), index=False)
    return study_named(str(folder))


def call(tmp_path, *more: str):
    places = {"--weights": "weights", "--runs": "runs", "--into": "page"}
    arguments = [part for name, place in places.items() for part in (name, str(tmp_path / place))]
    found = CliRunner().invoke(
        measure.main,
        [str(tmp_path / "few"), "--data", "digits", "--limit", "60", "--device", "cpu", *arguments, *more],
        catch_exceptions=False,
    )
    assert found.exit_code == 0, found.output


@pytest.mark.slow
def test_one_command_measures_what_is_finished_and_writes_the_page(study, tmp_path):
    call(tmp_path)
    page = (tmp_path / "page" / "README.md").read_text()
    assert "Trainings finished: 6 of 9" in page and "$" not in page
    assert page.startswith("all finished trainings.")
    assert page.count(measure.NOTHING) == 4, "of the third network, curves, areas, what is described"
    assert "Over 3 trainings of mini ResNet SE" in page and "and 3 of mini ResNet" in page
    claims = pd.read_csv(tmp_path / "page" / "results" / "claims.csv")
    assert set(claims["claim"]) == {"F2", "T1a", "F1b"} and (claims["trainings"] == 3).all()
    errors = pd.read_csv(next((tmp_path / "runs").glob("evaluation-*")) / "evaluation_gap_trainings.csv").iloc[0]
    (contrast,) = claims[claims["claim"] == "T1a"].itertuples()
    assert errors["metric"] == "top1_error"
    assert [contrast.mean, contrast.low, contrast.high] == pytest.approx(errors[["mean", "low", "high"]], abs=1e-4)
    assert (claims.set_index("claim")["mean"]["F1b"], page.count("no answer yet")) == (-4, 1)
    assert claims["asked"].all() and set(claims["kind"]) == {"all"}
    assert (tmp_path / "page" / "figures" / "fig2_trainings.png").is_file()
    assert (
        "[protocol](protocol.md), whose SHA-256 begins `" in page
        and "studies.measure few --data digits:DIR --limit 60" in page
    )
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.csv")}
    call(tmp_path)
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.csv")}, "not again"


def test_of_nothing_finished_the_page_says_so(study, tmp_path):
    call(tmp_path, "--only", "curves")
    page = (tmp_path / "page" / "README.md").read_text()
    assert page.count(measure.NOTHING) == 6 and "1 of 1 numbers are resolved" in page


def test_a_claim_has_the_trainings_that_it_takes(tmp_path):
    told = {"claim": "F2", "network": "se", "reference": "plain", "statistic": "growth", "verdict": "agree"}
    known = told | {"mean": 1.0, "se_trainings": 0.1, "se_images": 0.1, "trainings": 3, "reference_trainings": 3}
    claims = pd.DataFrame([known | {"se_trainings": float("nan")}, known])
    joined = claims.join(measure.power(claims).reindex(columns=["trainings_needed"]))
    assert joined["trainings_needed"].isna().tolist() == [True, False]


def test_both_studies_state_measurements_of_their_networks():
    for name in ("cifar10", "tinyimagenet100"):
        study = study_named(name)
        trained = {training.network for training in study.trainings}
        page = (measure.PAGES / name / "page.md").read_text()
        for measurement in study.measurements:
            assert set(measurement.networks) <= trained and f"${measurement.name}" in page
        assert set(study.curves) <= trained
        for contrast in study.contrasts:
            assert contrast.weights.keys() <= trained
            if contrast.measurement:
                (run,) = (each for each in study.measurements if each.name == contrast.measurement)
                assert contrast.weights.keys() <= set(run.networks)


def test_numbers_of_curves_are_those_of_a_plain_reading():
    errors = np.array([90.0, 80, 70, 60, 50])
    assert OF_EPOCHS["error over epochs"](errors) == 70
    assert OF_EPOCHS["error early less at the end"](errors) == 85 - 50


def test_a_contrast_of_four_networks_is_that_of_a_plain_loop(monkeypatch):
    rng, labels = np.random.default_rng(0), np.arange(60) % 3
    networks = {"a": 0.5, "b": 0.5, "c:pool=max": -0.5, "d": -0.5}
    answers = {f"{name}#{seed}": rng.integers(0, 3, (60, 2)) for name in networks for seed in range(3)}
    recording = SimpleNamespace(
        networks={label: {"group": label.partition("#")[0]} for label in answers},
        labels=labels,
        array=lambda label, name: {"top_classes": answers[label]}[name],
    )
    monkeypatch.setattr(gelens, "open_run", lambda run: SimpleNamespace(recording=recording))
    contrast = Contrast("T1b", "", "error", networks, "pooling")
    (found,) = contrast.of_images(None, {name: name for name in networks}).itertuples()
    expected = 0.0
    for label, given in answers.items():
        for image in range(60):
            expected += networks[label.partition("#")[0]] * 100 * (given[image, 0] != labels[image]) / 60 / 3
    assert found.mean == pytest.approx(expected) and found.se_images > 0
    assert (found.network, found.reference) == ("a + b", "c:pool=max + d")


def test_only_what_the_protocol_asks_for_is_counted(tmp_path, monkeypatch):
    study = study_named("cifar10")
    claims = pd.DataFrame({"network": ["thin_resnet50_se", "thin_resnet50_se", "thin_resnet50"]})
    claims = claims.assign(claim="F3", score=["gate", "activation", "activation"], verdict="agree", statistic="area")
    claims = claims.assign(mean=1.0, se_trainings=np.nan, se_images=0.1, trainings=3)
    (tmp_path / "pruning_claims.csv").touch()
    monkeypatch.setattr(measure, "read_table", lambda folder, name: claims)
    table = measure.claims_table(study, {"pruning": tmp_path}, tmp_path)
    assert table["asked"].tolist() == [True, False, False] and set(table["kind"]) == {"all"}


def test_classes_belong_to_the_first_group_above_them(tmp_path):
    def line(synset: str, above: str) -> str:
        return f"{synset} 05 n 01 word 0 001 @ {above} n 0000 | gloss"

    nouns = [
        "  1 the licence",
        line("00000001", "01861778"),
        line("01861778", "01471682"),
        line("01471682", "00015388"),
    ]
    nouns += ["00015388 03 n 02 animal 0 beast 0 000 | gloss"]
    (tmp_path / "data.noun").write_text("\n".join(nouns) + "\n")
    (tmp_path / "classes.txt").write_text("n00000001\tcat, pussy\n")
    found = CliRunner().invoke(synsets.main, [str(tmp_path / "data.noun"), str(tmp_path / "classes.txt")])
    assert found.output == "class,family,kind\ncat,mammal,animal\n"


@pytest.mark.parametrize("wrong", [{"of": "accuracy"}, {"weights": {"a": 1, "b": -0.5}}])
def test_a_contrast_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(UsageError, match=r"accuracy|add to 0.5"):
        Contrast(**{"claim": "T1", "statistic": "", "of": "error", "weights": {"a": 1, "b": -1}} | wrong)


def test_a_contrast_is_resolved_where_trainings_agree():
    def rows(of_se) -> pd.DataFrame:
        contrast = Contrast("T1", "", "error", {"se": 1, "plain": -1})
        return contrast._row([np.array(of_se), np.array([50.0, 50.1, 49.9])], 0.1, 1000)

    table = judged([rows([48.0, 48.1, 47.9]), rows([52.0, 52.1, 51.9]), rows([48, 52, 50.5]), rows([48.0, 48.1])])
    assert table["verdict"].tolist() == ["agree", "disagree", "not resolved", "no claim"]


def test_trainings_that_confirm_are_measured_by_themselves_once_there_are_enough(tmp_path):
    study = study_named("tinyimagenet100")
    measurement = next(each for each in study.measurements if each.name == "pruning")
    assert measure.groups_of(study, measurement.networks, tmp_path) == {}

    def finish(seeds) -> list[set[str]]:
        for network in measurement.networks:
            (tmp_path / network).mkdir(exist_ok=True)
            for seed in seeds:
                (tmp_path / network / f"seed-{seed}.json").write_text("{}")
        return [
            {path.stem for path in files} for files in measure.groups_of(study, measurement.networks, tmp_path).values()
        ]

    assert finish([0, 1, 3, 4]) == [{"seed-0", "seed-1"}] * 2, "two that confirm can claim nothing"
    assert finish([5]) == [{"seed-3", "seed-4", "seed-5"}] * 2
