"""A run's folder is enough: its figures are drawn again without torch, in the formats and sizes asked for."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

import cli
from gelens import figures
from gelens.errors import UsageError
from gelens.figures import drawing
from gelens.figures.stored import StoredRun
from tests.figures import making

ROOT = Path(__file__).parents[2]
NETWORKS = ["mini_resnet", "mini_resnet_se"]


@pytest.fixture(autouse=True)
def closed():
    yield
    making.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A folder with every table there is, of two networks and two blocks."""
    return making.write_everything(tmp_path_factory.mktemp("runs") / "whole", NETWORKS, making.blocks_of(2))


def gelens(*arguments) -> tuple[int, str]:
    result = CliRunner().invoke(cli.main, ["figures", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_all_figures_that_the_tables_allow(whole):
    paths = figures.draw(whole, ["png"])
    names = {path.stem for path in paths}
    assert names == {
        "fig1_optimisation", "fig2_auc", "fig2_gap", "fig2_null", "fig2_selectivity", "fig2_units_mini_resnet",
        "fig2_units_mini_resnet_se", "fig2_violin", "fig3_area", "fig3_networks", "fig3_pruning", "fig3_pruning_random",
        "fig3_random", "fig4_operators", "fig_epochs", "table1_pooling",
    }  # fmt: skip
    assert {path.parent for path in paths} == {whole / "figures"} and len(paths) == len(names)
    assert all(path.stat().st_size > 5000 for path in paths)
    assert not list((whole / "figures").glob(".*")), "no file half written"


def test_no_torch_is_imported(whole, tmp_path):
    """Neither by the figures nor by the command that draws them."""
    program = (
        "import sys, cli\nfrom click.testing import CliRunner\n"
        f"arguments = ['figures', {str(whole)!r}, '--out', {str(tmp_path)!r}, '--format', 'png']\n"
        "done = CliRunner().invoke(cli.main, arguments)\n"
        "assert done.exit_code == 0, done.output\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(loaded & {'torch', 'torchvision', 'timm', 'torchmetrics', 'accelerate'})"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr
    assert len(list(tmp_path.glob("*.png"))) == 16


def test_formats_sizes_blocks_and_bins_as_asked(tmp_path):
    from matplotlib.image import imread

    run = making.write_run(tmp_path / "run", selectivity=making.units_table(NETWORKS, making.blocks_of(3)))
    where = tmp_path / "elsewhere"
    options = ["--format", "png", "--format", "svg", "--width", 3.3, "--blocks", "conv4-2", "--bins", 7, "--out", where]
    code, output = gelens(run, *options)
    assert code == 0, output
    assert {path.name for path in where.iterdir()} == {
        f"fig2_{name}.{kind}" for name in ("selectivity", "null", "violin") for kind in ("png", "svg")
    }
    paths = [line for line in output.splitlines() if not line.startswith("note: ")]
    assert paths == [str(where / line.split("/")[-1]) for line in paths] and len(paths) == 6
    assert imread(where / "fig2_selectivity.png").shape[1] == 660, "3.3 inches at 200 dots an inch"
    assert not (run / "figures").exists()
    drawn = making.drawn(run, bins=7, blocks=["layer3.[12]"])["fig2_selectivity"]
    titles = [ax.get_title() for ax in drawn.axes]
    assert titles == ["conv4-2", "conv4-3"] and len(drawn.axes[0].containers[0]) == 7


def test_text_stays_text_in_the_files(tmp_path):
    run = making.write_run(tmp_path, training=making.training_table(["mini_shufflenet"], 3))
    png, pdf, svg = figures.draw(run, ("png", "pdf", "svg"))
    assert b"/Type3" not in pdf.read_bytes()
    assert b"/FontFile2" in pdf.read_bytes(), "the font itself, as TrueType, is in the file"
    assert ">Training set</text>" in svg.read_text() and ">Top-1 error (%)</text>" in svg.read_text()
    before = {path: path.read_bytes() for path in (png, pdf, svg)}
    figures.draw(run, ("png", "pdf", "svg"))
    assert before == {path: path.read_bytes() for path in before}, "the same tables give the same files"


@pytest.mark.parametrize(
    ("table", "column", "figure"),
    [("selectivity", "csi_null", "fig2_null"), ("pruning_summary", "area_low", "fig3_area")],
)
def test_a_column_that_is_missing_leaves_out_what_needs_it_and_says_so(table, column, figure, tmp_path, caplog):
    tables = {
        "selectivity": making.units_table(NETWORKS, making.blocks_of(2)),
        "pruning_summary": making.summary_table(NETWORKS, making.blocks_of(2)),
    }
    tables[table] = tables[table].drop(columns=column)
    drawn = figures.draw(making.write_run(tmp_path, **tables), ["svg"])
    assert {path.stem for path in drawn} == {"fig2_selectivity", "fig2_violin", "fig2_null", "fig3_area"} - {figure}
    (said,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert f"{figure}: " in said and f"{table}.csv" in said and f"it has no column `{column}`" in said


def test_a_later_picture_of_a_file_that_fails_takes_no_earlier_one_down(tmp_path, caplog, monkeypatch):
    def pictures(run, look):
        yield "first", figures.selectivity(run.table("selectivity.csv")).figure
        raise KeyError("second")

    module = SimpleNamespace(__name__="somebodys.figures", NEEDS=("selectivity.csv",), pictures=pictures)
    monkeypatch.setattr(drawing, "figure_modules", lambda: [module])
    run = making.write_run(tmp_path, selectivity=making.units_table(NETWORKS, ["layer3.0"]))
    assert [path.name for path in figures.draw(run, ["svg"])] == ["first.svg"]
    assert "a figure is left out, figures: " in caplog.text and "second" in caplog.text


def test_bad_input_is_one_line(tmp_path, whole):
    nothing = making.write_run(tmp_path / "nothing")
    broken = making.write_run(tmp_path / "broken")
    (broken / "selectivity.csv").write_bytes(b"\x00\xff\x81,\n\x9c")
    for arguments, said in (
        ([tmp_path / "none"], "holds no run"),
        ([nothing], "has no table to draw; figures are drawn from"),
        ([broken], "selectivity.csv` cannot be read as a table"),
        ([nothing, "--blocks", "layer3.0"], "has no tables with blocks"),
        ([whole, "--blocks", "layer3.9"], "no block `layer3.9`; did you mean `layer3.1`? Valid: layer3.0, layer3.1"),
        ([whole, "--format", "pgn"], "no format `pgn`; did you mean `png`? Valid: png, pdf, svg"),
        ([whole, "--width", 0], "a width in inches above 0"),
        ([whole, "--width", "nan"], "a width in inches above 0"),
        ([whole, "--bins", 0], "between 1 and 10000 bins, but got 0"),
    ):
        code, output = gelens(*arguments)
        assert code == 2 and said in output and "Traceback" not in output, output
        assert len([line for line in output.splitlines() if line.startswith("Error")]) == 1, output
    with pytest.raises(UsageError, match="no format to draw in"):
        figures.draw(whole, ())


def test_names_in_tables_are_text_whatever_they_look_like(tmp_path):
    """A sequential network's block is called 4, a file 0012.png's image 0012, a network NA."""
    units = making.units_table(["NA", "1e3"], ["4", "10"])
    top = {"unit": 0, "rank": 1, "identifier": "0012", "label": 0}
    tables = {"selectivity": units, "selectivity_images": [{"network": "NA", "block": "10"} | top]}
    run = making.write_run(tmp_path, **{name: making.pd.DataFrame(table) for name, table in tables.items()})
    pictures = np.full((1, 8, 8, 3), 77, np.uint8)
    np.savez(run / "selectivity_thumbnails.npz", identifiers=np.array(["0012"]), images=pictures)
    table = StoredRun.open(run).table("selectivity.csv")
    assert table["network"].unique().tolist() == ["NA", "1e3"] and table["block"].unique().tolist() == ["4", "10"]
    drawn = making.drawn(run)
    assert [ax.get_title() for ax in drawn["fig2_selectivity"].axes] == ["4", "10"]
    (image,) = drawn["fig2_units_NA"].axes[1].images
    assert image.get_array()[0, 0, 0] == 77


def test_captions_say_what_the_record_knows_and_nothing_else(tmp_path):
    caption = lambda **record: StoredRun(tmp_path, {"command": "x", "arguments": {}} | record).caption("Said.")
    assert caption() == "Said."
    assert caption(data={"name": "digits#val", "images": 540}) == "Said. digits#val, 540 images."
    known = {"name": "digits#val", "note": "8×8 scans", "images": 540, "read": 539}
    assert caption(data=known) == "Said. digits#val: 8×8 scans, 539 images."
    assert caption(data={"note": "8×8 scans."}) == "Said. 8×8 scans."


def test_roles_choose_the_networks_of_a_figure(tmp_path):
    networks = ["mini_resnet", "mini_resnet_ge_theta_minus", "mini_resnet_se", "mini_shufflenet"]
    tables = {"training": making.training_table(networks, 2), "evaluation": making.evaluation_table(networks)}
    old = making.write_run(tmp_path / "old", {"command": "demo"}, **tables)
    drawn = making.drawn(old)
    assert [text.get_text() for text in drawn["fig1_optimisation"].legends[0].get_texts()] == ["mini ShuffleNet"]
    cells = drawn["table1_pooling"].axes[0].tables[0].get_celld()
    assert [cells[row, 0].get_text().get_text() for row in (1, 2)] == ["mini ResNet", "mini ResNet GE-θ⁻"]
    assert (3, 0) not in cells
    roles = {"optimisation": networks[:1], "pooling": networks[1:2]}
    drawn = making.drawn(making.write_run(tmp_path / "new", {"command": "demo", "roles": roles}, **tables))
    assert [text.get_text() for text in drawn["fig1_optimisation"].legends[0].get_texts()] == ["mini ResNet"]
    assert (2, 0) not in drawn["table1_pooling"].axes[0].tables[0].get_celld()
    without = making.write_run(
        tmp_path / "se", {"command": "selectivity"}, evaluation=making.evaluation_table(["mini_resnet_se"])
    )
    assert making.drawn(without) == {}, "no network of the paper's table"


def test_networks_are_known_by_their_references_under_labels_of_ones_own(tmp_path):
    table = making.evaluation_table(["ours_ge_theta_minus"])
    record = {"networks": {"ours_ge_theta_minus": {"reference": "resnet50_ge_theta_minus:extent=4,pool=max@w.pth"}}}
    cells = making.drawn(making.write_run(tmp_path, record, evaluation=table))["table1_pooling"].axes[0].tables[0]
    assert cells[1, 5].get_text().get_text() == "23.10 / 6.39"


def test_the_reference_is_the_runs(tmp_path):
    units = making.units_table(["a", "b", "c"], ["layer3.0"])
    legend = lambda run: [text.get_text() for text in making.drawn(run)["fig2_selectivity"].legends[0].get_texts()]
    assert legend(making.write_run(tmp_path / "1", selectivity=units)) == ["a", "b", "c"]
    assert legend(making.write_run(tmp_path / "2", {"reference": "c"}, selectivity=units)) == ["c", "a", "b"]
    gaps = making.gaps_table(["b", "a", "c"], ["layer3.0"])
    assert legend(making.write_run(tmp_path / "3", selectivity=units, selectivity_gap=gaps)) == ["b", "a", "c"]


def test_a_record_without_more_than_its_command_is_enough(tmp_path):
    run = making.write_everything(tmp_path, NETWORKS[:1], making.blocks_of(1), 1, 0)
    (run / "run.json").write_text(json.dumps({"command": "x", "arguments": {}, "finished": True}))
    assert "fig3_pruning" in making.drawn(run)
