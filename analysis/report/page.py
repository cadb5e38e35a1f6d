"""The page: what its template is filled with, what it is allowed to do, and the one file that it is written as."""

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.colors import to_hex

from ..errors import UsageError, need, plain
from ..figures.style import colors_of
from ..files import atomic_path
from ..statistics.top_images import most_selective
from .examples import pictures_of_units, profiles_of
from .pictures import Picture, pictures_of
from .sources import Source, open_sources
from .summary import about, facts_of, findings_of, networks_of, settings_of
from .units import MOST_UNITS, curves_of, titles_of, units_of

REPORT = "report.html"
"""The page's file in a run's folder."""

MOST_OF_FIGURES, MOST_OF_TABLES = 3_200_000, 2_200_000
"""Characters of figures, and of packed tables: with Bokeh, units and their examples less than 10 MB."""
ROWS_SHOWN, UNITS_LISTED = 24, 10

_HERE = Path(__file__).parent


def write_report(folders: Sequence[Path | str], out: Path | str | None = None, drawn: Sequence[Path] = ()) -> Path:
    """Write the page of finished runs.

    Args:
        folders: of the runs; several are compared.
        out: the file; `report.html` in the first run's folder by default.
        drawn: files of all figures of the only run, of which SVG is taken; without any, figures are drawn.

    Returns:
        the file.

    Raises:
        UsageError: a folder holds no finished run; or the file is a folder; or Bokeh is not installed.
        RunError: it cannot be written.
    """
    target = Path(folders[0]) / REPORT if out is None else Path(out)
    if target.is_dir():
        raise UsageError(f"`{target}` is a folder; expected a file for the report, such as {target / REPORT}")
    page = page_of(open_sources(folders), drawn)
    with atomic_path(target) as temporary:
        temporary.write_text(page, "utf-8")
    return target


def page_of(sources: Sequence[Source], drawn: Sequence[Path] = ()) -> str:
    """The page as text; arguments as of `write_report`."""
    need("bokeh", "report")
    from .views import views_of

    units, curves = units_of(sources), curves_of(sources)
    measured = len(units)
    if measured > MOST_UNITS:
        units = units.sample(MOST_UNITS, random_state=0).sort_index()
    colors = _colors(units, curves)
    script = (_HERE / "views.js").read_text("utf-8")
    scripts = [*_bokeh(), script] if len(units) or curves else [script]
    environment = Environment(
        autoescape=True, loader=FileSystemLoader(_HERE), undefined=StrictUndefined, finalize=_plain
    )
    titles = titles_of(units)
    figures = [pictures_of(source, f"run{number}", drawn) for number, source in enumerate(sources)]
    kept = _within([picture for several in figures for picture in several], MOST_OF_FIGURES)
    pictures, profiles = pictures_of_units(sources, units), profiles_of(sources, units)
    views = views_of(units, curves, colors) | {"curves": curves, "networks": list(colors), "titles": titles}
    views |= {"pictures": pictures, "profiles": profiles}
    return environment.get_template("page.html.jinja").render(
        runs=[_run(source, pictures, kept, len(sources)) for source, pictures in zip(sources, figures, strict=True)],
        title=", ".join(source.name for source in sources),
        about=about(sources),
        policy=_policy(scripts),
        style=Markup((_HERE / "page.css").read_text("utf-8")),
        scripts=[Markup(each) for each in scripts],
        packed=_packed(json.dumps(views, allow_nan=False)),
        colors=colors,
        titles=titles,
        examples={"pictures": bool(pictures), "profiles": bool(profiles)},
        with_units=_distinct(units, "network"),
        blocks={"units": _distinct(units, "block"), "curves": list(dict.fromkeys(each["block"] for each in curves))},
        scores=list(dict.fromkeys(each["score"] for each in curves if each["score"])),
        curved=list(dict.fromkeys(each["network"] for each in curves)),
        measured=measured,
        units=len(units),
        listed=_listed(units),
    )


def _plain(value: object) -> object:
    """What goes into the page, without characters that are not seen; marked-up text is the package's own."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _bokeh() -> list[str]:
    """Bokeh's scripts, from its package."""
    from bokeh.resources import Resources

    return list(Resources(mode="inline", components=["bokeh", "bokeh-widgets", "bokeh-tables"]).js_raw[:3])


def _policy(scripts: Sequence[str]) -> str:
    """The page's rights: to run these scripts, and to fetch nothing."""
    hashes = (base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts)
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _packed(text: str) -> str:
    """Text as gzip in base64, which no browser takes for markup."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _colors(units: pd.DataFrame, curves: Sequence[dict]) -> dict[str, str]:
    """A colour for each network of the views."""
    networks = dict.fromkeys([*_distinct(units, "network"), *(each["network"] for each in curves)])
    return {network: to_hex(color) for network, color in colors_of(list(networks)).items()}


def _distinct(table: pd.DataFrame, column: str) -> list[str]:
    return table[column].drop_duplicates().tolist() if len(table) else []


def _run(source: Source, pictures: Sequence[Picture], kept: Sequence[Picture], runs: int) -> dict:
    """What the page says of one run of so many, which share its room.

    Args:
        pictures: the run's figures.
        kept: those of all runs that the page has room for.
    """
    networks = networks_of(source)
    return {
        "name": source.name,
        "facts": facts_of(source),
        "networks": networks,
        "network_rows": [list(each.values()) for each in networks],
        "settings": settings_of(source),
        "findings": findings_of(source),
        "pictures": [vars(each) | {"svg": Markup(each.svg)} for each in pictures if each in kept],
        "left_out": [each.name for each in pictures if each not in kept],
        "tables": _tables(source, MOST_OF_TABLES // runs),
    }


def _within(pictures: Sequence[Picture], room: int) -> list[Picture]:
    """The figures that the page has room for; the largest have to go."""
    kept, used = [], 0
    for picture in sorted(pictures, key=lambda each: each.size):
        used += picture.size
        if used <= room:
            kept.append(picture)
    return kept


def _tables(source: Source, room: int) -> list[dict]:
    """A run's tables: head, first rows as text, and the file packed where the page has room for it."""
    tables, used = [], 0
    for path in sorted(source.run.folder.glob("*.csv"), key=lambda path: path.stat().st_size):
        table = source.run.table(path.name)
        packed = _packed(path.read_text("utf-8"))
        used += len(packed)
        tables.append(
            {
                "name": path.name,
                "columns": list(table.columns),
                "count": len(table),
                "rows": _texts(table[:ROWS_SHOWN]),
                "packed": packed if used <= room else "",
            }
        )
    return sorted(tables, key=lambda table: table["name"])


def _texts(table: pd.DataFrame) -> list[list[str]]:
    return [[_text(value) for value in row] for row in table.itertuples(index=False)]


def _text(value: object) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}"
    return str(value)


def _listed(units: pd.DataFrame) -> dict:
    """The most selective units of each network, as a plain table."""
    if units.empty or "csi" not in units:
        return {}
    networks = units.groupby("network", sort=False)
    table = pd.concat([most_selective(rows, UNITS_LISTED) for _, rows in networks])
    names = {"network": "Network", "block": "Block", "unit": "Unit", **titles_of(units)}
    names |= {"top_class": "Top class", "images": "Most active on"}
    return {"columns": [names[each] for each in table], "rows": _texts(table)}
