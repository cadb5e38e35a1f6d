"""A trial before a pass: networks whose logits depend on more than the image are told before they are measured."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from ..anatomy.hooks import find_module, hooked
from ..errors import UsageError
from ..networks.card import card_of

IMAGES = 16
"""That are tried, at most."""


@contextmanager
def calls_counted(label: str, network: nn.Module, blocks: Sequence[str]) -> Iterator[None]:
    """Count the calls of the modules that are measured in one forward pass inside the with-block.

    Args:
        label: of the network, for messages.
        blocks: names of modules whose output is measured.

    Raises:
        UsageError: a module is called never or several times, of which only the last call would be measured.
    """
    calls = dict.fromkeys(blocks, 0)

    def counted(block: str):
        def hook(module, args, output) -> None:
            calls[block] += 1

        return hook

    with hooked(*((find_module(network, block), counted(block)) for block in blocks)):
        yield
    for block, times in calls.items():
        if times != 1:
            which = "so that there is nothing to measure" if not times else "of which only the last would be measured"
            raise UsageError(
                f"`{block}` of {label} is called {times or 'no'} times in a forward pass, {which}; name a module that "
                f"is called once (`gelens layers` lists them)"
            )


def apart(some: torch.Tensor, others: torch.Tensor) -> float:
    """How far values of the first images are from others of the same, beyond rounding, in standard deviations of all.

    Infinite where one is not finite.

    Args:
        some: (N, …).
        others: (n, …), n ≤ N.
    """
    values, others = some.float(), others.float()
    first = values[: len(others)]
    rounding = torch.finfo(some.dtype).eps * first.abs()  # of what is kept in half precision
    off = ((others - first).abs() - rounding).max() / values.std(correction=0).clamp(min=1e-6)
    return max(float(off), 0.0) if bool(off.isfinite()) else math.inf


def check_alike(
    label: str,
    run: Callable[[torch.Tensor], torch.Tensor],
    network: nn.Module,
    images: torch.Tensor,
    moved: float,
    tolerance: float,
) -> None:
    """Say why an image's logits hang on more than the image: run a few twice, in two halves, and one alone.

    Args:
        label: of the network, for messages.
        run: gives the network's logits.
        images: as the network takes them; the first of them are tried.
        moved: how far logits of the same images were from each other, as of `apart`.
        tolerance: how far they may be.

    Raises:
        UsageError: an image's logits differ from run to run, or with the images beside it, by more than rounding, or
            have done so. Of such as are not finite others tell.
    """
    images = images[:IMAGES]
    first = run(images)
    if math.isinf(moved) or not bool(first.isfinite().all()):
        return
    if (off := apart(first, run(images))) > tolerance:
        raise UsageError(
            f"{label} gives other logits for the same images when it runs again (they move by {off:.2g} of their "
            f"spread): something in it is random, such as F.dropout(x) without training=self.training"
        )
    halves = torch.cat([run(half) for half in images.tensor_split(2)])
    if (off := max(apart(first, halves), apart(first, run(images[:1])))) > tolerance:
        raise UsageError(
            f"{label} gives an image other logits beside other images (they move by {off:.2g} of their spread"
            f"{_by_whom(network)}): its accuracy would depend on --batch-size"
        )
    if moved > tolerance:
        raise UsageError(
            f"{label} gave other logits for the same images once (they moved by {moved:.2g} of their spread), and not "
            f"when it was tried again: something in it is random, counts its calls, or hangs on the number of images"
        )


def check_normalised(label: str, network: nn.Module, images: torch.Tensor) -> None:
    """Refuse images that come as floating point and can hardly be normalised as the network says it was trained.

    Args:
        label: of the network, for messages.
        images: (N, 3, H, W) as somebody's data set gives them, which are taken as they are; bytes are normalised here.

    Raises:
        UsageError: the network has weights and a mean and std of its own, and all values lie between 0 and 1, where
            ToTensor leaves them.
    """
    card = card_of(network)
    mean, std = card.preprocessing.mean, card.preprocessing.std
    if not images.is_floating_point() or card.untrained or mean is None or std is None:
        return
    low, high = (float(value) for value in images[:IMAGES].aminmax())
    as_bytes_are = low >= 0 and 0.5 < high <= 1
    if as_bytes_are and (any(each > 0 for each in mean) or any(each != 1 for each in std)):
        mean_said, std_said = (", ".join(f"{value:.3g}" for value in values) for values in (mean, std))
        raise UsageError(
            f"{label} was trained on images of mean {mean_said} and std {std_said} taken to 0 and 1, and these come "
            f"with values from {low:.3g} to {high:.3g}, as from ToTensor alone: end the transform in "
            f"Normalize(({mean_said}), ({std_said})) or leave it out altogether; if they are right as they are, "
            f"network.preprocessing = gelens.networks.Preprocessing({images.shape[-1]}, mean=(0, 0, 0), std=(1, 1, 1))"
        )


def _by_whom(network: nn.Module) -> str:
    """The first batch norm that takes each batch's own statistics, where there is one."""
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.running_mean is None:
            return f"; `{name}` has no running statistics, or track_running_stats=False"
    return ""
