"""What "Extending" says is true: each recipe is applied to a copy of the package, whose own tests then pass."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
