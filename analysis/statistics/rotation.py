"""Rotated units: a control for what selectivity owes to the basis of units."""

import numpy as np
import scipy

from ..randomness import hashes
from .activities import Activities
from .resampling import ROWS


def rotated(activity: Activities, seed: int, name: str) -> np.ndarray:
    """The activities of as many random directions as a block has units.

    A rotation drawn uniformly (Haar) mixes the units; since the mean over positions is linear, it is that of the
    rotated maps. Of a direction the positive part of its deviation from its mean over the images is taken: activities
    are positive, and without this half of all directions would be positive on no image, and half on all of them.
    Directions know as much about classes as units do together; what units have more of alone, they owe to their basis
    (Bau et al., CVPR 2017, ask so of units and concepts). Compare the two by an index that ranks images (auc, mi): csi
    and S change with what is subtracted from an activity.

    Args:
        activity: (N, U), in memory or in a file.
        seed: of the rotation.
        name: of the block, which has a rotation of its own.

    Returns:
        (N, U) float32.
    """
    units = activity.shape[1]
    key = int(hashes(seed, f"rotation {name}", np.zeros(1, dtype=int))[0])
    basis = (
        scipy.stats.ortho_group.rvs(units, random_state=np.random.default_rng(key)) if units > 1 else np.ones((1, 1))
    )
    centre = np.zeros(units)
    for start in range(0, len(activity), ROWS):
        centre += activity[start : start + ROWS].sum(0, dtype=np.float64) / len(activity)
    result = np.empty(activity.shape, dtype=np.float32)
    for start in range(0, len(activity), ROWS):
        rows = slice(start, start + ROWS)
        result[rows] = np.maximum((activity[rows] - centre) @ basis, 0)
    return result
