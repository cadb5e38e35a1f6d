"""Analyses in Python: the same names, options and tables as on the command line, on networks or recordings alike."""

import inspect
import io

import pandas as pd
import pytest
from click.testing import CliRunner

import gelens
from gelens.analyses import OURS, Gates, analyses
from gelens.analyses.analysis import Analysis, option, options_of
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


def test_both_doors_have_the_same_names():
    for kind in OURS:
        function = getattr(gelens, kind.name)
        parameters = inspect.signature(function).parameters
        flags = {parameter.name for parameter in main.commands[kind.name].params}
        for each in options_of(kind):
            assert each.name in flags, (kind.name, each.name)
            if kind.name not in ("evaluate", "selectivity", "pruning"):
                assert each.name in parameters and f"{each.name}:" in function.__doc__
        assert {"device", "batch_size", "precision"} <= parameters.keys()


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
