"""Table 1: errors of parameter-free Gather-Excite by extent and pooling."""

import re

import pandas as pd

from ..names import family_and_gate, pretty
from ..paper import of_pooling_table, pooling_errors
from ..results.tables import title_of
from .drawn import Drawn, Pictures
from .stored import StoredRun
from .style import WIDTH, Look, named, need, panels, styled, text_width, wrapped

NEEDS = ("evaluation.csv",)
NONE = "—"
_SIZE = 8
_COLUMNS = ("network", "extent", "pool", "top1_error", "top5_error")


@styled
def pooling_table(evaluation: pd.DataFrame, note: str = "", width: float | None = None) -> Drawn:
    """Table 1 as a picture: top-1 and top-5 error of parameter-free Gather-Excite by extent and pooling.

    A column without any content is left out.

    Args:
        evaluation: rows of `evaluation.csv`; columns `top1_sd` and `top5_sd`, standard deviations over trainings, may
            be added; a column `paper`, of the paper's top-1 and top-5 errors of ResNet-50 on
            ImageNet with the same gate, or None, may be added, else they are found by the networks' names.
        note: what the images are.
        width: inches.
    """
    need(evaluation, "evaluation")
    table, width = named(evaluation), width or WIDTH
    rows = [_cells(row) for row in table.to_dict("records")]
    header = [title_of(name).replace(" error", "\nerror") for name in _COLUMNS] + ["Paper:\nResNet-50,\nImageNet"]
    kept = [at for at in range(len(header)) if at in (0, 3, 4) or any(row[at] != NONE for row in rows)]
    header, rows = [header[at] for at in kept], [[row[at] for at in kept] for row in rows]
    size, inches = _fitted(header, rows, width)
    rows = [[wrapped(row[0], size, inches[0] - 0.08, 3), *row[1:]] for row in rows]
    tall = [max(cell.count("\n") + 1 for cell in row) for row in (header, *rows)]
    line = size * 1.3 / 72
    heights = [lines * line + 0.1 for lines in tall]
    figure, axes = panels(1, 1, width, sum(heights) + 0.1, note=note)
    ax = axes[0, 0]
    ax.set_axis_off()
    drawn = ax.table(rows, colLabels=header, loc="center", cellLoc="center", edges="horizontal")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(size)
    for (row, column), cell in drawn.get_celld().items():
        cell.set(width=inches[column] / (width - 0.1), height=heights[row] / sum(heights), linewidth=0.6)
        if row == 0:
            cell.set_text_props(weight="bold")
    return Drawn(figure, ax)


def _cells(row: dict) -> list[str]:
    extent, pool = (_text(row.get(name)) for name in ("extent", "pool"))
    paper = row["paper"] if "paper" in row else pooling_errors(row["network"], extent, pool)
    return [
        pretty(row["network"].partition(":")[0]),
        extent or NONE,
        pool or NONE,
        _error(row, "top1"),
        _error(row, "top5"),
        NONE if paper is None or paper is pd.NA or paper != paper else f"{paper[0]:.2f} / {paper[1]:.2f}",
    ]


def _error(row: dict, top: str) -> str:
    spread = row.get(f"{top}_sd", float("nan"))
    return f"{row[f'{top}_error']:.2f}" + ("" if pd.isna(spread) else f" ± {spread:.2f}")


def _text(value: object) -> str | None:
    """A setting as text; a column of numbers and blanks is read back as floats."""
    return None if pd.isna(value) or value == "" else re.sub(r"\.0$", "", str(value))


def _fitted(header: list[str], rows: list[list[str]], width: float) -> tuple[float, list[float]]:
    """The font's size and the columns' inches; the first column takes what the others leave, or less."""
    for size in (_SIZE, 7, 6):
        bold = [max(text_width(line, size) for line in title.split("\n")) * 1.15 for title in header]
        wanted = [max(bold[at], *(text_width(row[at], size) for row in rows)) + 0.1 for at in range(len(header))]
        left = width - 0.1 - sum(wanted[1:])
        if left >= min(wanted[0], 1.0):
            break
    return size, [min(wanted[0], left), *wanted[1:]]


def pictures(run: StoredRun, look: Look) -> Pictures:
    """Of an evaluation all networks; of other runs those of the paper's table, if one has its gate."""
    table = run.table("evaluation.csv").dropna(subset="top1_error")
    if table.empty:
        return
    labels = list(table["network"].unique())
    chosen = labels if run.record["command"] == "evaluate" else run.of_role("pooling", labels, of_pooling_table)
    gates = [family_and_gate(run.architecture(label))[1] for label in chosen]
    if run.record["command"] != "evaluate" and "ge_theta_minus" not in gates:
        return
    table = table[table["network"].isin(chosen)]
    settings = table[["network", "extent", "pool"]].itertuples(index=False)
    paper = [pooling_errors(run.architecture(label), extent or None, pool or None) for label, extent, pool in settings]
    table, said = _over_trainings(run, table.assign(paper=paper))
    yield "table1_pooling", pooling_table(table, run.caption(said), look.width)[0]


def _over_trainings(run: StoredRun, table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Means and standard deviations over the trainings of each group, and a sentence on them, where there are any."""
    if not any(run.group(label) for label in table["network"]):
        return table, ""
    groups = run.by_group(table).groupby("network", sort=False)
    means = groups.first().reset_index()
    for top in ("top1", "top5"):
        means[f"{top}_error"], means[f"{top}_sd"] = (
            groups[f"{top}_error"].agg(each).to_numpy() for each in ("mean", "std")
        )
    numbers = sorted({groups.size().min(), groups.size().max()})
    if numbers == [1]:
        return means, "One training each."
    return means, f"Means ± standard deviations over {' to '.join(map(str, numbers))} trainings."
