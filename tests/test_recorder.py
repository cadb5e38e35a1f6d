"""A recording made in somebody's own loop is the one that a pass makes."""

import numpy as np
import pandas as pd
import pytest
import torch

import gelens
from gelens.errors import RunError, UsageError
from tests.conftest import count_hooks, make_data, make_network

BLOCKS = ["layer3.0", "layer3.5"]


def loop(network, recorder, data, batch: int = 16, order=None) -> None:
    """Anybody's loop."""
    images = torch.stack([torch.from_numpy(np.array(data[at][0])).permute(2, 0, 1) for at in range(len(data))])
    prepared = network.preprocessing.normalize(images)
    order = torch.arange(len(data)) if order is None else order
    for part in order.split(batch):
        with torch.no_grad(), recorder.watch():
            network(prepared[part])
        recorder.add(torch.from_numpy(data.labels)[part], part)


def test_equals_the_pass_on_the_same_images(quiet):
    network, data = make_network("mini_resnet_se:classes=4"), make_data()
    expected = gelens.selectivity(network, data, blocks=BLOCKS, options=quiet, permutations=5, replicates=5)
    recorder = gelens.ActivityRecorder(network, BLOCKS)
    loop(network, recorder, data)
    table = recorder.selectivity(permutations=5, replicates=5)
    numbers = [name for name in table if name not in ("network", "block", "top_class_name")]
    # the pass is channels-last, this loop is not: kernels differ by some 1e-7, images stay the same
    pd.testing.assert_frame_equal(table[numbers], expected[numbers], rtol=1e-3, atol=1e-5)
    assert table["block"].tolist() == expected["block"].tolist() and count_hooks(network) == 0


def test_the_order_in_which_images_come_changes_nothing():
    network, data = make_network("mini_resnet:classes=4"), make_data()
    tables = []
    for order in (torch.arange(40), torch.from_numpy(np.random.default_rng(0).permutation(40))):
        recorder = gelens.ActivityRecorder(network, "layer3.5")
        loop(network, recorder, data, batch=1, order=order)
        tables.append(recorder.selectivity(permutations=3, replicates=3))
    pd.testing.assert_frame_equal(*tables)


def test_as_many_permutations_and_replicates_as_the_commands_take():
    recorder = gelens.ActivityRecorder(make_network("mini_resnet:classes=4"), ["layer3.5"])
    loop(recorder.network, recorder, make_data())
    table = recorder.selectivity()
    assert table["csi_null"].notna().any() and table["csi_se"].notna().any()


def test_rectifying_and_what_is_negative():
    network, data = make_network("mini_resnet:classes=4"), make_data()
    signed, rectified = (gelens.ActivityRecorder(network, ["layer3.0.bn3"], rectify=each) for each in (False, True))
    for recorder in (signed, rectified):
        loop(network, recorder, data)
    with pytest.raises(RunError, match=r"`network layer3\.0\.bn3` has negative activities"):
        signed.selectivity(permutations=2, replicates=2)
    assert rectified.selectivity(permutations=2, replicates=2)["rectified"].all()


def test_names_of_classes_are_those_given():
    recorder = gelens.ActivityRecorder(make_network("mini_resnet:classes=4"), ["layer3.5"])
    loop(recorder.network, recorder, make_data())
    images = recorder.recording(["cat", "dog"]).images
    assert set(images["class"]) == {"cat", "dog", "2", "3"}


def test_mistakes_are_said():
    network = make_network("mini_resnet:classes=4")
    recorder = gelens.ActivityRecorder(network, ["layer3.5"])
    with pytest.raises(UsageError, match="nothing was recorded"):
        recorder.recording()
    with pytest.raises(UsageError, match="no forward pass was watched"):
        recorder.add(torch.zeros(2, dtype=torch.long), torch.arange(2))
    with torch.no_grad(), recorder.watch():
        network(torch.randn(3, 3, 32, 32))
    with pytest.raises(UsageError, match=r"3 images passed through layer3\.5.*, but 2 labels and 3 indices"):
        recorder.add(torch.zeros(2, dtype=torch.long), torch.arange(3))
    recorder.add(torch.tensor([0, 1, 2]), torch.arange(3))
    with pytest.raises(UsageError, match="no forward pass was watched"):
        recorder.add(torch.tensor([0, 1, 2]), torch.arange(3))
    with torch.no_grad(), recorder.watch():
        network(torch.randn(2, 3, 32, 32))
    recorder.add(torch.tensor([0, 1]), torch.tensor([7, 2]))
    with pytest.raises(UsageError, match="1 images were added twice, such as that of index 2"):
        recorder.recording()
    with pytest.raises(UsageError, match=r"no block `layer9`"), gelens.ActivityRecorder(network, ["layer9"]).watch():
        pass
    strange = gelens.ActivityRecorder(network, ["layer3.5"])
    with torch.no_grad(), strange.watch():
        network(torch.randn(2, 3, 32, 32))
    strange.add(torch.tensor([0, -1]), torch.arange(2))
    with pytest.raises(UsageError, match="a label is -1"):
        strange.recording()
