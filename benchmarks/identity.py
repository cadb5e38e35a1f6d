"""Knowing every image by its pixels.

A pass with hashing in turn with one without: `gelens record` of ResNet-50 with SE at 224 px, one block, one thread;
reading alone is the same without the network. The images are those of `benchmarks/data.py` where none are given.
Seconds are of the processor, so that what else runs on the machine counts little. Then: candidates for the hash.

    python -m benchmarks.identity [imagenet:DIR] [--images 32] [--rounds 5]
"""

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from unittest import mock

import torch

from benchmarks.data import noise
from benchmarks.table import Table, options_of, parser_of
from gelens.api import Request, record_requests
from gelens.data import ImageData, batches, load_data
from gelens.data.contents import DIGEST, content_of
from gelens.networks import load_network
from gelens.sweep.passing import SweepOptions

UNHASHED = mock.patch("gelens.data.loading.content_of", lambda image: bytes(DIGEST))


def seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def ratios(work: Callable[[], object], rounds: int) -> list[float]:
    """With hashing over without; which of them goes first changes from round to round."""
    work()
    found = []
    for number in range(rounds):
        spent = {}
        for hashed in (True, False) if number % 2 else (False, True):
            if hashed:
                spent[hashed] = seconds(work)
            else:
                with UNHASHED:
                    spent[hashed] = seconds(work)
        found.append(spent[True] / spent[False])
    return found


def share(work: Callable[[], object]) -> float:
    """Of a pass with hashing, the share of its seconds that are spent in hashing: what no neighbour's load moves."""
    spent = []

    def timed(image):
        begun = time.process_time()
        found = content_of(image)
        spent.append(time.process_time() - begun)
        return found

    with mock.patch("gelens.data.loading.content_of", timed):
        whole = seconds(work)
    return sum(spent) / whole


def hashes() -> dict[str, Callable[[bytes], object]]:
    found: dict[str, Callable[[bytes], object]] = {"sha256": lambda each: hashlib.sha256(each).digest()}
    found["blake2b"] = lambda each: hashlib.blake2b(each, digest_size=DIGEST).digest()
    with suppress(ImportError):
        import xxhash

        found["xxh3_128"] = xxhash.xxh3_128_digest
    return found


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("data", nargs="?")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = options_of(parser, images=4, rounds=1)
    torch.set_num_threads(1)
    table = Table()
    with tempfile.TemporaryDirectory() as scratch:
        data = load_data(options.data or f"folder:{noise(Path(scratch) / 'noise')}")
        measure(table, data.limited(options.images), options.rounds)
    table.write(options.out, "identity")


def measure(table: Table, data: ImageData, rounds: int) -> None:
    network = load_network("resnet50_se")
    geometry = network.preprocessing.geometry
    labelled = data.as_imagenet() if data.synsets else data
    how = SweepOptions("cpu", batch_size=16, workers=0, progress=False)
    works = {
        "pass": lambda: record_requests({"it": Request(network, ["layer3.5"])}, labelled, how),
        "reading alone": lambda: list(batches(data, [geometry], 16)),
    }
    for name, work in works.items():
        found = ratios(work, rounds if name == "pass" else 4 * rounds)
        table.add(name, "hashing", 100 * share(work), "% of it")
        note = f"rounds from {min(found):.4f} to {max(found):.4f}"
        table.add(name, "with hashing", statistics.median(found), "of the time without", note=note)
    pixels = [image.tobytes() for image, *_ in data]
    size = statistics.mean(map(len, pixels))
    for name, digest in hashes().items():
        best = min(seconds(lambda digest=digest: [digest(each) for each in pixels]) for _ in range(5))
        table.add("hash", name, best / len(pixels) * 1e3, "ms an image", note=f"of {size / 1e3:.0f} kB decoded")


if __name__ == "__main__":
    main()
