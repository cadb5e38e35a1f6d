"""Figure 4: diagrams of Gather-Excite operators, drawn from the modules' own settings and shapes."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from torch import nn

from analysis.anatomy.hooks import hooked
from analysis.networks.gather_excite import GatherExcite, Interpolate, Pool

_GATHER, _EXCITE = "#d9e8f5", "#fbe5cf"
_SUB = {"theta_minus": "GE-θ⁻", "theta": "GE-θ", "theta_plus": "GE-θ⁺"}


def paper_operators(channels: int = 1024, side: int = 14) -> dict[str, GatherExcite]:
    """The four operators of the paper's supplementary figure 4, on a stage-four map."""
    settings = (("theta_minus", 8), ("theta_minus", "global"), ("theta", 8), ("theta", "global"))
    operators = {}
    for variant, extent in settings:
        module = GatherExcite(channels, (side, side), variant=variant, extent=extent)
        operators[operator_name(module)] = module
    return operators


def operator_name(module: GatherExcite) -> str:
    """The operator's name in the paper.

    >>> operator_name(GatherExcite(8, extent=8))
    'GE-θ⁻ (E8)'
    """
    return _SUB[module.variant] + ("" if module.extent == "global" else f" (E{module.extent})")


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

    parts = {"gather": [module.gather], "excite": [module.excite, module.interpolate, module.gate]}
    hooks = [
        (layer, note(part))
        for part, parents in parts.items()
        for parent in parents
        for layer in parent.modules()
        if not list(layer.children()) and not isinstance(layer, nn.Identity)
    ]
    device = next((parameter.device for parameter in module.parameters()), "cpu")
    training = module.training
    try:
        with hooked(*hooks), torch.no_grad():
            module.eval()(torch.zeros(1, module.channels, *size, device=device))
    finally:
        module.train(training)
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


def operators(
    modules: Mapping[str, GatherExcite] | None = None, size: tuple[int, int] = (14, 14)
) -> tuple[Figure, list[Axes]]:
    """Figure 4: a diagram of each operator, from input map to output map.

    Args:
        modules: by title; the paper's four by default.
        size: (H, W) of the input map.
    """
    modules = modules or paper_operators(side=size[0])
    drawn = {title: operator_steps(module, size) for title, module in modules.items()}
    longest = max(len(steps) for steps in drawn.values())
    figure, axes = plt.subplots(
        1, len(modules), figsize=(1.95 * len(modules), 0.36 * longest + 1.6), squeeze=False, layout="constrained"
    )
    for ax, (title, module) in zip(axes[0], modules.items(), strict=True):
        _draw(ax, title, (module.channels, *size), drawn[title], longest)
    return figure, list(axes[0])


def _draw(ax: Axes, title: str, shape: tuple[int, ...], steps: list, longest: int) -> None:
    ax.set(xlim=(-0.75, 5.1), ylim=(-2.1 - (longest - 1), 1.7))
    ax.set_axis_off()
    ax.set_title(title, fontsize=9, fontweight="bold")
    centre, bypass = 2.6, -0.45
    _map(ax, centre, 1.0, shape, "input x")
    spread = (longest - 1) / max(len(steps) - 1, 1)
    before = 0.62
    for number, (part, text, output) in enumerate(steps):
        y = -number * spread
        _arrow(ax, (centre, before), (centre, y + 0.33))
        color = _GATHER if part == "gather" else _EXCITE
        ax.add_patch(Rectangle((centre - 2.4, y - 0.33), 4.8, 0.66, facecolor=color, edgecolor="0.4", linewidth=0.7))
        ax.text(centre, y + 0.13, text, ha="center", va="center", fontsize=6)
        ax.text(centre, y - 0.16, _size(output), ha="center", va="center", fontsize=5.5, color="0.3")
        before = y - 0.33
    product = -(longest - 1) - 0.85
    _arrow(ax, (centre, before), (centre, product + 0.16))
    ax.plot(centre, product, "o", markersize=9, markerfacecolor="white", markeredgecolor="0.2", zorder=3)
    ax.plot(centre, product, "o", markersize=2, color="0.2", zorder=4)  # ⊙, the product of each element
    ax.plot([centre - 2.0, bypass, bypass], [1.0, 1.0, product], color="0.3", linewidth=0.9)
    _arrow(ax, (bypass, product), (centre - 0.2, product))
    if steps[-1][2] != shape:
        ax.text(centre + 0.3, product, "at every position", ha="left", va="center", fontsize=5.5, color="0.3")
    _arrow(ax, (centre, product - 0.16), (centre, product - 0.52))
    _map(ax, centre, product - 0.85, shape, "output")


def _map(ax: Axes, x: float, y: float, shape: tuple[int, ...], name: str) -> None:
    left, right, low, high, deep, tall = x - 2.0, x + 1.8, y - 0.33, y + 0.22, 0.25, 0.16
    for corners, color in (
        ([(left, low), (right, low), (right, high), (left, high)], "#f2f2f2"),
        ([(left, high), (left + deep, high + tall), (right + deep, high + tall), (right, high)], "#dddddd"),
        ([(right, low), (right + deep, low + tall), (right + deep, high + tall), (right, high)], "#cccccc"),
    ):
        ax.add_patch(Polygon(corners, facecolor=color, edgecolor="0.4", linewidth=0.7))
    ax.text((left + right) / 2, (low + high) / 2, f"{name}: {_size(shape)}", ha="center", va="center", fontsize=6)


def _size(shape: tuple[int, ...]) -> str:
    channels, height, width = shape
    return f"{height}×{width}×{channels}"


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": "0.3", "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    )
