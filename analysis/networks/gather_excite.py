"""The Gather-Excite operator (Hu et al., NeurIPS 2018): x ⊙ σ(interpolate(gather(x)))."""

import math

import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame, make_divisible
from torch import nn

from .catalogue import EXTENTS, POOLS

VARIANTS = ("theta_minus", "theta", "theta_plus")
PORTS = ("", "mindspore")


class Pool(nn.Module):
    """Parameter-free gather: pooling with kernel 2e−1, stride e and padding e−1, or over the whole map.

    Args:
        extent: extent ratio e, 2, 4 or 8, or "global".
        pool: "avg", "max", or "avgmax", the mean of both.
        count_padding: whether padding counts in the divisor of an average (the paper does not say).

    Shape: (N, C, H, W) to (N, C, ⌈H/e⌉, ⌈W/e⌉), or (N, C, 1, 1).
    """

    def __init__(self, extent, pool: str = "avg", count_padding: bool = False):
        super().__init__()
        self.extent, self.pool, self.count_padding = extent, pool, count_padding

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.extent == "global":
            average, maximum = lambda: x.mean((2, 3), keepdim=True), lambda: x.amax((2, 3), keepdim=True)
        else:
            window = dict(kernel_size=2 * self.extent - 1, stride=self.extent, padding=self.extent - 1)
            average = lambda: F.avg_pool2d(x, **window, count_include_pad=self.count_padding)
            maximum = lambda: F.max_pool2d(x, **window)
        if self.pool == "avg":
            return average()
        return maximum() if self.pool == "max" else (average() + maximum()) / 2

    def extra_repr(self) -> str:
        return f"extent={self.extent}, pool={self.pool}, count_padding={self.count_padding}"


class MapConv2d(nn.Conv2d):
    """A depthwise convolution with a kernel as large as the map, computed as one dot product per channel.

    Shape: (N, C, H, W) to (N, C, 1, 1); H and W are fixed by the kernel.

    Raises:
        ValueError: the map is not of the kernel's size.
    """

    def __init__(self, channels: int, size: tuple[int, int]):
        super().__init__(channels, channels, size, groups=channels, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if tuple(x.shape[-2:]) != self.kernel_size:
            got, want = ("×".join(map(str, size)) for size in (x.shape[-2:], self.kernel_size))
            raise ValueError(
                f"a global parametric gather was built for a {want} map but got {got}: "
                f"its kernel is the map, so the network's input size is fixed (set it with size=…)"
            )
        weight = self.weight.squeeze(1).permute(1, 2, 0).contiguous()  # as a map in channels-last lies in memory
        return (x.permute(0, 2, 3, 1) * weight).sum((1, 2))[:, :, None, None]


class Interpolate(nn.Module):
    """Bring a gathered map back to the size of the map it was gathered from.

    A 1×1 map is left as it is: it broadcasts, which gives the same numbers without a copy.
    """

    mode = "nearest"

    def forward(self, x: torch.Tensor, size: torch.Size) -> torch.Tensor:
        return x if x.shape[-2:] == (1, 1) else F.interpolate(x, size=size, mode=self.mode)


class GatherExcite(nn.Module):
    """The Gather-Excite operator in all its variants (Hu et al. 2018, section 3 and supplementary figure 4).

    Args:
        channels: C, the units of the map.
        size: (H, W) of the map; needed by the global parametric gather only.
        variant: "theta_minus" (pooling), "theta" (depthwise convolutions) or "theta_plus"
            (as theta, then 1×1 convolutions to C/16 and back).
        extent: extent ratio 2, 4 or 8, or "global".
        pool: pooling of theta_minus: "avg", "max" or "avgmax".
        count_padding: whether an average counts padding in its divisor.
        reduction: the bottleneck of theta_plus is C divided by this (rounded as timm's SEModule rounds).
        port: "" for the published operator, or "mindspore" for MindSpore's genetres50, which differs: maps of 56
            and more are first halved by a dense 3×3 convolution and batch norm, and theta_plus has neither the first
            ReLU nor biases.

    Shape: (N, C, H, W) to the same. The submodule `gate` is the sigmoid: its output is the importance of each
    channel at each position.

    Raises:
        ValueError: an unknown variant, extent or pooling, or no size where one is needed.

    >>> GatherExcite(8, extent=4)(torch.ones(2, 8, 14, 14)).shape
    torch.Size([2, 8, 14, 14])
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int] | None = None,
        variant: str = "theta_minus",
        extent="global",
        pool: str = "avg",
        count_padding: bool = False,
        reduction: int = 16,
        port: str = "",
    ):
        super().__init__()
        for name, value, valid in (
            ("variant", variant, VARIANTS),
            ("extent", extent, EXTENTS),
            ("pool", pool, POOLS),
            ("port", port, PORTS),
        ):
            if value not in valid:
                raise ValueError(
                    f"Expected argument `{name}` to be one of {', '.join(map(str, valid))}, but got {value}"
                )
        if variant != "theta_minus" and extent == "global" and size is None:
            raise ValueError("Expected argument `size` to be (H, W) for a global parametric gather, but got None")
        self.channels, self.size, self.variant, self.extent, self.pool = channels, size, variant, extent, pool
        if port and extent != "global":
            raise ValueError(f"Expected argument `extent` to be global for port {port}, but got {extent}")
        self.gather = (
            Pool(extent, pool, count_padding)
            if variant == "theta_minus"
            else self._parametric(channels, size, extent, port)
        )
        self.excite: nn.Module = nn.Identity()
        if variant == "theta_plus":
            hidden = make_divisible(channels / reduction, 8, round_limit=0.0)
            bottleneck = [
                nn.Conv2d(channels, hidden, 1, bias=not port),
                nn.ReLU(inplace=True),
                nn.Conv2d(hidden, channels, 1, bias=not port),
            ]
            self.excite = nn.Sequential(*bottleneck) if port else nn.Sequential(nn.ReLU(inplace=True), *bottleneck)
        self.interpolate = Interpolate()
        self.gate = nn.Sigmoid()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")

    @staticmethod
    def _parametric(channels: int, size, extent, port: str) -> nn.Sequential:
        if extent == "global":
            first: list[nn.Module] = []
            if port and min(size) >= 56:
                first = [Conv2dSame(channels, channels, 3, stride=2, bias=False), nn.BatchNorm2d(channels)]
                size = tuple(-(-side // 2) for side in size)
            return nn.Sequential(*first, MapConv2d(channels, tuple(size)), nn.BatchNorm2d(channels))
        layers: list[nn.Module] = []
        for _ in range(int(math.log2(extent))):
            if layers:
                layers.append(nn.ReLU(inplace=True))
            layers.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels, bias=False))
            layers.append(nn.BatchNorm2d(channels))
        return nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gathered = self.excite(self.gather(x))
        return x * self.gate(self.interpolate(gathered, x.shape[-2:]))

    def extra_repr(self) -> str:
        return f"channels={self.channels}, variant={self.variant}, extent={self.extent}"
