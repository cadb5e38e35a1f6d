"""The declaration of tables: it is whole, says one thing of a name, and is what figures ask for."""

import pandas as pd
import pytest

from gelens.errors import UsageError
from gelens.figures.drawing import figure_modules
from gelens.results.columns import COLUMNS, NAMES
from gelens.results.tables import TABLES, brief_of, check_table, title_of


@pytest.mark.parametrize("name", TABLES)
def test_a_table_names_each_column_once_and_all_are_declared(name):
    table = TABLES[name]
    assert len(set(table.columns)) == len(table.columns)
    assert set(table.own) - set(table.columns) <= {"null"}, "null of levels is what null_low and null_high are of"
    for column in table.columns:
        told = table.column(column)
        assert told.type in ("name", "int", "float", "bool") and told.title
        assert told.title != column or len(column) == 1


def test_every_column_is_of_a_table():
    used = {column for table in TABLES.values() for column in table.columns}
    assert set(COLUMNS) <= used


def test_errors_and_ends_of_intervals_are_of_what_they_are_named_after():
    assert title_of("top1_low") == "Top-1 accuracy, 95 %, low end"
    assert TABLES["pruning.csv"].column("top1_high").unit == "share"
    assert title_of("mean_rank_correlation_within") == "Mean rank correlation within classes"
    assert title_of("loss") == "Loss if dropped (nats)" and title_of("loss", "training.csv") == "Loss (nats)"
    assert brief_of("mean_csi") == "index" and brief_of("mean_csi", "gates_blocks.csv") == "index of gates"
    for strange in ("csi_sq", "sd_of", "nothing_se", "_se"):
        with pytest.raises(UsageError, match=f"no column `{strange.removesuffix('_se') or strange}`"):
            title_of(strange)


def test_figures_need_what_tables_have():
    for module in figure_modules():
        if not isinstance(module.NEEDS, dict):
            assert set(module.NEEDS) <= {*TABLES, "selectivity_thumbnails.npz"}
            continue
        for name, columns in module.NEEDS.items():
            assert name.endswith(".npz") or set(columns) <= set(TABLES[name].columns)


def test_a_column_that_somebody_needs_is_there_and_numbers_are_numbers():
    row = {"network": "a", "block": "b", "unit": 1, "csi": 0.5, "top_class_name": "cat", "mine": "text"}
    table = pd.DataFrame([row])
    check_table("selectivity.csv", table, ["mine", "top_class_name"])
    check_table("of_another_package.csv", table, ["mine", "csi"])
    for name in ("selectivity.csv", "of_another_package.csv"):
        with pytest.raises(ValueError, match="it has no column `csi_crossfit`"):
            check_table(name, table, ["csi_crossfit"])
    with pytest.raises(ValueError, match="it has no column `unit`"):
        check_table("selectivity.csv", table.drop(columns="unit"))
    with pytest.raises(ValueError, match="column `csi_null` has other values than numbers such as `high`"):
        check_table("selectivity.csv", table.assign(csi_null="high"))
    check_table("selectivity.csv", table.assign(mu_max=1e16))
    with pytest.raises(ValueError, match=r"column `mu_max` has the value 1e\+16, which cannot be meant"):
        check_table("selectivity.csv", table.assign(mu_max=1e16), ["mu_max"])
    assert "top_class_name" in NAMES and "csi" not in NAMES
