"""A training step.

The bare step is forward, backward and update of the same network on one batch that lies on the device already.
"Reading" is what the recipe's batches take from decoded images. They take turns, batch by batch, so that a machine
whose speed changes changes it for all. SGD goes tensor by tensor on the CPU; a fused update moves last bits. The whole
loop of `gelens train`, which keeps running averages as well, is timed over an epoch of its own.

    python -m benchmarks.training [--data parquet:DIR] [--images 4096]
"""

import itertools
import time

import torch
from timm.optim import param_groups_weight_decay
from torch import nn

from benchmarks.table import Table, options_of, parser_of
from gelens.data import load_data
from gelens.devices import PRECISIONS, fast_precision, keep_freed_memory, resolve_device
from gelens.networks import load_network
from gelens.training.loop import KeptEpochs, Loop
from gelens.training.reading import training_batches
from gelens.training.recipes import recipe_of


class Bare:
    """A network and the plain step."""

    def __init__(self, reference: str, recipe, device: torch.device, precision: str, fused: bool | None = None):
        self.network = load_network(reference).to(device, memory_format=torch.channels_last).train()
        groups = param_groups_weight_decay(self.network, recipe.weight_decay)
        rate = recipe.learning_rate / 10
        self.optimizer = torch.optim.SGD(groups, rate, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=fused)
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


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--network", default="thin_resnet50")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--recipe", default="cifar")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    options = options_of(parser, images=256)
    keep_freed_memory()
    table = Table()
    measure(table, options)
    table.write(options.out, "training")


def measure(table: Table, options) -> None:
    recipe, target = recipe_of(options.recipe, epochs=2), resolve_device(options.device)
    precision = fast_precision(target) if options.precision == "auto" else options.precision
    splits = [load_data(options.data, split).limited(options.images) for split in ("train", "val")]
    begun = time.perf_counter()
    reader = training_batches(splits[0], recipe, load_network(options.network).preprocessing, target)
    table.add("reading", f"decoding {len(splits[0])} images, once", time.perf_counter() - begun, "s")
    bare = Bare(options.network, recipe, target, precision)
    batches = itertools.chain.from_iterable(map(reader.epoch, itertools.count(1)))
    resident = [each.clone() for each in next(batches)]
    fused = Bare(options.network, recipe, target, precision, fused=True)
    for _ in range(3):
        bare.step(*resident)
        fused.step(*resident)
    seconds, steps = {"bare": 0.0, "fused": 0.0, "reading": 0.0, "step": 0.0}, len(reader)
    for _ in range(steps):
        begun = time.perf_counter()
        fused.step(*resident)
        fused.wait()
        seconds["fused"] += time.perf_counter() - begun
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
    part = f"{options.network}, {precision}"
    rate = recipe.batch_size * steps / seconds["bare"]
    table.add(part, "bare step", rate, "images/s", note=f"batches of {recipe.batch_size}")
    table.add(part, "with a fused update", seconds["bare"] / seconds["fused"], "of the bare step's images/s")
    share = 100 * seconds["reading"] / (seconds["reading"] + seconds["step"])
    table.add(part, "reading", share, "% of a step", note="wanted: at most 10")
    loop = Loop(load_network(options.network), splits[0], splits[1], recipe, target, precision, progress=False)
    bar = type("Silent", (), {"update": lambda self: None})()
    loop._errors(itertools.islice(loop._epoch(1, bar, KeptEpochs(None)), 3))
    begun = time.perf_counter()
    loop._errors(loop._epoch(2, bar, KeptEpochs(None)))
    spent = time.perf_counter() - begun
    begun = time.perf_counter()
    for _ in range(steps):
        bare.step(*resident)
    bare.wait()
    table.add(part, "the whole loop", (time.perf_counter() - begun) / spent, "of the bare step's images/s")


if __name__ == "__main__":
    main()
