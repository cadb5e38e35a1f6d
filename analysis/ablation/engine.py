"""Logits of a network with feature maps of some blocks dropped: the intact part once, for each variant the rest."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

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
        assert self.end is not None
        return self.end(select(kept[0], branch, self.fills[0]), repeated(arriving, len(kept[0])))

    def without_branch(self, whole: torch.Tensor, arriving: torch.Tensor) -> torch.Tensor:
        """The output of the only block with its whole branch, of the output's shape, dropped."""
        nothing = torch.zeros(whole.shape[:2], dtype=torch.bool, device=whole.device)
        return self.output([nothing], arriving) if self.end is None else self.ended([nothing], whole, arriving)

    def selection(self, kept: Sequence[torch.Tensor], whole: torch.Tensor, shortcut: torch.Tensor) -> torch.Tensor:
        assert self.after is not None
        return self.after(select(kept[0], whole, shortcut))

    def ending(self, kept: Sequence[torch.Tensor], branch: torch.Tensor, arriving: torch.Tensor) -> torch.Tensor:
        assert self.after is not None
        return self.after(self.ended(kept, branch, arriving))

    def replay(self, kept: Sequence[torch.Tensor], arriving: torch.Tensor) -> torch.Tensor:
        assert self.start is not None
        with self._dropping(kept):
            return self.start(repeated(arriving, len(kept[0])))

    def passes(self, kept: Sequence[torch.Tensor], images: torch.Tensor) -> torch.Tensor:
        with self._dropping(kept):
            return self.network(repeated(images, len(kept[0])))

    def compile(self) -> None:
        """Compile what is run for each variant, but for blocks that are looked into while they run."""
        self.after = self.after and torch.compile(self.after, dynamic=False)
        if not any(map(is_join, self.branches)):
            self.start = self.start and torch.compile(self.start, dynamic=False)


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
        compiled: whether torch.compile is used for what is run for each variant.
    """

    def __init__(
        self,
        network: nn.Module,
        sites: Sequence[Site],
        fills: Sequence[torch.Tensor],
        rows: int | None = None,
        faster: Callable[[], nn.Module] | None = None,
        compiled: bool = False,
    ):
        self.network, self.sites, self.fills = network, list(sites), list(fills)
        self.name = f"{type(network).__name__} {', '.join(site.block for site in sites)}"
        self.faster, self.compiled = faster, compiled
        self.chunk = ChunkSize(rows)
        self.way: str | None = None
        self.exact: Tail | None = None
        self.tail: Tail | None = None
        self.promised: torch.Tensor | None = None
        self.whole: torch.Tensor | None = None
        self.branch: torch.Tensor | None = None
        self.arriving: torch.Tensor | None = None

    @contextmanager
    def watch(self, enter: Callable, leave: Callable, ready: Callable[[], None]) -> Iterator[None]:
        """Look at an intact forward pass inside the with-block.

        Args:
            enter: called with each site's number and what goes into `Site.entry`, from which its gate's values follow.
            leave: called with each site's number and its branch.
            ready: called where the last block ends; there `settle`, `logits` and `gradients` may be called.
        """

        def arrive(module, args):
            # a block may overwrite its input; one that takes no input as usual cannot be run again alone
            self.arriving = args[0].clone() if args and isinstance(args[0], torch.Tensor) else None

        def entering(number: int):
            def hook(module, args):
                with aside():
                    enter(number, args[0] if args else None)

            return hook

        def leaving(number: int):
            def look(branch: torch.Tensor) -> None:
                if len(self.sites) == 1 and self.way in (None, "ending"):
                    self.branch = branch.clone()
                with aside():
                    leave(number, branch)

            return look

        def depart(module, args, output):
            self.whole = output
            with aside():
                ready()
            self.whole = self.branch = self.arriving = None

        blocks = [find_module(self.network, site.block) for site in self.sites]
        entries = [(find_module(self.network, site.entry), entering(at)) for at, site in enumerate(self.sites)]
        branches = [(site.branch, leaving(at)) for at, site in enumerate(self.sites)]
        with (
            hooked(before=[(blocks[0], arrive), *entries]),
            at_places(self.network, branches),
            hooked((blocks[-1], depart)),
        ):
            yield

    def logits(self, variants: Sequence[_Rows], images: torch.Tensor | None = None) -> Iterator[torch.Tensor]:
        """Logits (N, K) of each variant, in order.

        Args:
            images: the batch, where the way is "passes".
        """
        if not variants:
            return
        assert self.tail is not None and self.way is not None  # settled
        way, maps = self._way(self.tail, self.way, images)
        rows, done = len(variants[0].rows()[0]), 0
        while done < len(variants):
            together = min(max(self.chunk.begun // rows, 1), len(variants))
            rounds = -(-(len(variants) - done) // together)
            if not self.compiled:  # of about the same size, so that none is small
                together = -(-(len(variants) - done) // rounds)
            chunk = list(variants[done : done + together])
            padding = chunk[-1:] * (together - len(chunk))  # a compiled network is compiled for one size
            kept = [torch.cat(each) for each in zip(*(variant.rows() for variant in chunk + padding), strict=True)]
            result = self._if_it_fits(lambda: self._run(way, kept, maps))  # noqa: B023, called at once
            if result is not None:
                done += len(chunk)
                yield from result.split(rows)[: len(chunk)]

    def batch(self, images: torch.Tensor | None = None) -> tuple[int, torch.device]:
        """How many images the batch at hand has, and where they are."""
        maps = at_hand(self.whole if images is None else images)
        return len(maps), maps.device

    def keep_promise(self, intact: torch.Tensor) -> bool:
        """Whether the first batch's logits, from what follows the blocks, are those of the intact pass itself."""
        if self.promised is not None:
            close = _nearly_equal if is_accelerator(intact.device) else torch.equal
            if not close(self.promised, intact):
                log.info("%s: what follows is not all of the network; full passes", self.name)
                self.way, self.tail = "passes", self.exact
            self.promised = None
        return self.way != "passes"

    def gradients(self, images: torch.Tensor | None = None) -> list[torch.Tensor]:
        """For each site (N, C): the sum over positions of the branch times the gradient of the predicted logit by it.

        In float32, whatever the autocast, by one forward and backward pass of what follows, in chunks of images.
        """
        assert self.exact is not None  # settled
        run = self.exact.start if images is None else self.network
        assert run is not None  # else there are images
        maps = at_hand(self.arriving if images is None else images)
        while True:
            parts = maps.tensor_split(-(-len(maps) // self.chunk.begun))
            results = self._if_it_fits(lambda: [self._gradients(run, part) for part in parts])  # noqa: B023
            if results is not None:
                return [torch.cat(each) for each in zip(*results, strict=True)]

    def _gradients(self, run: Callable, maps: torch.Tensor) -> list[torch.Tensor]:
        seen: dict[int, torch.Tensor] = {}

        def keep(number: int):
            def look(branch: torch.Tensor) -> torch.Tensor:
                seen[number] = branch.clone()
                return seen[number].clone()  # what follows may overwrite it

            return look

        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(maps.device.type, enabled=False),
            float32_as("fp32"),
            at_places(self.network, [(site.branch, keep(number)) for number, site in enumerate(self.sites)]),
        ):
            logits = run(maps.float().clone().requires_grad_())
            predicted, branches = logits.amax(1).sum(), [seen[number] for number in range(len(self.sites))]
            gradients = torch.autograd.grad(predicted, branches)
            return [(each * by).sum((2, 3)).detach() for each, by in zip(branches, gradients, strict=True)]

    def _run(self, way: Callable, kept: list[torch.Tensor], maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """The logits of a chunk; a batch that is larger than a chunk goes through in pieces."""
        pieces = -(-len(maps[0]) // self.chunk.begun) if len(kept[0]) == len(maps[0]) else 1
        results = []
        for piece in range(pieces):
            part = [each.tensor_split(pieces)[piece] for each in (*kept, *maps)] if pieces > 1 else [*kept, *maps]
            results.append(way(part[: len(kept)], *part[len(kept) :]))
        return torch.cat(results) if pieces > 1 else results[0]

    def _if_it_fits(self, work: Callable):
        """What the work gives, or None where memory ran out: then the chunk's size has been halved."""
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        free_memory(self.fills[0].device)  # after the handler, whose traceback holds what filled the memory
        self.chunk.halve()
        return None

    def _way(self, tail: Tail, way: str, images: torch.Tensor | None = None) -> tuple[Callable, list[torch.Tensor]]:
        """What runs a chunk, and the maps that it takes."""
        maps: dict[str, Callable[[], list[torch.Tensor]]] = {
            "selection": lambda: [
                at_hand(self.whole),
                tail.without_branch(at_hand(self.whole), at_hand(self.arriving)),
            ],
            "ending": lambda: [at_hand(self.branch), at_hand(self.arriving)],
            "replay": lambda: [at_hand(self.arriving)],
            "passes": lambda: [at_hand(images)],
        }
        return getattr(tail, way), maps[way]()

    def settle(self) -> None:
        """On the first batch, find the least that has to be run again, by trying it on every other channel."""
        if self.way is not None:
            return
        whole = at_hand(self.whole)
        images, device = len(whole), whole.device
        self.chunk.start(device)
        self.fills = [to_device(fill, device) for fill in self.fills]
        exact = self.exact = self.tail = Tail(self.network, self.sites, self.fills)
        half = [
            torch.arange(site.channels, device=device).remainder(2).bool().expand(images, -1) for site in self.sites
        ]
        self.way = "passes"
        if exact.start is None:
            log.info("%s: what follows cannot be separated; full passes", self.name)
            return
        self.way, arriving = "replay", at_hand(self.arriving)
        if len(self.sites) == 1 and exact.after is not None:
            branch, truth = at_hand(self.branch), exact.output(half, arriving)
            if exact.end is not None and torch.equal(exact.ended(half, branch, arriving), truth):
                self.way = "ending"
            if (self.way == "ending" or exact.end is None) and whole.shape == branch.shape:
                shortcut = exact.without_branch(whole, arriving)
                if torch.equal(select(half[0], whole, shortcut), truth):
                    self.way = "selection"
        if self.way == "replay":
            self.promised = exact.start(arriving.clone())
        else:
            assert exact.after is not None
            self.promised = exact.after(whole.clone())
        log.debug("%s: %s", self.name, self.way)
        if self.faster is not None:
            self._try_faster(exact, half)
        if self.compiled:
            self.tail.compile()

    def _try_faster(self, exact: Tail, kept: Sequence[torch.Tensor]) -> None:
        assert self.faster is not None and self.way is not None
        fast = Tail(self.faster(), self.sites, self.fills)
        if any(getattr(exact, part) is not None and getattr(fast, part) is None for part in ("after", "start", "end")):
            return
        ways = [self._way(tail, self.way) for tail in (exact, fast)]
        expected, got = (way(kept, *maps).float() for way, maps in ways)
        tolerance = TOLERANCE[precision_in_use(expected.device)]
        apart = float((expected - got).abs().max() / expected.std().clamp(min=1e-30))
        if apart <= tolerance:
            self.tail = fast
        else:
            log.warning("%s: folding batch norm moves logits by %.2g of their spread; left unfolded", self.name, apart)


def at_hand(maps: torch.Tensor | None) -> torch.Tensor:
    """Maps that are there in the way that is taken."""
    assert maps is not None
    return maps


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
