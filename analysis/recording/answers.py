"""What networks answer to a fixed input: whatever makes two of them differ that no hash of weights or code sees."""

from collections.abc import Mapping, Sequence

import numpy as np

TOLERANCE = 1e-3
"""Of the spread of the logits: machines round float32 otherwise, by some 1e-6 of it."""


def differing_answers(mine: Mapping[str, Sequence[float]], theirs: Mapping[str, Sequence[float]]) -> str:
    """The label of a network whose answers are others; empty where there is none, or where they are not known.

    Args:
        mine, theirs: by label, some of its logits for images of noise.

    >>> differing_answers({"a": [1, 2], "b": [1, 2]}, {"a": [1, 2.0001], "b": [3, 4]})
    'b'
    """
    for label in mine.keys() & theirs.keys():
        one, other = (np.asarray(each[label], dtype=np.float64) for each in (mine, theirs))
        if len(one) != len(other):
            return label
        if len(one) and not np.abs(one - other).max() <= TOLERANCE * max(one.std(), 1e-12):
            return label
    return ""
