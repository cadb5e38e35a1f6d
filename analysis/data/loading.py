"""Batches of labelled images, read once and prepared for each network's geometry."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from timm.data import create_transform
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler, Subset, default_collate

from ..errors import RunError, UsageError
from ..networks.preprocessing import CENTER, Geometry, described
from .adapting import check_image, checked_batch, known_indices, pair_of, whole_label
from .contents import content_of

if TYPE_CHECKING:
    from .cached import CachedData

WAIT_SECONDS = 600
"""For one batch of processes that read: after it, what they read from is taken not to answer."""

_LOOK_SECONDS = 10
"""Between two looks at whether they are alive."""


@dataclass
class Batch:
    """Images of one batch on the host, for each geometry asked for, with labels, indices and positions in the data.

    `images[g]` is (N, 3, H, W), uint8 where we decoded it, or whatever a foreign data set gave; `contents` are
    (N, 16) uint8, what each image shows (`gelens.data.contents.content_of`), zeros where that is not known.
    """

    images: dict[Geometry, torch.Tensor]
    labels: torch.Tensor
    indices: torch.Tensor
    positions: torch.Tensor
    contents: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)


@cache
def _geometry_transform(geometry: Geometry):
    size, crop_pct, interpolation, *mode = geometry
    # timm's evaluation transform without its last steps: bytes now, normalisation on the device
    return create_transform(
        size, crop_pct=crop_pct, interpolation=interpolation, crop_mode=(*mode, CENTER)[0], use_prefetcher=True
    )


class _Prepared(Dataset):
    """Item i of any data set of (image, label[, index]) as (images by geometry, label, position, content)."""

    def __init__(self, data: Dataset, geometries: Sequence[Geometry]):
        self.data, self.geometries = data, list(geometries)

    def __getitem__(self, position: int):
        name = type(self.data).__name__
        image, label = pair_of(self.data[position], name)
        check_image(image, name)
        if isinstance(image, torch.Tensor):
            images = [image] * len(self.geometries)
        else:
            images = [_geometry_transform(geometry)(image) for geometry in self.geometries]
        return images, whole_label(label, name), position, _as_bytes(content_of(image))


class _Decoded(Dataset):
    """Whole batches of images that are decoded already (`gelens.data.cached`): item i is batch i."""

    def __init__(self, data: "CachedData", batch_size: int, start: int):
        self.data, self.starts = data, range(start, len(data), batch_size)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: int):
        start = self.starts[number]
        stop = min(start + self.starts.step, len(self.data))
        labels = torch.from_numpy(self.data.labels[start:stop])
        contents = torch.from_numpy(self.data.known_contents[start:stop])
        return [self.data.decoded(start, stop)], labels, torch.arange(start, stop), contents


def _decoded(data) -> "CachedData | None":
    """Data of which the images are decoded already."""
    return data if getattr(data, "geometry", None) else None


def _as_bytes(content: bytes) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy())


def batches(
    data: Dataset | DataLoader,
    geometries: Sequence[Geometry],
    batch_size: int = 64,
    workers: int = 0,
    start: int = 0,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """Read data in order, from position `start` on.

    Args:
        data: a data set of (image, label) or (image, label, index), or a sequential DataLoader of batches of them.
        geometries: what to resize and crop decoded images to; each image is decoded once.
        batch_size: images in a batch; a DataLoader brings its own.

    Raises:
        UsageError: a DataLoader that shuffles or leaves images out, data without a length, or a cache that was made
            otherwise than asked for.
        RunError: an image that cannot be read, or a process that reads and died or does not answer.
    """
    geometries = list(dict.fromkeys(geometries))
    indices = torch.from_numpy(known_indices(data))
    if isinstance(data, DataLoader):
        _check_sequential(data)
        with reading_errors_told(data.num_workers > 0):
            yield from _foreign_batches(data, geometries, indices, start)
        return
    if (cached := _decoded(data)) is not None:
        for geometry in geometries:
            if tuple(geometry) != tuple(cached.geometry):
                raise UsageError(
                    f"the cache of {data} was made as {described(cached.geometry)}, but {described(geometry)} is asked "
                    f"for; make another with `gelens cache`, or measure the images themselves"
                )
        loader = DataLoader(
            _Decoded(cached, batch_size, start), None, pin_memory=pin_memory, **reading_processes(workers)
        )
    else:
        loader = DataLoader(
            Subset(_Prepared(data, geometries), range(start, len(indices))),
            batch_size,
            pin_memory=pin_memory,
            collate_fn=default_collate,
            **reading_processes(workers),
        )
    try:
        with reading_errors_told(workers > 0):
            for images, labels, positions, contents in awaited(loader):
                by_geometry = dict(zip(geometries, images, strict=True))
                yield Batch(by_geometry, labels, indices[positions], positions, contents)
    except RuntimeError as error:
        if "stack expects each tensor" not in str(error):
            raise
        raise UsageError(
            f"the tensors of {type(data).__name__} are of unequal sizes; expected one size for all, or PIL images, "
            f"which are resized and cropped here"
        ) from error


def reading_processes(workers: int) -> dict:
    """Arguments of a DataLoader for processes that read: they leave Ctrl-C to this one; see `awaited`."""
    return {
        "num_workers": workers,
        "timeout": min(_LOOK_SECONDS, WAIT_SECONDS) if workers else 0,
        "worker_init_fn": _leave_interrupts,
    }


def awaited(loader: DataLoader) -> Iterator:
    """What a DataLoader made with `reading_processes` gives.

    Raises:
        RunError: its processes live and give nothing for `WAIT_SECONDS`.
    """
    iterator, asked = iter(loader), time.monotonic()
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except RuntimeError as error:
            if not str(error).startswith("DataLoader timed out"):
                raise
            if time.monotonic() - asked > WAIT_SECONDS:
                raise RunError(
                    f"no images came for {WAIT_SECONDS} s from the processes that read them: the disk or the network "
                    f"that they read from does not answer"
                ) from error
        else:
            yield batch
            asked = time.monotonic()


@contextmanager
def reading_errors_told(processes: bool = False) -> Iterator[None]:
    """Say in our words what went wrong in processes that read: torch may raise that one died anywhere meanwhile.

    Args:
        processes: whether all that the with-block does is reading from them, so that what they send may end.

    Raises:
        UsageError, RunError: instead of torch's.
    """
    try:
        yield
    except (RunError, UsageError) as error:  # a worker process sends its whole traceback; its last line is ours
        if not str(error).startswith("Caught "):
            raise
        kind = type(error)
        raise kind(str(error).strip().splitlines()[-1].removeprefix(f"{kind.__module__}.{kind.__name__}: ")) from error
    except (RuntimeError, EOFError, ConnectionError) as error:
        text = str(error)
        ended = processes and not isinstance(error, RuntimeError) and not text.startswith("Caught ")
        if not (ended or text.startswith("DataLoader worker (pid")):
            raise
        raise RunError("a process that reads images died, as of memory that ran out; try fewer --workers") from error


def _leave_interrupts(worker: int) -> None:
    """Ctrl-C is for the process that measures."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _check_sequential(loader: DataLoader) -> None:
    sampler = loader.batch_sampler or loader.sampler
    inner = sampler.sampler if type(sampler) is BatchSampler else sampler
    if not isinstance(inner, SequentialSampler):
        raise UsageError(f"the DataLoader draws by {type(inner).__name__}; expected a sequential one (shuffle=False)")
    if loader.drop_last and loader.batch_size and len(known_indices(loader)) % loader.batch_size:
        raise UsageError("the DataLoader leaves the last images out; expected one with drop_last=False")


def _foreign_batches(
    loader: DataLoader, geometries: Sequence[Geometry], indices: torch.Tensor, start: int
) -> Iterator[Batch]:
    position = 0
    for batch in loader:
        images, labels = checked_batch(batch)
        positions = torch.arange(position, position + len(labels))
        position += len(labels)
        if position <= start:
            continue
        contents = torch.stack([_as_bytes(content_of(image)) for image in images])
        yield Batch(dict.fromkeys(geometries, images), labels, indices[positions], positions, contents)
