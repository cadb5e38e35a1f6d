"""Gather-Excite operators described as tables of steps, as their modules run: figure 4 is drawn from them."""

from collections.abc import Mapping
from contextlib import ExitStack

import pandas as pd
import torch
from torch import nn

from .gather_excite import GatherExcite, Interpolate, Pool

_NAMES = {"theta_minus": "GE-θ⁻", "theta": "GE-θ", "theta_plus": "GE-θ⁺"}


def paper_operators(channels: int = 1024, side: int = 14) -> dict[str, GatherExcite]:
    """The four operators of the paper's supplementary figure 4, on a stage-four map."""
    settings = (("theta_minus", 8), ("theta_minus", "global"), ("theta", 8), ("theta", "global"))
    modules = [GatherExcite(channels, (side, side), variant=variant, extent=extent) for variant, extent in settings]
    return {operator_name(module): module for module in modules}


def operator_name(module: GatherExcite) -> str:
    """The operator's name in the paper.

    >>> operator_name(GatherExcite(8, extent=8))
    'GE-θ⁻ (E8)'
    """
    return _NAMES[module.variant] + ("" if module.extent == "global" else f" (E{module.extent})")


def operator_table(modules: Mapping[str, GatherExcite] | None = None, size: tuple[int, int] = (14, 14)) -> pd.DataFrame:
    """`operators.csv`: every operator's input map and then its layers, as they run.

    Args:
        modules: by title; the paper's four by default.
        size: (H, W) of the input map.

    Returns:
        operator (the title), part ("input", "gather" or "excite"), step (in words), and of the map that comes out
        channels, height, width.
    """
    modules = modules or paper_operators(side=size[0])
    rows = []
    for title, module in modules.items():
        steps = [("input", "input", (module.channels, *size)), *operator_steps(module, size)]
        rows += [(title, part, step, *shape) for part, step, shape in steps]
    return pd.DataFrame(rows, columns=["operator", "part", "step", "channels", "height", "width"])


def operator_steps(module: GatherExcite, size: tuple[int, int]) -> list[tuple[str, str, tuple[int, ...]]]:
    """The layers of an operator as they run on a blank map: (part, description, output shape (C, H, W)).

    Args:
        module: its hooks see every layer, so that the diagram is what the code does.
        size: (H, W) of the input.
    """
    steps: list[tuple[str, str, tuple[int, ...]]] = []

    def note(part: str):
        def hook(layer, args, output):
            if not (isinstance(layer, Interpolate) and output is args[0]):  # a 1×1 map is left as it is
                steps.append((part, _describe(layer), tuple(output.shape[1:])))

        return hook

    excite: list[nn.Module] = [module.excite, module.interpolate, module.gate]
    parts: dict[str, list[nn.Module]] = {"gather": [module.gather], "excite": excite}
    device = next((parameter.device for parameter in module.parameters()), "cpu")
    with ExitStack() as after, torch.no_grad():
        after.callback(module.train, module.training)
        for part, parents in parts.items():
            for layer in (layer for parent in parents for layer in parent.modules()):
                if not list(layer.children()) and not isinstance(layer, nn.Identity):
                    after.callback(layer.register_forward_hook(note(part)).remove)
        module.eval()(torch.zeros(1, module.channels, *size, device=device))
    return steps


def _describe(layer: nn.Module) -> str:
    if isinstance(layer, Pool):
        name = {"avg": "average", "max": "max", "avgmax": "average and max"}[layer.pool]
        if layer.extent == "global":
            return f"global {name} pooling"
        window = 2 * layer.extent - 1
        return f"{name} pooling {window}×{window}, stride {layer.extent}"
    if isinstance(layer, nn.Conv2d):
        height, width = layer.kernel_size
        depthwise = "depthwise " if layer.groups == layer.in_channels > 1 else ""
        stride = f", stride {layer.stride[0]}" if layer.stride[0] > 1 else ""
        return f"{depthwise}conv {height}×{width}{stride}"
    if isinstance(layer, Interpolate):
        return f"{layer.mode} interpolation"
    names = {"BatchNorm2d": "batch norm", "Sigmoid": "sigmoid"}
    return names.get(type(layer).__name__, type(layer).__name__)
