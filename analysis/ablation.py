"""Logits of a network with feature maps of one block dropped: the intact part once, for each variant only the rest."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import fx, nn

from analysis.hooks import find_module, hooked
from analysis.sites import Site, gate_values

log = logging.getLogger(__name__)

CHUNK_ROWS = {"cpu": 32, "cuda": 512, "mps": 128}
"""Images × variants that go through the rest of a network at a time. Memory is bounded by it."""


def rest_after(network: nn.Module, block: str) -> nn.Module | None:
    """What follows a block, as a module from the block's output to the network's; it shares the network's parameters.

    Returns:
        None where the network cannot be traced by torch.fx, or the rest needs more than the block's output.
    """

    class Tracer(fx.Tracer):
        def is_leaf_module(self, module: nn.Module, name: str) -> bool:
            # only what holds the block is looked into: the rest may do inside what cannot be traced
            return not block.startswith(f"{name}.")

    try:
        graph = Tracer().trace(network)
    except Exception as error:  # a network may branch on its values, unpack shapes …: whatever tracing raises
        log.debug("%s cannot be traced: %s", type(network).__name__, error)
        return None
    calls = [node for node in graph.nodes if node.op == "call_module" and node.target == block]
    if len(calls) != 1:
        return None
    rest, copies = fx.Graph(), {}
    copies[calls[0]] = rest.placeholder("features")
    needed = _ancestors(next(node for node in graph.nodes if node.op == "output"), calls[0])
    for node in graph.nodes:
        if node in needed and node is not calls[0]:
            if node.op == "placeholder":
                return None  # something else of the network's input is used after the block
            copies[node] = rest.node_copy(node, copies.__getitem__)
    rest.lint()
    return fx.GraphModule(network, rest)


def _ancestors(output: fx.Node, stop: fx.Node) -> set[fx.Node]:
    """All nodes that an output needs, none beyond `stop`."""
    seen, waiting = set(), [output]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            if node is not stop:
                waiting += node.all_input_nodes
    return seen


class Ablation:
    """One block of a network, whose branch's feature maps can be dropped.

    In an intact forward pass inside `watch` it keeps what it needs of a batch: the block's output, the block's output
    with the whole branch dropped, and the gate's values. A variant is then a selection, channel by channel, between
    the two outputs, followed by the rest of the network. Where that is not so (a block whose branch is not added
    channel by channel), the block itself is run for each variant; where the rest cannot be separated, the whole
    network is. Which of the three holds is tried on the first batch, against the way after it.

    Args:
        network: in evaluation mode.
        site: the block.
        rows: images × variants in a forward pass; by the device where not given.
    """

    def __init__(self, network: nn.Module, site: Site, rows: int | None = None):
        self.network, self.site, self.rows = network, site, rows
        self.block, self.branch = find_module(network, site.block), find_module(network, site.branch)
        self.way: str | None = None
        self.rest: nn.Module | None = None

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Look at an intact forward pass inside the with-block."""

        def before(module, args):
            self.arriving = args[0].clone()  # a block may overwrite its input

        def after(module, args, output):
            self.whole = output.clone()

        def look(module, args, output):
            self.channels = output.shape[1]
            if self.site.gate:
                self.importance = gate_values(module, args[0])

        with ExitStack() as stack:
            stack.callback(self.block.register_forward_pre_hook(before).remove)
            stack.enter_context(hooked((self.block, after), (self.branch, look)))
            yield

    def logits(
        self, images: torch.Tensor, intact: torch.Tensor, kept: Sequence[torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        """Logits for each variant, in order.

        Args:
            images: the batch, (N, 3, H, W).
            intact: its logits in the pass just watched.
            kept: for each variant bool (N, C), the channels that are kept.
        """
        if not kept:
            return
        if self.way is None:
            self._choose(images, intact)
        if self.way == "network":
            for keep in kept:
                with hooked((self.branch, _drop(keep))):
                    yield self.network(images)
            return
        if self.way == "block":
            for keep in kept:
                yield self.rest(self._block(keep))
            return
        shortcut = self._block(torch.zeros_like(kept[0]))
        yield from self._selected(shortcut, kept)

    def _selected(self, shortcut: torch.Tensor, kept: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        images = len(self.whole)
        rows = self.rows or CHUNK_ROWS[self.whole.device.type]
        together = max(rows // images, 1)
        pieces = -(-images // rows)
        for start in range(0, len(kept), together):
            variants = kept[start : start + together]
            if pieces > 1:  # a batch that is larger than a chunk goes through in pieces
                cut = [part.tensor_split(pieces) for part in (variants[0], self.whole, shortcut)]
                yield torch.cat([self.rest(_select(*piece)) for piece in zip(*cut, strict=True)])
                continue
            inputs = torch.cat([_select(keep, self.whole, shortcut) for keep in variants])
            yield from self.rest(inputs).split(images)

    def _block(self, keep: torch.Tensor) -> torch.Tensor:
        with hooked((self.branch, _drop(keep))):
            return self.block(self.arriving.clone())

    def _choose(self, images: torch.Tensor, intact: torch.Tensor) -> None:
        """Find the least that has to be run again, by trying it on a variant with every other channel dropped."""
        self.way = "network"
        self.rest = rest_after(self.network, self.site.block)
        if self.rest is None or not torch.equal(self.rest(self.whole.clone()), intact):
            log.info(
                "%s: what follows %s cannot be separated; full passes", type(self.network).__name__, self.site.block
            )
            return
        self.way = "block"
        keep = torch.arange(self.channels, device=images.device).remainder(2).bool().expand(len(images), -1)
        shortcut = self._block(torch.zeros_like(keep))
        if shortcut.shape[1] == self.channels and torch.equal(_select(keep, self.whole, shortcut), self._block(keep)):
            self.way = "selection"


def _drop(keep: torch.Tensor):
    def hook(module, args, output):
        return _select(keep, output, torch.zeros((), dtype=output.dtype, device=output.device))

    return hook


def _select(keep: torch.Tensor, kept: torch.Tensor, dropped: torch.Tensor) -> torch.Tensor:
    """(N, C) of bool between two (N, C, H, W), in the layout of the first: another would take other kernels."""
    channels_last = not kept.is_contiguous() and kept.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return torch.where(keep[:, :, None, None], kept, dropped).contiguous(memory_format=layout)
