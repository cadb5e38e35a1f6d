"""What units respond to, as far as runs stored it: small pictures of images, and mean activities by class."""

import base64
import io
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ..errors import RunError, UsageError
from ..figures.stored import StoredRun
from ..names import blocks_as_in_papers, paper_name
from ..recording import open_recording
from ..statistics.top_images import IMAGES_NAMED
from .sources import Source
from .units import UNIT

log = logging.getLogger(__name__)

SIDE, ACROSS = 48, 32
"""Pixels of a picture, and pictures in a row of their sheet."""
MOST_OF_PICTURES = 800_000
"""Characters that the sheets of all runs may take."""
MOST_PROFILED, CLASSES_SHOWN = 20_000, 10
"""Units that may have a profile in a page, and classes of it: those with the highest means."""


def pictures_of_units(sources: Sequence[Source], units: pd.DataFrame) -> dict[str, Any]:
    """Sheets of small pictures, and where on them are the images on which units are most active.

    Returns:
        `sheets`, addresses that hold a JPEG each; `side` and `across`; and for each row of `units` in `of` the
        places, [sheet, number], of its pictures. Empty where no run stored any.
    """
    sheets: list[str] = []
    places: dict[tuple, list[list[int]]] = {}
    for source in sources:
        top, tiles = source.table("selectivity_images.csv"), _tiles(source.run)
        if top.empty or not tiles:
            continue
        sheet, kept = _sheet(list(tiles.values()), MOST_OF_PICTURES // len(sources))
        numbers = {identifier: number for number, identifier in enumerate(tiles) if number < kept}
        first = top[top["rank"] <= IMAGES_NAMED].sort_values([*UNIT, "rank"])
        for row in first[[*UNIT, "identifier"]].itertuples(index=False):
            number = numbers.get(str(row.identifier))
            if number is not None:
                places.setdefault(tuple(row[:3]), []).append([len(sheets), number])
        sheets.append(sheet)
    if not places:
        return {}
    found = [places.get(unit, []) for unit in units[UNIT].itertuples(index=False, name=None)]
    return {"sheets": sheets, "side": SIDE, "across": ACROSS, "of": found}


def _tiles(run: StoredRun) -> dict[str, np.ndarray]:
    """By identifier, a picture that a run stored; those that matter most come first."""
    name = next((name for name in ("selectivity_pictures.npz", "selectivity_thumbnails.npz") if run.has(name)), None)
    if name is None:
        return {}
    try:
        arrays = run.arrays(name)
    except (UsageError, RunError) as error:
        log.warning("the report has no pictures of images: %s", error)
        return {}
    identifiers, images = arrays.get("identifiers"), arrays.get("images")
    if identifiers is None or images is None or images.shape[3:] != (3,) or images.dtype != np.uint8:
        log.warning("the report has no pictures of images: %s of the run in %s has none", name, run.folder)
        return {}
    return dict(zip(map(str, identifiers.tolist()), images, strict=False))


def _sheet(tiles: Sequence[np.ndarray], room: int) -> tuple[str, int]:
    """One picture of all tiles, in rows, as an address that holds it; and of how many there was room for."""
    while True:
        rows = -(-len(tiles) // ACROSS)
        sheet = Image.new("RGB", (ACROSS * SIDE, rows * SIDE))
        for number, tile in enumerate(tiles):
            place = (number % ACROSS * SIDE, number // ACROSS * SIDE)
            sheet.paste(Image.fromarray(tile).resize((SIDE, SIDE)), place)
        file = io.BytesIO()
        sheet.save(file, "JPEG", quality=80)
        address = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
        if len(address) <= room or len(tiles) <= 1:
            return address, len(tiles)
        tiles = tiles[: int(len(tiles) * 0.95 * room / len(address))] or tiles[:1]


def profiles_of(sources: Sequence[Source], units: pd.DataFrame) -> dict[str, Any]:
    """The classes with a unit's highest mean activities.

    Returns:
        `classes`, the names of all; how many there were to choose from, `among`; and for each row of `units` in
        `of`, [class, mean] from the highest down. Empty where no run stored activities or means of classes, and where
        units are too many for a page.
    """
    if units.empty or len(units) > MOST_PROFILED:
        return {}
    names: dict[str, int] = {}
    rows = {unit: at for at, unit in enumerate(units[UNIT].itertuples(index=False, name=None))}
    found: list[list] = [[] for _ in rows]
    among = 0
    for source in sources:
        for network, block, means in _class_means(source):
            among = max(among, len(means))
            values = means.to_numpy()
            highest = np.argsort(-values, axis=0, kind="stable")[:CLASSES_SHOWN]
            numbers = [names.setdefault(str(name), len(names)) for name in means.index]
            for unit in range(values.shape[1]):
                at = rows.get((network, block, unit))
                if at is not None:
                    found[at] = [[numbers[each], float(f"{values[each, unit]:.3g}")] for each in highest[:, unit]]
    return {"classes": list(names), "among": among, "of": found} if names else {}


def _class_means(source: Source) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Of each block with units in a run, the network and the block as in the report, and (classes, units) means."""
    run, arguments = source.run, source.run.record["arguments"]
    if not run.has("selectivity.csv") or arguments.get("rotate") is not None or arguments.get("groups"):
        return  # of random directions, or of groups of classes
    places = run.table("selectivity.csv")[["network", "block"]].drop_duplicates().itertuples(index=False, name=None)
    try:
        stored = run.arrays("selectivity_means.npz") if run.has("selectivity_means.npz") else {}
        recorded = run.has("recording/recording.json") and not stored
        recording = open_recording(run.folder / "recording") if recorded else None
        for network, block in places:
            if recording is not None and block in recording.blocks(network, arguments.get("tap", "output")):
                means = recording.by_class(network, block, arguments.get("tap", "output"))
            elif f"{network}/{block}/means" in stored:
                means = pd.DataFrame(stored[f"{network}/{block}/means"], index=stored["classes"].tolist())
            else:
                continue
            with blocks_as_in_papers(source.stages_known):
                yield source.shown[network], paper_name(block), means
    except (UsageError, RunError, KeyError, ValueError) as error:
        log.warning("the report has no class profiles of the run in %s: %s", run.folder, error)
