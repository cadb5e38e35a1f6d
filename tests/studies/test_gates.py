"""What the study says of gates: each sentence and table by hand, from tables of a few rows."""

import numpy as np
import pandas as pd
import pytest

from studies.cifar10 import gates

SE, PLAIN = "thin_resnet50_se", "thin_resnet50"


def made_static() -> pd.DataFrame:
    columns = ["block", "gate", "top1", "difference", "difference_low", "difference_high", "p_holm"]
    rows = [("", "own", 0.8, 0, 0, 0, 1)]
    changes = {"mean": -0.1, "class": 0.05, "other": -0.2, "one": -0.7}
    for block, share in (("layer3.0", 0.5), ("layer3", 1)):
        for gate, change in changes.items():
            now = share * change
            rows.append((block, gate, 0.8 + now, now, now - 0.02, now + 0.02, 0.2 if gate == "class" else 0.01))
    return pd.DataFrame(rows, columns=columns).assign(network=SE, images=100)


def test_gates_and_what_static_ones_cost_stand_in_one_row():
    shares = {"share_channel": 0.6, "share_class": 0.3, "share_image": 0.1, "share_input_se": 0.02}
    blocks = pd.DataFrame([{"network": SE, "block": "layer3.0", "mean_corrected": 0.07} | shares])
    (found,) = gates.gate_table(blocks, made_static()).to_dict("records")
    told = {"channel": 0.6, "class": 0.3, "image": 0.1, "input_se": 0.02, "csi": 0.07}
    lost = {"its mean": -5, "its class's mean": 2.5, "another image's": -10, "1": -35}
    assert found == pytest.approx({"network": SE, "block": "layer3.0"} | told | lost)


def test_over_trainings_one_row_has_what_depends_on_the_image():
    about = {"network": SE, "block": "layer3.0", "trainings": 2}
    shares = [
        about | {"quantity": f"share_{share}", "mean": mean, "low": mean - 0.1, "high": mean + 0.1}
        for share, mean in (("channel", 0.5), ("class", 0.2), ("image", 0.3), ("input", 0.5))
    ]
    static = made_static().query("gate != 'own'").rename(columns={"difference": "mean"})
    (found,) = gates.pooled_table(pd.DataFrame(shares), static).to_dict("records")
    lost = {"its mean": -5, "its class's mean": 2.5, "another image's": -10, "1": -35}
    assert found == pytest.approx(about | {"input": 0.5, "low": 0.4, "high": 0.6, "class": 0.2} | lost)
    wide = pd.DataFrame(shares).assign(low=-3.0, high=4.0)
    (found,) = gates.pooled_table(wide, static).to_dict("records")
    assert (found["low"], found["high"]) == (0, 1)
    stage = gates.stage_table(static.assign(trainings=2, low=-0.9, high=0.1))
    assert stage["replaced_by"].tolist() == ["its mean", "its class's mean", "another image's", "1"]
    assert stage["mean"].tolist() == pytest.approx([-10, 5, -20, -70]) and stage["low"].tolist() == [-90] * 4


def test_static_gates_in_words():
    (said,) = gates.static_sentences(made_static())
    assert said.startswith("thin ResNet-50 SE: 80.0 % of 100 images are right")
    assert "by its mean 70.0 % (-10.0, 95 % -12.0 … -8.0)" in said
    assert "by its class's mean 85.0 % (+5.0, 95 % +3.0 … +7.0; not resolved after Holm's correction)" in said
    assert said.endswith("its mean -5.0, its class's mean +2.5, another image's -10.0, 1 -35.0.")


def test_agreement_is_averaged_over_blocks():
    columns = ["block", "index", "damage", "correlation", "low", "high", "ceiling", "agreement"]
    rows = [
        ("layer3.0", "csi", "loss", 0.2, 0.1, 0.3, 0.8, 0.25),
        ("layer3.1", "csi", "loss", -0.4, -0.5, -0.3, 0.6, -0.75),
        ("layer3.0", "mu_max", "loss", 0.5, 0.4, 0.6, 0.9, 0.55),
        ("layer3.0", "csi", "accuracy", 0.9, 0.8, 1.0, 0.9, 1.0),
    ]
    table = gates.lesion_table(pd.DataFrame(rows, columns=columns).assign(network=SE))
    assert table["index"].tolist() == ["csi", "mu_max"]
    first = table.iloc[0]
    assert first["blocks"] == 2 and first["above"] == 1 and first["below"] == 1
    assert first[["correlation", "ceiling", "agreement"]].tolist() == pytest.approx([-0.1, 0.7, -0.25])
    (said,) = gates.ceiling_sentences(table)
    assert said.endswith("`mu_max` +0.50 (ceiling 0.90), `csi` -0.10 (ceiling 0.70).")
    rows[1] = (*rows[1][:6], np.nan, np.nan)  # a block whose damage is not reproducible
    table = gates.lesion_table(pd.DataFrame(rows, columns=columns).assign(network=SE))
    assert table.iloc[0]["with_ceiling"] == 1 and np.isnan(table.iloc[0]["ceiling"])
    (said,) = gates.ceiling_sentences(table)
    assert said.endswith("`csi` -0.10 (no ceiling in 1 of 2 blocks).")


def test_targeted_lesions_tell_of_the_worst_block():
    rows = [(8, 0.9, 0.9, 0.0, -0.1, 0.1), (16, 0.02, 0.01, 0.01, -0.01, 0.03), (16, 0.3, 0.1, 0.2, 0.15, 0.25)]
    table = pd.DataFrame(rows, columns=["k", "own", "another", "difference", "difference_low", "difference_high"])
    table = table.assign(network=SE, block=["layer3.0", "layer3.0", "layer3.5"])
    (said,) = gates.targeted_sentences(table)
    assert "2.0 … 30.0 points of accuracy are lost" in said and "another class's 1.0 … 10.0." in said
    assert said.endswith("in 1 of 2 blocks, most in conv4-6: by 20.0 points (95 % 15.0 … 25.0).")


def test_rarefaction_compares_few_images_with_all():
    rows = [(2, 0.9, 0.9), (10, 0.3, 0.2), (10, 0.5, 0.2), (200, 0.2, 0.1), (200, 0.3, 0.2)]
    table = pd.DataFrame(rows, columns=["images_per_class", "mean_csi", "mean_corrected"]).assign(network=SE)
    (said,) = gates.rarefaction_sentences(table)
    assert "from 10 to 200 images" in said and "from 0.400 to 0.250" in said and "from 0.200 to 0.150" in said


def test_gaps_levels_and_matches():
    gaps = pd.DataFrame({"mean_gap": [-0.02, 0.01], "corrected_gap": [-0.03, 0.0], "matched_gap": [-0.03, 0.004]})
    gaps = gaps.assign(network=SE, reference=PLAIN, matched_gap_se=0.01)
    (said,) = gates.gap_sentences(gaps)
    assert "raw -0.020 … 0.010" in said and "below zero in 1 of 2 blocks, above in 0" in said
    levels = pd.DataFrame({"level": ["class", "kind", "kind"], "groups": [10, 2, 2], "mean_csi": [0.2, 0.15, 0.05]})
    levels = levels.assign(mean_null=[None, 0.07, 0.06], null_low=[None, 0.03, 0.02], null_high=[None, 0.1, 0.1])
    (said,) = gates.level_sentences(levels.assign(network=SE).astype({"mean_null": float, "null_high": float}))
    assert "of 10 single classes 0.20 … 0.20" in said
    assert "of 2 groups (kind) 0.05 … 0.15" in said and "above their 95 % in 1 of 2 blocks, below in 0" in said
    blocks = pd.DataFrame({"block": ["layer3.0"] * 2, "other_block": ["layer3.0", "layer3.1"], "cka": [0.9, 0.1]})
    blocks = blocks.assign(network=PLAIN, other=SE, cka_se=0.004)
    means = pd.DataFrame({"network": [PLAIN, SE], "mean_correlation": [0.7, 0.6]})
    (said,) = gates.match_sentences(blocks, means)
    assert "(debiased) 0.90 … 0.90 (standard errors over images up to 0.004)" in said
    assert said.endswith("correlates by 0.70 … 0.70 on the other.")
