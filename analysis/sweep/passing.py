"""One pass over the data that feeds every measurement of every network: device, precision, progress, resuming."""

import hashlib
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from analysis.anatomy.hooks import evaluating, logits_of
from analysis.data.loading import Batch, batches, known_indices
from analysis.devices import PRECISIONS, check_precision, resolve_device
from analysis.errors import RunError
from analysis.networks.preprocessing import Preprocessing
from analysis.networks.weights import save_tensors

CHECKPOINT_SECONDS = 60


class Measurement(Protocol):
    """What a sweep feeds. Its state is tensors in a state_dict, added up batch by batch."""

    def watch(self, batch: Batch):
        """A context manager around the intact forward pass of a batch."""

    def observe(self, images: torch.Tensor, batch: Batch, labels: torch.Tensor, logits: torch.Tensor) -> None:
        """One batch: prepared images, the batch on the host, and labels and logits on the device."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> object: ...

    def to(self, device: torch.device) -> object: ...


@dataclass
class Subject:
    """A network, what it expects of images, and what is measured of it."""

    label: str
    network: nn.Module
    preprocessing: Preprocessing
    measurements: Sequence[Measurement]


@dataclass(frozen=True)
class SweepOptions:
    """How a pass is run; what it measures does not depend on it, but for rounding.

    Args:
        device: "auto", "cpu", "cuda" or "mps".
        precision: "fp32", "bf16" or "fp16" (autocast).
        batch_size: images in a batch.
        workers: processes that decode images; 0 decodes in this one.
        progress: whether to show a progress bar.
        checkpoint: file that keeps the state of an unfinished pass; a pass that finds one goes on from there.
    """

    device: str = "auto"
    precision: str = "fp32"
    batch_size: int = 64
    workers: int = 0
    progress: bool = True
    checkpoint: Path | None = None

    def check(self) -> None:
        """Raise a UsageError where the device or the precision is unknown or not to be had."""
        check_precision(self.precision, resolve_device(self.device))


@contextmanager
def prepared(network: nn.Module, device: torch.device) -> Iterator[nn.Module]:
    """The network on the device, channels-last, in evaluation mode; given back in the mode and place it came in."""
    first = next(network.parameters(), None)
    home = torch.device("cpu") if first is None else first.device
    try:
        with evaluating(network.to(device, memory_format=torch.channels_last)):
            yield network
    finally:
        network.to(home)


@contextmanager
def interrupts_deferred() -> Iterator[threading.Event]:
    """Ctrl-C sets the event instead of raising, so that a batch is finished first; a second one raises at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def handler(number, frame):
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        sys.stderr.write("\nfinishing the batch in hand; Ctrl-C again stops at once, without it\n")

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def sweep(subjects: Sequence[Subject], data, options: SweepOptions) -> int:
    """Read the data once and feed every subject's measurements.

    Returns:
        Images read, those of an earlier, interrupted pass included.

    Raises:
        UsageError: an unknown device or precision.
        RunError: the data changed since the checkpoint.
        KeyboardInterrupt: after the batch in hand, with the state saved.
    """
    options.check()
    device, dtype = resolve_device(options.device), PRECISIONS[options.precision]
    autocast = (lambda: torch.autocast(device.type, dtype)) if dtype else nullcontext
    total = len(known_indices(data))
    done = _restore(subjects, options.checkpoint, data)
    for subject in subjects:
        for measurement in subject.measurements:
            measurement.to(device)
    geometries = [subject.preprocessing.geometry for subject in subjects]
    with ExitStack() as stack:
        for subject in subjects:
            stack.enter_context(prepared(subject.network, device))
        asked = stack.enter_context(interrupts_deferred())
        bar = stack.enter_context(
            tqdm(total=total, initial=done, unit="img", desc="measuring", mininterval=0.5, disable=not options.progress)
        )
        stack.enter_context(torch.inference_mode())
        saved, interval = time.monotonic(), CHECKPOINT_SECONDS
        reading = batches(
            data, geometries, options.batch_size, options.workers, start=done, pin_memory=device.type == "cuda"
        )
        while True:
            try:
                batch = next(reading, None)
            except RunError as error:  # an image that cannot be read: what came before it is kept
                if options.checkpoint and done:
                    _save(subjects, options.checkpoint, done, data)
                    raise RunError(
                        f"{error}. {done} of {total} images are measured and kept: the same command with --resume "
                        f"goes on"
                    ) from error
                raise
            if batch is None:
                break
            labels = batch.labels.to(device, non_blocking=True)
            inputs: dict[Preprocessing, torch.Tensor] = {}
            for subject in subjects:
                if subject.preprocessing not in inputs:
                    inputs[subject.preprocessing] = _input(batch, subject.preprocessing, device)
                with autocast():
                    _observe(subject, inputs[subject.preprocessing], batch, labels)
            bar.update(int(batch.positions[-1]) + 1 - done)
            done = int(batch.positions[-1]) + 1
            stop = asked.is_set()
            if options.checkpoint and (stop or time.monotonic() - saved > interval):
                begun = time.monotonic()
                _save(subjects, options.checkpoint, done, data)
                saved = time.monotonic()
                interval = max(CHECKPOINT_SECONDS, 50 * (saved - begun))  # gigabytes are not saved every minute
            if stop:
                raise KeyboardInterrupt
    if options.checkpoint:
        options.checkpoint.unlink(missing_ok=True)
    return total - len(getattr(data, "passed_over", ()))


def _observe(subject: Subject, images: torch.Tensor, batch: Batch, labels: torch.Tensor) -> None:
    with ExitStack() as stack:
        for measurement in subject.measurements:
            stack.enter_context(measurement.watch(batch))
        logits = logits_of(subject.network(images))
    for measurement in subject.measurements:
        measurement.observe(images, batch, labels, logits)


def _input(batch: Batch, preprocessing: Preprocessing, device: torch.device) -> torch.Tensor:
    """A foreign data set's float images are taken as they are: who made them has normalised them."""
    images = batch.images[preprocessing.geometry].to(device, non_blocking=True)
    if images.dtype == torch.uint8:
        images = preprocessing.normalize(images)
    return images.to(torch.float32).contiguous(memory_format=torch.channels_last)


def _save(subjects: Sequence[Subject], path: Path, done: int, data) -> None:
    states = [[dict(each.state_dict()) for each in subject.measurements] for subject in subjects]
    total = len(known_indices(data))
    read = {"done": done, "sizes": _sizes_hash(data, done), "passed_over": _passed_over(data, done)}
    save_tensors(path, read | {"total": total, "states": states})


def _passed_over(data, images: int) -> list[int]:
    """Which of the first so many images were not read."""
    return [int(position) for position in getattr(data, "passed_over", ()) if position < images]


def _sizes_hash(data, images: int) -> str:
    """Of the files of the first so many images: those that are read later may be mended before the pass goes on."""
    sizes = getattr(data, "sizes", ())
    return hashlib.sha256(np.asarray(sizes, dtype=np.int64)[:images].tobytes()).hexdigest()


def _restore(subjects: Sequence[Subject], path: Path | None, data) -> int:
    if path is None or not path.exists():
        return 0
    saved, total = torch.load(path, map_location="cpu", weights_only=True), len(known_indices(data))
    if saved["total"] != total:
        raise RunError(f"the unfinished pass in `{path}` was over {saved['total']} images, but now there are {total}")
    if saved["sizes"] != _sizes_hash(data, saved["done"]):
        raise RunError(f"files among the {saved['done']} images that are measured already have changed in size")
    if saved["passed_over"] != _passed_over(data, saved["done"]):
        raise RunError(f"some of the {saved['done']} images that are measured already can no longer be read")
    for subject, states in zip(subjects, saved["states"], strict=True):
        for measurement, state in zip(subject.measurements, states, strict=True):
            measurement.load_state_dict(state)
    return saved["done"]
