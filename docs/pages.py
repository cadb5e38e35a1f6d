"""The command line's pages, from the commands themselves."""

import shutil
from pathlib import Path

import click
from gelens.cli import main
from gelens.cli.group import OWN, TALK

KINDS = {"boolean": "", "text": "TEXT", "integer range": "N", "float range": "X", "integer": "N", "float": "X"}


def write_commands(folder: Path) -> None:
    """A page for each command, and their list in sections."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = ["# Command line", "", *_escaped(main.help), ""]
    lines += ["Every command has `--help` with an example, and fails with one line and the nearest choice.", ""]
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
            if told is not None:
                sections.setdefault(getattr(parameter, "section", TALK), []).append(told)
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
    """Help as Markdown: what stands in capitals or brackets is no markup."""
    return [line.replace("[", "\\[").replace("<", "\\<").replace("*", "\\*") for line in _undented(text)]


def _undented(text: str) -> list[str]:
    import inspect

    return inspect.cleandoc(text).splitlines()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("[", "\\[").replace("*", "\\*").replace("<", "\\<")


def _option(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"
