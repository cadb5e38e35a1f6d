"""Analyses in Python: the same names, options and tables as on the command line, on networks or recordings alike."""

import inspect
import io

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import gelens
from gelens.analyses import OURS, Gates, analyses
from gelens.analyses.analysis import Analysis, option, options_of
from gelens.analyses.asking import options_by_name
from gelens.cli import main
from gelens.errors import UsageError
from tests.conftest import make_data, make_network

SE, PLAIN = "mini_resnet_se:classes=4", "mini_resnet:classes=4"
FEW = {"permutations": 4, "replicates": 4}
HOW = {"device": "cpu", "progress": False, "batch_size": 16}
BLOCKS = ["layer3.0", "layer3.5"]


def groups_file(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("class,kind\n" + "".join(f"class {number},{number % 2}\n" for number in range(4)))
    return path


def questions(tmp_path) -> dict[str, dict]:
    return {
        "gates": FEW,
        "taps": FEW,
        "lesions": {"units": 4},
        "levels": FEW | {"groups": groups_file(tmp_path)},
        "rarefaction": {"draws": 2},
        "match": {},
    }


@pytest.mark.parametrize("name", ["gates", "taps", "lesions", "levels", "rarefaction", "match"])
def test_on_networks_and_on_what_was_recorded(name, tmp_path):
    networks = {"se": make_network(SE), "plain": make_network(PLAIN)}
    if name == "gates":
        del networks["plain"]
    own = questions(tmp_path)[name]
    first = getattr(gelens, name)(networks, make_data(40), blocks=BLOCKS, **own, **HOW)
    assert first.tables and all(len(table) for table in first.tables.values())
    again = getattr(gelens, name)(first.recording, **own)
    assert again.tables.keys() == first.tables.keys() and again.findings == first.findings
    for table in first.tables:
        pd.testing.assert_frame_equal(first[table], again[table])


def test_both_doors_have_the_same_names_and_options():
    """An option's name in Python is that of the command line, or one that stands for several."""
    for kind in OURS:
        command = {parameter.name: parameter for parameter in main.commands[kind.name].params}
        parameters = inspect.signature(getattr(gelens, kind.name)).parameters
        for each in options_of(kind):
            assert each.name in command, (kind.name, each.name)
            named = {"selectivity_from": "selectivity", "one_order": "per_image"} if kind.name == "pruning" else {}
            assert named.get(each.name, each.name) in parameters, (kind.name, each.name)
            flag = command[each.name].opts[0].removeprefix("--").replace("-", "_")
            assert options_by_name(kind)[flag].name == options_by_name(kind)[each.name].name == each.name
        assert {"device", "batch_size", "precision", "untrained", "classes_by_position"} <= parameters.keys()
    for name in ("compare", "report", "layers", "record", "merge", "train"):
        assert name in main.commands and callable(getattr(gelens, name)), name


def test_the_tables_are_those_of_the_command_line(tmp_path):
    arguments = ["gates", "mini_resnet_se", "--untrained", "--limit", "40", "--blocks", "layer3.0", "--device", "cpu"]
    arguments += ["--permutations", "4", "--replicates", "4", "--out", str(tmp_path / "run"), "-q"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    result = gelens.gates(tmp_path / "run", **FEW)
    for path in (tmp_path / "run").glob("gates_*.csv"):
        text = io.StringIO()
        result[path.stem].to_csv(text, index=False, float_format="%.15g")
        assert text.getvalue() == path.read_text()


def test_recordings_where_there_were_networks_alone():
    network, data = make_network(SE), make_data(40)
    recording = gelens.record(network, data, blocks=BLOCKS, **HOW)
    units = gelens.selectivity(network, data, blocks=BLOCKS, **FEW, **HOW)
    pd.testing.assert_frame_equal(gelens.selectivity(recording, **FEW), units)
    assert len(gelens.evaluate(recording)) == 1


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: gelens.gates(SE, "digits", permutation=3), TypeError, "no argument `permutation`; did you mean `perm"),
        (lambda: gelens.gates(SE), UsageError, "give data, such as digits, or a recording"),
        (
            lambda: gelens.gates(SE, "digits", options=gelens.SweepOptions(), device="cpu"),
            TypeError,
            "give one of them",
        ),
        (lambda: gelens.selectivity(SE, "digits", divice="cpu"), TypeError, "divice"),
        (lambda: gelens.lesions(SE, "digits", units=2), UsageError, "2 units of a block tell no correlation"),
    ],
)
def test_mistakes(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_mistakes_with_recordings():
    recording = gelens.record(make_network(SE), make_data(40), blocks=BLOCKS, **HOW)
    for call, message in (
        (lambda: gelens.rarefaction(recording, make_data(40)), "leave data out"),
        (lambda: gelens.rarefaction([recording, recording]), "takes 1 recordings, but got 2"),
        (lambda: gelens.rarefaction([recording, make_network(SE)]), "are mixed"),
        (lambda: gelens.gates(recording), "no gate was recorded"),
        (lambda: gelens.pruning(recording), "no feature maps were dropped"),
    ):
        with pytest.raises(UsageError, match=message):
            call()


def test_a_result_says_what_is_in_it():
    result = gelens.rarefaction(make_network(PLAIN), make_data(40), blocks=["layer3.0"], draws=2, **HOW)
    assert "selectivity_rarefaction: " in repr(result)
    with pytest.raises(UsageError, match="no table `rarefaction`"):
        result["rarefaction"]


def test_an_analysis_asks_for_no_more_than_its_options():
    assert list(analyses()) == [kind.name for kind in OURS]
    for kind in OURS:
        arguments = {name for name in vars(kind) if not name.startswith("_")}
        assert issubclass(kind, Analysis) and kind.name and kind.example and arguments
    assert Gates(blocks=["a"]).arguments()["blocks"] == ["a"]
    assert option(3, "x", least=1).metadata["option"].least == 1


@pytest.mark.parametrize("ask", [gelens.evaluate, gelens.selectivity, gelens.pruning, gelens.gates, gelens.record])
@pytest.mark.parametrize("networks", [PLAIN, {"mine": PLAIN}, ["timm/resnet18"], (PLAIN,)])
def test_a_reference_without_weights_is_refused_unless_random_ones_are_meant(ask, networks):
    with pytest.raises(UsageError, match="untrained=True"):
        ask(networks, "digits")


def test_random_weights_that_are_meant_are_measured(caplog):
    caplog.set_level("WARNING", "gelens")
    assert len(gelens.evaluate(PLAIN, make_data(8), untrained=True, **HOW)) == 1
    assert "random weights" not in caplog.text
    gelens.evaluate(gelens.load_network(PLAIN), make_data(8), **HOW)
    assert "has random weights" in caplog.text


@pytest.mark.slow
def test_every_analysis_gives_tables_a_figure_arrays_and_a_page(tmp_path):
    """Its main table and figure are there, of one network with gates, or of two."""
    networks = {"se": make_network(SE), "also": make_network(SE, seed=1)}
    own = questions(tmp_path) | {"evaluate": {}, "selectivity": FEW, "pruning": {"ratios": [0, 0.5, 1]}}
    for kind in OURS:
        blocks = {} if kind.name == "evaluate" else {"blocks": BLOCKS}
        result = gelens.ask(kind.name, networks, make_data(40), **blocks, **own[kind.name], **HOW)
        assert result.to_pandas() is result.tables[kind.table]
        labelled = result.to_xarray()
        assert set(labelled["network"].values) == set(result.to_pandas()["network"])
        drawn = result.plot()
        assert drawn.figure.axes and len(drawn.axes)
        plt.close("all")
        page = result.report(tmp_path / f"{kind.name}.html").read_text()
        assert f"gelens {kind.name}" in page or kind.name in page
        for sentence in result.findings[:1]:
            assert sentence.split()[0] in page
    with pytest.raises(UsageError, match="no figure `gap`"):
        result.plot("gap")


def test_the_images_of_selective_units_are_shown():
    data = make_data(40)
    result = gelens.ask("selectivity", make_network(PLAIN), data, blocks=["layer3.0"], **FEW, **HOW)
    shown = result.arrays["selectivity_thumbnails"]
    identifiers = set(result.tables["selectivity_images"]["identifier"])
    assert len(shown["images"]) and set(shown["identifiers"].tolist()) <= identifiers
    assert len(result.plot("fig2_units").figure.axes) == 2
    plt.close("all")


def test_a_figure_in_axes_of_ones_own():
    result = gelens.rarefaction(make_network(PLAIN), make_data(40), blocks=["layer3.0"], draws=2, **HOW)
    figure, axes = plt.subplots(1, 2)
    drawn = result.plot(ax=axes[1])
    assert drawn.figure is figure and axes[1].images and not axes[0].images
    assert plt.get_fignums() == [figure.number]
    plt.close("all")


@pytest.mark.slow
def test_a_finished_run_is_what_python_gives(tmp_path):
    arguments = ["selectivity", "mini_resnet_se", "--untrained", "--limit", "40", "--blocks", "layer3.0", "-q"]
    arguments += ["--permutations", "4", "--replicates", "4", "--device", "cpu"]
    for name in ("one", "two"):
        assert CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / name)]).exit_code == 0
    run = gelens.open_run(tmp_path / "one")
    again = gelens.ask("selectivity", run.recording, **FEW)
    assert again.findings == [each for each in run.findings if each in again.findings]
    assert list(run.to_pandas()) == list(again.to_pandas())
    assert (run.to_xarray()["csi"] - again.to_xarray()["csi"]).max() < 1e-12
    assert run.plot().figure.axes and run.report(tmp_path / "page.html").stat().st_size > 1000
    compared = gelens.compare([tmp_path / "one", tmp_path / "two"])
    assert set(compared["selectivity"]["network"]) == {"mini_resnet_se", "mini_resnet_se-2"} and compared.findings
    assert compared.plot("gap").figure.axes
    plt.close("all")
    assert gelens.report([tmp_path / "one", tmp_path / "two"], tmp_path / "both.html").is_file()
    assert "layer3.5" in list(gelens.layers("mini_resnet")["block"])


def test_scores_by_both_names_and_wrapped_networks():
    network, how = make_network(SE), {"blocks": ["layer3.0"], "ratios": [0, 0.5, 1], **HOW}
    expected = gelens.pruning({"a": network}, make_data(20), scores=["random"], **how)
    for given in ({"score": "random"}, {"scores": "random"}, {"score": ["random"]}):
        table = gelens.pruning({"a": torch.nn.DataParallel(network)}, make_data(20), **given, **how)
        pd.testing.assert_frame_equal(table, expected)
    with pytest.raises(TypeError, match="scores is given twice"):
        gelens.pruning(network, make_data(20), scores=["random"], score="activation", **how)
    with pytest.raises(TypeError, match="no argument `skore`; did you mean `scores`"):
        gelens.pruning(network, make_data(20), skore="activation", **how)
    with pytest.raises(UsageError, match="no analysis `gats`; did you mean `gates`"):
        gelens.ask("gats", network, make_data(20))
    with pytest.raises(TypeError, match="has its options already"):
        gelens.ask(Gates(), network, make_data(20), seed=3)
