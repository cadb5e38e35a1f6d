"""Lesions of six blocks × 19 single units.

The plain way runs the whole network as it is, and once for every unit, a hook setting the channel of the block's output
to zero, as `benchmarks/pruning.py` does for every point. The engine runs the intact network once and, for each unit,
only what follows the block, with batch norm folded; its bound is what these tails take by themselves. Both get the same
images, batch by batch in turn, and should give the same top-1 decisions for every unit. What the engine sets up on its
first batches is timed by itself.

    python -m benchmarks.lesions [--images 128] [--batch 64] [--network resnet50_se] [--precision fp32]

benchmarks/pruning.py with the same options gives the ratio that dropping by the gate has.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import numpy as np
import torch

from benchmarks.pruning import PlainLoop, answer, make_images, make_network, tails, timed
from benchmarks.table import Table, options_of, parser_of
from gelens.anatomy.hooks import hooked
from gelens.anatomy.sites import resolve_blocks
from gelens.data.loading import Batch
from gelens.devices import keep_freed_memory
from gelens.probes.lesions import Lesions
from gelens.probes.probe import Moment
from gelens.subjects import outputs_and_units


def _serve(pipe, name: str, units: Mapping[str, Sequence[int]], batch: int, keep_memory: bool, device: str) -> None:
    if keep_memory:
        keep_freed_memory()
    network = make_network(name, device)
    answer(pipe, network, batch, lambda images: plain_loop(network, units, images))


def plain_loop(network, units: Mapping[str, Sequence[int]], images: torch.Tensor) -> torch.Tensor:
    """Top-1 decisions (1 + units, images), of the intact network, then one hook and one full pass for each unit."""
    decisions = [network(images).argmax(1)]
    for block, channels in units.items():
        for channel in channels:

            def lesion(module, args, output, channel=channel):
                output = output.clone()
                output[:, channel] = 0
                return output

            with hooked((network.get_submodule(block), lesion)):
                decisions.append(network(images).argmax(1))
    return torch.stack(decisions)


def speed(table: Table, network, images: torch.Tensor, options) -> None:
    device, batch = images.device, options.batch
    plain_batch = options.plain_batch or batch
    lower = torch.autocast(device.type, torch.bfloat16) if options.precision == "bf16" else nullcontext()
    blocks = resolve_blocks(network)
    _, widths = outputs_and_units(network, blocks, images.shape[1:])
    rng = np.random.default_rng(0)
    units = {block: sorted(rng.permutation(widths[block])[: options.units].tolist()) for block in blocks}
    probe = Lesions(network, units, widths)
    with torch.inference_mode():
        labels = network(images).argmax(1)  # so that "right" is "decides as the intact network does"

    def engine(part: torch.Tensor) -> torch.Tensor:
        """Whether each image is right, (units, images)."""
        on_host = Batch({}, labels[part].cpu(), part, part)
        with lower:
            with probe.watch(on_host):
                logits = network(images[part])
            rows = probe.rows(Moment(on_host, images[part], labels[part], logits))
        return torch.cat([rows[f"{block}.lesion.right"] for block in blocks], 1).T

    loop = PlainLoop(_serve, options.network, units, plain_batch, options.same_allocator, options.device)
    indices = torch.arange(len(images))
    plain_seconds, seconds, plain, right = 0.0, 0.0, [], []
    with torch.inference_mode():
        set_up = sum(timed(device, engine, indices[:batch])[0] for _ in range(3))
        for turn in indices.split(max(batch, plain_batch)):
            spent, decisions = loop(images[turn])
            plain_seconds += spent
            plain.append(decisions)
            for part in turn.split(batch):
                spent, found = timed(device, engine, part)
                seconds += spent
                right.append(found.cpu().numpy())
        loop.stop()
        with lower:
            targets = [(target.name, target.ablation.settled.tail.after, target.variants) for target in probe._targets]
            bound = tails(targets, network, images, batch)
    expected = np.concatenate(plain, 1)[1:] == labels.cpu().numpy()
    points = sum(map(len, units.values()))
    sizes = [target.ablation.chunk.rows for target in probe._targets]
    part = f"{options.network}, {images.shape[-1]} px, {options.precision}"
    allocator = "keeping freed memory" if options.same_allocator else "default allocator"
    note = f"{1 + points} passes in batches of {plain_batch}, float32, {allocator}: {plain_seconds:.1f} s"
    table.add(part, "against the plain loop", plain_seconds / seconds, "times as fast", note=note)
    rate, limit = (points * len(images) / each for each in (seconds, bound))
    note = f"batches of {batch}, chunks {sizes}: {seconds:.1f} s"
    table.add(part, f"{len(images)} images", rate, "images × units/s", limit, note)
    table.add(part, "the first three batches, set-up included", set_up, "s")
    differ = int((np.concatenate(right, 1) != expected).sum())
    table.add(part, "top-1 decisions that differ", differ, note=f"of {expected.size}")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--network", default="thin_resnet50_se")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--units", type=int, default=19)
    parser.add_argument("--plain-batch", type=int, help="as the engine's")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--same-allocator", action="store_true", help="the plain loop keeps freed memory, too")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = options_of(parser, images=8, batch=8, units=4)
    keep_freed_memory()  # as the command line does
    network = make_network(options.network, options.device)
    table = Table()
    speed(table, network, make_images(network, options.images).to(options.device), options)
    table.write(options.out, "lesions")


if __name__ == "__main__":
    main()
