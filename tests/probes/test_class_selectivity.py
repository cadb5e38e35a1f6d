"""The metric for other people's loops: by hand, by a slow double loop, by invariances, and over processes."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import multiprocessing

from gelens.probes.class_selectivity import ClassSelectivity
from gelens.randomness import hashes
from gelens.statistics import crossfitted_index


def measured(features, labels, batch=7, device="cpu", classes=None, order=None, **settings) -> ClassSelectivity:
    """The metric over features in batches."""
    features, labels = np.asarray(features, dtype=np.float32), np.asarray(labels)
    metric = ClassSelectivity(classes or int(labels.max()) + 1, features.shape[1], **settings).to(device)
    order = np.arange(len(labels)) if order is None else order
    for at in np.split(order, range(batch, len(order), batch)):
        images = torch.from_numpy(features[at]).to(device), torch.from_numpy(labels[at]).to(device)
        metric.update(*images, torch.from_numpy(at))
    return metric


def slow_index(features, labels) -> list[float]:
    """The definition as two loops."""
    result = []
    for unit in range(features.shape[1]):
        means = {}
        for label in sorted(set(labels)):
            values = [float(features[image, unit]) for image in range(len(labels)) if labels[image] == label]
            means[label] = sum(values) / len(values)
        best = max(means, key=lambda label: means[label])
        rest = [means[label] for label in means if label != best]
        low = sum(rest) / len(rest)
        total = means[best] + low
        result.append((means[best] - low) / total if total else float("nan"))
    return result


def test_by_hand():
    """Unit 0 prefers class 2; 1 is dead; 2 has two equal best classes; 3 answers to one class alone."""
    features = [[1, 0, 2, 0], [3, 0, 2, 0], [2, 0, 2, 5], [4, 0, 0, 0], [8, 0, 0, 0], [6, 0, 0, 0]]
    labels = [0, 0, 1, 2, 2, 2]  # unequal class sizes: means of unit 0 are 2, 2, 6
    table = measured(features, labels).compute()
    assert table["csi"].to_numpy() == pytest.approx([0.5, np.nan, 1 / 3, 1.0], nan_ok=True)
    assert table["mu_max"].tolist() == [6, 0, 2, 5]
    assert table["mu_rest"].tolist() == [2, 0, 1, 0]
    assert table["top_class"].tolist() == [2, -1, 0, 1]
    assert table["active_fraction"].to_numpy() == pytest.approx([1, 0, 0.5, 1 / 6])


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_equals_a_slow_double_loop(classes, seed, activity):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, 20)])
    features = (rng.random((len(labels), 3)) * (rng.random((len(labels), 3)) < activity)).astype(np.float32)
    # sums of float32 in float64: the same numbers but for the order of additions
    found = measured(features, labels).compute()["csi"].to_numpy()
    assert found == pytest.approx(slow_index(features, labels), rel=1e-12, nan_ok=True)


def test_the_crossfitted_index_is_that_of_halves_by_hash():
    rng = np.random.default_rng(5)
    features, labels = rng.random((80, 3)).astype(np.float32), rng.integers(0, 4, 80)
    table = measured(features, labels, seed=9).compute()
    halves = hashes(9, "half", np.arange(80)) & np.uint64(1)
    means = [[features[(halves == half) & (labels == each)].mean(0) for each in range(4)] for half in (0, 1)]
    expected = crossfitted_index(np.array(means, dtype=float))
    assert table["csi_crossfit"].to_numpy() == pytest.approx(expected, rel=1e-5)
    other = measured(features, labels, seed=10).compute()
    assert not np.allclose(other["csi_crossfit"], expected) and np.array_equal(other["csi"], table["csi"])


def test_on_every_device_and_in_any_order_and_batching(device):
    rng = np.random.default_rng(0)
    features, labels = rng.random((90, 5)), rng.integers(0, 4, 90)
    expected = measured(features, labels).compute()
    place = "cpu" if device == "mps" else device
    for batch, order in ((90, None), (1, None), (13, rng.permutation(90))):
        table = measured(features, labels, batch, place, order=order).compute()
        pd.testing.assert_frame_equal(table, expected, rtol=1e-12)


def test_merging_two_halves_of_the_data_is_measuring_it_whole():
    rng = np.random.default_rng(0)
    features, labels = rng.random((60, 4)), rng.integers(0, 3, 60)
    whole = measured(features, labels)
    parts = [measured(features, labels, order=part) for part in (np.arange(25), np.arange(25, 60))]
    parts[0].merge_state(parts[1])
    pd.testing.assert_frame_equal(parts[0].compute(), whole.compute(), rtol=1e-12)


def test_state_is_saved_restored_and_reset():
    rng = np.random.default_rng(0)
    metric = measured(rng.random((30, 4)), np.arange(30) % 3)
    again = ClassSelectivity(3, 4)
    again.load_state_dict(metric.state_dict())
    pd.testing.assert_frame_equal(again.compute(), metric.compute())
    again.reset()
    with pytest.raises(ValueError, match="0 classes with images"):
        again.compute()


def test_negative_activities_are_refused_with_layer_and_minimum_unless_rectified():
    features, labels = [[1.0], [-2.5], [2.0], [3.0]], [0, 0, 1, 1]
    with pytest.raises(ValueError, match=r"`layer3\.1`.*minimum -2\.5"):
        measured(features, labels, name="layer3.1").compute()
    table = measured(features, labels, rectify=True).compute()
    assert table["csi"][0] == pytest.approx((2.5 - 0.5) / 3) and table["rectified"].all()


def test_activities_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="1 activities that are NaN or infinite"):
        measured([[1.0], [float("nan")]], [0, 1]).compute()


def test_classes_without_images_are_left_out_and_one_class_is_an_error():
    features, labels = np.random.default_rng(0).random((40, 2)), np.arange(40) % 2 * 3
    table = measured(features, labels, classes=5).compute()
    assert table["csi"].to_numpy() == pytest.approx(slow_index(np.float32(features), labels))
    assert set(table["top_class"]) <= {0, 3}
    with pytest.raises(ValueError, match="1 classes with images"):
        measured([[1.0], [2.0]], [0, 0]).compute()


@pytest.mark.parametrize("label", [-1, 12])
def test_labels_outside_the_classes_are_refused(label):
    metric = ClassSelectivity(4, 1)
    metric.update(torch.ones(5, 1), torch.tensor([0, 1, 2, 3, label]), torch.arange(5))
    with pytest.raises(ValueError, match=r"1 labels are outside 0 … 3"):
        metric.compute()


@pytest.mark.parametrize(
    "shape, labels, message",
    [((4, 3), 4, r"`features` to be \(images, 2\)"), ((4, 2), 3, "of the same images, but got 4, 3 and 4")],
)
def test_arguments_that_do_not_fit_are_named(shape, labels, message):
    with pytest.raises(ValueError, match=message):
        ClassSelectivity(3, 2).update(torch.ones(shape), torch.zeros(labels, dtype=torch.long), torch.arange(4))


@pytest.mark.parametrize("arguments", [(0, 3), (3, 0), (2.5, 3)])
def test_sizes_that_cannot_be(arguments):
    with pytest.raises(ValueError, match="to be an int of at least 1"):
        ClassSelectivity(*arguments)


def test_scaling_and_relabelling_change_nothing():
    rng = np.random.default_rng(1)
    features, labels = rng.random((50, 3)), rng.integers(0, 5, 50)
    table = measured(features, labels).compute()
    scaled = measured(features * 4, labels).compute()  # a power of two: exact in floating point
    assert np.array_equal(scaled[["csi", "csi_crossfit"]], table[["csi", "csi_crossfit"]])
    swap = np.array([3, 0, 4, 1, 2])
    relabelled = measured(features, swap[labels]).compute()
    for name in ("csi", "csi_crossfit"):
        assert relabelled[name].to_numpy() == pytest.approx(table[name].to_numpy(), rel=1e-12)
    assert np.array_equal(relabelled["top_class"], swap[table["top_class"]])


def _of_process(rank: int, folder: str, features, labels) -> None:
    """One of two processes with every other image; the first writes what both together compute."""
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    metric = ClassSelectivity(5, 6)
    at = np.arange(rank, len(labels), 2)
    metric.update(*(torch.from_numpy(each) for each in (features[at], labels[at], at)))
    table = metric.compute()
    if rank == 0:
        np.savez(f"{folder}/both.npz", table=table.to_numpy(float))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_compute_what_one_does(tmp_path):
    rng = np.random.default_rng(0)
    features, labels = rng.random((300, 6)).astype(np.float32), rng.integers(0, 5, 300)
    multiprocessing.spawn(_of_process, (str(tmp_path), features, labels), nprocs=2)
    alone = measured(features, labels, classes=5)
    both = np.load(tmp_path / "both.npz")["table"]
    np.testing.assert_allclose(both, alone.compute().to_numpy(float), rtol=1e-12)  # float64 sums in another order
