"""Blocks as people write them: their branch, shortcut and gate are found, and pruned as a plain loop does it."""

import pytest
import torch

from gelens.anatomy.operations import at_places
from gelens.anatomy.sites import anatomies, find_sites, gate_values
from gelens.errors import UsageError
from gelens.probes.feature_importance import FeatureImportance
from tests.anatomy.zoo import CHANNELS, UNKNOWN, ZOO, network_of
from tests.conftest import count_hooks, shake

SHAPE = (3, 12, 12)


@torch.inference_mode(False)
@torch.no_grad()
def built(name: str):
    torch.manual_seed(0)
    network = shake(network_of(ZOO[name](), 2 * CHANNELS if name == "concatenated" else CHANNELS))
    network[-1].bias -= network(torch.randn(32, *SHAPE)).mean(0)  # so that decisions differ from image to image
    return network


def arriving(network, images):
    """What goes into the block; a copy, since blocks may overwrite it."""
    return network[0](images).clone()


def pruned(network, truth, keep: torch.Tensor) -> torch.Tensor:
    """Logits with maps of the block dropped, from the truth alone: no hook, no place, no site."""
    branch = torch.where(keep[:, :, None, None], truth.branch, torch.zeros(()))
    total = branch if truth.shortcut is None else truth.shortcut + branch
    return network[2:](truth.after(total))


@pytest.mark.parametrize("name", ZOO)
@torch.inference_mode()
def test_parts_are_what_they_are(name):
    network, images = built(name), torch.randn(4, *SHAPE)
    (site,) = find_sites(network, ["1"], SHAPE)
    truth = network[1].truth(arriving(network, images))
    assert site.dropped_at == truth.dropped_at and site.channels == truth.branch.shape[1]
    seen = {}
    with at_places(network, [(site.branch, lambda branch: seen.update(branch=branch.clone()))]):
        network(images)
    torch.testing.assert_close(seen["branch"], truth.branch)
    assert (site.gate is None) == (truth.gate is None)
    if truth.gate is not None:
        x = arriving(network, images)
        entered = x if site.entry == "1" else network[1].body(x) if truth.dropped_at == "branch" else None
        if entered is not None:
            torch.testing.assert_close(gate_values(network, site, entered), truth.gate.mean((2, 3)))
    assert count_hooks(network) == 0


@pytest.mark.parametrize("name", [name for name in ZOO if name not in ("concatenated", "SE within the branch")])
@torch.inference_mode()
def test_pruning_is_a_plain_loop_over_the_truth(name):
    """Ratio 1 leaves the shortcut alone; in between each image's maps are dropped by its own gate or activation."""
    network, images = built(name), torch.randn(6, *SHAPE)
    truth = network[1].truth(arriving(network, images))
    score = "activation" if truth.gate is None else "gate"
    importance = truth.branch.abs().mean((2, 3)) if truth.gate is None else truth.gate.mean((2, 3))
    indices, decisions = torch.arange(6), set()
    for order, ratio in (("none", 0), ("most", 0.5), ("least", 0.5), ("none", 1)):
        ranks = importance.sort(dim=1, descending=order == "most", stable=True).indices.argsort(1)
        labels = pruned(network, truth, ranks >= int(ratio * CHANNELS + 0.5)).argmax(1)
        metric = FeatureImportance(network, ["1"], shape=SHAPE, ratios=[ratio], scores=[score], exact=True)
        metric.update(images, labels, indices)
        found = metric.compute().set_index("order")["top1"]
        assert found[order] == 1, "labels are what the truth decides"
        decisions |= set(labels.tolist())
    assert len(decisions) > 1


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_told_is_refused(name):
    build, why = UNKNOWN[name]
    torch.manual_seed(0)
    network = shake(network_of(build()))
    (found,) = anatomies(network, ["1"], SHAPE)
    assert found.site is None and why in found.why
    with pytest.raises(UsageError, match=r"cannot be told: .*state them"):
        find_sites(network, ["1"], SHAPE)
