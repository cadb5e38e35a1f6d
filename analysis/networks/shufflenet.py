"""ShuffleNet v1 (Zhang et al., CVPR 2018), with a gate at the end of each unit's branch."""

import torch
import torch.nn.functional as F
from torch import nn

from .resnet import Gate

STAGES = ("stage2", "stage3", "stage4")


class ShuffleUnit(nn.Module):
    """A ShuffleNet unit (figure 2 of the paper): grouped 1×1, shuffle, depthwise 3×3, grouped 1×1, gate.

    At stride 1 the branch is added to the shortcut; at stride 2 it is concatenated to the average-pooled shortcut.

    Shape: (N, `inputs`, H, W) to (N, `outputs`, ⌈H/stride⌉, ⌈W/stride⌉).
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, groups: int, grouped_first: bool, gate: nn.Module | None
    ):
        super().__init__()
        branch = outputs - inputs if stride == 2 else outputs
        hidden = outputs // 4
        self.stride, self.groups = stride, groups
        first_groups = groups if grouped_first else 1
        self.conv1 = nn.Conv2d(inputs, hidden, 1, groups=first_groups, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, stride=stride, padding=1, groups=hidden, bias=False)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.conv3 = nn.Conv2d(hidden, branch, 1, groups=groups, bias=False)
        self.bn3 = nn.BatchNorm2d(branch)
        self.se = gate
        self.shuffle = nn.ChannelShuffle(groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch = F.relu(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(self.shuffle(branch)))
        branch = self.bn3(self.conv3(branch))
        if self.se is not None:
            branch = self.se(branch)
        if self.stride == 1:
            return F.relu(x + branch)
        return F.relu(torch.cat([F.avg_pool2d(x, 3, stride=2, padding=1), branch], 1))


class ShuffleNet(nn.Module):
    """ShuffleNet v1 (table 1 of the paper; 1×, 3 groups by default).

    Args:
        gate: makes each unit's gate from its branch's channels and map size.
        depths: units in each of the three stages.
        widths: channels of each stage.
        stem: channels of the first convolution.
        groups: groups of the 1×1 convolutions.
        classes: number of outputs.
        size: height and width of the input in pixels.
        small_stem: stride of a stem without pooling, for small images; None has the usual stem.

    Shape: (N, 3, size, size) to (N, classes).
    """

    def __init__(
        self,
        gate: Gate,
        depths: tuple[int, int, int] = (4, 8, 4),
        widths: tuple[int, int, int] = (240, 480, 960),
        stem: int = 24,
        groups: int = 3,
        classes: int = 1000,
        size: int = 224,
        small_stem: int | None = None,
    ):
        super().__init__()
        self.num_classes = classes
        self.conv1 = nn.Conv2d(3, stem, 3, stride=small_stem or 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.maxpool = nn.Identity() if small_stem else nn.MaxPool2d(3, stride=2, padding=1)
        side, inputs = -(-size // (small_stem or 4)), stem
        for name, depth, width in zip(STAGES, depths, widths, strict=True):
            side = -(-side // 2)
            units = []
            for position in range(depth):
                stride = 2 if position == 0 else 1
                branch = width - inputs if stride == 2 else width
                # the very first 1×1 sees too few channels to be grouped (section 3.2)
                grouped_first = not (name == STAGES[0] and position == 0)
                units.append(ShuffleUnit(inputs, width, stride, groups, grouped_first, gate(branch, (side, side))))
                inputs = width
            self.add_module(name, nn.Sequential(*units))
        self.fc = nn.Linear(inputs, classes)
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and ".se." not in name:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for stage in STAGES:
            x = getattr(self, stage)(x)
        return self.fc(x.mean((2, 3)))
