"""Factories in users' files: what beside them they import, whose weights they give, what their settings are."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gelens import StatedParts
from gelens.analyses.inputs import Inputs
from gelens.errors import UsageError
from gelens.networks import card_of, load_network, save_weights
from gelens.networks.factories import value_of
from gelens.networks.references import parse

NET = """
import torch
from torch import nn

def build(width=4):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
"""


def written(folder: Path, **files: str) -> str:
    """The path of `mine.py`, written with its neighbours."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return str(folder / "mine.py")


def loaded(file: str, name: str = "build"):
    return load_network(f"{file}:{name}")


def test_a_factory_imports_its_own_neighbours_whatever_else_is_called_so(tmp_path, monkeypatch):
    blocks = "from torch import nn\nWIDTH = {}\ndef block(): return nn.Conv2d(3, WIDTH, 1)\n"
    mine = "from blocks import block\nimport late\ndef build(): return late.wrapped(block())\n"
    late = (
        "def wrapped(block):\n    from torch import nn\n    import blocks\n    return nn.Sequential(block, nn.ReLU())\n"
    )
    theirs = type(sys)("blocks")
    monkeypatch.setitem(sys.modules, "blocks", theirs)
    before, path = set(sys.modules), list(sys.path)
    for width in (4, 7):
        file = written(tmp_path / str(width), mine=mine, blocks=blocks.format(width), late=late)
        assert loaded(file)[0].out_channels == width
    assert sys.modules["blocks"] is theirs and "late" not in sys.modules and sys.path == path
    assert all(name.startswith("_factory_") for name in set(sys.modules) - before)


def test_a_neighbour_that_is_a_package(tmp_path):
    written(tmp_path / "models", __init__="", parts="from torch import nn\n", net="from models.parts import nn\n")
    file = written(tmp_path, mine="from models.net import nn\ndef build(): return nn.Conv2d(3, 4, 1)\n")
    assert loaded(file).out_channels == 4 and "models" not in sys.modules


@pytest.mark.parametrize("factory", ["net.py:Net", "deep/net.py:Net"])
def test_a_file_in_a_package_imports_relatively(factory, tmp_path):
    """As repositories have it: `models/resnet.py` with `from .blocks import X`."""
    folder = tmp_path / "models"
    written(folder, __init__="from .net import Net\n", blocks="from torch import nn\nWIDTH = 4\n")
    code = "class Net(nn.Conv2d):\n    def __init__(self): super().__init__(3, WIDTH, 1)\n"
    written(folder, net=f"from .blocks import WIDTH, nn\n{code}")
    written(folder / "deep", __init__="", net="from ..net import Net\n")
    assert load_network(f"{folder}/{factory}").out_channels == 4
    assert not [name for name in sys.modules if name.partition(".")[0] == "models"]


def test_a_neighbour_called_as_what_is_imported_already_is_the_factory_s(tmp_path):
    file = written(tmp_path, mine="import tests\ndef build(): return tests.net()\n", tests=NET.replace("build", "net"))
    mine = sys.modules["tests"]
    assert isinstance(loaded(file), nn.Sequential) and sys.modules["tests"] is mine


def test_a_dataclass_with_deferred_annotations(tmp_path):
    text = """
from __future__ import annotations
from dataclasses import dataclass
from torch import nn

@dataclass
class Config:
    width: int = 5

def build(width: int = 5) -> nn.Module:
    return nn.Conv2d(3, Config(width).width, 1)
"""
    assert load_network(f"{written(tmp_path, mine=text)}:build:width=6").out_channels == 6


@pytest.mark.parametrize(
    "code, name",
    [
        ("net = build()", "net"),
        ("class Net(nn.Conv2d):\n    def __init__(self, width=4): super().__init__(3, width, 3)", "Net"),
        ("def wrapped(): return nn.DataParallel(build())", "wrapped"),
        ("def wrapped(): return torch.compile(build())", "wrapped"),
        ("def wrapped(): return nn.DataParallel(torch.compile(build()))", "wrapped"),
        ("def wrapped(): return torch.optim.swa_utils.AveragedModel(build())", "wrapped"),
    ],
)
def test_what_stands_for_a_factory_and_what_wraps_its_network(code, name, tmp_path):
    file = written(tmp_path, mine=f"{NET}\n{code}\n")
    network = loaded(file, name)
    if name != "Net":
        assert type(network) is nn.Sequential and list(network.state_dict()) == list(loaded(file).state_dict())
    save_weights(network, tmp_path / "w.safetensors")
    again = load_network(f"{file}:{name}@{tmp_path}/w.safetensors")
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in network.state_dict().items())
    if name == "net":
        with pytest.raises(UsageError, match="is a network, which takes no settings, but got width"):
            load_network(f"{file}:net:width=3")


def test_what_a_wrapper_says_of_its_network():
    wrapper = nn.DataParallel(nn.Conv2d(3, 4, 1))
    wrapper.preprocessing = {"size": 48}
    wrapper.anatomy = StatedParts(branch="conv3")
    card = card_of(load_network(wrapper))
    assert card.preprocessing.size == 48 and card.anatomy == StatedParts(branch="conv3")


@pytest.mark.parametrize("told", [{}, {"classes": '["wren", "crane"]'}])
def test_a_factory_names_its_classes_where_the_weights_do_not(told, tmp_path):
    own = "\n\ndef named():\n    network = build()\n    network.class_names = ['cat', 'dog']\n    return network\n"
    file = written(tmp_path, mine=NET + own)
    save_file(loaded(file).state_dict(), tmp_path / "w.safetensors", told)
    network = load_network(f"{file}:named@{tmp_path}/w.safetensors")
    assert card_of(network).class_names == (("wren", "crane") if told else ("cat", "dog"))


class Silent(nn.Conv2d):
    def train(self, mode=True):
        super().train(mode)


def test_a_network_whose_train_returns_nothing(tmp_path):
    text = "from tests.networks.test_factories import Silent\ndef build(): return Silent(3, 4, 3)\n"
    network = loaded(written(tmp_path, mine=text))
    assert isinstance(network, nn.Conv2d) and not network.training


def refused(file: str) -> str:
    with pytest.raises(UsageError) as caught:
        Inputs([f"{file}:build"], "digits").load_networks()
    return str(caught.value)


OWN = "[p.data.fill_({}) for p in network.parameters()]"
NORMAL = "[p.data.normal_(generator=g) for p in network.parameters()]"
RANDOM = {
    "as it comes": "pass",
    "by a seed of its own": "torch.manual_seed(0); network = net()",
    "by a generator": f"g = torch.Generator().manual_seed(0); {NORMAL}",
    "by NumPy": f"numpy.random.seed(0); {OWN.format('numpy.random.random()')}",
    "by NumPy's generator": f"g = numpy.random.default_rng(0); {OWN.format('g.random()')}",
    "by Python": f"random.seed(0); {OWN.format('random.random()')}",
}


@pytest.mark.parametrize("drawn", RANDOM.values(), ids=RANDOM)
def test_random_weights_of_a_factory_are_refused(drawn, tmp_path):
    """Also those that are drawn by a seed of its own: equal from run to run, and random all the same."""
    text = f"import random\nimport numpy\n{NET.replace('build', 'net')}\n"
    file = written(tmp_path, mine=f"{text}\ndef build():\n    network = net()\n    {drawn}\n    return network\n")
    assert "`0.weight` is another one when its factory runs again" in refused(file)
    assert "--untrained measures random weights" in refused(file)
    (network,) = Inputs([f"{file}:build"], "digits", untrained=True).load_networks().values()
    assert card_of(network).untrained


@pytest.mark.parametrize("assign", [False, True])
def test_weights_that_a_factory_loads_itself_are_measured(assign, tmp_path):
    torch.manual_seed(3)
    file = written(tmp_path, net=NET)
    torch.save(load_network(f"{tmp_path}/net.py:build").state_dict(), tmp_path / "w.pth")
    text = f"""
import torch
from net import build as make

def build(head=False):
    net = make()
    net.load_state_dict(torch.load({str(tmp_path / "w.pth")!r}), assign={assign})
    if head:
        net[4] = torch.nn.Linear(4, 10)
    return net
"""
    file = written(tmp_path, mine=text)
    (network,) = Inputs([f"{file}:build"], "digits").load_networks().values()
    assert "gives it weights" in card_of(network).notes[0] and not card_of(network).untrained
    with pytest.raises(UsageError, match=r"`4\.weight` is another one"):
        Inputs([f"{file}:build:head=true"], "digits").load_networks()


def test_a_factory_that_does_not_run_twice_proves_nothing(tmp_path):
    once = "from tests.networks import test_factories as t\nassert t.RUNS.append(1) or len(t.RUNS) < 2, 'registered'\n"
    RUNS.clear()
    assert "since it does not run twice" in refused(written(tmp_path, mine=f"{once}{NET}"))


RUNS: list[int] = []


def test_a_network_that_a_library_keeps_proves_nothing(tmp_path):
    """Run again, the factory gives the very same tensors."""
    text = "from tests.networks.test_factories import KEPT\ndef build(): return KEPT\n"
    assert "`weight` is another one" in refused(written(tmp_path, mine=text))


KEPT = nn.Conv2d(3, 4, 3)


def test_the_second_run_takes_no_random_numbers(tmp_path):
    file = written(tmp_path, mine=NET)
    torch.manual_seed(0)
    first, then = loaded(file), torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(load_network(f"{file}:build")[0].weight, first[0].weight) and torch.equal(torch.rand(1), then)


@pytest.mark.parametrize(
    "text, value",
    [
        ("3", 3),
        ("-3", -3),
        ("050", 50),
        ("0.5", 0.5),
        (".5e-3", 0.0005),
        ("True", True),
        ("false", False),
        ("none", None),
        ("NONE", None),
        ("nan", "nan"),
        ("1_0", "1_0"),
        ("max", "max"),
        ("'false'", "false"),
        ('"3"', "3"),
        ("''", ""),
        ("it's", "it's"),
    ],
)
def test_settings_are_values(text, value):
    assert value_of(text) == value and type(value_of(text)) is type(value)


def test_settings_reach_the_factory_as_values(tmp_path):
    text = (
        "import torch\ndef build(**given):\n    net = torch.nn.Conv2d(3, 4, 1)\n    net.given = given\n    return net\n"
    )
    file = written(tmp_path, mine=text)
    reference = f"{file}:build:depth=3,se=false,names='a,b@c',rate=1e-3,act=relu"
    expected = {"depth": 3, "se": False, "names": "a,b@c", "rate": 0.001, "act": "relu"}
    assert load_network(reference).given == expected
    save_weights(load_network(reference), tmp_path / "w.safetensors")
    assert load_network(f"{reference}@{tmp_path}/w.safetensors").given == expected
    assert str(parse(reference)) == reference


def test_quotes_in_paths_are_no_quotes():
    assert parse("it's/mine.py:build:a=1@it's.pth").settings == (("a", "1"),)
    assert parse("it's/mine.py:build:a=1@it's.pth").weights == "it's.pth"
    with pytest.raises(UsageError, match="setting `b` of"):
        parse("mine.py:build:a=1,b")
