"""Other indices by hand, against scikit-learn and slow loops; top images; sums over processes."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import mutual_info_score, roc_auc_score
from torch import multiprocessing

import analysis
from analysis.errors import UsageError
from analysis.probes.activity_histograms import ActivityHistograms, best_area, information, shuffled
from analysis.probes.class_selectivity import ClassSelectivity
from analysis.probes.top_images import TopImages
from analysis.statistics.indices import INDICES, BlockMetrics, ccmas, check_indices, index_table, precision

from .conftest import make_data, make_network

NAMES = [name for name in INDICES if name != "csi"]


def activities(images: int = 300, classes: int = 5, units: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Units from indifferent to selective, half their activity silent; the last one dead."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    strength = np.linspace(0, 3, units)
    features = np.abs(rng.standard_normal((images, units))) + strength * (labels[:, None] == 2)
    features *= rng.random((images, units)) < 0.6
    features[:, -1] = 0
    return features.astype(np.float32), labels


def measured(features, labels, permutations=10, names=NAMES, batch=64, order=None) -> pd.DataFrame:
    metrics = BlockMetrics.needed(ClassSelectivity(int(labels.max()) + 1, features.shape[1], permutations), names)
    order = np.arange(len(labels)) if order is None else order
    rng = np.random.default_rng(1)
    null = np.stack([rng.permutation(labels) for _ in range(permutations)])
    for at in np.split(order, range(batch, len(order), batch)):
        tensors = [torch.from_numpy(each) for each in (features[at], labels[at], at)]
        metrics.update(*tensors, null_labels=torch.from_numpy(null[:, at]))
    return index_table(names, metrics, lambda indices: np.where(indices < 0, -1, null[:, indices]))


def test_precision_by_hand():
    """Three of the four most active images are of class 0; the second unit is active on one image only."""
    metric = TopImages(units=2, images=4)
    features = torch.tensor([[9.0, 0], [8, 0], [7, 0], [6, 1], [5, 0], [0, 0]])
    metric.update(features, torch.tensor([0, 1, 0, 0, 1, 1]), torch.arange(6))
    assert metric.labels().tolist() == [[0, 1, 0, 0], [0, -1, -1, -1]]
    share, top = precision(metric.labels())
    assert (share.tolist(), top.tolist()) == ([0.75, 1.0], [0, 0])


def test_equally_active_images_are_not_taken_in_the_order_of_classes():
    """A unit that is always as active: whatever the classes' order, its top images are a random handful."""
    metric = TopImages(units=1, images=50)
    for at in torch.arange(1000).split(64):
        metric.update(torch.ones(len(at), 1), at // 100, at)
    share, _ = precision(metric.labels())
    assert share[0] < 0.3, "ten classes in order would give 1.0"


def test_top_images_are_the_sorted_ones_in_any_batching_and_merged(device):
    features, labels = activities()
    order = np.random.default_rng(0).permutation(len(labels))
    place = "cpu" if device == "mps" else device
    whole, parts = TopImages(6, 20).to(place), [TopImages(6, 20).to(place) for _ in range(2)]
    for number, at in enumerate(np.array_split(order, 7)):
        tensors = [torch.from_numpy(each).to(place) for each in (features[at], labels[at], at)]
        whole.update(*tensors)
        parts[number % 2].update(*tensors)
    parts[0].merge_state(parts[1])
    pd.testing.assert_frame_equal(parts[0].compute(), whole.compute())
    for unit in range(5):
        assert whole.indices()[unit].tolist() == np.argsort(-features[:, unit])[:20].tolist()
    assert (whole.indices()[5] == -1).all()
    again = TopImages(6, 20)
    again.load_state_dict(whole.state_dict())
    pd.testing.assert_frame_equal(again.compute(), whole.compute())


def test_ccmas_by_hand_and_is_csi_where_classes_are_of_equal_size():
    value, top = ccmas(np.array([[8.0, 0], [2.0, 0], [2.0, 0]]), np.array([2, 2, 1]))  # 4 against (2 + 2) / 3
    assert value == pytest.approx([(4 - 4 / 3) / (4 + 4 / 3), np.nan], nan_ok=True)
    assert top.tolist() == [0, -1]
    features, _ = activities()
    labels = np.arange(300) % 5
    metric = ClassSelectivity(5, 6, 0, 0)
    metric.update(torch.from_numpy(features), torch.from_numpy(labels), torch.arange(300))
    means, counts = metric.means()
    assert ccmas(means * counts[:, None], counts)[0] == pytest.approx(metric.compute()["csi"].to_numpy(), nan_ok=True)


def test_area_by_hand():
    """Class 1's activities 3, 1 against 2, 0: three of four pairs are won."""
    metric = ActivityHistograms(2, 1)
    metric.update(torch.tensor([[3.0], [1.0], [2.0], [0.0]]), torch.tensor([1, 1, 0, 0]))
    area, top, resolution = best_area(metric.compute())
    assert (area.tolist(), top.tolist(), resolution.tolist()) == ([0.75], [1], [0.0])
    metric = ActivityHistograms(2, 1)
    metric.update(torch.tensor([[0.0], [0.0]]), torch.tensor([0, 1]))  # silence is a true tie
    assert best_area(metric.compute())[0].tolist() == [0.5]


def test_area_is_scikit_learns_within_its_resolution():
    features, labels = activities()
    metric = ActivityHistograms(5, 6)
    metric.update(torch.from_numpy(features), torch.from_numpy(labels))
    area, top, resolution = best_area(metric.compute())
    for unit in range(5):
        exact = [roc_auc_score(labels == label, features[:, unit]) for label in range(5)]
        assert abs(area[unit] - exact[top[unit]]) <= resolution[unit] < 0.02
        assert abs(area[unit] - max(exact)) < 0.01


def test_information_by_hand_and_scikit_learns():
    """Two classes told apart by activity have one bit; activity alike in both has none."""
    metric = ActivityHistograms(2, 2)
    metric.update(torch.tensor([[4.0, 1], [4, 2], [1, 1], [1, 2]]), torch.tensor([0, 0, 1, 1]))
    assert information(metric.compute()) == pytest.approx([1.0, 0.0])
    features, labels = activities()
    metric = ActivityHistograms(5, 6)
    metric.update(torch.from_numpy(features), torch.from_numpy(labels))
    counts = metric.compute()
    for unit in range(6):
        pooled = counts[:, unit].sum(0)
        middle = (np.cumsum(pooled) - pooled / 2) / pooled.sum()
        groups = np.minimum((middle * 10).astype(int), 9)
        assert np.bincount(np.repeat(groups, pooled)).max() <= max(0.15 * 300, pooled[0])
        one_by_one = [np.repeat(groups, row) for row in counts[:, unit]]
        of_class = np.repeat(np.arange(5), [len(row) for row in one_by_one])
        expected = mutual_info_score(of_class, np.concatenate(one_by_one)) / np.log(2)
        assert information(counts)[unit] == pytest.approx(expected, abs=1e-9)


def test_shuffled_histograms_keep_the_images_of_every_class_and_bin():
    features, labels = activities()
    metric = ActivityHistograms(5, 6)
    metric.update(torch.from_numpy(features), torch.from_numpy(labels))
    counts = metric.compute()
    other = shuffled(counts, 0)
    assert np.array_equal(other.sum(0), counts.sum(0)) and np.array_equal(other.sum(2), counts.sum(2))
    assert not np.array_equal(other, counts) and np.array_equal(other, shuffled(counts, 0))


def test_every_index_knows_its_null_and_its_dead_units():
    features, labels = activities(images=2000)
    table = measured(features, labels)
    assert set(table["index"]) == set(NAMES) and len(table) == 6 * len(NAMES)
    indifferent, selective, dead = (table[table["unit"] == unit].set_index("index") for unit in (0, 4, 5))
    assert dead[["value", "null", "se"]].isna().all(axis=None) and (dead["top_class"] == -1).all()
    excess = (indifferent["value"] - indifferent["null"]) / indifferent["null_sd"]
    assert excess.abs().max() < 4, "a unit that knows no class is within its null"
    assert ((selective["value"] - selective["null"]) / selective["null_sd"]).min() > 10
    assert (selective.drop("mi")["top_class"] == 2).all()
    assert table[table["index"] == "ccmas"]["se"][:-1].gt(0).all()


def test_the_null_from_pooled_histograms_is_that_of_permuted_labels():
    features, labels = activities(images=1000)
    table = measured(features, labels, permutations=40, names=["auc", "mi"]).set_index(["index", "unit"])
    rng = np.random.default_rng(7)
    for name, measure in (("auc", lambda counts: best_area(counts)[0]), ("mi", information)):
        nulls = []
        for _ in range(40):
            metric = ActivityHistograms(5, 6)
            metric.update(torch.from_numpy(features), torch.from_numpy(rng.permutation(labels)))
            nulls.append(measure(metric.compute()))
        rows = table.loc[name]
        spread = np.std(nulls, 0, ddof=1)[:5] * np.sqrt(2 / 40)  # of the difference of two means of 40
        assert (np.abs(rows["null"].to_numpy()[:5] - np.mean(nulls, 0)[:5]) < 4 * spread).all()


def test_batching_and_order_change_no_index():
    features, labels = activities()
    first = measured(features, labels)
    other = measured(features, labels, batch=17, order=np.random.default_rng(3).permutation(300))
    pd.testing.assert_frame_equal(first, other, rtol=1e-12)


def test_one_image_a_class_has_no_null():
    features = np.random.default_rng(0).random((6, 3)).astype(np.float32)
    table = measured(features, np.arange(6))
    assert table[["null", "se"]].isna().all(axis=None)
    assert table["value"].isna().tolist() == [name == "precision" for name in table["index"]]


def test_an_unknown_index_is_named_with_the_valid_ones():
    with pytest.raises(UsageError, match=r"no index `area`.*csi, precision, ccmas, auc, mi"):
        check_indices(["area"])


def test_in_python(quiet):
    table = analysis.selectivity(
        make_network("mini_resnet"), make_data(), blocks=["layer3.0"], options=quiet, indices=["auc", "precision"]
    )
    assert list(table["index"].unique()) == ["auc", "precision"] and len(table) == 2 * 128
    assert set(table["top_class_name"]) <= {f"class {label}" for label in range(4)} | {""}


def _of_process(rank: int, folder: str, features, labels) -> None:
    """One of two processes with every other image; the first writes what both together compute."""
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    metrics = [ClassSelectivity(5, 6, 0, 4), TopImages(6, 20), ActivityHistograms(5, 6)]
    at = np.arange(rank, len(labels), 2)
    tensors = [torch.from_numpy(each) for each in (features[at], labels[at], at)]
    metrics[0].update(*tensors)
    metrics[1].update(*tensors)
    metrics[2].update(*tensors[:2])
    table, top, counts = (metric.compute() for metric in metrics)
    if rank == 0:
        np.savez(f"{folder}/both.npz", table=table.to_numpy(float), top=top.to_numpy(float), counts=counts)
    torch.distributed.destroy_process_group()


def test_two_processes_compute_what_one_does(tmp_path):
    features, labels = activities()
    multiprocessing.spawn(_of_process, (str(tmp_path), features, labels), nprocs=2)
    tensors = [torch.from_numpy(each) for each in (features, labels, np.arange(300))]
    alone = [ClassSelectivity(5, 6, 0, 4), TopImages(6, 20), ActivityHistograms(5, 6)]
    alone[0].update(*tensors)
    alone[1].update(*tensors)
    alone[2].update(*tensors[:2])
    both = np.load(tmp_path / "both.npz")
    # float64 sums in another order
    np.testing.assert_allclose(both["table"], alone[0].compute().to_numpy(float), rtol=1e-12)
    assert np.array_equal(both["top"], alone[1].compute().to_numpy(float))
    assert np.array_equal(both["counts"], alone[2].compute())


def test_precision_looks_at_no_more_images_than_the_largest_class_has():
    """Three images of class 0, two of 1: the three most active are of classes 1, 1, 0."""
    features = torch.tensor([[1.0], [2], [3], [9], [8]])
    metrics = BlockMetrics.needed(ClassSelectivity(2, 1, 0, 0), ["precision"])
    metrics.update(features, torch.tensor([0, 0, 0, 1, 1]), torch.arange(5))
    (row,) = index_table(["precision"], metrics).to_dict("records")
    assert (row["value"], row["top_class"], row["resolution"]) == pytest.approx((2 / 3, 1, 1 / 3))


def test_units_beyond_the_histograms_have_no_area_and_no_information():
    features, labels = activities()
    scaled = np.concatenate([features * np.float32(scale) for scale in (1, 2.0**-6, 1e6, 1e-9)], 1)
    table = measured(scaled, labels, permutations=2).set_index(["index", "unit"])["value"]
    for name in ("auc", "mi"):
        whole = table[name].to_numpy()[:5]
        assert np.array_equal(table[name].to_numpy()[6:11], whole), "a power of two moves every activity by whole bins"
        assert np.isnan(table[name].to_numpy()[12:]).all()
    for name in ("precision", "ccmas"):
        np.testing.assert_allclose(table[name].to_numpy()[12:17], table[name].to_numpy()[:5], rtol=1e-6)


def test_the_resolution_covers_the_best_area_of_any_class():
    rng = np.random.default_rng(0)
    features = np.concatenate([np.linspace(1.01, 1.014, 50), np.linspace(1, 1.0099, 50), 2 ** rng.uniform(-6, 6, 50)])
    labels = np.repeat(np.arange(3), 50)
    metric = ActivityHistograms(3, 1)
    metric.update(torch.from_numpy(features.astype(np.float32))[:, None], torch.from_numpy(labels))
    area, _, resolution = best_area(metric.compute())
    exact = max(roc_auc_score(labels == label, features.astype(np.float32)) for label in range(3))
    assert abs(exact - area[0]) <= resolution[0] and exact - area[0] > 0.05, "another class than the best one by bins"
