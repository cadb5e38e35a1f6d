"""Every stranger's definition by values worked out by hand, and the study in small as a command."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import gelens
from gelens.anatomy.sites import resolve_blocks
from gelens.sweep.passing import SweepOptions
from studies import strangers_indices as study
from studies.strangers_indices import DEFINITIONS, Activities, class_sums, compared, measured, without_folders

NAN = np.nan


def maps(*units) -> np.ndarray:
    """(N, C, P) from each unit's positions by image."""
    return np.array(units, np.float32).transpose(1, 0, 2)


SELECTIVE = [[4, 2], [2, 4], [2, 0], [0, 2]]
"""Class means 3 and 1, of every position too."""
SPLIT = [[2, 0], [2, 0], [0, 2], [0, 2]]
"""One class has the first position, the other the second; the channel has no preference."""
DEAD = [[0, 0]] * 4
HALF = [[2, 0], [2, 0], [0, 0], [0, 0]]
"""One class only, in the first position; the second is dead."""

TINY = Activities(
    branch=maps([[1, -1], [1, -1], [3, 3], [3, 3]], [[-1, -1]] * 2 + [[-3, -3]] * 2, DEAD, [[2, 2]] * 2 + [[0, 0]] * 2),
    sum=maps([[4, -2]] * 2 + [[-4, 2]] * 2, [[1, 1]] * 4, [[-1, -1]] * 4, [[2, 2]] * 2 + [[1, 1]] * 2),
    output=maps(SELECTIVE, SPLIT, DEAD, HALF),
    labels=np.array([0, 0, 1, 1]),
)

CASES = {
    "channel means": (study.channel_index, [1 / 2, 0, NAN, 1]),
    "dead is 0": (study.zero_if_dead, [1 / 2, 0, 0, 1]),
    "ε in the divisor": (study.with_epsilon, [1 / 2, 0, 0, 1]),
    "class sums": (study.of_class_sums, [1 / 2, 0, 0, 1]),
    "one class too many": (study.one_class_too_many, [5 / 7, 1 / 3, 0, 1]),  # 6 against 2 / 2, 2 against 2 / 2
    "sums over positions": (study.of_sums_over_positions, [1 / 2, 0, 0, 1]),
    "mean over batches": (partial(study.mean_over_batches, size=3), [1 / 2, 0, 0, 1]),  # three, then one alone
    "batches for classes": (partial(study.batches_for_classes, size=1), [2 / 7, 0, 0, 1 / 2]),  # 3 against 3, 1 and 1
    "positions, dead is 0": (study.position_index, [1 / 2, 1, 0, 1 / 2]),
    "positions, dead left out": (study.live_position_index, [1 / 2, 1, NAN, 1]),
    "all other images": (study.against_all_other_images, [1 / 2, 0, 0, 1]),
    "all classes": (study.against_all_classes, [1 / 5, 0, 0, 1 / 3]),  # 3 against 2, 1 against 1 / 2
    "rectified mean": (study.rectified_mean, [1, 0, 0, 1 / 3]),  # means of 1 and −1, of 2 and 1
    "magnitudes": (study.of_magnitudes, [1 / 2, 1 / 2, 0, 1]),
    "magnitudes of 1,024 images": (partial(study.of_some_magnitudes, images=3), [1 / 2, 1 / 2, 0, 1]),
    "signed and clipped": (study.clipped, [1, 0, 0, 1]),  # sums of 0 and 6; −2 and −6: −1/2
    "classes among top images": (study.few_classes_on_top, [0.67, 0.67, 0, 1]),  # two classes of four images: 2/3
    "top images, slip in the divisor": (study.slip_on_top, [1 / 7, 0, NAN, 1 / 3]),  # 2 and 1: 1 / (2 + 5)
}


@pytest.mark.parametrize("name", CASES)
def test_definition_by_hand(name):
    function, expected = CASES[name]
    np.testing.assert_allclose(function(TINY), expected, rtol=1e-5, atol=1e-7)


def test_every_definition_is_worked_out_by_hand_and_by_the_function_that_the_study_uses():
    assert list(CASES) == [each.name for each in DEFINITIONS]
    for definition in DEFINITIONS:
        function, _ = CASES[definition.name]
        assert definition.index is getattr(function, "func", function)


def test_ours_is_channel_means_after_the_relu_unweighted_and_nan_for_dead_units():
    np.testing.assert_array_equal(study.ours(TINY), study.channel_index(TINY))
    np.testing.assert_array_equal(study.ours(TINY), [1 / 2, 0, NAN, 1])


def test_classes_of_unequal_size_tell_sums_and_images_from_means():
    """Class means of 4, 2 and 0: 4 against 1. Sums of 8, 2 and 0: 8 against 1. Images: 4 against 2/3."""
    output = np.array([4, 4, 2, 0, 0], np.float32).reshape(5, 1, 1)
    unequal = Activities(output, output, output, np.array([0, 0, 1, 2, 2]))
    assert study.ours(unequal) == pytest.approx([3 / 5])
    assert study.of_class_sums(unequal) == pytest.approx([7 / 9])
    assert study.against_all_other_images(unequal) == pytest.approx([5 / 7])


def test_batches_that_are_classes_give_our_index_and_two_top_images_one_class():
    np.testing.assert_allclose(study.batches_for_classes(TINY, 2), [1 / 2, 0, 0, 1], atol=1e-7)
    assert study.few_classes_on_top(TINY, 2).tolist() == [1, 1, 0, 1]


def test_one_batch_or_class_has_no_index():
    assert np.isnan(study.batches_for_classes(TINY, 50)).all()
    one_class = Activities(TINY.branch[:2], TINY.sum[:2], TINY.output[:2], TINY.labels[:2])
    assert np.isnan(study.channel_index(one_class)).all()


def test_classes_without_images_are_left_out():
    assert class_sums(np.ones((3, 1)), np.array([0, 5, 5])).tolist() == [[1], [2]]


def test_comparison_is_over_units_that_both_define():
    table = compared(TINY).set_index("definition")
    assert table.loc["ours"].drop("mean index").tolist() == [0, 0, pytest.approx(1), 1]
    row = table.loc["all classes"]  # 1/5, 0 and 1/3 against 1/2, 0 and 1; the dead unit is defined, but not by us
    assert row["mean difference"] == pytest.approx((-0.3 + 0 - 2 / 3) / 3)
    assert row["largest difference"] == pytest.approx(2 / 3)
    assert row["mean index"] == pytest.approx((1 / 5 + 1 / 3) / 4) and row["undefined units"] == 0
    assert table.loc["positions, dead left out", "undefined units"] == 1


@pytest.mark.parametrize("reference", ["mini_resnet", "mini_resnet_se"])
def test_maps_are_those_that_the_library_measures(reference):
    torch.manual_seed(0)
    network, data = gelens.load_network(reference), gelens.load_data("digits").limited(60)
    activities, block, _ = measured(network, data)
    assert activities.output.shape[0] == 60 and block == resolve_blocks(network, 4)[-1]
    np.testing.assert_array_equal(activities.output, np.maximum(activities.sum, 0))
    options = SweepOptions(progress=False)
    table = gelens.selectivity(network, data, blocks=[block], options=options, permutations=1, replicates=1)
    np.testing.assert_allclose(study.ours(activities), table["csi"], atol=1e-6)
    recording = gelens.record(network, data, blocks=[block], taps=("branch", "sum"), options=options)
    (label,) = recording.networks
    for tap, kept in (("branch", activities.branch), ("sum", activities.sum)):
        np.testing.assert_allclose(np.maximum(kept, 0).mean(-1), recording.matrix(label, block, tap), atol=1e-5)


def test_the_command_writes_every_definition_and_no_folder(tmp_path):
    out = tmp_path / "strangers.md"
    result = CliRunner().invoke(study.main, ["mini_resnet", "--data", "digits", "--limit", "120", "--out", str(out)])
    assert result.exit_code == 0, result.output
    text = out.read_text()
    for definition in DEFINITIONS:
        assert text.count(f"\n| {definition.name} |") == 2, definition.name  # among the numbers and the definitions
    assert "--data digits --limit 120`" in text and str(tmp_path) not in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("| ")}) == 2  # two whole tables


def test_folders_of_this_machine_are_not_told():
    assert without_folders("parquet:/data/cifar10#val") == "parquet:cifar10#val"
    assert without_folders("net:size=48@/tmp/a/w.pth") == "net:size=48@w.pth"
    assert without_folders("mini_resnet@cifar10") == "mini_resnet@cifar10"
    written = Path(study.__file__).with_suffix(".md")
    assert not any(folder in written.read_text() for folder in ("/work", "/var", "/tmp", "/home"))
