"""Attention and residual blocks in the styles in which people write them, each with its truth, recorded by hand.

Every block takes maps of `CHANNELS` channels and gives as many (but for those that say so). Its `truth` gives, for an
input x, what the branch's end, the shortcut and the gate are, computed apart from its forward.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

CHANNELS = 8


@dataclass
class Truth:
    """What a block's parts are for an input.

    Args:
        branch: the map that is dropped channel by channel.
        shortcut: what is left when all of it is dropped, before `after`; None where nothing is added.
        gate: (N, C, 1, 1) values, or (N, C, H, W); None without a gate for each channel.
        after: what follows the sum.
        dropped_at: "branch", "part", "inside" or "output".
    """

    branch: torch.Tensor
    shortcut: torch.Tensor | None
    gate: torch.Tensor | None = None
    after: Callable = torch.relu
    dropped_at: str = "branch"


def conv(inputs: int = CHANNELS, outputs: int = CHANNELS, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class Body(nn.Module):
    """Two convolutions; blocks add what they like."""

    def __init__(self):
        super().__init__()
        self.a, self.b = conv(), conv()

    def body(self, x):
        return self.b(torch.relu(self.a(x)))


class Plain(Body):
    def forward(self, x):
        return torch.relu(self.body(x) + x)

    def truth(self, x):
        return Truth(self.body(x), x)


class NamedShort(Body):
    """A projection that no naming convention knows."""

    def __init__(self, name: str = "short"):
        super().__init__()
        self.name = name
        self.add_module(name, conv(kernel=1))

    def forward(self, x):
        return F.relu(self.body(x) + getattr(self, self.name)(x))

    def truth(self, x):
        return Truth(self.body(x), getattr(self, self.name)(x))


class SEFunctional(Body):
    """Multiplies in the block's own forward, with a sequence of linear layers and indexing."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(CHANNELS, 4), nn.ReLU(), nn.Linear(4, CHANNELS), nn.Sigmoid())
        self.short = conv(kernel=1)

    def scale(self, y):
        return self.fc(y.mean((2, 3)))[:, :, None, None]

    def forward(self, x):
        y = self.body(x)
        y = y * self.scale(y)
        return torch.relu(y + self.short(x))

    def truth(self, x):
        y = self.body(x)
        return Truth(y * self.scale(y), self.short(x), self.scale(y))


class SEInPlace(Body):
    """As kuangliu's SENet: two 1×1 convolutions, F.sigmoid, additions in place."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(CHANNELS, 4, 1), nn.Conv2d(4, CHANNELS, 1)
        self.shortcut = nn.Sequential()

    def scale(self, y):
        w = F.avg_pool2d(y, y.size(2))
        return torch.sigmoid(self.fc2(F.relu(self.fc1(w))))

    def forward(self, x):
        out = self.body(x)
        w = self.scale(out)
        out *= w
        out += self.shortcut(x)
        return F.relu(out)

    def truth(self, x):
        y = self.body(x)
        return Truth(y * self.scale(y), x, self.scale(y))


class SELayer(nn.Module):
    """A module that returns its input times its weights, as moskomule's."""

    def __init__(self, sigmoid=None):
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(CHANNELS, 4), nn.ReLU(), nn.Linear(4, CHANNELS))
        self.sigmoid = sigmoid or nn.Sigmoid()

    def scale(self, x):
        n, c, _, _ = x.size()
        return self.sigmoid(self.fc(F.adaptive_avg_pool2d(x, 1).view(n, c))).view(n, c, 1, 1)

    def forward(self, x):
        return x * self.scale(x).expand_as(x)


class SEModuleBlock(Body):
    def __init__(self, attention=None):
        super().__init__()
        self.att = attention or SELayer()

    def forward(self, x):
        return torch.relu(self.att(self.body(x)) + x)

    def truth(self, x):
        return Truth(self.att(self.body(x)), x, self.att.scale(self.body(x)))  # it may overwrite what it gets


class SEFunctionalModule(SELayer):
    """The sigmoid is a function."""

    def scale(self, x):
        return F.sigmoid(self.fc(x.mean((2, 3)))).unsqueeze(-1).unsqueeze(-1)

    def forward(self, x):
        return torch.mul(self.scale(x), x)


class HardSELayer(SELayer):
    def scale(self, x):
        return F.relu6(self.fc(x.mean((2, 3))) + 3).div(6)[:, :, None, None]


class ECALayer(nn.Module):
    """The three ways in which its last line is written."""

    def __init__(self, way: str = "expand"):
        super().__init__()
        self.conv, self.way = nn.Conv1d(1, 1, 3, padding=1, bias=False), way

    def scale(self, x):
        y = self.conv(F.adaptive_avg_pool2d(x, 1).squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
        return torch.sigmoid(y)

    def forward(self, x):
        if self.way == "expand":
            return x * self.scale(x).expand_as(x)
        return x.mul_(self.scale(x)) if self.way == "in place" else self.scale(x) * x


class ECAFunctional(Body):
    """The convolution belongs to the block, everything else is in its forward."""

    def __init__(self):
        super().__init__()
        self.eca = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def scale(self, y):
        return torch.sigmoid(self.eca(y.mean((2, 3)).unsqueeze(1))).squeeze(1)[:, :, None, None]

    def forward(self, x):
        y = self.body(x)
        return torch.relu(x + self.scale(y) * y)

    def truth(self, x):
        y = self.body(x)
        return Truth(self.scale(y) * y, x, self.scale(y))


class ChannelAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv2d(CHANNELS, 4, 1), nn.ReLU(), nn.Conv2d(4, CHANNELS, 1))

    def forward(self, x):
        return torch.sigmoid(self.mlp(F.adaptive_avg_pool2d(x, 1)) + self.mlp(F.adaptive_max_pool2d(x, 1)))


class SpatialAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x):
        return torch.sigmoid(self.conv(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))


class CBAMBlock(Body):
    """Channel and spatial attention as modules that give values; the block multiplies."""

    def __init__(self):
        super().__init__()
        self.ca, self.sa = ChannelAttention(), SpatialAttention()

    def forward(self, x):
        y = self.body(x)
        y = self.ca(y) * y
        y = self.sa(y) * y
        return torch.relu(y + x)

    def truth(self, x):
        y = self.body(x)
        gated = self.ca(y) * y
        return Truth(self.sa(gated) * gated, x, self.ca(y))


class CBAM(nn.Module):
    def __init__(self, spatial: bool = True):
        super().__init__()
        self.channel, self.spatial = ChannelAttention(), SpatialAttention() if spatial else None

    def forward(self, x):
        x = x * self.channel(x)
        return x if self.spatial is None else x * self.spatial(x)


class CBAMModuleBlock(Body):
    """The whole of it as one module."""

    def __init__(self, spatial: bool = True):
        super().__init__()
        self.cbam = CBAM(spatial)

    def forward(self, x):
        return torch.relu(self.cbam(self.body(x)) + x)

    def truth(self, x):
        y = self.body(x)
        return Truth(self.cbam(y), x, self.cbam.channel(y))


class SpatialOnly(Body):
    """A gate for each position: none for each channel."""

    def __init__(self):
        super().__init__()
        self.sa = SpatialAttention()

    def forward(self, x):
        y = self.body(x)
        return torch.relu(y * self.sa(y) + x)

    def truth(self, x):
        y = self.body(x)
        return Truth(y * self.sa(y), x)


class GCT(nn.Module):
    """Gated channel transformation: 1 + tanh, whose values leave [0, 1]."""

    def __init__(self):
        super().__init__()
        self.alpha, self.gamma, self.beta = (nn.Parameter(torch.rand(1, CHANNELS, 1, 1)) for _ in range(3))

    def scale(self, x):
        embedding = (x.pow(2).sum((2, 3), keepdim=True) + 1e-5).pow(0.5) * self.alpha
        norm = self.gamma / (embedding.pow(2).mean(1, keepdim=True) + 1e-5).pow(0.5)
        return 1.0 + torch.tanh(embedding * norm + self.beta)

    def forward(self, x):
        return x * self.scale(x)


class SRM(nn.Module):
    """Style-based recalibration."""

    def __init__(self):
        super().__init__()
        self.cfc = nn.Conv1d(CHANNELS, CHANNELS, 2, groups=CHANNELS, bias=False)
        self.bn = nn.BatchNorm1d(CHANNELS)

    def scale(self, x):
        flat = x.flatten(2)
        z = self.cfc(torch.stack([flat.mean(2), flat.std(2)], -1))
        return torch.sigmoid(self.bn(z)).reshape(*x.shape[:2], 1, 1)

    def forward(self, x):
        return x * self.scale(x).expand_as(x)


class CoordinateAttention(nn.Module):
    """Two factors, for rows and for columns: no value for each channel."""

    def __init__(self):
        super().__init__()
        self.mix, self.rows, self.columns = conv(kernel=1), nn.Conv2d(CHANNELS, CHANNELS, 1), nn.Conv2d(8, 8, 1)

    def forward(self, x):
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True).permute(0, 1, 3, 2)
        y = F.hardswish(self.mix(torch.cat([rows, columns], 2)))
        a, b = torch.split(y, [x.shape[2], x.shape[3]], 2)
        return x * torch.sigmoid(self.rows(a)) * torch.sigmoid(self.columns(b.permute(0, 1, 3, 2)))


class CoordinateBlock(Body):
    def __init__(self):
        super().__init__()
        self.att = CoordinateAttention()

    def forward(self, x):
        return torch.relu(x + self.att(self.body(x)))

    def truth(self, x):
        return Truth(self.att(self.body(x)), x)


class SKBlock(Body):
    """Selective kernels: a softmax over branches, whose weighted sum is the branch."""

    def __init__(self):
        super().__init__()
        self.c, self.fc, self.d = conv(kernel=1), nn.Linear(CHANNELS, 2 * CHANNELS), conv(kernel=1)

    def branch(self, x):
        maps = torch.stack([torch.relu(self.a(x)), torch.relu(self.c(x))], 1)
        weights = self.fc(maps.sum(1).mean((2, 3))).view(-1, 2, CHANNELS).softmax(1)
        return self.d((maps * weights[..., None, None]).sum(1))

    def forward(self, x):
        return torch.relu(self.branch(x) + x)

    def truth(self, x):
        return Truth(self.branch(x), x)


class Scaled(Body):
    """A constant and a learned scale of the residual."""

    def __init__(self, learned: bool = False):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(CHANNELS, 1, 1)) if learned else 0.2

    def forward(self, x):
        return F.relu(x + self.scale * self.body(x))

    def truth(self, x):
        return Truth(self.scale * self.body(x), x)


class PreActivation(nn.Module):
    """Normalised and activated first, as kuangliu's: the projection takes what is activated."""

    def __init__(self, project: bool = False):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(CHANNELS), nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.bn2, self.conv2 = nn.BatchNorm2d(CHANNELS), nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        if project:
            self.shortcut = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 1))

    def forward(self, x):
        out = F.relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        out = self.conv1(out)
        out = self.conv2(F.relu(self.bn2(out)))
        out += shortcut
        return out

    def truth(self, x):
        out = F.relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        return Truth(self.conv2(F.relu(self.bn2(self.conv1(out)))), shortcut, after=lambda total: total)


class DropPath(nn.Module):
    """Stochastic depth: in evaluation mode it passes its input on."""

    def forward(self, x):
        return x * torch.bernoulli(torch.full((len(x), 1, 1, 1), 0.9)) if self.training else x


class Stochastic(Body):
    def __init__(self):
        super().__init__()
        self.drop_path, self.att = DropPath(), SELayer()

    def forward(self, x):
        return torch.relu(x + self.drop_path(self.att(self.body(x))))

    def truth(self, x):
        y = self.body(x)
        return Truth(self.att(y), x, self.att.scale(y))


class SharedActivation(nn.Module):
    """One ReLU for all, in place, as torchvision's blocks have it; the branch ends in it."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.relu = conv(), conv(), nn.ReLU(inplace=True)

    def branch(self, x):
        return self.relu(self.b(self.relu(self.a(x))))

    def forward(self, x):
        out = self.branch(x)
        out += x
        return self.relu(out)

    def truth(self, x):
        return Truth(self.branch(x), x)


class Concatenated(Body):
    """The branch is beside its input: twice the channels."""

    def forward(self, x):
        return torch.relu(torch.cat([x, self.body(x)], 1))

    def truth(self, x):
        return Truth(self.body(x), None, dropped_at="part")


class NoShortcut(Body):
    def forward(self, x):
        return torch.relu(self.body(x))

    def truth(self, x):
        return Truth(self.forward(x), None, after=lambda total: total, dropped_at="output")


class HandwrittenSiLU(Body):
    """x · σ(x) is an activation function, and no gate."""

    def forward(self, x):
        y = self.body(x)
        return torch.relu(x + y * torch.sigmoid(y))

    def truth(self, x):
        y = self.body(x)
        return Truth(y * torch.sigmoid(y), x)


class MobileBlock(Body):
    """Squeeze and excitation within the branch, before its last convolution."""

    def __init__(self):
        super().__init__()
        self.att = SELayer()

    def forward(self, x):
        return x + self.b(self.att(F.relu(self.a(x))))

    def truth(self, x):
        y = F.relu(self.a(x))
        return Truth(self.att(y), x, self.att.scale(y), dropped_at="inside")


class ResponseNormalised(Body):
    """ConvNeXt V2's: the map is multiplied by its response, but is added as well, so that this is no gate."""

    def __init__(self):
        super().__init__()
        self.gamma, self.beta = (nn.Parameter(torch.rand(1, CHANNELS, 1, 1)) for _ in range(2))

    def branch(self, x):
        y = torch.relu(self.a(x))
        response = y.norm(dim=(2, 3), keepdim=True)
        response = response / (response.mean(1, keepdim=True) + 1e-6)
        return self.b(self.gamma * (y * response) + self.beta + y)

    def forward(self, x):
        return x + self.branch(x)

    def truth(self, x):
        return Truth(self.branch(x), x, after=lambda total: total)


class Weakly(Body):
    """A gate before training: its values hardly vary."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Conv2d(CHANNELS, CHANNELS, 1)
        nn.init.normal_(self.fc.weight, std=1e-4)
        nn.init.zeros_(self.fc.bias)

    def scale(self, y):
        return torch.sigmoid(self.fc(y.mean((2, 3), keepdim=True)))

    def forward(self, x):
        y = self.body(x)
        return torch.relu(x + y * self.scale(y))

    def truth(self, x):
        y = self.body(x)
        return Truth(y * self.scale(y), x, self.scale(y))


ZOO: dict[str, Callable[[], nn.Module]] = {
    "plain": Plain,
    "shortcut called short": NamedShort,
    "shortcut called residual": lambda: NamedShort("residual"),
    "SE in the block's forward": SEFunctional,
    "SE in place, as kuangliu's": SEInPlace,
    "SE as a module": SEModuleBlock,
    "SE as a module with a functional sigmoid": lambda: SEModuleBlock(SEFunctionalModule()),
    "SE with a hard sigmoid": lambda: SEModuleBlock(HardSELayer()),
    "ECA, expanded": lambda: SEModuleBlock(ECALayer()),
    "ECA, in place": lambda: SEModuleBlock(ECALayer("in place")),
    "ECA, broadcast": lambda: SEModuleBlock(ECALayer("broadcast")),
    "ECA in the block's forward": ECAFunctional,
    "CBAM in the block's forward": CBAMBlock,
    "CBAM as one module": CBAMModuleBlock,
    "CBAM without its spatial half": lambda: CBAMModuleBlock(spatial=False),
    "spatial attention alone": SpatialOnly,
    "GCT": lambda: SEModuleBlock(GCT()),
    "SRM": lambda: SEModuleBlock(SRM()),
    "coordinate attention": CoordinateBlock,
    "SK": SKBlock,
    "residual scale": Scaled,
    "learned residual scale": lambda: Scaled(learned=True),
    "pre-activation": PreActivation,
    "pre-activation, projected": lambda: PreActivation(project=True),
    "stochastic depth": Stochastic,
    "one ReLU for all": SharedActivation,
    "concatenated": Concatenated,
    "no shortcut": NoShortcut,
    "SiLU by hand": HandwrittenSiLU,
    "SE within the branch": MobileBlock,
    "response normalisation": ResponseNormalised,
    "a gate before training": Weakly,
}
"""By name what builds a block."""


class Ambiguous(Body):
    """Two branches are added: nothing tells which is the shortcut."""

    def forward(self, x):
        return torch.relu(torch.relu(self.a(x)) + torch.relu(self.b(x)))


class RepVGG(Body):
    """Two convolutions without activation functions are added."""

    def forward(self, x):
        return torch.relu(self.a(x) + self.b(x))


class Noisy(Body):
    """Dropout that is always on."""

    def forward(self, x):
        return torch.relu(x + F.dropout(self.body(x), 0.5))


class Scripted(Body):
    """Its sum is computed by compiled code."""

    def __init__(self):
        super().__init__()
        self.join = torch.jit.script(Join())

    def forward(self, x):
        return self.join(self.body(x), x)


class Join(nn.Module):
    def forward(self, y, x):
        return torch.relu(y + x)


class Stacked(Body):
    """The addition is a sum over a stack: it must not be taken for a block without a shortcut."""

    def forward(self, x):
        return torch.relu(torch.stack([self.body(x), x]).sum(0))


class Pooled(Body):
    """What follows the sum mixes positions."""

    def forward(self, x):
        return F.max_pool2d(torch.relu(self.body(x) + x), 2)


class Subtracted(Body):
    def forward(self, x):
        return x - self.body(x)


class Gated(SEFunctional):
    """A gate in a way that is not read: by what it multiplies, or where its product goes."""

    def __init__(self, apply):
        super().__init__()
        self.apply_gate = apply

    def forward(self, x):
        y = self.body(x)
        w = self.fc(y.mean((2, 3)))
        return torch.relu(self.apply_gate(y, w) + x)


def grouped(y, w):
    """As a convolution with a group for each channel of each image."""
    n, c, *size = y.shape
    return F.conv2d(y.reshape(1, n * c, *size), w.reshape(n * c, 1, 1, 1), groups=n * c).view(n, c, *size)


UNREAD: dict[str, tuple[Callable, str]] = {
    "flattened": (lambda y, w: (y.flatten(2) * w[..., None]).view_as(y), "`mul` at its branch's end joins"),
    "einsum": (lambda y, w: torch.einsum("nchw,nc->nchw", y, w), "`einsum` at its branch's end joins"),
    "channels last": (
        lambda y, w: (y.permute(0, 2, 3, 1) * w[:, None, None]).permute(0, 3, 1, 2),
        "has another shape than",
    ),
    "divided": (lambda y, w: y / (1 / w)[..., None, None], "`div` at its branch's end joins"),
    "residual": (lambda y, w: y + y * w[..., None, None], "is added to another map"),
    "subtracted": (lambda y, w: y - y * w[..., None, None], "`sub` at its branch's end joins"),
    "bmm": (lambda y, w: torch.bmm(torch.diag_embed(w), y.flatten(2)).view_as(y), "`bmm` at its branch's end joins"),
    "grouped": (grouped, "`conv2d` at its branch's end joins"),
    "masked": (lambda y, w: y.masked_fill(w[..., None, None] < 0.5, 0), "`masked_fill` at its branch's end joins"),
    "stacked": (lambda y, w: torch.stack([a * b[:, None, None] for a, b in zip(y, w, strict=True)]), "`stack` at"),
}
"""By name how a gate is applied that is not read, and why the block is refused: it is not told to have none."""


class ThreeMaps(Body):
    """Identity, body and a projection, added in an order that leaves the projection last."""

    def __init__(self):
        super().__init__()
        self.project = conv(kernel=1)

    def forward(self, x):
        return torch.relu(x + self.body(x) + self.project(x))


UNKNOWN: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "two branches": (Ambiguous, "both maps that are added in the end could be the branch"),
    "RepVGG": (RepVGG, "both maps that are added in the end could be the branch"),
    "dropout left on": (Noisy, "another output for the same input"),
    "scripted": (Scripted, "not seen"),
    "a stack's sum": (Stacked, "made by `sum`, which may or may not add a shortcut"),
    "pooled": (Pooled, "its sum is followed by functions that do not keep channels and positions apart"),
    "subtracted": (Subtracted, "made by `sub`"),
    "three maps": (ThreeMaps, "three maps or more are added in the end"),
    **{f"gate, {name}": (partial(Gated, apply), why) for name, (apply, why) in UNREAD.items()},
}
"""By name what builds a block whose parts cannot be told, and why."""


def network_of(block: nn.Module, channels: int = CHANNELS, classes: int = 5) -> nn.Sequential:
    """The block, called 1, in a small network."""
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    return nn.Sequential(nn.Conv2d(3, CHANNELS, 3), block, *head)
