"""What only some commands need may be missing: a line says so with the command that installs it."""

import json
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from gelens.cli import main
from tests.report.pages import write_run

ROOT = Path(__file__).parents[1]
EXTRAS = {"bokeh": "report", "accelerate": "train", "sklearn": "digits"}


def run(*arguments) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(map(str, arguments)))
    return done.exit_code, done.output


@pytest.fixture
def without(monkeypatch):
    """A way to make a package one that is not installed."""

    def hide(package: str) -> None:
        for name in [each for each in sys.modules if each.partition(".")[0] == package]:
            monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setitem(sys.modules, package, None)

    return hide


def test_a_missing_package_is_named_with_its_extra(without, tmp_path):
    for package in EXTRAS:
        without(package)
    write_run(tmp_path / "run")
    train = ("train", "mini_resnet", "--data", f"folder:{tmp_path}", "--out", tmp_path / "t")
    digits = ("evaluate", "mini_resnet", "--untrained", "--out", tmp_path / "e")
    asked = {"bokeh": ("report", tmp_path / "run"), "accelerate": train, "sklearn": digits}
    for package, arguments in asked.items():
        code, output = run(*arguments)
        assert code == 2 and f"`{package}` is not installed: pip install 'gelens[{EXTRAS[package]}]'" in output


PROGRAM = f"""
import json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {tuple(EXTRAS)}:
            raise ModuleNotFoundError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocked())
sys.modules.update(dict.fromkeys({tuple(EXTRAS)}))
import analysis
from gelens.cli import main

main(json.loads(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_network_of_ones_own_is_measured_without_any(tmp_path):
    """A network and a folder of images, to tables and figures; the report that would come with them is left out."""
    for number in range(8):
        path = tmp_path / "photos" / f"{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (30 * number, 0, 0)).save(path)
    arguments = ["try", "mini_resnet_se:classes=2", "--data", f"folder:{tmp_path / 'photos'}", "--untrained"]
    arguments += ["--classes-by-position", "--device", "cpu", "--out", str(tmp_path / "run")]
    program = [sys.executable, "-c", PROGRAM, json.dumps(arguments)]
    done = subprocess.run(program, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "no report is written: the package `bokeh` is not installed" in done.stderr
    assert not (tmp_path / "run" / "report.html").exists()
    assert (tmp_path / "run" / "figures" / "fig3_pruning.png").is_file()


def test_each_extra_is_installed_with_the_tests():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = {name: set(text.split()) for name, text in config["options.extras_require"].items()}
    for name in (*EXTRAS.values(), "hf"):
        own = {line for line in extras[name] if ">=" in line}
        assert own and own <= extras["test"]
        assert not any(line in config["options"]["install_requires"] for line in own)
