"""Weights of hubs by the names that timm's and torchvision's own users type; downloads give local files instead."""

import json
import sys
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
import torchvision
import yaml
from click.testing import CliRunner
from safetensors.torch import save_file

from gelens.cli import main
from gelens.errors import RunError, UsageError
from gelens.networks import card_of, load_network, preprocessing_of, shipped
from gelens.networks import hub as hubs
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
    with pytest.raises(UsageError, match=r"called `cifar11`; weights of thin_resnet50, .* come with gelens"):
        load_network("mini_resnet@cifar11")


def pushed(*arguments) -> str:
    done = CliRunner().invoke(main, ["push", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


def state_is(network, other) -> bool:
    mine, theirs = network.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_a_network_of_gelens_is_pushed_and_loaded_again(tmp_path, caplog):
    folder = tmp_path / "pushed"
    pushed("thin_resnet50_se@cifar10", folder, "--licence", "mit")
    theirs = load_network("thin_resnet50_se@cifar10")
    caplog.clear()
    for reference in (f"thin_resnet50_se@{folder}", f"thin_resnet50_se@{folder}/model.safetensors"):
        ours = load_network(reference)
        assert state_is(ours, theirs) and preprocessing_of(ours) == preprocessing_of(theirs)
        assert card_of(ours).class_names == card_of(theirs).class_names
    assert not [each for each in caplog.records if each.levelname == "WARNING"]
    config = json.loads((folder / "config.json").read_text())
    assert (config["library_name"], config["reference"]) == ("gelens", card_of(theirs).reference)
    text = (folder / "README.md").read_text()
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["license"] == "mit" and head["library_name"] == "gelens"
    (result,) = head["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == 86.06 and "| 0 | 86.06 | cifar10 |" in text
    pushed("thin_resnet50@cifar10", folder)
    assert "license" not in yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    (folder / "mine.txt").write_text("")
    done = CliRunner().invoke(main, ["push", "thin_resnet50@cifar10", str(folder)])
    assert done.exit_code == 2 and "holds `mine.txt`" in done.output


def test_a_network_of_timm_is_pushed_and_loaded_by_timm_and_gelens(hub, tmp_path):
    theirs = published(hub, "somebody/pets", "resnet18", 3, label_names=["cat", "dog", "owl"])
    folder = tmp_path / "pushed"
    pushed("timm/hf-hub:somebody/pets", folder)
    assert state_is(timm.create_model(f"local-dir:{folder}", pretrained=True), theirs)
    ours, first = load_network(f"timm/hf-hub:{folder}"), load_network("timm/hf-hub:somebody/pets")
    assert state_is(ours, theirs) and preprocessing_of(ours) == preprocessing_of(first)
    assert card_of(ours).class_names == ("cat", "dog", "owl")
    published(hub, "timm/resnet18.a2_in1k", "resnet18")
    pushed("timm/resnet18.a2_in1k", tmp_path / "other")
    again = load_network(f"timm/resnet18@{tmp_path / 'other'}")
    assert state_is(again, load_network("timm/resnet18.a2_in1k")) and torch.equal(again(X), again(X))


def test_what_nobody_stated_is_not_pushed_as_a_fact(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "from torch import nn\ndef build(): return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten())\n"
    (tmp_path / "my.py").write_text(code)
    torch.save(load_network("my.py:build").state_dict(), "my.pth")
    pushed(f"{tmp_path}/my.py:build@my.pth", "pushed")
    ours = load_network("my.py:build@pushed")
    assert state_is(ours, load_network("my.py:build@my.pth")) and card_of(ours).preprocessing.known() == {}
    config, text = Path("pushed/config.json").read_text(), Path("pushed/README.md").read_text()
    assert json.loads(config) == {"library_name": "gelens", "reference": "my.py:build"}
    assert "how they are shown is not stated" in text and str(tmp_path) not in config + text
    done = CliRunner().invoke(main, ["push", "my.py:build", "random"])
    assert done.exit_code == 2 and "random weights" in done.output and not Path("random").exists()


def test_uploading_is_asked_for_and_needs_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calls = []

    class Hub:
        def create_repo(self, name, exist_ok):
            calls.append(name)

        def upload_folder(self, repo_id, folder_path, allow_patterns):
            calls.append(sorted(path.name for path in Path(folder_path).iterdir()))
            return f"https://hub/{repo_id}"

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    assert pushed("thin_resnet50@cifar10", "me/net", "--upload").splitlines()[-1] == "https://hub/me/net"
    assert calls == ["me/net", ["README.md", "config.json", "model.safetensors"]] and not list(tmp_path.iterdir())
    done = CliRunner().invoke(main, ["push", "thin_resnet50@cifar10", "net", "--upload"])
    assert done.exit_code == 2 and "expected OWNER/NAME" in done.output
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    done = CliRunner().invoke(main, ["push", "thin_resnet50@cifar10", "me/net", "--upload"])
    assert done.exit_code == 1 and "pip install huggingface_hub" in done.output


@pytest.mark.parametrize(
    "folder", sorted({each.path.parent for each in shipped.everything()}), ids=lambda each: each.name
)
def test_weights_that_come_with_gelens_are_described_as_the_hub_has_it(folder, tmp_path):
    """`python -m gelens.networks.hub` writes these files anew."""
    before = {name: (folder / name).read_text() for name in ("config.json", "README.md")}
    hubs.describe(folder, tmp_path)
    assert {name: (tmp_path / name).read_text() for name in before} == before
