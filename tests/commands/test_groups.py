"""Groups of trainings on the command line: measured in one pass, compared over trainings."""

import json

import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from cli import main
from gelens.networks import load_network, save_weights

SEEDS = (0, 1, 2)
"""The fewest trainings that anything is said of."""

GATES = ("blocks", "blocks_trainings", "static", "static_trainings")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Three seeds of two networks that nobody trained."""
    folder = tmp_path_factory.mktemp("weights")
    for name in ("mini_resnet", "mini_resnet_se"):
        for seed in SEEDS:
            torch.manual_seed(seed)
            save_weights(load_network(name), folder / f"{name}-{seed}.safetensors", seed=str(seed))
    return folder


def run(*arguments) -> str:
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def networks(weights) -> list[str]:
    return [f"plain=mini_resnet@{weights}/mini_resnet-*.safetensors", f"mini_resnet_se@{weights}/mini_resnet_se-*"]


@pytest.mark.slow
def test_selectivity_of_groups(weights, tmp_path):
    few = ("--limit", 40, "--permutations", 4, "--replicates", 8, "--blocks", "layer3.4", "--blocks", "layer3.5")
    out = run("selectivity", *networks(weights), *few, "--out", tmp_path / "run")
    labels = [f"{group}#{seed}" for group in ("plain", "mini_resnet_se") for seed in SEEDS]
    units = pd.read_csv(tmp_path / "run" / "selectivity.csv")
    assert list(units["network"].unique()) == labels
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [record["networks"][label]["group"] for label in labels] == ["plain"] * 3 + ["mini_resnet_se"] * 3
    assert [record["networks"][label]["training_seed"] for label in labels] == [*SEEDS, *SEEDS]
    gaps = pd.read_csv(tmp_path / "run" / "selectivity_gap_trainings.csv")
    means = units.groupby(["network", "block"])["csi"].mean()
    for row in gaps[gaps["gap"] == "mean"].itertuples():
        each = [means[f"mini_resnet_se#{seed}", row.block] - means[f"plain#{seed}", row.block] for seed in SEEDS]
        assert row.mean == pytest.approx(sum(each) / 3) and row.trainings == 3 and row.low < row.mean < row.high
    assert len(pd.read_csv(tmp_path / "run" / "selectivity_gap_seeds.csv")) == 3 * 2 * 6
    (claim,) = pd.read_csv(tmp_path / "run" / "selectivity_claims.csv").itertuples()
    assert claim.claim == "F2" and claim.network == "mini_resnet_se" and claim.reference_trainings == 3
    over = pd.read_csv(tmp_path / "run" / "selectivity_blocks_trainings.csv").set_index(
        ["network", "block", "quantity"]
    )
    blocks = pd.read_csv(tmp_path / "run" / "selectivity_blocks.csv").set_index(["network", "block"])
    each = blocks.loc[[(f"plain#{seed}", "layer3.5") for seed in SEEDS]]
    row = over.loc[("plain", "layer3.5", "mean_corrected")]
    assert row["mean"] == pytest.approx(each["mean_corrected"].mean())
    assert row["se_images"] == pytest.approx(each["mean_corrected_se"].mean())
    errors = pd.read_csv(tmp_path / "run" / "evaluation_gap_trainings.csv")
    assert errors["metric"].tolist() == ["top1_error", "top5_error"] and (errors["trainings"] == 3).all()
    of = pd.read_csv(tmp_path / "run" / "evaluation.csv").set_index("network")["top1_error"]
    each = [of[f"mini_resnet_se#{seed}"] - of[f"plain#{seed}"] for seed in SEEDS]
    assert errors["mean"].iloc[0] == pytest.approx(sum(each) / 3)
    pooled = pd.read_csv(tmp_path / "run" / "evaluation_trainings.csv").set_index(["network", "quantity"])
    errors = of[[f"plain#{seed}" for seed in SEEDS]]
    row = pooled.loc[("plain", "top1_error")]
    assert row["mean"] == pytest.approx(errors.mean()) and row["se_trainings"] == pytest.approx(errors.sem())
    assert row["se_images"] == pytest.approx(((errors * (100 - errors) / 40) ** 0.5).mean())
    told = [finding for finding in record["findings"] if "no more than chance" not in finding]
    assert len(told) == 1 and told[0].startswith("Over 3 trainings of mini ResNet SE and 3 of plain: ")
    assert "one training" not in out and "Over 3 trainings" in out
    assert {"fig2_selectivity.png", "fig2_trainings.png"} <= {p.name for p in (tmp_path / "run" / "figures").iterdir()}


@pytest.mark.slow
def test_a_group_may_be_the_reference(weights, tmp_path):
    few = ("--limit", 40, "--permutations", 2, "--replicates", 2, "--blocks", "layer3.5")
    run("selectivity", *networks(weights), *few, "--reference", "mini_resnet_se", "--out", tmp_path / "run")
    gaps = pd.read_csv(tmp_path / "run" / "selectivity_gap_trainings.csv")
    assert set(gaps["reference"]) == {"mini_resnet_se"} and set(gaps["network"]) == {"plain"}
    result = CliRunner().invoke(
        main, ["selectivity", *networks(weights), "--reference", "x", "--out", str(tmp_path / "x")]
    )
    assert result.exit_code and "no network `x` to compare with; labels: plain#0" in result.output


@pytest.mark.slow
def test_gates_of_groups(weights, tmp_path):
    """Rows of each training, and over trainings: means, with their spread; static gates of one value each."""
    few = ("--limit", 60, "--permutations", 2, "--replicates", 2, "--blocks", "layer3.5")
    group = networks(weights)[1]
    out = run("gates", group, *few, "--means-from", "digits#train", "--out", tmp_path / "run")
    assert "mini ResNet SE, seed 1: of the variance" in out
    read = {name: pd.read_csv(tmp_path / "run" / f"gates_{name}.csv", keep_default_na=False) for name in GATES}
    blocks, over = read["blocks"], read["blocks_trainings"].set_index("quantity")
    for share in ("share_channel", "share_class", "share_image", "share_input"):
        row = over.loc[share]
        assert row["mean"] == pytest.approx(blocks[share].mean()) and row["network"] == "mini_resnet_se"
        assert row["se_trainings"] == pytest.approx(blocks[share].sem())
        assert row["se_images"] == pytest.approx(blocks[f"{share}_se"].mean())
    assert "p" not in over
    each = read["static"].groupby(["block", "gate"])["difference"]
    for row in read["static_trainings"].itertuples():
        mine = each.get_group((row.block, row.gate))
        assert row.trainings == 3 and row.mean == pytest.approx(mine.mean())
        assert row.se_trainings == pytest.approx(mine.sem())


def test_pruning_of_groups(weights, tmp_path):
    few = (
        "--limit",
        30,
        "--ratio",
        0,
        "--ratio",
        0.5,
        "--ratio",
        1,
        "--blocks",
        "layer3.5",
        "--score",
        "gate",
        "--score",
        "random",
    )
    run("pruning", *networks(weights), *few, "--out", tmp_path / "run")
    table = pd.read_csv(tmp_path / "run" / "pruning_summary_trainings.csv")
    each = pd.read_csv(tmp_path / "run" / "pruning_summary.csv")
    mine = table[table["network"] == "mini_resnet_se"].set_index("quantity")
    for name in ("area", "area_random", "drop_all"):
        of = each[each["network"].str.startswith("mini_resnet_se")][name]
        assert mine.loc[name, "mean"] == pytest.approx(of.mean()) and mine.loc[name, "trainings"] == 3
    assert (tmp_path / "run" / "figures" / "fig3_pruning.png").is_file()


@pytest.mark.slow
def test_lesions_and_taps_of_groups(weights, tmp_path):
    """Tables over trainings, and figures that draw a group once."""
    few = ("--limit", 40, "--blocks", "layer3.5")
    group = networks(weights)[1]
    run("lesions", group, *few, "--units", 4, "--means-from", "digits#train", "--out", tmp_path / "lesions")
    drawn = ("--permutations", 2, "--replicates", 4)
    run("taps", group, networks(weights)[0], *few, *drawn, "--out", tmp_path / "taps")
    read = lambda name: pd.read_csv(tmp_path / f"{name}.csv")
    each, over = read("lesions/lesions_targeted"), read("lesions/lesions_targeted_trainings")
    assert set(over["network"]) == {"mini_resnet_se"} and len(over) == 3 * each["k"].nunique()
    for row in over.itertuples():
        mine = each[each["k"] == row.k]
        assert row.mean == pytest.approx(mine[row.quantity].mean())
        assert row.se_images == pytest.approx(mine[f"{row.quantity}_se"].mean())
    run("lesions", group, *few, "--units", 4, "--out", tmp_path / "alone")
    assert not (tmp_path / "alone" / "lesions_targeted_trainings.csv").exists(), "without other images none is targeted"
    each, over = read("taps/taps_blocks").set_index(["network", "tap"]), read("taps/taps_blocks_trainings")
    for row in over.itertuples():
        mine = each.loc[[(f"{row.network}#{seed}", row.tap) for seed in SEEDS], row.quantity]
        assert row.mean == pytest.approx(mine.mean(skipna=False), nan_ok=True)
    assert set(over["network"]) == {"mini_resnet_se", "plain"} and set(over["tap"]) >= {"branch", "output"}


def test_a_group_without_files_is_refused(tmp_path):
    result = CliRunner().invoke(main, ["evaluate", "mini_resnet@nowhere/*.pth", "--out", str(tmp_path / "run")])
    assert result.exit_code and "no file matches `nowhere/*.pth`" in result.output


@pytest.mark.slow
def test_groups_of_finished_runs_are_compared(weights, tmp_path):
    """Each training measured by itself, then compared: the same as all in one pass."""
    few = ("--limit", 40, "--permutations", 3, "--replicates", 6, "--blocks", "layer3.5", "--no-keep")
    run("selectivity", *networks(weights), *few, "--out", tmp_path / "whole")
    for name in ("mini_resnet", "mini_resnet_se"):
        for seed in SEEDS:
            out = tmp_path / f"{name}-{seed}"
            run("selectivity", f"{name}@{weights}/{name}-{seed}.safetensors", *few, "--out", out)
    groups = [f"plain={tmp_path}/mini_resnet-?", f"mini_resnet_se={tmp_path}/mini_resnet_se-?"]
    run("compare", *groups, "--out", tmp_path / "compared")
    for table in ("selectivity_gap_trainings", "selectivity_gap_seeds", "selectivity_blocks_trainings"):
        one, other = (pd.read_csv(tmp_path / folder / f"{table}.csv") for folder in ("whole", "compared"))
        pd.testing.assert_frame_equal(one, other)
    run("selectivity", f"mini_resnet@{weights}/mini_resnet-1.safetensors", *few, "--out", tmp_path / "mini_resnet-3")
    result = CliRunner().invoke(main, ["compare", *groups, "--out", str(tmp_path / "compared"), "--resume"])
    assert result.exit_code and "Traceback" not in result.output, "another run belongs to the group now"
    refused = ["compare", groups[0], f"x={tmp_path}/nothing-*", "--out", str(tmp_path / "refused")]
    result = CliRunner().invoke(main, refused)
    assert result.exit_code and "no run's folder matches" in result.output


@pytest.mark.slow
def test_the_supplement_of_groups(weights, tmp_path):
    """Every part takes all trainings of a group; curves are those beside the weights."""
    for name in ("mini_shufflenet", "mini_shufflenet_ge_theta"):
        (tmp_path / name).mkdir()
        for seed in (0, 1):
            torch.manual_seed(seed)
            file = tmp_path / name / f"seed-{seed}.safetensors"
            save_weights(load_network(name), file, seed=str(seed))
            rows = [{"network": name, "epoch": epoch, "split": split} for epoch in (1, 2) for split in ("train", "val")]
            errors = {"loss": 1.0, "top1_error": 50.0 - seed, "top5_error": 20.0, "learning_rate": 0.1}
            pd.DataFrame(rows).assign(**errors).to_csv(file.with_suffix(".csv"), index=False)
    several = [
        f"{name}@{tmp_path}/{name}/seed-*.safetensors" for name in ("mini_shufflenet", "mini_shufflenet_ge_theta")
    ]
    shared = ("--limit", 20, "--out", tmp_path / "run")
    run("supplementary", *networks(weights), *several, *shared)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    plain, gated = ([f"{group}#{seed}" for seed in SEEDS] for group in ("plain", "mini_resnet_se"))
    assert record["roles"]["selectivity"] == plain + gated == record["roles"]["pruning"]
    assert record["roles"]["pooling"] == plain and len(record["roles"]["optimisation"]) == 4
    assert len(pd.read_csv(tmp_path / "run" / "training.csv")) == 4 * 4
    drawn = {path.stem for path in (tmp_path / "run" / "figures").glob("*.png")}
    assert {"fig1_optimisation", "fig2_selectivity", "fig2_trainings", "fig3_pruning", "fig4_operators"} <= drawn
