"""Weights of hubs by the names that timm's and torchvision's own users type; downloads give local files instead."""

import json

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from gelens.errors import RunError, UsageError
from gelens.networks import card_of, load_network, preprocessing_of
from gelens.networks.references import labelled, parse
from tests.conftest import shake

X = torch.linspace(-1, 1, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The hub's files are those of a folder: hub/REPO/config.json and model.safetensors."""

    def download(repo_id, filename, **options):
        path = tmp_path / "hub" / repo_id / filename
        if not path.is_file():
            raise OSError(f"{repo_id} has no {filename}")
        return str(path)

    monkeypatch.setattr(timm.models._hub, "hf_hub_download", download)
    return tmp_path / "hub"


def published(hub, repo: str, architecture: str, outputs: int = 1000, **config):
    """A network of random weights in the hub's layout."""
    network = shake(timm.create_model(architecture, num_classes=outputs))
    folder = hub / repo
    folder.mkdir(parents=True)
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, folder / "model.safetensors")
    told = {"input_size": [3, 96, 96], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "crop_pct": 0.9}
    told |= {"interpolation": "bicubic", "num_classes": outputs, "first_conv": "conv1", "classifier": "fc"}
    (folder / "config.json").write_text(
        json.dumps({"architecture": architecture, "num_classes": outputs, "pretrained_cfg": told} | config)
    )
    return network


def test_a_name_with_its_weights_as_timm_has_it(hub):
    theirs = published(hub, "timm/resnet18.a2_in1k", "resnet18")
    ours = load_network("timm/resnet18.a2_in1k")
    assert torch.equal(ours(X), theirs(X)) and not card_of(ours).untrained
    assert preprocessing_of(ours).crop_pct == timm.get_pretrained_cfg("resnet18.a2_in1k").crop_pct
    assert list(labelled(["timm/resnet18.a2_in1k", "timm/seresnet50.ra2_in1k"])) == ["timm/resnet18", "timm/seresnet50"]
    with pytest.raises(UsageError, match="names weights twice"):
        parse("timm/resnet18.a2_in1k@w.pth")
    with pytest.raises(UsageError, match=r"`a9_in1k`; did you mean"):
        load_network("timm/resnet18.a9_in1k")


def test_weights_of_other_outputs_than_the_network_has_by_itself(hub):
    outputs = timm.get_pretrained_cfg("resnetv2_50x1_bit.goog_in21k").num_classes
    assert outputs != 1000
    network = timm.create_model("resnetv2_50x1_bit.goog_in21k")
    folder = hub / "timm/resnetv2_50x1_bit.goog_in21k"
    folder.mkdir(parents=True)
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, folder / "model.safetensors")
    assert load_network("timm/resnetv2_50x1_bit.goog_in21k").num_classes == outputs


@pytest.mark.parametrize("scheme", ["hf-hub", "hf_hub"])
def test_a_network_of_the_hub(scheme, hub):
    names = ["cat", "dog", "owl"]
    theirs = published(hub, "somebody/pets", "resnet18", 3, label_names=names)
    ours = load_network(f"timm/{scheme}:somebody/pets")
    assert torch.equal(ours(X), theirs(X))
    card, shown = card_of(ours), preprocessing_of(ours)
    assert not card.untrained and card.class_names == tuple(names)
    assert (shown.size, shown.crop_pct, shown.mean, shown.std) == (96, 0.9, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert list(labelled([f"pets=timm/{scheme}:somebody/pets@main"])) == ["pets"]


def test_a_network_that_the_hub_does_not_have(hub):
    with pytest.raises(RunError, match=r"cannot fetch `timm/hf-hub:no/where` \(no/where has no config\.json\)"):
        load_network("timm/hf-hub:no/where")


def test_the_default_weights_of_torchvision(monkeypatch):
    theirs = shake(torchvision.models.resnet18())
    fetched = []

    def state(url, *arguments, **options):
        fetched.append(url)
        return theirs.state_dict()

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", state)
    ours = load_network("torchvision/resnet18@DEFAULT")
    assert fetched == [torchvision.models.ResNet18_Weights.DEFAULT.url]
    assert torch.equal(ours(X), theirs(X))


def test_names_of_weights_that_come_with_gelens_are_told():
    with pytest.raises(UsageError, match=r"`cifar11`; did you mean .* Valid: cifar10, cifar10/1"):
        load_network("thin_resnet50_se@cifar11")
