"""Tables of a run's folder: of what each has a row, its columns, and which of them it must have."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pandas as pd

from ..errors import unknown
from .columns import COLUMNS, ENDINGS, Column


@dataclass(frozen=True)
class Table:
    """A table as it is declared.

    Args:
        row: what a row is of.
        needed: columns without which nothing can be made of it.
        others: columns that it may lack, as tables of older runs do.
        own: columns that are another thing here than in other tables, by name.
    """

    row: str
    needed: tuple[str, ...]
    others: tuple[str, ...] = ()
    own: dict[str, Column] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.needed + self.others

    def column(self, name: str) -> Column:
        """What a column is.

        Raises:
            UsageError: there is none of that name.
        """
        if name in self.own or name in COLUMNS:
            return self.own.get(name) or COLUMNS[name]
        of, _, ending = name.rpartition("_")
        if ending not in ENDINGS or not of:
            raise unknown("column", name, [*COLUMNS, *self.own])
        column = self.column(of)
        return replace(column, type="float", title=f"{column.title}, {ENDINGS[ending]}", brief="")


def _table(row: str, needed: str, others: str = "", **own: Column) -> Table:
    return Table(row, tuple(needed.split()), tuple(others.split()), own)


_INDEX = Column("name", "Index")
_GATE = Column("float", "Mean gate")
_OVER_TRAININGS = "trainings mean se se_trainings se_images df low high"
_OF_UNITS = "units dead classes images"
_BETWEEN = _OVER_TRAININGS.replace("trainings ", "trainings reference_trainings ", 1)
_CALIBRATED = " ".join(
    f"{kind}_{what}"
    for kind in ("sparseness", "corrected")
    for what in ("bias", "bias_half", "bias_twice", "error_ratio", "cover")
)
_OF_SELECTIVITY = (
    "mean_csi_se mean_null mean_excess mean_crossfit mean_corrected mean_corrected_se mean_reliability mean_variation "
    "sparseness_units mean_sparseness mean_sparseness_se mean_sparseness_null mean_effective_classes"
)
_GAPS = (
    "excess_gap excess_gap_se crossfit_gap crossfit_gap_se wasserstein wasserstein_halves ks ks_halves corrected_gap "
    "corrected_gap_se corrected_low corrected_high matched_gap matched_gap_se matched_overlap "
    "sparseness_gap sparseness_gap_se sparseness_low sparseness_high fewest_units"
)
_CURVE = "scope fill score per_image"

TABLES = {
    "evaluation.csv": _table(
        "a network",
        "network extent pool images top1_error top5_error",
        "parameters gmacs published_top1_error published_top5_error published_gmacs",
    ),
    "evaluation_trainings.csv": _table("an error of a group", f"network quantity {_OVER_TRAININGS}"),
    "evaluation_gap_trainings.csv": _table("an error of a group", f"network reference metric {_BETWEEN} p p_holm"),
    "gates_blocks.csv": _table(
        "a block",
        "network block depth",
        "units images mean below_tenth above_nine_tenths variance share_channel share_channel_se share_class "
        "share_class_se share_image share_image_se share_input share_input_se profile_reliability mean_csi mean_csi_se "
        "mean_null mean_corrected mean_sparseness mean_sparseness_se mean_rank_correlation "
        "mean_rank_correlation_within",
        mean=_GATE,
        mean_csi=Column("float", "Mean class selectivity of gates", brief="index of gates"),
        mean_null=Column("float", "Mean null of gates", brief="its null"),
    ),
    "gates_blocks_trainings.csv": _table(
        "a share of the variance in a block of a group", f"network block depth quantity {_OVER_TRAININGS}"
    ),
    "gates_classes.csv": _table(
        "a shown unit's gate on a shown class",
        "network block class_name unit class mean sd",
        "images",
        mean=_GATE,
        sd=Column("float", "Standard deviation of the gate over images"),
    ),
    "gates_histogram.csv": _table(
        "a bin of gate values in a block",
        "network block low high share",
        low=Column("float", "Gate, from"),
        high=Column("float", "Gate, to"),
    ),
    "gates_static.csv": _table(
        "a block, or a whole stage, with its gates replaced",
        "network block gate top1",
        "images top1_low top1_high difference difference_low difference_high p p_holm",
    ),
    "gates_static_trainings.csv": _table(
        "a block, or a whole stage, of a group with its gates replaced",
        f"network block gate {_OVER_TRAININGS} p p_holm",
    ),
    "gates_units.csv": _table(
        "a unit's gate",
        "network block unit mean class_share",
        "sd minimum maximum rank_correlation rank_correlation_within csi csi_se csi_null csi_corrected "
        "sparseness top_class_name",
        mean=_GATE,
        sd=Column("float", "Standard deviation of the gate over images"),
    ),
    "images.csv": _table(
        "an image of a recording",
        "row index identifier label class",
        "bytes content",
        **{"class": Column("name", "Class")},
    ),
    "lesions_agreement.csv": _table(
        "an index and a damage in a block",
        "network block index damage correlation low high",
        "units images p reliability_index reliability_damage ceiling agreement",
        index=_INDEX,
    ),
    "lesions_targeted.csv": _table(
        "a number of units dropped in a block",
        "network block k own another",
        "own_low own_high own_se another_low another_high another_se difference difference_low difference_high "
        "difference_se",
    ),
    "lesions_targeted_trainings.csv": _table(
        "a number of units dropped in a block of a group", f"network block k quantity {_OVER_TRAININGS}"
    ),
    "lesions_units.csv": _table(
        "a unit that was dropped",
        "network block unit csi loss loss_own",
        "top_class csi_corrected loss_others logit_own accuracy accuracy_own class_name",
    ),
    "match_blocks.csv": _table(
        "a pair of blocks", "network block other other_block cka", "cka_biased cka_se images units other_units"
    ),
    "match_means.csv": _table(
        "a block", "network block other units constant mean_correlation mean_correlation_se mean_correlation_chosen"
    ),
    "match_units.csv": _table(
        "a unit",
        "network block other unit match correlation",
        "correlation_chosen",
        correlation=Column("float", "Correlation with the best match over images"),
    ),
    "operators.csv": _table("a step of an operator", "operator part step channels height width"),
    "pruning.csv": _table(
        "a point of a curve",
        "network block score order scope ratio top1 top1_low top1_high",
        "fill per_image dropped images top5 dropped_at",
    ),
    "pruning_claims.csv": _table(
        "a claim about the order of a group",
        f"claim network {_CURVE} statistic {_OVER_TRAININGS} p p_holm blocks verdict",
    ),
    "pruning_classes.csv": _table(
        "a class at a point of a curve", f"network block {_CURVE} order ratio class name images top1"
    ),
    "pruning_differences.csv": _table(
        "a pair of points",
        f"network block {_CURVE} ratio versus difference difference_se difference_low difference_high",
    ),
    "pruning_summary.csv": _table(
        "a pair of curves",
        "network block score area",
        "scope fill per_image images drop_all area_se area_low area_high area_random area_random_se area_random_low "
        "area_random_high",
    ),
    "pruning_summary_trainings.csv": _table(
        "a quantity of a pair of curves of a group", f"network block {_CURVE} quantity {_OVER_TRAININGS} p p_holm"
    ),
    "pruning_tests.csv": _table(
        "a point against ratio 0", f"network block {_CURVE} order ratio lost gained difference p p_holm"
    ),
    "selectivity.csv": _table(
        "a unit",
        "network block unit csi",
        "csi_se csi_null csi_null_sd csi_crossfit active_fraction mu_max mu_rest top_class csi_corrected "
        "csi_corrected_se reliability variation sparseness sparseness_se sparseness_null sparseness_null_sd "
        "effective_classes rectified top_class_name",
    ),
    "selectivity_blocks.csv": _table(
        "a block", f"network block depth {_OF_UNITS} mean_csi", f"{_OF_SELECTIVITY} {_CALIBRATED}"
    ),
    "selectivity_blocks_trainings.csv": _table(
        "a mean index in a block of a group", f"network block depth quantity {_OVER_TRAININGS}"
    ),
    "selectivity_claims.csv": _table(
        "a claim about the gap between groups",
        f"claim network reference statistic early late {_BETWEEN} p p_holm verdict",
        "bias cover",
    ),
    "selectivity_epochs.csv": _table(
        "a block at an epoch",
        "network block epoch mean_csi top1_error",
        f"depth {_OF_UNITS} {_OF_SELECTIVITY} {_CALIBRATED}",
    ),
    "selectivity_gap.csv": _table(
        "a block of a network against that of another",
        "network block reference depth mean_gap",
        f"mean_gap_se {_GAPS} sparseness_bias sparseness_cover corrected_bias corrected_cover stage_blocks "
        "reference_stage_blocks",
    ),
    "selectivity_gap_seeds.csv": _table(
        "a gap in a block of a pair of trainings",
        "network reference gap block depth seed value",
        value=Column("float", "Gap"),
    ),
    "selectivity_gap_trainings.csv": _table(
        "a gap in a block between groups",
        f"network reference gap block depth {_BETWEEN} p p_holm",
        "stage_blocks reference_stage_blocks fewest_units bias cover",
    ),
    "selectivity_images.csv": _table(
        "one of the images that drive a unit most",
        "network block identifier unit rank",
        "label index activity class_name",
    ),
    "selectivity_indices.csv": _table(
        "another index of a unit",
        "network block index unit value",
        "se null null_sd top_class resolution rectified top_class_name",
        index=_INDEX,
    ),
    "selectivity_indices_epochs.csv": _table(
        "another index in a block at an epoch",
        "network block index epoch value null",
        index=_INDEX,
        value=Column("float", "Mean index"),
        null=Column("float", "Mean null"),
    ),
    "selectivity_levels.csv": _table(
        "a level in a block",
        "network block level groups mean_csi",
        "depth largest units mean_csi_se mean_null null_sd null_low null_high mean_label_null share_above "
        "mean_sparseness mean_sparseness_se mean_sparseness_null",
        mean_csi=Column("float", "Mean class selectivity", brief="index of groups"),
        mean_null=Column("float", "Mean index of random groups"),
        null=Column("float", "Mean index of random groups"),
    ),
    "selectivity_levels_units.csv": _table(
        "a unit at a level",
        "network block level unit csi",
        "depth null null_sd excess p sparseness",
        null=Column("float", "Index of random groups"),
    ),
    "selectivity_rarefaction.csv": _table(
        "a number of images in a block",
        "network block images_per_class mean_csi",
        "depth draws units mean_csi_sd mean_null mean_null_sd mean_corrected mean_corrected_sd mean_reliability "
        "mean_reliability_sd mean_sparseness mean_sparseness_sd",
        units=Column("float", "Units with an index, mean over draws", "units"),
    ),
    "selectivity_rarefaction_limits.csv": _table(
        "a block", "network block depth images_per_class mean_csi mean_corrected limit_in_n limit_in_root_n"
    ),
    "selectivity_trend.csv": _table(
        "a gap over blocks",
        "network gap slope slope_high",
        "reference slope_se slope_low early late growth growth_se growth_low growth_high slope_bias slope_cover "
        "growth_bias growth_cover",
    ),
    "selectivity_trend_trainings.csv": _table(
        "a gap between groups over blocks", f"network reference gap {_BETWEEN} p p_holm"
    ),
    "taps_blocks.csv": _table("a tap of a block", "network block tap mean_csi", f"depth {_OF_UNITS} {_OF_SELECTIVITY}"),
    "taps_blocks_trainings.csv": _table(
        "a mean index at a tap of a block of a group", f"network block depth tap quantity {_OVER_TRAININGS}"
    ),
    "taps_gap.csv": _table(
        "a step from tap to tap in a block", "network block depth from to mean_gap", f"mean_gap_se {_GAPS}"
    ),
    "taps_gap_trainings.csv": _table(
        "a gap from tap to tap in a block of a group", f"network block depth from to gap {_OVER_TRAININGS} p p_holm"
    ),
    "training.csv": _table(
        "a split at an epoch",
        "network split epoch top1_error",
        "loss top5_error learning_rate",
        loss=Column("float", "Loss", "nats"),
    ),
}
"""By name of the file: every table that gelens writes."""

_UNDECLARED = Table("", ())


def column(name: str, table: str = "") -> Column:
    """What a column is, in this table or, where it is the same, in any."""
    return TABLES.get(table, _UNDECLARED).column(name)


def title_of(name: str, table: str = "") -> str:
    """What axes and heads call a column, with its unit.

    >>> title_of("top1_error"), title_of("mean", "gates_units.csv"), title_of("csi_se")
    ('Top-1 error (%)', 'Mean gate', 'Class selectivity index, standard error')
    """
    return column(name, table).head


def brief_of(name: str, table: str = "") -> str:
    """What legends call a column, beside others.

    >>> brief_of("mean_corrected"), brief_of("k")
    ('corrected index', 'units dropped')
    """
    found = column(name, table)
    return found.brief or found.title[:1].lower() + found.title[1:]


def check_table(name: str, table: pd.DataFrame, needed: Iterable[str] = ()) -> None:
    """Raise a ValueError for a table without a column that it must have, or with other things than numbers in one.

    Args:
        name: of the file.
        table: as it was read.
        needed: columns that it must have beside those that it is declared to.
    """
    declared = TABLES.get(name, _UNDECLARED)
    needed = {*declared.needed, *needed}
    if table.empty and not len(table.columns):
        return
    if missing := sorted(needed - set(table)):
        raise ValueError(f"it has no column `{missing[0]}`")
    for each in declared.columns if len(table) else ():
        if each not in table or declared.column(each).type in ("name", "bool"):
            continue
        values = table[each]
        if not pd.api.types.is_numeric_dtype(values):
            strange = values[pd.to_numeric(values, errors="coerce").isna() & values.notna()]
            found = f" such as `{str(strange.iloc[0])[:40]}`" if len(strange) else ""
            raise ValueError(f"its column `{each}` has other values than numbers{found}")
        if each in needed and values.abs().max() > 1e15:
            raise ValueError(f"its column `{each}` has the value {values.abs().max():g}, which cannot be meant")
