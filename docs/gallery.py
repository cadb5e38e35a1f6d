"""The gallery: a picture of every figure with the commands that draw it, and the page that shows them.

python docs/gallery.py DATA draws the pictures anew, in runs/gallery: DATA is CIFAR-10, such as cifar10 or parquet:DIR.
"""

import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

# first, so that gelens is that of this clone, whatever is installed
import analysis  # isort: skip  # noqa: E402, F401

from matplotlib.figure import Figure  # noqa: E402
from PIL import Image  # noqa: E402

from gelens import figures  # noqa: E402
from gelens.figures.drawing import figure_modules, name_of  # noqa: E402
from gelens.figures.stored import StoredRun  # noqa: E402
from gelens.figures.style import Look  # noqa: E402

PICTURES = ROOT / "docs" / "static" / "figures"
COLORS = 256
"""Of a picture's palette, so that its file is small; rare ones, as of a colour bar, are kept."""


@dataclass(frozen=True)
class Drawing:
    """Commands, of which the last one's run has figures.

    Args:
        commands: each with an --out of its own.
        figures: files of `gelens.figures`, and the page in docs/figures that explains each.
    """

    commands: tuple[str, ...]
    figures: Mapping[str, str]


TRAINED = "gelens train mini_resnet_se --data digits --epochs 8 --keep-epochs --out runs/gallery/trained"
DIGITS = "mini_resnet_se@runs/gallery/trained/weights.safetensors --data digits"
DRAWINGS = (
    Drawing(
        ("gelens supplementary --data cifar10 --limit 1000 --out runs/gallery/supplementary",),
        {
            "fig1_optimisation": "fig1",
            "table1_pooling": "table1",
            "fig2_selectivity": "fig2",
            "fig2_violin": "fig2",
            "fig2_gap": "fig2",
            "fig2_null": "fig2",
            "fig2_units": "fig2",
            "fig3_pruning": "fig3",
            "fig4_operators": "fig4",
        },
    ),
    Drawing(
        (
            "gelens selectivity 'thin_resnet50@cifar10/*' 'thin_resnet50_se@cifar10/*' --data cifar10 --limit 500 "
            "--index auc --out runs/gallery/selectivity",
        ),
        {"fig2_trainings": "fig2", "fig2_selectivity_indices": "fig2"},
    ),
    Drawing(
        (
            "gelens pruning thin_resnet50_se@cifar10 thin_resnet50_ge_theta@cifar10 --data cifar10 --limit 1000 "
            "--score gate --score random --out runs/gallery/pruning",
        ),
        {"fig3_area": "fig3", "fig3_networks": "fig3", "fig3_random": "fig3"},
    ),
    Drawing(
        (
            "gelens gates thin_resnet50_se@cifar10 thin_resnet50_ge_theta@cifar10 --data cifar10 --limit 500 "
            "--out runs/gallery/gates",
        ),
        {
            "fig_gates": "gates",
            "fig_gates_distribution": "gates",
            "fig_gates_depth": "gates",
            "fig_gates_classes": "gates",
        },
    ),
    Drawing(
        (TRAINED, f"gelens gates {DIGITS} --means-from digits#train --out runs/gallery/static"),
        {"fig_gates_static": "static_gates"},
    ),
    Drawing(
        (
            "gelens taps thin_resnet50@cifar10 thin_resnet50_se@cifar10 --data cifar10 --limit 500 "
            "--out runs/gallery/taps",
        ),
        {"fig_taps": "taps"},
    ),
    Drawing(
        ("gelens lesions thin_resnet50@cifar10 --data cifar10 --limit 500 --out runs/gallery/lesions",),
        {"fig_lesions": "lesions"},
    ),
    Drawing(
        (TRAINED, f"gelens lesions {DIGITS} --units 8 --means-from digits#train --out runs/gallery/targeted"),
        {"fig_lesions_targeted": "targeted_lesions"},
    ),
    Drawing(
        (
            "gelens levels thin_resnet50@cifar10 --data cifar10 --limit 500 --groups studies/cifar10/classes.csv "
            "--out runs/gallery/levels",
        ),
        {"fig_levels": "levels"},
    ),
    Drawing(
        ("gelens rarefaction thin_resnet50@cifar10 --data cifar10 --limit 500 --out runs/gallery/rarefaction",),
        {"fig_rarefaction": "rarefaction"},
    ),
    Drawing(
        (
            "gelens match thin_resnet50@cifar10 thin_resnet50_se@cifar10 --data cifar10 --limit 500 "
            "--out runs/gallery/match",
        ),
        {"fig_match": "match", "fig_match_units": "match"},
    ),
    Drawing(
        (
            TRAINED,
            "gelens selectivity mini_resnet_se --checkpoints runs/gallery/trained/epochs --data digits "
            "--out runs/gallery/epochs",
        ),
        {"fig_epochs": "over_training"},
    ),
)


def _own_modules() -> dict[str, ModuleType]:
    """Files of figures by their names, without those of other packages."""
    return {name_of(each): each for each in figure_modules() if each.__name__.startswith(figures.__name__)}


def draw(data: str) -> None:
    """Run what is not run yet, and draw every figure's picture."""
    modules = _own_modules()
    for drawing in DRAWINGS:
        folders = [_run(command, data) for command in drawing.commands]
        run = StoredRun.open(folders[-1])
        for name in drawing.figures:
            _, figure = next(modules[name].pictures(run, Look()))
            _save(figure, PICTURES / name)


def _run(command: str, data: str) -> Path:
    words = [data if word == "cifar10" else word for word in shlex.split(command)]
    subprocess.run([sys.executable, "cli.py", *words[1:], "--resume"], check=True, cwd=ROOT)
    return ROOT / words[words.index("--out") + 1]


def _save(figure: Figure, path: Path) -> None:
    (file,) = figures.save(figure, path, ("png",))
    Image.open(file).convert("RGB").quantize(COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        file, optimize=True
    )


def write_gallery(path: Path) -> None:
    """The page: every figure's picture, what it shows, and what draws it."""
    path.parent.mkdir(exist_ok=True)
    said = "Every figure that gelens draws, and the commands that drew it here. Its own page says how to read it."
    lines = ["# Gallery", "", said, ""]
    drawings = {name: (page, drawing) for drawing in DRAWINGS for name, page in drawing.figures.items()}
    for name, module in _own_modules().items():
        page, drawing = drawings[name]
        shown = cleandoc(module.__doc__ or "").splitlines()[0]
        command = drawing.commands[-1].split()[1]
        linked = f"[`gelens {command}`](../reference/commands/{command}.md)"
        lines += [f"## {name}", "", f"![{shown}](../static/figures/{name}.png)", ""]
        lines += [f"{shown} [How to read it](../figures/{page}.md). Drawn by {linked}:", ""]
        lines += ["```console", *(f"$ {each}" for each in drawing.commands), "```", ""]
    path.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    draw(*sys.argv[1:])
