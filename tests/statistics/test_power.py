"""Power of claims: equal to what is counted in simulated studies, and to scipy's where images do not matter."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy import stats

from gelens.cli import main
from gelens.statistics.power import ASKED, claims_of, power, power_sentences
from gelens.statistics.trainings import between_trainings, over_trainings


def claim(effect: float, spread: float, of_images: float, trainings: int = 4, of_two: bool = True) -> dict:
    parts = 2 / trainings if of_two else 1 / trainings
    told = {"claim": "F2", "network": "se", "reference": "plain", "statistic": "growth", "trainings": trainings}
    told |= {"reference_trainings": trainings} if of_two else {}
    return told | {"mean": effect, "se_trainings": spread * np.sqrt(parts), "se_images": of_images, "p": 0.5}


@pytest.mark.parametrize("effect", [0.0, 1.0, 2.0])
def test_without_an_error_over_images_it_is_that_of_the_t_test(effect):
    (row,) = power(pd.DataFrame([claim(effect, 1.0, 0.0)])).to_dict("records")
    assert row["sd_trainings"] == pytest.approx(1)
    for number in ASKED:
        freedom, shift = 2 * number - 2, effect / np.sqrt(2 / number)
        reach = stats.t.ppf(0.975, freedom)
        exact = stats.nct.sf(reach, freedom, shift) + stats.nct.cdf(-reach, freedom, shift)
        # Welch's degrees of freedom, fewer than those, cost some power with few trainings
        assert row[f"power_{number}"] == pytest.approx(exact, abs=0.12 if number == 3 else 0.04)


def test_of_one_network_it_is_that_of_one_sample():
    table = pd.DataFrame([claim(1.0, 1.0, 0.0, of_two=False)])
    (row,) = power(table).to_dict("records")
    reach = stats.t.ppf(0.975, 4)
    assert row["power_5"] == pytest.approx(stats.nct.sf(reach, 4, np.sqrt(5)), abs=0.03)


def test_trainings_needed_have_the_power_and_one_less_has_not():
    (row,) = power(pd.DataFrame([claim(1.0, 0.7, 0.1)])).to_dict("records")
    needed = int(row["trainings_needed"])
    rng = np.random.default_rng(7)

    def counted(number: int) -> float:
        mine = 1 + 0.1 * rng.standard_normal(4000) + 0.7 * rng.standard_normal((number, 4000))
        theirs = 0.7 * rng.standard_normal((number, 4000))
        return (between_trainings(mine[:, None] - theirs[None], np.full(4000, 0.1), 1000)["p"] < 0.05).mean()

    assert counted(needed) > 0.78 and counted(needed - 1) < 0.82 and row["power_3"] < row["power_10"]


def test_what_no_number_of_trainings_resolves_is_said():
    table = power(pd.DataFrame([claim(0.1, 0.001, 0.1), claim(0.1, 9.0, 0.0001), claim(1.0, 0.01, 0.01)]))
    images, trainings, clear = power_sentences(table)
    assert "no number of trainings is enough on these images" in images
    assert "50 trainings of each network are too few for 80%" in trainings
    assert "80% takes 3 trainings of each network" in clear and clear.startswith("F2, se, plain: growth +1")


def test_claims_of_several_tables_and_of_few_trainings():
    errors = pd.DataFrame([claim(1.0, 0.5, 0.1) | {"metric": "top1_error"}]).drop(columns=["claim", "statistic"])
    few = pd.DataFrame([claim(1.0, 0.5, 0.1) | {"se_trainings": np.nan}])
    table = power(claims_of({"selectivity_claims.csv": few, "evaluation_gap_trainings.csv": errors}))
    assert table["claim"].tolist() == ["T1"] and table["metric"].tolist() == ["top1_error"]
    assert claims_of({}).empty
    assert over_trainings(np.ones((2, 1)), np.ones(1), 9)["se_trainings"].isna().all()


def test_a_run_without_claims_is_refused(tmp_path):
    result = CliRunner().invoke(main, ["power", str(tmp_path)])
    assert result.exit_code != 0 and "run.json" in result.output
