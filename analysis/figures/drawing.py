"""Every figure of a run's folder, from its tables: the files of this room whose names begin with fig or table.

Each of those is one figure or several alike. It names in `NEEDS` the files of a run's folder that it is drawn from, or
by file the columns that it needs beside those which the table must have; and its `pictures(run, look)` yields the name
and the figure of each that they allow. A new figure is a new file. Other packages have theirs as modules that they name
as entry points of the group `gelens.figures`.
"""

import io
import logging
import math
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..choices import FORMATS
from ..errors import RunError, UsageError, unknown
from ..files import atomic_path
from ..names import blocks_as_in_papers
from ..plugins import of_packages
from .stored import StoredRun
from .style import STYLE, Look

log = logging.getLogger(__name__)

GROUP = "gelens.figures"
"""Of entry points: modules with `NEEDS` and `pictures`."""
DEFAULT_FORMATS = ("png", "pdf")
DOTS_PER_INCH = 200

# a file's date would make the same figure another file
_UNDATED: dict[str, dict] = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
_NO_LAYOUT: dict[Any, object] = {"figure.autolayout": False, "figure.constrained_layout.use": False}


def draw(
    folder: Path | str,
    formats: Sequence[str] = DEFAULT_FORMATS,
    width: float | None = None,
    blocks: Sequence[str] | None = None,
    bins: int | None = None,
    out: Path | str | None = None,
) -> list[Path]:
    """Draw every figure that a run's tables allow, each file written whole or not at all.

    Args:
        folder: of the run.
        formats: png, pdf, svg.
        width: inches, of every figure; each figure's own by default.
        blocks: names or patterns of blocks, such as layer3.*; all by default.
        bins: of the distributions; 40 by default.
        out: the folder to draw into; `figures` in the run's by default.

    Returns:
        the files written.

    Raises:
        UsageError: there is no run, or none of its tables can be drawn; or an argument cannot be meant.
        RunError: a file cannot be written, or a table is not what the run wrote.

    A figure that cannot be drawn is left out, which a warning tells, and the others are drawn.
    """
    check(formats, width, bins)
    run, look = StoredRun.open(folder, blocks), Look(width, bins)
    target = run.folder / "figures" if out is None else Path(out)
    paths, faults = drawn_of(run, look, target, formats)
    if not paths and faults:
        raise next(iter(faults.values()))
    say_left_out(faults)
    if not paths:
        needed = sorted({name for module in figure_modules() for name in module.NEEDS if name.endswith(".csv")})
        raise UsageError(f"the run in `{folder}` has no table to draw; figures are drawn from {', '.join(needed)}")
    return paths


def drawn_of(
    run: StoredRun, look: Look, target: Path, formats: Sequence[str]
) -> tuple[list[Path], dict[str, UsageError]]:
    """Draw every figure that a run's tables allow: the files written, and by file of this room why it drew none."""
    paths: list[Path] = []
    faults: dict[str, UsageError] = {}
    known = all(card.get("resnet_stages", True) for card in run.record.get("networks", {}).values())
    with blocks_as_in_papers(known):
        for module in figure_modules():
            if run.has(*module.NEEDS):
                try:
                    paths.extend(drawn_by(module, run, look, target, formats))
                except UsageError as error:
                    faults[name_of(module)] = error
    return paths, faults


def say_left_out(faults: Mapping[str, UsageError]) -> None:
    """Warn of figures that could not be drawn."""
    for name, fault in faults.items():
        log.warning("a figure is left out, %s: %s", name, fault)


def figure_of(run: StoredRun, name: str, look: Look) -> Figure:
    """One figure of a run, open: the first that has a name, or a part of it; the first of all for an empty name.

    Raises:
        UsageError: there is none; the message lists those that there are.
    """
    names: list[str] = []
    known = all(card.get("resnet_stages", True) for card in run.record.get("networks", {}).values())
    likely = sorted(figure_modules(), key=lambda module: not name.startswith(module.__name__.rpartition(".")[2]))
    with blocks_as_in_papers(known):
        for module in likely:
            for found, figure in module.pictures(run, look) if run.has(*module.NEEDS) else ():
                if name in found:
                    return figure
                names.append(found)
                plt.close(figure)
    raise unknown("figure", name, names)


def put_into(ax: Axes, figure: Figure) -> Figure:
    """Show a figure as a picture in somebody's axes, and close it; the figure that these are in."""
    with plt.rc_context(STYLE):
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=2 * DOTS_PER_INCH)
    plt.close(figure)
    picture.seek(0)
    ax.imshow(plt.imread(picture))
    ax.set_axis_off()
    theirs = ax.get_figure(root=True)
    assert theirs is not None  # axes that were taken out of theirs are none to draw in
    return theirs


def is_drawable(folder: Path | str) -> bool:
    """Whether a run has tables that a figure is drawn from."""
    run = StoredRun.open(folder)
    return any(run.has(*module.NEEDS) for module in figure_modules())


def name_of(module: ModuleType) -> str:
    """What a file of figures is called when it is spoken of."""
    return module.__name__.rpartition(".")[2]


def drawn_by(module: ModuleType, run: StoredRun, look: Look, target: Path, formats: Sequence[str]) -> Iterator[Path]:
    """The pictures of one file of this room, each saved.

    Raises:
        UsageError: a column is missing that they need; or each is of its kind, and yet nothing can be drawn of them
            together.
    """
    columns = module.NEEDS if isinstance(module.NEEDS, Mapping) else {}
    title = (module.__doc__ or module.__name__).splitlines()[0].rstrip(".")
    try:
        for name, figure in module.pictures(replace(run, needed=columns), look):
            yield from save(figure, target / name, formats, title)
    except (UsageError, RunError):
        raise
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        plt.close("all")
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"{' and '.join(module.NEEDS)} of the run in `{run.folder}` cannot be drawn: {type(error).__name__}: {said}"
        ) from error


def check(formats: Sequence[str] = DEFAULT_FORMATS, width: float | None = None, bins: int | None = None) -> None:
    """Raise a UsageError for what cannot be meant."""
    for each in formats:
        if each not in FORMATS:
            raise unknown("format", each, FORMATS)
    if not formats:
        raise UsageError(f"no format to draw in; formats: {', '.join(FORMATS)}")
    if width is not None and not (math.isfinite(width) and 0 < width <= 100):
        raise UsageError(f"expected a width in inches above 0 and at most 100, but got {width:g}")
    if bins is not None and not 1 <= bins <= 10_000:
        raise UsageError(f"expected between 1 and 10000 bins, but got {bins}")


def figure_modules() -> list[ModuleType]:
    """The files of this room that draw figures, and modules of other packages that do."""
    names = [each.name for each in pkgutil.iter_modules([str(Path(__file__).parent)])]
    ours = [import_module(f".{name}", __package__) for name in names if name.startswith(("fig", "table"))]
    return [*ours, *of_packages(GROUP, lambda module: hasattr(module, "NEEDS") and hasattr(module, "pictures"))]


def save(
    figure: Figure, path: Path | str, formats: Sequence[str] = DEFAULT_FORMATS, title: str | None = None
) -> list[Path]:
    """Write a figure as `path` with each format's ending, text as text, and close it; the files written.

    Args:
        title: what the figure is, which an SVG file says for those who cannot see it.

    Raises:
        RunError: a file cannot be written.
    """
    path = Path(path)
    paths = [path.with_name(f"{path.name}.{each}") for each in formats]
    told = _UNDATED | {"svg": _UNDATED["svg"] | ({"Title": title} if title else {})}
    try:
        with plt.rc_context(STYLE | _NO_LAYOUT):
            if (engine := figure.get_layout_engine()) is not None:
                engine.execute(figure)
            figure.set_layout_engine()  # once for all formats: with any engine each of them draws twice
            for file, each in zip(paths, formats, strict=True):
                with atomic_path(file) as temporary:
                    figure.savefig(temporary, format=each, dpi=DOTS_PER_INCH, metadata=told[each])
    finally:
        plt.close(figure)
    return paths
