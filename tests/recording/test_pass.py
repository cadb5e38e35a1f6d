"""What a pass records: interrupted and gone on with, in any batches, and refused where it would mix."""

import json
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import gelens
from gelens.analyses.pruning import Pruning
from gelens.analyses.running import asked
from gelens.anatomy.sites import resolve_blocks
from gelens.api import Request, record_requests
from gelens.errors import RunError, UsageError
from gelens.files import only_writer
from gelens.probes.dropping import Dropping, dropping_at
from gelens.probes.feature_importance import FeatureImportance
from gelens.recording import Kept, open_recording
from gelens.sweep import passing
from gelens.sweep.passing import SweepOptions
from gelens.sweep.sharing import Shard
from gelens.tables.selectivity import selectivity_tables
from tests.conftest import make_data, make_network, measure, tables_of

ROOT = Path(__file__).parents[2]
QUIET = SweepOptions("cpu", batch_size=16, progress=False)


def requests(seed: int = 0) -> dict[str, Request]:
    plain, gated = make_network("mini_resnet:classes=4"), make_network("mini_resnet_se:classes=4", seed)
    dropping = Dropping((0, 0.5, 1), scores=("gate", "random"), rows=16)
    return {
        "plain": Request(plain, ["layer3.0", "layer3.5"], probes=[dropping_at(["layer3.1"])]),
        "gated": Request(gated, ["layer3.5"], ["output", "gate"], probes=[dropping_at(["layer3.1"], dropping)]),
    }


@pytest.fixture
def ctrl_c(monkeypatch):
    """Ctrl-C after so many batches."""

    def after(number: int) -> None:
        asked = []

        class Counting:
            def is_set(self):
                asked.append(1)
                return len(asked) >= number

            def raise_it(self):
                raise KeyboardInterrupt

        monkeypatch.setattr(passing, "interrupts_deferred", lambda **_: nullcontext(Counting()))

    after.never = monkeypatch.undo
    return after


@pytest.mark.parametrize("batches", [1, 2, 4])
def test_an_interrupted_pass_goes_on_to_the_same_tables(tmp_path, ctrl_c, batches):
    data, whole = make_data(50), measure(requests(), make_data(50), QUIET)
    ctrl_c(batches)
    with pytest.raises(KeyboardInterrupt):
        record_requests(requests(), data, QUIET, tmp_path / "r")
    ctrl_c.never()
    with pytest.raises(UsageError, match=rf"unfinished \({min(16 * batches, 50)} of 50 images\)"):
        open_recording(tmp_path / "r")
    with pytest.raises(UsageError, match="add --resume"):
        record_requests(requests(), data, QUIET, tmp_path / "r")
    again = measure(requests(), data, QUIET, tmp_path / "r", resume=True)
    again.equals(whole)
    tables_of(open_recording(tmp_path / "r")).equals(whole)
    for label in requests():
        for name in whole.recording.names(label):
            np.testing.assert_array_equal(again.recording.array(label, name), whole.recording.array(label, name))


def test_a_finished_pass_is_not_made_again(tmp_path, monkeypatch):
    data, wanted = make_data(20), {"it": requests()["gated"]}
    whole = measure(wanted, data, QUIET, tmp_path / "r")
    monkeypatch.setattr(passing, "batches", lambda *arguments, **more: pytest.fail("the data is read again"))
    measure(wanted, data, QUIET, tmp_path / "r", resume=True).equals(whole)


def test_an_image_that_cannot_be_read_is_mended_or_left_out(tmp_path):
    """What was measured before it is kept; without it, all that is drawn is drawn of what remains."""
    data, whole = make_data(50), measure(requests(), make_data(50), QUIET)
    inner = data.read

    def damaged(position: int):
        if position == 37:
            raise OSError("image file is truncated")
        return inner(position)

    data.read, data.checked = damaged, True
    for folder in ("mended", "left out"):
        with pytest.raises(RunError, match=r"noise-37.*32 of 50 images are measured and kept"):
            record_requests(requests(), data, QUIET, tmp_path / folder)
    data.read = inner
    measure(requests(), data, QUIET, tmp_path / "mended", resume=True).equals(whole)
    without = data.without({"noise-37": "truncated"})
    rest = measure(requests(), without, QUIET, tmp_path / "left out", resume=True)
    assert len(rest.recording.images) == 49 and 37 not in rest.recording.indices
    assert (rest.evaluation["images"] == 49).all()
    rest.equals(measure(requests(), without, SweepOptions("cpu", batch_size=16, progress=False)))


def test_batches_change_nothing_but_the_last_bits(tmp_path):
    """The CPU's convolutions differ by about 1e-7 relative between batch shapes."""
    data = make_data(40)
    parts = [record_requests(requests(), data, replace(QUIET, batch_size=size)) for size in (40, 1, 7)]
    for label in requests():
        for name in parts[0].names(label):
            for other in parts[1:]:
                np.testing.assert_allclose(
                    other.array(label, name), parts[0].array(label, name), rtol=1e-4, atol=1e-5, err_msg=name
                )


def test_a_pass_goes_on_in_other_batches(tmp_path, ctrl_c):
    data = make_data(40)
    ctrl_c(1)
    with pytest.raises(KeyboardInterrupt):
        record_requests(requests(), data, QUIET, tmp_path / "r")
    ctrl_c.never()
    again = record_requests(requests(), data, replace(QUIET, batch_size=7), tmp_path / "r", resume=True)
    whole = record_requests(requests(), data, QUIET)
    for name in whole.names("gated"):
        np.testing.assert_allclose(again.array("gated", name), whole.array("gated", name), rtol=1e-4, atol=1e-5)


def test_a_loaders_batches_need_not_end_where_the_pass_was_interrupted(tmp_path, ctrl_c):
    torch.manual_seed(0)
    images = torch.utils.data.TensorDataset(torch.randn(30, 3, 32, 32), torch.arange(30) % 4)
    wanted = {"it": Request(make_network("mini_resnet_se:classes=4"), ["layer3.5"])}
    ctrl_c(1)
    with pytest.raises(KeyboardInterrupt):
        record_requests(wanted, torch.utils.data.DataLoader(images, 16), QUIET, tmp_path / "r")
    ctrl_c.never()
    again = record_requests(wanted, torch.utils.data.DataLoader(images, 9), QUIET, tmp_path / "r", resume=True)
    whole = record_requests(wanted, torch.utils.data.DataLoader(images, 16), QUIET)
    for name in whole.names("it"):
        np.testing.assert_allclose(again.array("it", name), whole.array("it", name), rtol=1e-4, atol=1e-5)


def test_a_pass_beside_another_says_so_and_touches_nothing(tmp_path, ctrl_c):
    ctrl_c(1)
    with pytest.raises(KeyboardInterrupt):
        record_requests(requests(), make_data(40), QUIET, tmp_path / "r")
    ctrl_c.never()
    with only_writer(tmp_path / "r"), pytest.raises(UsageError, match="another process is writing into"):
        record_requests(requests(), make_data(40), QUIET, tmp_path / "r", resume=True)
    assert open_rows(tmp_path / "r") == 16


KILLED = """
import sys
from pathlib import Path
from gelens.sweep import passing
from tests.conftest import make_data
from tests.recording import test_pass

passing.FLUSH_SECONDS = 0
data = make_data(200)
options = test_pass.replace(test_pass.QUIET, batch_size=8)
test_pass.record_requests(test_pass.requests(), data, options, Path(sys.argv[1]), resume=True)
"""


@pytest.mark.slow
def test_a_pass_that_is_killed_goes_on_to_the_same_recording(tmp_path):
    """Whenever it is killed: rows that are said to be there are there."""
    command = [sys.executable, "-c", KILLED]
    subprocess.run([*command, tmp_path / "whole"], cwd=ROOT, check=True, capture_output=True)
    for rows in (8, 64, 120):
        process = subprocess.Popen([*command, tmp_path / "parts"], cwd=ROOT, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 300
        while process.poll() is None and _rows_or_none(tmp_path / "parts") < rows:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        process.wait()
    assert _rows_or_none(tmp_path / "parts") >= 8
    subprocess.run([*command, tmp_path / "parts"], cwd=ROOT, check=True, capture_output=True)
    whole, parts = (open_recording(tmp_path / name) for name in ("whole", "parts"))
    for label in whole.networks:
        for name in whole.names(label):
            np.testing.assert_array_equal(parts.array(label, name), whole.array(label, name), err_msg=name)


def _rows_or_none(folder: Path) -> int:
    return open_rows(folder) if (folder / "recording.json").exists() else 0


@pytest.mark.slow
def test_processes_that_read_change_nothing():
    data = make_data(40)
    measure(requests(), data, replace(QUIET, workers=2)).equals(measure(requests(), data, QUIET))


def _others() -> dict[str, tuple]:
    """What a pass might be gone on with by mistake, all of equal shapes: requests, data, options and what is said."""
    se, data = make_network("mini_resnet_se:classes=4"), make_data(40)
    shown = make_network("mini_resnet_se:classes=4")
    shown.preprocessing = replace(se.preprocessing, mean=(0.1, 0.2, 0.3))
    swapped = make_data(40)
    swapped.labels = swapped.labels[::-1].copy()
    turned = data.subset(np.r_[1, 0, 2:40])
    dropping = Dropping((0, 0.5, 1), scores=("random",), rows=16)

    def request(network=se, blocks=("layer3.5",), pruned="layer3.1", rectify=False, **changed) -> dict:
        probes = [dropping_at([pruned], replace(dropping, **changed))]
        return {"it": Request(network, list(blocks), rectify=rectify, probes=probes)}

    return {
        "same": (request(), data, QUIET, None),
        "weights": (request(make_network("mini_resnet_se:classes=4", 1)), data, QUIET, "weights_hash was"),
        "preprocessing": (request(shown), data, QUIET, "preprocessing mean was"),
        "label of the network": ({"other": request()["it"]}, data, QUIET, "networks it was"),
        "block": (request(blocks=["layer3.4"]), data, QUIET, r"layer3\.5"),
        "pruned block": (request(pruned="layer3.2"), data, QUIET, "dropping points was"),
        "rectified": (request(rectify=True), data, QUIET, "rectified was False, now True"),
        "seed": (request(seed=1), data, QUIET, "dropping seed was 0, now 1"),
        "ratios": (request(ratios=(0, 0.6, 1)), data, QUIET, "dropping points was"),
        "scores": (
            request(scores=("activation",), orders=("most",)),
            data,
            QUIET,
            "points",
        ),
        "folding": (request(exact=True), data, QUIET, "dropping exact was False, now True"),
        "precision": (request(), data, replace(QUIET, precision="bf16"), "precision was fp32, now bf16"),
        "labels": (request(), swapped, QUIET, "they have other labels"),
        "order": (request(), turned, QUIET, "they have other names"),
        "images": (request(), make_data(40, classes=4, seed=1), QUIET, "they have other labels"),
    }


@pytest.mark.parametrize("mistake", [
    "same", "weights", "preprocessing", "label of the network", "block", "pruned block", "rectified", "seed", "ratios",
    "scores", "folding", "precision", "labels", "order", "images",
])  # fmt: skip
def test_a_pass_of_something_else_is_not_mixed_in(tmp_path, ctrl_c, mistake):
    others = _others()
    wanted, data, options, _ = others["same"]
    ctrl_c(1)
    with pytest.raises(KeyboardInterrupt):
        record_requests(wanted, data, options, tmp_path / "r")
    ctrl_c.never()
    wanted, data, options, said = others[mistake]
    if said is None:
        assert record_requests(wanted, data, options, tmp_path / "r", resume=True).finished
        return
    with pytest.raises((UsageError, RunError), match=said):
        record_requests(wanted, data, options, tmp_path / "r", resume=True)
    assert open_rows(tmp_path / "r") == 16, "what was recorded is left as it was"


def open_rows(folder: Path) -> int:
    return json.loads((folder / "recording.json").read_text())["rows_done"]


def test_labels_that_are_told_with_each_image_are_recorded(tmp_path, ctrl_c):
    """A data set without `targets`: its labels are known once they are read, also after an interruption."""

    class Own(torch.utils.data.Dataset):
        def __init__(self):
            generator = torch.Generator().manual_seed(0)
            self.images = torch.randn(40, 3, 32, 32, generator=generator)

        def __len__(self):
            return 40

        def __getitem__(self, position):
            return self.images[position], position % 3

    wanted = {"it": Request(make_network("mini_resnet_se:classes=4"), ["layer3.5"])}
    whole = measure(wanted, Own(), QUIET)
    assert whole.recording.labels.tolist() == [position % 3 for position in range(40)]
    ctrl_c(2)
    with pytest.raises(KeyboardInterrupt):
        record_requests(wanted, Own(), QUIET, tmp_path / "r")
    ctrl_c.never()
    again = measure(wanted, Own(), QUIET, tmp_path / "r", resume=True)
    again.equals(whole)
    assert open_recording(tmp_path / "r").labels.tolist() == whole.recording.labels.tolist()


def test_requests_and_networks_are_left_as_they_were(quiet):
    """The caller may use them again, for other images."""
    network, data, others = make_network("mini_resnet_se:classes=4"), make_data(), make_data(seed=1)
    others.split = "train"
    blocks, ratios = ["layer3.1"], [0, 0.5, 1]
    analysis = Pruning(blocks=blocks, ratios=ratios, fill="mean", means_from=others)
    before = [(module, module.training) for module in network.train().modules()]
    state = {name: value.clone() for name, value in network.state_dict().items()}
    record_requests(asked(analysis, {"it": network}, data, quiet), data, quiet)
    assert not analysis.dropping.priors and blocks == ["layer3.1"] and ratios == [0, 0.5, 1]
    assert all(module.training == mode for module, mode in before)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in state.items())


def _classes(metric, images) -> torch.Tensor:
    """By asking of every class whether it is the answer."""
    found = torch.full((len(images),), -1)
    for label in range(4):
        metric.reset()
        with torch.inference_mode():
            metric.update(images, torch.full((len(images),), label), torch.arange(len(images)))
        found[torch.from_numpy(metric.correctness()[0])] = label
    return found


@pytest.mark.parametrize("change", ["load_state_dict", "optimizer", "in place", "batch norm"])
def test_folded_weights_do_not_survive_a_change_of_weights(change):
    """Someone's training loop measures importance every epoch by one metric."""
    network, other = make_network("mini_resnet_se:classes=4"), make_network("mini_resnet_se:classes=4", 1)
    torch.manual_seed(0)
    images = torch.randn(12, 3, 32, 32)
    settings = {"ratios": (0.5,), "orders": ("most",), "rows": 12}
    metric = FeatureImportance(network, ["layer3.1"], np.arange(12), **settings)
    before = _classes(metric, images)
    settled = metric.probe._targets[0].ablation.settled
    assert settled.tail is not settled.exact, "nothing was folded"
    if change == "load_state_dict":
        network.load_state_dict(other.state_dict())
    elif change == "optimizer":
        optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
        network(images).logsumexp(1).sum().backward()
        optimizer.step()
    elif change == "in place":
        with torch.no_grad():
            for parameter in network.layer4.parameters():
                parameter.mul_(-1)
    else:
        network.train()
        with torch.no_grad():
            for _ in range(30):
                network(3 * images + 1)
        network.eval()
    expected = _classes(FeatureImportance(network, ["layer3.1"], np.arange(12), exact=True, **settings), images)
    assert torch.equal(_classes(metric, images), expected)
    assert not torch.equal(before, expected), "the change changes what is seen"


def test_probes_of_ones_own_are_recorded_beside(quiet):
    """A probe is one class: here, how large the logits are."""

    class Largest:
        def arrays(self):
            return [Kept("largest", ())]

        def settings(self):
            return {}

        def taps(self):
            return {}

        def watch(self, batch):
            return nullcontext()

        def rows(self, moment):
            return {"largest": moment.logits.amax(1)}

    network, data = make_network("mini_resnet:classes=4"), make_data(20)
    recording = record_requests({"it": Request(network, probes=[Largest()])}, data, quiet)
    images = torch.stack([torch.from_numpy(np.array(data[at][0])).permute(2, 0, 1) for at in range(20)])
    with torch.inference_mode():
        logits = network(network.preprocessing.normalize(images))
    np.testing.assert_allclose(recording.array("it", "largest"), logits.amax(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(recording.array("it", "top_classes")[:, 0], logits.argmax(1))
    ranks = (logits > logits.gather(1, torch.from_numpy(data.labels)[:, None])).sum(1)
    np.testing.assert_array_equal(recording.array("it", "rank"), ranks)


def test_a_network_whose_cost_cannot_be_counted_goes_on(tmp_path, ctrl_c):
    """What is not known of it is equal to what was not known of it."""

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 6, 3), nn.Linear(6, 4)

        def forward(self, x):
            x = torch.relu(self.conv(x))
            return self.fc(x.mean((2, 3)) + (1 if x.max() > 0 else 0))

    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(40, 3, 20, 20), torch.arange(40) % 3)
    network = Own()
    ctrl_c(1)
    with pytest.raises(KeyboardInterrupt):
        record_requests({"own": Request(network)}, data, QUIET, tmp_path / "r")
    ctrl_c.never()
    assert record_requests({"own": Request(network)}, data, QUIET, tmp_path / "r", resume=True).finished


def test_in_python_a_folder_or_memory(tmp_path):
    network, data = make_network("mini_resnet_se:classes=4"), make_data(20)
    taps = ["output", "gate"]
    on_disk = gelens.record({"se": network}, data, taps=taps, out=tmp_path / "r", options=QUIET)
    in_memory = gelens.record({"se": network}, data, taps=taps, options=QUIET)
    assert on_disk.blocks("se", "gate") == resolve_blocks(network)
    for name in in_memory.names("se"):
        np.testing.assert_array_equal(
            gelens.open_recording(tmp_path / "r").array("se", name), in_memory.array("se", name)
        )


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """The same activities in float32 and in float16."""
    folder, network = tmp_path_factory.mktemp("halves"), make_network("mini_resnet_se:classes=4")
    for kind in ("float32", "float16"):
        wanted = {"it": Request(network, ["layer3.5"], ["output", "gate"], activities=kind)}
        record_requests(wanted, make_data(60), QUIET, folder / kind)
    return folder


def test_activities_in_float16_are_rounded_and_nothing_else(halves):
    one, other = (open_recording(halves / kind) for kind in ("float32", "float16"))
    assert one.identity == other.identity
    for name in one.names("it"):
        wanted = one.array("it", name)
        kind = np.float16 if name in ("layer3.5.output", "layer3.5.gate") else wanted.dtype
        assert other.array("it", name).dtype == kind
        np.testing.assert_array_equal(other.array("it", name), wanted.astype(kind))
    assert other.matrix("it", "layer3.5").dtype == other.stored_matrix("it", "layer3.5")[:].dtype == np.float32


def test_indices_from_float16_are_off_by_less_than_its_rounding(halves):
    """Activities are off by 2**-11 of themselves, or by 2**-25 below 2**-14, the least normal number.

    So are class means, and then (a - b) / (a + b) is off by 2**-11 + 2**-24 / (a + b) to first order.
    """
    one, other = (selectivity_tables(open_recording(halves / kind)).units for kind in ("float32", "float16"))
    both = one["csi"].notna() & other["csi"].notna()
    assert both.mean() > 0.9
    allowed = 1.01 * (2**-11 + 2**-24 / (one["mu_max"] + one["mu_rest"]))
    assert ((one["csi"] - other["csi"]).abs() <= allowed)[both].all()
    assert (one["csi"] != other["csi"])[both].any()


def test_float16_goes_on_and_is_merged_as_it_was_begun(tmp_path, halves, ctrl_c):
    network, data = make_network("mini_resnet_se:classes=4"), make_data(60)

    def wanted(kind):
        return {"it": Request(network, ["layer3.5"], ["output", "gate"], activities=kind)}

    ctrl_c(2)
    with pytest.raises(KeyboardInterrupt):
        record_requests(wanted("float16"), data, QUIET, tmp_path / "r")
    ctrl_c.never()
    with pytest.raises(UsageError, match="holds a recording of something else: arrays"):
        record_requests(wanted("float32"), data, QUIET, tmp_path / "r", resume=True)
    again = record_requests(wanted("float16"), data, QUIET, tmp_path / "r", resume=True)
    expected = open_recording(halves / "float16")
    np.testing.assert_array_equal(again.array("it", "layer3.5.output"), expected.array("it", "layer3.5.output"))
    for number, kind in ((1, "float16"), (2, "float16"), (2, "float32")):
        share = replace(QUIET, shard=Shard.parse(f"{number}/2"))
        record_requests(wanted(kind), data, share, tmp_path / f"{kind}-{number}")
    merged = gelens.merge([tmp_path / "float16-1", tmp_path / "float16-2"], tmp_path / "merged")
    np.testing.assert_array_equal(merged.array("it", "layer3.5.gate"), expected.array("it", "layer3.5.gate"))
    with pytest.raises(UsageError, match="arrays"):
        gelens.merge([tmp_path / "float16-1", tmp_path / "float32-2"], tmp_path / "mixed")


def test_activities_that_float16_does_not_hold_are_refused(tmp_path):
    network = make_network("mini_resnet_se:classes=4")
    with torch.no_grad():
        network.layer3[5].register_forward_hook(lambda module, args, output: output * 1e6)
    wanted = Request(network, ["layer3.5"], activities="float16")
    with pytest.raises(RunError, match=r"it gives `layer3\.5\.output` that are NaN or infinite"):
        record_requests({"it": wanted}, make_data(20), QUIET)
    with pytest.raises(UsageError, match=r"float8.*float32"):
        record_requests({"it": Request(network, ["layer3.5"], activities="float8")}, make_data(20), QUIET)
