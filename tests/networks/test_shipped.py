"""Weights that come with gelens: found by name, whole, and as their cards say."""

import json
import shlex
import shutil
from configparser import ConfigParser
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import cli
from gelens.commands.supplementary import _missing_rows, _Roles, shipped_networks
from gelens.errors import UsageError
from gelens.files import file_hash
from gelens.networks import load_network, save_weights, shipped
from gelens.networks.groups import trainings_of, weights_files
from gelens.networks.references import labelled, parse
from gelens.networks.weights import is_what_was_written, weights_hash

ROOT = Path(__file__).parents[2]
KNOWN = {"cifar10": ("airplane", 10, 80), "tinyimagenet100": ("goldfish", 100, 45)}
"""By collection its first class, how many there are, and an accuracy that its networks exceed."""
FOUR = tuple(
    map(parse, ("thin_resnet50", "thin_resnet50_se", "thin_resnet50_ge_theta_minus", "thin_resnet50_ge_theta"))
)
THETA_MINUS = "mini_resnet_ge_theta_minus"


@pytest.fixture
def collection(tmp_path, monkeypatch):
    """A collection `letters` with three seeds of one network and one of another."""
    torch.manual_seed(0)
    for network, seeds in (("mini_resnet", (0, 1, 4)), (f"{THETA_MINUS}:extent=4,pool=max", (0,))):
        for seed in seeds:
            path = tmp_path / "letters" / network.replace(":", "-").replace(",", "-") / f"seed-{seed}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_weights(load_network(network).half(), path, seed=str(seed))
            card = {"network": network, "seed": seed, "top1_accuracy": 50.0, "recipe": "cifar", "licence": "MIT"}
            noted = {"note": "drawn by hand"} if seed == 4 else {}
            card |= {"data": {"name": "letters"} | noted, "settings": {"epochs": 3}, "weights": file_hash(path)}
            path.with_suffix(".json").write_text(json.dumps(card))
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    shipped.everything.cache_clear()
    yield tmp_path / "letters"
    shipped.everything.cache_clear()


def test_a_name_stands_for_a_file(collection, caplog):
    for weights, seed in (("letters", 0), ("letters/4", 4)):
        network = load_network(f"mini_resnet@{weights}")
        same = load_network(f"mini_resnet@{collection}/mini_resnet/seed-{seed}.safetensors")
        assert all(network.state_dict()[key].equal(value) for key, value in same.state_dict().items())
        assert network.training_seed == str(seed)
    assert "float16" in caplog.text
    caplog.clear()
    load_network("mini_resnet@letters")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_settings_may_stand_in_any_order(collection):
    asked = parse(f"{THETA_MINUS}:pool=max,extent=4,classes=10@letters")
    assert shipped.find(asked).path.parent.name == f"{THETA_MINUS}-extent=4-pool=max"
    assert load_network(asked).training_seed == "0"


def test_a_group_of_all_seeds(collection):
    group = trainings_of(parse("mini_resnet@letters/*"))
    assert {seed: each.weights for seed, each in group.items()} == {0: "letters", 1: "letters/1", 4: "letters/4"}
    assert list(trainings_of(parse("mini_resnet@letters/4,letters"))) == [0, 4]
    files = weights_files(parse("mini_resnet@letters/*"))
    assert list(files) == ["mini_resnet@letters", "mini_resnet@letters/1", "mini_resnet@letters/4"]
    assert all(path.is_file() for path in files.values())
    assert list(labelled(["mini_resnet@letters"])) == ["mini_resnet"]


def test_a_file_of_that_name_goes_before(collection, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    shutil.copy(collection / "mini_resnet" / "seed-4.safetensors", "letters")
    assert load_network("mini_resnet@letters").training_seed == "4"


@pytest.mark.parametrize(
    "reference, message",
    [
        ("mini_resnet@letters/7", "called `letters/7`.*Valid: letters, letters/1, letters/4"),
        ("mini_resnet_se@letters", "no weights of mini_resnet_se come with gelens; of mini_resnet, mini_resnet_ge"),
        (f"{THETA_MINUS}@letters", f"no weights of {THETA_MINUS} come"),
        ("timm/resnet18@letters", "no weights of timm/resnet18 come"),
        ("mini_resnet@letter", "weights file or published weights"),
    ],
)
def test_what_does_not_come_with_gelens(collection, reference, message):
    with pytest.raises(UsageError, match=message):
        load_network(reference)


def test_networks_lists_them(collection):
    result = CliRunner().invoke(cli.main, ["networks"])
    assert result.exit_code == 0 and f"{THETA_MINUS}:extent=4,pool=max@letters" in result.stdout
    assert "mini_resnet@letters/4" in result.stdout and result.stdout.count("Data: drawn by hand.") == 1


def test_supplementary_without_networks_asks_for_their_data():
    result = CliRunner().invoke(cli.main, ["supplementary", "--out", "x"])
    assert result.exit_code == 2 and "give --data cifar10" in result.output


def test_rows_of_table_1_without_weights_are_named_with_the_command_that_trains_them():
    """The commands are commands, with the recipe of the weights that are there."""
    references = labelled(shipped_networks())
    said = _missing_rows(_Roles(references), "parquet:my images#val")
    rows = {("extent=4", "pool=max"), ("extent=4", "pool=avg"), ("extent=global", "pool=max")}
    found = set()
    for sentence in said:
        words = shlex.split(sentence.split("`")[1])
        name, _, settings = words[2].partition(":")
        found.add(tuple(settings.split(",")))
        assert words[:2] == ["gelens", "train"] and name == "thin_resnet50_ge_theta_minus"
        assert words[words.index("--data") + 1] == "parquet:my images" and "--recipe cifar" in " ".join(words)
        assert cli.main.commands["train"].make_context("train", words[2:]).params["network"] == words[2]
        assert sentence.endswith(f"{words[2]}@{words[-1]}/weights.safetensors.")
    assert len(said) == 3 and found == rows
    references |= labelled([f"thin_resnet50_ge_theta_minus:{extent},{pool}" for extent, pool in rows])
    assert _missing_rows(_Roles(references), "cifar10") == [], "a network that is trained in the run gives its row"
    assert _missing_rows(_Roles(labelled(["thin_resnet50@cifar10"])), "cifar10") == [], "no table, so no rows"


@pytest.mark.parametrize("each", shipped.everything(), ids=lambda each: str(each.reference))
def test_each_is_what_its_card_says(each):
    """Against the file itself, and what the network says of itself once it is loaded."""
    network = load_network(each.reference)
    assert is_what_was_written(each.path, each.card["weights"]) and network.training_seed == str(each.seed)
    if each.collection == "cifar10":
        assert weights_hash(network) == each.card["weights"], "as run.json and recordings have it"
    first, classes, least = KNOWN[each.collection]
    assert network.class_names[0] == first and len(network.class_names) == network.num_classes == classes
    assert each.card["licence"] and each.card["top1_accuracy"] > least and each.path.with_suffix(".csv").is_file()


def test_those_of_the_wheel_are_small():
    """The patterns of setup.cfg: the first seed of each network on CIFAR-10, and the four networks on photographs."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    patterns = config["options.package_data"]["gelens"].split()
    package = shipped.FOLDER.parents[1]
    taken = {path for pattern in patterns for path in package.glob(pattern) if shipped.FOLDER in path.parents}
    assert sum(path.stat().st_size for path in taken) <= 15_000_000
    for each in shipped.everything():
        files = {each.path.with_suffix(suffix) for suffix in (".safetensors", ".csv", ".json")}
        assert files <= taken or not files & taken, "with its card and curves, or not at all"
        if each.seed == 0 and (each.collection == "cifar10" or each.architecture.without(shipped.IMPLIED) in FOUR):
            assert files <= taken


def test_size_and_classes_follow_from_the_collection(collection):
    """A reference to weights on a hundred classes of photographs need not say so, and must not say otherwise."""
    path = collection.parent / "photographs" / "thin_resnet50_se" / "seed-0.safetensors"
    path.parent.mkdir(parents=True)
    full = "thin_resnet50_se:size=64,classes=100"
    save_weights(load_network(full).half(), path, seed="0")
    card = {"network": full, "seed": 0, "data": {"name": "photographs"}, "weights": file_hash(path)}
    path.with_suffix(".json").write_text(json.dumps(card))
    shipped.everything.cache_clear()
    for reference in ("thin_resnet50_se@photographs", "thin_resnet50_se:classes=100,size=64@photographs"):
        network = load_network(reference)
        assert network.num_classes == 100 and network.preprocessing.size == 64
        assert "size=64" in network.reference and network.conv1.stride == (2, 2)
    (known,) = shipped.trainings(parse("thin_resnet50_se@photographs"))
    assert str(known.reference) == "thin_resnet50_se@photographs"
    assert known.listed_as(full) and not known.listed_as("thin_resnet50_se")
    with pytest.raises(UsageError, match="no weights of thin_resnet50_se:size=32 come"):
        load_network("thin_resnet50_se:size=32@photographs")
