"""The command line before anything heavy is imported: help, choices, names, where a run goes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gelens import choices
from gelens.cli import main
from gelens.data.forms import FORMS
from gelens.devices import PRECISIONS
from gelens.statistics import INDICES
from gelens.training import RECIPES

MEASURE = ["mini_resnet_se", "--untrained", "--limit", "20", "--device", "cpu"]


def run(*arguments) -> tuple[int, str]:
    done = CliRunner().invoke(main, [str(each) for each in arguments])
    return done.exit_code, done.output


def json_of(output: str) -> dict:
    return json.loads(output[output.index("{") :])


def test_words_to_choose_by_are_those_of_the_library():
    assert tuple(INDICES) == choices.INDICES
    assert tuple(RECIPES) == choices.RECIPES
    assert tuple(PRECISIONS) == choices.PRECISIONS
    assert tuple(FORMS) == choices.DATA


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_has_a_section_an_example_of_its_own_options_and_whole_help(name):
    command = main.commands[name]
    assert command.section in main.sections
    assert command.example.startswith(f"gelens {name}")
    known = {each for parameter in command.params for each in (*parameter.opts, *parameter.secondary_opts)}
    assert set(re.findall(r"--[a-z-]+", command.example)) <= known
    code, output = run(name, "--help")
    assert code == 0 and command.example in output and not re.search("TEXT|INTEGER|FLOAT|RANGE", output)
    listed = run("--help")[1]
    assert "..." not in listed.partition("Everything at once")[2], "a summary is cut off"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evalute"], "no command `evalute`; did you mean `evaluate`?"),
        (["evaluate", "resnet5", "--out", "."], "did you mean `resnet50`?"),
        (["evaluate", "weights.safetensors"], "write before it whose they are, as resnet50@weights.safetensors"),
        (["train", "factory.py"], "name its function that builds the network, as factory.py:build"),
        (["selectivity", "resnet5"], "did you mean `resnet50`?"),
        (["pruning", "mini_resnet", "--score", "gat"], "no score `gat`; did you mean `gate`?"),
        (["evaluate", "mini_resnet", "--data", "cifar1:x#val"], "no data `cifar1`; did you mean `cifar10`?"),
        (["evaluate", "mini_resnet", "--resume"], "name its folder with --out"),
        (["evaluate", "mini_resnet", "--processes", "2"], "name it by --out"),
        (["networks"], "mini_resnet_se"),
        (["indices"], "csi"),
    ],
)
def test_what_needs_no_torch_imports_none(arguments, said):
    program = (
        "import sys\nfrom analysis.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'timm', 'matplotlib') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root)
    assert said in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_command_that_runs_networks_says_at_once_that_it_works():
    """Before anything heavy is imported; not by --quiet."""
    program = """
import sys
from analysis.cli import main

try: main(sys.argv[1:])
except SystemExit: pass
print([name for name in ("torch", "pandas", "matplotlib", "scipy") if name in sys.modules])
"""
    for more, first in ((), "gelens evaluate: loading …"), (("--quiet",), "Error: no NETWORK"):
        asked = [sys.executable, "-c", program, "evaluate", *more]
        done = subprocess.run(asked, capture_output=True, text=True, cwd=Path(__file__).parents[2])
        assert done.stdout == "[]\n" and done.stderr.startswith(first), done.stderr


def test_a_run_without_a_folder_gets_a_dated_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, output = run("diagram", "--json")
    (folder,) = (tmp_path / "runs").iterdir()
    assert code == 0 and re.fullmatch(r"diagram-\d{8}-\d{6}", folder.name)
    assert json.loads(output)["run"] == f"runs/{folder.name}"


@pytest.mark.parametrize("command", ["evaluate", "record", "selectivity", "pruning", "gates"])
def test_a_rehearsal_says_what_would_be_and_leaves_nothing(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, output = run(command, *MEASURE, "--dry-run", "--json")
    plan = json.loads(output[output.index("{") :])
    assert code == 0 and plan["images"] == 20 and plan["networks"] == ["mini_resnet_se"] and plan["seconds"] > 0
    assert all(name.startswith("mini_resnet_se/") for name in plan["arrays"]) and plan["bytes"] > 0
    assert not list(tmp_path.iterdir())


def test_the_rehearsed_size_is_that_of_the_recording(tmp_path):
    code, output = run("record", *MEASURE, "--dry-run", "--json")
    assert code == 0
    said = run("record", *MEASURE, "--out", tmp_path / "r", "--json")[1]
    told = json.loads(said[said.index("{") :])
    assert told["images"] == 20 and told["recording"] == str(tmp_path / "r")
    plan = json.loads(output[output.index("{") :])
    headers = 128  # of each NumPy file
    files = [path for path in (tmp_path / "r").rglob("*.npy") if "mini_resnet_se" in str(path)]
    assert sum(path.stat().st_size - headers for path in files) == plan["bytes"]


def test_a_rehearsal_says_it_in_words_that_people_know(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = run("pruning", *MEASURE, "--blocks", "layer3.0", "--dry-run")[1]
    lines = dict(line.split(maxsplit=1) for line in said.splitlines() if not line.startswith(("note", "gelens")))
    assert list(lines) == ["networks", "images", "blocks", "computed", "disk", "time"]
    assert (lines["networks"], lines["blocks"]) == ("mini_resnet_se", "layer3.0")
    assert lines["images"] == "20 of digits#val, in one pass"


def test_a_training_and_a_cache_are_rehearsed_and_told_as_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = ("train", "mini_resnet_se", "--data", "digits", "--per-class", "4", "--epochs", "2", "--device", "cpu")
    plan = json_of(run(*few, "--keep-epochs", "--dry-run", "--json", "--out", "t")[1])
    cached = ("cache", "digits", "--limit", "20", "--image-size", "32", "--json", "--out", "c")
    cache = json_of(run(*cached, "--dry-run")[1])
    assert not list(tmp_path.iterdir())
    assert plan["images"] == {"train": 40, "val": 40} and (plan["epochs"], plan["classes"]) == (2, 10)
    assert "2 epochs, 4 steps, on cpu" in run(*few, "--dry-run", "--out", "t")[1]
    told = json_of(run(*few, "--keep-epochs", "--json", "--out", "t")[1])
    assert (told["run"], told["epochs"], told["network"]) == ("t", 2, "mini_resnet_se")
    weights = [Path(told["weights"]), *Path("t/epochs").iterdir()]
    headers = 30_000  # of each file, in bytes
    assert plan["bytes"] < sum(path.stat().st_size for path in weights) < plan["bytes"] + 3 * headers
    made = json_of(run(*cached)[1])
    assert made == {"cache": "c", "images": cache["images"], "data": cache["data"], "left_out": 0}
    assert cache["bytes"] == 20 * 32 * 32 * 3 < Path("c").stat().st_size


def test_what_would_be_trained_first_is_not_rehearsed(tmp_path):
    code, output = run("supplementary", "mini_resnet", "--data", "digits", "--dry-run")
    assert code == 2 and "`mini_resnet` would be trained first" in output


def test_the_doctor_looks_at_everything():
    code, output = run("doctor", "--json")
    found = json.loads(output)
    assert {each["section"] for each in found} == {"Versions", "Devices", "Weights", "Data", "Free space"}
    assert code == int(not all(each["well"] for each in found))
    assert {"torch", "timm"} <= {each["name"] for each in found}


def test_the_list_of_networks_has_every_setting_in_100_columns():
    from gelens.networks.catalogue import NAMES

    code, output = run("networks")
    assert code == 0 and max(map(len, output.splitlines())) <= 100
    assert all(re.search(rf"^{name} +[\d,]+ ", output, re.M) for name in NAMES)
    assert "resnet50, resnet101: classes=1000,size=224,stride_in=3x3" in output
    assert "…_ge_theta_minus: extent=global,port=none,pool=avg,count_padding=false" in output
    assert re.search(r"^thin_resnet50_se@cifar10 +86.06 +cifar +24 76aa01d36156a0ee$", output, re.M)


def test_sizes_of_the_catalogue_are_as_counted():
    """The table of sizes is a file: `python -m gelens.networks.counting` counts anew."""
    from gelens.networks import count_gmacs, count_parameters, load_network
    from gelens.networks.catalogue import COUNTED, catalogue_table

    table = catalogue_table().set_index("name")
    assert list(table.index) == list(COUNTED)
    names = ("mini_resnet_ge_theta_plus", "thin_shufflenet_ge_theta", "thin_resnet50_se")
    for name in (*names, "thin_shufflenet_ge_theta:size=64,classes=100"):
        network = load_network(name)
        assert table["parameters"][name] == count_parameters(network)
        assert table["gmacs"][name] == pytest.approx(count_gmacs(network), abs=1e-9)
