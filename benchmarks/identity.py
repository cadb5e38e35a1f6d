"""What it costs to know every image by its pixels: a pass with and without hashing, interleaved, as a ratio.

The pass is `gelens record` of ResNet-50 with SE at 224 px, one block, in this process; reading alone is the same
without the network. Seconds are of the processor, so that what else runs on the machine counts little. Then:
candidates for the hash, milliseconds an image.

    python -m benchmarks.identity DIR [--images 32] [--rounds 5]

DIR is a folder as `imagenet:DIR` or `folder:DIR` takes it.
"""

import argparse
import hashlib
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from unittest import mock

import torch

from gelens.api import Request, record_requests
from gelens.data import batches, load_data
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data(options.folder).limited(options.images)
    network = load_network("resnet50_se")
    geometry = network.preprocessing.geometry
    how = SweepOptions("cpu", batch_size=16, workers=0, progress=False)
    labelled = data.as_imagenet() if data.synsets else data
    works = {
        "pass": lambda: record_requests({"it": Request(network, ["layer3.5"])}, labelled, how),
        "reading alone": lambda: list(batches(data, [geometry], 16)),
    }
    for name, work in works.items():
        found = ratios(work, options.rounds if name == "pass" else 4 * options.rounds)
        listed = ", ".join(f"{each:.4f}" for each in found)
        print(f"{name}: {share(work):.2%} of it is hashing")
        print(f"{name}: {statistics.median(found):.4f} of the time without hashing (rounds: {listed})")
    pixels = [image.tobytes() for image, *_ in data]
    print(f"{len(data)} images of {statistics.mean(map(len, pixels)) / 1e3:.0f} kB decoded; ms an image:")
    for name, digest in hashes().items():
        best = min(seconds(lambda digest=digest: [digest(each) for each in pixels]) for _ in range(5))
        print(f"  {name}: {best / len(pixels) * 1e3:.3f}")


if __name__ == "__main__":
    main()
