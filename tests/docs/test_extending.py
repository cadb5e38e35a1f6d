"""What "Extending" says is true: each recipe is applied to a copy of the package, whose own tests then pass."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from gelens.networks import load_network, save_weights
from gelens.networks.checkpoints import renamed
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "how" / "extending.md").read_text(encoding="utf-8")
COPIED = ("analysis", "tests", "docs", "studies", "notebooks", "cli.py", "setup.cfg", "pyproject.toml", "README.md")


@pytest.fixture
def copy(tmp_path):
    for name in COPIED:
        source, target = ROOT / name, tmp_path / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "weights", "runs", "early"))
        else:
            shutil.copy(source, target)
    return tmp_path


def program(title: str, first: str, last: str) -> str:
    """The lines of a section's program, from one that begins so to the one before one that does."""
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    text = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    begin = text.index(first)
    return text[begin : text.index(last, begin)] if last else text[begin:]


def put(copy: Path, name: str, old: str, new: str) -> None:
    path = copy / name
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{name}: {old}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def passes(copy: Path, *tests: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def gelens(copy: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "cli.py", *arguments], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


FEW = ("--untrained", "--limit", "20", "--blocks", "layer3.0", "--device", "cpu", "-q")


@pytest.mark.slow
def test_an_index(copy):
    index = program("An index", "@dataclass", "\nINDICES[")
    put(copy, "analysis/choices.py", '"auc", "mi")', '"auc", "mi", "share")')
    put(copy, "analysis/statistics/registry.py", "INDICES: Mapping", f"{index}\n\nINDICES: Mapping")
    put(
        copy,
        "analysis/statistics/registry.py",
        '"mi": MutualInformation(),',
        '"mi": MutualInformation(),\n    "share": Share(),',
    )
    passes(
        copy,
        "tests/statistics/test_indices.py",
        "tests/docs/test_definitions.py",
        "tests/commands/test_command_line.py",
    )
    assert "share" in gelens(copy, "indices")
    few = [*FEW, "--permutations", "2", "--replicates", "2", "--index", "share"]
    gelens(copy, "selectivity", "mini_resnet", *few, "--out", "run")
    assert (copy / "run" / "figures" / "fig2_share.png").is_file()


@pytest.mark.slow
def test_a_score(copy):
    put(copy, "analysis/choices.py", '"selectivity", "gradient")', '"selectivity", "gradient", "peak")')
    lines = PAGE.split('        if "peak" in self.scores:')[1].split("```")[0]
    put(
        copy,
        "analysis/ablation/importance.py",
        '        if "activation" in self.scores:',
        f'        if "peak" in self.scores:{lines}        if "activation" in self.scores:',
    )
    few = [*FEW, "--score", "peak", "--ratio", "0", "--ratio", "0.5"]
    gelens(copy, "pruning", "mini_resnet_se", *few, "--out", "run")
    gelens(copy, "pruning", "mini_resnet_se", *few, "--order", "most", "--out", "one")
    gelens(copy, "pruning", "mini_resnet_se", *few, "--one-order", "--means-from", "digits#train", "--out", "means")
    passes(copy, "tests/commands/test_command_line.py", "tests/probes/test_feature_importance.py")


@pytest.mark.slow
def test_an_analysis_with_a_probe_and_a_figure(copy):
    heads = "from contextlib import nullcontext\n\nfrom ..recording import Kept\n\n\n"
    probe = program("A probe", "class Entropy", "\nrequests =")
    (copy / "analysis" / "probes" / "entropy.py").write_text(f'"""Entropy."""\n\n{heads}{probe}')
    figure = program("A figure", "import matplotlib", "").replace("from gelens.figures.style", "from .style")
    (copy / "analysis" / "figures" / "fig_entropy.py").write_text(f'"""The entropy of predictions."""\n\n{figure}')
    analysis = program("An analysis", "@dataclass", "\nadd_command(")
    analysis = analysis.replace(
        "        return {label:",
        "        from ..probes.entropy import Entropy\n        from .requests import Request\n\n        return {label:",
    )
    analysis = analysis.replace(
        "        by = ", "        import numpy as np\n        import pandas as pd\n\n        by = "
    )
    heads = (
        "from dataclasses import dataclass\nfrom typing import ClassVar\n\nfrom .analysis import Analysis, option\n\n\n"
    )
    (copy / "analysis" / "analyses" / "entropy.py").write_text(f'"""Entropy."""\n\n{heads}{analysis}')
    put(
        copy,
        "analysis/analyses/__init__.py",
        "from .evaluation import Evaluation",
        "from .entropy import Entropies\nfrom .evaluation import Evaluation",
    )
    put(copy, "analysis/analyses/__init__.py", "Rarefaction, Match)", "Rarefaction, Match, Entropies)")
    gelens(copy, "entropy", "mini_resnet", "--untrained", "--limit", "20", "--device", "cpu", "-q", "--out", "run")
    assert (copy / "run" / "figures" / "fig_entropy.png").is_file()
    gelens(copy, "entropy", "run", "--bits", "-q", "--out", "again")
    passes(copy, "tests/test_rooms.py", "tests/figures/test_folder.py", "tests/commands/test_command_line.py")


@pytest.mark.slow
def test_a_form_of_images(copy):
    form = program("A form of images", "def _archive", "\nFORMS[")
    path = "analysis/data/forms.py"
    heads = "from ..networks.references import split_label\n"
    put(copy, path, heads, f"{heads}from ..untrusted import read_arrays\n")
    put(copy, path, "FORMS: dict[", f"{form}\nFORMS: dict[")
    put(copy, path, '    "cache": _cache,\n', '    "cache": _cache,\n    "npz": _archive,\n')
    put(copy, "analysis/choices.py", '"cache": Form(":FILE"),', '"cache": Form(":FILE"),\n    "npz": Form(":FILE"),')
    pixels = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    np.savez(copy / "noise.npz", images=pixels, labels=np.arange(12) % 2, classes=["a", "b"])
    assert "npz:FILE" in gelens(copy, "--help")
    gelens(copy, "cache", "npz:noise.npz", "--network", "mini_resnet", "--out", "cached.npy")
    cached = json.loads((copy / "cached.npy.json").read_text())
    assert cached["data"] == "npz:noise.npz" and cached["classes"] == ["a", "b"]
    few = ["--untrained", "--device", "cpu", "-q"]
    gelens(copy, "evaluate", "mini_resnet", "--data", "npz:noise.npz", *few, "--out", "run")
    words = "tests/commands/test_command_line.py::test_words_to_choose_by_are_those_of_the_library"
    passes(copy, "tests/data/test_forms.py", words)


@pytest.mark.slow
def test_a_layout_of_checkpoints(copy):
    layout = program("A checkpoint's names", "def _from_stages", "\nLAYOUTS.insert")
    entry = program("A checkpoint's names", "Layout(lambda", ")\nrules =")
    path = "analysis/networks/checkpoints.py"
    put(copy, path, "\nLAYOUTS = [\n", f"\n{layout}\nLAYOUTS = [\n    {entry},\n")
    network = load_network("mini_resnet_se")
    rules = ((r"^layer(\d)\.", r"stage\1."), (r"\.se\.", ".gate."), (r"^fc\.", "head."))
    torch.save(renamed(network.state_dict(), *rules), copy / "theirs.pth")
    save_weights(network, copy / "ours.safetensors")
    tables = []
    for weights in ("theirs.pth", "ours.safetensors"):
        few = ["--limit", "20", "--device", "cpu", "-q"]
        gelens(copy, "evaluate", f"mini_resnet_se@{weights}", *few, "--out", f"run-{weights}")
        tables.append(pd.read_csv(copy / f"run-{weights}" / "evaluation.csv").drop(columns="network"))
    pd.testing.assert_frame_equal(*tables)
    passes(copy, "tests/networks/test_checkpoints.py")


@pytest.mark.slow
def test_a_gate_of_the_catalogue(copy):
    lines = [line.partition("  #")[0] for line in PAGE.splitlines() if line.startswith('    "eca"')]
    module, settings, title = (f"{line}\n" for line in lines)
    building = "analysis/networks/building.py"
    put(copy, building, "import SEModule", "import EcaModule, SEModule")
    begun = "MODULES: dict[str, Callable[..., nn.Module | None]] = {\n"
    put(copy, building, begun, begun + module)
    put(
        copy,
        "analysis/networks/catalogue.py",
        '    "se": {"bias": True},\n',
        f'    "se": {{"bias": True}},\n{settings}',
    )
    put(copy, "analysis/names.py", "GATES = {\n", f"GATES = {{\n{title}")
    counted = [sys.executable, "-m", "analysis.networks.counting"]
    subprocess.run(counted, cwd=copy, check=True)
    listed = gelens(copy, "networks")
    assert "resnet50_eca" in listed and "thin_shufflenet_eca" in listed
    gelens(copy, "gates", "mini_resnet_eca", *FEW, "--permutations", "2", "--replicates", "2", "--out", "run")
    assert (
        "GE" not in (drawn := gelens(copy, "evaluate", "mini_resnet_eca", *FEW[:3], "--device", "cpu"))
        and "ECA" in drawn
    )
    passes(copy, "tests/networks/test_networks.py")
