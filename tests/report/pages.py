"""Runs for the tests of the report, and a page as a browser's parser reads it."""

import base64
import gzip
import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd

from tests.figures import making

NETWORKS = ["mini_resnet", "mini_resnet_se"]
BLOCKS = making.blocks_of(2)
HOSTILE = (
    "<img src=x onerror=\"document.title='broken in'\">",
    "</script><script>document.title='broken in'</script>",
    '"><svg onload="document.title=\'broken in\'">',
    "$$\\href{javascript:document.title='broken in'}{x}$$",
    "{{ title }}<!-- <script>",
)
"""What names in files of strangers may hold."""


def write_run(folder: Path, networks: Sequence[str] = NETWORKS, whole: bool = False, **record) -> Path:
    """A finished run, and what `run.json` says of its networks.

    Args:
        whole: with every table, instead of a few whose figures are soon drawn.
        record: more of `run.json`.
    """
    if whole:
        making.write_everything(folder, networks, BLOCKS)
    else:
        tables = {"selectivity": making.units_table(networks, BLOCKS), "evaluation": making.evaluation_table(networks)}
        making.write_run(folder, **tables, pruning_summary=making.summary_table(networks, BLOCKS))
        making.pruning_table(networks[1:], BLOCKS, networks[:1]).to_csv(folder / "pruning.csv", index=False)
    stored = json.loads((folder / "run.json").read_text())
    card = {"weights_hash": "0123456789abcdef", "training_seed": "7", "preprocessing": {"size": 32}, "notes": []}
    references = {network: {"reference": f"{network}@/home/someone/w.safetensors"} for network in networks}
    stored["networks"] = {network: card | reference for network, reference in references.items()}
    stored |= {"timings": {"measure": 12.5}, "versions": {"torch": "2.14.1"}, "findings": ["one is more selective"]}
    (folder / "run.json").write_text(json.dumps(stored | record))
    return folder


def add_examples(run: Path) -> Path:
    """Give a run's units what they respond to: three images each, in a colour of their own, and means of classes.

    The images of unit 5 are red, green and blue; those of the others are grey. Of class k the mean is k + 1.
    """
    units = pd.read_csv(run / "selectivity.csv")[["network", "block", "unit"]]
    ranks = units.merge(pd.DataFrame({"rank": [1, 2, 3]}), how="cross")
    names = ranks["rank"].map(str).where(ranks["unit"] == 5, "grey")
    ranks.assign(identifier=names, index=0, label=0, activity=1.0).to_csv(run / "selectivity_images.csv", index=False)
    images = np.full((4, 48, 48, 3), 128, np.uint8)
    images[:3] = np.eye(3, dtype=np.uint8)[:, None, None] * 255
    np.savez(run / "selectivity_pictures.npz", identifiers=["1", "2", "3", "grey"], images=images)
    means = {"classes": np.array([f"class {number}" for number in range(12)])}
    for (network, block), rows in units.groupby(["network", "block"]):
        means[f"{network}/{block}/means"] = np.repeat(np.arange(1.0, 13)[:, None], len(rows), 1)
    np.savez(run / "selectivity_means.npz", **means)
    return run


class Page(HTMLParser):
    """The elements of a page with their attributes, and all of its text outside scripts."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self._inside = "", ""
        self.scripts: list[str] = []
        self.packed: dict[str, str] = {}
        self._name = ""
        self._inside_packed = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")
        if tag == "button":
            self._name = dict(attrs).get("data-name") or ""
        self._inside_packed = tag == "span" and dict(attrs).get("class") == "packed"

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside_packed:
            self.packed[self._name] = data
        else:
            self.text += data

    def handle_endtag(self, tag):
        self._inside = ""
        self._inside_packed = False

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for each, attributes in self.elements if each == tag]


def unpacked(text: str) -> str:
    return gzip.decompress(base64.b64decode(text)).decode()
