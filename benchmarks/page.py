"""The page of what was measured, docs/measured.md, and the README's few numbers, from the stored tables.

python -m benchmarks.page
"""

import ast
import re
from pathlib import Path

from benchmarks.table import stored

HERE = Path(__file__).parent
TABLES = HERE / "measured"
PAGE, README = HERE.parent / "docs" / "measured.md", HERE.parent / "README.md"
NAMES = (
    "forward",
    "selectivity",
    "pruning",
    "lesions",
    "selectivity_statistics",
    "training",
    "demo",
    "report",
    "start",
    "data",
    "identity",
    "gpu",
)
"""Of the benchmarks, in the page's order."""

HEADLINES = (
    (
        "Pruning curves of SE-ResNet-50, 224 px, in float32, against a hook and a full pass for each point",
        "pruning",
        ("resnet50_se, 224 px, fp32", "against the plain loop"),
    ),
    ("The same in bfloat16", "pruning", ("resnet50_se, 224 px, bf16", "against the plain loop")),
    (
        "Recording its activities, images per second",
        "selectivity",
        ("recording", "256 images"),
    ),
    (
        "Statistics of 50,000 images × 6 blocks × 1024 units, 100 permutations and 100 replicates",
        "selectivity_statistics",
        ("statistics", "50000 × 6 × 1024, 100 and 100"),
    ),
)
"""What the README says: in words, whose table, part and row."""

BETWEEN = re.compile(r"(?<=<!-- by python -m benchmarks.page -->\n).*(?=<!-- to here -->)", re.DOTALL)
HEAD = """# Measured

Each benchmark measures against an alternative in the same run. `make bench` runs all of them and writes this page from
their tables. Absolute times vary with the machine, which each table names, with its load when the benchmark began: the
mean number of processes that ran or waited in the minute before. Machines of one name differ up to twofold: compare
numbers within a table, not those of two tables or dates.
"""
SECTION = """## {title}

{says}

<!-- not run: a benchmark -->
```console
$ {command}
```

{table}"""


def section(name: str) -> str:
    """A benchmark's own words, how it was called, and its table."""
    title, *says = words(name)
    command, table = stored(TABLES / f"{name}.json")
    return SECTION.format(title=title.rstrip("."), says="\n\n".join(says), command=command, table=table.markdown())


def words(name: str) -> list[str]:
    """The paragraphs of a benchmark's docstring up to its commands."""
    documentation = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))) or ""
    return documentation.partition("\n\n    ")[0].split("\n\n")


def page() -> str:
    measured = [name for name in NAMES if (TABLES / f"{name}.json").exists()]
    others = ", ".join(f"`python -m benchmarks.{name}`" for name in NAMES if name not in measured)
    left = [f"## Not measured\n\n{others}\n"] if others else []
    return "\n".join([HEAD, *map(section, measured), *left])


def headlines() -> str:
    """The README's table, of what was measured."""
    lines = ["| | | benchmark |", "|---|---|---|"]
    for says, name, (part, what) in HEADLINES:
        path = TABLES / f"{name}.json"
        rows = stored(path)[1].rows if path.exists() else []
        lines += [
            f"| {says} | {row.value:.3g} {row.unit} | `benchmarks/{name}.py` |"
            for row in rows
            if (row.part, row.what) == (part, what)
        ]
    return "\n".join([*lines, ""])


def readme() -> str:
    return BETWEEN.sub(lambda found: headlines(), README.read_text(encoding="utf-8"))


def write() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    README.write_text(readme(), encoding="utf-8")


if __name__ == "__main__":
    write()
