"""Where features live in a network: its stages, their blocks, and each block's branch and gate."""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import takewhile

import torch
from torch import nn

from ..devices import float32_as
from ..errors import UsageError
from ..names import paper_name
from ..networks.card import card_of
from ..networks.preprocessing import preprocessing_of
from ..networks.weights import has_resnet_stages
from .hooks import aside, attempt, evaluating, find_module, hooked

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

_SHORTCUTS = re.compile(r"downsample|shortcut|skip|proj|identity")


@dataclass(frozen=True)
class Site:
    """Where feature maps of one block are dropped.

    Args:
        block: the block's name.
        branch: the module whose output's channels are dropped: the gate where there is one, else the end of the
            residual branch, else the block itself.
        gate: the module that scales its input channel by channel by values in [0, 1], if there is one.
        values: the module inside the gate whose output those values are.
        channels: of the branch's output.
    """

    block: str
    branch: str
    channels: int
    gate: str | None = None
    values: str | None = None


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


@dataclass(frozen=True)
class _Call:
    """One call of a module in a forward pass, with copies of what went in and what came out."""

    name: str
    x: torch.Tensor
    y: torch.Tensor


def common_name(sites: Sequence[Site]) -> str:
    """What the blocks have in common of their names: that of their stage."""
    parts = zip(*(site.block.split(".") for site in sites), strict=False)
    common = [part[0] for part in takewhile(lambda part: len(set(part)) == 1, parts)]
    return ".".join(common) or "+".join(site.block for site in sites)


def find_sites(network: nn.Module, blocks: Sequence[str], shape: Sequence[int] | None = None) -> list[Site]:
    """The branch and the gate of each block, found by what its modules do with random images; in the order called.

    A gate is a module that returns its input times the output of a module within it, whose values lie in [0, 1]. A
    branch ends in the module whose output is added to the block's input, or to that of a module named as a shortcut,
    or is a part of the output's channels, with or without an activation function after.

    Args:
        shape: of one image (3, H, W); by the network's preprocessing where not given.

    Raises:
        UsageError: a block's output is no map (N, C, H, W), it is not called or more than once, it holds another of the
            blocks, or several gates; or the network's parameters are not float32.
    """
    for block in blocks:
        if inside := [other for other in blocks if other.startswith(f"{block}.")]:
            raise UsageError(f"block `{block}` holds block `{inside[0]}`: expected one or the other")
    for name, parameter in network.named_parameters():
        if parameter.dtype != torch.float32:
            raise UsageError(f"parameter `{name}` is {parameter.dtype}; expected float32 (a precision is autocast)")
    modules = {block: find_module(network, block) for block in blocks}
    images = example_images(network, shape)
    found: dict[str, list[Site]] = {}
    arrived: dict[str, list] = {}
    calls: dict[str, list[_Call]] = {block: [] for block in blocks}

    def before(name: str):
        def hook(module, args):
            x = args[0] if args else None
            arrived.setdefault(name, []).append(x.clone() if isinstance(x, torch.Tensor) else None)

        return hook

    def after(block: str, name: str):
        def hook(module, args, output):
            x = arrived[name].pop()
            if isinstance(x, torch.Tensor) and isinstance(output, torch.Tensor):
                calls[block].append(_Call(name, x, output.clone()))
            if name == block:
                if not isinstance(output, torch.Tensor) or output.ndim != 4:
                    what = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
                    raise UsageError(f"block `{block}` gives {what}; expected maps (N, C, H, W)")
                found.setdefault(block, []).append(_recognise(block, calls[block]))
                calls[block].clear()

        return hook

    watched = [
        (block, f"{block}.{inner}".rstrip("."), module)
        for block, outer in modules.items()
        for inner, module in outer.named_modules()
    ]
    entering = [(module, before(name)) for _, name, module in watched]
    leaving = [(module, after(block, name)) for block, name, module in watched]
    with evaluating(network), torch.inference_mode(), hooked(*leaving, before=entering):
        attempt(network, images)
    for block in blocks:
        if (times := len(found.get(block, ()))) != 1:
            raise UsageError(f"block `{block}` is called {times} times in a forward pass; expected once")
    return [sites[0] for sites in found.values()]


def example_images(network: nn.Module, shape: Sequence[int] | None = None) -> torch.Tensor:
    """Two images of noise that the network takes, on its device."""
    side = preprocessing_of(network).size if shape is None else 0
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    return torch.randn(2, *(shape or (3, side, side)), generator=torch.Generator().manual_seed(0)).to(device)


def _recognise(block: str, calls: Sequence[_Call]) -> Site:
    by_depth = sorted(calls, key=lambda call: call.name.count("."))  # a module before those within it
    gates: list[Site] = []
    for gate in by_depth:
        if any(gate.name.startswith(f"{site.gate}.") for site in gates):
            continue
        if gate.x.ndim == 4 and gate.x.shape == gate.y.shape:
            inside = [
                call for call in reversed(calls) if call.name.startswith(f"{gate.name}.") and _scales(gate, call.y)
            ]
            gates += [Site(block, gate.name, gate.y.shape[1], gate.name, inner.name) for inner in inside[:1]]
    if len(gates) > 1:
        names = ", ".join(f"`{site.gate}`" for site in gates[:3])
        raise UsageError(f"block `{block}` holds {len(gates)} gates ({names} …); name what holds one")
    if gates:
        return gates[0]
    whole = calls[-1]
    sums = [whole.y] + [call.x for call in calls[:-1] if torch.equal(call.y, whole.y)]
    inside = [call for call in by_depth if call.name != block and call.y.ndim == 4]
    shortcuts = [call for call in inside if _SHORTCUTS.search(call.name.removeprefix(block))]
    rest = [call for call in inside if call not in shortcuts]
    for branch in rest:
        for shortcut in [whole.x, *(call.y for call in shortcuts)]:
            if any(_joins(branch.y, shortcut, total) for total in sums):
                return Site(block, branch.name, branch.y.shape[1])
    return Site(block, block, whole.y.shape[1])


def _scales(gate: _Call, values: torch.Tensor) -> bool:
    values = _per_channel(values, gate.x)
    if values is None or not (float(values.min()) >= 0 and 0 < float(values.max()) <= 1):
        return False
    return torch.equal(gate.y, gate.x * values)


def _per_channel(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor | None:
    """A gate's values in the shape that scales maps (N, C, H, W); (N, C) and (N, 1, C) are read as one a channel."""
    images, channels, *side = x.shape
    if values.shape in ((images, channels, 1, 1), (images, channels, *side)):
        return values
    if values.shape in ((images, channels), (images, 1, channels)):
        return values.reshape(images, channels, 1, 1)
    return None


def _joins(branch: torch.Tensor, shortcut: torch.Tensor, total: torch.Tensor) -> bool:
    if branch.shape == shortcut.shape == total.shape:
        return _is(branch + shortcut, total)
    channels = branch.shape[1]
    if branch.shape[2:] == total.shape[2:] and channels < total.shape[1]:  # concatenated with something
        return _is(branch, total[:, :channels]) or _is(branch, total[:, -channels:])
    return False


def _is(x: torch.Tensor, y: torch.Tensor) -> bool:
    """Whether y is x, or its positive part."""
    return torch.equal(x, y) or torch.equal(x.relu(), y)


def gate_values(network: nn.Module, site: Site, x: torch.Tensor) -> torch.Tensor:
    """The gate of each channel for each image, in float32 whatever the autocast, mean over positions.

    Args:
        site: one with a gate.
        x: the gate's input, (N, C, H, W).

    Returns:
        (N, C) values in [0, 1].
    """
    gate, seen = network.get_submodule(site.gate), []
    note = (network.get_submodule(site.values), lambda module, args, output: seen.append(output))
    with aside(), hooked(note), torch.autocast(x.device.type, enabled=False), float32_as("fp32"):
        gate(x.float().clone())  # a gate may multiply in place
    return _per_channel(seen[-1], x).mean((2, 3))


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
