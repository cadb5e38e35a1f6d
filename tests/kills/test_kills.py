"""Commands killed at any moment, gone on with, and compared with those that were left alone."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gelens.networks import save_weights
from tests.conftest import make_data, make_network

ROOT = Path(__file__).parents[2]
SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
ENDED = {0, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM, 128 + signal.SIGINT}
SMALL = ["--image-size", "16", "--device", "cpu"]
COMMANDS = {
    "record": ["record", "NET", "--limit", "100", "--batch-size", "8", "--blocks", "layer3.0", *SMALL],
    "pruning": [
        *("pruning", "NET", "--limit", "40", "--batch-size", "8", "--blocks", "layer3.1", "--ratio", "0.5"),
        *("--fill", "mean", "--means-from", "OTHERS", "--rows", "16", *SMALL),
    ],
    "lesions": [
        *("lesions", "NET", "--limit", "60", "--batch-size", "8", "--blocks", "layer3.1", "--units", "6"),
        *("--means-from", "digits#train", *SMALL),
    ],
    "cache": ["cache", "digits", "--limit", "300", "--image-size", "16"],
    "train": [
        *("train", "mini_shufflenet", "--limit", "60", "--epochs", "3", "--train-batch-size", "16"),
        *("--device", "cpu", "--precision", "fp32"),
    ],
}
UNEQUAL = ("timings", "data", "sum", "files", "seal")
"""What two runs may say otherwise of themselves in JSON: how long they took, where things are, and hashes of that."""


class Server:
    """Runs commands in processes that are killed; see `tests.kills.server`."""

    def __init__(self, folder: Path):
        self.folder = folder
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kills.server"], cwd=ROOT, env=environment, **pipes
        )

    def run(self, arguments, log: Path, **kill) -> tuple[int, float, str]:
        output = self.folder / "output.txt"
        request = {"arguments": [str(each) for each in arguments], "output": str(output), "log": str(log)} | kill
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["code"], answer["seconds"], output.read_text()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def whole(server):
    """By command, its arguments, where it was left alone to write, and how long that took."""
    weights, made = server.folder / "w.safetensors", {}
    save_weights(make_network("mini_resnet_se:classes=10"), weights)
    others = make_data(20, classes=2, size=16)
    for position, (image, label, _) in enumerate(others):
        path = server.folder / "others" / str(label) / f"{position}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    given = {"NET": f"it=mini_resnet_se@{weights}", "OTHERS": f"folder:{server.folder / 'others'}"}

    def of(command: str):
        if command not in made:
            arguments = [given.get(each, each) for each in COMMANDS[command]]
            out = server.folder / f"{command}-whole"
            code, seconds, output = server.run([*arguments, "--out", out], server.folder / "whole.log")
            assert code == 0, output
            made[command] = (arguments, out, seconds)
        return made[command]

    return of


def killed(server: Server, whole, command: str, seed: int, kills: int, folder: Path) -> int:
    """Kill a command so often, over several rounds, each gone on with to the end; the number of kills that landed."""
    arguments, expected, seconds = whole(command)
    draw, landed, number = random.Random(f"{command} {seed}"), 0, 0
    while landed < kills:
        number += 1
        out, log = folder / f"{number}" / expected.name, folder / f"{number}.log"
        out.parent.mkdir()
        for _ in range(draw.choice([1, 1, 2, 3])):
            code, _, output = server.run([*arguments, "--out", out, "--resume"], log, **_kill(draw, seconds))
            assert code in ENDED or "Aborted!" in output, output
            landed += code != 0
            assert "Traceback" not in output, output
        code, _, output = server.run([*arguments, "--out", out, "--resume"], log)
        assert code == 0, output
        assert not unequal(out, expected), f"round {number}"
        assert not left_over(out.parent)
        nothing_again(log)
    return landed


def _kill(draw: random.Random, seconds: float) -> dict:
    if draw.random() < 0.4:
        return {"around": {"count": draw.randint(1, 12), "before": draw.random() < 0.5}}
    return {"after": {"seconds": draw.uniform(0, 1.1 * seconds), "signal": int(draw.choice(SIGNALS))}}


def content(folder: Path, beginning: str = "") -> dict[str, object]:
    """What files hold, by their path, but for locks and what two runs say otherwise of themselves."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or not name.startswith(beginning) or path.name.endswith(".lock"):
            continue
        if path.suffix == ".json":
            found[name] = {key: value for key, value in json.loads(path.read_text()).items() if key not in UNEQUAL}
        else:
            found[name] = path.read_bytes()
    return found


def unequal(out: Path, expected: Path) -> list[str]:
    """Files that are others, or that only one of two has."""
    one, other = (content(each.parent, each.name) for each in (out, expected))
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def left_over(folder: Path) -> list[str]:
    """Temporary files and folders."""
    return [path.name for path in folder.rglob(".*") if not path.name.endswith(".lock")]


def nothing_again(log: Path) -> None:
    """An epoch whose state is saved is not begun again, and reading goes forward."""
    saved = 0
    for line in log.read_text().splitlines():
        what, number = line.rsplit(" ", 1)
        if what == "saved":
            saved = int(number)
        elif what == "epoch":
            assert int(number) > saved, line


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_killed_command_goes_on_to_the_same_end(server, whole, tmp_path, command):
    killed(server, whole, command, 0, 2, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_many_kills(server, whole, tmp_path, command):
    """Over all commands more than a hundred; a round of lesions takes the longest."""
    kills = 10 if command == "lesions" else 26
    assert killed(server, whole, command, 1, kills, tmp_path) >= kills


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_kill_around_the_first_replacements(server, whole, tmp_path, command, before):
    """The first file to take its place says whose the folder is: without it nothing may be refused."""
    arguments, expected, _ = whole(command)
    out, log = tmp_path / "round" / expected.name, tmp_path / "log"
    for count in (1, 2):
        around = {"count": count, "before": before}
        code, _, output = server.run([*arguments, "--out", out, "--resume"], log, around=around)
        assert code == -signal.SIGKILL, output
    code, _, output = server.run([*arguments, "--out", out, "--resume"], log)
    assert code == 0, output
    assert not unequal(out, expected)
    assert not left_over(out.parent)
