"""Images in Hugging Face's tables: parquet files, and data sets of the hub."""

import io
import logging
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from analysis.data.datasets import MOST_CLASSES, ImageData, class_numbers, reason
from analysis.data.folders import files_of
from analysis.errors import RunError, UsageError

log = logging.getLogger(__name__)


def parquet(location: str, named: str, split: str) -> ImageData:
    """Hugging Face's layout in parquet files: a column of images' bytes, and one of labels."""
    datasets = _hugging_face("parquet")
    paths = files_of(location, "parquet:GLOB or a folder of parquet files", named, split, ".parquet")
    split = (named or split) if Path(location).is_dir() else ""
    try:
        table = datasets.load_dataset("parquet", data_files=[str(path) for path in paths], split="train")
    except Exception as error:  # pyarrow's, or its builder's own
        raise RunError(f"`{location}` cannot be read as parquet: {reason(error.__cause__ or error)}") from error
    return _of_table(table, f"parquet:{location}", split)


def hub(location: str, named: str, split: str) -> ImageData:
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
