"""The intact forward passes of a network, or of a copy that gives the same and is faster."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..anatomy.classifier import float32_logits
from ..anatomy.folding import TOLERANCE, Folding
from ..anatomy.hooks import attempt, logits_of
from ..data.loading import Batch
from ..devices import PRECISIONS, is_out_of_memory
from ..errors import RunError, UsageError
from ..probes.predictions import Predictions
from ..probes.probe import Compilable, Moment, Onlooker, Probe
from .finite import LOGITS
from .formats import settle_format
from .trial import apart, calls_counted, check_alike, check_normalised

if TYPE_CHECKING:
    from .passing import Subject

log = logging.getLogger(__name__)

FEW = 8
"""Images of the first batch that also run beside few others."""

LONG = 600.0
"""Seconds on one core, by `_SECONDS`, from which on compiling gains more than it takes, which is up to a minute."""

_SECONDS = {"fp32": 0.015, "bf16": 0.005}
"""For 10⁹ multiply–accumulates on one core, as of a processor with AMX; half a millisecond is added for an image."""

_OF_A_PASS = 0.4
"""What follows a block of stage four, as a share of the whole pass."""


def is_worth_compiling(
    gmacs: float, images: int, probes: Sequence[Probe], precision: str, device: torch.device
) -> bool:
    """Whether a pass over so many images is long enough, by what it computes and no stopwatch, so always the same.

    On the CPU alone: elsewhere nothing was measured.
    """
    if device.type != "cpu" or precision not in _SECONDS:
        return False
    parts = sum(probe.passes() for probe in probes if isinstance(probe, Compilable))
    whole = all(isinstance(probe, Onlooker) for probe in probes)
    return images * (whole + _OF_A_PASS * parts) * (gmacs * _SECONDS[precision] + 5e-4) > LONG


class Intact:
    """The passes of a subject's network over batch after batch, and what its probes keep of each.

    Where all probes are onlookers, a copy with batch norm folded runs instead if the precision rounds anyway, or one
    whose blocks are compiled if that is asked for. On the first batch the copy has to give what the network gives,
    within the precision's tolerance; else the network runs. It is itself a context, which the passes are in.

    Args:
        subject: on its device, in evaluation mode.
        precision: of `PRECISIONS`.
        autocast: makes the context of a pass.
        compiled: whether a copy is compiled.
    """

    def __init__(
        self, subject: "Subject", precision: str, autocast: Callable[[], AbstractContextManager], compiled: bool
    ):
        self.subject, self.precision, self.autocast, self.compiled = subject, precision, autocast, compiled
        self.network = subject.network
        self.memory_format: torch.memory_format | None = None
        self._left = ExitStack()

    def __enter__(self) -> "Intact":
        return self

    def __exit__(self, *error) -> None:
        self._look_at(self.subject.network)
        self._left.close()

    def rows(self, batch: Batch, images: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the probes keep of a batch, by array, and the sums of logits.

        Args:
            images: as `network_input` gives them.
            labels: on the device.

        Raises:
            UsageError: the network does not take these images; of the first batch, too, what `check_normalised`,
                `calls_counted` and `check_alike` refuse.
            RunError: memory ran out.
        """
        if self.memory_format is None:
            with self.autocast():
                self.memory_format = settle_format(self.network, images[:2])
            images = images.contiguous(memory_format=self.memory_format)
            rows, logits = self._first(batch, images, labels)
        else:
            rows, logits = self._observe(batch, images.contiguous(memory_format=self.memory_format), labels)
        return rows | {LOGITS: logits.float().sum(1)}

    def _first(self, batch: Batch, images: torch.Tensor, labels: torch.Tensor):
        label, network, tolerance = self.subject.label, self.subject.network, TOLERANCE[self.precision]
        probes = self.subject.probes
        check_normalised(label, network, batch.images[self.subject.preprocessing.geometry])
        if PRECISIONS[self.precision]:
            with self.autocast():
                self._left.enter_context(float32_logits(network, images[:2].clone()))
        copied = all(isinstance(probe, Onlooker) for probe in probes) and (self.compiled or self.precision != "fp32")
        few, known = -(-min(len(images), 2 * FEW) // 2), {}
        with calls_counted(label, network, list(dict.fromkeys(block for probe in probes for block in probe.taps()))):
            if copied:
                known, beside_few = self._observe(batch, images[:few], labels[:few])
            else:
                beside_few = self._logits(images[:few])
        if copied and (given := self._by_copy(batch, images, labels, known, beside_few)) is not None:
            return given
        alone = self._logits(images[:1])
        rows, logits = self._observe(batch, images, labels)
        moved = max(apart(logits, beside_few), apart(logits, alone))
        if copied or moved > tolerance:  # a copy gives the same as a network that gives the same itself
            check_alike(label, self._logits, network, images, moved, tolerance)
        return rows, logits

    def _by_copy(self, batch: Batch, images: torch.Tensor, labels: torch.Tensor, known: dict, beside_few: torch.Tensor):
        """What a copy gives of the first batch, which runs from then on; None where it is not what the network gives.

        Args:
            known: what the probes keep of the network's pass over a few of the images.
            beside_few: its logits.
        """
        what = f"a copy with batch norm folded{' and compiled' if self.compiled else ''}"
        try:
            folding = Folding(self.network, images[:2].clone(), self.compiled)
            with self.autocast():
                self._look_at(folding.copy())
            rows, logits = self._observe(batch, images, labels)
            _, alone = self._observe(batch, images[:1], labels[:1])
        except Exception as error:  # of any kind: not every network can be copied, nor every weight be set
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            log.warning("%s: there is no %s (%s); left as it is", self.subject.label, what.removeprefix("a "), reason)
        else:
            kept = [(rows[name], each) for name, each in known.items() if each.is_floating_point()]
            moved = max(apart(*each) for each in ((logits, beside_few), (logits, alone), *kept))
            if moved <= TOLERANCE[self.precision]:
                return rows, logits
            text = "%s: %s moves what is measured by %.2g of its spread; left as it is"
            log.warning(text, self.subject.label, what, moved)
        self._look_at(self.subject.network)
        return None

    def _look_at(self, network: nn.Module) -> None:
        self.network = network
        for probe in self.subject.probes:
            if isinstance(probe, Onlooker):
                probe.look_at(network)

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        with self.autocast():
            return logits_of(_run(self.network, images))

    def _observe(self, batch: Batch, images: torch.Tensor, labels: torch.Tensor):
        """What the probes keep, and the logits."""
        probes = self.subject.probes
        with self.autocast():
            with ExitStack() as stack:
                for probe in probes:
                    stack.enter_context(probe.watch(batch))
                logits = logits_of(_run(self.network, images))
            if any(isinstance(probe, Predictions) for probe in probes):
                self._check_labels(batch, logits.shape[1])
            moment, rows = Moment(batch, images, labels, logits), dict[str, torch.Tensor]()
            for probe in probes:
                rows |= probe.rows(moment)
        return rows, logits

    def _check_labels(self, batch: Batch, outputs: int) -> None:
        """Labels that were not known before they were read may be any."""
        low, high = int(batch.labels.min()), int(batch.labels.max())
        if low < 0 or high >= outputs:
            strange = low if low < 0 else high
            raise UsageError(f"`{self.subject.label}` has {outputs} outputs, but the data has the label {strange}")


def _run(network: nn.Module, images: torch.Tensor):
    """What a network gives for images, which other networks and probes get as well: it may overwrite its input."""
    try:
        return attempt(network, images.clone())
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        fewer = max(len(images) // 2, 1)
        raise RunError(
            f"not enough memory on {images.device} for a batch of {len(images)} images: a smaller one might do, "
            f"by --batch-size {fewer}"
        ) from error
