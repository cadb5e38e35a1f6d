"""Features of any network by module name, with every hook removed on any exit."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from itertools import islice

import torch
from torch import nn

from ..devices import is_out_of_memory
from ..errors import RunError, UsageError, unknown
from ..networks.card import card_of

_depth: ContextVar[int] = ContextVar("depth", default=0)
"""How many forward passes, each made from within a hook of the one before, are going on."""


@contextmanager
def hooked(*hooks: tuple[nn.Module, Callable], before: Sequence[tuple[nn.Module, Callable]] = ()) -> Iterator[None]:
    """Forward hooks on modules for the time of a with-block; those of `before` are called before their modules."""
    with ExitStack() as stack:
        for module, hook in hooks:
            stack.callback(module.register_forward_hook(_Hook(hook)).remove)
        for module, hook in before:
            stack.callback(module.register_forward_pre_hook(_Hook(hook)).remove)
        yield


def depth() -> int:
    """How many passes, each made from within a hook of the one before, are going on."""
    return _depth.get()


class _Hook:
    """A hook that sees only forward passes of the depth at which it was set."""

    def __init__(self, hook: Callable):
        self.hook, self.depth = hook, depth()

    def __call__(self, *args):
        return self.hook(*args) if depth() == self.depth else None

    def __deepcopy__(self, memo) -> Callable:
        return _unseen


def _unseen(*args) -> None:
    """The hook of a copied network."""


def unwatched_copy(network: nn.Module) -> nn.Module:
    """A copy that none of the hooks watch which `hooked` has set on the network."""
    copied = copy.deepcopy(network)
    for module in copied.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for number in [number for number, hook in hooks.items() if hook is _unseen]:
                del hooks[number]
    return copied


@contextmanager
def aside() -> Iterator[None]:
    """Forward passes in the with-block are not seen by the hooks that `hooked` set outside of it."""
    token = _depth.set(_depth.get() + 1)
    try:
        yield
    finally:
        _depth.reset(token)


@contextmanager
def capture(
    network: nn.Module,
    blocks: Sequence[str],
    reduce: str | Callable[[str, torch.Tensor], torch.Tensor] | None = None,
    into: dict[str, torch.Tensor] | None = None,
) -> Iterator[dict[str, torch.Tensor]]:
    """Capture the outputs of named modules in every forward pass inside the with-block.

    Args:
        network: any module.
        blocks: names of its modules, such as `layer3.5`.
        reduce: None keeps a copy of each map, safe from later in-place operations, as it came (shape, device,
            gradient); "mean" keeps its mean over positions, float32 (N, C); a function keeps what it makes of the
            block's name and its map, which it must not change or keep.
        into: a mapping to fill instead of a new one.

    Yields:
        Features by block name: those of the last forward pass.

    Raises:
        UsageError: no such module, or another `reduce`.
        TypeError: a module's output is not a tensor.

    >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True))
    >>> with capture(network, ["0"]) as features:
    ...     _ = network(torch.ones(2, 3, 5, 5))
    >>> features["0"].shape
    torch.Size([2, 4, 5, 5])
    """
    if not callable(reduce) and reduce not in (None, "mean"):
        raise UsageError(f"Expected argument `reduce` to be None, 'mean' or a function, but got {reduce!r}")
    blocks = [blocks] if isinstance(blocks, str) else list(blocks)
    features: dict[str, torch.Tensor] = {} if into is None else into
    layout = layout_of(network)

    def keep(name: str):
        def hook(module, args, output):
            if not isinstance(output, torch.Tensor):
                raise TypeError(f"block `{name}` gives a {type(output).__name__}; expected a tensor")
            if callable(reduce):
                features[name] = reduce(name, output)
            else:
                features[name] = output.clone() if reduce is None else channel_means(output, layout)

        return hook

    with hooked(*[(find_module(network, name), keep(name)) for name in blocks]):
        yield features


def attempt(network: nn.Module, images: torch.Tensor):
    """What the network gives for images; one line of what is wrong where it does not take them.

    Raises:
        UsageError: whatever the network raises, but for memory that ran out.
    """
    try:
        return _of_each(network(images), len(images))
    except (UsageError, RunError):
        raise
    except Exception as error:  # of any kind: a network asserts, indexes, looks up …
        if is_out_of_memory(error):
            raise
        shape = "×".join(map(str, images.shape[1:]))
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"{card_of(network).reference} fails on images of {shape}: {reason}{_instead(network, images)}"
        ) from error


def _of_each(outputs, images: int):
    """What a network gives, unless it is logits of other numbers of images, as `view(-1, 400)` makes of larger maps."""
    found = _logits_in(outputs)
    if isinstance(found, torch.Tensor) and found.ndim == 2 and len(found) != images:
        raise ValueError(f"it gives {len(found)} rows of logits for {images} images")
    return outputs


_SIDES = (28, 32, 48, 64, 96, 112, 128, 160, 192, 224, 227, 240, 256, 288, 299, 320, 384, 448, 512)
"""Pixels of images that networks are made for."""


def _instead(network: nn.Module, images: torch.Tensor) -> str:
    """What images a network takes instead of some that it fails on, found by trying; nothing where none are found."""
    side, channels = card_of(network).preprocessing.size, images.shape[1]
    sides = list(dict.fromkeys((*((side,) if side else ()), *_SIDES)))
    if found := list(islice((each for each in sides if _takes(network, images, channels, each)), 3)):
        taken = f"states {side}" if found[0] == side else f"takes {', '.join(map(str, found))}"
        return f"; of sizes that were tried it {taken} px (--image-size {found[0]}, in Python its `preprocessing`)"
    for other in {1, 3} - {channels}:
        if any(_takes(network, images, other, each) for each in (images.shape[-1], *sides)):
            way = "put torchvision.transforms.Grayscale() before it, or give" if other == 1 else "give"
            return f"; it takes images of {other} channel{'s' * (other > 1)}: {way} tensors ({other}, H, W)"
    return ""


def _takes(network: nn.Module, images: torch.Tensor, channels: int, side: int) -> bool:
    try:
        with aside():
            _of_each(network(images.new_zeros(2, channels, side, side)), 2)
    except Exception:  # of any kind: it does not
        return False
    return True


def find_module(network: nn.Module, name: str, choices: Sequence[str] = ()) -> nn.Module:
    """The module of a dotted name.

    Args:
        choices: the names to offer when there is none; all modules' by default.

    Raises:
        UsageError: there is none; the message gives the nearest names. Or the network is TorchScript's.
    """
    if isinstance(network, torch.jit.ScriptModule):
        raise UsageError(
            "the modules of a TorchScript program cannot be watched: measure the network that it was made of (its "
            "accuracy can be evaluated)"
        )
    try:
        if name:
            return network.get_submodule(name)
    except AttributeError:
        pass
    raise unknown("block", name, choices or [each for each, _ in network.named_modules() if each])


def logits_of(outputs) -> torch.Tensor:
    """The logits (N, K) in what a network gives: a tensor, the first of several, or the one called `logits`.

    >>> logits_of({"logits": torch.zeros(2, 5)}).shape
    torch.Size([2, 5])

    Raises:
        UsageError: there are none, or several tensors of other widths could be they.
    """
    if isinstance(outputs, tuple | list) and not hasattr(outputs, "logits"):
        widths = [each.shape[1] for each in outputs if isinstance(each, torch.Tensor) and each.ndim == 2]
        if len(set(widths)) > 1:
            raise UsageError(
                f"the network gives tensors of {', '.join(map(str, widths))} values an image: which are its logits "
                f"cannot be told; wrap it in a module that returns them alone"
            )
    found = _logits_in(outputs)
    if not isinstance(found, torch.Tensor) or found.ndim != 2:
        shape = f" of shape {tuple(found.shape)}" if isinstance(found, torch.Tensor) else ""
        named = f" of {', '.join(map(repr, outputs))}" if isinstance(outputs, Mapping) else ""
        kind = type(outputs if named else found).__name__
        raise UsageError(
            f"the network gives {kind}{shape}{named}; expected logits (images, classes), as a tensor, the first of a "
            f"tuple, or called `logits`: wrap it in a module that returns them"
        )
    return found


def _logits_in(outputs):
    """What logits would be in what a network gives."""
    if isinstance(outputs, Mapping):
        return outputs.get("logits")
    if hasattr(outputs, "logits"):
        return outputs.logits
    return outputs[0] if isinstance(outputs, tuple | list) and outputs else outputs


def layout_of(network: nn.Module) -> str:
    """Where maps have their channels: "NHWC" where the network says so, as some of timm's transformers, or "NCHW".

    torchvision's Swin does not say so, and is known by its module.
    """
    last = getattr(network, "output_fmt", None) == "NHWC"
    return "NHWC" if last or type(network).__module__ == "torchvision.models.swin_transformer" else "NCHW"


def channel_means(features: torch.Tensor, layout: str = "NCHW") -> torch.Tensor:
    """The mean over positions of maps, the mean over tokens of (N, T, C), or (N, C) itself; (N, C) in float32.

    Args:
        features: of any precision.
        layout: of maps, "NCHW" or "NHWC".

    Raises:
        UsageError: features of another number of dimensions.

    >>> channel_means(torch.tensor([[[0.0, 1.0], [2.0, 3.0]]]))
    tensor([[1., 2.]])
    """
    if features.ndim == 2:
        return features.float()
    if features.ndim == 3:
        return features.mean(1, dtype=torch.float32)
    if features.ndim != 4:
        raise UsageError(
            f"features of shape {tuple(features.shape)}: expected maps (N, C, H, W), tokens (N, T, C) or vectors (N, C)"
        )
    return features.mean((2, 3) if layout == "NCHW" else (1, 2), dtype=torch.float32)
