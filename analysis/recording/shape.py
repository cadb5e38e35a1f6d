"""What `recording.json` must hold: what is read, written and deleted below its folder is named by it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..choices import ACTIVITIES
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
_UNIT = Whose(int, lambda unit: unit >= 0, "a unit")
SETTINGS = Fields(
    {},
    {
        "rectified": bool,
        "positive_part": Listed(str),
        "dropping": Fields({"points": Listed(_POINT)}),
        "static": Fields({"points": Listed(Listed(str, 2))}),
        "lesions": Named(Listed(_UNIT)),
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
_ROWS = Whose(int, lambda rows: rows > 0, "a number of rows above 0")
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
        "chosen": Named(Named(Named(_ROWS))),
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
    for network in described["taps"]:
        _check_taps(described, network)
    for network in networks:
        _check_arrays(described, network)
    for network in networks:
        _check_size(described, network)


def _check_taps(described: dict, network: str) -> None:
    """Raise a ValueError for a tap without its array, and for a block whose depth is not said."""
    names = {kept["name"] for kept in described["arrays"].get(network, ())}
    for block, taps in described["taps"][network].items():
        if missing := [tap for tap in taps if f"{block}.{tap}" not in names]:
            raise ValueError(f"it has no array `{block}.{missing[0]}` of {network}")
        if "depths" in described and block not in described["depths"].get(network, ()):
            raise ValueError(f"its depths have no `{block}` of {network}")


def _check_size(described: dict, network: str) -> None:
    """Raise a ValueError for a network whose settings are not said, and for an array that no disk would hold."""
    if described["taps"].get(network) and network not in described.get("settings", {network: {}}):
        raise ValueError(f"its settings have no `{network}`")
    for kept in described["arrays"][network]:
        if np.prod([described["images"], *kept["shape"]], dtype=float) > 2**50:
            raise ValueError(f"array `{kept['name']}` of {network} would have petabytes")


@dataclass(frozen=True)
class _Expected:
    """An array's type of numbers, or one of several, and its shape an image; None for an unknown width, but not 0."""

    dtype: str | tuple[str, ...]
    shape: tuple[int | None, ...] = ()

    def fits(self, kept: dict) -> bool:
        if kept["dtype"] not in self._dtypes or len(kept["shape"]) != len(self.shape):
            return False
        pairs = zip(kept["shape"], self.shape, strict=True)
        return all(size > 0 if expected is None else size == expected for size, expected in pairs)

    def __str__(self) -> str:
        sizes = ["at least 1" if size is None else str(size) for size in self.shape]
        return f"{' or '.join(self._dtypes)} of {', '.join(sizes) or 'one number'}"

    @property
    def _dtypes(self) -> tuple[str, ...]:
        return (self.dtype,) if isinstance(self.dtype, str) else self.dtype


def _check_arrays(described: dict, network: str) -> None:
    """Raise a ValueError for an array of other numbers or another shape than its name and the settings say."""
    settings = described.get("settings", {}).get(network, {})
    expected = _expected_of_taps(described["taps"].get(network, {})) | _expected_of_probes(settings)
    for kept in described["arrays"][network]:
        wanted = expected.get(kept["name"])
        if wanted is not None and not wanted.fits(kept):
            raise ValueError(
                f"array `{kept['name']}` of {network} is {kept['dtype']} of {kept['shape']} an image; expected {wanted}"
            )
    widths = {kept["name"]: kept["shape"] for kept in described["arrays"][network]}
    for block, units in settings.get("lesions", {}).items():
        width = widths.get(f"{block}.output", [0])[0]
        if units and width and max(units) >= width:
            raise ValueError(f"its lesions of {network} {block} have the unit {max(units)} of {width}")


def _expected_of_taps(taps: dict) -> dict[str, _Expected]:
    expected = {"rank": _Expected("int32"), "top_classes": _Expected("int32", (None,))}
    for block, of_block in taps.items():
        for tap in of_block:
            expected[f"{block}.{tap}"] = _Expected(ACTIVITIES, (None,))
        expected[f"{block}.output.minimum"] = _Expected("float32")
    return expected


def _expected_of_probes(settings: dict) -> dict[str, _Expected]:
    expected = {}
    for part, names in (("dropping", ("top1", "top5")), ("static", ("top1",))):
        for name in names if part in settings else ():
            expected[f"{part}.{name}"] = _Expected("uint8", (len(settings[part]["points"]),))
    for block, units in settings.get("lesions", {}).items():
        for name in ("loss", "logit"):
            expected[f"{block}.lesion.{name}"] = _Expected("float32", (len(units),))
        expected[f"{block}.lesion.right"] = _Expected("uint8", (len(units),))
        expected[f"{block}.lesion.intact"] = _Expected("uint8")
    targeted = settings.get("targeted", {})
    for block in targeted.get("orders", ()):
        expected[f"{block}.targeted.right"] = _Expected("uint8", (2 * len(targeted["counts"]),))
    return expected


def check_images(images: pd.DataFrame, described: dict) -> None:
    """Raise a ValueError for rows of other lengths than their head, and for labels that no class has."""
    if not isinstance(images.index, pd.RangeIndex):
        raise ValueError("it has rows longer than its head")
    labels, classes = images["label"], described.get("classes")
    if classes is not None and len(labels) and (labels.min() < -1 or labels.max() >= len(classes)):
        raise ValueError(f"labels {labels.min()} … {labels.max()}; expected those of {len(classes)} classes")
