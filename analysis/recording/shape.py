"""What `recording.json` must hold: what is read, written and deleted below its folder is named by it."""

import numpy as np
import pandas as pd

from ..untrusted import Fields, Listed, Named, Whose

_DTYPES = (
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "float32", "float64"),
)
_COUNT = Whose(int, lambda count: 0 <= count < 2**40, "a number of images")


def _is_inside(name: str) -> bool:
    """Whether a name of a file is of one below its folder."""
    return bool(name) and "\0" not in name and not name.startswith("/") and ".." not in name.split("/")


def _is_one_folder(name: str) -> bool:
    return _is_inside(name) and "/" not in name and "\\" not in name and name != "."


KEPT = Fields(
    {
        "name": Whose(str, _is_inside, "a file's name below the recording's folder"),
        "shape": Listed(Whose(int, lambda size: 0 <= size < 2**31, "a number of units")),
        "dtype": Whose(str, _DTYPES.__contains__, f"one of {', '.join(_DTYPES)}"),
    }
)
RECORDING = Fields(
    {
        "arrays": Named(Listed(KEPT)),
        "folders": Named(Whose(str, _is_one_folder, "the name of one folder")),
        "images": _COUNT,
        "rows_done": _COUNT,
        "finished": bool,
        "networks": Named(dict),
        "taps": Named(Named(Listed(str))),
    },
    {
        "settings": Named(dict),
        "classes": Listed(str),
        "depths": Named(Named(float)),
        "data": dict,
        "labels_known": bool,
        "made": Listed(Fields({"start": _COUNT, "stop": _COUNT, "versions": dict})),
        "precision": str,
        "versions": dict,
    },
)


def check_recording(described: dict) -> None:
    """Raise a ValueError for parts of `recording.json`, each of its shape, that do not fit each other."""
    if described["rows_done"] > described["images"]:
        raise ValueError(f"{described['rows_done']} rows are done of {described['images']}")
    networks = described["arrays"].keys()
    for part in ("folders", "networks"):
        if missing := networks - described[part].keys():
            raise ValueError(f"its {part} have no `{min(missing)}`")
    if len(set(described["folders"].values())) < len(described["folders"]):
        raise ValueError("two of its networks are in one folder")
    for network, blocks in described["taps"].items():
        names = {kept["name"] for kept in described["arrays"].get(network, ())}
        for block, taps in blocks.items():
            if missing := [tap for tap in taps if f"{block}.{tap}" not in names]:
                raise ValueError(f"it has no array `{block}.{missing[0]}` of {network}")
            if "depths" in described and block not in described["depths"].get(network, ()):
                raise ValueError(f"its depths have no `{block}` of {network}")
    for network, several in described["arrays"].items():
        if described["taps"].get(network) and network not in described.get("settings", {network: {}}):
            raise ValueError(f"its settings have no `{network}`")
        for kept in several:
            if np.prod([described["images"], *kept["shape"]], dtype=float) > 2**50:
                raise ValueError(f"array `{kept['name']}` of {network} would have petabytes")


def check_images(images: pd.DataFrame, described: dict) -> None:
    """Raise a ValueError for rows of other lengths than their head, and for labels that no class has."""
    if not isinstance(images.index, pd.RangeIndex):
        raise ValueError("it has rows longer than its head")
    labels, classes = images["label"], described.get("classes")
    if classes is not None and len(labels) and (labels.min() < -1 or labels.max() >= len(classes)):
        raise ValueError(f"labels {labels.min()} … {labels.max()}; expected those of {len(classes)} classes")
