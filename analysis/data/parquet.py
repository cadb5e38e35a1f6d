"""Images in Hugging Face's tables: parquet files, and data sets of the hub."""

import logging
import os
import re
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from packaging.version import Version
from PIL import Image

from ..errors import RunError, UsageError, plain
from ..untrusted import Fields, Named, allowance, bounded_memory, check_regular, parse_json
from . import imagenet
from .classes import class_numbers, distinct
from .datasets import MOST_CLASSES, ImageData, reason
from .decoding import open_picture
from .folders import files_of, prefixes, tested_instead

log = logging.getLogger(__name__)

_BESIDE = 2**31
"""Bytes of memory that readers of tables may reserve beside what a file unpacks to."""
_ROWS, _AT_ONCE = 1024, 2**26
"""Rows that are unpacked at a time at most, and bytes of a small file."""
SAFE = "5.2.0"
"""Of the package `datasets`: older ones take the name `pandas` for a reader that unpickles files beside it."""
IMAGES = ("image", "img", "jpg", "image_bytes")
LABELS = ("label", "labels", "cls", "fine_label")
"""Names of columns, the better first, of tables that do not say what their columns are."""
_BUILDERS = (
    *("arrow", "audiofolder", "cache", "csv", "generator", "imagefolder", "json", "pandas", "parquet", "spark"),
    *("sql", "text", "videofolder", "webdataset", "xml"),
)


def parquet(location: str, named: str, split: str) -> ImageData:
    """Hugging Face's layout in parquet files: a column of images' bytes, and one of labels."""
    _hugging_face("parquet")
    paths = files_of(location, "parquet:GLOB or a folder of parquet files", named, split, ".parquet")
    split = (named or split) if Path(location).is_dir() else ""
    note = tested_instead(split, paths[0].name)
    for path in paths:
        _check_file(path, location)
    begun = time.time()
    try:
        table = _converted(paths, _features_of(paths[0]))
    except (Exception, MemoryError) as error:  # pyarrow's, or its builder's own
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


def _converted(paths: Sequence[Path], features):
    """A `datasets.Dataset` of parquet files, converted where it has not been before.

    Args:
        features: of its columns; None takes those that it says itself.
    """
    from datasets.io.parquet import ParquetDatasetReader

    # as Dataset.from_parquet does it; load_dataset would tell a server
    reader = ParquetDatasetReader([str(path) for path in paths], features=features)
    if Path(reader.builder.cache_dir).is_dir():  # of a hash of the files: it was looked at then
        return reader.read()
    for path in paths:
        _check_content(path)
    with bounded_memory(sum(allowance(path.stat().st_size) for path in paths) + _BESIDE):
        return reader.read()


def _check_content(path: Path) -> None:
    """Raise a ValueError for a parquet file that unpacks to more bytes than a file of its size may.

    What it says of itself tells compressed bytes, but not how often a value of a dictionary stands for a row. So it is
    unpacked once, a few rows at a time: a row has no more bytes than its group has, unpacked but not yet looked up.
    """
    import pyarrow.parquet as pq

    size = path.stat().st_size
    largest, unpacked = allowance(size), 0
    with bounded_memory(largest + _BESIDE), pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        packed = [group.total_byte_size for group in groups]
        values = sum(group.column(place).num_values for group in groups for place in range(group.num_columns))
        for claimed in (sum(packed), values, *packed):
            if not 0 <= claimed <= largest:
                raise ValueError(_too_much(path, claimed, size))
        rows = max(1, min(_ROWS, max(_AT_ONCE, 32 * size) // max(1, *packed))) if packed else 1
        for batch in file.iter_batches(rows, use_threads=False):
            unpacked += batch.nbytes
            if unpacked > largest:
                raise ValueError(_too_much(path, unpacked, size))


def _too_much(path: Path, bytes_: int, size: int) -> str:
    return (
        f"`{path.name}` unpacks to {bytes_} bytes or more; expected at most {allowance(size)} of a file of {size} bytes"
    )


def hub(location: str, named: str, split: str) -> ImageData:
    """A data set of the Hugging Face hub, or a folder in its layout."""
    datasets = _hugging_face("hf")
    if not location:
        raise UsageError("`hf` takes the name of a data set: hf:OWNER/NAME")
    known = getattr(datasets.packaged_modules, "_PACKAGED_DATASETS_MODULES", {})
    if location in (*_BUILDERS, *known):
        raise UsageError(f"`{location}` is a reader of the package `datasets` and no data set; expected hf:OWNER/NAME")
    if Path(location).is_dir():
        _check_folder(Path(location))
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


_SAYING = ("README.md", ".huggingface.yaml")
"""Files of a folder that may name the files of its splits."""
_LARGEST_SAYING = 2**22


def _check_folder(folder: Path) -> None:
    """Refuse a folder of this machine whose notes name files elsewhere, which would be fetched, or that is a bomb.

    Raises:
        UsageError: its notes name an address, or a file outside of it.
        RunError: one of its files is damaged, or unpacks to too much.
    """
    for name in _SAYING:
        path = folder / name
        try:
            check_regular(path, _LARGEST_SAYING)
            text = path.read_text("utf-8", "replace")
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise RunError(f"`{path}` cannot be read: {reason(error)}") from error
        for each in _data_files(text):
            if "::" in each or "://" in each or each.startswith(("/", "~")) or ".." in each.split("/"):
                raise UsageError(
                    f"`{path}` names the data file `{plain(each)[:80]}`, which is not in the folder; expected files in "
                    f"it, or hf:OWNER/NAME"
                )
    for path in sorted(folder.rglob("*.parquet")):
        _check_file(path, str(folder))
        try:
            _check_content(path)
        except (Exception, MemoryError) as error:
            raise RunError(f"`{folder}` cannot be read as parquet: `{path.name}`: {reason(error)}") from error


def _data_files(text: str) -> list[str]:
    """Whatever a note's head, which is YAML, says of `configs`: all of its texts."""
    import yaml

    head = re.match(r"\s*---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    try:
        said = yaml.safe_load(head[1] if head else text)
    except (yaml.YAMLError, RecursionError, ValueError):
        return []  # the package `datasets` refuses it too
    found, left, seen = [], [said.get("configs")] if isinstance(said, dict) else [], set()
    while left:
        each = left.pop()
        if isinstance(each, str):
            found.append(each)
        elif isinstance(each, dict | list) and id(each) not in seen:
            seen.add(id(each))  # an alias may stand for the same a thousand times
            left += [*each, *each.values()] if isinstance(each, dict) else each
    return found


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
