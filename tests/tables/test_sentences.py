"""What analyses say of their tables: what it rests on first, blocks by name, and no more than the numbers do."""

import numpy as np
import pandas as pd

from gelens.tables.lesions import lesion_sentences
from gelens.tables.levels import level_sentences
from gelens.tables.rarefaction import rarefaction_sentences
from gelens.tables.similarity import match_sentences


def lesion(block: int, correlation: float, p: float, damage: str = "loss", **others) -> dict:
    told = {"network": "se", "block": f"layer3.{block}", "index": "csi", "damage": damage, "units": 40, "images": 500}
    told |= {"correlation": correlation, "low": correlation - 0.1, "high": correlation + 0.1, "p": p}
    return told | others


def test_lesions_are_told_apart_from_nothing_with_holms_correction():
    rows = [lesion(0, 0.5, 0.002), lesion(1, 0.3, 0.04), lesion(2, -0.2, 0.01), lesion(3, 0.2, 0.7)]
    (said,) = lesion_sentences(pd.DataFrame([*rows, lesion(0, 0.9, np.nan, "loss_own")]))
    assert said.startswith("In this network (one training), se, single units dropped; rank correlation")
    assert (
        "above 0 in conv4-1 (+0.50 in conv4-1, 95 % +0.40 … +0.60), below 0 in conv4-3 (-0.20 in conv4-3, 95 % -0.30 … "
        "-0.10), not told apart from 0 in conv4-2, conv4-4"
    ) in said, "0.04 is not below 0.05 after Holm's correction"
    assert "0.9" not in said, "on the own class chance alone agrees"


def test_lesions_of_few_units_or_images_say_nothing():
    for few in ({"units": 4}, {"images": 60}):
        (said,) = lesion_sentences(pd.DataFrame([lesion(0, 0.9, 0.001, **few)]))
        assert "no claim" in said and "0.9" not in said
    assert lesion_sentences(pd.DataFrame([lesion(0, np.nan, np.nan)])) == []


def test_levels_are_held_against_random_groups():
    told = {"network": "se", "level": "kind", "groups": 2, "units": 10, "mean_null": 0.05, "null_low": 0.03}
    told |= {"null_high": 0.08}
    rows = [told | {"block": f"layer3.{block}", "mean_csi": value} for block, value in enumerate((0.12, 0.07, 0.3))]
    (said,) = level_sentences(pd.DataFrame(rows))
    assert said == (
        "In this network (one training), se, at level kind (2 groups), the units' mean index of group means is above "
        "that of random groups in conv4-1, conv4-3 (0.300 in conv4-3, against 0.050, 95 % 0.030 … 0.080, of random "
        "groups); no higher than that of random groups in conv4-2."
    )
    classes = pd.DataFrame(rows).assign(level="class", null_low=np.nan)
    assert level_sentences(classes) == [], "of single classes there are no random groups"


def test_rarefaction_says_what_half_of_the_images_change():
    rows = [
        {"network": "se", "block": block, "images_per_class": size, "mean_csi": index, "mean_sparseness": sparse}
        for block, values in {"layer3.0": (0.5, 0.4, 0.35), "layer3.1": (0.5, 0.45, 0.44)}.items()
        for size, index, sparse in zip((10, 25, 50), values, (np.nan, 0.1, 0.101), strict=True)
    ]
    (said,) = rarefaction_sentences(pd.DataFrame(rows))
    assert said == (
        "In this network, se, with 50 images a class instead of 25, mean over units: the class selectivity index "
        "changes most in conv4-1, from 0.400 to 0.350; sparseness (S) changes most in conv4-1, from 0.100 to 0.101."
    )
    assert rarefaction_sentences(pd.DataFrame(rows[:1])) == []


def test_match_names_the_blocks_that_are_most_alike():
    rows = [
        {"network": "a", "block": mine, "other": "b", "other_block": theirs, "cka": cka, "cka_se": 0.01}
        for mine, theirs, cka in (
            ("layer3.0", "layer3.0", 0.9),
            ("layer3.0", "layer3.1", 0.8),
            ("layer3.1", "layer3.0", 0.7),
        )
    ]
    means = [
        {"network": "a", "other": "b", "block": f"layer3.{block}", "mean_correlation": value}
        for block, value in enumerate((0.6, 0.4))
    ]
    said = match_sentences(pd.DataFrame(rows), pd.DataFrame(means))
    assert said == [
        "In these two networks (one training each), a and b, blocks most alike: conv4-1 and conv4-1 (CKA 0.90 ± 0.01 "
        "over images); conv4-2 and conv4-1 (CKA 0.70 ± 0.01 over images).",
        "In these two networks (one training each), a and b: on images that did not choose the match, units of a "
        "correlate with their best match in b, in the mean, by 0.60 in conv4-1 to 0.40 in conv4-2.",
    ]
    assert len(match_sentences(pd.DataFrame(rows), None)) == 1
