"""Names of checkpoints, and a training's in a folder, in the order of their epochs."""

import logging
import re
from pathlib import Path

from ..errors import UsageError

log = logging.getLogger(__name__)

SUFFIXES = (".safetensors", ".pth", ".pt", ".pkl", ".bin", ".tar", ".npz", ".ckpt")

HUB_WEIGHTS = "model.safetensors"
"""The weights in a folder of the Hugging Face hub's layout."""


def epoch_of(name: str) -> float | None:
    """The epoch in a checkpoint's name: the number after "epoch" or "ep", else a number that ends it, else None.

    >>> [epoch_of(name) for name in ("step=900-epoch=3.ckpt", "checkpoint-12.pth.tar", "epoch-000.125.safetensors")]
    [3, 12, 0.125]
    >>> [epoch_of(name) for name in ("last.pth", "last-v1.ckpt", "resnet50_best.pth")]
    [None, None, None]
    """
    stem = stem_of(name)
    found = re.search(r"(?<![a-z])ep(?:och)?[-_= ]?(\d+(?:\.\d+)?)", stem, re.IGNORECASE)
    found = found or re.search(r"(?<![^-_=. ])(\d+(?:\.\d+)?)$", stem)
    if not found:
        return None
    epoch = float(found[1])
    return int(epoch) if epoch.is_integer() else epoch


def stem_of(name: str) -> str:
    """A checkpoint's name without its suffixes.

    >>> stem_of("checkpoint-1.5.pth.tar")
    'checkpoint-1.5'
    """
    while (suffix := Path(name).suffix) in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def file_and_part(weights: str) -> tuple[str, str | None]:
    """A weights' file, and the part of it that FILE#PART names; a file may itself be called so.

    The file of a folder in the hub's layout is its `HUB_WEIGHTS`.

    >>> file_and_part("w.pth#ema"), file_and_part("w.pth")
    (('w.pth', 'ema'), ('w.pth', None))
    """
    file, _, part = weights.rpartition("#")
    found = (file, part) if file and part and not Path(weights).exists() else (weights, None)
    inside = Path(found[0]) / HUB_WEIGHTS
    return (str(inside), found[1]) if inside.is_file() else found


def checkpoint_files(folder: Path | str) -> dict[float, Path]:
    """The checkpoints of a folder by epoch, in their order; files without a number, such as `last.pth`, are left out.

    Raises:
        UsageError: there are none, or two are of one epoch.
    """
    folder = Path(folder)
    series: dict[float, Path] = {}
    if not folder.is_dir():
        raise UsageError(f"no folder `{folder}`; expected one with a training's checkpoints")
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix not in SUFFIXES or not path.is_file():
            continue
        epoch = epoch_of(path.name)
        if epoch is None:
            log.info("%s has no epoch in its name and is left out", path)
        elif epoch in series:
            raise UsageError(f"`{series[epoch].name}` and `{path.name}` in `{folder}` are both of epoch {epoch}")
        else:
            series[epoch] = path
    if not series:
        raise UsageError(
            f"`{folder}` has no checkpoints with an epoch in their names, such as epoch-003.safetensors; expected "
            f"files ending in {', '.join(SUFFIXES)}"
        )
    return dict(sorted(series.items()))
