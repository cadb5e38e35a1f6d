"""What this machine has for gelens: versions, devices, data, weights, space."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from .. import processes

NEEDED_GB = 2
"""The recording of a ResNet-50's stage four on ImageNet's validation images takes 1.2."""


@dataclass(frozen=True)
class Found:
    """Something looked for.

    Args:
        section: what kind of thing.
        name: of the thing.
        value: what was found.
        well: whether that is as it should be.
    """

    section: str
    name: str
    value: str
    well: bool = True


def examine() -> Iterator[Found]:
    """All that is looked for, in order."""
    yield from _versions()
    yield from _devices()
    yield from _weights()
    yield from _data()
    yield from _space()


def _versions() -> Iterator[Found]:
    yield Found("Versions", "python", platform.python_version())
    try:
        needed = [Requirement(text) for text in requires("gelens") or ()]
    except PackageNotFoundError:
        yield Found("Versions", "gelens", "not installed: this is a clone; pip install -e .", False)
        return
    yield Found("Versions", "gelens", version("gelens"))
    for each in needed:
        optional = each.marker is not None
        try:
            found = version(each.name)
        except PackageNotFoundError:
            if not optional:
                yield Found("Versions", each.name, f"missing, and needed: {each}", False)
            continue
        if not each.specifier.contains(found, prereleases=True):
            yield Found("Versions", each.name, f"{found}, but {each.specifier} is needed", False)
        elif not optional:
            yield Found("Versions", each.name, found)


def _devices() -> Iterator[Found]:
    import torch

    from ..devices import fast_precision

    yield Found(
        "Devices", "cpu", f"{processes.cores()} cores, --precision auto is {fast_precision(torch.device('cpu'))}"
    )
    for number in range(torch.cuda.device_count()):
        of = torch.cuda.get_device_properties(number)
        chosen = fast_precision(torch.device("cuda", number))
        yield Found("Devices", f"cuda:{number}", f"{of.name}, {of.total_memory / 2**30:.0f} GiB, auto is {chosen}")
    if torch.backends.mps.is_available():
        yield Found("Devices", "mps", f"auto is {fast_precision(torch.device('mps'))}")
    if torch.xpu.is_available():
        yield Found("Devices", "xpu", f"auto is {fast_precision(torch.device('xpu'))}")
    if not torch.accelerator.is_available():
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else torch.version.hip
        why = (
            f"none found, though this torch is built for {built}" if built else "none; this torch is built for the CPU"
        )
        yield Found("Devices", "accelerator", why)


def _weights() -> Iterator[Found]:
    import torch

    from ..networks.shipped import everything

    yield Found("Weights", "with gelens", f"{len(everything())} trainings: `gelens networks` lists them")
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    fetched = sorted(path.name for path in folder.glob("*")) if folder.is_dir() else []
    yield Found("Weights", "torchvision's", f"{len(fetched)} files in {folder}")
    yield Found("Weights", "timm's", f"{_count(_hub(), 'models--*')} networks in {_hub()}")


def _data() -> Iterator[Found]:
    yield Found("Data", "digits", "come with scikit-learn")
    yield Found("Data", "Hugging Face", f"{_count(_hub(), 'datasets--*')} data sets in {_hub()}")
    converted = _hub().with_name("datasets")
    yield Found("Data", "converted", f"{_count(converted, '*')} folders of parquet and other tables in {converted}")


def _space() -> Iterator[Found]:
    for name, folder in (("here", Path.cwd()), ("temporary", Path(tempfile.gettempdir())), ("hub", _hub())):
        there = next(each for each in (folder, *folder.parents) if each.exists())
        free = shutil.disk_usage(there).free / 1e9
        yield Found("Free space", name, f"{free:.1f} GB in {folder}", free > NEEDED_GB)


def _hub() -> Path:
    """Where Hugging Face's libraries keep what they fetch."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")


def _count(folder: Path, pattern: str) -> int:
    return len(list(folder.glob(pattern))) if folder.is_dir() else 0
