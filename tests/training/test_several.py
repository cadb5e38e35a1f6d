"""Trainings at once leave what one after the other would; an error in one is a line; none outlives an end."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gelens import processes
from gelens.errors import UsageError
from gelens.training import recipe_of, train
from gelens.training.several import _is_done, at_once, sendable
from tests.docs.blocks import ROOT

SCRIPT = """
import sys
from pathlib import Path

import torch

import analysis
from gelens.training import recipe_of
from gelens.training.several import train_together

if __name__ == "__main__":
    torch.set_num_threads(2)
    out, epochs, *rates = sys.argv[1:]
    train_together(
        {
            f"number {number}": {
                "reference": "mini_shufflenet",
                "data": "digits",
                "out": Path(out) / str(number),
                "recipe": recipe_of("small", epochs=int(epochs), learning_rate=float(rate)),
                "device": "cpu",
                "precision": "fp32",
                "limit": 64,
                "label": f"number {number}",
                "resume": True,
            }
            for number, rate in enumerate(rates)
        },
        2,
    )
"""


def started(folder: Path, epochs: int, *rates: float) -> subprocess.Popen:
    """Trainings that differ in their learning rates, into `folder`/0 and so on, as a group of processes of its own."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(folder), str(epochs), *map(str, rates)]
    where = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=where, stderr=subprocess.PIPE, text=True, start_new_session=True)


def trained_alone(folder: Path, rate: float, epochs: int = 1, label: str = "number 0") -> bytes:
    """The weights that `train` leaves on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        recipe = recipe_of("small", epochs=epochs, learning_rate=rate)
        how = {"device": "cpu", "precision": "fp32", "limit": 64, "label": label, "progress": False, "resume": True}
        train("mini_shufflenet", "digits", folder, recipe, **how)
    finally:
        torch.set_num_threads(threads)
    return (folder / "weights.safetensors").read_bytes()


def wait_for(happens) -> None:
    end = time.monotonic() + 120
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_one_at_a_time_on_one_thread_and_as_many_as_there_are_threads_and_cores(monkeypatch):
    monkeypatch.setattr(processes, "cores", lambda: 4)
    for threads, trainings, expected in ((1, 8, 1), (2, 8, 2), (16, 8, 4), (16, 3, 3), (2, 0, 1)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert at_once(trainings, "cpu") == expected
    monkeypatch.setattr(processes, "number", lambda: 2)
    assert at_once(8, "cpu") == 1


@pytest.mark.slow
def test_weights_are_those_of_one_after_the_other(tmp_path):
    rates = (0.05, 0.02, 0.01)
    assert started(tmp_path, 1, *rates).wait() == 0
    for number, rate in enumerate(rates):
        alone = trained_alone(tmp_path / f"alone-{number}", rate, label=f"number {number}")
        assert (tmp_path / str(number) / "weights.safetensors").read_bytes() == alone
        assert (tmp_path / str(number) / "training.csv").read_text().count(f"number {number}") == 2


class OfTwo(Exception):
    """Made of two things, so that pickle makes none again of its one message."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


@pytest.mark.parametrize("error", [UsageError("a line"), KeyError("name"), OfTwo(1, 2), ValueError(lambda: 0)])
def test_every_error_reaches_the_other_process(error):
    try:
        raise error
    except Exception as raised:
        there = pickle.loads(pickle.dumps(sendable(raised)))
    kept = isinstance(error, UsageError | KeyError)
    assert type(there) is (type(error) if kept else RuntimeError)
    words = "".join([str(there), *there.__notes__] if kept else [str(there)])
    assert str(error) in words and words.count("Traceback") == 1


def test_an_error_that_nobody_foresaw_names_its_training():
    ours, theirs = multiprocessing.Pipe()
    theirs.send(KeyError("name"))
    with pytest.raises(KeyError) as raised:
        _is_done(ours, "number 1")
    assert raised.value.__notes__ == ["in the training number 1"]


@pytest.mark.slow
def test_what_goes_wrong_in_one_is_a_line_with_its_name(tmp_path):
    running = started(tmp_path, 2, 0.05, 1e30)
    said = running.communicate()[1].strip().splitlines()
    assert running.returncode == 1
    assert said[-1].startswith("gelens.errors.RunError: number 1: the train loss of epoch 1 is")
    assert not (tmp_path / "1" / "weights.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_no_training_outlives_a_signal_and_all_go_on(tmp_path, sign):
    running = started(tmp_path, 20, 0.05, 0.05)
    wait_for(lambda: all((tmp_path / f"{number}/checkpoint.pt").exists() for number in range(2)))
    if sign == signal.SIGINT:
        os.killpg(running.pid, sign)  # as a terminal sends it, to all
    else:
        running.kill()
    running.wait(timeout=60)

    def is_free() -> bool:
        try:
            trained_alone(tmp_path / "0", 0.05, 20)
        except UsageError as error:
            assert "another process" in str(error)
            return False
        return True

    wait_for(is_free)
