"""Statistics again from what was kept: a recording's folder, or that of a run, and no network."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import cli
from gelens.recording import open_recording
from tests.commands.test_cli import FAST, run

WHERE = ["--blocks", "layer3.0", "--blocks", "layer3.5"]
FEW = ["--permutations", 6, "--replicates", 5]
TABLES = ("selectivity", "selectivity_blocks", "selectivity_images", "selectivity_gap", "selectivity_trend")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A run that kept its recording, one that did not, and a recording by itself, of the same two networks."""
    from gelens.networks import save_weights
    from tests.conftest import make_network

    folder = tmp_path_factory.mktemp("made")
    networks = []
    for name in ("mini_resnet", "mini_resnet_se"):
        save_weights(make_network(name), folder / f"{name}.safetensors")
        networks.append(f"{name}@{folder}/{name}.safetensors")
    for arguments in (
        ["selectivity", *networks, *FAST, *WHERE, *FEW, "--save-means", "--index", "auc", "--out", folder / "run"],
        ["selectivity", *networks, *FAST, *WHERE, *FEW, "--no-keep", "--seed", 0, "--out", folder / "not kept"],
        ["record", *networks, *FAST, *WHERE, "--out", folder / "recording"],
    ):
        code, output = run(*arguments)
        assert code == 0, output
    return folder


def tables(folder: Path, *names: str) -> dict[str, pd.DataFrame]:
    return {name: pd.read_csv(folder / f"{name}.csv") for name in names or TABLES}


def test_keeping_is_a_choice_that_changes_no_table(made):
    assert open_recording(made / "run").networks.keys() == {"mini_resnet", "mini_resnet_se"}
    assert not (made / "not kept" / "recording").exists()
    one, other = tables(made / "run"), tables(made / "not kept")
    for name in TABLES:
        pd.testing.assert_frame_equal(one[name], other[name])


@pytest.mark.parametrize("source", ["run", "recording"])
def test_the_same_statistics_are_the_run_made_with_networks(made, tmp_path, source):
    again = ["selectivity", "--from", made / source, *FEW, "--save-means", "--index", "auc"]
    code, output = run(*again, "--out", tmp_path / "again")
    assert code == 0, output
    names = (*TABLES, "selectivity_indices", "evaluation")
    for name, table in tables(tmp_path / "again", *names).items():
        pd.testing.assert_frame_equal(table, tables(made / "run", name)[name], obj=name)
    for name in ("selectivity_means.npz", "selectivity_replicates.npz"):
        with np.load(tmp_path / "again" / name) as one, np.load(made / "run" / name) as other:
            assert one.files == other.files
            assert all(np.array_equal(one[key], other[key], equal_nan=one[key].dtype.kind == "f") for key in one.files)
    drawn = {path.name for path in (made / "run" / "figures").iterdir() if "units" not in path.name}
    assert drawn <= {path.name for path in (tmp_path / "again" / "figures").iterdir()}
    before, now = (json.loads((each / "run.json").read_text()) for each in (made / "run", tmp_path / "again"))
    assert {label: each["weights_hash"] for label, each in now["networks"].items()} == {
        label: each["weights_hash"] for label, each in before["networks"].items()
    }
    assert now["data"]["fingerprint"] == before["data"]["fingerprint"]


def test_other_questions_need_no_other_pass(made, tmp_path):
    """More permutations and replicates, another index, another seed, one network: the index itself stays the same."""
    more = ["--permutations", 12, "--replicates", 9, "--index", "mi", "--index", "precision", "--seed", 3]
    out = tmp_path / "more"
    code, output = run("selectivity", "mini_resnet_se", "--from", made / "run", *more, "--out", out)
    assert code == 0, output
    first = tables(made / "run")["selectivity"].query("network == 'mini_resnet_se'").reset_index(drop=True)
    table = tables(out, "selectivity")["selectivity"]
    for name in ("csi", "mu_max", "active_fraction", "top_class"):
        pd.testing.assert_series_equal(table[name], first[name])
    alive = table["csi"].notna()
    assert (table["csi_null"] != first["csi_null"])[alive].any()
    assert np.load(out / "selectivity_replicates.npz")["mini_resnet_se/layer3.0/csi"].shape[0] == 9
    assert set(pd.read_csv(out / "selectivity_indices.csv")["index"]) == {"mi", "precision"}


def test_groups_of_classes(made, tmp_path):
    recording = open_recording(made / "run")
    classes = recording.described["classes"]
    rows = [f"{name},{'low' if number < 5 else 'high'}" for number, name in enumerate(classes)]
    (tmp_path / "groups.csv").write_text("class,group\n" + "\n".join(rows) + "\n")
    out = tmp_path / "run"
    code, output = run("selectivity", "--from", made / "run", "--groups", tmp_path / "groups.csv", *FEW, "--out", out)
    assert code == 0, output
    table = pd.read_csv(out / "selectivity.csv", keep_default_na=False)
    assert set(table["top_class_name"]) <= {"low", "high", ""}
    row = table[(table["network"] == "mini_resnet") & (table["block"] == "layer3.0")].iloc[0]
    activity = recording.activity("mini_resnet", "layer3.0")[:, 0].values.astype(float)
    means = [activity[recording.labels < 5].mean(), activity[recording.labels >= 5].mean()]
    assert float(row["csi"]) == pytest.approx((max(means) - min(means)) / sum(means), rel=1e-9)


def test_a_run_that_is_begun_again_with_another_recording_is_not_the_same(made, tmp_path):
    arguments = ["selectivity", "--from", made / "run", *FEW, "--out", tmp_path / "run"]
    assert run(*arguments)[0] == 0
    code, output = run(*arguments, "--resume")
    assert code == 0 and "finished already" in output
    code, output = run(*arguments, "--permutations", 7, "--resume")
    assert code == 2 and "permutations was 6, now 7" in output


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--from", "ABSENT"], "no recording in"),
        (
            ["--from", "RUN", "--tap", "gate"],
            "no tap in the recording called `gate`",
        ),
        (["mini_resnet_ge", "--from", "RUN"], "no network in the recording called `mini_resnet_ge`"),
        (["--from", "RUN", "--reference", "x"], "no network `x` to compare with"),
        (["--from", "RUN", "--index", "area"], "no index `area`"),
        (["--from", "RUN", "--checkpoints", "RUN"], "give one of them"),
        (["--from", "RUN", "--groups", "ABSENT"], "cannot be read as groups"),
        ([], "no NETWORK is named, and no recording by --from"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(made, tmp_path, arguments, message):
    names = {"RUN": made / "run", "ABSENT": tmp_path / "absent"}
    code, output = run("selectivity", *(names.get(each, each) for each in arguments), "--out", tmp_path / "out")
    assert (code, message in output) == (2, True), output
    assert "Traceback" not in output and not (tmp_path / "out").exists()


def test_gates_are_recorded_and_computed_from(made, tmp_path):
    where = ["--blocks", "layer3.5", "--tap", "gate", "--tap", "gated"]
    weights = f"mini_resnet_se@{made}/mini_resnet_se.safetensors"
    code, output = run("record", weights, *FAST, *where, "--out", tmp_path / "r")
    assert code == 0 and "40 images, 1 networks" in output, output
    code, output = run("selectivity", "--from", tmp_path / "r", "--tap", "gate", *FEW, "--out", tmp_path / "run")
    assert code == 0, output
    table = pd.read_csv(tmp_path / "run" / "selectivity.csv")
    recording = open_recording(tmp_path / "r")
    gates = recording.matrix("mini_resnet_se", "layer3.5", "gate").astype(float)
    means = np.stack([gates[recording.labels == label].mean(0) for label in np.unique(recording.labels)])
    np.testing.assert_allclose(table["mu_max"], means.max(0), rtol=1e-9)
    code, output = run("record", weights, *FAST, *where, "--out", tmp_path / "r")
    assert code == 2 and "holds a recording already: add --resume" in output
    plain = f"mini_resnet@{made}/mini_resnet.safetensors"
    code, output = run("record", plain, *FAST, *where, "--out", tmp_path / "p")
    assert code == 2 and "has no gate, so no tap `gate`" in output and not (tmp_path / "p").exists()


def test_what_is_not_kept_leaves_no_recording_of_means_either(made, tmp_path):
    weights = f"mini_resnet_se@{made}/mini_resnet_se.safetensors"
    few = ["--ratio", 0, "--ratio", 0.5, "--fill", "mean", "--means-from", "digits#train", "--blocks", "layer3.1"]
    code, output = run(
        "pruning", weights, "--limit", 8, "--exact", "--rows", 16, *few, "--no-keep", "--out", tmp_path / "run"
    )
    assert code == 0, output
    assert not [path.name for path in (tmp_path / "run").iterdir() if path.name.startswith("recording")]


def test_a_person_who_interrupts_is_told_how_to_go_on(made, tmp_path, monkeypatch):
    from gelens.sweep.intact import Intact

    weights = f"mini_resnet@{made}/mini_resnet.safetensors"
    arguments = [
        "selectivity",
        weights,
        *FAST,
        "--blocks",
        "layer3.0",
        *FEW,
        "--batch-size",
        16,
        "--out",
        tmp_path / "r",
    ]
    rows, seen = Intact.rows, []

    def interrupted(*details):
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return rows(*details)

    monkeypatch.setattr(Intact, "rows", interrupted)
    result = CliRunner().invoke(cli.main, [str(each) for each in arguments])
    assert result.exit_code == 130 and "repeat the command with --resume" in result.output
    assert json.loads((tmp_path / "r" / "recording" / "recording.json").read_text())["rows_done"] == 32
    monkeypatch.undo()
    code, output = run(*arguments, "--resume")
    assert code == 0, output
    whole = tables(made / "run", "selectivity")["selectivity"].query("network == 'mini_resnet' and block == 'layer3.0'")
    table = tables(tmp_path / "r", "selectivity")["selectivity"]
    # batches of 16, not of 64: the CPU's kernels differ by about 1e-7 relative
    np.testing.assert_allclose(table["csi"], whole["csi"], rtol=1e-3, atol=1e-5)
