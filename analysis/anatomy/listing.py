"""What a network offers to be measured: its blocks where stages are known, else its modules, with what they give."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import nn

from ..errors import UsageError
from ..networks.card import card_of
from ..networks.modes import evaluating
from ..networks.preprocessing import preprocessing_of
from .hooks import attempt, find_module, hooked, layout_of
from .operations import is_join
from .sites import Site, anatomies, block_names, example_images, paper_names

log = logging.getLogger(__name__)

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Output:
    """What a module gives for an image of noise.

    Args:
        units: channels of a map or of tokens, or values of a vector; None where it is none of these.
        form: "14×14" of a map, "197 tokens", "vector", or what else it is.
        least: the least value.
        is_map: whether maps are dropped here and branches looked for.
    """

    units: int | None
    form: str
    least: float
    is_map: bool


def layer_table(network: nn.Module, image_size: int | None = None) -> pd.DataFrame:
    """A row for each block of the stages that are known, else for each module down to whole blocks, as called.

    Args:
        image_size: pixels, instead of the network's own.

    Returns:
        Of blocks: stage, block, paper, units, map, branch, gate, signed; else: block, type, units, map, signed. Tokens
        and vectors have no map, and are called so in its column; signed outputs are negative somewhere on noise.

    Raises:
        UsageError: the network does not take images of this size.
    """
    size = image_size or preprocessing_of(network).size
    if not (image_size or card_of(network).preprocessing.size):
        log.warning("%s does not say its images' size: maps are as of %d px", card_of(network).reference, size)
    stages = {block: stage for stage, blocks in block_names(network).items() for block in blocks}
    outputs = _outputs(network, list(stages) or _opened(network), (3, size, size))
    if not stages:
        modules = [
            (block, type(network.get_submodule(block)).__name__, each.units, each.form, _signed(each))
            for block, each in outputs.items()
        ]
        return _whole(pd.DataFrame(modules, columns=["block", "type", "units", "map", "signed"]))
    sites = _sites(network, [block for block, each in outputs.items() if each.is_map], (3, size, size))
    rows = []
    for block, each in outputs.items():
        site = sites.get(block, Site(block, "", 0))
        gate = _kind_of_gate(network, site)
        named = (stages[block], block, *paper_names(network, [block]))
        rows.append((*named, each.units, each.form, site.branch, gate, _signed(each)))
    return _whole(pd.DataFrame(rows, columns=["stage", "block", "paper", "units", "map", "branch", "gate", "signed"]))


def anatomy_table(network: nn.Module, blocks: Sequence[str], image_size: int | None = None) -> pd.DataFrame:
    """What is known of each block's parts, in the order called.

    Args:
        image_size: pixels, instead of the network's own.

    Returns:
        block, units, branch, branch_status, shortcut, shortcut_status, gate, gate_kind, gate_status ("proved",
        "stated", "not found" or "none"), dropped_at ("branch" as in the paper, "part", "inside" or "output") and why:
        what is missing for what is not found.

    Raises:
        UsageError: as of `anatomies`.
    """
    size = image_size or preprocessing_of(network).size
    rows = [
        {
            "block": each.block,
            "units": each.site.channels if each.site else None,
            **{name: value for name, value in vars(each).items() if name.startswith(("branch", "shortcut", "gate"))},
            "dropped_at": each.site.dropped_at if each.site else "",
            "why": each.why,
        }
        for each in anatomies(network, blocks, (3, size, size))
    ]
    columns = "block units branch branch_status shortcut shortcut_status gate gate_kind gate_status dropped_at why"
    return _whole(pd.DataFrame(rows, columns=columns.split()))


def _kind_of_gate(network: nn.Module, site: Site) -> str:
    if site.gate is None:
        return ""
    return "in its forward" if is_join(site.gate) else type(network.get_submodule(site.gate)).__name__


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    """The table with whole numbers of units, none where there are none."""
    return table.assign(units=table["units"].astype("Int64"))


def _signed(output: Output) -> str:
    return "signed" if output.least < 0 else ""


def _sites(network: nn.Module, blocks: Sequence[str], shape: tuple[int, ...]) -> dict[str, Site]:
    """Branch and gate of each block, without those that cannot be told."""
    try:
        found = anatomies(network, blocks, shape)
    except UsageError as error:
        log.warning("branches and gates are not listed: %s", error)
        return {}
    if unknown := [each for each in found if each.site is None]:
        log.warning("%s of %d blocks: branch or gate not found, see `gelens inspect`", len(unknown), len(found))
    return {each.block: each.site for each in found if each.site is not None}


def _outputs(network: nn.Module, names: Sequence[str], shape: tuple[int, ...]) -> dict[str, Output]:
    """What the named modules give for noise, in the order in which they end; those that are not called are left out."""
    found: dict[str, Output] = {}
    layout = layout_of(network)

    def note(name: str):
        return lambda module, args, output: found.__setitem__(name, _described(output, layout))

    hooks = [(find_module(network, name), note(name)) for name in names]
    with evaluating(network), torch.inference_mode(), hooked(*hooks):
        attempt(network, example_images(network, shape))
    return found


def _described(output, layout: str) -> Output:
    if not isinstance(output, torch.Tensor) or output.ndim not in (2, 3, 4):
        what = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        return Output(None, f"no features: {what}", 0.0, False)
    least = float(output.min())
    if output.ndim == 2:
        return Output(output.shape[1], "vector", least, False)
    if output.ndim == 3:
        return Output(output.shape[2], f"{output.shape[1]} tokens", least, False)
    channels_last = layout == "NHWC"
    units, side = (output.shape[3], output.shape[1:3]) if channels_last else (output.shape[1], output.shape[2:])
    return Output(units, "×".join(map(str, side)), least, not channels_last)


def _opened(network: nn.Module) -> list[str]:
    """Names of modules from the whole network down to its blocks: containers and stacks of blocks are opened."""
    names = []
    for child, module in network.named_children():
        if _is_opened(module):
            names += [f"{child}.{inner}" for inner in _opened(module)]
        else:
            names.append(child)
    return names


def _is_opened(module: nn.Module) -> bool:
    """Whether a module is a plain container, a stack of blocks of one kind, or holds such a stack."""
    return type(module) in _CONTAINERS or _is_stack(module) or any(_is_stack(each) for each in module.children())


def _is_stack(module: nn.Module) -> bool:
    kinds = {type(child) for child in module.children()}
    blocks = all(list(child.children()) and not isinstance(child, _CONTAINERS) for child in module.children())
    return isinstance(module, _CONTAINERS) and len(kinds) == 1 and blocks
