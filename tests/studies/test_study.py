"""The study: what is answered is what the numbers say, and one command writes its page from whatever is finished."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from scipy import stats

from gelens.files import file_hash
from gelens.networks import load_network, save_weights
from gelens.statistics.curves import Curves
from studies.cifar10 import answers, glance, measure, study
from studies.networks import FIRST


def row(mean: float, low: float, high: float, p_holm: float, trainings: int = 3):
    columns = {"trainings": trainings, "mean": mean, "low": low, "high": high, "p_holm": p_holm}
    return next(pd.DataFrame([columns]).itertuples())


def test_verdicts():
    assert answers.verdict(row(-1, -2, -0.5, 0.01), -1) == "agree"
    assert answers.verdict(row(1, 0.5, 2, 0.01), -1) == "disagree"
    assert answers.verdict(row(-1, -2, 0.1, 0.07), -1) == "cannot tell"
    assert answers.verdict(row(-1, -2, -0.5, 0.06), -1) == "cannot tell", "not after Holm's correction"
    assert answers.verdict(row(-1, np.nan, np.nan, np.nan, 1), -1) == "cannot tell"


def depth_answer(*gaps: float, reach: float = 0.005) -> str:
    """Of gaps from the first block to the deepest, with intervals so wide, and their slope."""
    told = {"network": "se", "reference": "plain", "gap": "corrected", "trainings": 3}

    def around(mean: float) -> dict:
        p = 0.001 if abs(mean) > reach else 0.5
        return told | {"mean": mean, "low": mean - reach, "high": mean + reach, "p_holm": p}

    blocks = [around(gap) | {"block": f"layer3.{at}", "depth": at + 1} for at, gap in enumerate(gaps)]
    slope = around(np.polyfit(range(len(gaps)), gaps, 1)[0])
    slope |= {"p_holm": 0.001, "low": slope["mean"] - 1e-4, "high": slope["mean"] + 1e-4}
    found = answers.depth_answers(pd.DataFrame(blocks), pd.DataFrame([slope])).iloc[0]
    assert bool(found["why"]) == (found["answer"] == "cannot tell")
    assert found["deepest_block"] == blocks[-1]["block"] and found["first_mean"] == gaps[0]
    return found["answer"]


@pytest.mark.parametrize(
    "gaps,answer",
    [
        ((0, 0.01, 0.02, 0.03, 0.04, 0.05), "agree"),
        ((-0.002, -0.01, -0.02, -0.04, -0.03, -0.05), "agree"),
        ((0, 0, 0, 0, 0, 0.03), "cannot tell"),  # one step
        ((0, 0.05, -0.03, 0.06, -0.02, 0.08), "cannot tell"),  # back and forth
        ((0.08, 0.083, 0.086, 0.089, 0.092, 0.095), "cannot tell"),  # there from the start
        ((-0.05, -0.04, -0.03, -0.02, -0.01, 0), "disagree"),  # closes
        ((-0.028, -0.02, -0.01, 0, 0.006, 0.012), "disagree"),  # largest at the start
        ((0, 0.001, 0, 0.002, 0.001, 0.004), "cannot tell"),  # nothing at the deepest block
    ],
)
def test_a_gap_emerges_gradually_or_not(gaps, answer):
    assert depth_answer(*gaps) == answer


def test_a_slope_that_is_not_resolved_tells_nothing():
    gaps = [{"block": f"layer3.{at}", "depth": at + 1, "mean": 0.02 * at} for at in range(3)]
    told = {"network": "se", "gap": "corrected", "trainings": 3, "low": -1, "high": 1, "p_holm": 0.9}
    trend = pd.DataFrame([told | {"mean": 0.02}])
    (found,) = answers.depth_answers(pd.DataFrame([told | row for row in gaps]), trend).itertuples()
    assert (found.answer, found.why) == ("cannot tell", "slope not resolved")


def test_a_gap_at_matched_activity_is_not_asked_for_where_all_units_are_active():
    gaps = [{"block": f"layer3.{at}", "depth": at + 1, "mean": 0.02 * at} for at in range(3)]
    told = {"network": "se", "gap": "matched", "trainings": 3, "low": 0.01, "high": 0.03, "p_holm": 0.001}
    trend = pd.DataFrame([told | {"mean": 0.02}])
    gaps = pd.DataFrame([told | row for row in gaps])
    for active, answer in ((0.5, "agree"), (0.999, "cannot be asked here")):
        assert answers.depth_answers(gaps, trend, active)["answer"].tolist() == [answer]


def test_holm_counts_claims_that_are_not_known_yet():
    """As if the p of the others were 1, so that no later training takes an answer back by being one more test."""
    p = np.array([0.02, 0.001])
    assert answers.holm_among(p, 4) == pytest.approx([0.06, 0.004])
    assert answers.holm_among(p, 2) == pytest.approx([0.02, 0.002])


def test_orders_are_claimed_by_the_gate_or_else_by_activation():
    rows = [
        {"network": network, "score": score, "block": block, "quantity": quantity, "p": p}
        for network, scores in (("se", ("gate", "activation")), ("plain", ("activation",)))
        for score in scores
        for block in ("layer3.0", "layer3.1")
        for quantity, p in (("area", 0.01), ("drop_all", 0.5))
    ]
    summary = pd.DataFrame(rows).assign(trainings=3, mean=0.1, low=0.05, high=0.15, p_holm=1.0)
    found = answers.order_answers(summary)
    assert set(zip(found["network"], found["score"], strict=True)) == {("se", "gate"), ("plain", "activation")}
    assert len(found) == 4 and found["p_holm"].tolist() == pytest.approx([0.04] * 4)
    blocks = answers.block_table(summary)
    assert len(blocks) == 4 and not blocks.duplicated(["network", "block"]).any()


def test_stars_are_ranked_over_blocks():
    """Twice the reference's loss is ranked the same; errors over images are those of images drawn anew."""
    random = np.random.default_rng(0)
    lost = (random.random((2, 3, 500)) < np.array([0.1, 0.5, 0.3])[:, None]).astype(float)
    importances = {"plain": ([0, 1], lost), "se": ([1, 0], lost[::-1])}
    found = answers.star_answers(importances, ["se", "ge"], "plain", np.arange(500))
    assert found["network"].tolist() == ["se", "se", "plain", "plain"] and (found["trainings"] == 2).all()
    assert found["blocks"].tolist() == ["all", "all but the first"] * 2
    assert found["mean"].tolist() == pytest.approx([1] * 4) and found["high"].max() <= 1
    assert found["answer"].tolist() == ["", "cannot tell", "", ""]
    assert answers.star_answers({"se": importances["se"]}, ["se"], "plain", np.arange(500)).empty
    ranks = answers._rank_correlations(
        np.ones((1, 500)), lost[0], random.random((3, 500)) + np.array([[0.2], [0], [0.1]])
    )
    assert ranks == pytest.approx(stats.spearmanr([0.1, 0.5, 0.3], [0.2, 0, 0.1]).statistic)


def test_stars_claim_nothing_where_only_the_images_rank_the_blocks(monkeypatch):
    """Blocks that are alike, trainings that are right on the same images: their correlations agree, and mean nothing.

    Claims came in 7 % of 900 repeats; of 100 the standard error is 2.5 %.
    """
    monkeypatch.setattr(answers, "REPLICATES", 60)
    random, claims = np.random.default_rng(0), 0
    for repeat in range(100):
        plain, ge = ((random.random((1, 6, 200)) < 0.3).repeat(3, 0) * 1.0 for _ in range(2))
        importances = {"plain": ([0, 1, 2], plain), "ge": ([0, 1, 2], ge)}
        answer = answers.star_answers(importances, ["ge"], "plain", np.arange(200), repeat)["answer"]
        claims += answer.isin(["agree", "disagree"]).any()
    assert claims < 16


def test_gate_and_activation_are_compared_on_the_same_images():
    """With the most important by the gate first, all are wrong from the start; by activation half of them only."""
    half, none, every = np.arange(4) < 2, np.zeros(4, bool), np.ones(4, bool)
    rows, bits = [], []
    for score, order, ratio, right in (
        ("gate", "none", 0.0, every), ("gate", "none", 1.0, none), ("gate", "most", 0.5, none),
        ("activation", "most", 0.5, half), ("random", "most", 0.5, every),
    ):  # fmt: skip
        about = {"block": "layer3.0", "scope": "block", "fill": "zero", "per_image": True}
        rows.append(about | {"network": "se#0", "score": score, "order": order, "ratio": ratio})
        bits.append(right)
    curves = Curves(pd.DataFrame(rows), {"se#0": np.array(bits)}, np.arange(4), np.zeros(4, int), ["x"])
    (found,) = answers.score_answers(curves, {"se": {0: "se#0"}}).itertuples()
    assert found.mean == pytest.approx(0.5 * 0.5) and found.trainings == 1 and found.answer == "cannot tell"


def test_speed_by_hand():
    """Errors 10 less at first and equal at the end, for both seeds, on one split as on the other."""
    rows = [
        {"group": group, "seed": seed, "epoch": epoch, "split": split, "top1_error": error + seed}
        for group, errors in (("fast", (40, 30)), ("slow", (50, 30)))
        for seed in (0, 1)
        for split in ("train", "val")
        for epoch, error in enumerate(errors, 1)
    ]
    found = answers.speed_answers(pd.DataFrame(rows), "fast", "slow", {"train": 9000, "val": 1000})
    assert (found["trainings"] == 2).all() and len(found) == 6
    for _, of in found.groupby("split"):
        means = of.set_index("when")["mean"].to_dict()
        assert means == {"mean over epochs": -5, "first half less the end": -10, "end": 0}
    # the trainings agree to the last image, so what is open is the images: two shares of 30 and 31 %, independent
    (end,) = found[(found["split"] == "val") & (found["when"] == "end")].itertuples()
    reach = end.high - end.mean
    expected = np.mean([np.sqrt(2 * error * (100 - error) / 1000) for error in (30, 31)])
    assert reach == pytest.approx(stats.t.ppf(0.975, 999) * expected)


def test_peaks_are_where_the_mean_is_highest():
    curve = {"epoch": [0.5, 1, 2], "mean_csi": [0.1, 0.4, 0.3], "mean_csi_se": [0.0, 0.03, 0.04]}
    table = pd.DataFrame(curve).assign(network="n", block="b", mean_corrected=np.nan, mean_corrected_se=np.nan)
    (found,) = answers.peak_answers(table).itertuples()
    assert (found.peak_epoch, found.peak, found.last_epoch, found.last) == (1, 0.4, 2, 0.3)
    assert found.fall == pytest.approx(0.1) and found.fall_se == pytest.approx(0.05)


def test_every_claim_has_a_row_at_a_glance():
    """Also those that nothing is known of; of several rows of a section the answers are counted."""
    told = {"network": "thin_resnet50_se", "trainings": 3, "low": 0.1, "high": 0.3}
    orders = [
        told | {"score": score, "block": block, "quantity": quantity, "mean": mean, "answer": answer}
        for score, block, quantity, mean, answer in (
            ("gate", "layer3.0", "area", 0.2, "agree"),
            ("gate", "layer3.1", "area", 0.1, "cannot tell"),
            ("gate", "layer3.0", "area_random", 0.05, "agree"),
        )
    ]
    ends = {f"{end}_{name}": 0.1 for end in ("first", "deepest") for name in ("mean", "low", "high")}
    depth = [
        told | ends | {"gap": gap, "mean": 0.2, "answer": answer, "why": "something" if gap == "corrected" else ""}
        for gap, answer in (("mean", "agree"), ("corrected", "cannot tell"))
    ]
    claims = glance.claims([each.said for each in study.POOLING])
    table = glance.at_a_glance(claims, {"orders": pd.DataFrame(orders), "depth": pd.DataFrame(depth)})
    assert set(table["claim"]) == {each.said for each in claims}
    known = table[table["answer"] != "not trained"].set_index("claim")
    assert len(known) == 3 and (known["network"] == "thin_resnet50_se").all() and (known["trainings"] == 3).all()
    orders = known.loc["the two orders of pruning lie apart"]
    assert orders["answer"] == "agree 1, cannot tell 1"
    assert orders["measured"] == "area by the gate's order: means of 2 blocks from +0.1 to +0.2, resolved in 1"
    assert known.loc["knowing the order is worth more than a random one", "answer"] == "agree"
    depth = known.loc["a gap in class selectivity to plain ResNet emerges gradually with depth"]
    assert depth["answer"] == "mean: agree, corrected: cannot tell" and "+0.2 (+0.1 … +0.3)" in depth["measured"]
    assert depth["measured"].endswith(
        "gap in the first block +0.1 (+0.1 … +0.1), in the deepest +0.1 (+0.1 … +0.1); open since: something"
    )


def made_weights(folder, networks, seeds) -> None:
    """Weights that nobody trained, with the facts that the runner leaves."""
    torch.manual_seed(0)
    for network in networks:
        for seed in seeds:
            path = folder / network / f"seed-{seed}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_weights(load_network(network).half(), path, seed=str(seed))
            facts = {"network": network, "seed": seed, "top1_accuracy": 10.0, "weights": file_hash(path)}
            path.with_suffix(".json").write_text(json.dumps(facts))


def made_epochs(network: str, last: float) -> pd.DataFrame:
    curve = {"epoch": [1, 2], "mean_csi": [0.4, last], "mean_csi_se": 0.0, "mean_corrected": [0.4, last]}
    return pd.DataFrame(curve | {"mean_corrected_se": 0.0}).assign(network=network, block="layer3.0")


def test_selectivity_over_training_stays_where_its_checkpoints_are_gone(tmp_path):
    """Of a network that is measured again the new rows are taken, of another the old ones, with its figure."""
    template, out = tmp_path / "template.md", tmp_path / "page"
    template.write_text("$earlier|$folded_peaks|$figure_epochs|$figure_other")
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"a picture")

    def written(networks, last: float) -> str:
        tables = {"selectivity_epochs": pd.concat([made_epochs(name, last) for name in networks])} if networks else {}
        figures = {f"epochs_{name}": picture for name in networks} | ({"other": picture} if networks else {})
        study.write(study.with_earlier(study.Results(tables, figures), out), out, template)
        return (out / "README.md").read_text()

    assert written([], 0) == f"|{study.UNKNOWN}|*No figure yet.*|*No figure yet.*"
    assert written(["thin_resnet50", "thin_resnet50_se"], 0.3).startswith("|")
    page = written(["thin_resnet50"], 0.1)
    assert page.startswith("Measured earlier") and page.split("|")[0].endswith("written: thin ResNet-50 SE.")
    for _ in range(2):
        page = written([], 0)
        assert "written: thin ResNet-50 SE, thin ResNet-50.|" in page
        assert "![epochs_thin_resnet50](" in page and "![epochs_thin_resnet50_se](" in page
        assert "![other]" not in page and not (out / "figures" / "other.png").exists()
        peaks = pd.read_csv(out / "results" / "peaks.csv").set_index(["network", "index"])
        assert peaks.loc[("thin_resnet50", "mean_csi"), "last"] == pytest.approx(0.1)
        assert peaks.loc[("thin_resnet50_se", "mean_csi"), "last"] == pytest.approx(0.3)


@pytest.mark.slow
def test_one_command_writes_the_page(tmp_path, monkeypatch):
    """From two seeds of three networks; a second call measures nothing again, and one of nothing finished says so."""
    digits = pd.DataFrame({"class": range(10), "family": ["low"] * 5 + ["high"] * 5})
    digits.to_csv(tmp_path / "classes.csv", index=False)
    monkeypatch.setattr(measure, "HERE", tmp_path)  # the study's own groups are of CIFAR-10's classes
    made_weights(tmp_path / "weights", FIRST[:3], (0, 1))
    arguments = ["--data", "digits", "--limit", "60", "--precision", "fp32"]
    places = ["--runs", tmp_path / "runs", "--weights", tmp_path / "weights", "--out", tmp_path / "page"]
    stamps = []
    for _ in range(2):
        result = CliRunner().invoke(study.main, [*arguments, *map(str, places)])
        assert result.exit_code == 0, result.output
        stamps.append({path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.csv")})
    assert stamps[0] == stamps[1] and len(list((tmp_path / "runs").rglob("selectivity.csv"))) == 2, "measured, and gaps"
    page = (tmp_path / "page" / "README.md").read_text()
    assert "6 of 13 trainings are finished" in page and "$" not in page
    assert page.count("trainings that it takes are not finished") == 3, "GE-θ against SE, speed and peaks"
    tables = {path.stem for path in (tmp_path / "page" / "results").iterdir()}
    assert {"depth", "orders", "blocks", "stars", "trainings", "gates", "static", "lesions", "pooling"} <= tables
    assert "--data parquet:DIR --limit 60`" in page and "all else on 60" in page
    pooling = pd.read_csv(tmp_path / "page" / "results" / "pooling.csv")
    assert set(pooling["claim"]) == {"GE-θ⁻ (global, avg) errs less than no gate"}, "the others take other networks"
    pictures = {path.stem for path in (tmp_path / "page" / "figures").iterdir()}
    assert {"fig_gates_variance", "fig_gates_static", "fig_taps", "fig_lesions_targeted"} <= pictures
    depth = pd.read_csv(tmp_path / "page" / "results" / "depth.csv")
    assert set(depth["answer"]) <= {"agree", "disagree", "cannot tell"} and (depth["trainings"] == 2).all()
    empty = ["--runs", tmp_path / "no-runs", "--weights", tmp_path / "none", "--out", tmp_path / "empty"]
    result = CliRunner().invoke(study.main, [*arguments, *map(str, empty)])
    assert result.exit_code == 0 and "0 of 13" in (tmp_path / "empty" / "README.md").read_text()
