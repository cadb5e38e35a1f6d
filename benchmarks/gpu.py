"""A GPU.

The card's bounds, and each part held against them, in nine minutes. Everything is random or comes with the package: no
network, no data set. Parts come by importance, so that what the clock cuts off is the least. A part that fails says so
in its row, and the next begins. Without a GPU, or with --tiny, every part runs in little on the CPU, to see that it
runs: those numbers say nothing about a GPU.

    python -m benchmarks.gpu --out OUT                             OUT/gpu.md and OUT/gpu.json, after every part
    python -m benchmarks.gpu --only rates,pass --minutes 4         some parts
    python -m benchmarks.gpu --data parquet:DIR                    CIFAR-10's images for what precision changes
"""

import gc
import io
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

import gelens
from benchmarks.pruning import make_network, plain_loop, tails
from benchmarks.table import Table, parser_of
from gelens.anatomy.folding import batch_norm_pairs, folded
from gelens.anatomy.sites import find_sites, resolve_blocks
from gelens.data import ImageData, batches
from gelens.data.cached import write_cache
from gelens.devices import PRECISIONS, float32_as, free_memory, has_tf32, is_out_of_memory, wait
from gelens.networks import load_network
from gelens.probes.feature_importance import FeatureImportance
from gelens.processes import cores
from gelens.statistics import Resampling, unit_statistics
from gelens.sweep.passing import SweepOptions
from gelens.training import train

PHOTOGRAPHS, PATCHES = "resnet50_se", "thin_resnet50_se"
"""Networks of 224 and of 32 px."""

RESERVE = 60.0
"""Seconds that are left to the parts that follow."""

NEARLY_FULL = 5 * 2**30
"""Bytes of the card that are left free to see what happens then."""


@dataclass(frozen=True)
class Subject:
    """A network and how much of it is measured.

    Args:
        batches: sizes, the smallest first.
        images: in a pass.
    """

    name: str
    side: int
    batches: tuple[int, ...]
    images: int


SUBJECTS = (
    Subject(PHOTOGRAPHS, 224, (64, 256, 512), 8192),
    Subject(PATCHES, 32, (256, 1024, 4096), 32768),
)
IN_LITTLE = (Subject(PATCHES, 32, (16,), 64),)


@dataclass
class Bench:
    """The device, the clock and the table, and what one part leaves to the next.

    Args:
        data: reference of CIFAR-10, random images where not given.
        rates: operations a second by precision, and bytes a second of "memory".
        bare: images a second of the bare forward pass, at its best batch size, by network and precision.
    """

    device: torch.device
    minutes: float
    data: str
    folder: Path
    table: Table = field(default_factory=Table)
    rates: dict[str, float] = field(default_factory=dict)
    bare: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def left(self) -> float:
        """Seconds."""
        return 60 * self.minutes - self.table.seconds

    @property
    def subjects(self) -> tuple[Subject, ...]:
        return SUBJECTS if self.cuda else IN_LITTLE

    @property
    def precisions(self) -> list[str]:
        """The fastest first."""
        if not self.cuda:
            return ["fp32"]
        return ["bf16", "tf32", "fp32"] if has_tf32(self.device) else ["fp16", "fp32"]

    def seconds(self, work: Callable, repeats: int = 3, warm_up: int = 1) -> float:
        """Of the fastest of some repeats."""
        for _ in range(warm_up):
            work()
        return min(self._once(work) for _ in range(repeats))

    def _once(self, work: Callable) -> float:
        wait(self.device)
        start = time.perf_counter()
        work()
        wait(self.device)
        return time.perf_counter() - start

    def network(self, name: str):
        return make_network(name, str(self.device)).eval()

    def pixels(self, count: int, side: int) -> torch.Tensor:
        """(count, 3, side, side) bytes on the device."""
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)
        return pixels.to(self.device).contiguous(memory_format=torch.channels_last)

    def options(self, precision: str, batch: int, workers: int | None = 0) -> SweepOptions:
        return SweepOptions(self.device.type, precision, batch_size=batch, workers=workers, progress=False)

    @contextmanager
    def computing(self, precision: str) -> Iterator[None]:
        """As a pass computes in that precision."""
        lower = PRECISIONS[precision]
        autocast = torch.autocast(self.device.type, lower, enabled=lower is not None)
        with torch.inference_mode(), float32_as(precision), autocast:
            yield

    def peak(self) -> str:
        """Of memory, since it was reset."""
        return f"; peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if self.cuda else ""

    def forget_peak(self) -> None:
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()


@dataclass(frozen=True)
class Launches:
    """What a piece of work gave the device to do.

    Args:
        number: of kernels; on the CPU of operators that call no other.
        busy: share of the time from the first kernel to the last in which one ran; NaN on the CPU.
        longest: milliseconds by kernel, the longest first.
    """

    number: int
    busy: float
    longest: list[tuple[str, float]]


def launches(bench: Bench, work: Callable) -> Launches:
    """By torch's profiler."""
    kinds = [ProfilerActivity.CPU, ProfilerActivity.CUDA] if bench.cuda else [ProfilerActivity.CPU]
    with profile(activities=kinds) as seen:
        work()
        wait(bench.device)
    events = seen.events()
    if not bench.cuda:
        leaves = [event for event in events if event.name.startswith("aten::") and not event.cpu_children]
        return Launches(len(leaves), float("nan"), [])
    kernels = [event for event in events if event.device_type == torch.autograd.DeviceType.CUDA]
    kernels.sort(key=lambda event: event.time_range.start)
    busy, end, by_name = 0.0, float("-inf"), {}
    for kernel in kernels:
        span = kernel.time_range
        busy += max(0.0, span.end - max(span.start, end))
        end = max(end, span.end)
        by_name[kernel.name[:60]] = by_name.get(kernel.name[:60], 0.0) + (span.end - span.start) / 1000
    longest = sorted(by_name.items(), key=lambda item: -item[1])
    return Launches(len(kernels), busy / (end - kernels[0].time_range.start), longest)


def random_images(count: int, side: int) -> ImageData:
    """Of as many classes as networks of that size have; several images a class, so that there is a null."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    classes = [str(number) for number in range(1000 if side == 224 else 10)]
    labels = np.arange(count) % min(len(classes), 50)
    names = [f"random-{number}" for number in range(count)]
    return ImageData("random", "", classes, labels, names, lambda position: Image.fromarray(pixels[position]))


def measure_rates(bench: Bench) -> None:
    """What the device can do: products, copies within it, copies to and from it."""
    add = bench.table.add
    add("rates", "processes that would read", cores(), "", note=f"the control group allows {core_quota()}")
    size = 8192 if bench.cuda else 512
    for precision in bench.precisions:
        matrix = torch.randn(size, size, device=bench.device, dtype=PRECISIONS[precision] or torch.float32)
        with torch.inference_mode(), float32_as(precision):
            bench.rates[precision] = 2 * size**3 / bench.seconds(lambda matrix=matrix: matrix @ matrix, 5, 2)
        add("rates", f"product of matrices, {size}, {precision}", bench.rates[precision] / 1e12, "TFLOP/s")
    values = torch.empty(2**30 if bench.cuda else 2**24, dtype=torch.uint8, device=bench.device)
    bench.rates["memory"] = 2 * len(values) / bench.seconds(values.clone, 5, 2)
    add("rates", "copy within the memory", bench.rates["memory"] / 1e9, "GB/s")
    host = torch.empty(len(values) // 4, dtype=torch.uint8, pin_memory=bench.cuda)
    part = values[: len(host)]
    there = bench.seconds(lambda: part.copy_(host, non_blocking=True))
    back = bench.seconds(lambda: host.copy_(part, non_blocking=True))
    for what, spent in (("to the device", there), ("from the device", back)):
        add("rates", f"copy {what}, pinned", len(host) / spent / 1e9, "GB/s")


def core_quota() -> str:
    """What a container may use of the cores that it sees."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return "an unknown number"
    return "all of them" if quota == "max" else f"{int(quota) / int(period):g}"


def measure_forward(bench: Bench) -> None:
    """The bare forward pass on images that are on the device: precision, batch, folding, CUDA graph, cuDNN's choice."""
    for subject in bench.subjects:
        network = bench.network(subject.name)
        pixels = bench.pixels(max(subject.batches), subject.side)
        images = network.preprocessing.normalize(pixels)
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            network(images[:2])
        for precision in bench.precisions:
            bound = bench.rates.get(precision, 0) / (counter.get_total_flops() / 2)
            with bench.computing(precision):
                _forward_ways(bench, subject, network, images, precision, bound or None)
        spent = bench.seconds(lambda: network.preprocessing.normalize(pixels), 5, 2)  # noqa: B023, called at once
        what = f"{subject.name}, normalisation of {len(pixels)} images"
        note = ""
        if "memory" in bench.rates:  # a byte read and four written
            note = f"one kernel would take {5e3 * pixels.numel() / bench.rates['memory']:.3g} ms"
        bench.table.add("forward", what, 1000 * spent, "ms", note=note)


def _forward_ways(bench: Bench, subject: Subject, network, images, precision: str, bound: float | None) -> None:
    lower = PRECISIONS[precision]
    fast = folded(network, batch_norm_pairs(network, images[:2]), lower).eval()
    few, middle = subject.batches[0], subject.batches[len(subject.batches) // 2]

    def add(how: str, batch: int, spent: float) -> None:
        what = f"{subject.name}, {precision}, batch {batch}, {how}"
        bench.table.add("forward", what, batch / spent, "images/s", bound)

    for how, module in (("as it is", network), ("batch norm folded", fast)):
        for batch in subject.batches:
            spent = bench.seconds(lambda module=module, batch=batch: module(images[:batch]), 5, 3)
            add(how, batch, spent)
            if module is network:
                best = bench.bare.get((subject.name, precision), 0.0)
                bench.bare[subject.name, precision] = max(best, batch / spent)
        if bench.cuda:
            try:
                add(f"{how}, CUDA graph", few, bench.seconds(captured(module, images[:few]).replay, 5, 2))
            except RuntimeError as error:
                bench.table.add("forward", f"{subject.name}, CUDA graph", "cannot be captured", note=first_line(error))
    with algorithms_timed():
        add("cuDNN's algorithms timed", middle, bench.seconds(lambda: network(images[:middle]), 5, 5))


@contextmanager
def algorithms_timed() -> Iterator[None]:
    """cuDNN tries its algorithms for each shape and takes the fastest."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def captured(module, images: torch.Tensor) -> torch.cuda.CUDAGraph:
    """The module's kernels on these images, launched by one call."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            module(images)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        module(images)
    return graph


def measure_pass(bench: Bench) -> None:
    """A recording from a cache on disk against a bare loop over the same cache; waits, launches, share busy."""
    for subject in bench.subjects:
        network = bench.network(subject.name)
        geometry = network.preprocessing.geometry
        path = bench.folder / f"cache-{subject.side}.npy"
        workers = min(16, cores()) if bench.cuda else 0
        whole = random_images(subject.images, subject.side)
        spent = bench.seconds(lambda: write_cache(whole, geometry, path, workers, progress=False), 1, 0)  # noqa: B023
        bench.table.add("pass", f"{subject.name}, writing a cache", subject.images / spent, "images/s")
        data = gelens.load_data(f"cache:{path}")
        for precision in (bench.precisions[0], bench.precisions[-1])[: len(bench.precisions)]:
            for batch, reading in _pass_settings(bench):
                if bench.left > RESERVE:
                    _against_bare_loop(bench, subject, network, data, bench.options(precision, batch, reading))
        alone = bench.seconds(lambda: read_all(bench, data, geometry, subject.batches[0]), 1, 0)  # noqa: B023
        bench.table.add("pass", f"{subject.name}, reading the cache alone", subject.images / alone, "images/s")
        few, more = data.limited(subject.images // 4), data.limited(subject.images // 2)
        how = bench.options(bench.precisions[0], max(subject.images // 32, 8))
        _waits(bench, subject, network, few, how)
        _launches_of_a_batch(bench, subject, network, few, more, how)


def _pass_settings(bench: Bench) -> list[tuple[int, int]]:
    """Batch sizes and processes that read."""
    if not bench.cuda:
        return [(16, 0)]
    return [(64, 0), (256, 0), (256, 4), (256, cores()), (512, cores()), (1024, min(8, cores()))]


def read_all(bench: Bench, data, geometry, batch: int, workers: int = 0) -> None:
    for _ in batches(data, [geometry], batch, workers, pin_memory=bench.cuda):
        pass


def _against_bare_loop(bench: Bench, subject: Subject, network, data, how: SweepOptions) -> None:
    geometry = network.preprocessing.geometry

    def bare() -> None:
        with bench.computing(how.precision):
            for batch in batches(data, [geometry], how.batch_size, how.workers, pin_memory=bench.cuda):
                images = network.preprocessing.normalize(batch.images[geometry].to(bench.device, non_blocking=True))
                network(images.contiguous(memory_format=torch.channels_last))

    bench.forget_peak()
    plain = bench.seconds(bare, 1, 0)
    spent = bench.seconds(lambda: gelens.record(network, data, options=how), 1, 0)
    what = f"{subject.name}, {how.precision}, batch {how.batch_size}, {how.workers} processes reading: recording"
    note = f"{plain / spent:.2f} of the images per second of a bare loop over the same cache{bench.peak()}"
    bound = bench.bare.get((subject.name, how.precision))
    bench.table.add("pass", what, len(data) / spent, "images/s", bound, note)


def _waits(bench: Bench, subject: Subject, network, data, how: SweepOptions) -> None:
    """Whether the host waits for the device from the third batch on."""
    if not bench.cuda:
        bench.table.add("pass", "whether anything waits for the device", "needs a GPU")
        return
    calls = []

    def from_the_third(*_) -> None:
        calls.append(None)
        torch.cuda.set_sync_debug_mode("error" if len(calls) > 2 else "default")

    hook = network.register_forward_pre_hook(from_the_third)
    answer, note = "nothing", ""
    try:
        gelens.record(network, data, options=how)
    except RuntimeError as error:
        answer, note = "something", first_line(error)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        hook.remove()
    bench.table.add("pass", f"{subject.name}, what waits for the device from the third batch on", answer, note=note)


def _launches_of_a_batch(bench: Bench, subject: Subject, network, few, more, how: SweepOptions) -> None:
    """From two passes of unlike length, so that what comes before the first batch is told apart."""
    short = launches(bench, lambda: gelens.record(network, few, options=how))
    long = launches(bench, lambda: gelens.record(network, more, options=how))
    each = (long.number - short.number) / ((len(more) - len(few)) / how.batch_size)
    before = short.number - each * len(few) / how.batch_size
    note = f"{before:.0f} before the first batch; the device is busy {long.busy:.2f} of the time"
    bench.table.add("pass", f"{subject.name}, launches a batch", each, note=note)
    for name, spent in long.longest[:6]:
        bench.table.add("pass", name, spent, "ms")


def measure_dropping(bench: Bench) -> None:
    """Six blocks × 19 points against the bound that the tails set, and a hook and a full pass for each point."""
    for subject in bench.subjects:
        network = bench.network(subject.name)
        batch = min(subject.batches[-1], 256)
        count = batch * (2 if bench.cuda else 1)
        images = network.preprocessing.normalize(bench.pixels(count, subject.side))
        with bench.computing(bench.precisions[0]):
            labels = network(images).argmax(1)
        for precision in bench.precisions:
            if bench.left > RESERVE:
                with bench.computing(precision):
                    _engine(bench, subject, network, images, labels, batch, precision)


def _engine(bench: Bench, subject: Subject, network, images, labels, batch: int, precision: str) -> None:
    blocks = resolve_blocks(network)
    metric = FeatureImportance(network, blocks, np.arange(len(images))).to(bench.device)
    first, *_ = parts = torch.arange(len(images)).split(batch)

    def update(part: torch.Tensor) -> None:
        metric.update(images[part], labels[part], part)

    bench.forget_peak()
    set_up = sum(bench.seconds(lambda: update(first), 1, 0) for _ in range(3))
    spent = bench.seconds(lambda: [update(part) for part in parts], 2, 0)
    probed = metric.probe._targets
    targets = [(each.name, each.ablation.settled.tail.after, sum(p.ratio > 0 for p in each.points)) for each in probed]
    bound = tails(targets, network, images, batch)
    folds = all(each.ablation.settled.tail is not each.ablation.settled.exact for each in probed)
    chunks = [each.ablation.chunk.rows for each in probed]
    what = f"{subject.name}, {precision}, batch {batch}: {len(metric.points)} points"
    note = f"folded: {folds}; chunks {chunks}; set-up {set_up:.1f} s{bench.peak()}"
    bench.table.add("dropping", what, len(images) / spent, "images/s", len(images) / bound, note)
    seen = launches(bench, lambda: update(first))
    note = f"the device is busy {seen.busy:.2f} of the time"
    bench.table.add("dropping", f"{subject.name}, {precision}: launches a batch", seen.number, note=note)
    for name, milliseconds in seen.longest[:5]:
        bench.table.add("dropping", name, milliseconds, "ms")
    sites = {site.block: site for site in find_sites(network, blocks)}
    plain = bench.seconds(lambda: plain_loop(network, sites, metric.points, images[:batch]), 1, 0) * len(parts)
    what = f"{subject.name}, {precision}: a hook and a full pass for each point"
    bench.table.add(
        "dropping", what, len(images) / plain, "images/s", note=f"the engine is {plain / spent:.2f} times as fast"
    )


def measure_reading(bench: Bench) -> None:
    """Photographs: Pillow in processes, as a pass reads them, and torchvision's decoders on the host and the device."""
    from torchvision.io import decode_jpeg

    count = 2048 if bench.cuda else 32
    folder = bench.folder / "photographs"
    write_photographs(folder, count)
    data = gelens.load_data(f"folder:{folder}")
    geometry = (224, 0.875, "bicubic")
    for workers in sorted({0, 4, cores()}) if bench.cuda else [0]:
        spent = bench.seconds(lambda workers=workers: read_all(bench, data, geometry, 64, workers), 1, 0)
        what = f"500 × 375 px, Pillow, {workers} processes, resized to 224 px"
        bench.table.add("reading", what, count / spent, "images/s", note="the processes' start included")
    files = [torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8) for path in folder.rglob("*.jpg")]
    some = files[: count // 4]
    spent = bench.seconds(lambda: [decode_jpeg(each) for each in some], 1, 0)
    what = "torchvision's decode_jpeg, one thread, not resized"
    bench.table.add("reading", what, len(some) / spent, "images/s")
    if bench.cuda:
        parts = [files[start : start + 256] for start in range(0, count, 256)]
        spent = bench.seconds(lambda: [decode_jpeg(part, device="cuda") for part in parts], 1, 1)
        bench.table.add("reading", "decode_jpeg on the device, 256 at a time, not resized", count / spent, "images/s")


def write_photographs(folder: Path, count: int) -> None:
    """Smooth random JPEGs of ImageNet's usual size, in folders of four classes."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(16):
        picture = io.BytesIO()
        noise = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        noise.resize((500, 375), Image.Resampling.BICUBIC).save(picture, "JPEG", quality=92)
        pictures.append(picture.getvalue())
    for number in range(count):
        path = folder / f"class-{number % 4}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures[number % len(pictures)])


def measure_sameness(bench: Bench) -> None:
    """A trained network on the CPU and on the device, at two batch sizes, twice; what lower precisions change."""
    reference = "thin_resnet50_se@cifar10"
    count = 1024 if bench.cuda else 48
    data = gelens.load_data(bench.data).limited(count) if bench.data else random_images(count, 32)

    def recorded(device: str, precision: str, batch: int) -> dict[str, np.ndarray]:
        how = SweepOptions(device, precision, batch_size=batch, workers=0, progress=False)
        recording = gelens.record(load_network(reference), data, options=how, classes_by_position=not bench.data)
        (label,) = recording.networks
        names = [f"{block}.output" for block in recording.blocks(label, "output")]
        return {name: recording.array(label, name).copy() for name in (*names, "top_classes")}

    def add(what: str, one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
        blocks = [name for name in one if name != "top_classes"]
        apart = max(float(np.abs(one[name] - other[name]).max() / np.abs(one[name]).max()) for name in blocks)
        flips = int((one["top_classes"][:, 0] != other["top_classes"][:, 0]).sum())
        bench.table.add("same", what, apart, "of the greatest", note=f"{flips} of {count} decisions differ")

    kind = bench.device.type
    exact = recorded(kind, "fp32", 64)
    again = recorded(kind, "fp32", 64)
    add(f"activities, {kind} against the CPU, IEEE float32; wanted 1e-5", recorded("cpu", "fp32", 64), exact)
    add("batch of 100 against 64", exact, recorded(kind, "fp32", 100))
    equal = all(np.array_equal(again[name], exact[name]) for name in exact)
    bench.table.add("same", "the same twice", "equal bytes" if equal else "NOT equal")
    for precision in ("bf16", "tf32", "fp16") if bench.cuda else ("bf16",):
        add(f"{precision} against float32", exact, recorded(kind, precision, 64))
    tables = [
        gelens.pruning(
            load_network(reference), data, options=bench.options(precision, 64), classes_by_position=not bench.data
        )
        for precision in ("fp32", "bf16")
    ]
    moved = (tables[0]["top1"] - tables[1]["top1"]).abs()
    note = f"mean {moved.mean():.2g}, {count} images"
    bench.table.add("same", "pruning curves, bf16 against float32: greatest difference", float(moved.max()), note=note)


def measure_memory(bench: Bench) -> None:
    """Dropping on a card that is nearly full: chunks are halved, and it goes through."""
    if not bench.cuda:
        bench.table.add("memory", "a card that is nearly full", "needs a GPU")
        return
    network = bench.network(PHOTOGRAPHS)
    images = network.preprocessing.normalize(bench.pixels(256, 224))
    labels = torch.zeros(256, dtype=torch.long, device=bench.device)
    indices = torch.arange(256)
    free, _ = torch.cuda.mem_get_info()
    filling = torch.empty(max(free - NEARLY_FULL, 0), dtype=torch.uint8, device=bench.device)
    metric = FeatureImportance(network, resolve_blocks(network), indices.numpy()).to(bench.device)
    with bench.computing(bench.precisions[0]):
        for _ in range(2):
            metric.update(images, labels, indices)
    del filling
    chunks = str([target.ablation.chunk.rows for target in metric.probe._targets])
    bench.table.add("memory", f"dropping with {NEARLY_FULL >> 30} GiB left, batch 256: chunks", chunks)


def measure_tests(bench: Bench) -> None:
    """The tests of devices, on CUDA."""
    if not bench.cuda:
        bench.table.add("tests", "pytest tests/devices -k cuda", "needs a GPU")
        return
    command = [sys.executable, "-m", "pytest", "-q", "tests/devices", "-k", "cuda", "-p", "no:cacheprovider"]
    limit = max(30.0, min(150.0, bench.left))
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=limit)
    bench.table.add("tests", "pytest tests/devices -k cuda", (done.stdout.strip().splitlines() or ["nothing said"])[-1])


def measure_training(bench: Bench) -> None:
    """A small network on the digits, the whole recipe."""
    start = time.perf_counter()
    curves = train(
        "mini_resnet_se",
        "digits",
        bench.folder / "training",
        device=bench.device.type,
        precision=bench.precisions[0],
        workers=0,
        progress=False,
        limit=None if bench.cuda else 64,
    )
    spent = time.perf_counter() - start
    bench.table.add("training", "mini_resnet_se on digits", spent, "s", note=f"{len(curves)} epochs")


def measure_statistics(bench: Bench) -> None:
    """One block of ImageNet's validation set on this machine's cores."""
    images, units, classes = (50_000, 1024, 1000) if bench.cuda else (2000, 32, 10)
    activity = np.maximum(np.random.default_rng(0).standard_normal((images, units), dtype=np.float32), 0)
    rows = np.arange(images)
    start = time.perf_counter()
    drawn = Resampling(rows % classes, rows, classes)
    drawing = time.perf_counter() - start
    unit_statistics(activity, drawn)
    what = f"{images} images × {units} units, {classes} classes, {drawn.permutations} and {drawn.replicates}"
    bench.table.add("statistics", what, time.perf_counter() - start, "s", note=f"drawing {drawing:.1f} s")


def measure_compilation(bench: Bench) -> None:
    """torch.compile of the bare forward pass, and of the tails of the last two blocks."""
    if not bench.cuda:
        bench.table.add("compile", "forward pass and tails", "needs a GPU")
        return
    network = bench.network(PHOTOGRAPHS)
    images = network.preprocessing.normalize(bench.pixels(256, 224))
    precision = bench.precisions[0]
    with bench.computing(precision):
        for mode in ("default", "max-autotune-no-cudagraphs", "reduce-overhead"):
            if bench.left > RESERVE:
                module = torch.compile(network, dynamic=False, mode=mode)
                set_up = bench.seconds(lambda: module(images), 1, 0)  # noqa: B023, called at once
                rate = len(images) / bench.seconds(lambda: module(images), 5, 2)  # noqa: B023
                bound = bench.bare.get((PHOTOGRAPHS, precision))
                what = f"forward pass, {precision}, batch {len(images)}, {mode}"
                bench.table.add("compile", what, rate, "images/s", bound, f"compiled in {set_up:.0f} s")
                torch.compiler.reset()
        indices = torch.arange(len(images))
        labels = torch.zeros(len(images), dtype=torch.long, device=bench.device)
        blocks = resolve_blocks(network)[-2:]
        metric = FeatureImportance(network, blocks, indices.numpy(), compiled=True, rows=19 * len(images))
        metric.to(bench.device)
        set_up = bench.seconds(lambda: metric.update(images, labels, indices), 1, 0)
        rate = len(images) / bench.seconds(lambda: metric.update(images, labels, indices), 2, 1)
    what = f"dropping at the last two blocks, {precision}"
    bench.table.add("compile", what, rate, "images/s", note=f"compiled in {set_up:.0f} s")


PARTS: dict[str, Callable[[Bench], None]] = {
    "rates": measure_rates,
    "forward": measure_forward,
    "pass": measure_pass,
    "dropping": measure_dropping,
    "same": measure_sameness,
    "reading": measure_reading,
    "memory": measure_memory,
    "tests": measure_tests,
    "training": measure_training,
    "statistics": measure_statistics,
    "compile": measure_compilation,
}


def first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:120]}"


def run(bench: Bench, name: str) -> None:
    """One part; what goes wrong in it is a row."""
    if bench.left < RESERVE / 3:
        bench.table.add(name, "left out", "no time left")
        return
    try:
        PARTS[name](bench)
    except Exception as error:
        what = "FAILED, out of memory" if is_out_of_memory(error) else "FAILED"
        bench.table.add(name, what, type(error).__name__, note=first_line(error))
        traceback.print_exc(limit=-4)
    finally:
        gc.collect()
        free_memory(bench.device)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between")
    parser.add_argument("--data", default="", help="CIFAR-10, such as parquet:DIR; random images where not given")
    options = parser.parse_args()
    chosen = options.only.split(",")
    if strange := [name for name in chosen if name not in PARTS]:
        parser.error(f"no part `{strange[0]}`; parts are {', '.join(PARTS)}")
    warnings.filterwarnings("ignore")
    cuda = torch.cuda.is_available() and not options.tiny
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(torch.device("cuda" if cuda else "cpu"), options.minutes, options.data, Path(folder))
        print(f"{bench.table.machine}; {'on the GPU' if cuda else 'in little, on the CPU'}")
        for name in chosen:
            run(bench, name)
            bench.table.write(options.out, "gpu")
    print(f"written: {options.out / 'gpu.md'}, {options.out / 'gpu.json'}")


if __name__ == "__main__":
    main()
