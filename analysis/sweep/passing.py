"""One pass over the data: what the probes of every network keep of each image becomes a recording."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from .. import processes
from ..data.adapting import known_classes, known_indices, known_labels
from ..data.contents import in_hex
from ..data.datasets import ImageData
from ..data.loading import Batch, batches, reading_errors_told
from ..data.rereading import changed_image
from ..devices import (
    PRECISIONS,
    check_precision,
    device_kind,
    fast_precision,
    float32_as,
    is_accelerator,
    pins_memory,
    recorded_event,
    resolve_device,
    to_host,
)
from ..errors import RunError, UsageError
from ..interruption import interrupts_deferred
from ..networks.preprocessing import Preprocessing
from ..probes.probe import Compilable, Probe, Tuned
from ..progress import progress_bar
from ..recording import Kept, Recording
from ..recording.beginning import begun_with
from ..recording.same import others_now
from .finite import LOGITS, NotFinite, check_rows, check_weights, first_strange_module
from .formats import network_input, prepared, settle_format
from .intact import Intact, is_worth_compiling
from .rehearsal import Plan, Rehearsed
from .sharing import Announced, Shard, parts_folder, record_together, some_of

log = logging.getLogger(__name__)

FLUSH_SECONDS = 10
AUTO = "auto"
COMPILED = "compiled"
"""By which recording.json says so of a network, with the images of a batch."""
MOST_SHARED = 0.01
"""Of the images measured, or of others that means were taken from: copies beyond this share are no chance any more."""
SAID_BYTES = 50_000_000
"""Of a recording: its size is said before the pass from here on."""


@dataclass
class Subject:
    """A network, what it expects of images, its card, and what is kept of each image.

    Args:
        card: what tells it from others, as JSON has it: reference, weights' hash, preprocessing.
        apart_from: contents of images that must not be measured, for what is kept was found on them.
    """

    label: str
    network: nn.Module
    preprocessing: Preprocessing
    probes: Sequence[Probe]
    card: Mapping
    apart_from: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SweepOptions:
    """How a pass is run; what it measures does not depend on it, but for rounding.

    Args:
        device: "auto", "cpu", "cuda", "cuda:1", "mps", "xpu".
        precision: "fp32" (IEEE), "tf32", "bf16" or "fp16" (autocast); "auto" is bfloat16 where the device computes in
            it itself, else fp32, and what it was when a recording goes on.
        batch_size: images in a batch; 64 on the CPU and 256 elsewhere where not given.
        workers: processes that decode images; 0 decodes in this one, as the CPU does where not given, so that the cores
            are left to the network; elsewhere one a core.
        progress: whether to show a progress bar.
        rehearse: whether to find out only what the pass would be, and raise it as `Rehearsed`.
        shard: the share of the images that is recorded, all by default; `gelens.merge` brings shares together.
        together: whether the processes of an initialised process group measure a share each and then all have the
            whole; every one of them must call then. False: each process measures by itself.
        compiled: whether a copy of each network is measured whose blocks are compiled, within the tolerance of
            `gelens.anatomy.folding.TOLERANCE`; where not given, on the CPU and if the pass is long enough to gain.
    """

    device: str = "auto"
    precision: str = "fp32"
    batch_size: int | None = None
    workers: int | None = None
    progress: bool = True
    shard: Shard | None = None
    rehearse: bool = False
    together: bool = True
    compiled: bool | None = None

    def check(self) -> None:
        """Raise a UsageError where the device or the precision is unknown or not to be had."""
        check_precision(self.precision, resolve_device(self.device), (AUTO,))

    def settled(self, images: int, precision: str | None = None) -> "Settled":
        """What is meant on this machine for so many images, with nothing left open.

        Args:
            precision: what "auto" was when the recording was begun.
        """
        device = processes.own_device(resolve_device(self.device))
        faster = is_accelerator(device)
        batch_size = self.batch_size or (256 if faster else 64)
        workers = self.workers
        if workers is None:
            workers = min(processes.cores(), -(-images // batch_size)) if faster else 0
        chosen = (precision or fast_precision(device)) if self.precision == AUTO else self.precision
        return Settled(device, chosen, batch_size, workers, self.progress and not self.rehearse)


@dataclass(frozen=True)
class Settled:
    """`SweepOptions` with nothing left open.

    Args:
        compiled: labels of the networks that are.
    """

    device: torch.device
    precision: str
    batch_size: int
    workers: int
    progress: bool
    compiled: frozenset[str] = frozenset()

    def __str__(self) -> str:
        how = f"{self.device}, {self.precision}, {self.batch_size} images a batch, {self.workers} workers"
        return f"{how}, compiled" if self.compiled else how


def record(
    subjects: Sequence[Subject],
    data,
    options: SweepOptions,
    folder: Path | str | None = None,
    resume: bool = False,
    facts: Mapping | None = None,
) -> Recording:
    """Read the data once and keep what every subject's probes keep of each image.

    Args:
        folder: where the recording goes; None keeps it in memory.
        resume: go on with an unfinished one.
        facts: what else recording.json says.

    Raises:
        UsageError: an unknown device or precision, or a folder that holds something else.
        RunError: an image that cannot be read, a process that reads and died, no space, or values that are NaN or
            infinite: what was recorded before is kept.
        KeyboardInterrupt, Terminated: after the batch in hand, with what was recorded kept.
    """
    options.check()
    images = image_table(data)
    begun = begun_with(folder) if resume and folder is not None else {}
    settled = options.settled(len(images), begun.get("precision"))
    if is_accelerator(settled.device) or options.precision == AUTO:
        log.info("the pass: %s", settled)
    if settled.precision == "fp32" and is_accelerator(settled.device) and fast_precision(settled.device) != "fp32":
        kind = device_kind(settled.device)
        log.info("float32 is the slowest that this %s computes in; --precision auto takes bfloat16", kind)
    for subject in subjects:
        check_weights(subject.label, subject.network)
    described = {
        "networks": {subject.label: dict(subject.card) for subject in subjects},
        "taps": {subject.label: _merged(probe.taps() for probe in subject.probes) for subject in subjects},
        "settings": {subject.label: _merged(probe.settings() for probe in subject.probes) for subject in subjects},
        "precision": settled.precision,
        "labels_known": known_labels(data) is not None,
    }
    kept = {subject.label: [each for probe in subject.probes for each in probe.arrays()] for subject in subjects}
    _check_names(kept)
    announced = Announced(kept, images, described | dict(facts or {}))
    folder = None if folder is None else Path(folder)
    _say_size(kept, len(announced.images), folder)
    if options.rehearse:
        raise Rehearsed(_plan(subjects, data, announced, settled))
    for probe in [probe for subject in subjects for probe in subject.probes if options.compiled]:
        if isinstance(probe, Compilable):
            probe.compile()  # or a word on why it cannot
    wanted = [each.label for each in subjects if _compiled(each, options.compiled, len(announced.images), settled)]
    settled = replace(settled, compiled=frozenset(wanted))
    if options.shard:
        rows = options.shard.rows(len(announced.images), settled.batch_size)
        data, announced = some_of(data, rows), announced.part(rows)

    def check_some(recording: Recording, rows: range) -> None:
        _check_contents(recording, some_of(data, rows), settled)

    def record_some(some: Announced, rows: range, folder: Path | None, resume: bool) -> Recording:
        return _record(subjects, some_of(data, rows), some, settled, folder, resume)

    left = folder is not None and parts_folder(folder).is_dir()  # by processes of an earlier try
    if options.together and (processes.number() > 1 or left):
        return record_together(announced, record_some, check_some, folder, resume, settled.batch_size)
    return _record(subjects, data, announced, settled, folder, resume)


def _compiled(subject: Subject, asked: bool | None, images: int, settled: Settled) -> bool:
    """Whether a copy of a network is compiled: as asked for, or if its pass over so many images is long enough."""
    if asked is not None:
        return asked
    fact = subject.card.get("facts", {}).get("gmacs")
    return is_worth_compiling(fact or 0.0, images, subject.probes, settled.precision, settled.device)


def _plan(subjects: Sequence[Subject], data, announced: Announced, settled: Settled) -> Plan:
    """What a pass would be; its time by that of a batch, after another one."""
    arrays = [f"{label}/{each.name}" for label, several in announced.kept.items() for each in several]
    size = sum(each.bytes_an_image for several in announced.kept.values() for each in several)
    images = len(announced.images)
    seconds = []
    for _ in range(2):
        rows = range(min(images, settled.batch_size))
        begun = time.monotonic()
        _record(subjects, some_of(data, rows), announced.part(rows), settled, None, False)
        seconds.append(time.monotonic() - begun)
    blocks, lasts = _blocks_of(announced.described), seconds[-1] * images / len(rows)
    return Plan(str(data), images, list(announced.kept), blocks, arrays, images * size, str(settled), lasts)


def _blocks_of(described: Mapping) -> list[str]:
    """The blocks that probes say they measure, whose activity they keep or which they drop maps of."""
    found: dict[str, None] = {}
    for label, taps in described["taps"].items():
        settings = described["settings"][label]
        points = settings.get("dropping", {}).get("points", ())
        found |= dict.fromkeys([*taps, *settings.get("lesions", ()), *(point["block"] for point in points)])
    return list(found)


def _record(
    subjects: Sequence[Subject],
    data,
    announced: Announced,
    settled: Settled,
    folder: Path | None,
    resume: bool,
) -> Recording:
    """Record what is announced of all of the data, in this process."""
    recording = announced.create(folder, resume)
    try:
        if not recording.finished:
            settled = _choose_again(recording, subjects, settled)
            _check_contents(recording, data, settled)
            _fill(recording, subjects, data, settled)
            recording.finish()
    except (UsageError, RunError):
        if recording.rows_done:
            recording.flush()
        else:
            recording.discard()  # nothing came of it: its folder is free for the next try
        raise
    except BaseException:  # interrupted, or whatever somebody's data set or network raises
        recording.flush()
        raise
    finally:
        recording.close()
    return recording


def _check_contents(recording: Recording, data, options: Settled) -> None:
    """Images that are recorded already show what they showed: they are read once more, and no network is run.

    Raises:
        RunError: one shows something else.
    """
    done = recording.contents[: recording.rows_done]
    shown = options.progress and processes.is_first()
    if (position := changed_image(data, done, options.batch_size, options.workers, shown)) is not None:
        name = recording.images["identifier"].iloc[position]
        raise RunError(others_now(recording.folder, len(done), f"`{name}` shows something else"))


def _check_names(kept: Mapping[str, Sequence[Kept]]) -> None:
    for label, several in kept.items():
        names = [each.name for each in several]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"two probes of {label} keep an array called `{twice[0]}`; expected one")


def _say_size(kept: Mapping[str, Sequence[Kept]], images: int, folder: Path | str | None) -> None:
    needed = images * sum(each.bytes_an_image for several in kept.values() for each in several)
    if folder is not None and needed > SAID_BYTES:
        log.info("the recording takes %.2f GB in %s", needed / 1e9, folder)


def _merged(dictionaries) -> dict:
    merged: dict = {}
    for each in dictionaries:
        merged |= each
    return merged


def image_table(data) -> pd.DataFrame:
    """The columns of images.csv but `row`, as far as they are known before images are read."""
    indices, labels, classes = known_indices(data), known_labels(data), known_classes(data)
    ours = isinstance(data, ImageData)  # an attribute of somebody's data set may mean anything
    identifiers, sizes = (data.identifiers, data.sizes) if ours else (None, ())
    if labels is None:
        labels = np.full(len(indices), -1)
    named = [classes[label] if 0 <= label < len(classes) else "" for label in labels.tolist()]
    return pd.DataFrame(
        {
            "index": indices,
            "identifier": [str(index) for index in indices] if identifiers is None else list(identifiers),
            "label": labels,
            "class": named,
            "bytes": np.asarray(sizes) if len(sizes) else np.full(len(indices), -1),
        }
    )


def _fill(recording: Recording, subjects: Sequence[Subject], data, options: Settled) -> None:
    device, dtype = options.device, PRECISIONS[options.precision]
    autocast = (lambda: torch.autocast(device.type, dtype)) if dtype else nullcontext
    geometries = [subject.preprocessing.geometry for subject in subjects]
    total, done = len(recording.images), recording.rows_done
    shown = options.progress and processes.is_first()
    with ExitStack() as stack:
        stack.enter_context(_told_what_is_kept(recording))
        for subject in subjects:
            stack.enter_context(prepared(subject.network, device))
        asked = stack.enter_context(interrupts_deferred(said=processes.is_first()))
        bar = stack.enter_context(progress_bar(shown, total=total, initial=done, unit="img", desc="measuring"))
        stack.enter_context(torch.inference_mode())
        stack.enter_context(float32_as(options.precision))
        intact = {
            each.label: stack.enter_context(Intact(each, options.precision, autocast, each.label in options.compiled))
            for each in subjects
        }

        def strange_module(label: str, batch: Batch) -> str | None:
            (subject,) = (each for each in subjects if each.label == label)
            images = network_input(batch, subject.preprocessing, device)
            with autocast():
                images = images.contiguous(memory_format=settle_format(subject.network, images[:2]))
                return first_strange_module(subject.network, images)

        waiting = _Waiting(recording, strange_module, frozenset().union(*(each.apart_from for each in subjects)))
        stack.callback(_note_choices, recording, subjects, options)
        stack.callback(waiting.write)  # what is computed already is kept, whatever happens
        reading = batches(
            data, geometries, options.batch_size, options.workers, start=done, pin_memory=pins_memory(device)
        )
        flushed, interval = time.monotonic(), float(FLUSH_SECONDS)
        for batch in reading:
            labels = batch.labels.to(device, non_blocking=True)
            inputs: dict[Preprocessing, torch.Tensor] = {}
            rows: dict[tuple[str, str], torch.Tensor] = {}
            for subject in subjects:
                if subject.preprocessing not in inputs:
                    inputs[subject.preprocessing] = network_input(batch, subject.preprocessing, device)
                observed = intact[subject.label].rows(batch, inputs[subject.preprocessing], labels)
                rows |= {(subject.label, name): values for name, values in observed.items()}
            # a foreign loader's batches need not begin where the pass was interrupted
            start = int(batch.positions[0])
            waiting.add(start, batch, rows)
            bar.update(start + len(batch) - done)
            done = start + len(batch)
            stop = asked.is_set()
            if stop or time.monotonic() - flushed > interval:
                waiting.write()
                _note_choices(recording, subjects, options)
                begun = time.monotonic()
                recording.flush()
                flushed = time.monotonic()
                interval = max(FLUSH_SECONDS, 100 * (flushed - begun))
            if stop:
                asked.raise_it()
        waiting.write()
        waiting.say_shared()
        if recording.rows_done != total:
            raise RunError(
                f"{data} gave {recording.rows_done} images, but has {total} by its length: those that it left "
                f"out moved the others to wrong places; expected every image, in order"
            )


def _tuned(subjects: Sequence[Subject]) -> Iterator[tuple[str, Tuned]]:
    for subject in subjects:
        for probe in subject.probes:
            if isinstance(probe, Tuned):
                yield subject.label, probe


def _note_choices(recording: Recording, subjects: Sequence[Subject], options: Settled) -> None:
    """What probes chose, and which networks are compiled, is said in recording.json."""
    chosen: dict[str, dict] = {label: {COMPILED: {"batch": options.batch_size}} for label in sorted(options.compiled)}
    for label, probe in _tuned(subjects):
        chosen[label] = chosen.get(label, {}) | probe.chosen()
    recording.described["chosen"] = chosen


def _choose_again(recording: Recording, subjects: Sequence[Subject], settled: Settled) -> Settled:
    """A recording that goes on does so with what its beginning chose."""
    chosen = recording.described.get("chosen", {})
    for label, probe in _tuned(subjects):
        probe.choose(chosen.get(label, {}))
    if recording.rows_done:
        settled = replace(settled, compiled=frozenset(label for label in chosen if chosen[label].get(COMPILED)))
    for each in [probe for subject in subjects if subject.label in settled.compiled for probe in subject.probes]:
        if isinstance(each, Compilable) and each.passes():
            each.compile()
    return settled


@contextmanager
def _told_what_is_kept(recording: Recording) -> Iterator[None]:
    """What goes wrong in the with-block is said with a word on what is kept."""
    try:
        with reading_errors_told():
            yield
    except RunError as error:
        if recording.folder is None or not recording.rows_done:
            raise
        kept = f"{recording.rows_done} of {len(recording.images)} images are measured and kept"
        if isinstance(error, NotFinite):
            raise NotFinite(f"{error}. {kept}") from error
        raise RunError(f"{error}. {kept}; repeat the command with --resume to continue") from error


class _Waiting:
    """Rows on their way from the device: written when the next batch is under way, so that nothing waits for them."""

    def __init__(
        self, recording: Recording, strange_module: Callable[[str, Batch], str | None], apart_from: frozenset[str]
    ):
        self.recording, self.strange_module, self.apart_from = recording, strange_module, apart_from
        self._shared = [each for each in recording.contents[: recording.rows_done] if each in apart_from]
        self._finite = {
            (label, kept["name"]): kept["finite"]
            for label, several in recording.described["arrays"].items()
            for kept in several
        }
        self._pending: tuple | None = None

    def add(self, start: int, batch: Batch, rows: Mapping[tuple[str, str], torch.Tensor]) -> None:
        """Begin to copy the rows of a batch to the host, and write those of the one before."""
        copies = {key: to_host(values) for key, values in rows.items()}
        arrived = None
        first = next(iter(rows.values()), None)
        if first is not None:
            arrived = recorded_event(first.device)
        before, self._pending = self._pending, None
        self._write(before)
        self._pending = (start, batch, copies, arrived)

    def write(self) -> None:
        """Write what is pending."""
        pending, self._pending = self._pending, None
        self._write(pending)

    def _write(self, pending: tuple | None) -> None:
        if pending is None:
            return
        start, batch, copies, arrived = pending
        if arrived is not None:
            arrived.synchronize()
        if self.recording.described["labels_known"]:
            self._check_labels(start, batch)
        else:
            self.recording.write_labels(start, batch.labels.numpy())
        if batch.contents is not None:
            contents = in_hex(batch.contents)
            self.recording.write_contents(start, contents)
            self._check_apart(start, contents)
        arrays = {key: copy.numpy() for key, copy in copies.items()}
        self._check_finite(start, batch, arrays)
        kept = {key: values for key, values in arrays.items() if key[1] != LOGITS}
        self.recording.write(start, kept, len(batch))

    def _check_apart(self, start: int, contents: Sequence[str]) -> None:
        """Images that something was found on are not measured, whatever they are called; a few copies may be there."""
        shared = [place for place, content in enumerate(contents) if content in self.apart_from]
        self._shared += [contents[place] for place in shared]
        measured, others = len(self.recording.images), len(self.apart_from)
        if shared and len(self._shared) > MOST_SHARED * min(measured, others):
            name = self.recording.images["identifier"].iloc[start + shared[-1]]
            raise UsageError(
                f"{len(self._shared)} of the first {start + len(contents)} images that are measured, such as `{name}`, "
                f"are among the {others} that means or indices were taken from, whatever they are called there; "
                f"expected other images"
            )

    def say_shared(self) -> None:
        if self._shared:
            log.warning(
                "%d of %d images that are measured are also among the %d that means or indices were taken from",
                len(self._shared),
                len(self.recording.images),
                len(self.apart_from),
            )

    def _check_finite(self, start: int, batch: Batch, rows: Mapping[tuple[str, str], np.ndarray]) -> None:
        names = self.recording.images["identifier"].iloc[start : start + len(batch)].tolist()
        if (found := check_rows(rows, names, self._finite)) is None:
            return
        label, name, image = found
        module = self.strange_module(label, batch)
        gives = "logits" if name == LOGITS else f"`{name}`"
        first = f"; the first module to give such values is `{module}`" if module else ""
        raise NotFinite(
            f"{label} gives {gives} that are NaN or infinite for image `{image}`{first}: weights that diverged, or a "
            f"precision too low for them"
        )

    def _check_labels(self, start: int, batch: Batch) -> None:
        """The labels that the data told beforehand are those that came with the images."""
        told = self.recording.images.iloc[start : start + len(batch)]
        others = np.flatnonzero(told["label"].to_numpy() != batch.labels.numpy())
        if len(others):
            row = told.iloc[others[0]]
            raise UsageError(
                f"image `{row['identifier']}` comes with the label {int(batch.labels[others[0]])}, but the data's "
                f"`targets` or `labels` say {row['label']}: they are to be what its items give, or absent"
            )
