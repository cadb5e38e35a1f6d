"""The forms in which people keep images, by reference: `digits`, `folder:DIR`, `imagenet:DIR`, `tar:FILE` and so on.

Each form is a function of what follows the colon, the split that was named, and the split taken where none was.
"""

import glob
import io
import json
import logging
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image
from torch.utils.data import Dataset
from torchvision.datasets.folder import IMG_EXTENSIONS

from analysis.data import imagenet
from analysis.data.datasets import SPLITS, ImageData, class_numbers, read_chosen, reason
from analysis.data.names import Names
from analysis.data.tars import TarReader, members, outside
from analysis.errors import RunError, UsageError, unknown

log = logging.getLogger(__name__)

LINK = "it is a link inside the archive; pack the files themselves"
MOST_CLASSES = 1_000_000


def load_data(reference: "str | Dataset", split: str = "val") -> "ImageData | Dataset":
    """The images that a reference names.

    Args:
        reference: one of `FORMS`, then `#train` or `#val` where both exist; anything else than text is returned as it
            is.
        split: the split taken where the reference names none.

    Raises:
        UsageError: an unknown name, folder or split.
        RunError: data that is not there, is empty, or cannot be fetched.

    >>> len(load_data("digits#train")), len(load_data("digits"))
    (1257, 540)
    """
    if not isinstance(reference, str):
        return reference
    head, mark, named = reference.rpartition("#")
    if not mark or "/" in named:  # a folder may have # in its name
        head, mark, named = reference, "", ""
    if mark and named not in SPLITS:
        raise unknown("split", named, SPLITS)
    name, _, location = head.partition(":")
    if name not in FORMS:
        raise unknown("data", name, FORMS, limit=len(FORMS))
    return FORMS[name](location, named, split)


@cache
def _digit_images() -> tuple[list[Image.Image], np.ndarray]:
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    levels = np.rint(scans.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    return [Image.fromarray(scan).resize((32, 32), Image.Resampling.BILINEAR) for scan in levels], labels


def _digits(location: str, named: str, split: str) -> ImageData:
    """scikit-learn's scans of handwritten digits, 8×8 enlarged to 32×32 bilinearly; a fixed stratified 70/30 split."""
    from sklearn.model_selection import train_test_split

    if location:
        raise UsageError(f"`digits` takes no location, but got `{location}`")
    split = named or split
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
    root = Path(location) if location else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "gelens"
    which = {"split": split} if kind == "Imagenette" else {"train": split == "train"}
    try:
        dataset = form(root, **which, download=not location)
    except (OSError, RuntimeError) as error:  # torchvision raises RuntimeError for absent or damaged files
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
        return ImageData(name, split, dataset.wnids, labels, names, FileReader(root, Names(names)), sizes=sizes)
    names = [f"{split}-{position:05d}" for position in range(len(dataset))]
    return ImageData(name, split, dataset.classes, dataset.targets, names, partial(_read_array, dataset.data))


def _read_array(pixels: np.ndarray, position: int) -> Image.Image:
    return Image.fromarray(np.asarray(pixels[position]))


class FileReader:
    """Opens image i by its path below a folder."""

    def __init__(self, root: Path, names: Names):
        self.root, self.names = root, names

    def __call__(self, position: int) -> Image.Image:
        return Image.open(self.root / self.names[position])


def _folder(location: str, named: str, split: str) -> ImageData:
    root, split, have = _splits_of("folder", location, named, split)
    # splits share one numbering of classes, also where one of them lacks some
    found = _Found(root / split)
    names, numbers = class_numbers(
        entry.name
        for each in (have if split else [""])
        for entry in os.scandir(root / each)
        if not found._leads_nowhere(entry) and entry.is_dir()
    )
    root = root / split
    if not names:
        raise RunError(f"folder `{root}` has no class subfolders with images")
    for name in names:
        if (root / name).is_dir():
            found.walk(root / name, numbers[name])
    return found.data(f"folder:{re.sub(r'/+$', '', location)}", split, names)


def _imagenet(location: str, named: str, split: str) -> ImageData:
    """torchvision's layout, plain class folders, or the 50,000 validation images in one folder with their truth."""
    root, split, _ = _splits_of("imagenet", location, named, split)
    root = root / split
    found, folders, flat = _Found(root), [], False
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if found._leads_nowhere(entry):
            continue
        if entry.is_dir():
            if re.fullmatch(r"n\d{8}", entry.name):
                folders.append(entry.name)
        elif _is_image(entry.name):
            flat = True
    if folders:
        for name, label in zip(folders, imagenet.labels_of(folders, location), strict=True):
            found.walk(root / name, label)
    elif flat:
        found.walk(root, 0)
        found.labels = imagenet.validation_labels(root, found.names)
    return found.data(f"imagenet:{re.sub(r'/+$', '', location)}", split, imagenet.synsets())


def _splits_of(form: str, location: str, named: str, split: str) -> tuple[Path, str, list[str]]:
    """The folder, the split to take ("" where it has none), and those that there are."""
    root = Path(location)
    if not location or not root.is_dir():
        raise UsageError(f"no folder `{location}`; expected {form}:DIR with one subfolder of images for each class")
    have = [each for each in SPLITS if (root / each).is_dir()]
    if have and (named or split) not in have:
        raise UsageError(f"folder `{location}` has no split `{named or split}`; it has {', '.join(have)}")
    if not have and (named or split != "val"):
        raise UsageError(f"folder `{location}` has no subfolder `{named or split}`; expected train and val in it")
    return root, (named or split) if have else "", have


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMG_EXTENSIONS)


def _place(folder: Path) -> tuple[int, int]:
    """What a folder is, whatever links lead to it."""
    status = folder.stat()
    return status.st_dev, status.st_ino


class _Found:
    """Images below a folder, as they are found: names in torchvision's order, labels, sizes, and what is wrong."""

    def __init__(self, root: Path):
        self.root = root
        self.names: list[str] = []
        self.labels: list[int] | np.ndarray = []
        self.sizes: list[int] = []
        self.faults: dict[str, str] = {}

    def walk(self, folder: Path, label: int) -> None:
        """Add every image in a folder and below it, in the order of their paths."""
        around = (self.root.resolve(), *self.root.resolve().parents)
        above = tuple(_place(each) for each in around if each != folder.resolve())
        for name, size in sorted(self._below(folder, above)):
            self.names.append(name)
            self.labels.append(label)
            self.sizes.append(size)

    def _below(self, folder: Path, above: tuple) -> Iterator[tuple[str, int]]:
        here = _place(folder)
        if here in above:
            self.faults[folder.relative_to(self.root).as_posix()] = "a symbolic link leads back above it"
            return
        prefix = "" if folder == self.root else folder.relative_to(self.root).as_posix()
        for entry in os.scandir(folder):
            if self._leads_nowhere(entry):
                continue
            if entry.is_dir():
                yield from self._below(folder / entry.name, (*above, here))
            elif _is_image(entry.name):
                size = entry.stat().st_size if entry.is_file() else -1
                yield (f"{prefix}/{entry.name}" if prefix else entry.name), size

    def _leads_nowhere(self, entry: os.DirEntry) -> bool:
        """Whether a link goes round in a circle; then it is a fault."""
        try:
            entry.is_dir()
        except OSError as error:
            self.faults[os.path.relpath(entry.path, self.root).replace(os.sep, "/")] = reason(error)
            return True
        return False

    def data(self, name: str, split: str, classes: Sequence[str]) -> ImageData:
        if not self.names and not self.faults:
            raise RunError(f"folder `{self.root}` has no images; expected files ending in {', '.join(IMG_EXTENSIONS)}")
        names = Names(self.names)
        read = FileReader(self.root, names)
        return ImageData(name, split, classes, self.labels, names, read, sizes=self.sizes, faults=self.faults)


def _tar(location: str, named: str, split: str) -> ImageData:
    """Class folders inside a tar, below folders `train` and `val` where there are both."""
    path = Path(location)
    if not path.is_file():
        raise UsageError(f"no file `{location}`; expected tar:FILE with one folder of images for each class in it")
    found, faults = [], {}
    for name, offset, size in members(path):
        if not _is_image(name):
            continue
        if fault := outside(name) or (LINK if size < 0 else None):
            faults[name] = fault
        else:
            found.append((*_in_split(posixpath.normpath(name).split("/")), offset, size))
    have = [each for each in SPLITS if any(where == each for where, *_ in found)]
    if (named or have) and (named or split) not in have:
        raise UsageError(f"tar `{location}` has no split `{named or split}`; it has {', '.join(have) or 'none'}")
    if not have and split != "val":
        raise UsageError(f"tar `{location}` has no folder `{split}`; expected train and val in it")
    split = (named or split) if have else ""
    around = 0 if have else _folders_around([parts for _, parts, *_ in found])
    described, seen = [], set()
    for where, parts, offset, size in found:
        name = "/".join(parts := parts[around:])
        if len(parts) < 2:
            faults[name] = "it is in no class folder"
        elif have and not where:
            faults[name] = "it is in no split"
        elif (where, name) in seen:
            faults[f"{name} (again)"] = "another image has its name"
        else:
            seen.add((where, name))
            described.append((parts[0], name, where, offset, size))
    names, numbers = class_numbers([each[0] for each in described])  # splits share one numbering
    described = sorted((each for each in described if each[2] == split), key=lambda each: each[1])
    if not described and not faults:
        raise RunError(f"tar `{location}` has no images; expected files ending in {', '.join(IMG_EXTENSIONS)}")
    offsets, sizes = (np.array([each[place] for each in described], dtype=np.int64) for place in (3, 4))
    reader = TarReader([path], np.zeros(len(described), dtype=np.int64), offsets, sizes)
    labels, identifiers = [numbers[each[0]] for each in described], [each[1] for each in described]
    return ImageData(f"tar:{location}", split, names, labels, identifiers, reader, sizes=sizes, faults=faults)


def _in_split(parts: list[str]) -> tuple[str, list[str]]:
    """The split in a member's path ("" if there is none), and the path below it."""
    at = next((place for place, part in enumerate(parts[:-2]) if part in SPLITS), None)
    return ("", parts) if at is None else (parts[at], parts[at + 1 :])


def _folders_around(paths: list[list[str]]) -> int:
    """How many folders are around all the class folders: those that hold everything, and several folders of images."""
    around = 0
    while len({parts[around] for parts in paths}) == 1:
        if len({parts[around + 1] for parts in paths if len(parts) > around + 2}) < 2:
            break
        paths, around = [parts for parts in paths if len(parts) > around + 2], around + 1
    return around


def _webdataset(location: str, named: str, split: str) -> ImageData:
    """Shards of WebDataset: tars of KEY.jpg with KEY.cls (a number), or KEY.json with a `label`."""
    paths = _files(location, "webdataset:GLOB of tar files, such as webdataset:shards/val-*.tar", named, split)
    names, labels, places, faults = [], [], [], {}
    for number, path in enumerate(paths):
        with path.open("rb") as file:
            for key, fields in _samples(path, faults):
                images = [name for name in fields if _is_image(f".{name}")]
                if not images:
                    continue
                image = min(images, key=lambda name: name.count("."))  # KEY.jpg, not KEY.mask.png
                try:
                    labels.append(_label_of(file, fields))
                except (ValueError, KeyError, TypeError) as error:
                    faults[f"{key}.{image}"] = f"it has no label: {reason(error)}"
                    continue
                names.append(f"{key}.{image}")
                places.append((number, *fields[image]))
    if not names and not faults:
        raise RunError(f"`{location}` has no samples of an image and a .cls or .json")
    if len(set(names)) < len(names):  # shards that all count from 0
        names = [f"{paths[number].name}/{name}" for name, (number, *_) in zip(names, places, strict=True)]
    if len(set(names)) < len(names):
        raise RunError(
            f"`{location}` has {len(names) - len(set(names))} samples of keys that others have in their shard"
        )
    files, offsets, sizes = np.array(places, dtype=np.int64).reshape(-1, 3).T
    reader, classes = TarReader(paths, files, offsets, sizes), _classes_by_key(names, labels)
    return ImageData(f"webdataset:{location}", "", classes, labels, names, reader, sizes=sizes, faults=faults)


def _samples(path: Path, faults: dict[str, str]) -> Iterator[tuple[str, dict[str, tuple[int, int]]]]:
    """Neighbouring members of one key: by what follows the key's first dot, first byte and size."""
    key, fields = None, {}
    for name, offset, size in members(path):
        if fault := outside(name) or (LINK if size < 0 else None):
            faults[name] = fault
            continue
        folder, _, base = posixpath.normpath(name).rpartition("/")
        stem, _, field = base.partition(".")
        mine = f"{folder}/{stem}" if folder else stem
        if mine != key and fields:
            yield key, fields
            fields = {}
        key = mine
        fields[field] = (offset, size)
    if fields:
        yield key, fields


def _label_of(file: BinaryIO, fields: Mapping[str, tuple[int, int]]) -> int:
    known = {name.lower(): place for name, place in fields.items()}
    if not {"cls", "json"} & known.keys():
        raise ValueError("no .cls and no .json")
    start, size = known.get("cls") or known["json"]
    file.seek(start)
    text = file.read(size)
    label = int(text if "cls" in known else json.loads(text)["label"])
    if not 0 <= label < MOST_CLASSES:
        raise ValueError(f"label {label} is outside 0 … {MOST_CLASSES - 1}")
    return label


def _classes_by_key(names: Iterable[str], labels: Sequence[int]) -> list[str]:
    """ImageNet's synsets where keys carry them and agree with the labels, else the labels themselves."""
    found = [re.search(r"(?:^|[/_])(n\d{8})(?=[/_])", name) for name in names]
    if all(found) and {each[1] for each in found} <= set(imagenet.synsets()):
        expected = imagenet.labels_of([each[1] for each in found], "webdataset")
        if np.array_equal(expected, labels):
            return list(imagenet.synsets())
    return [str(label) for label in range(max(labels, default=-1) + 1)]


def _files(location: str, expected: str, named: str, split: str, suffix: str = ".tar") -> list[Path]:
    """Files by pattern; of a folder, those whose names begin with the split."""
    if Path(location).is_dir():
        wanted = {"train": ("train",), "val": ("val", "test")}[named or split]
        paths = [path for path in sorted(Path(location).rglob(f"*{suffix}")) if path.name.startswith(wanted)]
        if not paths:
            raise UsageError(f"folder `{location}` has no files {' or '.join(wanted)}*{suffix}")
        return paths
    if named or split != "val":
        raise UsageError(f"`{location}` names files, which have no split `{named or split}`; name their folder")
    paths = [Path(path) for path in sorted(glob.glob(location, recursive=True))]
    if not location or not paths:
        raise UsageError(f"no files `{location}`; expected {expected}")
    return paths


def _parquet(location: str, named: str, split: str) -> ImageData:
    """Hugging Face's layout in parquet files: a column of images' bytes, and one of labels."""
    datasets = _hugging_face("parquet")
    paths = _files(location, "parquet:GLOB or a folder of parquet files", named, split, ".parquet")
    split = (named or split) if Path(location).is_dir() else ""
    try:
        table = datasets.load_dataset("parquet", data_files=[str(path) for path in paths], split="train")
    except Exception as error:  # pyarrow's, or its builder's own
        raise RunError(f"`{location}` cannot be read as parquet: {reason(error.__cause__ or error)}") from error
    return _of_table(table, f"parquet:{location}", split)


def _hub(location: str, named: str, split: str) -> ImageData:
    """A data set of the Hugging Face hub, or a folder in its layout."""
    datasets = _hugging_face("hf")
    if not location:
        raise UsageError("`hf` takes the name of a data set: hf:OWNER/NAME")
    split = named or split
    try:
        have = datasets.get_dataset_split_names(location)
        chosen = next(
            (each for each in {"val": ("validation", "val", "test")}.get(split, (split,)) if each in have), None
        )
        if chosen is None:
            raise UsageError(f"hf:{location} has no split for `{split}`; it has {', '.join(have)}")
        table = datasets.load_dataset(location, split=chosen)
    except UsageError:
        raise
    except Exception as error:  # of many kinds: no network, no such name, no access
        raise RunError(f"hf:{location} could not be fetched: {type(error).__name__}: {reason(error)}") from error
    return _of_table(table, f"hf:{location}", split)


def _hugging_face(form: str):
    try:
        import datasets
    except ImportError as error:
        raise UsageError(f"{form}: needs the package `datasets`: pip install 'gelens[hf]'") from error
    log.info(
        "%s: what is read is converted once into %s, which takes as much space", form, datasets.config.HF_DATASETS_CACHE
    )
    return datasets


def _of_table(table, name: str, split: str) -> ImageData:
    """Images of a `datasets.Dataset`, whose bytes are decoded when they are read."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from datasets import ClassLabel
    from datasets import Image as ImageColumn

    column = next((key for key, kind in table.features.items() if isinstance(kind, ImageColumn)), None)
    column = column or next((key for key in ("image", "img", "jpg") if key in table.features), None)
    labelled = next((key for key, kind in table.features.items() if isinstance(kind, ClassLabel)), None)
    labelled = labelled or next(
        (key for key in ("label", "labels", "cls", "fine_label") if key in table.features), None
    )
    if column is None or labelled is None:
        raise UsageError(f"{name} has columns {', '.join(table.features)}; expected one of images and one of labels")
    table = table.cast_column(column, ImageColumn(decode=False))
    stored = table.data.column(column)
    paths = pc.struct_field(stored, "path").to_pylist()
    sizes = pc.fill_null(pc.binary_length(pc.struct_field(stored, "bytes")), -1).to_numpy()
    if None in paths or len(set(paths)) < len(paths):
        paths = [f"row-{row:07d}" for row in range(len(table))]
    values, kind = table.data.column(labelled), table.features[labelled]
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        classes, numbers = class_numbers([value for value in values.to_pylist() if value is not None])
        labels = np.array([numbers.get(value, -1) for value in values.to_pylist()], dtype=np.int64)
    elif pa.types.is_integer(values.type):
        labels = pc.fill_null(values, -1).to_numpy().astype(np.int64)
        if len(labels) and labels.max() >= MOST_CLASSES:
            raise UsageError(
                f"{name}: column {labelled} has the label {labels.max()}; expected at most {MOST_CLASSES - 1}"
            )
        classes = [str(label) for label in range(int(labels.max(initial=-1)) + 1)]
        classes = kind.names if isinstance(kind, ClassLabel) else classes
    else:
        raise UsageError(f"{name}: column {labelled} is of {values.type}; expected whole numbers or class names")
    rows = np.flatnonzero(labels >= 0)
    if not len(rows):
        raise RunError(f"{name} has no labels: column {labelled} is empty or negative throughout")
    read = partial(_read_row, table, column)
    data = ImageData(name, split, classes, np.maximum(labels, 0), paths, read, sizes=sizes)
    if len(rows) < len(labels):
        data = data.subset(rows)
        data.faults = {paths[row]: "it has no label" for row in np.flatnonzero(labels < 0)}
    return data


def _read_row(table, column: str, position: int) -> Image.Image:
    return Image.open(io.BytesIO((table[position][column] or {}).get("bytes") or b""))


def _cache(location: str, named: str, split: str) -> ImageData:
    from analysis.data.cached import load_cache

    return load_cache(location, named)


FORMS = {
    "digits": _digits,
    "cifar10": partial(_torchvision, "CIFAR10", "cifar10"),
    "cifar100": partial(_torchvision, "CIFAR100", "cifar100"),
    "mnist": partial(_torchvision, "MNIST", "mnist"),
    "fashion_mnist": partial(_torchvision, "FashionMNIST", "fashion_mnist"),
    "imagenette": partial(_torchvision, "Imagenette", "imagenette"),
    "folder": _folder,
    "imagenet": _imagenet,
    "tar": _tar,
    "webdataset": _webdataset,
    "parquet": _parquet,
    "hf": _hub,
    "cache": _cache,
}
