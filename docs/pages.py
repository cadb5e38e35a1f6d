"""Pages that come from the package itself: commands, names of `gelens`, tables; and the diagrams of figure 4."""

import inspect
import re
import shutil
from pathlib import Path

import click

import gelens
from gelens import figures
from gelens.cli import main
from gelens.cli.group import OWN, TALK
from gelens.networks.operators import operator_table
from gelens.results.tables import TABLES


def write_names(path: Path) -> None:
    """The reference of every name of `gelens`, functions first."""
    found = {name: getattr(gelens, name) for name in gelens.__all__}
    lines = ["# Python", "", "The names of `gelens`. Each is imported on first use.", ""]
    for title, directive, is_one in (
        ("Functions", "autofunction", inspect.isfunction),
        ("Classes", "autoclass", inspect.isclass),
    ):
        names = [name for name, each in found.items() if is_one(each)]
        lines += [f"## {title}", "", "```{eval-rst}", *(f".. {directive}:: gelens.{name}" for name in names), "```", ""]
    modules = [f"`gelens.{name}`" for name, each in found.items() if inspect.ismodule(each)]
    lines += ["## Modules", "", f"{', '.join(modules)} are on [the next page](rooms.md).", ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def draw_operators(folder: Path) -> None:
    """Figure 4, which needs neither weights nor images."""
    folder.mkdir(parents=True, exist_ok=True)
    figure, _ = figures.operators(operator_table())
    figure.savefig(folder / "fig4_operators.png", dpi=200)


def write_tables(path: Path) -> None:
    """The reference of every table that is written, as it is declared."""
    lines = ["# Tables", "", "The tables of a run. Click one for its columns; those in *italics* may be missing.", ""]
    for name, table in TABLES.items():
        lines += [f'<details class="room"><summary><code>{name}</code> a row for {table.row}</summary>', ""]
        lines += ["| column | | type | unit |", "|---|---|---|---|"]
        for column in table.columns:
            told = table.column(column)
            code = f"`{column}`" if column in table.needed else f"*`{column}`*"
            lines.append(f"| {code} | {_cell(told.title)} | {told.type} | {told.unit} |")
        lines += ["", "</details>", ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def write_commands(folder: Path) -> None:
    """A page for each command, and their list in sections."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = ["# Command line", "", *_escaped(main.help), ""]
    lines += ["Every command has `--help` with an example. A mistake ends in one line with the nearest choice.", ""]
    for section in main.sections:
        names = [name for name, command in main.commands.items() if command.section == section]
        lines += [f"## {section}", "", "| command | |", "|---|---|"]
        lines += [f"| [`gelens {name}`]({name}.md) | {_cell(_summary(main.commands[name]))} |" for name in names]
        lines += ["", "```{toctree}", ":hidden:", "", *names, "```", ""]
    (folder / "index.md").write_text("\n".join(lines), encoding="utf-8")
    for name, command in main.commands.items():
        (folder / f"{name}.md").write_text("\n".join(_page(name, command)), encoding="utf-8")


def _page(name: str, command: click.Command) -> list[str]:
    with click.Context(command, info_name=f"gelens {name}") as context:
        usage = " ".join(command.collect_usage_pieces(context))
        sections: dict[str, list[tuple[str, str]]] = {OWN: []}
        for parameter in command.get_params(context):
            told = parameter.get_help_record(context)
            if told is not None and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "section", TALK), []).append(told)
        sections[TALK] = sections.pop(TALK)  # the last, as in --help
    lines = [f"# gelens {name}", "", *_escaped(command.help), ""]
    lines += ["```text", f"gelens {name} {usage}", "```", "", "```console", f"$ {command.example}", "```", ""]
    for section, options in sections.items():
        if options:
            lines += [f"## {section}", "", "| option | |", "|---|---|"]
            lines += [f"| {_option(option)} | {_cell(text)} |" for option, text in options]
            lines.append("")
    return lines


def _summary(command: click.Command) -> str:
    return command.get_short_help_str(200).rstrip(".")


def _escaped(text: str) -> list[str]:
    """Help as Markdown: what stands in brackets is no markup, and options are code."""
    return [_marked(line) for line in inspect.cleandoc(text).splitlines()]


def _cell(text: str) -> str:
    return _marked(" ".join(text.split())).replace("|", "\\|")


def _marked(text: str) -> str:
    """Options as code, what is code already left alone, and the rest without markup."""
    parts = re.split(r"(`[^`]*`|--[a-z][a-z-]*)", text)
    for place, part in enumerate(parts):
        if place % 2:
            parts[place] = f"`{part.strip('`')}`"
        else:
            parts[place] = re.sub(r"([\[<*])", r"\\\1", part)
    return "".join(parts)


def _option(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"
