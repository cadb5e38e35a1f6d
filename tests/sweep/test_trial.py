"""What depends on more than the image is refused before the pass, in one line; what rounds differently is not."""

import pytest
import torch
from torch import nn
from torchvision import transforms

import gelens
from gelens.errors import UsageError
from gelens.sweep.passing import SweepOptions
from tests.conftest import make_data, make_network

QUIET = SweepOptions("cpu", batch_size=8, progress=False)


class Dropping(nn.Module):
    """Dropout that evaluation mode does not turn off."""

    def forward(self, x):
        return nn.functional.dropout(x, 0.5)


class Twice(nn.Module):
    """One module for two places."""

    def __init__(self):
        super().__init__()
        self.conv, self.unused = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return torch.relu(self.conv(self.conv(x)))


class Several(nn.Module):
    """Gives its features before its logits."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        features = x.mean((2, 3)).repeat(1, 2)
        return features, self.fc(features[:, :4])


def network_of(*layers) -> nn.Sequential:
    torch.manual_seed(0)
    head = [] if isinstance(layers[-1], Several) else [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)]
    return nn.Sequential(nn.Conv2d(3, 4, 3), *layers, *head).eval()


@pytest.mark.parametrize(
    "layers, message",
    [
        ([nn.BatchNorm2d(4, track_running_stats=False)], r"other logits beside other images .*`1` has no running stat"),
        ([Dropping()], r"other logits for the same images when it runs again .*F\.dropout"),
        ([Several()], "gives tensors of 8, 4 values an image: which are its logits cannot be told"),
    ],
)
def test_what_depends_on_more_than_the_image_is_refused(layers, message):
    with pytest.raises(UsageError, match=message):
        gelens.evaluate(network_of(*layers), make_data(24), QUIET)


@pytest.mark.parametrize(
    "block, times", [("1.conv", "is called 2 times in a forward pass"), ("1.unused", "is not called as a module")]
)
def test_modules_that_are_not_called_once_are_not_measured(block, times):
    with pytest.raises(UsageError, match=rf"`{block}` of .* {times}"):
        gelens.selectivity(network_of(Twice()), make_data(24), blocks=[block], options=QUIET, rectify=True)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("reference", ["mini_resnet_se:classes=4", "mini_shufflenet_ge_theta:classes=4"])
def test_rounding_is_no_reason(reference, precision):
    options = SweepOptions("cpu", precision, batch_size=8, progress=False)
    table = gelens.evaluate(make_network(reference), make_data(24), options)
    assert table["images"].tolist() == [24]


class Pixels(torch.utils.data.Dataset):
    """Tensors of floating point, of the digits."""

    def __init__(self, transform):
        self.data, self.transform = gelens.data.load_data("digits").limited(20), transform

    def __len__(self):
        return 20

    def __getitem__(self, position):
        return self.transform(self.data[position][0]), int(self.data.labels[position])


def test_pixels_that_nobody_normalised_are_refused_where_the_network_says_how():
    network = make_network("mini_resnet")
    network.notes, shown = [], network.preprocessing
    raw = transforms.Compose([transforms.Resize(32), transforms.ToTensor()])
    whole = transforms.Compose([raw, transforms.Normalize(shown.mean, shown.std)])
    with pytest.raises(
        UsageError, match=r"values from 0 to 1, as from ToTensor alone.*Normalize\(\(0\.5, 0\.5, 0\.5\)"
    ):
        gelens.evaluate(network, Pixels(raw), QUIET)
    told = gelens.evaluate(network, Pixels(whole), QUIET)
    pictures = gelens.evaluate(network, Pixels(transforms.Resize(32)), QUIET)
    assert told.equals(pictures)
    network.preprocessing = gelens.networks.Preprocessing(32, mean=(0, 0, 0), std=(1, 1, 1))
    assert len(gelens.evaluate(network, Pixels(raw), QUIET)) == 1
