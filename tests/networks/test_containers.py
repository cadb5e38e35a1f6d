"""What training scripts put around a state: the one inside is found, or named, and nothing else is taken for it."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from gelens.errors import RunError, UsageError
from gelens.networks import load_network, save_weights
from gelens.networks.checkpoints import read_checkpoint
from gelens.networks.groups import trainings_of
from gelens.networks.references import labelled, parse
from gelens.networks.weights import weights_hash
from tests.conftest import shake

STATE = {"conv.weight": torch.ones(2, 3, 1, 1), "fc.bias": torch.arange(2.0)}
OTHER = {key: value + 1 for key, value in STATE.items()}
ADAM = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
NAMED_ADAM = {"state": {"fc.bias": {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}


def written(path, value) -> str:
    torch.save(value, path / "w.pth")
    return str(path / "w.pth")


@pytest.mark.parametrize(
    "container, note",
    [
        ({"net": STATE, "acc": 93.1, "epoch": 7}, None),
        ({"model_state_dict": STATE, "optimizer_state_dict": ADAM, "loss": 0.2}, None),
        ({"weights": STATE, "opt": NAMED_ADAM, "history": [1.0, 2.0]}, "took `weights`"),
        ({"run": {"student": STATE, "step": 3}, "rng": torch.ones(3)}, "took `student`"),
        ({"ema": STATE, "epoch": 1}, "took `ema` of the checkpoint, a running average"),
        ({"model": STATE, "ema": OTHER}, "took `model` of the checkpoint, not `ema`: FILE#ema takes that"),
        ({"state_dict": {f"backbone.{key}": value for key, value in STATE.items()}}, None),
        ({"net": STATE, "best_acc": np.float64(93.1), "epoch": np.int64(7), "ok": np.bool_(True)}, None),
        ({"net": STATE, "best": np.float16(1), "seed": np.uint32(1), "name": np.str_("a")}, None),
    ],
)
def test_the_state_in_a_container(container, note, tmp_path):
    checkpoint = read_checkpoint(written(tmp_path, container))
    assert checkpoint.state.keys() == STATE.keys()
    assert all(torch.equal(value, STATE[key]) for key, value in checkpoint.state.items())
    assert (checkpoint.notes == []) if note is None else (note in checkpoint.notes[-1])


@pytest.mark.parametrize(
    "container, message",
    [
        ({"generator": STATE, "critic": OTHER}, "it holds 2 states, `generator`, `critic`: name one as FILE#generator"),
        ({"epoch": 3, "args": {"lr": 0.1}}, r"no mapping of names to tensors, but `epoch` \(int\), `args` \(dict\)$"),
        ({**STATE, "epoch": 3}, r"no mapping of names to tensors, but `conv.weight` \(Tensor\), .*`epoch` \(int\)"),
        ({"optimizer": ADAM}, "no mapping of names to tensors, but `optimizer`"),
        ({"x": {"\x1b[31m": 1}, "\x1b[2J": 2}, r"but `x` \(dict\), `\\x1b\[2J`"),
    ],
)
def test_what_is_held_instead_is_listed(container, message, tmp_path):
    with pytest.raises(RunError, match=message):
        read_checkpoint(written(tmp_path, container))


def test_a_part_is_named(tmp_path):
    file = written(tmp_path, {"generator": STATE, "critic": {"state_dict": OTHER}, "epoch": 3})
    assert torch.equal(read_checkpoint(f"{file}#generator").state["fc.bias"], STATE["fc.bias"])
    assert torch.equal(read_checkpoint(f"{file}#critic").state["fc.bias"], OTHER["fc.bias"])
    with pytest.raises(UsageError, match=r"no part of .* called `generatr`; did you mean `generator`"):
        read_checkpoint(f"{file}#generatr")
    with pytest.raises(RunError, match="it holds no mapping"):
        read_checkpoint(f"{file}#epoch")
    (tmp_path / "w.pth").rename(tmp_path / "w#1.pth")
    torch.save(STATE, tmp_path / "w#1.pth")
    assert read_checkpoint(f"{tmp_path}/w#1.pth").state.keys() == STATE.keys()


def test_parts_have_labels_and_groups(tmp_path):
    for seed in (0, 1):
        torch.save({"model": STATE, "ema": OTHER}, tmp_path / f"seed-{seed}.pth")
    named = [f"mini_resnet@{tmp_path}/seed-0.pth#{part}" for part in ("model", "ema")]
    assert list(labelled(named)) == ["seed-0-model", "seed-0-ema"]
    group = trainings_of(parse(f"mini_resnet@{tmp_path}/*.pth#ema"))
    assert [each.weights for each in group.values()] == [f"{tmp_path}/seed-{seed}.pth#ema" for seed in (0, 1)]


MINE = """
from torch import nn

class Inside(nn.Module):
    def __init__(self):
        super().__init__()
        self.{name} = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(4, 2))

build = Inside
"""


@pytest.mark.parametrize("name", ["model", "backbone", "module", "inner"])
@pytest.mark.parametrize("before", ["", "module.", "_orig_mod.module."])
def test_a_network_whose_own_names_begin_as_wrappers_do(name, before, tmp_path):
    (tmp_path / "mine.py").write_text(MINE.replace("{name}", name))
    network = load_network(f"{tmp_path}/mine.py:build")
    file = written(tmp_path, {"net": {f"{before}{key}": value for key, value in network.state_dict().items()}})
    again = load_network(f"{tmp_path}/mine.py:build@{file}").state_dict()
    assert all(torch.equal(value, again[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_published_densenets_are_older_than_their_names(library, tmp_path):
    make = torchvision.models.densenet121 if library == "torchvision" else lambda: timm.create_model("densenet121")
    theirs = shake(make())
    names = [key for key in theirs.state_dict() if "denselayer" in key]
    dotted = lambda key: key if key not in names else key.replace("norm", "norm.").replace("conv", "conv.")
    file = written(tmp_path, {dotted(key): value for key, value in theirs.state_dict().items()})
    assert "features.denseblock1.denselayer1.norm.1.weight" in torch.load(file, weights_only=True)
    ours = load_network(f"{library}/densenet121@{file}")
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(ours(x), theirs(x))


def test_other_programs_files(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "w.pt")
    for name, content in (("w.caffemodel", b"\x0a\x07ResNet-"), ("v.caffemodel", b"\xa2\x06")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RunError, match=r"it is in Caffe's own format: in Caffe, save its blobs by numpy\.savez"):
            read_checkpoint(f"{tmp_path}/{name}")
    with pytest.raises(RunError, match=r"TorchScript program, which is never run: save torch\.jit\.load") as refused:
        read_checkpoint(f"{tmp_path}/w.pt")
    assert "weights_only" not in str(refused.value)
    exported = torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),))
    torch.export.save(exported, tmp_path / "w.pt2")
    with pytest.raises(RunError, match=r"an archive without a state, as of torch\.export: save model\.state_dict\(\)"):
        read_checkpoint(f"{tmp_path}/w.pt2")


EXTRA = """
from torch import nn

class Extra(nn.Linear):
    scale = 1

    def get_extra_state(self):
        return {"scale": self.scale, "of": [1.5]}

    def set_extra_state(self, state):
        self.scale = state["scale"]

def build(scale=1):
    network = nn.Sequential(nn.Flatten(), Extra(12, 5))
    network[1].scale = scale
    return network
"""


def test_what_modules_keep_beside_tensors(tmp_path):
    (tmp_path / "mine.py").write_text(EXTRA)
    network = load_network(f"{tmp_path}/mine.py:build:scale=3")
    before = weights_hash(network)
    file = written(tmp_path, network.state_dict())
    again = load_network(f"{tmp_path}/mine.py:build@{file}")
    assert again[1].scale == 3 and weights_hash(again) == before
    again[1].scale = 4
    assert weights_hash(again) != before
    with pytest.raises(UsageError, match=r"`1\._extra_state` is no tensor, and safetensors hold nothing else"):
        save_weights(network, tmp_path / "w.safetensors")
    torch.save({key: value for key, value in network.state_dict().items() if "extra" not in key}, file)
    with pytest.raises(UsageError, match=r"1\._extra_state missing"):
        load_network(f"{tmp_path}/mine.py:build@{file}")
