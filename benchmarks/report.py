"""The report of a large run in a browser.

Three networks of six blocks of 1024 units, as the paper's stage four: the page's size, the time to first paint and to
all views, the time of a filter. Of a filter two times are given: until all is drawn, which grows with whatever else the
machine does, and the page's own processor time. Before, the processor time of figures and page together, where the page
takes the figures as drawn for their files, as `gelens demo` does, against where it draws its own.

    python -m benchmarks.report [--units 1024] [--rounds 5] [--chromium /usr/bin/chromium]

Chromium is Debian's (`apt-get install chromium`), driven by Playwright.
"""

import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from playwright.sync_api import Page, sync_playwright

from benchmarks.table import Table, options_of, parser_of
from gelens.figures import draw
from gelens.figures.drawing import DEFAULT_FORMATS
from gelens.report import write_report

NETWORKS = ["resnet50", "resnet50_ge_theta_minus", "resnet50_se"]
BLOCKS = [f"layer3.{number}" for number in range(6)]
FIRST_PAINT, FILTER, SIZE = 2.0, 0.2, 10_000_000
"""Seconds and bytes that are to be kept below."""

# from a change on the page until the browser has drawn what came of it
TIMED = """
(change) => new Promise((done) => {
  const start = performance.now();
  new Function(change)();
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(performance.now() - start))));
})
"""
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
READY = "performance.getEntriesByName('ready')[0].startTime"
FILTERS = {
    "one block": "const e = document.getElementById('block'); e.selectedIndex = 3;e.dispatchEvent(new Event('input'))",
    "all blocks": "const e = document.getElementById('block'); e.selectedIndex = 0;e.dispatchEvent(new Event('input'))",
    "search": "const e = document.getElementById('search'); e.value = 'class 7'; e.dispatchEvent(new Event('input'))",
    "search cleared": "const e = document.getElementById('search'); e.value = ''; e.dispatchEvent(new Event('input'))",
    "a network less": "document.querySelector('.network').click()",
    "a network more": "document.querySelector('.network').click()",
}


def write_run(folder: Path, units: int) -> None:
    """A finished run's folder, with indices and names of images as ImageNet's."""
    rng = np.random.default_rng(0)
    places = pd.MultiIndex.from_product([NETWORKS, BLOCKS, range(units)], names=["network", "block", "unit"])
    table = places.to_frame(index=False)
    count = len(table)
    null, top = rng.beta(4, 20, count), rng.integers(0, 1000, count)
    csi = np.clip(null + rng.beta(2, 4, count), 0, 1)
    table = table.assign(csi=csi, csi_se=rng.uniform(0, 0.02, count), csi_null=null, csi_null_sd=null / 10)
    table = table.assign(csi_crossfit=csi - rng.uniform(0, 0.1, count), active_fraction=rng.uniform(0, 1, count))
    table = table.assign(mu_max=csi * 3, mu_rest=csi, top_class=top, csi_corrected=csi - null / 4)
    table["top_class_name"] = [f"class {number} of ImageNet" for number in top]
    ranks = table[["network", "block", "unit"]].merge(pd.DataFrame({"rank": range(1, 10)}), how="cross")
    numbers = rng.integers(1, 50_001, len(ranks))
    names = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in numbers]
    images = ranks.assign(identifier=names, index=numbers, label=numbers % 1000)
    ratios = np.round(np.arange(0.1, 1, 0.1), 1)
    orders = (("none", "none", (0, 1)), ("gate", "most", ratios), ("gate", "least", ratios))
    curves = [
        (network, block, score, order, "block", ratio, *(top1 - 0.7 * ratio**2 for top1 in (0.76, 0.75, 0.77)))
        for network in NETWORKS
        for block in BLOCKS
        for score, order, several in orders
        for ratio in several
    ]
    names = ["network", "block", "score", "order", "scope", "ratio", "top1", "top1_low", "top1_high"]
    folder.mkdir()
    table.to_csv(folder / "selectivity.csv", index=False)
    images.to_csv(folder / "selectivity_images.csv", index=False)
    pd.DataFrame(curves, columns=names).to_csv(folder / "pruning.csv", index=False)
    card = {"weights_hash": "0123456789abcdef", "training_seed": "0", "resnet_stages": True}
    networks = {network: card | {"reference": network} for network in NETWORKS}
    record = {"command": "supplementary", "arguments": {}, "finished": True, "networks": networks}
    (folder / "run.json").write_text(json.dumps(record | {"data": {"name": "imagenet#val", "images": 50_000}}))


def seconds_of(run: Path, shared: bool) -> float:
    """Of the processor, for figures and page."""
    start = time.process_time()
    drawn = draw(run, (*DEFAULT_FORMATS, "svg") if shared else DEFAULT_FORMATS)
    write_report([run], drawn=drawn)
    return time.process_time() - start


class Processor:
    """Milliseconds of the processor that a page's main thread has taken."""

    def __init__(self, page: Page):
        self.session = page.context.new_cdp_session(page)
        self.session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def taken(self) -> float:
        metrics = self.session.send("Performance.getMetrics")["metrics"]
        return 1000 * next(each["value"] for each in metrics if each["name"] == "TaskDuration")


def opened(page: Page, path: Path) -> tuple[float, float]:
    """Seconds until something is seen, and until all views are there."""
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]")
    return page.evaluate(PAINTED) / 1000, page.evaluate(READY) / 1000


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--units", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser's program")
    options = options_of(parser, units=16, rounds=1)
    if options.chromium is None:
        parser.exit(message="no chromium here; `apt-get install chromium`, or name it with --chromium: not measured\n")
    table = Table()
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        run = Path(temporary) / "run"
        write_run(run, options.units)
        start = time.perf_counter()
        path = write_report([run])
        page = f"{len(NETWORKS) * len(BLOCKS) * options.units:,} units"
        table.add(page, "written in", time.perf_counter() - start, "s")
        table.add(page, "size", path.stat().st_size / 1e6, "MB", note=f"below {SIZE / 1e6:g}")
        alone, shared = seconds_of(run, False), seconds_of(run, True)
        note = f"{shared / alone:.2f} of where the page draws its own"
        table.add(page, "figures and page", shared, "s of processors", note=note)
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        in_browser(
            table, browser.new_page(viewport={"width": 1400, "height": 900}, bypass_csp=True), path, options.rounds
        )
        browser.close()
    table.write(options.out, "report")


def in_browser(table: Table, page: Page, path: Path, rounds: int) -> None:
    found = [opened(page, path) for _ in range(rounds)]
    painted, ready = (statistics.median(each) for each in zip(*found, strict=True))
    table.add("browser", "first paint", painted, "s", note=f"below {FIRST_PAINT:g}")
    table.add("browser", "all views", ready, "s")
    processor = Processor(page)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in FILTERS}
    for _ in range(rounds):
        for name, change in FILTERS.items():
            before = processor.taken()
            drawn = page.evaluate(TIMED, change)
            taken[name].append((drawn, processor.taken() - before))
    for name, times in taken.items():
        drawn, own = (statistics.median(each) for each in zip(*times, strict=True))
        note = f"below {1000 * FILTER:g}; {own:.0f} ms its own"
        table.add("browser", f"filter, {name}: drawn after", drawn, "ms", note=note)


if __name__ == "__main__":
    main()
