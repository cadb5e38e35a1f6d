"""The commands as a user runs them: what they leave, and one clear line for every mistake."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

import cli
from gelens import figures
from gelens.data import load_data
from gelens.networks import save_weights
from gelens.statistics import selectivity_index
from tests.conftest import make_network

FAST = ["--limit", "40", "--device", "cpu"]
FEW = ["--permutations", "5", "--replicates", "5"]


@pytest.fixture
def weights(tmp_path) -> dict[str, str]:
    """References with saved random weights, by name."""
    references = {}
    for name in ("mini_resnet", "mini_resnet_se", "mini_resnet_ge_theta_minus"):
        save_weights(make_network(name), tmp_path / f"{name}.safetensors")
        references[name] = f"{name}@{tmp_path}/{name}.safetensors"
    return references


@pytest.fixture
def png_alone(monkeypatch):
    """One format of each figure, where figures are not what a test is about: most of its time would be theirs."""
    monkeypatch.setattr(figures, "draw", partial(figures.draw, formats=("png",)))


def run(*arguments) -> tuple[int, str]:
    result = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, result.output


def test_selectivity_leaves_every_table_and_figure(tmp_path, weights):
    code, output = run("selectivity", *weights.values(), *FAST, "--out", tmp_path / "run")
    assert code == 0, output
    folder = tmp_path / "run"
    table = pd.read_csv(folder / "selectivity.csv")
    assert ",".join(table.columns).startswith(
        "network,block,unit,csi,csi_se,csi_null,csi_null_sd,csi_crossfit,active_fraction,mu_max,mu_rest,top_class"
    )
    assert {"csi_corrected", "csi_corrected_se", "reliability", "variation", "top_class_name"} <= set(table.columns)
    assert len(table) == 3 * 6 * 128 and set(table["block"]) == {f"layer3.{block}" for block in range(6)}
    blocks = pd.read_csv(folder / "selectivity_blocks.csv")
    assert ",".join(blocks.columns).startswith(
        "network,block,depth,units,dead,classes,images,mean_csi,mean_csi_se,mean_null,mean_excess,mean_crossfit"
    )
    gaps = pd.read_csv(folder / "selectivity_gap.csv")
    assert ",".join(gaps.columns).startswith(
        "block,depth,network,reference,mean_gap,mean_gap_se,excess_gap,excess_gap_se,crossfit_gap,"
        "crossfit_gap_se,wasserstein,wasserstein_halves,ks,ks_halves"
    )
    samples = np.load(folder / "selectivity_replicates.npz")
    assert samples["mini_resnet_se/layer3.2/csi"].shape == (100, 128)
    assert samples["mini_resnet_se/layer3.2/halves"].shape == (2, 128)
    top = pd.read_csv(folder / "selectivity_images.csv")
    data = load_data("digits").limited(40)
    assert set(top["identifier"]) <= set(data.identifiers) and top["rank"].max() == 9
    assert (top["label"] == top["identifier"].map(dict(zip(data.identifiers, data.labels, strict=True)))).all()
    thumbnails = np.load(folder / "selectivity_thumbnails.npz")
    assert thumbnails["images"].shape == (len(thumbnails["identifiers"]), 64, 64, 3)
    for name in ("fig2_selectivity", "fig2_gap", "fig2_violin", "fig2_null", "fig2_units_mini_resnet_se"):
        assert all((folder / "figures" / f"{name}.{kind}").stat().st_size > 5000 for kind in ("png", "pdf"))
    record = json.loads((folder / "run.json").read_text())
    assert record["finished"] and record["data"]["images"] == 40 and len(record["networks"]) == 3
    assert not list(folder.glob(".*")) and not list(folder.glob("*.pt"))
    assert (folder / "recording" / "recording.json").is_file()


@pytest.mark.usefixtures("png_alone")
def test_other_indices_and_means_on_request(tmp_path, weights):
    out = tmp_path / "run"
    asked = [part for name in ("csi", "precision", "ccmas", "auc", "mi") for part in ("--index", name)]
    where = ["--blocks", "layer3.0", "--save-means"]
    code, output = run("selectivity", weights["mini_resnet"], *FAST, *asked, *where, "--out", out)
    assert code == 0, output
    table = pd.read_csv(out / "selectivity_indices.csv")
    assert ",".join(table.columns) == (
        "network,block,index,unit,value,se,null,null_sd,top_class,resolution,top_class_name"
    )
    assert table["index"].unique().tolist() == ["csi", "precision", "ccmas", "auc", "mi"]
    names = {path.stem for path in (out / "figures").glob("*.png")}
    assert names >= {"fig2_precision", "fig2_ccmas", "fig2_auc", "fig2_mi"}
    with np.load(out / "selectivity_means.npz") as stored:
        means, counts = stored["mini_resnet/layer3.0/means"], stored["mini_resnet/layer3.0/images"]
        assert stored["classes"].tolist() == load_data("digits").classes and counts.sum() == 40
    index = pd.read_csv(out / "selectivity.csv")["csi"]
    np.testing.assert_allclose(selectivity_index(means, counts > 0)[0], index, rtol=1e-12)
    code, output = run("selectivity", weights["mini_resnet"], *FAST, "--index", "area", "--out", tmp_path / "no")
    assert code == 2 and "no index `area`" in output and not (tmp_path / "no").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("png_alone")
def test_selectivity_over_the_checkpoints_of_a_training(tmp_path, monkeypatch):
    """The last checkpoint is damaged: what came before it is kept, and not measured again."""
    (tmp_path / "series").mkdir()
    for epoch in (2, 10, 1):
        save_weights(make_network("mini_resnet", seed=epoch), tmp_path / "series" / f"epoch-{epoch}.safetensors")
    good = (tmp_path / "series" / "epoch-10.safetensors").read_bytes()
    (tmp_path / "series" / "epoch-10.safetensors").write_bytes(good[:1000])
    save_weights(make_network("mini_resnet"), tmp_path / "series" / "last.safetensors")
    out = tmp_path / "run"
    command = ["selectivity", "mini_resnet", *FAST, *FEW, "--blocks", "layer3.0", "--checkpoints", tmp_path / "series"]
    code, output = run(*command, "--out", out)
    assert code != 0 and "epoch-10" in output and "Traceback" not in output
    kept = {path: path.stat().st_mtime_ns for path in out.glob("checkpoints/*/selectivity.csv")}
    assert len(kept) == 2
    (tmp_path / "series" / "epoch-10.safetensors").write_bytes(good)
    code, output = run(*command, "--out", out, "--resume")
    assert code == 0, output
    assert kept.items() <= {path: path.stat().st_mtime_ns for path in out.glob("checkpoints/*/selectivity.csv")}.items()
    table = pd.read_csv(out / "selectivity_epochs.csv")
    assert table["epoch"].tolist() == [1, 2, 10] and (out / "figures" / "fig_epochs.png").exists()
    alone = tmp_path / "alone"
    weights = f"mini_resnet@{tmp_path}/series/epoch-2.safetensors"
    assert run("selectivity", weights, *FAST, *FEW, "--blocks", "layer3.0", "--out", alone)[0] == 0
    assert table["mean_csi"][1] == pd.read_csv(alone / "selectivity_blocks.csv")["mean_csi"][0]
    code, output = run(*command[:1], weights, *command[2:], "--out", tmp_path / "no")
    assert code == 2 and "one NETWORK without @WEIGHTS" in output
    save_weights(make_network("mini_resnet", seed=3), tmp_path / "series" / "epoch-11.safetensors")
    code, output = run(*command, "--out", out, "--resume")
    assert code == 0 and pd.read_csv(out / "selectivity_epochs.csv")["epoch"].tolist() == [1, 2, 10, 11], output
    (tmp_path / "series" / "again-2.safetensors").write_bytes(good)
    code, output = run(*command, "--out", tmp_path / "no")
    assert code == 2 and "both of epoch 2" in output


@pytest.mark.usefixtures("png_alone")
@pytest.mark.slow
def test_what_has_no_null_or_is_dead_is_still_drawn(tmp_path, weights):
    """One image a class; a dead deepest block; networks without a block in common; csi asked for by name."""
    out = [tmp_path / str(number) for number in range(4)]
    options = [weights["mini_resnet"], "--blocks", "layer3.5"]
    code, output = run("selectivity", *options, "--limit", 10, "--out", out[0])
    assert code == 0 and "fig2_units_mini_resnet" in output, output
    code, output = run("selectivity", *options, "--limit", 40, "--permutations", 0, "--index", "csi", "--out", out[1])
    assert code == 0, output
    own, table = (pd.read_csv(out[1] / f"selectivity{name}.csv") for name in ("", "_indices"))
    np.testing.assert_array_equal(own["csi"], table["value"])
    assert set(table["index"]) == {"csi"}
    (tmp_path / "mine.py").write_text(
        "import torch\nclass Mine(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.a, self.b = torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU()\n"
        "        self.c, self.d = torch.nn.ReLU(), torch.nn.Linear(8, 10)\n    def forward(self, x):\n"
        "        x = self.b(self.a(x))\n        return {'logits': self.d(x.mean((2, 3)) + self.c(-x).mean((2, 3)))}\n"
        "def build():\n    return Mine()\n"
    )
    mine = [f"{tmp_path}/mine.py:build", "--untrained", "--image-size", 32]
    code, output = run("selectivity", *mine, "--limit", 40, "--blocks", "b", "--blocks", "c", "--out", out[2])
    assert code == 0 and pd.read_csv(out[2] / "selectivity_blocks.csv")["dead"].tolist()[1] == 8, output
    code, output = run("selectivity", weights["mini_resnet"], "mini_shufflenet", "--untrained", *FAST, "--out", out[3])
    assert code == 0 and "have no block in common" in output and "fig2_gap" not in output, output


@pytest.mark.usefixtures("png_alone")
def test_compare_refuses_what_has_no_selectivity_and_keeps_labels_apart(tmp_path, weights):
    options = ["--blocks", "layer3.5", *FEW, *FAST]
    assert run("evaluate", weights["mini_resnet"], *FAST, "--out", tmp_path / "e")[0] == 0
    assert run("selectivity", weights["mini_resnet"], *options, "--out", tmp_path / "a")[0] == 0
    twice = [weights["mini_resnet"], weights["mini_resnet"]]
    assert run("selectivity", *twice, *options, "--out", tmp_path / "b")[0] == 0
    code, output = run("compare", tmp_path / "e", tmp_path / "a", "--out", tmp_path / "c")
    assert code == 2 and "is a run of `evaluate`" in output
    code, output = run("compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "c")
    assert code == 0, output
    labels = pd.read_csv(tmp_path / "c" / "selectivity_blocks.csv")["network"].tolist()
    assert len(labels) == len(set(labels)) == 3
    assert (pd.read_csv(tmp_path / "c" / "selectivity_gap.csv")["mean_gap"] == 0).all()


@pytest.mark.usefixtures("png_alone")
def test_pruning_columns_and_correctness(tmp_path, weights):
    code, output = run(
        "pruning", weights["mini_resnet"], weights["mini_resnet_se"], *FAST, "--ratio", 0, "--ratio", 0.5, "--ratio", 1,
        "--blocks", "layer3.1", "--out", tmp_path / "run",
    )  # fmt: skip
    assert code == 0, output
    table = pd.read_csv(tmp_path / "run" / "pruning.csv")
    assert ",".join(table.columns) == (
        "network,block,score,order,scope,fill,per_image,ratio,dropped,images,top1,top1_low,top1_high,top5,dropped_at"
    )
    assert len(table) == 2 + 4 and table["dropped"].tolist() == [0, 128, 0, 64, 64, 128]
    stored = np.load(tmp_path / "run" / "correctness.npz")
    bits = np.unpackbits(stored["correct/mini_resnet_se"], axis=1, count=len(stored["identifiers"]))
    assert bits.mean(1) == pytest.approx(table.loc[table["network"] == "mini_resnet_se", "top1"].to_numpy())
    data = load_data("digits").limited(40)
    assert stored["identifiers"].tolist() == data.identifiers and stored["labels"].tolist() == data.labels.tolist()
    summary = pd.read_csv(tmp_path / "run" / "pruning_summary.csv")
    assert summary["network"].tolist() == ["mini_resnet_se"] and summary["area_low"][0] <= summary["area"][0]
    assert len(pd.read_csv(tmp_path / "run" / "pruning_tests.csv")) == 1 + 3
    names = {path.stem for path in (tmp_path / "run" / "figures").glob("*.png")}
    assert names == {"fig3_pruning", "fig3_networks", "fig3_area"}


@pytest.mark.usefixtures("png_alone")
def test_pruning_by_every_score(tmp_path, weights):
    others = tmp_path / "others"
    where = ["--blocks", "layer3.1", "--blocks", "layer3.2"]
    code, output = run(
        "selectivity", weights["mini_resnet_se"], "--data", "digits#train", "--limit", 40, *where, "--out", others
    )
    assert code == 0, output
    scores = ["gate", "random", "activation", "selectivity", "gradient"]
    chosen = [part for score in scores for part in ("--score", score)]
    options = [*FAST, *where, *chosen, "--ratio", 0, "--ratio", 0.5, "--ratio", 1, "--class-curves"]
    priors = ["--fill", "mean", "--one-order", "--means-from", "digits#train", "--selectivity-from", others]
    code, output = run("pruning", weights["mini_resnet_se"], *options, *priors, "--out", tmp_path / "run")
    assert code == 0, output
    table = pd.read_csv(tmp_path / "run" / "pruning.csv")
    assert len(table) == 2 * (2 + 4 * 2 + 1) and not table["per_image"].any() and set(table["fill"]) == {"mean"}
    names = {path.stem for path in (tmp_path / "run" / "figures").glob("*.png")}
    assert names == {"fig3_pruning", "fig3_networks", "fig3_area", "fig3_random"} | {
        f"fig3_pruning_{score}" for score in ("random", "activation", "selectivity", "gradient")
    }
    assert len(pd.read_csv(tmp_path / "run" / "pruning_classes.csv")) == len(table) * 10
    code, output = run("pruning", weights["mini_resnet_se"], *options, "--scope", "stage", "--out", tmp_path / "stage")
    assert code == 2 and "needs a selectivity table" in output
    code, output = run(
        "pruning", weights["mini_resnet"], *FAST, *where, "--score", "selectivity", "--selectivity-from", others,
        "--out", tmp_path / "other",
    )  # fmt: skip
    assert code == 2 and "no network with the weights of mini_resnet" in output


@pytest.mark.slow
@pytest.mark.usefixtures("png_alone")
def test_compare_from_folders_alone_is_what_one_run_gives(tmp_path, weights):
    names, where = ("mini_resnet", "mini_resnet_se"), [*FEW, "--blocks", "layer3.0", "--blocks", "layer3.1"]
    runs = [tmp_path / name for name in (*names, "both")]
    for folder, networks in zip(runs, ([names[0]], [names[1]], names), strict=True):
        code, output = run("selectivity", *(weights[name] for name in networks), *FAST, *where, "--out", folder)
        assert code == 0, output
    code, output = run("compare", *runs[:2], "--out", tmp_path / "compared")
    assert code == 0 and " against " in output, output
    for table in ("selectivity", "selectivity_blocks", "selectivity_gap", "selectivity_trend"):
        one, other = (pd.read_csv(folder / f"{table}.csv") for folder in (runs[2], tmp_path / "compared"))
        pd.testing.assert_frame_equal(one, other)
    assert (tmp_path / "compared" / "figures" / "fig2_gap.png").stat().st_size > 5000
    assert set(json.loads((tmp_path / "compared" / "run.json").read_text())["networks"]) == set(names)
    small = [*FAST, "--limit", 30]
    assert run("selectivity", weights[names[0]], *small, *where, "--out", tmp_path / "small")[0] == 0
    seeded = [*FAST, "--seed", 1]
    assert run("selectivity", weights[names[0]], *seeded, *where, "--out", tmp_path / "seeded")[0] == 0
    for other, message in (
        ([tmp_path / "small"], "not the same ones"),
        ([tmp_path / "seeded"], "with seed 1"),
        ([], "expected at least two"),
        ([runs[1], "--reference", "x"], "no network `x`"),
        ([tmp_path / "nothing"], "holds no run"),
    ):
        code, output = run("compare", runs[0], *other, "--out", tmp_path / "refused")
        assert code == 2 and message in output, output
        assert not (tmp_path / "refused").exists()


def test_evaluate_and_diagram(tmp_path, weights):
    code, output = run("evaluate", *weights.values(), *FAST, "--out", tmp_path / "run")
    assert code == 0 and "Top-1 accuracy" in output
    table = pd.read_csv(tmp_path / "run" / "evaluation.csv")
    assert ",".join(table.columns) == (
        "network,extent,pool,parameters,gmacs,images,top1_error,top5_error,published_top1_error,published_top5_error,"
        "published_gmacs"
    )
    code, output = run("diagram", "--out", tmp_path / "paper")
    assert code == 0 and "fig4_operators.png" in output
    code, output = run(
        "diagram", "mini_resnet_ge_theta:extent=4", "mini_resnet_ge_theta_plus", "--out", tmp_path / "own"
    )
    assert code == 0, output


@pytest.mark.slow
@pytest.mark.usefixtures("png_alone")
def test_train_curves_and_supplementary(tmp_path, monkeypatch):
    """All figures from networks trained on few digits; a second call with --resume finds the run finished."""
    from gelens.data import forms

    whole = forms.FORMS["digits"]
    monkeypatch.setitem(forms.FORMS, "digits", lambda *arguments: whole(*arguments).limited(40))
    arguments = ["mini_resnet", "mini_resnet_se", "mini_resnet_ge_theta_minus", "mini_shufflenet"]
    options = ["--epochs", 1, "--device", "cpu", "--out", tmp_path / "run"]
    code, output = run("supplementary", *arguments, *options)
    assert code == 0, output
    page = tmp_path / "run" / "report.html"
    assert f"Report: {page}" in output and "fig3_pruning.svg" in page.read_text()
    names = {path.stem for path in (tmp_path / "run" / "figures").glob("*.png")}
    assert names >= {
        "fig1_optimisation", "table1_pooling", "fig2_selectivity", "fig2_gap", "fig3_pruning", "fig3_networks",
        "fig3_area", "fig4_operators", "fig2_violin", "fig2_null",
    }  # fmt: skip
    code, output = run("supplementary", *arguments, *options, "--resume")
    assert code == 0 and "finished already" in output and "fig3_pruning.png" in output
    trainings = [tmp_path / "run" / "training" / name for name in ("mini_resnet", "mini_shufflenet")]
    code, output = run("curves", *trainings, "--out", tmp_path / "curves")
    assert code == 0 and "fig1_optimisation.png" in output


def test_networks_and_layers():
    result = CliRunner().invoke(cli.main, ["networks", "--json"])  # its progress goes to standard error
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert result.exit_code == 0 and rows["resnet50_ge_theta"]["parameters"] == 31_106_600
    assert rows["resnet50_se"]["published_top1_error"] == 22.12
    code, output = run("layers", "resnet50_se")
    assert code == 0 and "layer3.5 conv4-6   1024 14×14 layer3.5.se SEModule" in output
    code, output = run("layers", "timm/vit_tiny_patch16_224")
    assert code == 0 and "197 tokens signed" in output


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["selectivity", "resnet51"], 2, "did you mean `resnet50`"),
        (["selectivity", "mini_resnet", "--data", "imagenett"], 2, "did you mean `imagenet"),
        (["selectivity", "mini_resnet", "--blocks", "layer5.0"], 2, "no block `layer5.0`"),
        (["selectivity", "mini_resnet", "--stage", "7"], 2, "no stage 7"),
        (["selectivity", "mini_resnet", "--reference", "x"], 2, "no network `x`"),
        (["selectivity", "mini_resnet", "--limit", "1"], 1, "at least two"),
        (["pruning", "mini_resnet_se", "--ratio", "1.5"], 2, "drop ratio 1.5 is outside"),
        (["pruning", "mini_resnet_se", "--order", "random"], 2, "no order `random`"),
        (["pruning", "mini_shufflenet", "--stage", "4", "--ratio", "0.5"], 2, "has no gates in stage4.0, stage4.1"),
        (["evaluate", "mini_resnet", "--data", "folder:EMPTY"], 1, "no class subfolders"),
        (["evaluate", "mini_resnet", "--device", "tpu"], 2, "device `tpu`"),
        (["evaluate", "mini_resnet", "--precision", "fp8"], 2, "no precision `fp8`"),
        (["evaluate", "mini_resnet@WEIGHTS"], 2, "are of mini_resnet_se, not of mini_resnet"),
        (["evaluate", "mini_resnet@absent.pth"], 2, "no weights file"),
        (["evaluate", "mini_resnet", "--limit", "0"], 2, "0 is not in the range"),
        (["train", "mini_resnet", "--epochs", "0"], 2, "at least 1 epoch"),
        (["train", "mini_resnet", "--data", "digits#val"], 2, "both splits"),
        (["curves", "EMPTY"], 2, "has no training.csv"),
        (["diagram", "mini_resnet_se"], 2, "no Gather-Excite operator"),
        (["selectivity"], 2, "no NETWORK is named"),
    ],
)  # fmt: skip
def test_one_line_and_a_code_for_every_mistake(arguments, code, message, tmp_path, weights):
    (tmp_path / "empty").mkdir()
    names = {"EMPTY": str(tmp_path / "empty"), "WEIGHTS": weights["mini_resnet_se"].split("@")[1]}
    for placeholder, value in names.items():
        arguments = [argument.replace(placeholder, value) for argument in arguments]
    if arguments[0] in ("selectivity", "pruning", "evaluate") and arguments != ["selectivity"]:
        arguments.append("--untrained")
    got, output = run(*arguments, "--out", tmp_path / "run")
    assert (got, message in output) == (code, True), output
    assert "Traceback" not in output
    assert not (tmp_path / "run").exists(), "nothing is left in the way of the corrected command"


def test_an_existing_run_is_not_overwritten(tmp_path, weights):
    arguments = ["evaluate", weights["mini_resnet"], *FAST, "--out", tmp_path / "run"]
    assert run(*arguments)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    for others in (
        [*arguments, "--precision", "bf16"],
        ["evaluate", weights["mini_resnet_se"], *arguments[2:]],
        arguments,
    ):
        code, output = run(*others)
        assert code == 2 and "choose another folder" in output
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


def test_no_space_and_no_folder_to_write(tmp_path, weights, monkeypatch):
    (tmp_path / "file").write_text("")
    code, output = run("evaluate", weights["mini_resnet"], *FAST, "--out", tmp_path / "file" / "run")
    assert code == 1 and "cannot write" in output and "Traceback" not in output
    monkeypatch.setattr(pd.DataFrame, "to_csv", lambda self, path, **_: Path("/dev/full").write_text("x" * 100_000))
    code, output = run("evaluate", weights["mini_resnet"], *FAST, "--out", tmp_path / "run")
    assert code == 1 and "No space left on device" in output
    assert not list((tmp_path / "run").glob("*.csv"))
    monkeypatch.undo()
    assert run("evaluate", weights["mini_resnet"], *FAST, "--out", tmp_path / "run", "--resume")[0] == 0


@pytest.mark.usefixtures("png_alone")
def test_images_of_a_folder(tmp_path, weights):
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 255, (40, 50, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{number}.png")
    out = tmp_path / "run"
    code, output = run("selectivity", weights["mini_resnet_se"], "--data", f"folder:{tmp_path}/images", "--out", out)
    assert code == 0, output
    assert pd.read_csv(out / "selectivity_blocks.csv")["classes"].tolist() == [2] * 6


def test_help_comes_without_heavy_imports():
    heavy = "import sys, cli; cli.main(['--help'], standalone_mode=False); " \
        "print([name for name in ('torch', 'pandas', 'matplotlib', 'timm') if name in sys.modules])"  # fmt: skip
    output = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]" and "selectivity" in output
    light = "import sys, gelens; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", light], capture_output=True, text=True).stdout == "False\n"


def test_other_weights_are_not_taken_for_the_same_run(tmp_path, weights, monkeypatch):
    arguments = ["evaluate", weights["mini_resnet"], *FAST, "--out", tmp_path / "run"]
    assert run(*arguments)[0] == 0
    save_weights(make_network("mini_resnet", seed=5), Path(weights["mini_resnet"].split("@")[1]))
    code, output = run(*arguments, "--resume")
    assert code == 2 and "run made with other arguments: weights" in output and ".safetensors was" in output


def test_random_weights_are_not_measured_by_mistake(tmp_path):
    code, output = run("evaluate", "mini_resnet", *FAST, "--out", tmp_path / "run")
    assert code == 2 and "`mini_resnet` has no weights" in output
    code, output = run("evaluate", "mini_resnet", *FAST, "--untrained", "--out", tmp_path / "run")
    assert code == 0, output
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["networks"]["mini_resnet"]["notes"] == ["no weights were named: they are random"]
    assert run("evaluate", "mini_resnet", *FAST, "--untrained", "--out", tmp_path / "again")[0] == 0
    again = json.loads((tmp_path / "again" / "run.json").read_text())
    assert again["networks"]["mini_resnet"]["weights_hash"] == record["networks"]["mini_resnet"]["weights_hash"]


@pytest.mark.slow
@pytest.mark.usefixtures("png_alone")
def test_supplementary_keeps_every_network(tmp_path, weights):
    """Two networks of one architecture, a GE-θ, and no plain network: nothing is dropped, table 1 is not needed."""
    save_weights(make_network("mini_resnet_se", seed=3), tmp_path / "other.safetensors")
    other = f"mini_resnet_se@{tmp_path}/other.safetensors"
    out = tmp_path / "run"
    code, output = run("supplementary", weights["mini_resnet"], weights["mini_resnet_se"], other, *FAST, "--out", out)
    assert code == 0, output
    labels = {"mini_resnet", "mini_resnet_se", "other"}
    for name in ("evaluation", "selectivity", "pruning"):
        assert set(pd.read_csv(out / f"{name}.csv")["network"]) == labels
    assert "Left out: figure 1, which takes a ShuffleNet" in output and "Left out: figure 2" not in output
    assert output.count("maps dropped by gate: least important first leaves, against most important first") == 2
    code, output = run("supplementary", weights["mini_resnet_se"], *FAST, "--out", tmp_path / "alone")
    assert code == 0 and "fig3_pruning" in output and "table1" not in output


@pytest.mark.parametrize("file", ["import nothing_there", "def build(x): pass", "def build(): raise KeyError('k')"])
def test_a_users_factory_that_fails(tmp_path, file):
    (tmp_path / "mine.py").write_text(file)
    code, output = run("evaluate", f"{tmp_path}/mine.py:build", "--out", tmp_path / "run")
    assert code == 2 and "Traceback" not in output and "Error" in output


def test_what_was_found_and_assumed_of_weights_is_printed_and_stored(tmp_path):
    import torch

    torch.save(make_network("resnet50:classes=10,size=64").state_dict(), tmp_path / "w.pth")
    command = [sys.executable, "cli.py", "evaluate", f"resnet50:classes=10@{tmp_path}/w.pth", "--limit", "4"]
    command += ["--image-size", "32", "--crop-pct", "0.9", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(cli.__file__).parent)
    assert done.returncode == 0, done.stderr
    assert "names of torchvision" in done.stderr and "taken to be in the 3x3" in done.stderr
    network = json.loads((tmp_path / "run" / "run.json").read_text())["networks"]["resnet50:classes=10"]
    assert "taken to be in the 3x3" in network["notes"][0] and "torchvision" in network["layout"]
    assert (network["preprocessing"]["size"], network["preprocessing"]["crop_pct"]) == (32, 0.9)
