"""What `recording.json` must hold: what is read, written and deleted below its folder is named by it."""

import numpy as np
import pandas as pd

from ..results.shapes import CARD
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


_POINT = Fields(
    {"block": str, "score": str, "order": str, "scope": str, "fill": str, "ratio": float, "dropped": int},
    {"per_image": bool},
)
SETTINGS = Fields(
    {},
    {
        "rectified": bool,
        "positive_part": Listed(str),
        "dropping": Fields({"points": Listed(_POINT)}),
        "static": Fields({"points": Listed(Listed(str, 2))}),
        "lesions": Named(Listed(Whose(int, lambda unit: unit >= 0, "a unit"))),
        "targeted": Fields({"counts": Listed(int), "orders": Named(str)}),
    },
)
"""What is read of a network's settings; the probes of others have their own beside."""
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
        "networks": Named(CARD),
        "taps": Named(Named(Listed(str))),
    },
    {
        "settings": Named(SETTINGS),
        "classes": Listed(str),
        "answers": Named(Listed(float)),
        "depths": Named(Named(float)),
        "data": dict,
        "labels_known": bool,
        "made": Listed(Fields({"start": _COUNT, "stop": _COUNT, "versions": dict})),
        "precision": str,
        "sums": Fields({}, {"arrays": Named(Named(Listed(int))), "images": int}),
        "versions": dict,
        "chosen": Named(Named(Named(Whose(int, lambda rows: rows > 0, "a number of rows above 0")))),
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
    for network in networks:
        _check_arrays(described, network)
    for network, several in described["arrays"].items():
        if described["taps"].get(network) and network not in described.get("settings", {network: {}}):
            raise ValueError(f"its settings have no `{network}`")
        for kept in several:
            if np.prod([described["images"], *kept["shape"]], dtype=float) > 2**50:
                raise ValueError(f"array `{kept['name']}` of {network} would have petabytes")


def _check_arrays(described: dict, network: str) -> None:
    """Raise a ValueError for an array of other numbers or another shape than its name and the settings say."""
    settings = described.get("settings", {}).get(network, {})
    taps = described["taps"].get(network, {})
    expected: dict[str, tuple[str, tuple[int | None, ...]]] = {"rank": ("int32", ()), "top_classes": ("int32", (None,))}
    for block, of in taps.items():
        expected |= {f"{block}.{tap}": ("float32", (None,)) for tap in of} | {
            f"{block}.output.minimum": ("float32", ())
        }
    for part, names in (("dropping", ("top1", "top5")), ("static", ("top1",))):
        if part in settings:
            expected |= {f"{part}.{name}": ("uint8", (len(settings[part]["points"]),)) for name in names}
    for block, units in settings.get("lesions", {}).items():
        expected |= {f"{block}.lesion.{name}": ("float32", (len(units),)) for name in ("loss", "logit")}
        expected |= {f"{block}.lesion.right": ("uint8", (len(units),)), f"{block}.lesion.intact": ("uint8", ())}
    for block in settings.get("targeted", {}).get("orders", ()):
        expected[f"{block}.targeted.right"] = ("uint8", (2 * len(settings["targeted"]["counts"]),))
    widths = {}
    for kept in described["arrays"][network]:
        dtype, shape = expected.get(kept["name"], (kept["dtype"], tuple(kept["shape"])))
        fits = len(kept["shape"]) == len(shape) and all(
            got == size if size is not None else got > 0 for got, size in zip(kept["shape"], shape, strict=True)
        )
        if kept["dtype"] != dtype or not fits:
            words = ", ".join("at least 1" if size is None else str(size) for size in shape) or "one number"
            raise ValueError(
                f"array `{kept['name']}` of {network} is {kept['dtype']} of {kept['shape']} an image; expected {dtype} "
                f"of {words}"
            )
        widths[kept["name"]] = kept["shape"]
    for block, units in settings.get("lesions", {}).items():
        width = widths.get(f"{block}.output", [0])[0]
        if units and width and max(units) >= width:
            raise ValueError(f"its lesions of {network} {block} have the unit {max(units)} of {width}")


def check_images(images: pd.DataFrame, described: dict) -> None:
    """Raise a ValueError for rows of other lengths than their head, and for labels that no class has."""
    if not isinstance(images.index, pd.RangeIndex):
        raise ValueError("it has rows longer than its head")
    labels, classes = images["label"], described.get("classes")
    if classes is not None and len(labels) and (labels.min() < -1 or labels.max() >= len(classes)):
        raise ValueError(f"labels {labels.min()} … {labels.max()}; expected those of {len(classes)} classes")
