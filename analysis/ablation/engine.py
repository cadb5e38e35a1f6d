"""Logits of a network with feature maps of some blocks dropped: the intact part once, for each variant the rest."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import torch
from torch import nn

from ..anatomy.folding import TOLERANCE
from ..anatomy.hooks import aside, find_module, hooked
from ..anatomy.operations import at_places, is_join
from ..anatomy.sites import Site
from ..anatomy.tracing import rest_after, rest_from, without_inputs
from ..devices import float32_as, free_memory, is_accelerator, is_out_of_memory, precision_in_use, to_device
from .chunks import ChunkSize

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Variant:
    """What is dropped: of each site the channels whose rank, an integer (N, C), is below a count."""

    ranks: Sequence[torch.Tensor]
    counts: Sequence[int]

    def rows(self) -> list[torch.Tensor]:
        """For each site bool (N, C): which channels of each image are kept."""
        return [ranks >= count for ranks, count in zip(self.ranks, self.counts, strict=True)]


class _Rows(Protocol):
    """What is done to each site, a row for each image: as `Variant` says it, or another of its kind."""

    def rows(self) -> Sequence[torch.Tensor]: ...


@dataclass(frozen=True, eq=False)
class AtHand:
    """Maps of a batch where an intact pass leaves the last of some blocks, from which variants are run.

    Args:
        whole: the last block's output.
        branch: of a block that is alone, where the way may need it.
        arriving: what went into the first block; None where that is not one tensor.
    """

    whole: torch.Tensor
    branch: torch.Tensor | None
    arriving: torch.Tensor | None

    def __len__(self) -> int:
        """How many images the batch has."""
        return len(self.whole)

    @property
    def device(self) -> torch.device:
        return self.whole.device


Source = AtHand | torch.Tensor
"""What variants of a batch are run from: what is at hand of it, or its images where the way is "passes"."""


class Tail:
    """A network from some blocks on, run with feature maps of theirs dropped, in one of the ways of `Ablation`.

    Every way takes, for each site, which channels are kept, bool (R, C), and maps of R rows, or of a divisor of R
    which are then repeated; and gives logits (R, K).
    """

    def __init__(self, network: nn.Module, sites: Sequence[Site], fills: Sequence[torch.Tensor]):
        self.network, self.fills = network, fills
        self.branches = [site.branch for site in sites]
        first, last = sites[0], sites[-1]
        self.block = find_module(network, first.block)
        self.after: Callable[..., torch.Tensor] | None = without_inputs(rest_after(network, last.block))
        self.start: Callable[..., torch.Tensor] | None = without_inputs(rest_from(network, first.block))
        self.end: Callable[..., torch.Tensor] | None = None
        if len(sites) == 1 and first.branch == first.block:
            self.end = lambda features, *inputs: features
        elif len(sites) == 1 and not is_join(first.branch):
            self.end = rest_after(self.block, first.branch.removeprefix(f"{first.block}."))

    def _dropping(self, kept: Sequence[torch.Tensor]):
        def drop(keep: torch.Tensor, fill: torch.Tensor):
            return lambda branch: select(keep, branch, fill)

        drops = [drop(*each) for each in zip(kept, self.fills, strict=True)]
        return at_places(self.network, list(zip(self.branches, drops, strict=True)))

    def output(self, kept: Sequence[torch.Tensor], arriving: torch.Tensor) -> torch.Tensor:
        """The output of the only block, by running it."""
        with self._dropping(kept):
            return self.block(arriving.clone())

    def ended(self, kept: Sequence[torch.Tensor], branch: torch.Tensor, arriving: torch.Tensor) -> torch.Tensor:
        """The output of the only block, from its branch."""
        return there(self.end)(select(kept[0], branch, self.fills[0]), repeated(arriving, len(kept[0])))

    def without_branch(self, whole: torch.Tensor, arriving: torch.Tensor) -> torch.Tensor:
        """The output of the only block with its whole branch, of the output's shape, dropped."""
        nothing = torch.zeros(whole.shape[:2], dtype=torch.bool, device=whole.device)
        return self.output([nothing], arriving) if self.end is None else self.ended([nothing], whole, arriving)

    def selection(self, kept: Sequence[torch.Tensor], whole: torch.Tensor, shortcut: torch.Tensor) -> torch.Tensor:
        return there(self.after)(select(kept[0], whole, shortcut))

    def ending(self, kept: Sequence[torch.Tensor], branch: torch.Tensor, arriving: torch.Tensor) -> torch.Tensor:
        return there(self.after)(self.ended(kept, branch, arriving))

    def replay(self, kept: Sequence[torch.Tensor], arriving: torch.Tensor) -> torch.Tensor:
        with self._dropping(kept):
            return there(self.start)(repeated(arriving, len(kept[0])))

    def passes(self, kept: Sequence[torch.Tensor], images: torch.Tensor) -> torch.Tensor:
        with self._dropping(kept):
            return self.network(repeated(images, len(kept[0])))


class Ablation:
    """Some blocks of a network, whose feature maps can be dropped: one block, or all of a stage together.

    While an intact forward pass leaves the last of the blocks, variants are run to their logits, from what is at hand
    there; the pass then goes on. What is kept of a batch is one block's maps, however many blocks are measured. How a
    variant is run:

    - "selection": the block's output is, channel by channel, the intact one or the one with the whole branch dropped;
      then the rest of the network follows.
    - "ending": the maps are dropped inside of the block, and the rest of the block and of the network follow.
    - "replay": the blocks are run again from their input, and the rest follows.
    - "passes": the whole network is run; where its rest cannot be separated.

    On the first batch each is tried bit for bit against the one after it, and the first that agrees is taken.

    Args:
        network: in evaluation mode.
        sites: in the network's order.
        fills: what dropped maps are set to, for each site of shape (C,) or ().
        rows: images × variants in a forward pass; by the device where not given.
        faster: makes of the network a copy that is run instead, once, after the first batch has shown that its logits
            are the same within a tolerance.
    """

    def __init__(
        self,
        network: nn.Module,
        sites: Sequence[Site],
        fills: Sequence[torch.Tensor],
        rows: int | None = None,
        faster: Callable[[], nn.Module] | None = None,
    ):
        self.network, self.sites, self.fills = network, list(sites), list(fills)
        self.name = f"{type(network).__name__} {', '.join(site.block for site in sites)}"
        self.faster, self.compiled = faster, False
        self.chunk = ChunkSize(rows)
        self.settled: Settled | None = None

    def compile(self, faster: Callable[[], nn.Module]) -> None:
        """Run a copy whose blocks are compiled, for chunks of one size."""
        self.faster, self.compiled = faster, True

    @contextmanager
    def watch(self, enter: Callable, leave: Callable, ready: Callable[["Settled", AtHand], None]) -> Iterator[None]:
        """Look at an intact forward pass inside the with-block.

        Args:
            enter: called with each site's number and what goes into `Site.entry`, from which its gate's values follow.
            leave: called with each site's number and its branch.
            ready: called where the last block ends, with how variants are run and what is at hand for them.
        """
        found: dict[str, torch.Tensor] = {}

        def arrive(module, args):
            # a block may overwrite its input; one that takes no input as usual cannot be run again alone
            if args and isinstance(args[0], torch.Tensor):
                found["arriving"] = args[0].clone()

        def entering(number: int):
            def hook(module, args):
                with aside():
                    enter(number, args[0] if args else None)

            return hook

        def leaving(number: int):
            def look(branch: torch.Tensor) -> None:
                if len(self.sites) == 1 and (self.settled is None or self.settled.way == "ending"):
                    found["branch"] = branch.clone()
                with aside():
                    leave(number, branch)

            return look

        def depart(module, args, output):
            at_hand = AtHand(output, found.pop("branch", None), found.pop("arriving", None))
            with aside():
                if self.settled is None:
                    self.settled = self.settle(at_hand)
                ready(self.settled, at_hand)

        blocks = [find_module(self.network, site.block) for site in self.sites]
        entries = [(find_module(self.network, site.entry), entering(at)) for at, site in enumerate(self.sites)]
        branches = [(site.branch, leaving(at)) for at, site in enumerate(self.sites)]
        with (
            hooked(before=[(blocks[0], arrive), *entries]),
            at_places(self.network, branches),
            hooked((blocks[-1], depart)),
        ):
            yield

    def settle(self, first: AtHand) -> "Settled":
        """On the first batch, find the least that has to be run again, by trying it on every other channel."""
        images, device = len(first), first.device
        self.chunk.start(first.whole)
        exact = Tail(self.network, self.sites, [to_device(fill, device) for fill in self.fills])
        if exact.start is None:
            log.info("%s: what follows cannot be separated; full passes", self.name)
            return Settled("passes", exact, exact, self.chunk, self.compiled)
        half = [
            torch.arange(site.channels, device=device).remainder(2).bool().expand(images, -1) for site in self.sites
        ]
        way = self._least(exact, half, first)
        if way == "replay":
            promised = exact.start(there(first.arriving).clone())
        else:
            promised = there(exact.after)(first.whole.clone())
        log.debug("%s: %s", self.name, way)
        tail = exact if self.faster is None else self._tried(self.faster(), exact, way, half, first)
        return Settled(way, exact, tail, self.chunk, self.compiled, promised)

    def _least(self, exact: Tail, half: Sequence[torch.Tensor], first: AtHand) -> str:
        """The way that runs the least again and gives what the block itself gives."""
        if len(self.sites) > 1 or exact.after is None:
            return "replay"
        whole, branch, arriving = first.whole, there(first.branch), there(first.arriving)
        truth, way = exact.output(half, arriving), "replay"
        if exact.end is not None and torch.equal(exact.ended(half, branch, arriving), truth):
            way = "ending"
        if (way == "ending" or exact.end is None) and whole.shape == branch.shape:
            shortcut = exact.without_branch(whole, arriving)
            if torch.equal(select(half[0], whole, shortcut), truth):
                way = "selection"
        return way

    def _tried(self, faster: nn.Module, exact: Tail, way: str, kept: Sequence[torch.Tensor], first: AtHand) -> Tail:
        """The tail of a faster network if its logits are those of the exact one within the tolerance, else that."""
        fast = Tail(faster, self.sites, exact.fills)
        if any(getattr(exact, part) is not None and getattr(fast, part) is None for part in ("after", "start", "end")):
            return exact
        if self.compiled:  # for the size of all chunks
            kept = [each.repeat(max(self.chunk.begun // len(first), 1), 1) for each in kept]
        expected, got = (
            Settled(way, exact, tail, self.chunk).run(kept, _maps(tail, way, first)).float() for tail in (exact, fast)
        )
        tolerance = TOLERANCE[precision_in_use(expected.device)]
        apart = float((expected - got).abs().max() / expected.std().clamp(min=1e-30))
        if apart <= tolerance:
            return fast
        how = "folding batch norm and compiling" if self.compiled else "folding batch norm"
        log.warning("%s: %s moves logits by %.2g of their spread; left as it is", self.name, how, apart)
        return exact

    def hold(self, settled: "Settled", intact: torch.Tensor) -> "Settled":
        """How variants are run, as the logits of an intact pass leave it.

        Those of the first pass have to be what follows the blocks gave; else the whole network is run from now on.
        """
        close = _nearly_equal if is_accelerator(intact.device) else torch.equal
        if settled.promised is not None and not close(settled.promised, intact):
            log.info("%s: what follows is not all of the network; full passes", self.name)
            settled = replace(settled, way="passes", tail=settled.exact)
        self.settled = replace(settled, promised=None)
        return self.settled


@dataclass(frozen=True)
class Settled:
    """How variants of an ablation are run.

    Args:
        way: of `Ablation`.
        exact: what follows the blocks, of the network itself.
        tail: the same or a faster one, which is run.
        chunk: images × variants in a forward pass.
        compiled: whether the tail's blocks are.
        promised: logits of the first batch by what follows the blocks, until the pass has given its own.
    """

    way: str
    exact: Tail
    tail: Tail
    chunk: ChunkSize
    compiled: bool = False
    promised: torch.Tensor | None = None

    def logits(
        self,
        variants: Sequence[_Rows],
        source: Source,
        reduced: Callable[[torch.Tensor], torch.Tensor] = lambda logits: logits,
    ) -> Iterator[torch.Tensor]:
        """What is made of the logits (N, K) of each variant, in order.

        Args:
            reduced: makes it of those of several variants at once, row by row; the logits themselves by default.
        """
        if not variants:
            return
        maps = _maps(self.tail, self.way, source)
        rows, done = len(variants[0].rows()[0]), 0
        while done < len(variants):
            together = max(self.chunk.begun // rows, 1)
            if not self.compiled:  # of about the same size, so that none is small
                rounds = -(-(len(variants) - done) // together)
                together = -(-(len(variants) - done) // rounds)
            chunk = list(variants[done : done + together])
            padding = chunk[-1:] * (together - len(chunk))  # what is compiled is compiled for one size
            kept = [torch.cat(each) for each in zip(*(variant.rows() for variant in chunk + padding), strict=True)]
            result = self._if_it_fits(lambda: self.run(kept, maps), source.device)  # noqa: B023, called at once
            if result is not None:
                done += len(chunk)
                yield from reduced(result).split(rows)[: len(chunk)]

    def gradients(self, source: Source) -> list[torch.Tensor]:
        """For each site (N, C): the sum over positions of the branch times the gradient of the predicted logit by it.

        In float32, whatever the autocast, by one forward and backward pass of what follows, in chunks of images.
        """
        if isinstance(source, AtHand):
            return self._summed(there(self.exact.start), there(source.arriving))
        return self._summed(self.exact.network, source)

    def _summed(self, run: Callable, maps: torch.Tensor) -> list[torch.Tensor]:
        """`gradients` of the logits that some maps are run to."""
        while True:
            parts = maps.tensor_split(-(-len(maps) // self.chunk.begun))
            results = self._if_it_fits(lambda: [self._gradients(run, part) for part in parts], maps.device)  # noqa: B023
            if results is not None:
                return [torch.cat(each) for each in zip(*results, strict=True)]

    def _gradients(self, run: Callable, maps: torch.Tensor) -> list[torch.Tensor]:
        seen: dict[int, torch.Tensor] = {}

        def keep(number: int):
            def look(branch: torch.Tensor) -> torch.Tensor:
                seen[number] = branch.clone()
                return seen[number].clone()  # what follows may overwrite it

            return look

        branches = [(branch, keep(number)) for number, branch in enumerate(self.exact.branches)]
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(maps.device.type, enabled=False),
            float32_as("fp32"),
            at_places(self.exact.network, branches),
        ):
            logits = run(maps.float().clone().requires_grad_())
            predicted, values = logits.amax(1).sum(), [seen[number] for number in range(len(branches))]
            gradients = torch.autograd.grad(predicted, values)
            return [(each * by).sum((2, 3)).detach() for each, by in zip(values, gradients, strict=True)]

    def run(self, kept: Sequence[torch.Tensor], maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """The logits of a chunk; a batch that is larger than a chunk goes through in pieces."""
        way = getattr(self.tail, self.way)
        pieces = -(-len(maps[0]) // self.chunk.begun) if len(kept[0]) == len(maps[0]) else 1
        results = []
        for piece in range(pieces):
            part = [each.tensor_split(pieces)[piece] for each in (*kept, *maps)] if pieces > 1 else [*kept, *maps]
            results.append(way(part[: len(kept)], *part[len(kept) :]))
        return torch.cat(results) if pieces > 1 else results[0]

    def _if_it_fits(self, work: Callable, device: torch.device):
        """What the work gives, or None where memory ran out: then the chunk's size has been halved."""
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        free_memory(device)  # after the handler, whose traceback holds what filled the memory
        self.chunk.halve()
        return None


def _maps(tail: Tail, way: str, source: Source) -> list[torch.Tensor]:
    """What a way of a tail takes beside the channels that are kept."""
    if isinstance(source, torch.Tensor):
        return [source]
    arriving = there(source.arriving)
    if way == "selection":
        return [source.whole, tail.without_branch(source.whole, arriving)]
    return [there(source.branch), arriving] if way == "ending" else [arriving]


def there(part: T | None) -> T:
    """A part of the network, or a map, that the way taken has."""
    assert part is not None
    return part


def _nearly_equal(x: torch.Tensor, y: torch.Tensor) -> bool:
    """An accelerator may choose other kernels from call to call; a wrong rest would be off by the logits' spread."""
    return bool((x - y).abs().max() <= max(1e-2, TOLERANCE[precision_in_use(y.device)]) * y.float().std())


def select(keep: torch.Tensor, kept: torch.Tensor, dropped: torch.Tensor) -> torch.Tensor:
    """Channel by channel one of two maps, in the layout of the first: another layout would take other kernels.

    Args:
        keep: bool (V·N, C).
        kept: (N, C, H, W), taken for each of the V variants.
        dropped: the same, or what dropped maps are filled with, (C,) or ().
    """
    images, channels = kept.shape[:2]
    last = kept.is_contiguous(memory_format=torch.channels_last) and not kept.is_contiguous()
    kept, dropped = kept.permute(0, 2, 3, 1), dropped.permute(0, 2, 3, 1) if dropped.ndim == 4 else dropped
    chosen = torch.where(keep.view(-1, images, 1, 1, channels), kept, dropped.to(kept.dtype))
    chosen = chosen.flatten(0, 1).permute(0, 3, 1, 2)
    return chosen if last else chosen.contiguous()


def repeated(maps: torch.Tensor, rows: int) -> torch.Tensor:
    """A copy of maps (N, C, H, W), as often as it takes to fill the rows."""
    return torch.cat([maps] * (rows // len(maps)))
