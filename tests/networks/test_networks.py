"""References, weights files, and what is refused."""

import pickle

import pytest
import timm
import torch
import torchvision
from torch import nn

from gelens.errors import RunError, UsageError
from gelens.networks import card_of, load_network, preprocessing_of, save_weights
from gelens.networks.catalogue import NAMES
from gelens.networks.references import parse
from tests.conftest import make_network


def test_every_name_of_the_catalogue_gives_logits():
    for name in NAMES:
        network = load_network(name)
        size = network.preprocessing.size
        with torch.inference_mode():
            assert network(torch.zeros(1, 3, size, size)).shape == (1, 1000 if size == 224 else 10)


def test_weights_round_trip_with_settings_and_preprocessing(tmp_path):
    network = make_network("mini_resnet_ge_theta_minus:extent=4,pool=max,classes=3")
    save_weights(network, tmp_path / "w.safetensors")
    again = load_network(f"mini_resnet_ge_theta_minus@{tmp_path}/w.safetensors")
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(network(x), again(x))
    assert again.reference == network.reference and again.preprocessing == network.preprocessing
    assert again.layer3[0].se.extent == 4 and again.layer3[0].se.pool == "max"
    with pytest.raises(UsageError, match="trained with extent=4, but extent=8 is asked for"):
        load_network(f"mini_resnet_ge_theta_minus:extent=8@{tmp_path}/w.safetensors")
    with pytest.raises(UsageError, match="are of mini_resnet_ge_theta_minus, not of mini_resnet_se"):
        load_network(f"mini_resnet_se@{tmp_path}/w.safetensors")


def test_weights_of_another_architecture_without_metadata(tmp_path):
    torch.save(make_network("mini_resnet_se").state_dict(), tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"not of mini_resnet: .*left over.*more"):
        load_network(f"mini_resnet@{tmp_path}/w.pth")
    with pytest.raises(UsageError, match=r"fc\.weight is \(10, 256\), expected \(12, 256\)"):
        load_network(f"mini_resnet_se:classes=12@{tmp_path}/w.pth")
    assert load_network(f"mini_resnet_se@{tmp_path}/w.pth")


class Trap:
    fired = False

    def __reduce__(self):
        return setattr, (Trap, "fired", True)


def test_a_checkpoint_with_code_is_refused_and_never_runs(tmp_path):
    (tmp_path / "trap.pth").write_bytes(pickle.dumps({"state_dict": Trap()}))
    torch.save({"weight": Trap()}, tmp_path / "zip.pth")
    for name in ("trap.pth", "zip.pth"):
        with pytest.raises(RunError, match="cannot read weights"):
            load_network(f"mini_resnet@{tmp_path}/{name}")
    assert not Trap.fired


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_damaged_files(tmp_path, name):
    network = make_network("mini_resnet")
    if name.endswith("pth"):
        torch.save(network.state_dict(), tmp_path / name)
    else:
        save_weights(network, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not weights at all"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RunError, match="cannot read weights"):
            load_network(f"mini_resnet@{tmp_path}/{name}")


def test_library_networks_and_factories(tmp_path):
    assert isinstance(load_network("timm/resnet18").layer3, nn.Sequential)
    assert load_network("torchvision/resnet18").preprocessing.size == 224
    inception = load_network("torchvision/inception_v3").preprocessing
    assert (inception.size, round(inception.size / inception.crop_pct)) == (299, 342)
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n\ndef build(width='3'):\n    return nn.Conv2d(3, int(width), 1)\n"
    )
    assert load_network(f"{tmp_path}/mine.py:build:width=5").out_channels == 5
    assert preprocessing_of(load_network(f"{tmp_path}/mine.py:build")).size == 224


@pytest.mark.parametrize(
    "reference, message",
    [
        ("resnet51", "did you mean `resnet50`"),
        ("resnet50:extent=4", "no setting of resnet50 called `extent`"),
        ("resnet50_ge_theta_minus:extent=3", "no extent `3`"),
        ("resnet50:classes=0", "not a whole number above 0"),
        ("resnet50:classes", "not of the form key=value"),
        ("resnet50:size=64,size=32", "given twice"),
        ("resnet50@", "ends in @"),
        (":x=1", "has no name"),
        ("resnet50@absent.pth", "no weights file"),
        ("timm/resnet5", "no timm network"),
        ("torchvision/alexnet2", "no torchvision network"),
        ("absent.py:build", "no file `absent.py`"),
    ],
)
def test_bad_references(reference, message):
    with pytest.raises(UsageError, match=message):
        load_network(reference)


def test_references_are_read_back_as_written():
    for text in ("resnet50", "resnet50_ge_theta:extent=4@a/b.pth", "x/y.py:build:width=3@z", "timm/resnet18"):
        assert str(parse(text)) == text


@pytest.mark.parametrize(
    "reference, settings",
    [("timm/resnet18", "banana"), ("torchvision/resnet18", "classes"), ("mini_resnet", "extent"), ("mini_resnet", "c")],
)
def test_an_argument_that_is_no_setting_is_a_type_error(reference, settings):
    with pytest.raises(TypeError, match=f"no argument of {reference} called `{settings}`.*pretrained"):
        load_network(reference, **{settings: 3})


@pytest.mark.parametrize("library, tag", [("timm", "a1_in1k"), ("torchvision", "IMAGENET1K_V1")])
def test_pretrained_is_what_the_library_gives_by_default(library, tag, monkeypatch):
    """The download replaced by random weights, everything around it is real."""
    theirs = [timm.create_model("resnet18"), torchvision.models.resnet18()][library == "torchvision"]
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained=False: theirs if pretrained else create(name))
    kind = torchvision.models.ResNet18_Weights
    monkeypatch.setattr(kind, "get_state_dict", lambda self, **options: theirs.state_dict())
    network = load_network(f"{library}/resnet18", pretrained=True)
    assert not card_of(network).untrained and tag in " ".join(card_of(network).notes)
    assert torch.equal(network.conv1.weight, theirs.conv1.weight)


def test_pretrained_of_no_library_is_refused():
    with pytest.raises(UsageError, match="write thin_resnet50_se@"):
        load_network("thin_resnet50_se", pretrained=True)
    with pytest.raises(UsageError, match="timm publishes no weights of seresnet18: write timm/seresnet18@FILE"):
        load_network("timm/seresnet18", pretrained=True)
