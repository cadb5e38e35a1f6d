"""The pretended device itself: what it has to see, it sees."""

import pytest
import torch

from tests.devices.pretended import NAME, pretending, unless_real

pytestmark = unless_real


def test_it_computes_what_the_cpu_does_and_trains():
    def steps(device):
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(inplace=True), torch.nn.Flatten(1)
        )
        images = torch.randn(5, 3, 8, 8)
        network = network.to(device)
        optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
        for _ in range(3):
            with torch.autocast(torch.device(device).type, torch.bfloat16):
                loss = network(images.to(device)).logsumexp(1).mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        assert network[0].weight.device.type == torch.device(device).type
        return network.to("cpu")[0].weight

    with pretending():
        there = steps(NAME)
    torch.testing.assert_close(there, steps("cpu"), rtol=1e-5, atol=1e-6)


def test_mixing_is_an_error():
    with pretending():
        here = torch.zeros(3, device=NAME)
        assert (here + 1).device.type == NAME and (here + torch.tensor(1.0)).device.type == NAME
        for wrong in (lambda: here + torch.zeros(3), lambda: here[torch.zeros(2, dtype=torch.int64)]):
            with pytest.raises(AssertionError, match="mixes the device with the host"):
                wrong()


def test_there_is_no_float64():
    with pretending():
        for wrong in (lambda x: x.double(), lambda x: torch.zeros(3, dtype=torch.float64, device=NAME)):
            with pytest.raises(AssertionError, match="float64"):
                wrong(torch.zeros(3, device=NAME))


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: float(x[0]),
        lambda x: bool(x.sum() > 0),
        lambda x: x.cpu(),
        lambda x: x.to("cpu"),
        lambda x: torch.zeros(3).copy_(x, non_blocking=True),
        lambda x: torch.zeros(3).to(NAME),
        lambda x: torch.zeros(3).to(NAME, non_blocking=True),
        lambda x: torch.tensor([1.0, 2.0], device=NAME),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: torch.equal(x, x + 1),
        lambda x: x.unique(),
        lambda x: torch.accelerator.synchronize(x.device),
    ],
)
def test_waits_are_counted(wait):
    with pretending() as watch:
        x = torch.ones(3, device=NAME)
        watch.since()
        wait(x)
    assert watch.waits.total() >= 1


@pytest.mark.parametrize(
    "go_on",
    [
        lambda x: torch.empty(3, pin_memory=True).copy_(x, non_blocking=True),
        lambda x: torch.zeros(3).pin_memory().to(NAME, non_blocking=True),
        lambda x: x.to("cpu", non_blocking=True),
        lambda x: x[torch.arange(2, device=NAME)],
        lambda x: torch.where(x > 0, x, -1).topk(2),
        lambda x: x[1:].view(2, 1).clone(),
    ],
)
def test_what_does_not_wait(go_on):
    with pretending() as watch:
        x = torch.ones(3, device=NAME)
        watch.since()
        go_on(x)
    assert not watch.waits


def test_kernels_are_counted_and_views_are_not():
    with pretending() as watch:
        x = torch.ones(2, 3, device=NAME)
        watch.since()
        (x.view(3, 2).t().unsqueeze(0) + 1).mul_(2)
        torch.empty(3, device=NAME)
    assert dict(watch.kernels) == {"add": 1, "mul_": 1}


def test_outside_it_is_not_there():
    with pretending():
        assert torch.accelerator.is_available()
    assert not torch.accelerator.is_available() or torch.accelerator.current_accelerator().type != NAME
