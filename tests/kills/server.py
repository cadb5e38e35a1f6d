"""A process that has imported everything and forks one that runs a command and is killed: imports are paid for once.

Requests come as lines of JSON on standard input: `arguments` of the command, `output` for what it prints, `log` for
what it notes of its work, and at most one of `after` (`seconds`, `signal`) and `around` (`count`, `before`): killed by
a signal after so long, or by SIGKILL just before or after the so-manieth file takes its place. The answers are lines
of JSON too: `code`, negative for a signal, and `seconds`.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import sklearn.datasets  # noqa: F401  what commands import as they run
import torch._dynamo
import torch.utils.flop_counter  # noqa: F401

import cli
from gelens import figures, files
from gelens.analyses import running  # noqa: F401
from gelens.commands import cache, record  # noqa: F401
from gelens.data import cached
from gelens.sweep import passing
from gelens.training.loop import Loop


def serve() -> None:
    for line in sys.stdin:
        request, begun = json.loads(line), time.monotonic()
        process = os.fork()
        if process == 0:
            _run(request)
        after = request.get("after")
        while not (ended := os.waitpid(process, os.WNOHANG))[0]:
            if after and time.monotonic() - begun > after["seconds"]:
                os.kill(process, after["signal"])
                after = None
            time.sleep(0.002)
        answer = {"code": os.waitstatus_to_exitcode(ended[1]), "seconds": time.monotonic() - begun}
        print(json.dumps(answer), flush=True)


def _run(request: dict) -> None:
    """The command, in a process of its own; it does not return."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    passing.FLUSH_SECONDS = cached.NOTE_SECONDS = 0
    figures.draw = lambda *_, **__: []  # it would take most of the time, and writes its files as all others are written
    _note_work(Path(request["log"]))
    if around := request.get("around"):
        _kill_around_a_replacement(**around)
    code = 99
    try:
        cli.main(request["arguments"])
    except SystemExit as error:
        code = error.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _kill_around_a_replacement(count: int, before: bool) -> None:
    replace, seen = os.replace, []

    def replaced(*arguments) -> None:
        seen.append(arguments)
        if len(seen) == count and before:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*arguments)
        if len(seen) == count:
            os.kill(os.getpid(), signal.SIGKILL)

    files.os.replace = replaced


def _note_work(log: Path) -> None:
    """Where reading begins, and which epochs are begun and saved."""

    def note(what: str, number: int) -> None:
        with log.open("a") as file:
            file.write(f"{what} {number}\n")

    def noting(batches):
        def read(*arguments, start: int = 0, **more):
            note("read from", start)
            return batches(*arguments, start=start, **more)

        return read

    passing.batches, cached.batches = noting(passing.batches), noting(cached.batches)
    begin, save = Loop._epoch, Loop._save

    def epoch(self, number, *rest):
        note("epoch", number)
        return begin(self, number, *rest)

    def saved(self, path, history, *rest):
        save(self, path, history, *rest)
        note("saved", history[-1]["epoch"])

    Loop._epoch, Loop._save = epoch, saved


if __name__ == "__main__":
    serve()
