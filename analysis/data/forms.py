"""The forms in which people keep images, by reference: `digits`, `folder:DIR`, `imagenet:DIR`, `tar:FILE` and so on.

Each form is a function of what follows the colon, the split that was named, and the split taken where none was.
"""

import glob
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import overload

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

from ..errors import RunError, UsageError, need, unknown
from ..networks.references import split_label
from . import folders, imagenet, parquet, tars
from .adapting import adapted
from .datasets import SPLITS, ImageData, read_chosen
from .endings import is_hidden, is_image
from .identifiers import Names

_LOOKED_AT = 1000
"""Files of a folder that tell what it holds."""


@overload
def load_data(reference: str, split: str = "val") -> ImageData: ...


@overload
def load_data(reference: Dataset, split: str = "val") -> Dataset: ...


def load_data(reference: "str | Dataset", split: str = "val") -> "ImageData | Dataset":
    """The images that a reference names.

    Args:
        reference: one of `FORMS`, then `#train`, `#val` or `#test` where there are such splits, and LABEL= before it
            for another name in figures. A data set or DataLoader of one's own is returned as it is, once
            `gelens.data.adapted` has found that it can be read. Two arrays are images and labels, as are a mapping's
            `image` and `label`: floating point (N, C, H, W), normalised already, or bytes (N, H, W, 3).
        split: the split taken where the reference names none; `val` takes the test images of data that have no others
            to validate on, and its note says so.

    Raises:
        UsageError: an unknown name, folder or split, or data of another kind.
        RunError: data that is not there, is empty, or cannot be fetched.

    >>> len(load_data("digits#train")), len(load_data("digits"))
    (1257, 540)
    """
    if not isinstance(reference, str):
        given = _of_arrays(reference)
        adapted(given)
        return given
    label, reference = split_label(reference)
    head, mark, named = reference.rpartition("#")
    if not mark or "/" in named:  # a folder may have # in its name
        head, mark, named = reference, "", ""
    if mark and named not in SPLITS:
        raise unknown("split", named, SPLITS)
    name, _, location = head.partition(":")
    if name not in FORMS:
        if meant := reference_to(head):
            raise UsageError(
                f"no data `{head}`; did you mean `{meant}{mark}{named}`? Valid, before the place: {', '.join(FORMS)}"
            )
        raise unknown("data", name, FORMS, limit=len(FORMS))
    data = FORMS[name](location, named, split)
    data.label = label
    return data


def _of_arrays(data):
    """Arrays of images and of labels as a data set; anything else as it is."""
    if isinstance(data, Mapping) and data.keys() == {"image", "label"}:
        data = (data["image"], data["label"])
    if not (isinstance(data, tuple) and [np.ndim(each) for each in data] == [4, 1]):
        return data
    images, labels = data
    if len(images) != len(labels):
        raise UsageError(f"{len(images)} images and {len(labels)} labels; expected a label for every image")
    if str(images.dtype).endswith("uint8"):
        pictures = [Image.fromarray(np.asarray(each)) for each in images]
        return list(zip(pictures, map(int, labels), strict=True))
    return TensorDataset(torch.as_tensor(images), torch.as_tensor(labels))


def reference_to(location: str) -> str | None:
    """What a person who named a place alone may have meant, by what is there; None where nothing is."""
    found = next(map(Path, glob.iglob(location, recursive=True)), None)
    if Path(location).exists():
        found = Path(location)
    if found is None:
        return None
    if not found.is_dir():
        form = "cache" if Path(f"{found}.json").is_file() else tars.form_of(found)
        return f"{form}:{location}" if form else None
    below = [path for path in islice(_files_below(found), _LOOKED_AT) if not is_hidden(path.name)]
    if images := [path for path in below if is_image(path.name)]:
        flat = images[0].parent == found and any((found / name).is_file() for name in imagenet.TRUTHS)
        return f"{'imagenet' if flat else 'folder'}:{location}"
    kinds = {form: path for path in below if (form := tars.form_of(path))}
    if not kinds:
        return None
    form, path = next(iter(kinds.items()))
    return f"tar:{path}" if form == "tar" else f"{form}:{location}"


def _files_below(folder: Path) -> Iterator[Path]:
    for place, below, files in os.walk(folder):
        below[:] = sorted(name for name in below if not is_hidden(name))
        yield from (Path(place) / name for name in sorted(files))


@cache
def _digit_images() -> tuple[list[Image.Image], np.ndarray]:
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    levels = np.rint(scans.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    return [Image.fromarray(scan).resize((32, 32), Image.Resampling.BILINEAR) for scan in levels], labels


def _digits(location: str, named: str, split: str) -> ImageData:
    """scikit-learn's scans of handwritten digits, 8×8 enlarged to 32×32 bilinearly; a fixed stratified 70/30 split."""
    need("sklearn", "digits")
    from sklearn.model_selection import train_test_split

    if location:
        raise UsageError(f"`digits` takes no location, but got `{location}`")
    split = named or split
    if split not in ("train", "val"):
        raise UsageError(f"`digits` has no split `{split}`; it has train, val")
    images, labels = _digit_images()
    train, val = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=0, stratify=labels)
    chosen = np.sort(train if split == "train" else val)
    return ImageData(
        "digits",
        split,
        [str(digit) for digit in range(10)],
        labels[chosen],
        [f"digit-{position:04d}" for position in chosen],
        partial(read_chosen, images.__getitem__, chosen),
        note="8×8 scans enlarged bilinearly to 32×32",
    )


def _torchvision(kind: str, name: str, location: str, named: str, split: str) -> ImageData:
    """One of torchvision's named sets, downloaded unless a folder is named."""
    from torchvision import datasets

    split, form = named or split, getattr(datasets, kind)
    if kind == "Imagenette" and split == "test":
        raise UsageError(f"`{name}` has no split `test`; it has train, val")
    root = Path(location) if location else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "gelens"
    which = {"split": split} if kind == "Imagenette" else {"train": split == "train"}
    try:
        dataset = form(root, **which, download=not location)
        _check_named(dataset, kind)
    except (Exception, MemoryError) as error:  # RuntimeError for absent files, and of damaged ones anything
        raise RunError(
            f"{name} is not in `{root}` and could not be fetched: put what torchvision's {kind} reads there"
            f"{f' ({form.filename} from {form.url}, unpacked)' if hasattr(form, 'filename') else ''}, or name its "
            f"folder as {name}:DIR"
        ) from error
    if kind == "Imagenette":
        paths = [Path(path) for path, _ in dataset._samples]
        root = paths[0].parents[1] if paths else root
        names = [path.relative_to(root).as_posix() for path in paths]
        labels, sizes = [label for _, label in dataset._samples], [path.stat().st_size for path in paths]
        return ImageData(name, split, dataset.wnids, labels, names, folders.FileReader(root, Names(names)), sizes=sizes)
    part = "train" if split == "train" else "val"  # these sets' test images, by either name
    names = [f"{part}-{position:05d}" for position in range(len(dataset))]
    return ImageData(name, split, dataset.classes, dataset.targets, names, partial(_read_array, dataset.data))


def _check_named(dataset, kind: str) -> None:
    """Raw files, which torchvision takes as they are, may be of other shapes and labels than each other."""
    if kind == "Imagenette":
        return
    images, labels, classes = dataset.data, np.asarray(dataset.targets), len(dataset.classes)
    if len(images) != len(labels) or images.shape[1:3] not in ((28, 28), (32, 32)):
        raise ValueError(f"{len(labels)} labels of images {tuple(images.shape)}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"labels {labels.min()} … {labels.max()} of {classes} classes")


def _read_array(pixels: np.ndarray, position: int) -> Image.Image:
    return Image.fromarray(np.asarray(pixels[position]))


def _cache(location: str, named: str, split: str) -> ImageData:
    from .cached import load_cache

    return load_cache(location, named, split)


FORMS: dict[str, Callable[[str, str, str], ImageData]] = {
    "digits": _digits,
    "cifar10": partial(_torchvision, "CIFAR10", "cifar10"),
    "cifar100": partial(_torchvision, "CIFAR100", "cifar100"),
    "mnist": partial(_torchvision, "MNIST", "mnist"),
    "fashion_mnist": partial(_torchvision, "FashionMNIST", "fashion_mnist"),
    "imagenette": partial(_torchvision, "Imagenette", "imagenette"),
    "folder": folders.folder,
    "imagenet": folders.imagenet_folder,
    "tar": tars.tar,
    "webdataset": tars.webdataset,
    "parquet": parquet.parquet,
    "hf": parquet.hub,
    "cache": _cache,
}
