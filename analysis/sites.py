"""Where features live in a network: its stages, their blocks, and each block's branch and gate."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from timm.layers import SEModule
from torch import nn

from analysis.errors import UsageError
from analysis.hooks import find_module, hooked
from analysis.networks.gather_excite import GatherExcite
from analysis.networks.preprocessing import preprocessing_of

GATE_MODULES = (SEModule, GatherExcite)
"""Modules that multiply their input by the output of their submodule `gate`."""


@dataclass(frozen=True)
class Site:
    """One block: `branch` is the module whose output is added to the shortcut, `gate` the module that scales it.

    `gate` is the branch's own last module where there is one (then `gate == branch`), else None.
    """

    block: str
    branch: str
    gate: str | None


def block_names(network: nn.Module) -> dict[int, list[str]]:
    """The blocks of each stage, numbered as in the papers: stage s is `layer{s−1}` of a ResNet, else `stage{s}`."""
    stages: dict[int, list[str]] = {}
    for name, child in network.named_children():
        if (match := re.fullmatch(r"(layer|stage)(\d+)", name)) and isinstance(child, nn.Sequential):
            number = int(match[2]) + (match[1] == "layer")
            stages[number] = [f"{name}.{block}" for block, _ in child.named_children()]
    return stages


def resolve_blocks(network: nn.Module, stage: int | None = 4, blocks: Sequence[str] | None = None) -> list[str]:
    """The names of the blocks asked for, in the network's order: `blocks` where given, else all of `stage`.

    Raises:
        UsageError: no such stage or module; the message lists those that are there.
    """
    stages = block_names(network)
    if blocks:
        for block in blocks:
            find_module(network, block, [name for names in stages.values() for name in names])
        order = {name: number for number, (name, _) in enumerate(network.named_modules(remove_duplicate=False))}
        return sorted(dict.fromkeys(blocks), key=lambda block: order.get(block, len(order)))
    if stage not in stages:
        have = ", ".join(map(str, stages)) or "none that are known: name the blocks"
        raise UsageError(f"no stage {stage} in {type(network).__name__}; its stages: {have}")
    return stages[stage]


def block_depths(network: nn.Module, blocks: Sequence[str]) -> list[int]:
    """The depth of each block: its place in its stage from 1 on where all are of one stage, else among those given."""
    for names in block_names(network).values():
        if set(blocks) <= set(names):
            return [names.index(block) + 1 for block in blocks]
    return list(range(1, len(blocks) + 1))


def paper_name(block: str) -> str:
    """A block's name in the paper, or the block itself.

    >>> paper_name("layer3.0"), paper_name("features.2")
    ('conv4-1', 'features.2')
    """
    match = re.fullmatch(r"layer(\d+)\.(\d+)", block)
    return f"conv{int(match[1]) + 1}-{int(match[2]) + 1}" if match else block


def find_site(network: nn.Module, block: str) -> Site:
    """The branch and the gate of a residual block.

    Raises:
        UsageError: the block is not one whose branch is known.
    """
    module = network.get_submodule(block)
    gate = getattr(module, "se", None)
    if isinstance(gate, GATE_MODULES):
        return Site(block, f"{block}.se", f"{block}.se")
    for last in ("bn3", "bn2"):
        if gate is None and isinstance(getattr(module, last, None), nn.Module):
            return Site(block, f"{block}.{last}", None)
    raise UsageError(f"block `{block}` is a {type(module).__name__}; expected a residual block with a known branch")


def gate_values(gate: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The gate of each channel for each image, in float32 whatever the autocast, mean over positions.

    Args:
        gate: a gate module (SE or Gather-Excite).
        x: the gate's input, (N, C, H, W).

    Returns:
        (N, C) values in (0, 1).
    """
    values: list[torch.Tensor] = []
    note = (gate.gate, lambda module, args, output: values.append(output))
    with hooked(note), torch.autocast(x.device.type, enabled=False):
        gate.forward(x.float())  # not gate(x): hooks on the gate itself must not see this second look
    return values[0].mean((2, 3))


def site_table(network: nn.Module) -> pd.DataFrame:
    """A row for each known block: stage, block, paper, units, map, branch, gate.

    Raises:
        UsageError: the network has no stages that are known.
    """
    stages = block_names(network)
    if not stages:
        raise UsageError(f"no stages are known in {type(network).__name__}; its modules can be captured by name")
    shapes: dict[str, torch.Size] = {}

    def note(block: str):
        return lambda module, args, output: shapes.__setitem__(block, output.shape)

    size = preprocessing_of(network).size
    blocks = [block for names in stages.values() for block in names]
    with hooked(*((network.get_submodule(block), note(block)) for block in blocks)), torch.inference_mode():
        network.eval()(torch.zeros(1, 3, size, size))
    rows = []
    for stage, blocks in stages.items():
        for block in blocks:
            try:
                site = find_site(network, block)
                branch, gate = site.branch, type(network.get_submodule(site.gate)).__name__ if site.gate else ""
            except UsageError:
                branch, gate = "", ""
            _, units, *side = shapes[block]
            rows.append((stage, block, paper_name(block), units, "×".join(map(str, side)), branch, gate))
    return pd.DataFrame(rows, columns=["stage", "block", "paper", "units", "map", "branch", "gate"])
