"""The code blocks of the documentation: which there are, what they would run, and how that is done on tiny data."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from gelens.cli import main
from gelens.cli.options import NETWORK

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *sorted(path for folder in ("", "figures", "how", "studies") for path in (DOCS / folder).glob("*.md")),
]

MARKER = re.compile(r"<!-- not run: (.+) -->")
SHELLS = ("console", "sh")
FEW = {"--permutations": "5", "--replicates": "5"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Args:
        line: of the page, of the block's first line.
        language: as the fence names it.
        text: within the fences.
        reason: why it is not run, if it says so.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str

    def commands(self) -> Iterator[list[str]]:
        """The words of every command, of a chain each by itself."""
        for line in self.text.replace("\\\n", " ").splitlines():
            line = re.sub(r"(^|\s)#.*$", "", line).strip().removeprefix("$ ")
            for part in filter(None, map(str.strip, line.split("&&"))):
                yield shlex.split(part)


def blocks(page: Path) -> Iterator[Block]:
    """Those of a page, in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    start, reason = None, ""
    for number, line in enumerate(lines):
        if start is None and (opened := re.fullmatch(r"```([a-z]+)", line)):
            start, language = number + 1, opened[1]
        elif start is not None and line == "```":
            yield Block(page, start + 1, language, "\n".join(lines[start:number]), reason)
            start, reason = None, ""
        elif start is None and line.strip():
            marked = MARKER.fullmatch(line.strip())
            reason = marked[1] if marked else ""


def of_gelens(words: list[str]) -> list[str] | None:
    """The arguments of the command line, however it is called; None where another program is."""
    if words[0] == "gelens":
        return words[1:]
    for place, pair in enumerate(pairwise(words)):
        if pair == ("-m", "gelens"):
            return words[place + 2 :]
    return None


def check(arguments: list[str]) -> None:
    """Parse without running.

    Raises:
        click.UsageError: an option or a choice that is none.
        gelens.errors.UsageError: a network that is none.
    """
    if arguments == ["--help"]:
        return
    words = [_stand_in(word) for word in arguments]
    with main.make_context("gelens", words[:1]) as context:
        name, command, rest = main.resolve_command(context, words)
        with command.make_context(name, rest, parent=context) as parsed:
            if "labels" in parsed.params and not parsed.params.get("source"):
                for network in parsed.params["networks"]:  # or folders of recordings: click checks none
                    if not Path(network).is_dir():
                        NETWORK(network)


def _stand_in(word: str) -> str:
    """Something that is there, for what stands in capitals and for a run's folder."""
    capitals = {"NETWORK": "resnet50_se@weights.pth", "DATA": "digits"}
    return "." if word.startswith("runs/") else capitals.get(word, word)


def shortened(arguments: list[str], images: Path) -> list[str]:
    """The same command on few images, with few permutations, and one epoch of training."""
    command = main.commands[arguments[0]]
    options = {option for parameter in command.params for option in parameter.opts}
    changed = [as_few(word, images) for word in arguments]
    reads_all = changed == arguments and not {"--limit", "--from", "--resume"} & set(changed)
    if "--limit" in options and reads_all and not any(Path(word).is_dir() for word in arguments):
        changed += ["--limit", "60"]
    if command.name == "train":
        changed += ["--epochs", "1", *([] if "--limit" in changed else ["--per-class", "4"])]
    return changed + [word for option, few in FEW.items() if option in options - set(changed) for word in (option, few)]


def as_few(word: str, images: Path) -> str:
    """A reference to CIFAR-10 as one to a few images in its place."""
    return re.sub(r"^cifar10(?=#|$)", f"parquet:{images}", word)


def named_figures(page: Path) -> set[str]:
    """The names of pictures that a page speaks of."""
    return set(re.findall(r"`((?:fig\w*|table1)_\w+)`", page.read_text(encoding="utf-8")))
