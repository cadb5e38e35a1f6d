"""Numbers that are none: found in weights before a pass, and in what it keeps as that is written."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from ..anatomy.hooks import hooked
from ..errors import RunError

LOGITS = "sum of logits"
"""What a pass notes of each image beside what is kept, by network: one kernel, and no number where a logit is none."""


class NotFinite(RunError):
    """What was computed is NaN or infinite: going on would not help."""


def check_weights(label: str, network: nn.Module) -> None:
    """Raise a NotFinite where weights are NaN or infinite; buffers may be infinite, as those of masks are."""
    strange = {name: ~values.isfinite() for name, values in network.named_parameters()}
    strange |= {name: values.isnan() for name, values in network.named_buffers() if values.is_floating_point()}
    if not strange or not bool(torch.stack([each.any() for each in strange.values()]).any()):  # a single wait
        return
    for name, values in strange.items():
        if count := int(values.sum()):
            raise NotFinite(
                f"the weights of {label} are no numbers: {count} of the {values.numel()} values of `{name}` are NaN or "
                f"infinite; they diverged in training, or were damaged"
            )


def check_rows(
    rows: Mapping[tuple[str, str], np.ndarray], names: Sequence[str], finite: Mapping[tuple[str, str], bool]
) -> tuple[str, str, str] | None:
    """The first image of a batch with a value that is no number: its network, what of it, and its name.

    Args:
        rows: by (network, name of an array); `LOGITS` is among the names.
        names: of the images.
        finite: by (network, name), whether NaN and infinite values are to be found there.
    """
    found: list[tuple[int, str, str]] = []
    for (label, name), values in rows.items():
        if name == LOGITS:
            good = np.isfinite(values)
        elif finite.get((label, name)) and values.dtype.kind == "f":
            good = np.isfinite(values).reshape(len(values), -1).all(1)
        else:
            continue
        if not good.all():
            found.append((int(np.flatnonzero(~good)[0]), label, name))
    if not found:
        return None
    first, label, name = min(found, key=lambda each: (each[0], each[2] == LOGITS))
    return label, name, names[first]


def first_strange_module(network: nn.Module, images: torch.Tensor) -> str | None:
    """The innermost module, first to be called, whose output is NaN or infinite; None where none has such an output."""
    found: list[str] = []

    def look(name: str, output) -> None:
        if not found and isinstance(output, torch.Tensor) and not output.isfinite().all():
            found.append(name)

    innermost = [(name, module) for name, module in network.named_modules() if not any(module.children())]
    hooks = [(module, lambda module, args, output, name=name: look(name, output)) for name, module in innermost]
    with hooked(*hooks), torch.inference_mode():
        network(images)
    return found[0] if found else None
