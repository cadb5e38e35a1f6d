"""Weights and factories of strangers: nothing is run, and small files take little memory."""

import io
import json
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

import cli
from gelens.errors import RunError, UsageError
from gelens.networks import load_network
from gelens.networks.checkpoints import read_checkpoint
from tests.conftest import make_network


def saved(value) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def header_of(shape: tuple[int, ...]) -> bytes:
    """An npy file's head, and nothing after it."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def zipped(method=zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


HOSTILE = {
    "npz of gigabytes": (lambda: zipped(fc=header_of((10**8,)) + bytes(4 * 10**8)), "unpacks to 400000128"),
    "npz whose head lies": (lambda: zipped(fc=header_of((10**6, 10**6))), "but 128 are stored"),
    "npz whose head is of negative size": (lambda: zipped(fc=header_of((-1, 4))), ""),
    "expanded": (lambda: saved({"fc.weight": torch.zeros(1).expand(10**6, 10**6)}), "say to have 4000000000000 bytes"),
    "overlapping": (
        lambda: saved({"fc.weight": torch.zeros(10**4).as_strided((10**7, 9000), (0, 1))}),
        "say to have",
    ),
    "many of one": (lambda: saved(dict.fromkeys(map(str, range(9000)), torch.zeros(10**5))), "say to have"),
    "float8": (lambda: saved({"fc.weight": torch.zeros(3).to(torch.float8_e4m3fn)}), "float8_e4m3fn; expected float64"),
    "complex": (lambda: saved({"fc.weight": torch.zeros(3, dtype=torch.complex64)}), "complex64"),
    "uint64": (lambda: saved({"fc.weight": torch.zeros(3, dtype=torch.uint64)}), "uint64"),
    "meta": (lambda: saved({"fc.weight": torch.empty(10**6, 10**6, device="meta")}), "without values"),
    "sparse": (lambda: saved({"fc.weight": torch.eye(3).to_sparse()}), "sparse_coo"),
    "sparse rows": (lambda: saved({"fc.weight": torch.eye(3).to_sparse_csr()}), "sparse_csr|no mapping|never"),
    "nested": (lambda: saved({"a": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])}), "nested|jagged|never"),
    "quantised": (
        lambda: saved({"fc.weight": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}),
        "quantised|never",
    ),
    "code": (lambda: saved({"fc.weight": io.BytesIO, "x": os.system}), "never unpickled"),
    "numbers as names": (lambda: saved({0: torch.ones(3)}), "no mapping of names"),
    "a list": (lambda: saved([torch.ones(3)]), "no mapping of names"),
    "deep": (lambda: saved(deep(200)), "no mapping of names"),
}


def deep(levels: int) -> dict:
    value: dict = {}
    for _ in range(levels):
        value = {"state_dict": value}
    return value


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", HOSTILE)
def test_tensors_that_are_none_or_too_many(kind, tmp_path):
    make, message = HOSTILE[kind]
    path = tmp_path / "w.pth"
    path.write_bytes(make())
    assert path.stat().st_size < 5_000_000
    with pytest.raises(RunError, match=rf"cannot read weights .*({message})"):
        read_checkpoint(str(path))


def test_trained_weights_of_every_container_are_within_the_allowance(tmp_path):
    """Zeros and ones compress: a network that was never trained, in the tightest container."""
    state = make_network("mini_resnet").state_dict()
    np.savez_compressed(tmp_path / "w.npz", **{key: np.zeros_like(value.numpy()) for key, value in state.items()})
    assert len(read_checkpoint(str(tmp_path / "w.npz")).state) == len(state)


METADATA = {
    "size": ("preprocessing", {"size": 40_000}, "size is 40000; expected 1 … 4096"),
    "no size": ("preprocessing", {"size": None}, "size is null; expected a whole number"),
    "text": ("preprocessing", {"size": "32"}, "size is text; expected a whole number"),
    "share": ("preprocessing", {"crop_pct": 1e-9}, None),
    "no share": ("preprocessing", {"crop_pct": 0}, "crop_pct is 0; expected a share"),
    "mean": ("preprocessing", {"mean": [0.5, "x", 0.5]}, r"mean\[1\] is text"),
    "long mean": ("preprocessing", {"mean": [0.5] * 5}, "a number for each channel"),
    "std": ("preprocessing", {"std": [0, 1, 1]}, "above 0"),
    "interpolation": ("preprocessing", {"interpolation": "__class__"}, "expected one of nearest"),
    "deep": ("preprocessing", "[" * 100_000, "nested too deep"),
    "infinite": ("preprocessing", '{"size": 1e400}', "1e400 is too large"),
    "list": ("preprocessing", "[]", "it is a list; expected a mapping"),
    "no JSON": ("preprocessing", "{", "metadata's preprocessing"),
    "classes": ("reference", "mini_resnet:classes=1000000000000", "not a whole number above 0 and up to"),
    "digits": ("reference", "mini_resnet:classes=" + "9" * 5000, "not a whole number above 0 and up to"),
    "map": ("reference", "mini_resnet:size=40000", "up to 2048"),
    "other": ("reference", "\x1b[31m", "no name|are of"),
    "nothing": ("reference", "", "no name"),
}


@pytest.mark.parametrize("kind", METADATA)
def test_metadata_that_tells_lies(kind, tmp_path):
    name, value, message = METADATA[kind]
    network = make_network("mini_resnet")
    metadata = {"reference": "mini_resnet", "preprocessing": json.dumps(network.preprocessing.as_dict())}
    if isinstance(value, dict):
        value = json.dumps(network.preprocessing.as_dict() | value)
    save_file(network.state_dict(), tmp_path / "w.safetensors", metadata | {name: value})
    if message is None:
        load_network(f"mini_resnet@{tmp_path}/w.safetensors")  # refused with images at hand
    else:
        with pytest.raises((RunError, UsageError), match=message) as refused:
            load_network(f"mini_resnet@{tmp_path}/w.safetensors")
        assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("setting", ["size=40000", "classes=999999999", "size=²", "classes=-1"])
def test_settings_of_networks_that_no_memory_would_hold(setting):
    with pytest.raises(UsageError, match="not a whole number above 0 and up to"):
        load_network(f"mini_resnet:{setting}")


def test_pipes_and_devices_are_no_weights(tmp_path):
    os.mkfifo(tmp_path / "w.pth")
    (tmp_path / "zero.pth").symlink_to("/dev/zero")
    for name in ("w.pth", "zero.pth"):
        with pytest.raises(UsageError, match="no weights file"):
            load_network(f"mini_resnet@{tmp_path / name}")
        with pytest.raises(UsageError, match="no file"):
            load_network(f"{(tmp_path / name).rename(tmp_path / f'{name}.py')}:build")


@pytest.mark.parametrize("content", [b"\x80" * 40, struct.pack("<Q", 2**62) + b"{" + bytes(20), b"PK\3\4" + bytes(60)])
def test_heads_that_lie(content, tmp_path):
    path = Path(tmp_path / "w.bin")
    path.write_bytes(content)
    with pytest.raises(RunError, match="cannot read weights"):
        read_checkpoint(str(path))


@pytest.mark.parametrize(
    "code, message",
    [
        ("import sys; sys.exit(3)", "cannot be run: SystemExit"),
        ("def build(): raise SystemExit", "failed: SystemExit"),
        ("def build(): return 7", "returned a int"),
        ("build = 7", "no function"),
        ("\x00", "cannot be run"),
        ("def build(: pass", "cannot be run: SyntaxError"),
        ("import torch\ndef build():\n  n = torch.nn.Linear(2, 2)\n  n.preprocessing = 7\n  return n", None),
    ],
)
def test_factories_that_make_no_network(code, message, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(code)
    if message is None:
        load_network(f"{path}:build")
    else:
        with pytest.raises(UsageError, match=message):
            load_network(f"{path}:build")


def test_a_seed_of_thousands_of_digits(tmp_path):
    """Python makes no number of so many."""
    state = make_network("mini_resnet").state_dict()
    for number in range(2):
        save_file(state, tmp_path / f"{number}.safetensors", {"reference": "mini_resnet", "seed": "9" * 5000})
    with pytest.raises(RunError, match="its metadata's seed has 5000 characters; expected at most 100"):
        load_network(f"mini_resnet@{tmp_path}/0.safetensors")
    result = CliRunner().invoke(cli.main, ["layers", f"mini_resnet@{tmp_path}/*.safetensors"])
    assert isinstance(result.exception, SystemExit) and len(result.output) < 1000, result.output
