"""Activations that another tool recorded give the tables that a pass of our own gives."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import xarray
from click.testing import CliRunner

import gelens
from gelens.analyses.requests import Request, record_requests
from gelens.cli import main
from gelens.errors import UsageError
from gelens.sweep.passing import SweepOptions
from gelens.tables.selectivity import Statistics, selectivity_tables
from tests.conftest import make_data, make_network

FEW = Statistics(permutations=4, replicates=4)
BLOCKS = ["layer3.0", "layer3.5"]


@pytest.fixture(scope="module")
def maps():
    """By block, the maps (images, units, height, width) that plain hooks see, and the labels."""
    network, data = make_network("mini_resnet_se:classes=4"), make_data(40)
    seen = {}
    for block in BLOCKS:
        network.get_submodule(block).register_forward_hook(lambda _, __, y, block=block: seen.update({block: y}))
    images, labels = next(gelens.images_for(network, data, 40, "cpu"))
    with torch.no_grad():
        network(images)
    return seen, labels.numpy()


def tables(recording):
    return selectivity_tables(recording, FEW)


def test_maps_of_plain_hooks_give_the_tables_of_a_pass(maps):
    seen, labels = maps
    network = make_network("mini_resnet_se:classes=4")
    ours = record_requests({"network": Request(network, BLOCKS)}, make_data(40), SweepOptions("cpu", progress=False))
    theirs = gelens.recording_from(seen, labels, classes=ours.described["classes"])
    one, other = tables(ours), tables(theirs)
    columns = [name for name in one.units if name != "index"]
    pd.testing.assert_frame_equal(one.units[columns], other.units[columns], rtol=1e-3, atol=1e-4)
    assert one.blocks["depth"].tolist() != other.blocks["depth"].tolist()  # the place among those given: 1, 2


@pytest.mark.parametrize("kind", ["numpy", "tensor", "xarray", "folder", "networks"])
def test_forms(maps, tmp_path, kind):
    seen, labels = maps
    means = {block: each.mean((2, 3)).numpy() for block, each in seen.items()}
    for block, each in means.items():
        np.save(tmp_path / f"{block}.npy", each)
    given = {
        "numpy": means,
        "tensor": {block: torch.from_numpy(each) for block, each in means.items()},
        "xarray": {block: xarray.DataArray(each, dims=("image", "unit")) for block, each in means.items()},
        "folder": tmp_path,
        "networks": {"network": means},
    }[kind]
    expected = tables(gelens.recording_from(means, labels)).units
    pd.testing.assert_frame_equal(tables(gelens.recording_from(given, labels)).units, expected)


def test_the_command_line_goes_on_from_it(maps, tmp_path):
    seen, labels = maps
    gates = {f"{block}.gate": torch.rand(40, each.shape[1]) for block, each in seen.items()}
    gelens.recording_from({"a": seen | gates, "b": seen}, labels, folder=tmp_path / "r")
    for command in ("selectivity", "gates", "rarefaction", "match"):
        arguments = [command, str(tmp_path / "r"), "--out", str(tmp_path / command), "-q"]
        done = CliRunner().invoke(main, [*arguments, *(["--network", "a"] if command == "gates" else [])])
        assert done.exit_code == 0, done.output
    assert len(pd.read_csv(tmp_path / "match" / "match_units.csv"))
    assert json.loads((tmp_path / "gates" / "run.json").read_text())["networks"].keys() == {"a"}


@pytest.mark.parametrize(
    "arrays, labels, more, message",
    [
        ({}, [0, 1], {}, "no arrays are given"),
        ({"b": np.ones((3, 2))}, [0, 1], {}, r"`b` of network is float64 \(3, 2\); expected numbers \(2, units\)"),
        ({"b": np.ones((2, 2, 2))}, [0, 1], {}, r"float64 \(2, 2, 2\)"),
        ({"b": np.array([["x"], ["y"]])}, [0, 1], {}, "expected numbers"),
        ({"b": np.array([[np.nan], [1]])}, [0, 1], {}, "NaN or infinite"),
        ({"b": np.ones((2, 2))}, [0, 1.5], {}, "no whole numbers"),
        ({"b": np.ones((2, 2))}, [0, -1], {}, "no whole numbers"),
        ({"b": np.ones((2, 2))}, [0, 1], {"classes": ["cat"]}, "1 names of classes; expected 2"),
        ({"b": np.ones((2, 2))}, [0, 1], {"identifiers": ["x", "x"]}, "two images are called `x`"),
        ({"b": np.ones((2, 2)), "a": {}}, [0, 1], {}, "some are mappings"),
    ],
)
def test_mistakes(arrays, labels, more, message):
    with pytest.raises(UsageError, match=message):
        gelens.recording_from(arrays, labels, **more)


def test_signed_outputs_are_refused_by_the_index_and_rectified_on_request():
    signed = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(Exception, match="negative"):
        tables(gelens.recording_from({"b": signed}, np.arange(20) % 2))
    assert len(tables(gelens.recording_from({"b": signed}, np.arange(20) % 2, rectify=True)).units) == 3
