"""Gates replaced: as a plain loop of whole passes does it, whatever the network; and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms.functional import to_tensor

import gelens
from gelens.anatomy.sites import find_sites, gate_values
from gelens.api import Request, record_requests
from gelens.errors import UsageError
from gelens.networks import load_network
from gelens.probes.static_gates import SUBSTITUTES, KnownGates, StaticGates
from gelens.randomness import hashes
from tests.conftest import count_hooks, make_data, make_network, shake

SHAPE = (3, 32, 32)
NETWORKS = {
    "mini_resnet_se": ["layer3.2", "layer3.5"],
    "mini_resnet_ge_theta_minus:extent=4": ["layer3.1", "layer3.4"],
    "mini_resnet_ge_theta": ["layer3.5"],
    "timm/mobilenetv3_small_050": ["blocks.3.0", "blocks.3.1"],
}


class Opaque(nn.Module):
    """What follows a block cannot be told apart from it: the network calls its parts in a way that nobody can trace."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.layer3, self.network = network.layer3, network

    def forward(self, x):
        return self.network(x) + 0 * float(x.mean().item() > 1e9)


def replaced(network, sites, values, images) -> torch.Tensor:
    """Logits of a whole pass with each gate's values replaced, by hooks that multiply by hand."""
    hooks = []
    for site, value in zip(sites, values, strict=True):
        module = network.get_submodule(site.values)
        hooks.append(
            module.register_forward_hook(
                lambda module, given, output, value=value: (
                    value[(...,) + (None,) * (output.ndim - 2)].expand(output.shape).clone()
                )
            )
        )
    logits = network(images)
    for hook in hooks:
        hook.remove()
    return logits


@pytest.mark.parametrize("name", NETWORKS)
def test_every_point_is_that_of_a_plain_loop(name):
    network = shake(load_network(name)) if name.startswith("timm") else make_network(name)
    network.preprocessing = load_network("mini_resnet").preprocessing
    blocks, data = NETWORKS[name], make_data(24, classes=5)
    sites = find_sites(network, blocks, SHAPE)
    rng = np.random.default_rng(0)
    known = {
        site.block: KnownGates(rng.random((30, site.channels)).astype(np.float32), np.arange(30) % 5) for site in sites
    }
    probe = StaticGates(network, blocks, known, 5, seed=3, shape=SHAPE)
    recording = record_requests({"n": Request(network, probes=[probe])}, data)
    found = recording.array("n", "static.top1").astype(bool)
    assert count_hooks(network) == 0
    images = torch.stack([2 * to_tensor(data[at][0]) - 1 for at in range(24)])
    labels = recording.labels
    whose = (hashes(3, "another image's gate", recording.indices) % np.uint64(30)).astype(int)
    targets = [[site] for site in sites] + ([sites] if len(sites) > 1 else [])
    expected = []
    with torch.inference_mode():
        expected.append(network(images).argmax(1).numpy() == labels)
        for target in targets:
            of = [known[site.block] for site in target]
            by_kind = {
                "mean": [np.tile(each.values.mean(0), (24, 1)) for each in of],
                "class": [np.stack([each.values[each.labels == label].mean(0) for label in labels]) for each in of],
                "other": [each.values[whose] for each in of],
                "one": [np.ones((24, each.values.shape[1])) for each in of],
            }
            for kind in SUBSTITUTES:
                values = [torch.from_numpy(np.asarray(each, np.float32)) for each in by_kind[kind]]
                expected.append(replaced(network, target, values, images).argmax(1).numpy() == labels)
    assert np.array_equal(found, np.stack(expected, 1))
    if not name.startswith("timm"):  # whose random logits differ too little
        assert len({row.tobytes() for row in found.T}) > 2, "points that could not differ would show nothing"


def test_its_own_gate_changes_nothing_and_one_lifts_it():
    """A network whose gates are constants: the mean of others, their classes' and another's are its own."""
    network = shake(load_network("mini_resnet_se")).eval()
    for block in network.layer3:
        nn.init.zeros_(block.se.fc2.weight)
    (site,) = find_sites(network, ["layer3.3"], SHAPE)
    with torch.inference_mode():
        own = gate_values(network, site, torch.randn(7, site.channels, 4, 4)).numpy()
    assert np.ptp(own, axis=0).max() == 0
    known = {"layer3.3": KnownGates(own, np.arange(7) % 3)}
    probe = StaticGates(network, ["layer3.3"], known, 10, shape=SHAPE)
    found = record_requests({"n": Request(network, probes=[probe])}, make_data(20)).array("n", "static.top1")
    assert (found[:, 1:4] == found[:, :1]).all()


def test_a_network_that_cannot_be_cut_is_run_whole():
    whole = shake(load_network("mini_resnet_se")).eval()
    known = {"layer3.5": KnownGates(np.full((4, 128), 0.25, np.float32), np.arange(4))}
    results = []
    for network in (whole, Opaque(whole).eval()):
        network.preprocessing = whole.preprocessing
        probe = StaticGates(network, ["layer3.5"], known, 10, shape=SHAPE)
        results.append(
            record_requests({"n": Request(network, probes=[probe])}, make_data(20)).array("n", "static.top1")
        )
        way = probe._targets[0].ablation.settled.way
    assert way == "passes" and np.array_equal(*results)


def test_what_cannot_be_replaced():
    network = load_network("mini_resnet")
    with pytest.raises(UsageError, match=r"block `layer3\.5` of ResNet has no gate"):
        StaticGates(network, ["layer3.5"], {}, 10)
    with pytest.raises(UsageError, match="nothing is known of its gate on other images"):
        StaticGates(load_network("mini_resnet_se"), ["layer3.5"], {}, 10)


def test_a_class_that_nobody_saw_has_the_mean_of_all():
    known = KnownGates(np.array([[0.2], [0.4], [0.6]], np.float32), np.array([0, 0, 2]))
    assert known.class_means(3)[:, 0] == pytest.approx([0.3, 0.4, 0.6])
    assert known.fingerprint != KnownGates(known.values, np.array([0, 1, 2])).fingerprint


def test_the_command_measures_them_beside_the_rest(tmp_path):
    import pandas as pd
    from click.testing import CliRunner

    from cli import main

    few = ["--limit", "40", "--permutations", "2", "--replicates", "2", "--blocks", "layer3.4", "--blocks", "layer3.5"]
    command = ["gates", "mini_resnet_se", "--untrained", *few, "--means-from", "digits#train"]
    result = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "run" / "gates_static.csv", keep_default_na=False)
    assert table["block"].tolist() == ["", *["layer3.4"] * 4, *["layer3.5"] * 4, *["layer3"] * 4]
    assert (tmp_path / "run" / "figures" / "fig_gates_static.png").is_file()
    result = CliRunner().invoke(main, [*command[:-1], "digits#val", "--out", str(tmp_path / "same")])
    assert result.exit_code == 2 and "expected others" in result.output
    assert gelens.open_recording(tmp_path / "run" / "recording").array("mini_resnet_se", "static.top1").shape[1] == 13
