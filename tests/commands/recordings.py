"""Recordings made up for tests, of any networks, blocks and activities."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from gelens.recording import Kept, Recording


def recorded(
    folder: Path, networks: Mapping[str, Mapping[str, np.ndarray]], labels: np.ndarray, classes: list[str], **columns
) -> Path:
    """A finished recording: of each network, by block the (images, units) activities at the output.

    Args:
        columns: of images.csv, instead of the usual ones.
    """
    images = pd.DataFrame({"index": np.arange(len(labels)), "label": labels, "bytes": -1})
    images["identifier"] = [f"image-{number}" for number in images["index"]]
    images["class"] = [classes[label] for label in labels]
    images = images.assign(**columns)
    facts = {
        "networks": {label: {"reference": label} for label in networks},
        "taps": {label: {block: ["output"] for block in blocks} for label, blocks in networks.items()},
        "settings": {label: {"rectified": False} for label in networks},
        "depths": {label: {block: place for place, block in enumerate(blocks)} for label, blocks in networks.items()},
        "classes": classes,
        "data": {"name": "made up", "images": len(labels)},
    }
    rows = {}
    for label, blocks in networks.items():
        for block, values in blocks.items():
            rows[label, f"{block}.output"] = values.astype(np.float32)
            rows[label, f"{block}.output.minimum"] = values.min(1).astype(np.float32)
    kept = {label: [Kept(name, rows[of, name].shape[1:]) for of, name in rows if of == label] for label in networks}
    recording = Recording.create(kept, images[["index", "identifier", "label", "class", "bytes"]], facts, folder)
    recording.write(0, rows, len(labels))
    recording.finish()
    return folder
