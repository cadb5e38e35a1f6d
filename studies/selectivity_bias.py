"""How much of a class selectivity index is bias, by simulation: python studies/selectivity_bias.py

Units of known truth, as many images as ImageNet's validation set: half-normal activity that is silent on most images,
without any class (whose true index is 0) or with a preferred class that is active more often. Printed: what the index
says of them, its mean under permuted labels (null), the index less that (excess), and the cross-fitted index.
"""

import argparse

import numpy as np
import pandas as pd
import torch

from analysis import ClassSelectivity
from analysis.randomness import permuted_labels, stratified_halves

UNITS = ((0.5, 1), (0.16, 1), (0.02, 1), (0.5, 2), (0.16, 4), (0.02, 10))
"""Share of images on which a unit is active, and how many times as often it is so on its class."""


def simulate(active: float, preference: float, classes: int, images: int, units: int, seed: int = 0) -> dict:
    """Mean indices over units that are active on a share of images, `preference` times as often on one class."""
    rng = np.random.default_rng(seed)
    labels, indices = np.repeat(np.arange(classes), images), np.arange(classes * images)
    chosen = rng.integers(0, classes, units)
    often = min(preference * active, 1.0)
    metric = ClassSelectivity(classes, units, replicates=0, seed=seed)
    null = torch.from_numpy(permuted_labels(seed, labels, indices, metric.permutations))
    halves = torch.from_numpy(stratified_halves(seed, labels, indices))
    for at in np.array_split(indices, max(len(indices) // 5000, 1)):
        share = np.where(labels[at, None] == chosen, often, active)
        activity = np.abs(rng.standard_normal((len(at), units))) * (rng.random((len(at), units)) < share)
        tensors = (torch.from_numpy(each) for each in (activity.astype(np.float32), labels[at], at))
        metric.update(*tensors, null[:, at], halves[at])
    table = metric.compute()
    return {
        "active": active,
        "truth": (often - active) / (often + active),
        "index": table["csi"].mean(),
        "null": table["csi_null"].mean(),
        "excess": (table["csi"] - table["csi_null"]).mean(),
        "cross-fitted": table["csi_crossfit"].mean(),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--images", type=int, default=50, help="of each class")
    parser.add_argument("--units", type=int, default=100)
    options = parser.parse_args()
    sizes = options.classes, options.images, options.units
    rows = [simulate(active, preference, *sizes) for active, preference in UNITS]
    print(f"{options.classes} classes × {options.images} images, means over {options.units} units")
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.2f}".format))


if __name__ == "__main__":
    main()
