"""The thin family on photographs of 64 px: parameters, maps, and that an image costs what one of CIFAR-10 does."""

from functools import partial

import pytest
import torch

from gelens.networks import count_gmacs, count_parameters, load_network
from gelens.networks.catalogue import COUNTED, NAMES

PHOTOGRAPHS = [name for name in COUNTED if name not in NAMES]
RESNETS = [
    *(name for name in PHOTOGRAPHS if "resnet" in name),
    *(f"thin_resnet50_ge_theta_minus:extent={extent},pool=max,size=64,classes=100" for extent in (2, 4, 8, "global")),
    "thin_resnet50_ge_theta:extent=4,size=64,classes=100",
]


def maps(network: torch.nn.Module, stages: str, size: int) -> dict[str, tuple[int, int]]:
    """The map of every block's output, as forward hooks see it."""
    seen = {}

    def note(name, module, inputs, output):
        seen[name] = tuple(output.shape[2:])

    for name, module in network.named_modules():
        stage, _, block = name.partition(".")
        if stage.startswith(stages) and block.isdecimal():
            module.register_forward_hook(partial(note, name))
    with torch.inference_mode():
        assert network(torch.rand(2, 3, size, size)).shape == (2, 100 if size == 64 else 10)
    return seen


def test_all_of_the_family_are_counted():
    assert len(PHOTOGRAPHS) == 9 and all(name.endswith(":size=64,classes=100") for name in PHOTOGRAPHS)


@pytest.mark.parametrize("name", RESNETS)
def test_stage_four_has_maps_of_eight_by_eight_in_six_blocks(name):
    found = maps(load_network(name), "layer", 64)
    assert [found[f"layer3.{block}"] for block in range(6)] == [(8, 8)] * 6
    assert set(found.values()) == {(32, 32), (16, 16), (8, 8), (4, 4)}


@pytest.mark.parametrize("name", [name for name in PHOTOGRAPHS if "shufflenet" in name])
def test_shufflenets_have_the_maps_that_they_have_on_small_images(name):
    small = maps(load_network(name.partition(":")[0]), "stage", 32)
    assert maps(load_network(name), "stage", 64) == small


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_only_the_classifier_is_larger_than_for_small_images(name):
    small, large = load_network(name.partition(":")[0]), load_network(name)
    classifier = 90 * (small.fc.in_features + 1)
    assert count_parameters(large) - count_parameters(small) == classifier
    assert count_gmacs(large) == pytest.approx(count_gmacs(small), rel=0.01)


def test_global_gathers_span_the_map_that_is_there():
    network = load_network("thin_resnet50_ge_theta:size=64,classes=100")
    sides = {stage: getattr(network, stage)[0].se.gather[0].kernel_size for stage in ("layer1", "layer3", "layer4")}
    assert sides == {"layer1": (32, 32), "layer3": (8, 8), "layer4": (4, 4)}
