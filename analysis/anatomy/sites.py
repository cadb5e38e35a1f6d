"""Where features live in a network: its stages, their blocks, and each block's branch and gate."""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from itertools import count, takewhile

import torch
from torch import nn

from ..devices import float32_as
from ..errors import UsageError
from ..names import paper_name
from ..networks.card import card_of
from ..networks.modes import evaluating
from ..networks.preprocessing import preprocessing_of
from ..networks.weights import has_resnet_stages
from .hooks import aside, attempt, find_module, hooked
from .operations import Recorder, at_places
from .recognition import Anatomy, Site, copied, recognise, verified

log = logging.getLogger(__name__)

STAGES = (
    (r"layer([1-9]\d*)", 1),  # residual networks of timm, torchvision and Cadene
    (r"stage(\d+)", 0),  # ShuffleNets
    (r"s(\d+)", 1),  # timm's RegNets
    (r"trunk_output\.block(\d+)", 1),  # torchvision's RegNets
    (r"stages\.(\d+)", 2),  # timm's ConvNeXts
    (r"blocks\.(\d+)", 2),  # timm's EfficientNets and MobileNets
    (r"features\.([1-9]\d*)", 1),  # torchvision's EfficientNets
)
"""Names of stages, and what to add to the number in them to count as the papers do, whose stage 1 is the stem."""

STAGE = 4
"""What is measured where nothing else is said: conv4_x, `layer3`."""


def block_names(network: nn.Module) -> dict[int, list[str]]:
    """The blocks of each stage by name, stages numbered as in the papers: stage 4 is conv4_x, `layer3`.

    Empty where the network's names follow no pattern of `STAGES`.
    """
    modules = dict(network.named_modules(remove_duplicate=False))
    for pattern, added in STAGES:
        found = {name: match for name in modules if (match := re.fullmatch(pattern, name))}
        stages: dict[int, list[str]] = {}
        for name, match in found.items():
            inside = f"{name}.blocks" if f"{name}.blocks" in modules else name
            children = dict(modules[inside].named_children())
            if pattern.startswith(("blocks", "features")) and type(modules[name]) is not nn.Sequential:
                continue  # a transformer's blocks have no stages; of `features` the stem and the head
            if pattern.startswith("features") and len({type(child) for child in children.values()}) > 1:
                return {}  # torchvision's ConvNeXts have layers between stages that are numbered with them
            if children:
                stages[int(match[1]) + added] = [f"{inside}.{child}" for child in children]
        if pattern.startswith("features") and stages and len(stages) <= max(stages) - min(stages):
            return {}  # nor are those of torchvision's Swin numbered one after the other
        if stages:
            return stages
    return {}


def paper_names(network: nn.Module, blocks: Sequence[str]) -> list[str]:
    """Names of blocks as the papers have them, conv4-1 and so on, where the network's stages are ResNet's four.

    Elsewhere, as in networks for CIFAR whose `layer3` is their last stage, the blocks' own names.
    """
    return [paper_name(block) if has_resnet_stages(network) else block for block in blocks]


def resolve_blocks(network: nn.Module, stage: int | None = None, blocks: Sequence[str] | None = None) -> list[str]:
    """The names of the blocks asked for, in the network's order: `blocks` where given, else all of `stage`.

    Args:
        network: any module.
        stage: its number, where its stages are known; by default 4, or the last but one where there are not so many.
        blocks: names of modules; in a name, `*` and `?` stand for any part of one name between dots: `layer3.*`.

    Raises:
        UsageError: no such stage or module; the message lists those that are there.
    """
    stages = block_names(network)
    if isinstance(blocks, str):
        raise UsageError(f'Expected argument `blocks` to be a list of names, but got {blocks!r}: write ["{blocks}"]')
    if blocks:
        order = {name: number for number, (name, _) in enumerate(network.named_modules(remove_duplicate=False))}
        chosen = {name: None for pattern in blocks for name in _matching(pattern, order)}
        for block in chosen:
            find_module(network, block, [name for names in stages.values() for name in names])
        return sorted(chosen, key=lambda block: order.get(block, len(order)))
    if stage is None:
        stage = STAGE
        if stages and stage not in stages:
            stage = sorted(stages)[-2:][0]
            text = "%s has no stage %d, of %s: stage %d is taken; --stage or --blocks say otherwise"
            log.warning(text, card_of(network).reference, STAGE, ", ".join(map(str, stages)), stage)
    if stage not in stages:
        have = ", ".join(map(str, stages)) or "none that are known: name the blocks, as `gelens layers` lists them"
        raise UsageError(f"no stage {stage} in {type(network).__name__}; its stages: {have}")
    return stages[stage]


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    if not set("*?[") & set(pattern):
        return [pattern]
    parts = pattern.split(".")
    found = [
        name
        for name in names
        if name.count(".") == pattern.count(".") and all(map(fnmatchcase, name.split("."), parts))
    ]
    if not found:
        raise UsageError(f"no block matches `{pattern}`")
    return found


def block_depths(network: nn.Module, blocks: Sequence[str]) -> list[int]:
    """The depth of each block: its place in its stage from 1 on where all are of one stage, else among those given."""
    for names in block_names(network).values():
        if set(blocks) <= set(names):
            return [names.index(block) + 1 for block in blocks]
    return list(range(1, len(blocks) + 1))


def relative_depths(network: nn.Module, blocks: Sequence[str]) -> list[float]:
    """The depth of each block as a share of its stage, (0, 1], so that stages of 3 and of 9 blocks can be compared.

    The last block of a stage is at 1. Blocks of several stages are placed among all blocks that are known, others among
    those given.
    """
    by_stage = block_names(network).values()
    every = [name for names in by_stage for name in names]
    for names in [*by_stage, every]:
        if set(blocks) <= set(names):
            return [(names.index(block) + 1) / len(names) for block in blocks]
    return [(number + 1) / len(blocks) for number in range(len(blocks))]


def common_name(sites: Sequence[Site]) -> str:
    """What the blocks have in common of their names: that of their stage."""
    parts = zip(*(site.block.split(".") for site in sites), strict=False)
    common = [part[0] for part in takewhile(lambda part: len(set(part)) == 1, parts)]
    return ".".join(common) or "+".join(site.block for site in sites)


def find_sites(network: nn.Module, blocks: Sequence[str], shape: Sequence[int] | None = None) -> list[Site]:
    """Where maps of each block are dropped, and its gate: proved, or stated by the network's `anatomy`; as called.

    Args:
        shape: of one image (3, H, W); by the network's preprocessing where not given.

    Raises:
        UsageError: as of `anatomies`, or a block whose parts cannot be told; the message says what would help.
    """
    found = anatomies(network, blocks, shape)
    for each in found:
        if each.site is None:
            raise UsageError(
                f"block `{each.block}` of {type(network).__name__}: its branch and shortcut, or its gate, cannot be "
                f"told: {each.why}; state them by modules below the block (--branch, --shortcut, --gate; in Python "
                f"network.anatomy = gelens.StatedParts(branch=…)), or name other blocks"
            )
    return [each.site for each in found if each.site is not None]


def anatomies(network: nn.Module, blocks: Sequence[str], shape: Sequence[int] | None = None) -> list[Anatomy]:
    """What is known of each block's branch, shortcut and gate, in the order called; see `recognition`.

    What somebody states is taken from the network's attribute `anatomy`, a `StatedParts`.

    Args:
        shape: of one image (3, H, W); by the network's preprocessing where not given.

    Raises:
        UsageError: a block's output is no map (N, C, H, W), it is not called or more than once, it holds another of the
            blocks, or what is stated of it does not hold; or the network's parameters are not float32.
    """
    for block in blocks:
        if inside := [other for other in blocks if other.startswith(f"{block}.")]:
            raise UsageError(f"block `{block}` holds block `{inside[0]}`: expected one or the other")
    for name, parameter in network.named_parameters():
        if parameter.dtype != torch.float32:
            raise UsageError(f"parameter `{name}` is {parameter.dtype}; expected float32 (a precision is autocast)")
    watchers = [_Watcher(network, block) for block in blocks]
    with evaluating(network), torch.inference_mode():
        with ExitStack() as stack:
            for watcher in watchers:
                stack.enter_context(watcher.watch())
            attempt(network, example_images(network, shape))
        for watcher in watchers:
            if (times := len(watcher.found)) != 1:
                raise UsageError(f"block `{watcher.block}` is called {times} times in a forward pass; expected once")
        called = sorted(watchers, key=lambda watcher: watcher.number)
        return [watcher.verified() for watcher in called]


class _Watcher:
    """Records a block's pass, and reads off it what the block's parts are."""

    called = count()

    def __init__(self, network: nn.Module, block: str):
        self.network, self.block, self.module = network, block, find_module(network, block)
        self.stated = card_of(network).anatomy
        self.found: list[Anatomy] = []

    @contextmanager
    def watch(self) -> Iterator[None]:
        constants = {**dict(self.network.named_parameters()), **dict(self.network.named_buffers())}
        recorder: Recorder | None = None

        def begun() -> Recorder:
            assert recorder is not None, "a module within the block is called before the block"
            return recorder

        def begin(module, args):
            nonlocal recorder
            recorder = Recorder(self.block, constants)
            recorder.arrive(args)
            self.arguments = copied(args)
            recorder.__enter__()

        def end(module, args, output):
            recorder = begun()
            recorder.__exit__(None, None, None)
            if not isinstance(output, torch.Tensor) or output.ndim != 4:
                what = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
                raise UsageError(f"block `{self.block}` gives {what}; expected maps (N, C, H, W)")
            self.number, self.output = next(_Watcher.called), output.clone()
            self.found.append(recognise(recorder, recorder.value(output), self.stated))

        def entering(name: str):
            return lambda module, args: begun().enter(name, args)

        def leaving(name: str):
            return lambda module, args, output: begun().leave(name, output)

        inner = [
            (f"{self.block}.{name}", each)
            for name, each in self.module.named_modules()
            if name and not isinstance(each, torch.jit.ScriptModule)
        ]
        before = [(self.module, begin), *((each, entering(name)) for name, each in inner)]
        after = [*((each, leaving(name)) for name, each in inner), (self.module, end)]
        with hooked(*after, before=before):
            yield

    def verified(self) -> Anatomy:
        (found,) = self.found
        return verified(self.network, found, self.arguments, self.output)


def example_images(network: nn.Module, shape: Sequence[int] | None = None) -> torch.Tensor:
    """Two images of noise that the network takes, on its device."""
    side = preprocessing_of(network).size if shape is None else 0
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    return torch.randn(2, *(shape or (3, side, side)), generator=torch.Generator().manual_seed(0)).to(device)


def gate_values(network: nn.Module, site: Site, x: torch.Tensor) -> torch.Tensor:
    """The gate of each channel for each image, in float32 whatever the autocast, mean over positions.

    Args:
        site: one with a gate.
        x: what goes into `site.entry`: the gate's input (N, C, H, W), or that of the block where the gate is no module.

    Returns:
        (N, C).
    """
    assert site.values is not None
    seen: list[torch.Tensor] = []
    entry = network.get_submodule(site.entry)
    with (
        aside(),
        at_places(network, [(site.values, seen.append)]),
        torch.autocast(x.device.type, enabled=False),
        float32_as("fp32"),
    ):
        entry(x.float().clone())  # a gate may multiply in place
    return _per_channel(seen[-1], site.channels).mean((2, 3))


def _per_channel(values: torch.Tensor, channels: int) -> torch.Tensor:
    """A gate's values as maps (N, C, H, W); (N, C) and (N, 1, C) are read as one a channel."""
    return values if values.ndim == 4 else values.reshape(len(values), channels, 1, 1)


def signed_blocks(
    network: nn.Module, blocks: Sequence[str], shape: Sequence[int] | None = None
) -> dict[str, tuple[float, str | None]]:
    """Of the blocks those whose outputs are negative somewhere on images of noise.

    Returns:
        By block its least activity, and the name of the next module that ends and whose output is not negative
        anywhere, with the same number of dimensions; None where there is none.
    """
    ended: list[tuple[str, float, int]] = []

    def note(name: str):
        def hook(module, args, output):
            if isinstance(output, torch.Tensor) and output.ndim > 1:
                ended.append((name, float(output.min()), output.ndim))

        return hook

    names = {module: name for name, module in network.named_modules() if name}
    with evaluating(network), torch.inference_mode(), hooked(*((each, note(name)) for each, name in names.items())):
        attempt(network, example_images(network, shape))
    signed = {}
    for block in blocks:
        at = next((number for number, call in enumerate(ended) if call[0] == block), None)
        if at is not None and ended[at][1] < 0:
            following = (name for name, least, ndim in ended[at + 1 :] if least >= 0 and ndim == ended[at][2])
            signed[block] = ended[at][1], next(following, None)
    return signed
