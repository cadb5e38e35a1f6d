"""What a training step costs beside the bare step: reading and augmenting of small images, metrics, schedule.

    python -m benchmarks.training [--data parquet:DIR] [--images 4096]

The bare step is forward, backward and update of the same network on one batch that lies on the device already. All
three take turns, batch by batch, so that a machine whose speed changes changes it for all:

- bare: the step on one resident batch;
- read: the step on batches as the recipe has them, from the decoded images: its share of time in reading is asked to be
  at most 10 %;
- the whole loop of `gelens train`, which keeps running averages as well, is timed over an epoch of its own.
"""

import itertools
import time

import click
import torch
from timm.optim import param_groups_weight_decay
from torch import nn

from gelens.data import load_data
from gelens.devices import PRECISIONS, fast_precision, keep_freed_memory, resolve_device
from gelens.networks import load_network
from gelens.training.loop import KeptEpochs, Loop
from gelens.training.reading import training_batches
from gelens.training.recipes import recipe_of


class Bare:
    """A network and the plain step."""

    def __init__(self, reference: str, recipe, device: torch.device, precision: str):
        self.network = load_network(reference).to(device, memory_format=torch.channels_last).train()
        groups = param_groups_weight_decay(self.network, recipe.weight_decay)
        self.optimizer = torch.optim.SGD(groups, recipe.learning_rate / 10, momentum=recipe.momentum)
        self.device, self.dtype = device, PRECISIONS[precision]

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            loss = nn.functional.cross_entropy(self.network(images), labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def wait(self) -> None:
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)


@click.command()
@click.option("--network", default="thin_resnet50", show_default=True)
@click.option("--data", default="digits", show_default=True)
@click.option("--recipe", default="cifar", show_default=True)
@click.option("--images", default=4096, show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--precision", default="auto", show_default=True)
def main(network, data, recipe, images, device, precision):
    keep_freed_memory()
    recipe, target = recipe_of(recipe, epochs=2), resolve_device(device)
    built = load_network(network)
    if precision == "auto":
        precision = fast_precision(target)
    splits = [load_data(data, split).limited(images) for split in ("train", "val")]
    begun = time.perf_counter()
    reader = training_batches(splits[0], recipe, built.preprocessing, target)
    print(f"decoding {len(splits[0])} images, once: {time.perf_counter() - begun:.2f} s")
    bare = Bare(network, recipe, target, precision)
    batches = itertools.chain.from_iterable(map(reader.epoch, itertools.count(1)))
    resident = [each.clone() for each in next(batches)]
    for _ in range(3):
        bare.step(*resident)
    seconds, steps = {"bare": 0.0, "reading": 0.0, "step": 0.0}, len(reader)
    for _ in range(steps):
        begun = time.perf_counter()
        bare.step(*resident)
        bare.wait()
        between = time.perf_counter()
        batch = next(batches)
        bare.wait()
        read = time.perf_counter()
        bare.step(*batch)
        bare.wait()
        seconds["bare"] += between - begun
        seconds["reading"] += read - between
        seconds["step"] += time.perf_counter() - read
    rate = recipe.batch_size * steps / seconds["bare"]
    print(f"{network}, {precision}, batches of {recipe.batch_size}: bare step {rate:.0f} images/s")
    share = seconds["reading"] / (seconds["reading"] + seconds["step"])
    print(
        f"reading: {100 * share:.1f} % of a step ({100 * seconds['reading'] / seconds['bare']:.1f} % of the bare step)"
    )
    loop = Loop(load_network(network), splits[0], splits[1], recipe, target, precision, progress=False)
    bar = type("Silent", (), {"update": lambda self: None})()
    loop._errors(itertools.islice(loop._epoch(1, bar, KeptEpochs(None)), 3))
    begun = time.perf_counter()
    loop._errors(loop._epoch(2, bar, KeptEpochs(None)))
    spent = time.perf_counter() - begun
    begun = time.perf_counter()
    for _ in range(steps):
        bare.step(*resident)
    bare.wait()
    ratio = (time.perf_counter() - begun) / spent
    print(f"the whole loop: {ratio:.2f} of the bare step's images per second")


if __name__ == "__main__":
    main()
