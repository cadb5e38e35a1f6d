"""Tests of pruning curves' points: corrected over all that a reader sees at once."""

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from analysis.statistics.curves import Curves, point_tests


def test_holm_is_over_all_points_whatever_their_score_and_network():
    rng = np.random.default_rng(0)
    rows, correct = [], {}
    for network in ("a", "b"):
        bits = []
        for score, order, ratio in [("gate", "none", 0.0)] + [
            (score, order, ratio) for score in ("gate", "random") for order in ("most", "least") for ratio in (0.5, 0.9)
        ]:
            rows.append((network, "layer3.0", "block", "zero", score, True, order, ratio))
            bits.append(rng.random(200) < 0.8 - 0.15 * ratio)
        correct[network] = np.stack(bits)
    columns = ["network", "block", "scope", "fill", "score", "per_image", "order", "ratio"]
    curves = Curves(pd.DataFrame(rows, columns=columns), correct, np.arange(200), np.zeros(200, int), ["x"])
    tests = point_tests(curves)
    assert len(tests) == 16
    np.testing.assert_allclose(tests["p_holm"], multipletests(tests["p"], method="holm")[1])
