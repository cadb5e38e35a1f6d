"""Training in several processes: the same batches, gradients and metrics as in one."""

import hashlib
import os
import socket

import numpy as np
import pandas as pd
import pytest
import torch
from torch import multiprocessing

from gelens import processes, training
from gelens.networks.checkpoints import read_checkpoint
from gelens.networks.preprocessing import Preprocessing
from gelens.training import Recipe
from gelens.training.loop import Loop
from gelens.training.reading import training_batches
from tests.conftest import make_data

WITHOUT_BATCH_NORM = """
import torch
class Mine(torch.nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv, self.fc = torch.nn.Conv2d(3, 8, 5, stride=2), torch.nn.Linear(8, classes)
    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))
def build(classes=10):
    return Mine(classes)
"""
PADDED = Recipe(3, 32, 0.05, padding=2)
"""Crops by a hash of the image: the same whoever draws them. 150 images: a last batch of 22, shared by two."""


@pytest.mark.parametrize("padding", [None, 2])
def test_shares_make_the_batches_of_one_process(monkeypatch, padding):
    """Images and their crops; the last batch, of fewer than two images each, is left out."""
    data = make_data(67, size=32)
    data.labels = np.arange(67)
    recipe = Recipe(1, 32, 0.05, padding=padding)

    def epoch(rank, number):
        monkeypatch.setattr(processes, "rank", lambda: rank)
        monkeypatch.setattr(processes, "number", lambda: number)
        return list(training_batches(data, recipe, Preprocessing(32, 1.0), torch.device("cpu")).epoch(1))

    whole, shares = epoch(0, 1), [epoch(rank, 2) for rank in (0, 1)]
    assert [len(labels) for _, labels in whole] == [32, 32, 3] and [len(each) for each in shares] == [2, 2]
    for step, (images, labels) in enumerate(whole[:2]):
        for rank in (0, 1):
            own_images, own_labels = shares[rank][step]
            assert torch.equal(own_labels, labels[rank::2])
            if padding is not None:
                assert torch.equal(own_images, images[rank::2])


def _of_two(rank: int, folder: str, reference: str, port: int) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    loops, run = [], Loop.run
    Loop.run = lambda self, *rest: (loops.append(self), run(self, *rest))[1]
    _train(reference, f"{folder}/two")
    weights = b"".join(each.detach().numpy().tobytes() for each in loops[0].own_network.state_dict().values())
    assert len(set(processes.collect(hashlib.sha256(weights).hexdigest()))) == 1, "processes have other weights"
    again = _train(reference, f"{folder}/two", resume=True)
    assert len(again) == 6
    processes.leave()


def _train(reference: str, folder: str, **how) -> pd.DataFrame:
    torch.set_num_threads(1)
    options = {"precision": "fp32", "progress": False, "label": "it", "limit": 150}
    return training.train(reference, "digits", folder, PADDED, "cpu", **options, **how)


def _in_two(tmp_path, reference: str) -> pd.DataFrame:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(_of_two, (str(tmp_path), reference, port), nprocs=2)
    return pd.read_csv(tmp_path / "two/training.csv")


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path):
    """Without batch norm all is equal but for the order of additions: curves over all images, and weights."""
    (tmp_path / "mine.py").write_text(WITHOUT_BATCH_NORM)
    reference = f"{tmp_path}/mine.py:build"
    both = _in_two(tmp_path, reference)
    alone = _train(reference, f"{tmp_path}/one")
    pd.testing.assert_frame_equal(both, alone, rtol=1e-4)
    one, two = (read_checkpoint(f"{tmp_path}/{name}/weights.safetensors").state for name in ("one", "two"))
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_two_processes_train_a_network_of_batch_norm(tmp_path):
    """Running statistics are one process's, so that errors on all validation images are those of the saved weights."""
    import gelens
    from gelens.data import load_data

    both = _in_two(tmp_path, "mini_shufflenet")
    assert np.isfinite(both["loss"]).all()
    data = load_data("digits#val").limited(150)
    evaluated = gelens.evaluate(f"mini_shufflenet@{tmp_path}/two/weights.safetensors", data)
    assert evaluated["top1_error"][0] == pytest.approx(both["top1_error"].iloc[-1], abs=1e-4)
