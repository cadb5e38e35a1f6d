"""A contact sheet shows the images that were measured, or none."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gelens.analyses.thumbnails import thumbnails
from gelens.data import load_data
from gelens.data.contents import content_of

NAMES = ["cat/0.png", "cat/1.png", "dog/0.png"]


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(NAMES):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number * 40, 9, 9)).save(path)
    return tmp_path / "images"


def test_an_image_that_was_replaced_has_no_thumbnail(folder, caplog):
    images = load_data(f"folder:{folder}")
    contents = [content_of(images[position][0]).hex() for position in range(3)]
    recorded = SimpleNamespace(images=pd.DataFrame({"identifier": images.identifiers}), contents=contents)
    units = pd.DataFrame({"network": "a", "block": "b", "unit": [0], "csi": [0.5]})
    top = pd.DataFrame({"network": "a", "block": "b", "unit": 0, "identifier": images.identifiers, "rank": [1, 2, 3]})
    Image.new("RGB", (8, 8), "white").save(folder / NAMES[1])
    written = thumbnails(units, top, images, recorded)["selectivity_thumbnails.npz"]
    assert written["identifiers"].tolist() == [images.identifiers[0], images.identifiers[2]]
    assert np.array_equal(written["images"][1][0, 0], [80, 9, 9])
    assert f"image `{images.identifiers[1]}` has changed since it was measured" in caplog.text
