"""Images in Hugging Face's tables: parquet files, and data sets of the hub."""

import logging
import os
import re
import time
from functools import partial
from pathlib import Path

import numpy as np
from packaging.version import Version
from PIL import Image

from ..errors import RunError, UsageError
from ..untrusted import Fields, Named, check_regular, parse_json
from . import imagenet
from .classes import class_numbers, distinct
from .datasets import MOST_CLASSES, ImageData, reason
from .folders import files_of, prefixes, tested_instead
from .pictures import open_picture

log = logging.getLogger(__name__)

SAFE = "5.2.0"
"""Of the package `datasets`: older ones take the name `pandas` for a reader that unpickles files beside it."""
IMAGES = ("image", "img", "jpg", "image_bytes")
LABELS = ("label", "labels", "cls", "fine_label")
"""Names of columns, the better first, of tables that do not say what their columns are."""
_BUILDERS = ("arrow", "audiofolder", "cache", "csv", "generator", "imagefolder", "json", "pandas", "parquet", "spark")
_BUILDERS += ("sql", "text", "videofolder", "webdataset", "xml")


def parquet(location: str, named: str, split: str) -> ImageData:
    """Hugging Face's layout in parquet files: a column of images' bytes, and one of labels."""
    datasets = _hugging_face("parquet")
    paths = files_of(location, "parquet:GLOB or a folder of parquet files", named, split, ".parquet")
    split = (named or split) if Path(location).is_dir() else ""
    note = tested_instead(split, paths[0].name)
    for path in paths:
        _check_file(path, location)
    begun = time.time()
    try:
        features = _features_of(paths[0])  # load_dataset would tell a server of what is read
        table = datasets.Dataset.from_parquet([str(path) for path in paths], features=features)
    except Exception as error:  # pyarrow's, or its builder's own
        raise RunError(f"`{location}` cannot be read as parquet: {reason(error.__cause__ or error)}") from error
    _say_converted(table, "parquet", begun)
    return _of_table(table, f"parquet:{location}", split, note)


def _check_file(path: Path, location: str) -> None:
    """The package takes `a::http:/b` for an address, and waits for a pipe."""
    if "::" in str(path):
        raise UsageError(f"`{path}` has `::` in its name, which stands for addresses; rename it")
    try:
        check_regular(path)
    except (OSError, ValueError) as error:
        raise RunError(f"`{location}` cannot be read as parquet: `{path.name}`: {reason(error)}") from error


def _features_of(path: Path):
    """A table's columns where two classes have one name, which the package refuses, told apart; None elsewhere."""
    import pyarrow.parquet as pq
    from datasets import Features

    told = (pq.read_schema(path).metadata or {}).get(b"huggingface")
    if not told:
        return None
    columns = parse_json(told, Fields({"info": Fields({"features": Named(dict)})}))["info"]["features"]
    shared = False
    for column in columns.values():
        names = column.get("names")
        if column.get("_type") == "ClassLabel" and isinstance(names, list) and len(set(names)) < len(names):
            column["names"] = distinct(imagenet.recognised(names)[0])
            shared = True
    return Features.from_dict(columns) if shared else None


def hub(location: str, named: str, split: str) -> ImageData:
    """A data set of the Hugging Face hub, or a folder in its layout."""
    datasets = _hugging_face("hf")
    if not location:
        raise UsageError("`hf` takes the name of a data set: hf:OWNER/NAME")
    known = getattr(datasets.packaged_modules, "_PACKAGED_DATASETS_MODULES", {})
    if location in (*_BUILDERS, *known):
        raise UsageError(f"`{location}` is a reader of the package `datasets` and no data set; expected hf:OWNER/NAME")
    split, begun = named or split, time.time()
    try:
        have = datasets.get_dataset_split_names(location)
        chosen = next((each for prefix in prefixes(split) for each in have if each.startswith(prefix)), None)
        if chosen is None:
            raise UsageError(f"hf:{location} has no split for `{split}`; it has {', '.join(have)}")
        table = datasets.load_dataset(location, split=chosen)
    except UsageError:
        raise
    except Exception as error:  # of many kinds: no network, no such name, no access
        raise RunError(f"hf:{location} could not be fetched: {type(error).__name__}: {reason(error)}") from error
    _say_converted(table, "hf", begun)
    read, version = _what_was_read(table, location)
    note = ", ".join(filter(None, (version, tested_instead(split, chosen))))
    return _of_table(table, read, split, note)


def _what_was_read(table, location: str) -> tuple[str, str]:
    """What was read where a name of the hub was asked for, as a reference; and its version in words, for a note.

    The package `datasets` takes a folder of this machine, or what it once converted of one, for a name of the hub. Its
    cache is by commit where the files are the hub's, by a shorter hash where they are a machine's own.
    """
    if Path(location).is_dir() and os.sep in location:
        return f"hf:{location}", ""
    stored = table.cache_files[0]["filename"] if table.cache_files else ""
    made_of = Path(stored).parent.name
    if re.fullmatch(r"[0-9a-f]{40}", made_of):
        return f"hf:{location}", f"the hub's commit {made_of[:12]}"
    origin = "a local folder" if Path(location).is_dir() else "a folder cached earlier"
    log.warning("hf:%s was read from %s of this machine, not from the hub", location, origin)
    return f"hf:{location} ({origin}, {made_of})", ""


def _hugging_face(form: str):
    try:
        import datasets
    except ImportError as error:
        raise UsageError(f"{form}: needs the package `datasets`: pip install 'gelens[hf]'") from error
    if Version(datasets.__version__) < Version(SAFE):
        raise UsageError(
            f"{form}: datasets {datasets.__version__} may unpickle files beside the data; expected {SAFE} or a later "
            f"one: pip install --upgrade 'gelens[hf]'"
        )
    return datasets


def _say_converted(table, form: str, begun: float) -> None:
    """The package `datasets` converts what it reads; said where it has just done so."""
    files = [Path(each["filename"]) for each in table.cache_files]
    new = [path for path in files if path.exists() and path.stat().st_mtime >= begun]
    if new:
        size = sum(path.stat().st_size for path in new) / 1e6
        log.info("%s: converted once, into %s, which takes %.0f MB", form, new[0].parent, size)


def _of_table(table, name: str, split: str, note: str = "") -> ImageData:
    """Images of a `datasets.Dataset`, whose bytes are decoded when they are read."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from datasets import ClassLabel, Value
    from datasets import Image as ImageColumn

    types = table.features.arrow_schema
    column = next((key for key, kind in table.features.items() if isinstance(kind, ImageColumn)), None)
    column = column or next((key for key in IMAGES if key in table.features), None)
    held = [field.name for field in types if _is_bytes(field.type)]
    if column is None and len(held) == 1:
        column = held[0]
    named = [key for key, kind in table.features.items() if isinstance(kind, ClassLabel)]
    labelled = next((key for key in LABELS if key in (named or table.features)), next(iter(named), None))
    if column is None or labelled is None:
        raise UsageError(
            f"{name} has columns {', '.join(table.features)}; expected one of images ({', '.join(IMAGES)}, or one of "
            f"bytes alone) and one of labels ({', '.join(LABELS)})"
        )
    if len(named) > 1:
        log.info("%s: the labels are column %s, of %s", name, labelled, ", ".join(named))
    try:
        kind = table.features[labelled]
        # of all other columns nothing is read: the package would fetch the addresses in them, and open the paths
        table = table.select_columns([column, labelled])
        if types.field(column).type == pa.binary_view():
            table = table.cast_column(column, Value("large_binary"))
        table = table.cast_column(column, ImageColumn(decode=False))
        stored = table.data.column(column)
        paths, contents = (pc.struct_field(stored, field) for field in ("path", "bytes"))
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise UsageError(f"{name}: column {column} is no column of images: {reason(error)}") from error
    sizes, paths = pc.fill_null(pc.binary_length(contents), -1).to_numpy(), paths.to_pylist()
    if None in paths or len(set(paths)) < len(paths):
        paths = [f"row-{row:07d}" for row in range(len(table))]
    try:
        classes, labels = _labels(table.data.column(labelled))
    except ValueError as error:
        raise UsageError(f"{name}: column {labelled} {error}") from error
    by_name = not isinstance(kind, ClassLabel)
    if not by_name:
        if labels.max() >= len(kind.names):
            raise UsageError(f"{name}: column {labelled} has the label {labels.max()}, but {len(kind.names)} classes")
        classes = kind.names
    read = partial(_read_row, table.select_columns([column]), column)
    told = {"note": note, "sizes": sizes, "by_name": by_name}
    data = ImageData(name, split, classes, np.maximum(labels, 0), paths, read, **told)
    if (labels < 0).any():
        data = data.subset(np.flatnonzero(labels >= 0))
        data.faults = {paths[row]: "it has no label" for row in np.flatnonzero(labels < 0)}
    return data


def _is_bytes(kind) -> bool:
    """Whether a type of pyarrow's is of bytes, or of a structure with bytes in it, as images are stored."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_bytes(field.type) for field in kind)
    return kind in (pa.binary(), pa.large_binary(), pa.binary_view())


def _labels(values) -> tuple[list[str], np.ndarray]:
    """Class names, and the label of every row of a column of numbers or names: −1 for none.

    Raises:
        ValueError: other values, or no labels at all.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        values = _whole(values.cast(pa.float64()))
    if values.type in (pa.string(), pa.large_string(), pa.string_view()):
        names = values.to_pylist()
        classes, numbers = class_numbers([name for name in names if name is not None])
        labels = np.array([numbers.get(name, -1) for name in names], dtype=np.int64)
    elif pa.types.is_integer(values.type):
        highest = pc.max(values).as_py()
        if highest is not None and highest >= MOST_CLASSES:
            raise ValueError(f"has the label {highest}; expected at most {MOST_CLASSES - 1}")
        labels = pc.fill_null(values.cast(pa.int64()), -1).to_numpy()
        classes = [str(label) for label in range(int(labels.max(initial=-1)) + 1)]
    else:
        raise ValueError(f"is of {values.type}; expected whole numbers or class names")
    if not len(labels) or labels.max() < 0:
        raise ValueError("has no labels: it is empty, or negative throughout")
    return classes, labels


def _whole(values):
    """Whole numbers of a column of others, as pandas makes them of labels that some rows lack.

    Raises:
        ValueError: one is not whole.
    """
    import pyarrow as pa

    numbers = values.to_numpy()
    missing = np.isnan(numbers)
    whole = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**53)
    if len(strange := np.flatnonzero(~(whole | missing))):
        row = strange[0]
        raise ValueError(f"has the value {numbers[row]:g} in row {row}; expected whole numbers or class names")
    return pa.array(np.where(missing, -1, numbers).astype(np.int64))


def _read_row(table, column: str, position: int) -> Image.Image:
    return open_picture((table[position][column] or {}).get("bytes") or b"")  # never its path
