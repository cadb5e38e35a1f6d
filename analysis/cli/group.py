"""Commands of the command line: one process or several, and failures as one line and an exit code."""

import logging

import click

from ..errors import plain

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class _Notes(logging.Handler):
    """What the library has to say, as lines on standard error; other libraries' loggers are left as they are."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"note: {plain(record.getMessage())}", err=True)


class Command(click.Command):
    """A command that one process does, or several where it has the option `--processes`."""

    def invoke(self, context: click.Context):
        from .. import processes
        from ..errors import UsageError

        shared = "processes" in context.params
        wanted = context.params.pop("processes", None)
        if processes.launched():
            if wanted not in (None, processes.number()):
                raise UsageError(f"--processes {wanted}, but {processes.number()} are started already: leave it out")
            if not (shared or processes.is_first()):
                return None
        elif wanted is not None and wanted > 1:
            context.exit(processes.launch(context.find_root().obj, wanted))
        return super().invoke(context)


class Group(click.Group):
    """Failures that a person may see end as one line and an exit code: 2 for usage, 1 for what did not work.

    Of several processes of a run the first one speaks; what goes wrong in all of them is said once.
    """

    command_class = Command

    def make_context(self, info_name, args, parent=None, **extra):
        extra.setdefault("obj", tuple(args))
        return super().make_context(info_name, args, parent, **extra)

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
        from ..errors import RunError, Terminated, UsageError
        from ..interruption import termination_raised

        logger = logging.getLogger("gelens")
        logger.setLevel(logging.INFO if processes.is_first() else logging.ERROR)
        logger.handlers = [_Notes()]
        try:
            with termination_raised():
                return super().invoke(context)
        except UsageError as error:
            raise click.UsageError(plain(error)) from error
        except processes.LostProcess as error:  # who is lost has said why, unless it was killed
            if processes.is_first():
                raise click.ClickException(plain(error)) from error
            context.exit(1)
        except RunError as error:
            raise click.ClickException(plain(error)) from error
        except click.ClickException as error:
            error.message = plain(error.message)
            raise
        except BrokenPipeError:
            raise  # click ends quietly when the reader of a pipe goes away
        except OSError as error:
            said = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
            raise click.ClickException(plain(said)) from error
        except KeyboardInterrupt:
            if processes.is_first():
                click.echo("\nInterrupted; what was done is kept: the same command with --resume goes on.", err=True)
            context.exit(130)
        except Terminated:
            if processes.is_first():
                click.echo("\nTerminated; what was done is kept: the same command with --resume goes on.", err=True)
            raise
