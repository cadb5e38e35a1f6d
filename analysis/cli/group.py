"""What commands of the command line are: help in sections, one process or several, failures as one line and a code."""

import logging
import traceback
from collections.abc import Mapping, Sequence
from functools import partial

import click

from ..errors import RunError, Terminated, UsageError, plain, unknown

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


KEPT = "what was done is kept; repeat the command with --resume to continue."

OWN, TALK = "Options", "Output"
"""Sections of the help of every command: what is its own, and what all have."""


class Option(click.Option):
    """An option with the section of the help that it stands in."""

    def __init__(self, *arguments, section: str = OWN, **settings):
        super().__init__(*arguments, **settings)
        self.section = section
        if self.metavar is None and isinstance(self.type, click.types.IntParamType | click.types.FloatParamType):
            self.metavar = "N" if isinstance(self.type, click.types.IntParamType) else "X"


class Choice(click.Choice):
    """One of several words; what is none of them is told with the nearest."""

    def convert(self, value, parameter, context):
        if value not in self.choices:
            self.fail(str(unknown(parameter.opts[0].removeprefix("--"), value, self.choices)), parameter, context)
        return value


class _Notes(logging.Handler):
    """What the library has to say, as lines on standard error; other libraries' loggers are left as they are."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"note: {plain(record.getMessage())}", err=True)


def remember(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Keep a flag in the context, for `is_chosen`: what listens to it is not the command itself."""
    if value:
        context.find_root().meta[f"gelens.{parameter.name}"] = True


def _be_quiet(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    remember(context, parameter, value)
    if value:
        logging.getLogger("gelens").setLevel(logging.ERROR)


_talk = partial(Option, is_flag=True, expose_value=False, section=TALK)


def is_chosen(name: str) -> bool:
    """Whether a flag was given that `remember` keeps: quiet, verbose, json, dry_run."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.find_root().meta.get(f"gelens.{name}"))


class Command(click.Command):
    """A command that one process does, or several where it has the option `--processes`.

    Args:
        section: of the list of commands.
        example: a line as a person would type it.
    """

    def __init__(self, *arguments, section: str = "", example: str = "", **settings):
        super().__init__(*arguments, **settings)
        self.section, self.example = section, example
        self.params.append(_talk(["-q", "--quiet"], callback=_be_quiet, help="Hide notes and progress bars."))
        self.params.append(_talk(["-v", "--verbose"], callback=remember, help="Show tracebacks."))

    def invoke(self, context: click.Context):
        from .. import processes

        shared = "processes" in context.params
        wanted = context.params.pop("processes", None)
        if processes.launched():
            if wanted not in (None, processes.number()):
                raise UsageError(f"--processes {wanted}, but {processes.number()} are started already: leave it out")
            if not (shared or processes.is_first()):
                return None
        elif wanted is not None and wanted > 1:
            context.exit(processes.launch(context.find_root().obj, wanted))
        if "workers" in context.params and processes.is_first() and not is_chosen("quiet"):
            click.echo(f"gelens {context.info_name}: loading …", err=True)  # which alone takes seconds
        return super().invoke(context)

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {OWN: []}
        for parameter in self.get_params(context):
            told = parameter.get_help_record(context)
            if told is not None and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "section", TALK), []).append(told)
        sections[TALK] = sections.pop(TALK)  # the last
        _write_sections(formatter, sections)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        if self.example:
            with formatter.section("Example"):
                formatter.write(f"  $ {self.example}\n")


class Group(click.Group):
    """Failures that a person may see end as one line and an exit code: 2 for usage, 1 for what did not work.

    Of several processes of a run the first one speaks; what goes wrong in all of them is said once.

    Args:
        sections: of the list of commands, in order.
    """

    command_class = Command

    def __init__(self, *arguments, sections: Sequence[str] = (), **settings):
        super().__init__(*arguments, **settings)
        self.sections = sections

    def make_context(self, info_name, args, parent=None, **extra):
        extra.setdefault("obj", tuple(args))
        return super().make_context(info_name, args, parent, **extra)

    def resolve_command(self, context, args):
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            context.fail(plain(unknown("command", args[0], self.commands, limit=len(self.commands))))
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {section: [] for section in self.sections}
        for name, command in self.commands.items():
            assert isinstance(command, Command)
            sections[command.section].append((name, command.get_short_help_str(200).rstrip(".")))
        _write_sections(formatter, sections)

    def invoke(self, context: click.Context):
        from .. import processes

        if not processes.launched():
            return self._invoke(context)
        try:
            processes.join()
            return self._invoke(context)
        except click.ClickException as error:
            if processes.first_to_say(str(error)):
                raise
            context.exit(error.exit_code)
        finally:
            processes.leave()

    def _invoke(self, context: click.Context):
        from .. import processes
        from ..interruption import termination_raised

        logger = logging.getLogger("gelens")
        logger.setLevel(logging.INFO if processes.is_first() else logging.ERROR)
        logger.handlers = [_Notes()]
        try:
            with termination_raised():
                return super().invoke(context)
        except BrokenPipeError:
            raise  # click ends quietly when the reader of a pipe goes away
        except (UsageError, RunError, OSError, click.ClickException) as error:
            if context.meta.get("gelens.verbose"):
                click.echo(traceback.format_exc(), err=True)
            if isinstance(error, processes.LostProcess) and not processes.is_first():
                context.exit(1)  # who is lost has said why, unless it was killed
            raise _as_told(error) from error
        except KeyboardInterrupt:
            if processes.is_first():
                click.echo(f"\nInterrupted; {KEPT}", err=True)
            context.exit(130)
        except Terminated:
            if processes.is_first():
                click.echo(f"\nTerminated; {KEPT}", err=True)
            raise


def _as_told(error: UsageError | RunError | OSError | click.ClickException) -> click.ClickException:
    """The error as a person sees it."""
    if isinstance(error, UsageError):
        return click.UsageError(plain(error))
    if isinstance(error, RunError):
        return click.ClickException(plain(error))
    if isinstance(error, OSError):
        return click.ClickException(plain(f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")))
    if isinstance(error, click.UsageError):
        return click.UsageError(plain(error.format_message()), error.ctx)
    return click.ClickException(plain(error.format_message()))


def _write_sections(formatter: click.HelpFormatter, sections: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    for title, rows in sections.items():
        if not rows:
            continue
        with formatter.section(title):
            formatter.write_dl(rows)
